"""What fal's answers mean when they bring no picture: its own words, and whether it blames the request."""

from __future__ import annotations

import orjson

from limner.actors.providers import discretion
from limner.actors.providers.base import Access, Fault, UpstreamError
from limner.actors.providers.rules import ANY, BEGINS, BEYOND_REQUEST, BROKE, BY_STATUS, REQUEST, Rule
from limner.actors.providers.verdicts import Answer, verdict

RULES = (
    Rule(
        Fault.BALANCE_EXHAUSTED,
        BEYOND_REQUEST,
        r"exhausted balance|reason: top_up|insufficient (?:balance|credit|fund)",
    ),
    Rule(
        Fault.BALANCE_EXHAUSTED, REQUEST, rf"{BEGINS}(?:user is locked\b.{{0,40}}exhausted balance|exhausted balance)"
    ),
    Rule(Fault.BALANCE_EXHAUSTED, REQUEST, BROKE),
    Rule(Fault.BALANCE_EXHAUSTED, (402,)),
    Rule(Fault.AUTH_DEAD, (401, 403), r"user is locked|admin lock"),
    Rule(Fault.AUTH_DEAD, (401,)),
    Rule(Fault.AUTH_DEAD, (403,), r"key|credential|authenticat|permission|scope"),
    Rule(Fault.MODERATION_INPUT, ANY, r"content_policy_violation|flagged by a content checker"),
    Rule(Fault.NO_IMAGE, ANY, names=r"no_media_generated"),
    Rule(Fault.CANCELLED, ANY, r"^(?:\S+ )?request was cancell?ed", names=r"client_cancell?ed"),
    Rule(Fault.CANCELLED, (499,)),
    Rule(
        Fault.UPSTREAM_5XX,
        ANY,
        names=r"internal_server_error|internal_error|downstream_service|runner_|startup_timeout",
    ),
    Rule(
        Fault.UPSTREAM_5XX, ANY, names=r"request_timeout|generation_timeout"
    ),  # it failed, they say: nothing is unknown
    Rule(Fault.MODEL_UNAVAILABLE, (403, 404, 405, 410)),
    Rule(Fault.PROXY_FAILED, (407,)),
    *BY_STATUS,
)


def judged(answer: Answer, access: Access) -> UpstreamError:
    """The one error that an answer without a picture is."""
    secrets, caller = discretion.secrets(access), discretion.caller(access)
    error = verdict(answer, secrets, rules=RULES, said=said(answer), names=_names(answer), caller=caller)
    if error.fault is Fault.INVALID_REQUEST and answer.headers.get("x-fal-retryable") == "true":
        error.fault = Fault.UPSTREAM_5XX  # they say themselves that the request is not to blame
    return error


def said(answer: Answer) -> str:
    """What an error says, without the input that it quotes: {"detail": […]}, {"detail": "…"}, {"error", "error_type"}, […]."""
    kind, entries = _told(answer)
    return " ".join(filter(None, [kind, *(_entry(each) for each in entries)]))


def _names(answer: Answer) -> str:
    """Its types, which nobody else can write."""
    kind, entries = _told(answer)
    return " ".join([kind, *(str(each.get("type") or "") for each in entries if isinstance(each, dict))])


def _told(answer: Answer) -> tuple[str, list[object]]:
    """The type of the whole, and the errors in it."""
    try:
        whole = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return "", []
    told = whole if isinstance(whole, dict) else {"detail": whole}
    kind = told.get("error_type") or answer.headers.get("x-fal-error-type") or ""
    detail = told.get("detail") or told.get("error") or ""
    return str(kind), detail if isinstance(detail, list) else [detail]


def _entry(entry: object) -> str:
    if not isinstance(entry, dict):
        return str(entry)
    where = entry.get("loc")
    path = ".".join(map(str, where)) if isinstance(where, list) else ""
    told = entry.get("type"), entry.get("msg") or entry.get("message"), f"({path})" if path else ""
    return " ".join(str(part) for part in told if part)
