"""Doubts: money about whose being ours somebody has to decide. It is no revenue until it holds, and is shown apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from limner.runtime.database import Db, Transaction

if TYPE_CHECKING:
    from limner.sql.invoices import Invoice

TROUBLES = ("doubted", "unbacked", "mismatch")
"""Of a paid invoice: its processor does not, or not any more, stand by what was credited."""

# What went back is taken off already. The invoice is locked: no refund of it is sent meanwhile.
TAKE_OUT = """
insert into payment_doubt (invoice_id, cents)
select i.id, i.amount_cents from invoice as i where i.id = $1 and i.state = 'paid' and i.amount_cents > 0 and not exists (
    select from refund as r
    where r.invoice_id = i.id and r.kind = 'whole' and r.state = 'sent' and r.ended_at >= i.paid_at
)
on conflict (invoice_id) where until is null do nothing
"""


async def take_out(tx: Db, invoice_id: UUID) -> None:
    """From now on the money of this paid invoice, which is locked, is no revenue. Any number of times."""
    await tx.execute(TAKE_OUT, invoice_id)


PUT_BACK = "update payment_doubt set until = now() where invoice_id = $1 and until is null returning invoice_id"


async def put_back(db: Db, invoice_id: UUID) -> bool:
    """It holds, or went back: whatever it is counts by itself again. False when there was no doubt."""
    return await db.fetchval(PUT_BACK, invoice_id) is not None


STEADY = "select 1 from invoice where id = $1 for share"


async def steady(tx: Transaction, invoice_id: UUID) -> None:
    """Whether this payment is in doubt stays as it is until the transaction ends: whoever doubts it, or decides, waits."""
    await tx.execute(STEADY, invoice_id)


IS_OPEN = "select exists (select from payment_doubt where invoice_id = $1 and until is null)"


async def is_open(db: Db, invoice_id: UUID) -> bool:
    return bool(await db.fetchval(IS_OPEN, invoice_id))


BESIDES = " Besides, this is still to be decided: "


async def beside(tx: Db, invoice: Invoice, trouble: str, words: str) -> tuple[str, str]:
    """What this invoice, which is locked, is troubled by from now on: a doubt that nobody has decided stays, in words of both."""
    if trouble in TROUBLES or invoice.trouble not in TROUBLES or not await is_open(tx, invoice.id):
        return trouble, words
    return invoice.trouble, words + BESIDES + alone(invoice.trouble_words)


def alone(words: str) -> str:
    """The words of a doubt, without those of what came up beside it."""
    return words.rpartition(BESIDES)[2]


@dataclass(frozen=True)
class Doubtful:
    """What is in doubt at this moment, in one currency."""

    currency: str
    cents: int
    payments: int


# What came for an invoice that is not paid was never revenue, and what of it goes back is not in doubt. Once somebody has
# decided, it is not in doubt any more: what was neither held nor given back is lost.
NOW = """
select currency, sum(cents)::bigint as cents, count(*)::int as payments
from (
    select i.currency, i.plan_id, d.cents from payment_doubt as d join invoice as i on i.id = d.invoice_id
    where d.until is null and i.trouble <> ''
    union all
    select i.currency, i.plan_id, i.received_cents - back.cents from invoice as i, lateral (
        select coalesce(sum(r.amount_cents), 0) as cents from refund as r where r.invoice_id = i.id and r.state <> 'failed'
    ) as back
    where i.trouble in ('partial', 'mismatch', 'refund') and i.trouble <> '' and i.state <> 'paid'
        and i.received_cents > back.cents
) as doubt
where $1::bigint is null or plan_id = $1
group by currency order by currency <> 'USD', currency
"""


async def now(db: Db, plan: int | None = None) -> list[Doubtful]:
    """Dollars first."""
    return [Doubtful(**row) for row in await db.fetch(NOW, plan)]
