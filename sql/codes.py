"""Codes: words that take something off a price or add something to a plan, and gifts, which are worth money."""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from limner.runtime.amounts import counted, said
from limner.runtime.database import Db
from limner.runtime.errors import NotFound, Refused
from limner.sql import audit, lists
from limner.sql.plans import Plan

PROMISES = ("percent", "amount", "days", "credits")
"""What a promo code may give. A gift gives "credits", or a "cycle" of a plan."""
LONGEST = 40
ALIKE = str.maketrans(
    "OILАВЕКМНОРСТУХІЅЈΑΒΕΖΗΙΚΜΝΟΡΤΥΧ",
    "011ABEKMH0PCTYX1SJABEZH1KMN0PTYX",
)
"""Letters that people take for others: Latin, Cyrillic and Greek ones, after upper()."""


class NoSuchCode(Refused):
    """This code is not known here. Please look at it once more."""

    def __init__(self) -> None:
        super().__init__(self.__doc__ or "", field="code", code="no_such_code")


class CodeTaken(Refused):
    """There is a code that reads like this one already."""

    status = 409

    def __init__(self) -> None:
        super().__init__(self.__doc__ or "", field="word", code="code_taken")


@dataclass(frozen=True)
class Code:
    """``quantity``: per cent, cents, days or credits, as ``gives`` says. ``word``: of a gift the last four characters."""

    id: UUID
    kind: str
    word: str
    gives: str
    quantity: int
    currency: str | None
    plan_id: int | None
    plan_ids: list[int] | None
    first_order_only: bool
    most_uses: int | None
    most_per_account: int
    uses: int
    ends_at: datetime | None
    stopped_at: datetime | None
    invoice_id: UUID | None
    batch: UUID | None
    note: str
    made_by: str
    created_at: datetime
    state: str

    @property
    def shown(self) -> str:
        return f"…{self.word}" if self.kind == "gift" else self.word

    @property
    def promise(self) -> str:
        """What it gives, in words."""
        match self.gives:
            case "percent":
                return f"{self.quantity} % off"
            case "amount":
                return f"{said(self.quantity, self.currency or '')} off"
            case "days":
                return counted(self.quantity, "more day")
            case "cycle":
                return f"a month, {self.quantity} credits"
            case _:
                return counted(self.quantity, "credit")


def key_of(typed: str) -> str:
    """A code as it is compared: without case, spaces and dashes, and with look-alikes made one. Empty when nothing is left."""
    upper = unicodedata.normalize("NFKC", typed).upper()
    return "".join(char for char in upper.translate(ALIKE) if char.isalnum())


def hash_of(key: str) -> bytes:
    return hashlib.sha256(b"gift:" + key.encode()).digest()


def discount(code: Code, price_cents: int, currency: str) -> int:
    """What it takes off this price, in cents: never more than the price. Raises Refused for another currency."""
    if code.gives == "percent":
        return (price_cents * code.quantity + 50) // 100
    if code.gives == "amount":
        if code.currency != currency:
            raise Refused(f"This code is in {code.currency}; the plan is sold in {currency}.", field="code")
        return min(code.quantity, price_cents)
    return 0


STATES = ("active", "in doubt", "used up", "expired", "stopped")
"""In doubt: its payment is, and nobody can use it before that is settled."""
STATE = """
case when c.stopped_at is not null then 'stopped'
    when c.invoice_id is not null and not exists (select from invoice as i where i.id = c.invoice_id and i.state = 'paid')
        then 'pending'
    when c.uses >= c.most_uses then 'used up'
    when c.ends_at <= now() then 'expired'
    when exists (select from payment_doubt as d where d.invoice_id = c.invoice_id and d.until is null) then 'in doubt'
    else 'active' end
"""
COLUMNS = f"""
c.id, c.kind, c.word, c.gives, c.quantity, c.currency, c.plan_id, c.plan_ids, c.first_order_only, c.most_uses,
c.most_per_account, c.uses, c.ends_at, c.stopped_at, c.invoice_id, c.batch, c.note, c.made_by, c.created_at,
{STATE} as state
"""

FIND = f"select {COLUMNS} from code as c where c.word_key = $1 or c.secret_hash = $2"


async def find(db: Db, typed: str) -> Code:
    """The code that somebody typed, in whatever state. Raises NoSuchCode."""
    key = key_of(typed) if len(typed) <= 2 * LONGEST else ""
    row = await db.fetchrow(FIND, key, hash_of(key)) if key else None
    if row is None or row["state"] == "pending":
        raise NoSuchCode
    return Code(**row)


GET = f"select {COLUMNS} from code as c where c.id = $1"


async def get(db: Db, code_id: UUID) -> Code:
    """Raises NotFound."""
    row = await db.fetchrow(GET, code_id)
    if row is None:
        raise NotFound("There is no such code.")
    return Code(**row)


@dataclass(frozen=True)
class Promo:
    """A promo code to be made. ``quantity``: per cent, cents, days or credits."""

    word: str
    gives: str
    quantity: int
    plans: tuple[Plan, ...] = ()
    currency: str = "USD"
    first_order_only: bool = False
    most_uses: int | None = None
    most_per_account: int = 1
    ends_at: datetime | None = None
    note: str = ""

    def check(self) -> None:
        """Raises Refused that names the field."""
        if not 3 <= len(key_of(self.word)) <= LONGEST:
            raise Refused(f"A code has from 3 to {LONGEST} letters and digits, not {self.word!r}.", field="word")
        if self.gives not in PROMISES:
            raise Refused(f"A code gives {', '.join(PROMISES)}, not {self.gives!r}.", field="gives")
        most = {"percent": 100, "amount": 10**8, "days": 366, "credits": 100_000}[self.gives]
        if not 1 <= self.quantity <= most:
            raise Refused(f"Of {self.gives} a code gives from 1 to {most}, not {self.quantity}.", field="quantity")
        if not (self.most_uses is None or 1 <= self.most_uses <= 10**9) or not 1 <= self.most_per_account <= 1000:
            raise Refused("A code can be used at least once, and by one account at most 1000 times.", field="most_uses")


CREATE = """
insert into code (
    kind, word, word_key, gives, quantity, currency, plan_ids, first_order_only, most_uses, most_per_account, ends_at, note,
    made_by
)
values ('promo', $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) returning id
"""


async def create(db: Db, promo: Promo, *, actor: str, reason: str = "", ip: str = "") -> Code:
    """Raises Refused, CodeTaken."""
    promo.check()
    word = " ".join(promo.word.split())
    limits = (promo.first_order_only, promo.most_uses, promo.most_per_account, promo.ends_at)
    currency = promo.currency if promo.gives == "amount" else None
    of_plans = [plan.id for plan in promo.plans] or None
    try:
        async with db.transaction() as tx:
            what = (word, key_of(word), promo.gives, promo.quantity, currency, of_plans)
            code = await get(tx, await tx.fetchval(CREATE, *what, *limits, promo.note, actor))
            await audit.record(tx, actor, "code.made", code.shown, None, about(code), reason=reason, ip=ip)
            return code
    except asyncpg.UniqueViolationError as error:
        raise CodeTaken from error


def about(code: Code) -> dict[str, Any]:
    """What the audit says of a code; of a gift never more than its last four."""
    until = code.ends_at and code.ends_at.isoformat()
    return {"kind": code.kind, "gives": code.promise, "most_uses": code.most_uses, "ends_at": until, "note": code.note}


STOP = "update code set stopped_at = now() where id = $1 and stopped_at is null returning id"


async def stop(db: Db, code: Code, reason: str, *, actor: str, ip: str = "") -> None:
    """Nobody can use it any more; invoices that were made with it hold. Raises Refused when it is stopped already."""
    async with db.transaction() as tx:
        if await tx.fetchval(STOP, code.id) is None:
            raise Refused("This code is stopped already.", field="form")
        await audit.record(tx, actor, "code.stopped", code.shown, about(code), {"reason": reason}, ip=ip)


LIST = f"""
select {COLUMNS} from code as c
where ($1 = '' or c.kind = $1)
    and (c.invoice_id is null or exists (select from invoice as i where i.id = c.invoice_id and i.state = 'paid'))
    and ($2 = '' or lower(c.word) like lower($2) or lower(c.note) like lower($2) or lower(c.made_by) like lower($2))
    and ($3 = '' or {STATE} = $3)
    and ($4::timestamptz is null or c.created_at >= $4) and ($5::timestamptz is null or c.created_at < $5)
    and ($6::timestamptz is null or (c.created_at, c.id) < ($6, $7::uuid))
order by c.created_at desc, c.id desc limit $8
"""


@dataclass(frozen=True)
class Sought:
    """Which to show; what is empty hides none. ``text``: a part of the word, the note, or who made it."""

    kind: str = ""
    text: str = ""
    state: str = ""
    since: datetime | None = None
    until: datetime | None = None


Place = tuple[datetime | None, UUID | None]


async def look_through(db: Db, sought: Sought, before: Place = (None, None), count: int = 50) -> list[Code]:
    """Newest first; gifts that nobody has paid for yet are none."""
    asked = (sought.kind, lists.part(sought.text), sought.state, sought.since, sought.until)
    return [Code(**row) for row in await lists.read(db, LIST, *asked, *before, count)]


NEWER = LIST.replace("(c.created_at, c.id) < (", "(c.created_at, c.id) > (").replace(" desc", "")


async def newer(db: Db, sought: Sought, than: Place, count: int) -> list[Code]:
    """The next ones above this place, newest first."""
    asked = (sought.kind, lists.part(sought.text), sought.state, sought.since, sought.until)
    return [Code(**row) for row in reversed(await lists.read(db, NEWER, *asked, *than, count))]


async def listing(
    db: Db, *, kind: str = "", before: tuple[datetime, UUID] | None = None, count: int = 50
) -> list[Code]:
    """Newest first."""
    return await look_through(db, Sought(kind), before or (None, None), count)
