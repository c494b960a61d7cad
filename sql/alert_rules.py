"""The alert rules: what counts as a trouble, how bad it is, and for how long it must last; edited in the admin."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal, get_args

from limner.runtime.database import Db
from limner.runtime.errors import NotFound, Refused
from limner.sql import audit

Severity = Literal["urgent", "normal"]


@dataclass(frozen=True)
class Kind:
    """What a rule is about. ``unit``: of begins and ends; empty: there is nothing to set. ``falls``: less is worse.

    ``most``: of begins and ends. ``cases``: what ``least`` counts. ``page``: its runbook in docs/how-to/alerts.
    ``is_money``: it tells of sums, payments or the books, which an operator of the bot does not see.
    ``by_mail``: it goes by mail as well, at once, since it is about the way by which the others are told.
    """

    title: str
    page: str
    unit: str = ""
    most: float = 0
    falls: bool = False
    ends: bool = False
    cases: str = ""
    windowed: bool = False
    is_money: bool = False
    by_mail: bool = False


KINDS: Mapping[str, Kind] = {
    "no_worker": Kind("No worker is alive", "no-worker", "seconds without a sign of life", 3600),
    "no_web": Kind("No web is alive", "no-web", "seconds without a sign of life", 3600),
    "no_bot": Kind("No bot is alive", "no-bot", "seconds without a sign of life", 3600, by_mail=True),
    "bot_deaf": Kind("The bot hears nothing", "bot-deaf", by_mail=True),
    "queue_waits": Kind("Pictures wait", "pictures-wait", "seconds that the oldest has waited", 86400, ends=True),
    "failure_rate": Kind(
        "Attempts fail", "failure-rate", "percent that fail in one way", 100, ends=True, cases="failures", windowed=True
    ),
    "model_cooled": Kind("No key can paint a model", "model-rests", "seconds until the first key is back", 86400),
    "balance_low": Kind(
        "An account runs low", "funds-low", "days that it lasts", 365, falls=True, ends=True, is_money=True
    ),
    "key_lost": Kind("A key fell out", "keys-need-a-look"),
    "proxy_dead": Kind("A proxy is dead", "proxy-dead", "failures in a row", 1000),
    "webhook_silence": Kind(
        "No webhooks come", "webhook-silence", cases="payments in a row", windowed=True, is_money=True
    ),
    "unpaid_received": Kind("Received, but not paid", "unpaid-received", is_money=True),
    "payment_to_decide": Kind("A payment to decide about", "payment-to-decide", is_money=True),
    "ledger_wrong": Kind("The books do not add up", "ledger-wrong", is_money=True),
    "audit_broken": Kind("The audit was tampered with", "audit-broken"),
    "disk_full": Kind("The disk is nearly full", "disk-full", "percent that are free", 100, falls=True, ends=True),
    "backup_old": Kind("No good backup", "backup-old", "hours since the last good one", 8760),
    "drill_old": Kind("No proved backup", "drill-old", "days since the last good drill", 365),
    "certificate": Kind("The certificate ends", "certificate-ends", "days left", 365, falls=True, ends=True),
    "clock_off": Kind("A clock is off", "clock-off", "seconds", 3600, ends=True),
    "schema_pending": Kind("The schema is behind", "schema-pending"),
    "bot_conflict": Kind("Somebody else polls", "bot-conflict"),
    "model_retiring": Kind("A model retires", "model-retires", "days until then", 365, falls=True),
    "mails_wait": Kind("Mails wait", "mails-wait", "minutes that the oldest has waited", 10_000),
    "mails_refused": Kind("Mails are refused", "mails-refused", cases="refused within a day"),
}
"""By the code of the rule, in the order in which they are shown."""
LONGEST = 7 * 86400
"""Seconds: for how long a rule may wait, and how far back it may count."""


def is_money(code: str) -> bool:
    """Whether an alert of this rule is for those alone who see money; so is one of a rule that this release does not know."""
    return code not in KINDS or KINDS[code].is_money


@dataclass(frozen=True)
class Rule:
    """As the table has it. What does not apply to its kind is None."""

    code: str
    is_on: bool
    severity: Severity
    begins: float | None
    ends: float | None
    least: int | None
    within_seconds: int | None
    after_seconds: int
    calm_seconds: int
    again_hours: int | None
    changed_at: datetime | None

    @property
    def kind(self) -> Kind:
        return KINDS[self.code]

    def bound(self, *, is_open: bool = False) -> float:
        """Where the trouble begins, or, once it is there, where it ends."""
        chosen = self.ends if is_open and self.ends is not None else self.begins
        assert chosen is not None, self.code
        return chosen

    def is_bad(self, value: float, *, is_open: bool) -> bool:
        bound = self.bound(is_open=is_open)
        return value < bound if self.kind.falls else value > bound

    def fewest(self) -> int:
        assert self.least is not None, self.code
        return self.least

    def window(self) -> int:
        assert self.within_seconds is not None, self.code
        return self.within_seconds


COLUMNS = (
    "code, is_on, severity, begins, ends, least, within_seconds, after_seconds, calm_seconds, again_hours, changed_at"
)
LIST = f"select {COLUMNS} from alert_rule"


async def listing(db: Db) -> dict[str, Rule]:
    """All that this release knows, by code, in the order of KINDS."""
    found = {row["code"]: Rule(**row) for row in await db.fetch(LIST)}
    return {code: found[code] for code in KINDS}


FIND = f"select {COLUMNS} from alert_rule where code = $1"


async def get(db: Db, code: str) -> Rule:
    """Raises NotFound."""
    row = await db.fetchrow(FIND, code)
    if row is None or code not in KINDS:
        raise NotFound
    return Rule(**row)


CHANGE = """
update alert_rule set is_on = $2, severity = $3, begins = $4, ends = $5, least = $6, within_seconds = $7,
    after_seconds = $8, calm_seconds = $9, again_hours = $10, changed_at = now()
where code = $1
"""


async def change(db: Db, wanted: Rule, reason: str, *, actor: str, ip: str = "") -> None:
    """Have it so from the next look on. Raises Refused that names the field, and NotFound."""
    check(wanted)
    async with db.transaction() as tx:
        before = _said(await get(tx, wanted.code))
        terms = (wanted.begins, wanted.ends, wanted.least, wanted.within_seconds)
        times = (wanted.after_seconds, wanted.calm_seconds, wanted.again_hours)
        await tx.execute(CHANGE, wanted.code, wanted.is_on, wanted.severity, *terms, *times)
        after = _said(wanted) | {"reason": reason}
        await audit.record(tx, actor, "alert_rule.change", wanted.code, before, after, ip=ip)


def _said(rule: Rule) -> dict[str, object]:
    return {name: value for name, value in asdict(rule).items() if name not in ("code", "changed_at")}


def check(rule: Rule) -> None:
    """Raises Refused that names the field and the value."""
    kind = rule.kind
    if rule.severity not in get_args(Severity):
        raise Refused(f"A rule is urgent or normal, not {rule.severity!r}.", field="severity")
    _within("begins", "The threshold", rule.begins, kind.most, bool(kind.unit))
    _within("ends", "The end", rule.ends, kind.most, kind.ends)
    if rule.begins is not None and rule.ends is not None:
        _better_side(rule, rule.begins, rule.ends)
    _whole("least", "The number of cases", rule.least, 1, 10_000, bool(kind.cases))
    _whole("within_seconds", "The window", rule.within_seconds, 60, LONGEST, kind.windowed)
    _whole("after_seconds", "The wait", rule.after_seconds, 0, LONGEST, True)
    _whole("calm_seconds", "The calm", rule.calm_seconds, 0, LONGEST, True)
    if rule.again_hours is not None:
        _whole("again_hours", "The reminder", rule.again_hours, 1, 168, True)


def _better_side(rule: Rule, begins: float, ends: float) -> None:
    if (ends < begins) if rule.kind.falls else (ends > begins):
        side = "at least" if rule.kind.falls else "at most"
        raise Refused(f"It ends at {side} what it begins with, {begins:g}, not {ends:g}.", field="ends")


def _within(field: str, label: str, value: float | None, most: float, applies: bool) -> None:
    if not applies:
        if value is not None:
            raise Refused(f"{label} is nothing that this rule has.", field=field)
        return
    if value is None or not math.isfinite(value) or not 0 <= value <= most:
        shown = "nothing" if value is None else f"{value:g}"
        raise Refused(f"{label} is a number from 0 to {most:g}, not {shown}.", field=field)


def _whole(field: str, label: str, value: int | None, least: int, most: int, applies: bool) -> None:
    if not applies:
        if value is not None:
            raise Refused(f"{label} is nothing that this rule has.", field=field)
        return
    if value is None or not least <= value <= most:
        raise Refused(f"{label} is a whole number from {least} to {most}, not {value}.", field=field)
