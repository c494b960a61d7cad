"""Inquiries: which invoices their processors are asked about, and what was heard from them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from limner.runtime.database import Db
from limner.sql.invoices import COLUMNS, Invoice, read

# Young ones every half minute, old ones every hour; what ran out may still be paid for a day. What the processor does not know
# yet is looked for, too: its opening may have been lost.
TO_CHECK = f"""
update invoice set checked_at = now() where id in (
    select id from invoice
    where (state in ('pending', 'processing') or state = 'expired' and expires_at > now() - interval '25 hours')
        and not (processor = any($2::text[]))
        and coalesce(checked_at, created_at) < now() - case
            when state = 'expired' and expires_at > now() - interval '2 hours' then interval '5 minutes'
            when state = 'expired' or expires_at < now() - interval '2 hours' then interval '1 hour'
            when processor_ref is null then interval '1 minute'
            else interval '25 seconds' end
    order by checked_at nulls first limit $1 for update skip locked
) returning {COLUMNS}
"""


async def to_check(db: Db, count: int = 20, *, without: Sequence[str] = ()) -> list[Invoice]:
    """Those whose processor was not asked lately, except of some processors: the net under every lost webhook."""
    return await read(db, await db.fetch(TO_CHECK, count, list(without)))


PAID_SINCE = f"""
select {COLUMNS} from invoice
where processor = $1 and state = 'paid' and paid_at >= $2 and processor_ref is not null and paid_by = '' order by paid_at
"""


async def paid_since(db: Db, processor: str, moment: datetime) -> list[Invoice]:
    """Those that this processor said were paid."""
    return await read(db, await db.fetch(PAID_SINCE, processor, moment))


BY_HAND_SINCE = f"""
select {COLUMNS} from invoice
where processor = $1 and state = 'paid' and paid_at >= $2 and processor_ref is not null and paid_by <> '' order by paid_at
"""


async def by_hand_since(db: Db, processor: str, moment: datetime) -> list[Invoice]:
    """Those that somebody marked paid, and that this processor knows: money may come there as well."""
    return await read(db, await db.fetch(BY_HAND_SINCE, processor, moment))


IN_DOUBT = f"""
select {COLUMNS} from invoice
where processor = $1 and state = 'paid' and paid_at < $2 and processor_ref is not null and exists (
    select from payment_doubt as d
    where d.invoice_id = invoice.id and d.until is null and d.since > now() - interval '90 days'
)
order by paid_at
"""


async def in_doubt(db: Db, processor: str, before: datetime) -> list[Invoice]:
    """Those that were paid before that, and whose money this processor has not stood by for less than three months."""
    return await read(db, await db.fetch(IN_DOUBT, processor, before))


EVENT = """
insert into payment_event (processor, event_ref, invoice_id, kind) values ($1, $2, $3, $4)
on conflict (processor, event_ref) do nothing returning id
"""


async def note_event(db: Db, processor: str, event_ref: str, invoice_id: UUID, kind: str) -> bool:
    """Record a webhook that was believed. False for a redelivery of it, which changes nothing."""
    return await db.fetchval(EVENT, processor, event_ref, invoice_id, kind) is not None
