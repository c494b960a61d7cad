"""Pairings: who asks to steer by Telegram has a code, which somebody on the server's console uses to let them in."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime

from limner.runtime.database import Db, affected
from limner.runtime.errors import Refused
from limner.sql import audit, notices, telegram
from limner.sql.telegram import Admin

ALPHABET = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
"""Nothing that looks like something else: no I, L, O, 0 and 1."""
CODE_LENGTH = 8
CODE_MINUTES = 10
CODE_PAUSE = 10
"""Seconds for which a code is not replaced, and whoever writes on gets no answer: an answer costs the admins' bot time."""
MOST_GUESSES = 5


@dataclass(frozen=True)
class Pending:
    """Somebody who wrote to the bot and has a code, not known here, until ``expires_at``."""

    telegram_id: int
    name: str
    expires_at: datetime


EXPIRED = "delete from telegram_pairing where expires_at <= now()"

ASK = """
insert into telegram_pairing as p (telegram_id, name, code_hash, expires_at, spoken)
values ($1, $2, $3, now() + make_interval(mins => $4), $6)
on conflict (telegram_id) do update
set name = excluded.name, spoken = excluded.spoken,
    code_hash = excluded.code_hash, expires_at = excluded.expires_at, created_at = now()
where p.created_at <= now() - make_interval(secs => $5)
returning true
"""


async def ask(db: Db, telegram_id: int, name: str, spoken: str = "") -> str | None:
    """Somebody wants in: their new code, of which only the hash is kept. An earlier one ends with it. ``spoken``: the language
    of their Telegram.

    None when they got one a moment ago: it stands.
    """
    code = "".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH))
    await db.execute(EXPIRED)
    is_new = await db.fetchval(
        ASK, telegram_id, telegram.printable(name), _hash(code), CODE_MINUTES, float(CODE_PAUSE), spoken
    )
    return code if is_new else None


PENDING = "select telegram_id, name, expires_at from telegram_pairing where expires_at > now() order by created_at"


async def pending(db: Db) -> list[Pending]:
    """Who waits to be let in."""
    return [Pending(**row) for row in await db.fetch(PENDING)]


BY_CODE = "select telegram_id, name, expires_at from telegram_pairing where code_hash = $1 and expires_at > now()"


async def pending_by_code(db: Db, code: str) -> Pending:
    """Whose code this is. Raises Refused; a wrong code is counted, and the fifth within an hour burns all pending ones.

    ``db`` is the pool: the count must outlive the refusal.
    """
    async with db.transaction() as tx:
        await tx.execute(telegram.ONE_AT_A_TIME)
        row = await tx.fetchrow(BY_CODE, _hash(code))
        burnt = row is None and await _note_wrong_guess(tx)
    if row is not None:
        return Pending(**row)
    refusal = "That code is wrong or has expired."
    if burnt:
        refusal += f" After {MOST_GUESSES} wrong ones all codes are void: write to the bot again for a new one."
    raise Refused(refusal, field="code")


USE_UP = "delete from telegram_pairing where code_hash = $1 and expires_at > now() returning telegram_id, name, spoken"

LET_IN = f"""
insert into telegram_admin (telegram_id, name, role, spoken) values ($1, $2, $3, $4)
on conflict (telegram_id) do update set name = excluded.name, role = excluded.role, spoken = excluded.spoken
returning {telegram.COLUMNS}
"""


async def confirm(db: Db, code: str, *, actor: str, role: str | None = None) -> Admin:
    """Let in whoever has this code, once, as ``telegram.becomes`` says. Raises Refused, counting wrong codes like
    ``pending_by_code``."""
    await pending_by_code(db, code)
    async with db.transaction() as tx:
        await tx.execute(telegram.ONE_AT_A_TIME)
        used = await tx.fetchrow(USE_UP, _hash(code))
        if not used:
            raise Refused("That code was used a moment ago.", field="code")
        telegram_id = used["telegram_id"]
        known, role = await telegram.admin(tx, telegram_id), await telegram.becomes(tx, telegram_id, role)
        row = await tx.fetchrow(LET_IN, telegram_id, used["name"], role, used["spoken"])
        assert row is not None
        if known and telegram.sees_less(known.role, role):
            await notices.withhold_alerts(tx, telegram_id, but_for_all=True)
        before = {"name": known.name, "role": known.role} if known else None
        after = {"name": row["name"], "role": row["role"]}
        await audit.record(tx, actor, "telegram.pair", f"telegram {telegram_id}", before, after)
        return Admin(**row)


OLD_GUESSES = "delete from telegram_guess where created_at < now() - interval '1 day'"


async def forget_old(db: Db) -> int:
    """Delete expired codes and old guesses; returns how many rows."""
    return sum([affected(await db.execute(statement)) for statement in (EXPIRED, OLD_GUESSES)])


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
