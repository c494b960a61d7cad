"""Subscriptions: who has which plan, and until when. Access ends exactly at the end of the period."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING, Any
from uuid import UUID

from limner.runtime.database import Db
from limner.runtime.errors import NotFound, Refused
from limner.sql import ledger, plans
from limner.sql.periods import Period
from limner.sql.plans import Plan

if TYPE_CHECKING:
    from limner.sql.invoices import Invoice


class NoSubscription(Refused):
    """Painting needs a plan."""

    status = 402

    def __init__(self, words: str = "Painting needs a plan. Choose one, and you can begin at once.") -> None:
        super().__init__(words, code="no_subscription")


ENDED = "Your plan has ended. Renew it, and you can go on at once."
UNPAID = "Your plan begins as soon as its invoice is paid."
PAUSED = "Your plan is paused. The days that are left of it are kept; whoever runs this place lets it go on."

# A pause stops the clock of a subscription: what counts then is when the pause began.
CLOCK = "coalesce(s.paused_at, now())"
RUNS = f"s.state = 'active' and s.period_end > {CLOCK}"
"""Of a subscription ``s``: what is paid is not over, though it may be paused."""
IS_OPEN = "s.state = 'active' and s.paused_at is null and s.period_end > now()"
"""Of a subscription ``s``: its owner may order right now."""
PLAN = f"case when s.changes_at <= {CLOCK} then s.next_plan_id else s.plan_id end"
"""Of a subscription ``s``: the plan of this very moment, whether or not the steward has been there."""
LIVES = "s.state in ('pending_activation', 'active', 'past_due')"


@dataclass(frozen=True)
class Subscription:
    """``next_plan``: another one that comes at ``changes_at``, or with the next cycle that is paid."""

    id: UUID
    account_id: UUID
    state: str
    plan: Plan
    anchored_at: datetime | None
    cycles: int
    period_start: datetime | None
    period_end: datetime | None
    cycle_credits: int
    paused_at: datetime | None
    canceled_at: datetime | None
    next_plan: Plan | None
    changes_at: datetime | None
    runs: bool
    is_open: bool
    days_left: int | None
    now: datetime

    @property
    def period(self) -> Period:
        """Only of one that was paid."""
        assert self.period_start is not None and self.period_end is not None and self.anchored_at is not None  # noqa: PT018
        return Period(self.period_start, self.period_end, self.anchored_at, self.cycles)

    @property
    def renews_as(self) -> Plan:
        """The plan of the next cycle that is paid."""
        return self.next_plan or self.plan


COLUMNS = f"""
s.id, s.account_id, s.state, {PLAN} as plan_id, s.anchored_at, s.cycles, s.period_start, s.period_end, s.cycle_credits,
s.paused_at, s.canceled_at, case when s.changes_at <= {CLOCK} then null else s.next_plan_id end as next_plan_id,
case when s.changes_at <= {CLOCK} then null else s.changes_at end as changes_at, {RUNS} as runs, {IS_OPEN} as is_open,
ceil(extract(epoch from s.period_end - {CLOCK}) / 86400)::int as days_left, now() as now
"""
ALIVE = f"select {COLUMNS} from subscription as s where s.account_id = $1 and {LIVES}"


async def alive(db: Db, account_id: UUID) -> Subscription | None:
    """The subscription that is not over, with its plan."""
    return await read(db, await db.fetchrow(ALIVE, account_id))


LATEST = f"select {COLUMNS} from subscription as s where s.account_id = $1 order by s.created_at desc limit 1"


async def latest(db: Db, account_id: UUID) -> Subscription | None:
    """The last one that somebody had, over or not."""
    return await read(db, await db.fetchrow(LATEST, account_id))


async def open_one(db: Db, account_id: UUID) -> Subscription:
    """The subscription that lets somebody paint right now. Raises NoSubscription."""
    found = await alive(db, account_id)
    if found is None:
        raise NoSubscription
    if not found.is_open:
        raise NoSubscription(PAUSED if found.paused_at else ENDED)
    return found


PREPARE = """
insert into subscription (account_id, plan_id) values ($1, $2)
on conflict (account_id) where state in ('pending_activation', 'active', 'past_due') do update set
    plan_id = case when subscription.state = 'pending_activation' then excluded.plan_id else subscription.plan_id end
returning id
"""


async def prepare(db: Db, account_id: UUID, plan_id: int) -> UUID:
    """The subscription that a payment will activate or extend; it is locked until the transaction ends."""
    return await db.fetchval(PREPARE, account_id, plan_id)  # type: ignore[no-any-return]


GET = f"select {COLUMNS} from subscription as s where s.id = $1"


async def get(db: Db, subscription_id: UUID) -> Subscription:
    """Raises NotFound."""
    found = await read(db, await db.fetchrow(GET, subscription_id))
    if found is None:
        raise NotFound("There is no such subscription.")
    return found


LOCKED = f"{ALIVE} for update"


async def locked(db: Db, account_id: UUID) -> Subscription | None:
    """The one that is not over; nobody else changes it until the transaction ends."""
    return await read(db, await db.fetchrow(LOCKED, account_id))


KEEP = """
update subscription set state = 'active', period_start = $2, period_end = $3, anchored_at = $4, cycles = $5, plan_id = $6,
    next_plan_id = $7, changes_at = $8, cycle_credits = $9, canceled_at = case when $10 then null else canceled_at end
where id = $1
"""
BOUGHT = "update invoice set subscription_id = $2, details = details || $3 where id = $1"


async def paid(tx: Db, invoice: Invoice) -> dict[str, Any]:
    """What a paid invoice does to its owner's plan and credits. Returns from when until when it counts, for the audit.

    A cycle more begins where the old end is; without one, now. A change to another plan counts from now to the end.
    """
    held = await read(tx, await tx.fetchrow(GET, await prepare(tx, invoice.account_id, invoice.plan.id)))
    assert held is not None
    course = changed(held, invoice) if invoice.purpose == "change" else bought(held, invoice)
    if not held.runs and not _was_under_way(held, invoice):
        await ledger.reset(tx, invoice.account_id, "what was left of the last period")
    await ledger.grant(tx, invoice.account_id, invoice.credits, f"Plan {invoice.plan.name}", invoice_id=invoice.id)
    await _keep(tx, held, course, goes_on=invoice.purpose != "change")
    period = course.period
    counts = {"from": course.since.isoformat(), "until": period.end.isoformat()}
    await tx.execute(BOUGHT, invoice.id, held.id, counts)
    return counts


# A change that is paid for comes when the plan before it has had its days.
MOVE = """
update subscription set period_end = $2, anchored_at = $3, cycles = $4, changes_at = changes_at + $5,
    paused_at = case when $6 then paused_at end
where id = $1
"""


async def move(tx: Db, held: Subscription, by: timedelta, *, keeps_pause: bool) -> datetime:
    """The end of one that is locked and runs comes later. Returns it."""
    period = held.period.moved(by)
    await tx.execute(MOVE, held.id, period.end, period.anchor, period.cycles, by, keeps_pause)
    return period.end


# A month that is paid meanwhile begins when the days are over.
BEGIN_DAYS = """
update subscription set state = 'active', plan_id = $2, period_start = now(), cycles = 0, cycle_credits = $4,
    period_end = now() + make_interval(hours => 24 * $3), anchored_at = now() + make_interval(hours => 24 * $3)
where id = $1 returning period_end
"""


async def begin_days(db: Db, account_id: UUID, plan_id: int, days: int, credits: int) -> datetime:
    """A period of some days for somebody who has none. Returns its end."""
    subscription_id = await prepare(db, account_id, plan_id)
    return await db.fetchval(BEGIN_DAYS, subscription_id, plan_id, days, credits)  # type: ignore[no-any-return]


async def given(tx: Db, account_id: UUID, plan: Plan, credits: int) -> datetime:
    """One cycle that nobody paid for here; the credits are the caller's to grant. Returns until when."""
    held = await read(tx, await tx.fetchrow(GET, await prepare(tx, account_id, plan.id)))
    assert held is not None
    if not held.runs:
        await ledger.reset(tx, account_id, "what was left of the last period")
    course = one_more(held, plan, credits)
    await _keep(tx, held, course, goes_on=True)
    return course.period.end


async def _keep(tx: Db, held: Subscription, course: Course, *, goes_on: bool) -> None:
    period, next_id = course.period, course.next_plan.id if course.next_plan else None
    await tx.execute(
        KEEP, held.id, period.start, period.end, period.anchor, period.cycles, course.plan.id, next_id, course.changes_at,
        course.credits, goes_on,
    )  # fmt: skip


@dataclass(frozen=True)
class Course:
    """How a subscription goes on: ``since`` when the new part of its period counts, and which plan follows when."""

    period: Period
    since: datetime
    plan: Plan
    next_plan: Plan | None
    changes_at: datetime | None
    credits: int


def bought(held: Subscription, invoice: Invoice) -> Course:
    """One cycle of the invoice's plan."""
    return one_more(held, invoice.plan, invoice.credits)


def one_more(held: Subscription, plan: Plan, credits: int) -> Course:
    """One cycle of a plan from the old end, or from now. What costs nothing gives way at once."""
    if not held.runs:
        return Course(Period.begun(held.now), held.now, plan, None, None, credits)
    end, following, changes_at = held.period.end, held.next_plan, held.changes_at
    if held.plan.price_cents == 0 and following is None:
        return Course(held.period.longer(), end, plan, None, None, credits)
    if changes_at is not None and following is not None:  # two cycles of different plans ahead: the dearer one for both
        following = dearer(following, plan)
    elif plan.id != held.plan.id:
        following, changes_at = plan, end
    return Course(held.period.longer(), end, held.plan, following, changes_at, credits)


def changed(held: Subscription, invoice: Invoice) -> Course:
    """The invoice's plan for the rest of the period that was asked about; if that is over, for as long as the money goes."""
    if not held.runs:
        share = Fraction(invoice.amount_cents + invoice.discount_cents, max(1, invoice.plan.price_cents))
        return Course(Period.share(held.now, share), held.now, invoice.plan, None, None, invoice.credits)
    plan, following, changes_at = dearer(held.plan, invoice.plan), held.next_plan, held.changes_at
    if changes_at is None:
        # What was paid for the old plan since then stays of the old plan; a wish for another one is overtaken.
        until = datetime.fromisoformat(invoice.details["until"])
        if until <= held.now:
            until = held.now + (until - invoice.created_at)
        is_longer = held.period.end > until and plan.id != held.plan.id
        following, changes_at = (held.plan, until) if is_longer else (None, None)
    return Course(held.period, held.now, plan, following, changes_at, held.cycle_credits + invoice.credits)


def dearer(one: Plan, other: Plan) -> Plan:
    return other if other.price_cents > one.price_cents else one


def _was_under_way(held: Subscription, invoice: Invoice) -> bool:
    """Whoever began to pay before the end keeps what was left, however long the confirmation took."""
    return held.state in ("active", "past_due") and held.period_end is not None and invoice.created_at < held.period_end


async def read(db: Db, row: object) -> Subscription | None:
    """From a row of COLUMNS."""
    if row is None:
        return None
    fields = dict(row)  # type: ignore[call-overload]
    next_id = fields.pop("next_plan_id")
    next_plan = await plans.get(db, next_id) if next_id else None
    return Subscription(plan=await plans.get(db, fields.pop("plan_id")), next_plan=next_plan, **fields)
