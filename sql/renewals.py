"""Renewals: what comes due around the end of a period, each once, for whoever still needs to hear of it."""

from __future__ import annotations

from uuid import UUID

from limner.runtime.database import Db
from limner.sql import audit, billing, invoices, notices, plans
from limner.sql.invoices import Invoice
from limner.sql.subscriptions import PLAN

LEAD_HOURS = 72
"""So long before the end the invoice for the next cycle is made."""

HOURS_LEFT = "extract(epoch from s.period_end - now()) / 3600"
MILESTONE = f"case when {HOURS_LEFT} <= 24 then 24 when {HOURS_LEFT} <= 72 then 72 else 168 end"
"""Of a subscription ``s``: the last one that was passed. Whoever missed others for a while hears of this one alone."""
NEXT_PLAN = f"coalesce(s.next_plan_id, {PLAN})"
RENEWAL_KEY = "'renewal ' || s.id || ' ' || extract(epoch from s.period_end)"
"""Of the one automatic invoice of a cycle: the schema takes no second one."""
CYCLE_OF = "from invoice as i where i.account_id = s.account_id and i.purpose in ('plan', 'renewal')"
BEING_PAID = f"exists (select {CYCLE_OF} and i.state = 'processing')"
TO_PAY = f"exists (select {CYCLE_OF} and (i.state = 'processing' or i.state = 'pending' and i.expires_at > now()))"
# A payment that was made at the last moment is not known yet: its processor is asked until then.
CHECKED = f"""
exists (select {CYCLE_OF} and (i.state = 'processing'
    or i.state = 'pending' and i.processor_ref is not null and i.expires_at > now() - interval '15 minutes'))
"""

TURN = """
with due as (
    select s.id, s.plan_id from subscription as s
    where s.state = 'active' and s.paused_at is null and s.changes_at <= now() limit 1 for update skip locked
)
update subscription as s set plan_id = s.next_plan_id, next_plan_id = null, changes_at = null
from due where due.id = s.id
returning s.id, (select code from plan where id = due.plan_id) as before, (select code from plan where id = s.plan_id) as after
"""


async def turn(db: Db) -> bool:
    """Write down one change of plan whose time has come; by the clock it has come before. False when there is none."""
    async with db.transaction() as tx:
        row = await tx.fetchrow(TURN)
        if row is None:
            return False
        was, now = {"plan": row["before"]}, {"plan": row["after"]}
        await audit.record(tx, "steward", "subscription.plan", str(row["id"]), was, now)
        return True


END = f"""
with over as (
    select s.id, s.state, {CHECKED} as is_checked from subscription as s
    where s.state in ('active', 'past_due') and s.paused_at is null and s.period_end <= now()
        and (s.state = 'active' or not {CHECKED})
    order by s.period_end limit 1 for update of s skip locked
)
update subscription as s set state = case
    when over.is_checked then 'past_due' when s.canceled_at is not null then 'canceled' else 'expired' end
from over, account as a where over.id = s.id and a.id = s.account_id
returning s.id, over.state as before, s.state, s.period_end, s.plan_id, a.email, a.locale, a.banned_at is null as is_welcome
"""


async def end(db: Db) -> bool:
    """Close one subscription whose period is over, or whose last payment came to nothing. False when there is none.

    While a payment is under way it is past due: still without access, but what is left of its credits is kept for it.
    The mail goes out when it is over for good.
    """
    async with db.transaction() as tx:
        row = await tx.fetchrow(END)
        if row is None:
            return False
        was, now = {"state": row["before"]}, {"state": row["state"]}
        await audit.record(tx, "steward", f"subscription.{row['state']}", str(row["id"]), was, now)
        if row["state"] != "past_due" and row["is_welcome"]:
            plan, ended_at = await plans.get(tx, row["plan_id"]), row["period_end"].isoformat()
            about = {"plan": plan.name, "ended_at": ended_at, "path": "/plans"}
            key = f"ended {row['id']} {ended_at}"
            await notices.mail(tx, row["email"], "period_ended", locale=row["locale"], details=about, dedupe_key=key)
        return True


# Whether it was done is asked of the locked row itself: Postgres reads that one afresh, and others as they were before the lock.
TO_INVOICE = f"""
select s.id, s.account_id, a.email, a.locale, s.period_end, {NEXT_PLAN} as plan_id, {RENEWAL_KEY} as key,
    (select i.processor from invoice as i where i.account_id = s.account_id and i.state = 'paid'
        order by i.paid_at desc limit 1) as processor
from subscription as s join account as a on a.id = s.account_id join plan as p on p.id = {NEXT_PLAN}
where s.state = 'active' and s.paused_at is null and s.canceled_at is null and a.banned_at is null and p.active
    and s.period_end > now() and s.period_end <= now() + make_interval(hours => $1)
    and not {TO_PAY}
    and s.invoiced_end is distinct from s.period_end
order by s.period_end limit 1 for update of s skip locked
"""
INVOICED = f"""
update subscription as s set invoiced_end = s.period_end, reminded_end = s.period_end, reminded_hours = {MILESTONE}
where s.id = $1
"""


async def invoice_next(db: Db, ways: tuple[str, ...]) -> bool:
    """Make one automatic invoice for a next cycle and tell of it. ``ways``: the processors. False when there is none to make.

    Not for whoever has canceled, is paying already, or has a plan that is not sold any more.
    """
    if not ways:
        return False
    async with db.transaction() as tx:
        row = await tx.fetchrow(TO_INVOICE, LEAD_HOURS)
        if row is None:
            return False
        plan = await plans.get(tx, row["plan_id"])
        way = row["processor"] if row["processor"] in ways else ways[0]
        invoice = await invoices.make(
            tx, row["account_id"], plan, way, purpose="renewal", key=row["key"], until=row["period_end"]
        )
        await billing.make_payable(tx, invoice)
        await audit.record(tx, "steward", "invoice.renewal", str(invoice.id), None, {"subscription": str(row["id"])})
        await tx.execute(INVOICED, row["id"])
        about = {
            "plan": plan.name, "amount_cents": invoice.amount_cents, "currency": invoice.currency,
            "ends_at": row["period_end"].isoformat(), "path": f"/invoices/{invoice.id}",
        }  # fmt: skip
        await notices.mail(
            tx, row["email"], "renewal_invoice", locale=row["locale"], details=about, dedupe_key=row["key"]
        )
        return True


TO_REMIND = f"""
select s.id, s.account_id, a.email, a.locale, s.period_end, {MILESTONE} as hours, {PLAN} as plan_id,
    ceil({HOURS_LEFT} / 24)::int as days, (
        select i.id from invoice as i where i.account_id = s.account_id and i.purpose = 'renewal' and i.state = 'pending'
            and i.plan_id = {NEXT_PLAN} and i.expires_at > now() order by i.created_at desc limit 1
    ) as invoice_id
from subscription as s join account as a on a.id = s.account_id
where s.state = 'active' and s.paused_at is null and a.banned_at is null
    and s.period_end > now() and s.period_end <= now() + interval '7 days'
    and (s.reminded_end is distinct from s.period_end or s.reminded_hours > {MILESTONE})
    and not {BEING_PAID}
order by s.period_end limit 1 for update of s skip locked
"""
REMINDED = f"update subscription as s set reminded_end = s.period_end, reminded_hours = {MILESTONE} where s.id = $1"


async def remind(db: Db) -> bool:
    """Tell one person that the period ends soon: what is true now, once for each milestone. False when nobody is to be told."""
    async with db.transaction() as tx:
        row = await tx.fetchrow(TO_REMIND)
        if row is None:
            return False
        await tx.execute(REMINDED, row["id"])
        plan, ends_at = await plans.get(tx, row["plan_id"]), row["period_end"].isoformat()
        about = {"plan": plan.name, "days": row["days"], "ends_at": ends_at, "path": _way(row["invoice_id"])}
        key = f"ends {row['id']} {ends_at} {row['hours']}"
        await notices.mail(tx, row["email"], "period_ends_soon", locale=row["locale"], details=about, dedupe_key=key)
        return True


def _way(invoice_id: UUID | None) -> str:
    return f"/invoices/{invoice_id}" if invoice_id else "/account/subscription"


RENEWAL = f"""
select {invoices.COLUMNS} from invoice as i where account_id = $1 and purpose = 'renewal'
    and (state = 'processing' or state = 'pending' and expires_at > now()) order by created_at desc limit 1
"""


async def waiting(db: Db, account_id: UUID) -> Invoice | None:
    """The automatic invoice that can be paid, if there is one."""
    row = await db.fetchrow(RENEWAL, account_id)
    return None if row is None else await invoices.get(db, row["id"])
