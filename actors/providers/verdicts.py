"""What an OpenAI-style answer means: its envelope read, and one fault found in the rules."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import orjson

from limner.actors.providers.base import WORDS, Fault, UpstreamError
from limner.actors.providers.discretion import JUDGED, READ, without
from limner.actors.providers.rules import OF_KEYS, REQUEST, RULES, VAGUE, Rule, folded, holding

QUOTA_DELAY = 120.0
"""Seconds: who says to wait longer has run out for the day, not for the moment (PROTOCOLS §0)."""

PAGE, BEHIND = 400, 600
"""Characters that are judged of an answer that is no JSON, such as a proxy's page; and of what stands behind a relay's words."""

WAIT = re.compile(r"(?:try again|retry|resets) in ~?((?:\d+(?:\.\d+)?(?:ms|[hms]))+)")
UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}

ECHOES = ("input", "inputs", "prompt", "messages", "ctx")
"""Where an error quotes the request that it is about."""
CATEGORIES = frozenset(
    [
        "sexual",
        "minors",
        "violence",
        "violent",
        "graphic",
        "self-harm",
        "intent",
        "instructions",
        "hate",
        "harassment",
        "threatening",
        "illicit",
        "weapons",
        "drugs",
        "copyright",
        "likeness",
    ]
)
"""Moderation categories that may be shown to a user; anything else could be an upstream's free text."""
MOST_CATEGORIES = 10
VIOLATIONS = re.compile(r"safety_violations=\[([\w\s,/-]{1,200})\]")
"""How a message lists them that comes without details."""


@dataclass(frozen=True)
class Answer:
    """An answer that brought no picture: HTTP status, headers in lower case, body as it came."""

    status: int
    headers: dict[str, str]
    body: bytes


STATUSES = {
    "rate_limit_exceeded": 429, "slow_down": 429, "rate_limit_error": 429, "insufficient_quota": 429,
    "invalid_api_key": 401, "authentication_error": 401, "permission_error": 403, "model_not_found": 404,
    "server_error": 500, "channel_error": 502, "upstream_error": 502, "server_is_overloaded": 503,
    "service_unavailable_error": 503, "image_generation_user_error": 400, "invalid_request_error": 400,
}  # fmt: skip
"""What an error that comes inside a success, a stream above all, would have been as an HTTP status."""


def verdict(
    answer: Answer,
    secrets: tuple[str, ...],
    *,
    rules: Sequence[Rule] = RULES,
    said: str | None = None,
    names: str = "",
    caller: Sequence[str] = (),
) -> UpstreamError:
    """The one error that an answer without a picture is. ``said``: its text, where it has another envelope than OpenAI's;
    ``names``: the codes in it; ``caller``: what the order says (discretion.caller)."""
    error = _envelope(answer.body)
    text = said if said is not None else _text(error, secrets)
    # What is cut is cut when the caller's words and our secrets are out of it: half of one is not known any more.
    shown = without(text or answer.body[:READ].decode("utf-8", "replace"), secrets)
    own = shown if text else shown[:PAGE]
    status = _status(answer.status, error)
    rules = _about_keys(rules, str(error.get("param") or "")) if status in REQUEST else rules
    by_name = _by_name(status, (_names(error) if said is None else names.lower())[:JUDGED], rules)
    is_own = error or text or not own.lstrip().startswith("<")
    rule = by_whom(by_name or holding(status, own, rules, caller), answer, is_own)
    fault = rule.fault
    after = delay(answer.headers | _inner_headers(error), own, caller)
    if fault is Fault.RATE_LIMITED and after is not None and after > QUOTA_DELAY:
        fault = Fault.DAILY_QUOTA
    request = answer.headers.get("x-request-id", "")
    detail = f"HTTP {answer.status} {shown}" + (f" (request {request})" if request else "")
    param = str(error.get("param") or "") if said is None else ""
    named = _categories(error) if fault in (Fault.MODERATION_INPUT, Fault.MODERATION_OUTPUT) else ()
    return UpstreamError(
        fault, detail, after=after, words=_words(fault, named), secrets=secrets, param=param, categories=named,
        is_vague=rule.is_vague(status),
    )  # fmt: skip


def by_whom(rule: Rule, answer: Answer, is_own: object) -> Rule:
    """The rule that holds, unless a 403 that is not the upstream's own, but a page of a firewall in front of it, would blame a
    key: it says nothing of one, and may be about what an order says."""
    return VAGUE if answer.status == 403 and not is_own and rule.fault is Fault.AUTH_DEAD else rule


def _about_keys(rules: Sequence[Rule], param: str) -> Sequence[Rule]:
    """Without what would blame a key, where the answer says which parameter of the request it is about."""
    aside = (*OF_KEYS, *([Fault.MODEL_UNAVAILABLE] if param != "model" else [])) if param else ()
    return [rule for rule in rules if rule.fault not in aside]


def _by_name(status: int, names: str, rules: Sequence[Rule]) -> Rule | None:
    """By type and code alone, which no caller can write: the first rule that has a pattern, and finds it there."""
    return next((rule for rule in rules if rule.is_named(status, names)), None)


def delay(headers: Mapping[str, str], text: str = "", caller: Sequence[str] = ()) -> float | None:
    """Seconds to wait, from retry-after-ms, retry-after (seconds or a date), the message or x-ratelimit-reset (a moment
    since 1970, in seconds or milliseconds); None where none say. What the ``caller`` says, too, could be quoted."""
    for value, unit in ((headers.get("retry-after-ms", ""), 0.001), (headers.get("retry-after", ""), 1.0)):
        if re.fullmatch(r"\s*\d+(?:\.\d+)?\s*", value):
            return float(value) * unit
    if (date := headers.get("retry-after")) and (until := _date(date)):
        return max(0.0, (until - (_date(headers.get("date", "")) or datetime.now(UTC))).total_seconds())
    if (said := _said(text, folded(caller))) is not None:
        return said
    if re.fullmatch(r"\d{10}(?:\d{3})?", moment := headers.get("x-ratelimit-reset", "")):
        now = (_date(headers.get("date", "")) or datetime.now(UTC)).timestamp()
        return max(0.0, int(moment) / (1000 if len(moment) == 13 else 1) - now)
    return None


def _said(text: str, caller: str) -> float | None:
    """Seconds in "try again in 1m3.5s", "20ms", or "resets in ~30s"."""
    own = next((found[1] for found in WAIT.finditer(text.lower()) if found[0] not in caller), None)
    if own is None:
        return None
    return sum(float(number) * UNITS[unit] for number, unit in re.findall(r"(\d+(?:\.\d+)?)(ms|[hms])", own))


def _date(value: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _envelope(body: bytes) -> dict[str, object]:
    """The error object of ``{"error": {...}}``, of ``{"error": "text"}`` or of the body itself, else nothing."""
    try:
        whole = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    inner = whole.get("error", whole) if isinstance(whole, dict) else None
    return inner if isinstance(inner, dict) else {"message": str(inner)} if inner else {}


def _text(error: dict[str, object], secrets: tuple[str, ...]) -> str:
    more = [without_echoes(_metadata(error).get(name)) for name in ("reasons", "raw")]  # of a relay's own upstream
    behind = [without(str(each), secrets)[:BEHIND] for each in more if each]
    said = error.get("message") or without_echoes(error.get("detail") or "")
    return " ".join(filter(None, [_labels(error), str(said), *behind])).strip()


def _labels(error: dict[str, object]) -> str:
    details = error.get("moderation_details")
    stage = details.get("moderation_stage") if isinstance(details, dict) else None
    parts = {"": error.get("type"), "code:": error.get("code"), "param:": error.get("param"), "stage:": stage}
    return " ".join(f"{label}{value}" for label, value in parts.items() if value)


def _names(error: dict[str, object]) -> str:
    return _labels({name: value for name, value in error.items() if name != "param"}).lower()


def without_echoes(value: object) -> object:
    """An error's details without what they quote of the request."""
    if isinstance(value, Mapping):
        return {name: without_echoes(each) for name, each in value.items() if name not in ECHOES}
    return [without_echoes(each) for each in value] if isinstance(value, list) else value


def _metadata(error: dict[str, object]) -> dict[str, object]:
    more = error.get("metadata")
    return more if isinstance(more, dict) else {}


def _inner_headers(error: dict[str, object]) -> dict[str, str]:
    """What a relay puts into the body of the headers that it should have sent."""
    inner = _metadata(error).get("headers")
    return {str(name).lower(): str(value) for name, value in inner.items()} if isinstance(inner, dict) else {}


def _status(status: int, error: dict[str, object]) -> int:
    """The answer's own, or what an error inside a success says: a number as its code, or a name that we know."""
    if status not in range(200, 300):
        return status
    code = error.get("code")
    if isinstance(code, int) and code in range(400, 600):
        return code
    names = (str(error.get("code")), str(error.get("type")))
    return next((STATUSES[name] for name in names if name in STATUSES), status)


def _categories(error: dict[str, object]) -> tuple[str, ...]:
    """Those of its own list, or of its message, that may be shown."""
    details = error.get("moderation_details")
    named = details.get("categories") if isinstance(details, dict) else None
    if not isinstance(named, list):
        named = [name.strip() for each in VIOLATIONS.findall(str(error.get("message"))) for name in each.split(",")]
    known = (str(name) for name in named if all(part in CATEGORIES for part in str(name).split("/")))
    return tuple(dict.fromkeys(known))[:MOST_CATEGORIES]


def _words(fault: Fault, categories: Sequence[str]) -> str:
    if not categories:
        return WORDS[fault]
    return f"{WORDS[fault].rstrip('.')} ({', '.join(name.replace('/', ', ') for name in categories[:4])})."
