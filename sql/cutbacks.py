"""Cutbacks: a month that is paid back in full is not had. What was to come of it goes, and comes again if the money cannot."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import floor
from typing import TYPE_CHECKING
from uuid import UUID

from limner.runtime.database import Db
from limner.sql import subscriptions
from limner.sql.periods import Period, months_after
from limner.sql.subscriptions import Subscription

if TYPE_CHECKING:
    from limner.sql.invoices import Invoice

OF_INVOICE = "select subscription_id from invoice where id = $1"
# A pause of what is over is over, too: else the steward would never close it.
CUT = """
update subscription set period_end = $2, anchored_at = $3, cycles = $4, changes_at = changes_at - $5::interval,
    paused_at = case when $6 then null else paused_at end
where id = $1
"""


@dataclass(frozen=True)
class Cutback:
    """The end came sooner by this. ``is_over``: there is no access any more."""

    by: timedelta
    is_over: bool


async def cut(tx: Db, invoice: Invoice) -> Cutback | None:
    """Take the invoice's month out of its subscription; None when it is over, or was not for a month.

    A month that runs ends now, and months that are paid ahead begin now; one that is still to come is taken from the end.
    """
    held = await subscriptions.locked(tx, invoice.account_id)
    if invoice.purpose not in ("plan", "renewal") or held is None or not held.runs or "until" not in invoice.details:
        return None
    clock = held.paused_at or held.now
    since, until = (datetime.fromisoformat(str(invoice.details[name])) for name in ("from", "until"))
    if until <= clock or await tx.fetchval(OF_INVOICE, invoice.id) != held.id:
        return None
    period = shorter(held, clock, is_running=since <= clock)
    is_over = period.end <= clock
    by = held.period.end - period.end
    await tx.execute(CUT, held.id, period.end, period.anchor, period.cycles, by, is_over)
    return Cutback(by, is_over)


def shorter(held: Subscription, clock: datetime, *, is_running: bool) -> Period:
    """The period without one of its months: the one that runs, or the last one."""
    period = held.period
    if not is_running:
        end = max(clock, months_after(period.anchor, period.cycles - 1))
        return Period(period.start, end, end, 0)
    ahead = floor(period.left(clock))
    earliest = period.start + timedelta(microseconds=1)
    if not ahead:
        end = max(earliest, clock)
        return Period(period.start, end, end, 0)
    return Period(period.start, max(earliest, months_after(clock, ahead)), clock, ahead)


# Those days begin now, should all have been over. Whoever has another plan by then keeps that.
RESTORE = """
update subscription as s set state = 'active', period_end = greatest(s.period_end, now()) + $2::interval,
    anchored_at = greatest(s.period_end, now()) + $2::interval, cycles = 0
where s.id = (select subscription_id from invoice where id = $1) and s.state in ('active', 'past_due', 'expired', 'canceled')
    and not exists (
        select from subscription as o where o.account_id = s.account_id and o.id <> s.id
            and o.state in ('pending_activation', 'active', 'past_due')
    )
"""


async def undo(tx: Db, invoice_id: UUID, by: timedelta) -> None:
    """The money could not go back: what was taken off comes again."""
    await tx.execute(RESTORE, invoice_id, by)
