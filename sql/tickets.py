"""Tickets: what a link in a mail allows, once and for a while."""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from limner.runtime.database import Db, affected
from limner.runtime.errors import Refused

PATHS = {"verify": "/verify/", "reset": "/reset/", "change_email": "/email/"}
"""Where the link of a ticket leads, by its purpose; the secret follows."""


class LinkSpent(Refused):
    """This link was used already, is too old, or was replaced by a newer one. Ask for a new one."""

    status = 410

    def __init__(self) -> None:
        super().__init__(self.__doc__ or "", code="link_spent")


@dataclass(frozen=True)
class Ticket:
    id: UUID
    account_id: UUID
    purpose: str
    details: dict[str, Any]


WITHDRAW = "update ticket set used_at = now() where account_id = $1 and purpose = $2 and used_at is null"
ISSUE = """
insert into ticket (account_id, purpose, details, expires_at) values ($1, $2, $3, now() + make_interval(mins => $4))
returning id
"""


async def issue(db: Db, account_id: UUID, purpose: str, *, minutes: int, details: dict[str, Any] | None = None) -> UUID:
    """A new ticket; every older one of this account for the same purpose ends."""
    async with db.transaction() as tx:
        await tx.execute(WITHDRAW, account_id, purpose)
        return await tx.fetchval(ISSUE, account_id, purpose, details or {}, minutes)  # type: ignore[no-any-return]


async def withdraw(db: Db, account_id: UUID, purpose: str) -> None:
    """What was issued for it and not used yet ends."""
    await db.execute(WITHDRAW, account_id, purpose)


def secret(ticket_id: UUID, secret_keys: Sequence[str]) -> str:
    """What stands in the link: the id, and an HMAC of it under the first of the keys. The database never holds it."""
    return _encoded(ticket_id.bytes + _mark(ticket_id.bytes, secret_keys[0]))


def link(ticket_id: UUID, purpose: str, public_url: str, secret_keys: Sequence[str]) -> str:
    """The whole address, for a mail or for an admin to pass on. Raises KeyError for a purpose without a path."""
    return f"{public_url}{PATHS[purpose]}{secret(ticket_id, secret_keys)}"


LOOK = """
select id, account_id, purpose, details from ticket
where id = $1 and purpose = $2 and used_at is null and expires_at > now()
"""
USE = """
update ticket set used_at = now() where id = $1 and purpose = $2 and used_at is null and expires_at > now()
returning id, account_id, purpose, details
"""


async def look(db: Db, given: str, purpose: str, secret_keys: Sequence[str]) -> Ticket:
    """The ticket of a link that still holds, unused. Raises LinkSpent."""
    return _ticket(await db.fetchrow(LOOK, _ticket_id(given, secret_keys), purpose))


async def use(db: Db, given: str, purpose: str, secret_keys: Sequence[str]) -> Ticket:
    """The same, and it ends, in the transaction of what it allows. Raises LinkSpent."""
    return _ticket(await db.fetchrow(USE, _ticket_id(given, secret_keys), purpose))


FORGET = "delete from ticket where expires_at < now() - interval '30 days'"


async def forget_old(db: Db) -> int:
    """Delete those that expired long ago; returns how many."""
    return affected(await db.execute(FORGET))


def _ticket(row: Any) -> Ticket:
    if row is None:
        raise LinkSpent
    return Ticket(**row)


def _ticket_id(given: str, secret_keys: Sequence[str]) -> UUID:
    """Raises LinkSpent for what was not made with one of the keys."""
    try:
        decoded = urlsafe_b64decode(given.encode() + b"=" * (-len(given) % 4))
    except (NotBase64, ValueError):
        raise LinkSpent from None
    held = [hmac.compare_digest(_mark(decoded[:16], key), decoded[16:]) for key in secret_keys]
    if len(decoded) != 48 or not any(held):
        raise LinkSpent
    return UUID(bytes=decoded[:16])


def _mark(ticket_id: bytes, key: str) -> bytes:
    return hmac.new(key.encode(), b"ticket:" + ticket_id, hashlib.sha256).digest()


def _encoded(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
