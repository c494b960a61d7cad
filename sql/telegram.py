"""The Telegram bot's own books: who may use it, who asked to, and the inbox of its updates."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from limner.runtime.database import Db, affected
from limner.runtime.errors import NotFound, Refused
from limner.sql import audit, dialogue

ALPHABET = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
"""Nothing that looks like something else: no I, L, O, 0 and 1."""
CODE_LENGTH = 8
CODE_MINUTES = 10
MOST_GUESSES = 5


@dataclass(frozen=True)
class Admin:
    """Somebody on the allow-list. ``locale``: the language they chose; None: that of their Telegram."""

    telegram_id: int
    name: str
    role: str
    locale: str | None
    created_at: datetime


@dataclass(frozen=True)
class Pending:
    """Somebody who wrote to the bot and has a code, not known here, until ``expires_at``."""

    telegram_id: int
    name: str
    expires_at: datetime


ADMIN = "select telegram_id, name, role, locale, created_at from telegram_admin where telegram_id = $1"


async def admin(db: Db, telegram_id: int) -> Admin | None:
    row = await db.fetchrow(ADMIN, telegram_id)
    return Admin(**row) if row else None


ADMINS = "select telegram_id, name, role, locale, created_at from telegram_admin order by created_at, telegram_id"


async def admins(db: Db) -> list[Admin]:
    """The allow-list, the eldest first."""
    return [Admin(**row) for row in await db.fetch(ADMINS)]


SET_LOCALE = "update telegram_admin set locale = $2 where telegram_id = $1"


async def set_locale(db: Db, telegram_id: int, locale: str) -> None:
    """In which language the bot speaks with them."""
    await db.execute(SET_LOCALE, telegram_id, locale)


REVOKE = "delete from telegram_admin where telegram_id = $1 returning telegram_id, name, role, locale, created_at"


async def revoke(db: Db, telegram_id: int, actor: str) -> Admin:
    """Take somebody off the allow-list, from their next tap on. Raises NotFound."""
    async with db.transaction() as tx:
        row = await tx.fetchrow(REVOKE, telegram_id)
        if row is None:
            raise NotFound(f"No admin has the Telegram id {telegram_id}.")
        gone = Admin(**row)
        before = {"name": gone.name, "role": gone.role}
        await audit.record(tx, actor, "telegram.revoke", f"telegram {telegram_id}", before, None)
        return gone


EXPIRED = "delete from telegram_pairing where expires_at <= now()"

ASK = """
insert into telegram_pairing (telegram_id, name, code_hash, expires_at)
values ($1, $2, $3, now() + make_interval(mins => $4))
on conflict (telegram_id) do update
set name = excluded.name, code_hash = excluded.code_hash, expires_at = excluded.expires_at, created_at = now()
"""


async def ask(db: Db, telegram_id: int, name: str) -> str:
    """Somebody wants in: their new code, of which only the hash is kept. An earlier one ends with it."""
    code = "".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH))
    await db.execute(EXPIRED)
    await db.execute(ASK, telegram_id, printable(name), _hash(code), CODE_MINUTES)
    return code


PENDING = "select telegram_id, name, expires_at from telegram_pairing where expires_at > now() order by created_at"


async def pending(db: Db) -> list[Pending]:
    """Who waits to be let in."""
    return [Pending(**row) for row in await db.fetch(PENDING)]


ONE_AT_A_TIME = "select pg_advisory_xact_lock(hashtextextended('telegram pairing', 0))"
BY_CODE = "select telegram_id, name, expires_at from telegram_pairing where code_hash = $1 and expires_at > now()"


async def pending_by_code(db: Db, code: str) -> Pending:
    """Whose code this is. Raises Refused; a wrong code is counted, and the fifth within an hour burns all pending ones.

    ``db`` is the pool: the count must outlive the refusal.
    """
    async with db.transaction() as tx:
        await tx.execute(ONE_AT_A_TIME)
        row = await tx.fetchrow(BY_CODE, _hash(code))
        burnt = row is None and await _note_wrong_guess(tx)
    if row is not None:
        return Pending(**row)
    refusal = "That code is wrong or has expired."
    if burnt:
        refusal += f" After {MOST_GUESSES} wrong ones all codes are void: write to the bot again for a new one."
    raise Refused(refusal, field="code")


USE_UP = "delete from telegram_pairing where code_hash = $1 and expires_at > now() returning telegram_id, name"

LET_IN = """
insert into telegram_admin (telegram_id, name) values ($1, $2)
on conflict (telegram_id) do update set name = excluded.name
returning telegram_id, name, role, locale, created_at
"""


async def confirm(db: Db, code: str, *, actor: str) -> Admin:
    """Let in whoever has this code, once. Raises Refused, counting wrong codes like ``pending_by_code``."""
    await pending_by_code(db, code)
    async with db.transaction() as tx:
        used = await tx.fetchrow(USE_UP, _hash(code))
        row = used and await tx.fetchrow(LET_IN, used["telegram_id"], used["name"])
        if not row:
            raise Refused("That code was used a moment ago.", field="code")
        new = Admin(**row)
        after = {"name": new.name, "role": new.role}
        await audit.record(tx, actor, "telegram.pair", f"telegram {new.telegram_id}", None, after)
        return new


OLD_GUESSES = "delete from telegram_guess where created_at < now() - interval '1 day'"
# Telegram keeps an update for a day at the most, so an older one cannot come again.
OLD_UPDATES = "delete from telegram_update where handled_at < now() - interval '3 days'"


async def cleanup(db: Db) -> int:
    """Delete expired codes and questions, old guesses and handled updates; returns how many rows."""
    deleted = [affected(await db.execute(statement)) for statement in (EXPIRED, OLD_GUESSES, OLD_UPDATES)]
    return sum(deleted) + await dialogue.cleanup(db)


KEEP = "insert into telegram_update (update_id, payload) values ($1, $2) on conflict (update_id) do nothing"


async def keep(db: Db, update_id: int, payload: dict[str, Any]) -> bool:
    """Write an update into the inbox; False when it is there already. Raises ValueError for what jsonb cannot hold."""
    return bool(affected(await db.execute(KEEP, update_id, payload)))


@dataclass(frozen=True)
class Kept:
    update_id: int
    payload: dict[str, Any]


# Not "skip locked": a second reader waits for the first one, so that the order holds; it then finds the row handled.
NEXT = """
select update_id, payload from telegram_update
where handled_at is null and not update_id = any($1::bigint[])
order by update_id limit 1 for update
"""


async def next_update(db: Db, skip: list[int]) -> Kept | None:
    """The eldest update that waits and is not in ``skip``, locked until the transaction ends."""
    row = await db.fetchrow(NEXT, skip)
    return Kept(**row) if row else None


async def handled(db: Db, update_id: int) -> None:
    """It is done with, at the commit of what it caused."""
    await db.execute("update telegram_update set handled_at = now() where update_id = $1", update_id)


def printable(name: str) -> str:
    """A name fit for a console: no control characters, nothing that turns the writing round."""
    return "".join(sign for sign in name if sign.isprintable())[:120] or "somebody without a name"


WRONG = "insert into telegram_guess default values"
GUESSES = "select count(*) from telegram_guess where created_at > now() - interval '1 hour'"


async def _note_wrong_guess(db: Db) -> bool:
    """True when it burnt all pending codes."""
    await db.execute(WRONG)
    if await db.fetchval(GUESSES) < MOST_GUESSES:
        return False
    await db.execute("delete from telegram_pairing")
    return True


def _hash(code: str) -> bytes:
    """Of the code as it was meant: people type small letters, spaces and dashes."""
    return hashlib.sha256("".join(sign for sign in code.upper() if sign.isalnum()).encode()).digest()
