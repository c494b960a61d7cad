"""What an OpenAI-style answer means: one table from status and text to a fault."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import orjson

from limner.actors.providers.base import WORDS, Fault, UpstreamError

QUOTA_DELAY = 120.0
"""Seconds: who says to wait longer has run out for the day, not for the moment (PROTOCOLS §0)."""

UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
ANY = range(1000)
REQUEST = (400, 413, 415, 422)
"""Statuses that are about the request: only what is named, or a whole phrase that is known, says there that a key is to blame."""
BEYOND_REQUEST = tuple(status for status in ANY if status not in REQUEST)
OF_KEYS = (Fault.AUTH_DEAD, Fault.REGION_BLOCKED, Fault.BALANCE_EXHAUSTED)
BROKE = (
    r"^(?:[\w.-]+ )?(?:code:\S+ )?insufficient (?:credit|balance|fund)s?(?:$|[.,;:!]| (?:in|on|for) )"
    r"|\byour (?:account|organization|team)\b[^.'\"]{0,40}(?:insufficient|not have (?:enough|sufficient)) (?:credit|balance|fund)"
    r"|\byour (?:credit |account )?balance is (?:too low|insufficient|not enough)"
)
"""How an account without money is told of at such a status: by how a message begins, or by whose it is."""
GONE_MODEL = (
    r"\bmodel not found|\bmodel (?:does not exist|(?:has been|is) (?:deprecated|retired))"
    r"|\bmodel[: ]+[`'\"]?[\w./:@-]+[`'\"]?,? "
    r"(?:does not exist|(?:is |was |has been )?(?:not found|deprecated|retired|no longer))"
)
ECHOES = ("input", "inputs", "prompt", "messages", "ctx")
"""Where an error quotes the request that it is about."""
CATEGORIES = frozenset(
    [
        "sexual",
        "minors",
        "violence",
        "graphic",
        "self-harm",
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


@dataclass(frozen=True)
class Answer:
    """An answer that brought no picture: HTTP status, headers in lower case, body as it came."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Rule:
    """``fault`` holds when the status is one of these and the text matches; the first rule that holds wins."""

    fault: Fault
    statuses: tuple[int, ...] | range
    pattern: str = ""


BY_STATUS = (
    Rule(Fault.RATE_LIMITED, (429,)),
    Rule(Fault.TIMEOUT_UNKNOWN, (408, 504, 524)),
    Rule(Fault.NO_IMAGE, range(200, 300)),
    Rule(Fault.INVALID_REQUEST, range(400, 500)),
    Rule(Fault.UPSTREAM_5XX, ANY),
)
"""The end of every table: what an answer means of which nothing is known but its status."""
RULES = (
    Rule(
        Fault.MODERATION_OUTPUT,
        ANY,
        r"moderation_blocked.* stage:output|image_safety|image_prohibited|output (?:was )?blocked",
    ),
    Rule(
        Fault.MODERATION_INPUT,
        ANY,
        r"moderation_blocked|content[_ ]policy|content_filter|safety_violation|safety system|prohibited_content",
    ),
    Rule(Fault.MODERATION_INPUT, (451,)),
    Rule(
        Fault.BALANCE_EXHAUSTED,
        ANY,
        r"insufficient_quota|insufficient_user_quota|credit_balance_exhausted|(?:spend|usage)_limit_exceeded"
        r"|billing_hard_limit|billing_not_active|exceeded your current quota",
    ),
    Rule(Fault.BALANCE_EXHAUSTED, BEYOND_REQUEST, r"insufficient (?:credit|balance|fund)"),
    Rule(Fault.BALANCE_EXHAUSTED, REQUEST, BROKE),
    Rule(Fault.BALANCE_EXHAUSTED, (402,)),
    Rule(Fault.REGION_BLOCKED, (401, 403), r"\bip\b.*(?:allow|authori[sz]ed|permitted|whitelist)|ip_not_authorized"),
    Rule(Fault.REGION_BLOCKED, (403,), r"unsupported_country|country|region\b|territory|location is not supported"),
    Rule(
        Fault.REGION_BLOCKED,
        (400,),
        r"unsupported_country|(?:country|region|territory),? (?:or territory )?(?:is )?not supported|location is not supported"
        r"|not (?:available|supported) in your (?:country|region|territory|location)",
    ),
    Rule(Fault.AUTH_DEAD, (401,)),
    Rule(
        Fault.AUTH_DEAD, (403,), r"invalid_api_key|api key|account_deactivated|deactivated|suspended|terminated|leaked"
    ),
    Rule(
        Fault.AUTH_DEAD,
        (400,),
        r"invalid_api_key|account_deactivated|(?:incorrect|invalid) api key|api key (?:is )?(?:not valid|invalid|not found)"
        r"|(?:api key|your account) (?:has|is|was)\b[a-z ]{0,20} (?:expired|revoked|deactivated|suspended|terminated|leaked)",
    ),
    Rule(
        Fault.MODEL_UNAVAILABLE,
        (400, 403, 404, 410, 422),
        r"model_not_found|model_not_available|must be verified|does not have access",
    ),
    Rule(
        Fault.MODEL_UNAVAILABLE,
        (404, 410, 503),
        r"model .*(?:does not exist|not found|deprecated|retired|no longer)",
    ),
    Rule(Fault.MODEL_UNAVAILABLE, (400, 422), GONE_MODEL),
    Rule(Fault.MODEL_UNAVAILABLE, (503,), r"no available channel for model"),
    Rule(Fault.MODEL_UNAVAILABLE, (403, 404, 410)),
    Rule(Fault.PROXY_FAILED, (407,)),
    Rule(Fault.DAILY_QUOTA, (429,), r"per[ _-]day|daily|\brpd\b|\bipd\b"),
    *BY_STATUS,
)


STATUSES = {
    "rate_limit_exceeded": 429, "slow_down": 429, "rate_limit_error": 429, "insufficient_quota": 429,
    "invalid_api_key": 401, "authentication_error": 401, "permission_error": 403, "model_not_found": 404,
    "server_error": 500, "channel_error": 502, "upstream_error": 502, "server_is_overloaded": 503,
    "service_unavailable_error": 503, "image_generation_user_error": 400, "invalid_request_error": 400,
}  # fmt: skip
"""What an error that comes inside a success, a stream above all, would have been as an HTTP status."""


def verdict(
    answer: Answer, secrets: tuple[str, ...], *, rules: Sequence[Rule] = RULES, said: str | None = None
) -> UpstreamError:
    """The one error that an answer without a picture is. ``said``: its text, where it has another envelope than OpenAI's."""
    error = _envelope(answer.body)
    text = said if said is not None else _text(error)
    # Cut far beyond what is kept: a secret across the edge would lose its end, and not be known any more.
    raw = "" if text else answer.body[:8192].decode("utf-8", "replace")
    text = text or raw[:400]
    status = _status(answer.status, error)
    rules = _about_keys(rules, str(error.get("param") or "")) if status in REQUEST else rules
    fault = (_by_name(status, _names(error), rules) if said is None else None) or judge(
        status, without(text, secrets), rules
    )
    after = delay(answer.headers | _inner_headers(error), text)
    if fault is Fault.RATE_LIMITED and after is not None and after > QUOTA_DELAY:
        fault = Fault.DAILY_QUOTA
    request = answer.headers.get("x-request-id", "")
    detail = f"HTTP {answer.status} {raw or text}" + (f" (request {request})" if request else "")
    return UpstreamError(fault, detail, after=after, words=_words(fault, error), secrets=secrets)


def without(text: str, secrets: Sequence[str]) -> str:
    """What an upstream says by itself: a caller's words that it quotes are no judgement on the key that it was asked with."""
    text = " ".join(text.split())
    for quoted in sorted(filter(None, secrets), key=len, reverse=True):
        text = re.sub(re.escape(quoted), "***", text, flags=re.IGNORECASE)
    return text


def _about_keys(rules: Sequence[Rule], param: str) -> Sequence[Rule]:
    """Without what would blame a key, where the answer says which parameter of the request it is about."""
    aside = (*OF_KEYS, *([Fault.MODEL_UNAVAILABLE] if param != "model" else [])) if param else ()
    return [rule for rule in rules if rule.fault not in aside]


def _by_name(status: int, names: str, rules: Sequence[Rule]) -> Fault | None:
    """By type and code alone, which no caller can write: the first rule that has a pattern, and finds it there."""
    return next(
        (
            rule.fault
            for rule in rules
            if rule.pattern and status in rule.statuses and re.search(rule.pattern, names, re.DOTALL)
        ),
        None,
    )


def judge(status: int, text: str, rules: Sequence[Rule] = RULES) -> Fault:
    """The fault of the first rule that holds; the last rule of a table holds always."""
    folded = text.lower()
    return next(rule.fault for rule in rules if status in rule.statuses and re.search(rule.pattern, folded, re.DOTALL))


def delay(headers: Mapping[str, str], text: str = "") -> float | None:
    """Seconds to wait, from retry-after-ms, retry-after (seconds or a date), the message or x-ratelimit-reset (a moment
    since 1970, in seconds or milliseconds); None where none say."""
    for value, unit in ((headers.get("retry-after-ms", ""), 0.001), (headers.get("retry-after", ""), 1.0)):
        if re.fullmatch(r"\s*\d+(?:\.\d+)?\s*", value):
            return float(value) * unit
    if (date := headers.get("retry-after")) and (until := _date(date)):
        return max(0.0, (until - (_date(headers.get("date", "")) or datetime.now(UTC))).total_seconds())
    if (said := _said(text)) is not None:
        return said
    if re.fullmatch(r"\d{10}(?:\d{3})?", moment := headers.get("x-ratelimit-reset", "")):
        now = (_date(headers.get("date", "")) or datetime.now(UTC)).timestamp()
        return max(0.0, int(moment) / (1000 if len(moment) == 13 else 1) - now)
    return None


def _said(text: str) -> float | None:
    """Seconds in "try again in 1m3.5s", "20ms", or "resets in ~30s"."""
    found = re.search(r"(?:try again|retry|resets) in ~?((?:\d+(?:\.\d+)?(?:ms|[hms]))+)", text, re.IGNORECASE)
    if not found:
        return None
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|[hms])", found[1].lower())
    return sum(float(number) * UNITS[unit] for number, unit in parts)


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


def _text(error: dict[str, object]) -> str:
    more = _metadata(error)
    behind = [
        str(without_echoes(more[name]))[:600] for name in ("reasons", "raw") if more.get(name)
    ]  # a relay's own upstream
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


def _words(fault: Fault, error: dict[str, object]) -> str:
    details = error.get("moderation_details")
    named = details.get("categories") if isinstance(details, dict) else None
    shown = [str(name) for name in named if str(name).split("/")[0] in CATEGORIES] if isinstance(named, list) else []
    if not shown or fault not in (Fault.MODERATION_INPUT, Fault.MODERATION_OUTPUT):
        return WORDS[fault]
    return f"{WORDS[fault].rstrip('.')} ({', '.join(name.replace('/', ', ') for name in shown[:4])})."
