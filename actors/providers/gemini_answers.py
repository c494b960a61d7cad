"""What an answer of Gemini means: tables from statuses, block reasons and finish reasons to faults, and what it costs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import orjson

from limner.actors.providers import dialects, discretion
from limner.actors.providers.base import Access, Fault, UpstreamError
from limner.actors.providers.rules import ANY, BEGINS, Rule, holding
from limner.actors.providers.verdicts import QUOTA_DELAY, Answer, by_whom, delay

Facts = dict[str, object]

GOOGLE = ZoneInfo("America/Los_Angeles")
"""Quotas of the day begin anew at midnight there."""

STOCK = re.compile(r"(?:please )?check your plan and billing details|https?://\S+", re.IGNORECASE)
"""Said with every 429, so it says nothing about money."""
BROKE = r"prepa(?:id|y)|credits|billing|spend(?:ing)? (?:cap|limit)"

RULES = (
    Rule(Fault.BALANCE_EXHAUSTED, (402,)),
    Rule(Fault.BALANCE_EXHAUSTED, (403, 429), BROKE),
    Rule(Fault.REGION_BLOCKED, (401, 403), r"ip_address_blocked|ip address restriction"),
    Rule(Fault.REGION_BLOCKED, (400,), rf"{BEGINS}ip_address_blocked"),
    Rule(Fault.REGION_BLOCKED, (403,), r"location is not supported|\bcountry\b|\bregion\b|territory"),
    Rule(
        Fault.REGION_BLOCKED,
        (400,),
        rf"{BEGINS}(?:user location is not supported|[\w ]{{0,40}} not available in your (?:country|region|territory))",
    ),
    Rule(Fault.AUTH_DEAD, (400,), rf"{BEGINS}(?:api_key_invalid|api key (?:not valid|not found|expired))"),
    Rule(Fault.REGION_BLOCKED, (400,), r"^failed_precondition.*(?:location|\bcountry\b|\bregion\b|territory)"),
    Rule(Fault.BALANCE_EXHAUSTED, (400,), r"^failed_precondition"),
    Rule(Fault.MODERATION_INPUT, (400,), r"prohibited_content|responsible ai|sensitive words|content polic"),
    Rule(
        Fault.MODEL_UNAVAILABLE,
        (400,),
        rf"{BEGINS}(?:the |this |requested )*models?\b[^'\"]{{0,100}}"
        r"(?:not found|not supported|does not support|no longer|retired)",
    ),
    Rule(Fault.MODEL_UNAVAILABLE, (403,), r"(?:access|permission).{0,200} models?(?:/|\b.{0,200}may not exist)"),
    Rule(Fault.AUTH_DEAD, (401, 403)),
    Rule(Fault.MODEL_UNAVAILABLE, (404, 410)),
    Rule(Fault.PROXY_FAILED, (407,)),
    Rule(Fault.MODEL_UNAVAILABLE, (429,), r"limit: 0(?![\d.])"),
    Rule(Fault.RATE_LIMITED, (429,)),
    Rule(Fault.TIMEOUT_UNKNOWN, (408, 499, 504, 524)),
    Rule(Fault.NO_IMAGE, range(200, 300)),
    Rule(Fault.INVALID_REQUEST, range(400, 500)),
    Rule(Fault.UPSTREAM_5XX, ANY),
)
"""For answers that say ``error``; a 429 is looked at again by ``_limited``."""

BLOCKED = {
    **dict.fromkeys(
        ["SAFETY", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "IMAGE_SAFETY", "MODEL_ARMOR", "JAILBREAK"],
        Fault.MODERATION_INPUT,
    ),
    "BLOCK_REASON_UNSPECIFIED": Fault.NO_IMAGE,
    "BLOCKED_REASON_UNSPECIFIED": Fault.NO_IMAGE,
}
"""``promptFeedback.blockReason``; one that is not here is MODERATION_INPUT: the prompt, or a reference, was refused."""

FINISHED = {
    **dict.fromkeys(
        [
            "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "SAFETY", "PROHIBITED_CONTENT", "RECITATION",
            "BLOCKLIST", "SPII", "MODEL_ARMOR",
        ],
        Fault.MODERATION_OUTPUT,
    ),
    **dict.fromkeys(
        [
            "NO_IMAGE", "IMAGE_OTHER", "OTHER", "STOP", "MAX_TOKENS", "MALFORMED_RESPONSE", "MALFORMED_FUNCTION_CALL",
            "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "LANGUAGE", "CONTINUATION", "ESCALATION",
        ],
        Fault.NO_IMAGE,
    ),
    "MISSING_THOUGHT_SIGNATURE": Fault.INVALID_REQUEST,
    "PUP_LIMITED_DISABLED": Fault.AUTH_DEAD,
}  # fmt: skip
"""``finishReason`` of a candidate without a picture; one that is not here is NO_IMAGE."""

PRICES = {
    "gemini-nano-banana-2.1": (0.25, 1.5, 30.0),
    "gemini-3-pro-image": (2.0, 12.0, 120.0),
    "gemini-3.1-flash-image": (0.5, 3.0, 60.0),
    "gemini-2.5-flash-image": (0.3, 2.5, 30.0),
}
"""US dollars per million tokens (so: millionths of a dollar per token) of what goes in, of text and thoughts that come
out, and of pictures that come out, by model id; a longer id falls under the longest name that it begins with. A model
that is not here is booked at 0."""


def refusal(answer: Answer, access: Access, now: datetime | None = None) -> UpstreamError:
    """The one error that an answer with an HTTP error, or with an error inside, is."""
    secrets, caller = discretion.secrets(access), discretion.caller(access)
    error = _error(answer.body)
    status = answer.status if answer.status != 200 else _number(error.get("code")) or 200
    details = [each for each in _list(error.get("details")) if isinstance(each, dict)]
    message = str(error.get("message") or "") or dialects.raw(answer)
    said = " ".join(filter(None, [str(error.get("status") or ""), *_reasons(details), message]))
    own = discretion.without(said, secrets)
    judged = STOCK.sub("", f"{own} {_nothing(details)}")
    rule = by_whom(holding(status, judged, RULES, caller), answer, error)
    fault, detail = rule.fault, f"HTTP {status} {own}"
    if status != 429 or fault is not Fault.RATE_LIMITED:
        return UpstreamError(fault, detail, after=_header(answer), secrets=secrets, is_vague=rule.is_vague(status))
    quotas = " ".join(str(each.get("quotaId")) for each in _violations(details))
    after = _told(details, discretion.without(message, secrets), caller)
    return _limited(after if after is not None else _header(answer), quotas, f"{detail} {quotas}", secrets, now)


def silence(whole: Facts, model: str, access: Access) -> UpstreamError:
    """The one error that a 200 without a picture is: the block reason decides, then the finish reason."""
    spent, secrets = cost(model, whole.get("usageMetadata")), discretion.secrets(access)
    feedback = _dict(whole.get("promptFeedback"))
    if blocked := str(feedback.get("blockReason") or ""):
        fault = BLOCKED.get(blocked, Fault.MODERATION_INPUT)
        return UpstreamError(fault, f"prompt blocked: {blocked}", secrets=secrets, cost_micros=spent)
    candidate = next((_dict(each) for each in _list(whole.get("candidates"))), {})
    reason = str(candidate.get("finishReason") or "nothing")
    spoken = " ".join(str(part["text"]) for part in parts(whole) if part.get("text"))
    told = discretion.without(f"{candidate.get('finishMessage') or ''} {spoken}", secrets)
    detail = f"finished: {reason} {told}"
    return UpstreamError(FINISHED.get(reason, Fault.NO_IMAGE), detail, secrets=secrets, cost_micros=spent)


def parts(whole: Facts) -> Iterator[Facts]:
    """The parts of all candidates, but for thoughts: those are drafts."""
    for candidate in _list(whole.get("candidates")):
        for part in _list(_dict(_dict(candidate).get("content")).get("parts")):
            if isinstance(part, dict) and not part.get("thought"):
                yield part


def cost(model: str, usage: object) -> int:
    """Millionths of a US dollar for ``usageMetadata``; 0 where the model or the usage is unknown."""
    known = max((name for name in PRICES if model.strip().lower().startswith(name)), key=len, default="")
    if not known or not isinstance(usage, dict):
        return 0
    into, text, image = PRICES[known]
    out, details = _number(usage.get("candidatesTokenCount")), _list(usage.get("candidatesTokensDetails"))
    pictures = sum(_number(each.get("tokenCount")) for each in map(_dict, details) if each.get("modality") == "IMAGE")
    if not details:
        pictures = out  # which costs more: better to book too much than too little
    spoken = max(0, out - pictures) + _number(usage.get("thoughtsTokenCount"))
    return round(_number(usage.get("promptTokenCount")) * into + spoken * text + pictures * image)


def until_reset(now: datetime) -> float:
    """Seconds until the quotas of the day begin anew."""
    tomorrow = now.astimezone(GOOGLE).date() + timedelta(days=1)
    return (datetime.combine(tomorrow, time(), GOOGLE).astimezone(UTC) - now).total_seconds()


def _limited(
    after: float | None, quotas: str, detail: str, secrets: tuple[str, ...], now: datetime | None
) -> UpstreamError:
    """A short delay is believed even with a quota of the day, which Google names at times for one of the minute."""
    is_daily = "perday" in quotas.lower()
    if after is not None and after <= QUOTA_DELAY:
        return UpstreamError(Fault.RATE_LIMITED, detail, after=after, secrets=secrets, is_daily=is_daily)
    if after is None and not is_daily:
        return UpstreamError(Fault.RATE_LIMITED, detail, secrets=secrets)
    reset = until_reset(now or datetime.now(UTC))
    return UpstreamError(
        Fault.DAILY_QUOTA, detail, after=min(reset, after or reset), secrets=secrets, is_daily=is_daily
    )


def _told(details: list[Facts], message: str, caller: tuple[str, ...]) -> float | None:
    """Seconds of RetryInfo, a protobuf duration of up to nine decimals, or else of the message."""
    for each in details:
        if found := re.fullmatch(r"(\d+(?:\.\d+)?)s", str(each.get("retryDelay"))):
            return float(found[1])
    return delay({}, message, caller)


def _header(answer: Answer) -> float | None:
    """Google sends no Retry-After; what stands in front of it may."""
    return delay(answer.headers)


def _nothing(details: list[Facts]) -> str:
    """The words of a message about a quota of nothing, for answers that say so only in the violations."""
    return "limit: 0" if any(str(each.get("quotaValue")) == "0" for each in _violations(details)) else ""


def _violations(details: list[Facts]) -> list[Facts]:
    return [_dict(each) for detail in details for each in _list(detail.get("violations"))]


def _reasons(details: Iterable[Facts]) -> list[str]:
    return [str(each["reason"]) for each in details if each.get("reason")]


def _error(body: bytes) -> Facts:
    """The error object, wherever it lies: at times the whole is wrapped into a list of one."""
    try:
        whole = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    if isinstance(whole, list) and whole:
        whole = whole[0]
    return _dict(whole.get("error")) if isinstance(whole, dict) else {}


def _dict(value: object) -> Facts:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _number(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0
