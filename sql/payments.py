"""Payments: what a processor says of an invoice beyond "paid", and what a person has to decide about."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from limner.runtime.database import Db, Transaction
from limner.sql import audit, billing, doubts, gifts, invoices, ledger, refunds
from limner.sql.channels import INVOICE_CHANGED
from limner.sql.invoices import Invoice, WrongState

TROUBLES = ("mismatch", "partial", "over", "doubted", "unbacked", "refund")

NOTE = """
update invoice set received_cents = greatest(received_cents, $2), is_late = is_late or $3,
    ways = case when $4::jsonb = '[]' then ways else $4 end
where id = $1 and (received_cents < $2 or is_late < $3 or ($4::jsonb <> '[]' and ways <> $4))
returning id
"""


async def note(
    db: Db, invoice_id: UUID, received_cents: int, *, is_late: bool = False, ways: Sequence[dict[str, str]] = ()
) -> bool:
    """How much has been seen, and how the rest can be paid. False when that was known."""
    if await db.fetchval(NOTE, invoice_id, received_cents, is_late, list(ways)) is None:
        return False
    db.tell(INVOICE_CHANGED, str(invoice_id))
    return True


# Told once for each invoice: what somebody has dealt with does not come up again with the next look. What held meanwhile does,
# and so does what is too much or too little when more of it has come, or other words are to be said of it.
FLAG = """
update invoice as i set trouble = $4, trouble_words = $5
where i.id = $1 and not exists (
    select from audit as told where told.subject = $1::uuid::text and told.action = 'invoice.' || $2 and not exists (
        select from audit as held where held.subject = told.subject and held.action = 'invoice.holds' and held.id > told.id
    ) and (
        $2 not in ('over', 'partial')
        or told.after ->> 'words' = $3 and (told.after ->> 'received_cents')::bigint >= i.received_cents
    )
)
returning i.id
"""


async def flag(db: Db, invoice_id: UUID, trouble: str, words: str, said: dict[str, object], *, actor: str) -> bool:
    """Something that a person has to decide about: audited, and told by the watchman. False when it was told before."""
    async with db.transaction() as tx:
        invoice = await invoices.locked(tx, invoice_id)  # FLAG sees what whoever was faster has told
        both = await doubts.beside(tx, invoice, trouble, words)
        if await tx.fetchval(FLAG, invoice_id, trouble, words, *both) is None:
            return False
        if trouble in doubts.TROUBLES:
            await doubts.take_out(tx, invoice_id)
        await audit.record(tx, actor, f"invoice.{trouble}", str(invoice_id), None, said | {"words": words})
        tx.tell(INVOICE_CHANGED, str(invoice_id))
        return True


# What came up meanwhile stays: it would never be told again.
CLEAR = """
update invoice set trouble = '', trouble_words = ''
where id = $1 and trouble = $2 and trouble_words = $3 and trouble <> '' returning id
"""


async def dealt_with(db: Db, invoice: Invoice, reason: str, *, actor: str, ip: str = "") -> None:
    """Somebody has decided about this trouble: nobody need be told any more. ``invoice``: as it was shown to them.

    Raises WrongState when there is nothing to decide, or something else is by now.
    """
    async with db.transaction() as tx:
        if await tx.fetchval(CLEAR, invoice.id, invoice.trouble, invoice.trouble_words) is None:
            now = await invoices.get(tx, invoice.id)
            raise WrongState(
                f"Something else came up meanwhile: {now.trouble_words}"
                if now.trouble
                else "There is nothing to decide about this invoice."
            )
        before = {"trouble": invoice.trouble, "words": invoice.trouble_words}
        await audit.record(tx, actor, "invoice.dealt_with", str(invoice.id), before, {"reason": reason}, ip=ip)
        tx.tell(INVOICE_CHANGED, str(invoice.id))


FREEZE = """
update invoice as i set frozen_credits = least(b.available, i.credits)
from balance as b
where i.id = $1 and b.account_id = i.account_id and i.state = 'paid' and i.frozen_credits = 0
    and exists (select from ledger_entry as e where e.invoice_id = i.id and e.kind = 'grant')
returning i.frozen_credits
"""


async def doubt(db: Db, invoice: Invoice, said: dict[str, object], *, actor: str) -> bool:
    """The processor takes back its word about what was credited: what is left of the credits is frozen until somebody decides.

    When all of it goes back, or did, they are taken back already: what is there by now was bought otherwise.
    """
    async with db.transaction() as tx:
        await tx.execute(invoices.LOCK, invoice.id)
        goes_back = await refunds.goes_back(tx, invoice.id)
        words = await _effect(tx, invoice)
        if goes_back:
            words = "The processor calls it invalid. All of it went back, or is about to: nothing more is taken off."
        if not await flag(tx, invoice.id, "doubted", words, said, actor=actor):
            return False
        await tx.execute("select 1 from balance where account_id = $1 for update", invoice.account_id)
        if not goes_back and (frozen := await tx.fetchval(FREEZE, invoice.id)):
            await ledger.adjust(tx, invoice.account_id, -frozen, "Frozen: the payment is in doubt")
        return True


async def _effect(tx: Db, invoice: Invoice) -> str:
    """What the doubt does to what was bought, in words. The invoice is locked: nobody uses its gift just now."""
    words = "The processor calls it invalid, after it was credited. What was left of its credits is frozen."
    if invoice.purpose == "gift":
        words = "The processor calls it invalid, after it was credited. Nobody can use its gift until this is settled."
        if await gifts.is_redeemed(tx, invoice.id):
            words = "The processor calls it invalid, after it was credited. Its gift was used already."
    return words


THAW = """
update invoice as i set frozen_credits = 0 from (select id, frozen_credits from invoice where id = $1 for update) as before
where i.id = before.id and before.frozen_credits > 0
returning before.frozen_credits
"""


async def thaw(db: Db, invoice: Invoice) -> int:
    """What was frozen is there again. Returns the credits."""
    if frozen := await db.fetchval(THAW, invoice.id):
        await ledger.adjust(db, invoice.account_id, frozen, "Thawed: the payment holds")
    return frozen or 0


# Held until the transaction ends: whoever deletes the account waits, or was faster.
OWNERLESS = """
select a.deleted_at is not null from account as a join invoice as i on i.account_id = a.id where i.id = $1 for share of a
"""


async def is_ownerless(tx: Transaction, invoice_id: UUID) -> bool:
    """Whether nobody would get any more what is paid for, since the account is deleted."""
    return bool(await tx.fetchval(OWNERLESS, invoice_id))


# What had come before it, and did not go back, is a part of the price, and never more than that.
BY_HAND = """
update invoice as i set paid_by = $2, known_cents = least(i.amount_cents, greatest(0, i.received_cents - (
    select coalesce(sum(r.amount_cents), 0) from refund as r where r.invoice_id = i.id and r.state <> 'failed'
)))
where i.id = $1
"""


async def mark_paid(
    db: Db, invoice_id: UUID, reason: str, *, actor: str, ip: str = "", seen: Invoice | None = None
) -> None:
    """By hand, for what was paid some other way, or for a payment in doubt that holds. ``seen``: as it was shown to them.

    Raises WrongState when it is paid, when nobody is there any more whom it would be for, or when something else came up.
    """
    async with db.transaction() as tx:
        is_ownerless_now = await is_ownerless(tx, invoice_id)
        invoice = await invoices.locked(tx, invoice_id)
        if is_ownerless_now and invoice.state != "paid":
            raise WrongState(
                "The account of this invoice is deleted: nothing can be bought for it any more.", field="state"
            )
        before = await _standing(tx, invoice)
        if invoice.state == "paid" and not invoice.frozen_credits and not before["in_doubt"]:
            raise WrongState("The invoice is paid; it cannot be marked paid again.", field="state")
        if seen is not None:
            _must_be_as_seen(invoice, seen)
        if invoice.state == "paid":
            await thaw(tx, invoice)
            await doubts.put_back(tx, invoice_id)
        else:
            await tx.execute(BY_HAND, invoice_id, actor)
            await invoices.settle(tx, invoice_id, actor=actor)
            await billing.call_off(tx, invoice_id)
        await tx.execute(CLEAR, invoice_id, invoice.trouble, invoice.trouble_words)
        after = await _standing(tx, await invoices.get(tx, invoice_id))
        await audit.record(tx, actor, "invoice.marked_paid", str(invoice_id), before, after, reason=reason, ip=ip)
        tx.tell(INVOICE_CHANGED, str(invoice_id))


def _must_be_as_seen(invoice: Invoice, seen: Invoice) -> None:
    """Raises WrongState for what nobody was shown."""
    if (invoice.trouble, invoice.trouble_words) != (seen.trouble, seen.trouble_words):
        if invoice.trouble:
            raise WrongState(f"Something else came up meanwhile: {invoice.trouble_words}")
        raise WrongState("What was to be decided about it is decided by now: look again.")
    if (invoice.state == "paid") != (seen.state == "paid"):
        raise WrongState(f"The invoice is {invoice.state} by now: look again.", field="state")


async def _standing(db: Db, invoice: Invoice) -> dict[str, object]:
    """How it stands, for the audit."""
    found = {"state": invoice.state, "trouble": invoice.trouble, "words": invoice.trouble_words}
    return found | {"frozen_credits": invoice.frozen_credits, "in_doubt": await doubts.is_open(db, invoice.id)}


TROUBLED = f"select {invoices.COLUMNS} from invoice where trouble <> '' order by created_at"


async def troubled(db: Db) -> list[Invoice]:
    """All about which somebody has to decide, the oldest first: one that is left out would look as if it were mended."""
    return await invoices.read(db, await db.fetch(TROUBLED))


# Another amount that was said of a paid invoice is a doubt like the others; of one that is not paid, it stays to be decided.
HOLDS = """
update invoice set trouble = '', trouble_words = ''
where id = $1 and (trouble in ('partial', 'doubted', 'unbacked') or trouble = 'mismatch' and $2)
returning id
"""


async def holds(tx: Transaction, invoice_id: UUID, *, actor: str) -> None:
    """The processor says, perhaps again, that it is paid: what was doubtful about that is not any more.

    Written down also where an admin had said so before it: should it be taken back once more, that is told again.
    """
    invoice = await invoices.locked(tx, invoice_id)
    was_told = await is_told(tx, invoice_id)
    was_open = await doubts.put_back(tx, invoice_id)
    was_troubled = await tx.fetchval(HOLDS, invoice_id, was_open) is not None
    thawed = await thaw(tx, invoice)
    if was_told or was_open or was_troubled or thawed:
        before = {"trouble": invoice.trouble, "frozen": invoice.frozen_credits}
        await audit.record(tx, actor, "invoice.holds", str(invoice_id), before, {"state": invoice.state})


IS_TOLD = """
select exists (
    select from audit as told where told.subject = $1::uuid::text and told.action = any($2::text[]) and not exists (
        select from audit as held where held.subject = told.subject and held.action = 'invoice.holds' and held.id > told.id
    )
)
"""


async def is_told(db: Db, invoice_id: UUID) -> bool:
    """Whether somebody was told that it is doubtful, and its processor has not said since that it holds."""
    return bool(await db.fetchval(IS_TOLD, invoice_id, [f"invoice.{trouble}" for trouble in doubts.TROUBLES]))
