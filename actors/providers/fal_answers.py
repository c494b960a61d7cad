"""What fal's answers mean when they bring no picture: its own words, and whether it blames the request."""

from __future__ import annotations

import orjson

from limner.actors.providers import discretion
from limner.actors.providers.base import Access, Fault, UpstreamError
from limner.actors.providers.verdicts import ANY, BEYOND_REQUEST, BROKE, BY_STATUS, REQUEST, Answer, Rule, verdict

RULES = (
    Rule(Fault.BALANCE_EXHAUSTED, ANY, r"exhausted balance|reason: top_up"),
    Rule(Fault.BALANCE_EXHAUSTED, BEYOND_REQUEST, r"insufficient (?:balance|credit|fund)"),
    Rule(Fault.BALANCE_EXHAUSTED, REQUEST, BROKE),
    Rule(Fault.BALANCE_EXHAUSTED, (402,)),
    Rule(Fault.AUTH_DEAD, (401, 403), r"user is locked|admin lock"),
    Rule(Fault.AUTH_DEAD, (401,)),
    Rule(Fault.AUTH_DEAD, (403,), r"key|credential|authenticat|permission|scope"),
    Rule(Fault.MODERATION_INPUT, ANY, r"content_policy_violation|flagged by a content checker"),
    Rule(Fault.NO_IMAGE, ANY, r"no_media_generated"),
    Rule(Fault.CANCELLED, ANY, r"client_cancell?ed|request was cancell?ed"),
    Rule(Fault.CANCELLED, (499,)),
    Rule(Fault.UPSTREAM_5XX, ANY, r"internal_server_error|internal_error|downstream_service|runner_|startup_timeout"),
    Rule(Fault.UPSTREAM_5XX, ANY, r"request_timeout|generation_timeout"),  # they say that it failed: nothing is unknown
    Rule(Fault.MODEL_UNAVAILABLE, (403, 404, 405, 410)),
    Rule(Fault.PROXY_FAILED, (407,)),
    *BY_STATUS,
)


def judged(answer: Answer, access: Access) -> UpstreamError:
    """The one error that an answer without a picture is."""
    error = verdict(answer, discretion.secrets(access), rules=RULES, said=said(answer))
    if error.fault is Fault.INVALID_REQUEST and answer.headers.get("x-fal-retryable") == "true":
        error.fault = Fault.UPSTREAM_5XX  # they say themselves that the request is not to blame
    return error


def said(answer: Answer) -> str:
    """What an error says, without the input that it quotes: {"detail": […]}, {"detail": "…"}, {"error", "error_type"}, […]."""
    try:
        whole = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return ""
    told = whole if isinstance(whole, dict) else {"detail": whole}
    kind = told.get("error_type") or answer.headers.get("x-fal-error-type") or ""
    detail = told.get("detail") or told.get("error") or ""
    entries = detail if isinstance(detail, list) else [detail]
    return " ".join(filter(None, [str(kind), *(_entry(each) for each in entries)]))


def _entry(entry: object) -> str:
    if not isinstance(entry, dict):
        return str(entry)
    where = entry.get("loc")
    path = ".".join(map(str, where)) if isinstance(where, list) else ""
    told = entry.get("type"), entry.get("msg") or entry.get("message"), f"({path})" if path else ""
    return " ".join(str(part) for part in told if part)
