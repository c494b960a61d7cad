"""Checkouts: under which name its processor knows an invoice, where and how it is paid there, and whose a name is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from limner.runtime.database import Db
from limner.sql import invoices
from limner.sql.invoices import Invoice

ATTACH = """
update invoice set processor_ref = $2, checkout_url = $3, ways = $5,
    expires_at = case when expires_at > now() + interval '2 hours' then expires_at else coalesce($4, expires_at) end
where id = $1 and processor_ref is null returning id
"""


async def attach(
    db: Db,
    invoice_id: UUID,
    processor_ref: str,
    checkout_url: str,
    *,
    expires_at: datetime | None = None,
    ways: Sequence[dict[str, str]] = (),
) -> None:
    """Remember under which name the processor knows it, where and how it is paid, and until when."""
    await db.fetchval(ATTACH, invoice_id, processor_ref, checkout_url, expires_at, list(ways))


# A renewal is open for days, a Checkout Session for one at the most.
DETACH = """
update invoice set processor_ref = null, checkout_url = null, ways = '[]'
where id = $1 and processor_ref = $2 and state = 'pending' and received_cents = 0
    and expires_at > now() + interval '30 minutes' and expires_at > created_at + interval '2 hours'
returning id
"""


async def detach(db: Db, invoice_id: UUID, processor_ref: str) -> bool:
    """The processor has closed it, and it is open here for longer: it is to be opened there anew. False when it is not so."""
    return await db.fetchval(DETACH, invoice_id, processor_ref) is not None


async def find(db: Db, invoice_id: UUID, processor: str) -> Invoice | None:
    """The invoice of this id, when it is one of this processor's."""
    found = await invoices.read(db, await db.fetch(invoices.GET, invoice_id))
    return next((each for each in found if each.processor == processor), None)


BY_REF = f"select {invoices.COLUMNS} from invoice where processor = $1 and processor_ref = $2"


async def by_ref(db: Db, processor: str, processor_ref: str) -> Invoice | None:
    return next(iter(await invoices.read(db, await db.fetch(BY_REF, processor, processor_ref))), None)
