"""The Telegram bot's own books: who may use it, who asked to, and the inbox of its updates."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from limner.runtime.database import Db, affected
from limner.runtime.errors import NotFound, Refused
from limner.sql import audit, dialogue, notices

ALPHABET = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
"""Nothing that looks like something else: no I, L, O, 0 and 1."""
CODE_LENGTH = 8
CODE_MINUTES = 10
CODE_PAUSE = 10
"""Seconds for which a code is not replaced, and whoever writes on gets no answer: an answer costs the admins' bot time."""
MOST_GUESSES = 5
ROLES = ("owner", "operator", "viewer")
BOOKKEEPERS = frozenset({"owner", "viewer"})
"""Who sees money: an operator has to do with keys and pictures, not with that."""
STAFF = frozenset({"owner", "operator"})
"""Who may change keys and pictures, and silence an alert."""


@dataclass(frozen=True)
class Admin:
    """Somebody on the allow-list. ``locale``: the language they chose; None: that of their Telegram, as last heard in
    ``spoken`` (empty: never)."""

    telegram_id: int
    name: str
    role: str
    locale: str | None
    created_at: datetime
    spoken: str = ""

    @property
    def language(self) -> str:
        return self.locale or self.spoken or "en"


@dataclass(frozen=True)
class Pending:
    """Somebody who wrote to the bot and has a code, not known here, until ``expires_at``."""

    telegram_id: int
    name: str
    expires_at: datetime


COLUMNS = "telegram_id, name, role, locale, created_at, spoken"
ADMIN = f"select {COLUMNS} from telegram_admin where telegram_id = $1"


async def admin(db: Db, telegram_id: int) -> Admin | None:
    row = await db.fetchrow(ADMIN, telegram_id)
    return Admin(**row) if row else None


ADMINS = f"select {COLUMNS} from telegram_admin order by created_at, telegram_id"


async def admins(db: Db) -> list[Admin]:
    """The allow-list, the eldest first."""
    return [Admin(**row) for row in await db.fetch(ADMINS)]


READERS = f"select {COLUMNS} from telegram_admin order by created_at, telegram_id for share"


async def readers(db: Db) -> list[Admin]:
    """The allow-list, as it stays until the transaction ends: what is written to them by then is taken back with their role."""
    return [Admin(**row) for row in await db.fetch(READERS)]


SET_SPOKEN = "update telegram_admin set spoken = $2 where telegram_id = $1"


async def set_spoken(db: Db, telegram_id: int, language: str) -> None:
    """In which language their Telegram is."""
    await db.execute(SET_SPOKEN, telegram_id, language)


SET_LOCALE = "update telegram_admin set locale = $2 where telegram_id = $1"


async def set_locale(db: Db, telegram_id: int, locale: str) -> None:
    """In which language the bot speaks with them."""
    await db.execute(SET_LOCALE, telegram_id, locale)


ONE_AT_A_TIME = "select pg_advisory_xact_lock(hashtextextended('telegram pairing', 0))"
REVOKE = f"delete from telegram_admin where telegram_id = $1 returning {COLUMNS}"


async def revoke(db: Db, telegram_id: int, actor: str, *, even_the_last: bool = False) -> Admin:
    """Take somebody off the allow-list, from their next tap on. Raises NotFound, and Refused when no owner would be left,
    unless ``even_the_last`` is to go."""
    async with db.transaction() as tx:
        await tx.execute(ONE_AT_A_TIME)
        owners = [each.telegram_id for each in await admins(tx) if each.role == "owner"]
        is_last = owners == [telegram_id]
        if is_last and not even_the_last:
            words = (
                "That is the last owner: nobody could steer by Telegram any more. `--last` shuts them out all the same."
            )
            raise Refused(words, field="telegram_id")
        row = await tx.fetchrow(REVOKE, telegram_id)
        if row is None:
            raise NotFound(f"No admin has the Telegram id {telegram_id}.")
        gone = Admin(**row)
        await notices.withhold_alerts(tx, telegram_id)
        before = {"name": gone.name, "role": gone.role}
        after = {"owners_left": 0} if is_last else None
        await audit.record(tx, actor, "telegram.revoke", f"telegram {telegram_id}", before, after)
        return gone


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
    is_new = await db.fetchval(ASK, telegram_id, printable(name), _hash(code), CODE_MINUTES, float(CODE_PAUSE), spoken)
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
        await tx.execute(ONE_AT_A_TIME)
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
returning {COLUMNS}
"""


async def confirm(db: Db, code: str, *, actor: str, role: str | None = None) -> Admin:
    """Let in whoever has this code, once, as ``becomes`` says. Raises Refused, counting wrong codes like
    ``pending_by_code``."""
    await pending_by_code(db, code)
    async with db.transaction() as tx:
        await tx.execute(ONE_AT_A_TIME)
        used = await tx.fetchrow(USE_UP, _hash(code))
        if not used:
            raise Refused("That code was used a moment ago.", field="code")
        telegram_id = used["telegram_id"]
        known, role = await admin(tx, telegram_id), await becomes(tx, telegram_id, role)
        row = await tx.fetchrow(LET_IN, telegram_id, used["name"], role, used["spoken"])
        assert row is not None
        if known and _sees_less(known.role, role):
            await notices.withhold_alerts(tx, telegram_id, but_for_all=True)
        before = {"name": known.name, "role": known.role} if known else None
        after = {"name": row["name"], "role": row["role"]}
        await audit.record(tx, actor, "telegram.pair", f"telegram {telegram_id}", before, after)
        return Admin(**row)


async def becomes(db: Db, telegram_id: int, role: str | None) -> str:
    """The role in which somebody is let in: the one that was asked for; else that which they have, ``owner`` for the first
    of all, and ``viewer`` for everybody after. Raises Refused when there would be no owner."""
    others = [each for each in await admins(db) if each.telegram_id != telegram_id]
    known = await admin(db, telegram_id)
    chosen = role or (known.role if known else "viewer" if others else "owner")
    return _checked_role(chosen, others)


def _checked_role(role: str, others: list[Admin]) -> str:
    if role not in ROLES:
        raise Refused(f"A role is one of {', '.join(ROLES)}, not {role[:20]!r}.", field="role")
    if role != "owner" and not any(other.role == "owner" for other in others):
        raise Refused("Somebody has to be the owner, and there is no other.", field="role")
    return role


def _sees_less(before: str, after: str) -> bool:
    """What was written for them by then may tell of money, which they do not see any more."""
    return before in BOOKKEEPERS and after not in BOOKKEEPERS


SET_ROLE = f"update telegram_admin set role = $2 where telegram_id = $1 returning {COLUMNS}"


async def set_role(db: Db, telegram_id: int, role: str, actor: str) -> Admin:
    """What they may, from their next tap on. Raises NotFound, and Refused when there would be no owner."""
    async with db.transaction() as tx:
        await tx.execute(ONE_AT_A_TIME)
        known = await admin(tx, telegram_id)
        if known is None:
            raise NotFound(f"No admin has the Telegram id {telegram_id}.")
        row = await tx.fetchrow(SET_ROLE, telegram_id, await becomes(tx, telegram_id, role))
        assert row is not None
        if _sees_less(known.role, role):
            await notices.withhold_alerts(tx, telegram_id, but_for_all=True)
        if known.role != role:
            subject = f"telegram {telegram_id}"
            await audit.record(tx, actor, "telegram.role", subject, {"role": known.role}, {"role": role})
        return Admin(**row)


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
