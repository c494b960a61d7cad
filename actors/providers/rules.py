"""Rules: tables from the status and the text of an answer to its fault, and OpenAI's own."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from limner.actors.providers.base import Fault

ANY = range(1000)
REQUEST = (400, 413, 415, 422)
"""Statuses that are about the request: only a code of the upstream's own, or a message that begins with a phrase that is known,
says there that a key is to blame. Anything else could be quoted from the request, cut short in any way."""
BEYOND_REQUEST = tuple(status for status in ANY if status not in REQUEST)
LETTERS = frozenset(f"{string.ascii_lowercase}{string.digits}_")
LONG = 64
"""Characters of a word on each side of what is found in it that are looked at."""
OF_KEYS = (Fault.AUTH_DEAD, Fault.REGION_BLOCKED, Fault.BALANCE_EXHAUSTED)
OF_KEYS_ALONE = (401, 402)
"""Statuses that are about the key, whatever the words are."""
BEGINS = r"^(?:[\w.-]+ )?(?:code:\S+ )?(?:param:\S+ )?"
"""Where a message begins: behind the names that it has."""
BROKE = (
    rf"{BEGINS}(?:insufficient (?:credit|balance|fund)s?(?:$|[.,;:!]| (?:in|on|for) )"
    r"|your (?:account|organization|team)\b[^.'\"]{0,40}(?:insufficient|not have (?:enough|sufficient)) (?:credit|balance|fund)"
    r"|your (?:credit |account )?balance is (?:too low|insufficient|not enough)|you exceeded your current quota)"
)
"""How an account without money is told of at such a status."""
DEAD = (
    rf"{BEGINS}(?:(?:incorrect|invalid) api key|(?:the |this |your )?api key (?:is )?(?:not valid|invalid|not found)"
    r"|(?:(?:the |this |your )?api key|your account) (?:has|is|was)\b[a-z ]{0,20} "
    r"(?:expired|revoked|deactivated|suspended|terminated|leaked))"
)
ABROAD = (
    rf"{BEGINS}(?:country, region, or territory not supported|(?:this |your )?(?:country|region|territory) (?:is )?not supported"
    r"|(?:user )?location is not supported"
    r"|[\w ,-]{0,40} not (?:available|supported) in your (?:country|region|territory|location))"
)
GONE_MODEL = (
    rf"{BEGINS}(?:the |this |requested )*(?:model not found|model (?:does not exist|(?:has been|is) (?:deprecated|retired))"
    r"|model[: ]+[`'\"]?[\w./:@-]+[`'\"]?,? "
    r"(?:does not exist|(?:is |was |has been )?(?:not found|deprecated|retired|no longer))"
    r"|your organization must be verified|[\w ]{0,40}\bdoes not have access to (?:the |this )?model)"
)


@dataclass(frozen=True)
class Rule:
    """``fault`` holds when the status is one of these and the text matches; the first rule that holds wins.

    What lies between two parts of a pattern has a length, unless it begins where the text begins: else long texts take too long.

    ``names``: codes, which count anywhere in a text as well, but at REQUEST in an upstream's own type and code alone.
    """

    fault: Fault
    statuses: tuple[int, ...] | range
    pattern: str = ""
    names: str = ""

    def is_vague(self, status: int) -> bool:
        """Whether nothing but a 403 says so: that a key may not use a model, or that some filter does not like an order."""
        return status == 403 and self.fault is Fault.MODEL_UNAVAILABLE and not self.pattern and not self.names

    def is_named(self, status: int, names: str) -> bool:
        return status in self.statuses and any(_found(each, names) for each in (self.pattern, self.names) if each)

    def holds(self, status: int, text: str) -> bool:
        if status not in self.statuses or not (self.pattern or self.names):
            return status in self.statuses
        return any(_found(each, text) for each in self._told(status))

    def is_echo(self, status: int, text: str, caller: str) -> bool:
        """Whether all in a text that makes it hold, and would rest a key for long, stands in the ``caller``'s own words: what an
        upstream says of one of them is no word about the key. A group in a pattern is the part that a caller could have said."""
        if (
            not caller
            or self.fault not in (*OF_KEYS, Fault.DAILY_QUOTA)
            or status in OF_KEYS_ALONE
            or status not in self.statuses
        ):
            return False
        found = (match.span(match.lastindex or 0) for each in self._told(status) for match in _all(each, text))
        words = {_word(text, *span) for span in found}
        return bool(words) and all(_says(caller, word) for word in words)

    def _told(self, status: int) -> list[str]:
        return [each for each in ((self.pattern,) if status in REQUEST else (self.pattern, self.names)) if each]


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
        r"moderation_blocked.{0,200} stage:output|image_safety|image_prohibited|output (?:was )?blocked",
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
        names=r"insufficient_quota|insufficient_user_quota|credit_balance_exhausted|(?:spend|usage)_limit_exceeded"
        r"|billing_hard_limit|billing_not_active",
    ),
    Rule(
        Fault.BALANCE_EXHAUSTED,
        BEYOND_REQUEST,
        r"insufficient (?:credit|balance|fund)|exceeded your current quota",
    ),
    Rule(Fault.BALANCE_EXHAUSTED, REQUEST, BROKE),
    Rule(Fault.BALANCE_EXHAUSTED, (402,)),
    Rule(
        Fault.REGION_BLOCKED,
        (401, 403),
        r"\b(ip)\b.{0,200}(?:allow|authori[sz]ed|permitted|whitelist)|ip_not_authorized",
    ),
    Rule(Fault.REGION_BLOCKED, (403,), r"unsupported_country|country|region\b|territory|location is not supported"),
    Rule(Fault.REGION_BLOCKED, (400,), ABROAD, names=r"unsupported_country"),
    Rule(Fault.AUTH_DEAD, (401,)),
    Rule(
        Fault.AUTH_DEAD, (403,), r"invalid_api_key|api key|account_deactivated|deactivated|suspended|terminated|leaked"
    ),
    Rule(Fault.AUTH_DEAD, (400,), DEAD, names=r"invalid_api_key|account_deactivated"),
    Rule(Fault.MODEL_UNAVAILABLE, (400, 403, 404, 410, 422), names=r"model_not_found|model_not_available"),
    Rule(
        Fault.MODEL_UNAVAILABLE,
        (403, 404, 410),
        r"must be verified|(?:does|do) not have access|no access to model|无权访问",
    ),
    Rule(
        Fault.MODEL_UNAVAILABLE,
        (404, 410, 503),
        r"model .{0,200}(?:does not exist|not found|deprecated|retired|no longer)",
    ),
    Rule(Fault.MODEL_UNAVAILABLE, (400, 422), GONE_MODEL),
    Rule(Fault.MODEL_UNAVAILABLE, (503,), r"no available channel for model"),
    Rule(Fault.MODEL_UNAVAILABLE, (403, 404, 410)),
    Rule(Fault.PROXY_FAILED, (407,)),
    Rule(Fault.DAILY_QUOTA, (429,), r"per[ _-]day|daily|\brpd\b|\bipd\b"),
    *BY_STATUS,
)


VAGUE = Rule(Fault.MODEL_UNAVAILABLE, (403,))
"""A 403 of which nothing is known."""


def judge(status: int, text: str, rules: Sequence[Rule] = RULES) -> Fault:
    """The fault of the first rule that holds; the last rule of a table holds always."""
    return holding(status, text, rules).fault


def holding(status: int, text: str, rules: Sequence[Rule] = RULES, caller: Sequence[str] = ()) -> Rule:
    """The rule itself. ``caller``: what the order says, in the caller's own words. One of them alone takes no key out: whether it
    is quoted or about the key, another order without that word will show."""
    low, said = text.lower(), folded(caller)
    held = [rule for rule in rules if rule.holds(status, low)]
    rule = next(each for each in held if not each.is_echo(status, low, said))
    return VAGUE if status == 403 and rule is not held[0] and rule.fault in OF_KEYS and not rule.pattern else rule


def folded(caller: Sequence[str]) -> str:
    """A caller's words on one line and in lower case: what an upstream says is looked for in them."""
    return " ".join(" ".join(caller).lower().split())


def _found(pattern: str, text: str) -> bool:
    return re.search(pattern, text, re.DOTALL) is not None


def _all(pattern: str, text: str) -> Iterator[re.Match[str]]:
    return re.finditer(pattern, text, re.DOTALL)


def _word(text: str, begin: int, end: int) -> str:
    """What stands there, with the rest of the words that it is a part of; of very long ones, as much as tells."""
    before = re.search(r"[a-z0-9_]*$", text[max(0, begin - LONG) : begin])
    after = re.match(r"[a-z0-9_]*", text[end : end + LONG])
    return (before[0] if before else "") + text[begin:end] + (after[0] if after else "")


def _says(caller: str, word: str) -> bool:
    """Whether one of the caller's words begins so: a quotation may be cut in the middle of one."""
    at = caller.find(word)
    while at > 0 and caller[at - 1] in LETTERS:
        at = caller.find(word, at + 1)
    return at >= 0
