"""Links: accounts elsewhere that open an account here, and the answers of elsewhere that were taken already."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import asyncpg

from limner.runtime.database import Db, affected
from limner.runtime.errors import NotFound, Refused
from limner.sql import accounts, audit, notices
from limner.sql.accounts import Account

PLACE = "/account/security"
"""Where the mails about it lead."""


class TakenElsewhere(Refused):
    """This sign-in belongs to another account here. Take it away there first."""

    status = 409

    def __init__(self) -> None:
        super().__init__(self.__doc__ or "", code="taken_elsewhere")


class AnswerSpent(Refused):
    """This sign-in was used already. Begin it again."""

    def __init__(self) -> None:
        super().__init__(self.__doc__ or "", field="form", code="answer_spent")


@dataclass(frozen=True)
class Link:
    """``label``: as whom one is known there."""

    issuer: str
    subject: str
    label: str
    created_at: datetime
    used_at: datetime | None


OWNER = "update linked_sign_in set used_at = now() where issuer = $1 and subject = $2 returning account_id"


async def owner(db: Db, issuer: str, subject: str) -> Account | None:
    """Whose account it opens; noted as used."""
    account_id = await db.fetchval(OWNER, issuer, subject)
    return None if account_id is None else await accounts.get(db, account_id)


OF_ACCOUNT = """
select issuer, subject, label, created_at, used_at from linked_sign_in where account_id = $1 order by created_at, issuer
"""


async def of_account(db: Db, account_id: UUID) -> Sequence[Link]:
    return [Link(**row) for row in await db.fetch(OF_ACCOUNT, account_id)]


LINK = """
insert into linked_sign_in as l (issuer, subject, account_id, label) values ($1, $2, $3, $4)
on conflict (issuer, subject) do update set label = excluded.label where l.account_id = excluded.account_id
returning created_at = now()
"""
FORMER = "delete from linked_sign_in where account_id = $1 and issuer = $2 and subject <> $3"


async def link(
    db: Db, account: Account, issuer: str, subject: str, label: str, *, provider: str, actor: str, ip: str
) -> None:
    """From now on it opens this account, in place of another one of the same issuer. Raises TakenElsewhere.

    ``provider``: what people call the issuer. The owner is told when it is new.
    """
    async with db.transaction() as tx:
        await tx.execute(FORMER, account.id, issuer, subject)
        is_new = await _linked(tx, account, issuer, subject, label)
        if is_new:
            await audit.record(tx, actor, "account.sign_in_linked", account.email, None, {"issuer": issuer}, ip=ip)
            details = {"provider": provider, "at": datetime.now(UTC).isoformat(), "path": PLACE}
            await notices.mail(tx, account.email, "sign_in_linked", locale=account.locale, details=details)


async def _linked(db: Db, account: Account, issuer: str, subject: str, label: str) -> bool:
    try:
        async with db.transaction() as tx:
            is_new = await tx.fetchval(LINK, issuer, subject, account.id, label[:254])
    except asyncpg.UniqueViolationError as error:
        raise TakenElsewhere from error
    if is_new is None:
        raise TakenElsewhere
    return bool(is_new)


UNLINK = "delete from linked_sign_in where account_id = $1 and issuer = $2"


async def unlink(db: Db, account: Account, issuer: str, *, actor: str, ip: str) -> None:
    """Raises NotFound when there is none."""
    async with db.transaction() as tx:
        if not affected(await tx.execute(UNLINK, account.id, issuer)):
            raise NotFound("There is no such sign-in to take away.")
        await audit.record(tx, actor, "account.sign_in_unlinked", account.email, {"issuer": issuer}, None, ip=ip)


SPEND = """
insert into spent_answer (digest, expires_at) values ($1, now() + make_interval(secs => $2))
on conflict (digest) do nothing
returning true
"""


async def spend(db: Db, what: str, seconds: float) -> None:
    """Take an answer, once; remembered until it would be too old anyway. Raises AnswerSpent."""
    if not await db.fetchval(SPEND, hashlib.sha256(what.encode(errors="replace")).digest(), float(seconds)):
        raise AnswerSpent


async def forget_spent(db: Db) -> int:
    return affected(await db.execute("delete from spent_answer where expires_at < now()"))
