"""Refunds: money on its way back, each ordered once, before anybody is asked to send it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from limner.runtime import mailbox
from limner.runtime.database import Db, Transaction
from limner.runtime.errors import NotFound
from limner.runtime.mailbox import Message
from limner.sql import accounts, audit, cutbacks, doubts, gifts, invoices, ledger, notices, referrals, refundable
from limner.sql.channels import INVOICE_CHANGED
from limner.sql.invoices import Invoice, WrongState


@dataclass(frozen=True)
class PayBack(Message):
    """Have the processor send a refund."""

    mailbox = "billing"
    refund_id: UUID


@dataclass(frozen=True)
class Refund:
    """``kind``: "whole" or "surplus". ``claim_url``: where its owner says to which wallet the money shall go."""

    id: UUID
    invoice_id: UUID
    kind: str
    amount_cents: int
    currency: str
    credits_taken: int
    reason: str
    actor: str
    state: str
    processor_ref: str | None
    claim_url: str | None
    error: str
    created_at: datetime
    period_taken: timedelta | None = None


COLUMNS = (
    "id, invoice_id, kind, amount_cents, currency, credits_taken, reason, actor, state, processor_ref, claim_url, "
    "error, created_at, period_taken"
)

UNSPENT = """
select least(b.available, e.credits) from ledger_entry as e join balance as b on b.account_id = e.account_id
where e.invoice_id = $1 and e.kind = 'grant' for update of b
"""


ORDER = f"""
insert into refund (invoice_id, kind, amount_cents, currency, credits_taken, reason, actor, period_taken)
values ($1, $2, $3, $4, $5, $6, $7, $8) returning {COLUMNS}
"""


async def order(
    db: Db,
    invoice_id: UUID,
    kind: str,
    reason: str,
    *,
    actor: str,
    ip: str = "",
    seen: tuple[int, int | None] | None = None,
) -> Refund:
    """Give money back, once. For a whole refund the credits that are left are taken back, in the same transaction,
    and the month that it was for: the one that runs ends at once.

    ``seen``: the cents and the credits (None: they were not shown) that somebody agreed to; of the credits a few may be gone.
    Raises WrongState: when it is not paid, or paid back already, or the whole of what was marked paid by hand; or when it is
    others by now.
    """
    async with db.transaction() as tx:
        invoice = await invoices.locked(tx, invoice_id)
        amount = await refundable.amount(tx, invoice, kind)
        taken = await _undo(tx, invoice, actor) if kind == "whole" else 0  # what is frozen, too
        if seen is not None and not _is_as_shown(invoice, amount, taken, seen):
            raise WrongState("What goes back, or is taken back, is another amount by now: look again.", field="state")
        cutback = await cutbacks.cut(tx, invoice) if kind == "whole" and invoice.state == "paid" else None
        try:
            row = await tx.fetchrow(
                ORDER,
                invoice_id,
                kind,
                amount,
                invoice.currency,
                taken,
                reason,
                actor,
                cutback and cutback.by,
            )
        except asyncpg.UniqueViolationError as error:
            raise WrongState("The invoice is paid back already, or about to be.", field="state") from error
        assert row is not None
        refund = Refund(**row)
        if kind == "whole":
            await tx.execute("update invoice set frozen_credits = 0 where id = $1", invoice_id)
        await tx.execute(TELL, invoice_id, *_still_to_decide(invoice, kind))
        after = {"kind": kind, "amount_cents": amount, "credits": -refund.credits_taken, "reason": reason}
        if cutback is not None:
            after |= {"plan": "ends now" if cutback.is_over else f"ends {cutback.by} sooner"}
        await audit.record(tx, actor, "invoice.refund", str(invoice_id), {"state": invoice.state}, after, ip=ip)
        await mailbox.send(tx, PayBack(refund.id), key=f"pay back {refund.id}", max_attempts=20)
        tx.tell(INVOICE_CHANGED, str(invoice_id))
        return refund


def _is_as_shown(invoice: Invoice, amount: int, taken: int, seen: tuple[int, int | None]) -> bool:
    """Who paints meanwhile has a few credits less, a tenth at the most: else a refund of theirs would never come about."""
    cents, credits = seen
    few = -(-invoice.credits // 10)
    return amount == cents and (credits is None or credits - few <= taken <= credits)


def _still_to_decide(invoice: Invoice, kind: str) -> tuple[str, str]:
    """Whether all of it holds is another question than what becomes of a surplus: that one stays, in its own words."""
    if kind == "whole" or invoice.state != "paid" or invoice.trouble in ("over", "refund"):
        return "", ""
    return invoice.trouble, doubts.alone(invoice.trouble_words)


async def _undo(tx: Transaction, invoice: Invoice, actor: str) -> int:
    """What the whole payment had brought about, as far as it is still there. Returns the credits that are taken back."""
    if invoice.purpose == "gift":
        await gifts.withdraw(tx, invoice.id, actor=actor)
    await referrals.unpaid(tx, invoice.id)
    return invoice.frozen_credits + await _take_back(tx, invoice)


async def _take_back(db: Db, invoice: Invoice) -> int:
    taken = await db.fetchval(UNSPENT, invoice.id) or 0
    if taken:
        await ledger.adjust(db, invoice.account_id, -taken, f"Refund of invoice {invoice.id}")
    return int(taken)


# A lease of two minutes: longer than all the calls of one try, so that two workers never ask side by side.
TAKE = f"""
update refund set asked_at = now()
where id = $1 and state = 'asked' and coalesce(asked_at, '-infinity') < now() - interval '2 minutes'
returning {COLUMNS}
"""


async def take(db: Db, refund_id: UUID) -> Refund | None:
    """To be sent now, by the caller alone. None when it is sent, or in somebody's hands."""
    row = await db.fetchrow(TAKE, refund_id)
    return None if row is None else Refund(**row)


async def let_go(db: Db, refund_id: UUID) -> None:
    """It was not sent, for certain: the next try need not wait."""
    await db.execute("update refund set asked_at = null where id = $1 and state = 'asked'", refund_id)


SENT = """
update refund set state = 'sent', processor_ref = $2, claim_url = $3, ended_at = now()
where id = $1 and state = 'asked' returning id
"""


async def sent(db: Db, refund: Refund, processor_ref: str, claim_url: str | None) -> None:
    """The processor has it; whoever paid is told, and where to claim it when that is needed."""
    async with db.transaction() as tx:
        invoice = await invoices.locked(
            tx, refund.invoice_id
        )  # whoever doubts it just now sees it sent, or is seen here
        if await tx.fetchval(SENT, refund.id, processor_ref, claim_url) is None:
            return
        if refund.kind == "whole":  # from now on it is taken off as what went back
            await doubts.put_back(tx, refund.invoice_id)
        account = await accounts.get(tx, invoice.account_id)
        after = {"refund": str(refund.id), "amount_cents": refund.amount_cents, "ref": processor_ref}
        await audit.record(tx, "cashier", "invoice.refund_sent", str(invoice.id), None, after)
        details = {"what": invoice.plan.name, "amount_cents": refund.amount_cents, "currency": refund.currency}
        details |= {"path": f"/invoices/{invoice.id}"}  # there stands the claim's link, for whoever is signed in
        once = f"refund {refund.id}"
        await notices.mail(tx, account.email, "refund_sent", locale=account.locale, details=details, dedupe_key=once)
        tx.tell(INVOICE_CHANGED, str(invoice.id))


TELL = "update invoice set trouble = $2, trouble_words = $3 where id = $1"
FAILED = """
update refund set state = 'failed', error = $2, ended_at = now() where id = $1 and state = 'asked' returning id
"""


async def failed(db: Db, refund: Refund, why: str) -> None:
    """The processor will not: the credits come back, or are frozen while the payment is in doubt, and it may be ordered again."""
    async with db.transaction() as tx:
        invoice = await invoices.locked(tx, refund.invoice_id)
        if await tx.fetchval(FAILED, refund.id, why[:300]) is None:
            return
        frozen = refund.credits_taken if await doubts.is_open(tx, invoice.id) else 0
        await _credits_again(tx, invoice, refund.credits_taken - frozen, frozen)
        if refund.period_taken:
            await cutbacks.undo(tx, invoice.id, refund.period_taken)
        if refund.kind == "whole":
            await gifts.give_again(tx, refund.id)
            await referrals.paid_after_all(tx, invoice.id)
        words = f"A refund could not be sent: {why[:200]}"
        await tx.execute(TELL, invoice.id, *await doubts.beside(tx, invoice, "refund", words))
        after = {"refund": str(refund.id), "why": why[:300], "credits": refund.credits_taken, "frozen": frozen}
        await audit.record(tx, "cashier", "invoice.refund_failed", str(invoice.id), None, after)
        tx.tell(INVOICE_CHANGED, str(invoice.id))


FREEZE = "update invoice set frozen_credits = frozen_credits + $2 where id = $1"


async def _credits_again(tx: Db, invoice: Invoice, free: int, frozen: int) -> None:
    """``frozen``: they were taken back while the payment is in doubt, and stay so until it holds."""
    if free:
        await ledger.adjust(tx, invoice.account_id, free, f"The refund of {invoice.id} did not come about")
    if frozen:
        await tx.execute(FREEZE, invoice.id, frozen)


WAITING = """
select id from refund where state = 'asked' and created_at < now() - interval '5 minutes'
    and coalesce(asked_at, '-infinity') < now() - interval '5 minutes'
order by created_at limit 20
"""


async def waiting(db: Db) -> list[UUID]:
    """Those that are on their way for so long that their message may be lost."""
    return [row["id"] for row in await db.fetch(WAITING)]


OF_INVOICE = f"select {COLUMNS} from refund where invoice_id = $1 order by created_at, id"


async def of_invoice(db: Db, invoice_id: UUID) -> list[Refund]:
    return [Refund(**row) for row in await db.fetch(OF_INVOICE, invoice_id)]


GOES_BACK = """
select exists (
    select from refund as r join invoice as i on i.id = r.invoice_id
    where i.id = $1 and r.kind = 'whole' and r.state <> 'failed'
        and coalesce(r.ended_at, 'infinity') >= coalesce(i.paid_at, '-infinity')
)
"""


async def goes_back(db: Db, invoice_id: UUID) -> bool:
    """Whether all of what was paid went back, or is about to; of what was never paid, all that came."""
    return bool(await db.fetchval(GOES_BACK, invoice_id))


GET = f"select {COLUMNS} from refund where id = $1"


async def get(db: Db, refund_id: UUID) -> Refund:
    """Raises NotFound."""
    row = await db.fetchrow(GET, refund_id)
    if row is None:
        raise NotFound("There is no such refund.")
    return Refund(**row)
