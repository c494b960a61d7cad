"""Changes: what somebody decides about their own subscription: another plan, to end it, or to go on after all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from limner.runtime.database import Db
from limner.runtime.errors import Refused
from limner.sql import audit, billing, invoices, periods, subscriptions
from limner.sql.invoices import Invoice
from limner.sql.plans import Plan
from limner.sql.subscriptions import NoSubscription, Subscription


class CannotChange(Refused):
    """The subscription cannot go there from where it is."""

    status = 409


@dataclass(frozen=True)
class Offer:
    """What a plan is to somebody. ``kind``: mine, next, up (for so many cents and credits now), down, or wait."""

    kind: str
    cents: int = 0
    credits: int = 0


def offer(held: Subscription, plan: Plan) -> Offer:
    """How one gets from the plan that runs to this one.

    Up costs the difference for what is left of the period, and brings that share of the difference in credits, but one at
    least. "wait": what is left is worth less than a cent, or a change is paid for already.
    """
    if plan.id == held.plan.id:
        return Offer("mine")
    if held.next_plan and plan.id == held.next_plan.id:
        return Offer("next")
    is_up = plan.price_cents > held.plan.price_cents and plan.price_currency == held.plan.price_currency
    if held.changes_at is not None:
        return Offer("wait")
    if not is_up:
        return Offer("down")
    left = held.period.left(held.paused_at or held.now)
    cents = periods.part(plan.price_cents - held.plan.price_cents, left)
    credits = periods.part(plan.credits_per_cycle - held.plan.credits_per_cycle, left)
    return Offer("up", cents, max(1, credits)) if cents else Offer("wait")


OPEN_CHANGE = f"""
select {invoices.COLUMNS} from invoice
where account_id = $1 and purpose = 'change' and state in ('pending', 'processing') and expires_at > now() limit 1
"""


async def begin(
    db: Db, account_id: UUID, plan: Plan, ways: Sequence[str], *, actor: str, ip: str = ""
) -> Invoice | None:
    """Up: the invoice for it; the plan changes when it is paid. Down, or back to the same one: written down, None.

    ``ways``: the processors, the first one that takes so much takes the payment. Raises NoSubscription, CannotChange.
    """
    async with db.transaction() as tx:
        held = await _running(tx, account_id)
        found = offer(held, plan)
        if found.kind == "wait":
            raise CannotChange(_why_wait(held))
        if found.kind == "up":
            return await _invoiced(tx, held, plan, found, ways)
        if found.kind != "next":
            await follow(tx, held, None if found.kind == "mine" else plan, actor=actor, ip=ip)
        return None


async def _invoiced(tx: Db, held: Subscription, plan: Plan, found: Offer, ways: Sequence[str]) -> Invoice:
    """An open one for the same plan is used again; one for another plan is to be paid, or to run out, first."""
    if held.paused_at:
        raise CannotChange(subscriptions.PAUSED)
    if not ways:
        raise CannotChange("No way to pay is set up here yet. Please write to the people who run this place.")
    row = await tx.fetchrow(OPEN_CHANGE, held.account_id)
    if row is not None and row["plan_id"] != plan.id:
        raise CannotChange("There is an open invoice for a change to another plan. Pay it, or let it run out first.")
    if row is not None:
        return await invoices.get(tx, row["id"])
    way = next((way for way in ways if billing.takes(way, found.cents, plan.price_currency)), None)
    if way is None:
        raise CannotChange("The difference is too small for any way to pay: the change can come with the next month.")
    about = {"from_plan_id": held.plan.id, "until": held.period.end.isoformat()}
    invoice = await invoices.make(
        tx, held.account_id, plan, way, purpose="change", price=(found.cents, found.credits), details=about
    )
    await billing.make_payable(tx, invoice)
    return invoice


# Whoever chooses a plan for the next cycle goes on.
FOLLOW = """
update subscription set next_plan_id = $2, canceled_at = case when $2::bigint is null then canceled_at end
where id = $1 and changes_at is null
returning id
"""


async def follow(tx: Db, held: Subscription, plan: Plan | None, *, actor: str, ip: str = "") -> None:
    """The plan of the next cycle that is paid; None: the same as now. Raises CannotChange when it is paid for already."""
    if held.changes_at is not None:
        raise CannotChange(_why_wait(held))
    before, after = held.renews_as, plan or held.plan
    if before.id == after.id:
        return
    await tx.fetchval(FOLLOW, held.id, plan.id if plan else None)
    await audit.record(
        tx, actor, "subscription.follow", str(held.id), {"plan": before.code}, {"plan": after.code}, ip=ip
    )


CANCEL = """
update subscription set canceled_at = now(), next_plan_id = case when changes_at is not null then next_plan_id end
where id = $1
"""
TAKE_BACK = "update subscription set canceled_at = null where id = $1"


async def cancel(db: Db, account_id: UUID, *, actor: str, reason: str = "", ip: str = "") -> None:
    """What is paid stays until its end; nothing comes after it by itself. Raises NoSubscription."""
    async with db.transaction() as tx:
        held = await _running(tx, account_id)
        if held.canceled_at is None:
            await tx.execute(CANCEL, held.id)
            after = {"ends_at": held.period.end.isoformat(), "reason": reason}
            await audit.record(tx, actor, "subscription.cancel", str(held.id), None, after, ip=ip)


async def take_back(db: Db, account_id: UUID, *, actor: str, ip: str = "") -> None:
    """It goes on after all. Raises NoSubscription."""
    async with db.transaction() as tx:
        held = await _running(tx, account_id)
        if held.canceled_at is not None:
            await tx.execute(TAKE_BACK, held.id)
            await audit.record(tx, actor, "subscription.take_back", str(held.id), None, None, ip=ip)


async def _running(tx: Db, account_id: UUID) -> Subscription:
    held = await subscriptions.locked(tx, account_id)
    if held is None:
        raise NoSubscription
    if not held.runs:
        raise NoSubscription(subscriptions.ENDED if held.period_end else subscriptions.UNPAID)
    return held


def _why_wait(held: Subscription) -> str:
    if held.changes_at is not None and held.next_plan is not None:
        return f"{held.next_plan.name} is paid for already and begins on {held.changes_at:%d %b %Y}. Choose again after that."
    return "The period is as good as over: choose the plan for the next one instead."
