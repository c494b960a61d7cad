"""Gifts: codes that are money. Of each the database holds a hash and the last four characters."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from limner.runtime.database import Db, Transaction
from limner.runtime.errors import Refused
from limner.sql import accounts, audit, notices
from limner.sql.codes import STATE, hash_of, key_of
from limner.sql.plans import Plan

if TYPE_CHECKING:
    from limner.sql.invoices import Invoice

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's: no I, L, O and U. Sixteen of them are 80 bits."""
MOST_AT_ONCE = 1000


@dataclass(frozen=True)
class Batch:
    """Gifts to be made at once: a cycle of ``plan``, or ``credits``."""

    count: int
    plan: Plan | None
    credits: int
    ends_at: datetime | None = None
    note: str = ""

    def check(self) -> None:
        """Raises Refused that names the field."""
        if not 1 <= self.count <= MOST_AT_ONCE:
            raise Refused(f"From 1 to {MOST_AT_ONCE} gifts at once, not {self.count}.", field="count")
        if self.plan is None and not 1 <= self.credits <= 100_000:
            raise Refused(f"A gift is a plan, or from 1 to 100000 credits, not {self.credits}.", field="credits")


MAKE = """
insert into code (id, kind, word, secret_hash, gives, quantity, plan_id, most_uses, ends_at, batch, note, made_by, invoice_id)
select t.id, 'gift', t.word, t.hash, $4, $5, $6, 1, $7, $8, $9, $10, $11
from unnest($1::uuid[], $2::text[], $3::bytea[]) as t (id, word, hash)
"""


async def make(
    db: Db, batch: Batch, *, actor: str, reason: str = "", ip: str = "", yes: tuple[UUID, str] | None = None
) -> list[str]:
    """The codes of a new batch: told this once, and then nobody knows them. Raises Refused.

    ``yes``: the number of the yes that they are made after, and the studio's key: who said it is told them again, if need be.
    """
    batch.check()
    made = _after(yes, batch.count) if yes else [_written(secrets.token_bytes(10)) for _ in range(batch.count)]
    gives, quantity = ("cycle", batch.plan.credits_per_cycle) if batch.plan else ("credits", batch.credits)
    plan_id, batch_id = batch.plan and batch.plan.id, yes[0] if yes else uuid4()
    async with db.transaction() as tx:
        rows = ([uuid4() for _ in made], [each[-4:] for each in made], [hash_of(key_of(each)) for each in made])
        await tx.execute(
            MAKE, *rows, gives, quantity, plan_id, batch.ends_at, batch_id, batch.note, actor, None
        )  # fmt: skip
        what = {"count": batch.count, "gives": gives, "quantity": quantity, "note": batch.note}
        what |= {"plan": batch.plan and batch.plan.code, "ends_at": batch.ends_at and batch.ends_at.isoformat()}
        await audit.record(tx, actor, "code.batch_made", str(batch_id), None, what, reason=reason, ip=ip)
    return made


def _after(yes: tuple[UUID, str], count: int) -> list[str]:
    """HMACs of the yes and of each one's place under the studio's key."""
    assent_id, key = yes
    about = (b"gift batch:" + assent_id.bytes + place.to_bytes(4) for place in range(count))
    return [_written(hmac.new(key.encode(), each, hashlib.sha256).digest()) for each in about]


OF_BATCH = "select count(*) from code where batch = $1 and secret_hash = any($2::bytea[])"


async def made_after(db: Db, assent_id: UUID, count: int, secret_keys: Sequence[str]) -> list[str] | None:
    """The codes that were made after this yes; None when there are none, or the key that they were made under is gone."""
    for key in secret_keys:
        made = _after((assent_id, key), count)
        if await db.fetchval(OF_BATCH, assent_id, [hash_of(key_of(each)) for each in made]) == count:
            return made
    return None


async def attach(tx: Db, invoice: Invoice, secret_keys: Sequence[str], *, actor: str) -> None:
    """The gift that an invoice is about; it holds as soon as that is paid."""
    code_id = uuid4()
    secret = secret_of(code_id, secret_keys[0])
    rows = ([code_id], [secret[-4:]], [hash_of(key_of(secret))])
    about = (invoice.plan.id, None, None, "bought", actor, invoice.id)
    await tx.execute(MAKE, *rows, "cycle", invoice.credits, *about)


def secret_of(code_id: UUID, secret_key: str) -> str:
    """A bought gift's code: an HMAC of its id under the studio's key, so that its buyer can be shown it again."""
    return _written(hmac.new(secret_key.encode(), b"gift:" + code_id.bytes, hashlib.sha256).digest())


def _written(raw: bytes) -> str:
    number = int.from_bytes(raw[:10], "big")
    letters = "".join(ALPHABET[number >> shift & 31] for shift in range(75, -5, -5))
    return "-".join(letters[at : at + 4] for at in range(0, 16, 4))


BOUGHT = """
select c.id, c.secret_hash from code as c join invoice as i on i.id = c.invoice_id
where c.invoice_id = $1 and i.state = 'paid'
"""


async def bought_with(db: Db, invoice_id: UUID, secret_keys: Sequence[str]) -> str | None:
    """The code that was paid for with an invoice; None when it is not paid, or was made under a key that is gone."""
    row = await db.fetchrow(BOUGHT, invoice_id)
    if row is None:
        return None
    for key in secret_keys:
        secret = secret_of(row["id"], key)
        if hash_of(key_of(secret)) == row["secret_hash"]:
            return secret
    return None


async def paid(tx: Transaction, invoice: Invoice) -> None:
    """The gift is paid: it goes out by mail, to whom its buyer named, else to the buyer. The courier writes the code in."""
    buyer = await accounts.get(tx, invoice.account_id)
    to = str(invoice.details.get("to") or "")
    details = {
        "giver": buyer.email if to else None,
        "message": invoice.details.get("message") or None,
        "plan": invoice.plan.name,
        "days": None,
        "credits": invoice.credits,
        "ends_at": None,
        "path": "/codes",
        "invoice_id": str(invoice.id),
    }
    key = f"gift {invoice.id}"
    await notices.mail(tx, to or buyer.email, "gift_code", locale=buyer.locale, details=details, dedupe_key=key)


REDEEMED = "select uses > 0 from code where invoice_id = $1"


async def is_redeemed(db: Db, invoice_id: UUID) -> bool:
    return bool(await db.fetchval(REDEEMED, invoice_id))


IS_BARRED = f"select {STATE} = 'in doubt' from code as c where c.invoice_id = $1"


async def is_barred(db: Db, invoice_id: UUID) -> bool:
    """Whether nobody can use it for as long as its payment is in doubt."""
    return bool(await db.fetchval(IS_BARRED, invoice_id))


STOP = "update code set stopped_at = now() where invoice_id = $1 and uses = 0 and stopped_at is null returning word"


async def withdraw(tx: Transaction, invoice_id: UUID, *, actor: str) -> bool:
    """The money for a gift goes back: nobody may use it any more. False when somebody did."""
    word = await tx.fetchval(STOP, invoice_id)
    if word is not None:
        await audit.record(tx, actor, "code.stopped", f"…{word}", None, {"reason": "the payment goes back"})
    return word is not None


# What is written in one transaction bears one time: a gift that an admin had stopped before bears another.
GIVE_AGAIN = """
update code as c set stopped_at = null from refund as r
where r.id = $1 and c.invoice_id = r.invoice_id and c.stopped_at = r.created_at returning c.word
"""


async def give_again(tx: Transaction, refund_id: UUID) -> None:
    """The money could not go back: what was withdrawn with it may be used again."""
    word = await tx.fetchval(GIVE_AGAIN, refund_id)
    if word is not None:
        why = {"reason": "the payment did not go back"}
        await audit.record(tx, "system", "code.given_again", f"…{word}", None, why)
