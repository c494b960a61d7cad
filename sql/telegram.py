"""The Telegram bot's own books: who may use it, in which role, and the inbox of its updates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from limner.runtime.database import Db, affected
from limner.runtime.errors import NotFound, Refused
from limner.sql import audit, dialogue, notices

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


def sees_less(before: str, after: str) -> bool:
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
        if sees_less(known.role, role):
            await notices.withhold_alerts(tx, telegram_id, but_for_all=True)
        if known.role != role:
            subject = f"telegram {telegram_id}"
            await audit.record(tx, actor, "telegram.role", subject, {"role": known.role}, {"role": role})
        return Admin(**row)


# Telegram keeps an update for a day at the most, so an older one cannot come again.
OLD_UPDATES = "delete from telegram_update where handled_at < now() - interval '3 days'"


async def cleanup(db: Db) -> int:
    """Delete old questions and handled updates; returns how many rows."""
    return affected(await db.execute(OLD_UPDATES)) + await dialogue.cleanup(db)


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
