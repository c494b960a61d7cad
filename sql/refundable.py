"""What could go back of an invoice, before anybody orders it back."""

from __future__ import annotations

from collections.abc import Mapping

from limner.runtime.database import Db
from limner.sql.invoices import Invoice, WrongState

KINDS = ("whole", "surplus")

# What goes back: all that came, less what is on its way already; what came before anybody counted is the amount. The whole
# goes back once: whatever comes after it is a surplus, over a price of nothing.
OWED = """
select greatest(0, case
    when $2 = 'whole' then case when back.is_whole then 0 when i.state = 'paid' then greatest(i.received_cents, i.amount_cents)
        else i.received_cents end
    when i.paid_by <> '' then i.received_cents - i.known_cents
    when back.is_whole then i.received_cents
    when i.state = 'paid' then i.received_cents - i.amount_cents
    else 0 end - back.cents)::bigint
from invoice as i, lateral (
    select coalesce(sum(r.amount_cents), 0) as cents, coalesce(bool_or(r.kind = 'whole'), false) as is_whole
    from refund as r where r.invoice_id = i.id and r.state <> 'failed'
) as back
where i.id = $1
"""

OWED_CREDITS = """
select coalesce((
    select least(b.available, e.credits) from ledger_entry as e join balance as b on b.account_id = e.account_id
    where e.invoice_id = $1 and e.kind = 'grant'
), 0)::bigint
"""


async def owed(db: Db, invoice: Invoice) -> dict[str, int]:
    """What could go back, in cents, as the whole or as the surplus; and the credits that the whole would cost."""
    whole = 0 if invoice.is_open or invoice.paid_by else await db.fetchval(OWED, invoice.id, "whole")
    credits = await db.fetchval(OWED_CREDITS, invoice.id) + invoice.frozen_credits
    return {"whole": whole, "surplus": await surplus(db, invoice), "credits": credits}


async def surplus(db: Db, invoice: Invoice) -> int:
    """What came too much and did not go back, in cents; of what went back as a whole, all that came since."""
    return 0 if invoice.is_open else int(await db.fetchval(OWED, invoice.id, "surplus"))


def is_kept(invoice: Invoice, owed: Mapping[str, int]) -> bool:
    """Whether who is given a surplus back keeps what was bought: after the whole of it went, that is all that came since."""
    return bool(owed["whole"] or invoice.paid_by)


async def amount(db: Db, invoice: Invoice, kind: str) -> int:
    """Cents to be ordered back now. Raises WrongState."""
    if invoice.paid_by and kind == "whole":
        raise WrongState("The invoice was marked paid by hand: give the money back by hand, too.", field="state")
    if invoice.is_open:
        raise WrongState(f"The invoice is {invoice.state}; it cannot be paid back.", field="state")
    cents = int(await db.fetchval(OWED, invoice.id, kind))
    if cents <= 0:
        raise WrongState("There is nothing to give back: nothing was received, or it went back.", field="state")
    return cents
