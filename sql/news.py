"""News: who wants messages that go to many people, and the link with which anybody ends them for themselves."""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Sequence
from uuid import UUID

from limner.runtime.database import Db, affected
from limner.runtime.errors import NotFound
from limner.sql import accounts
from limner.sql.accounts import Account

PATH = "/unsubscribe/"

WANTED = "select news_stopped_at is null from account where id = $1"


async def is_wanted(db: Db, account_id: UUID) -> bool:
    return bool(await db.fetchval(WANTED, account_id))


STOP = "update account set news_stopped_at = now() where id = $1 and news_stopped_at is null"
WANT = "update account set news_stopped_at = null where id = $1 and news_stopped_at is not null"


async def choose(db: Db, account_id: UUID, *, wanted: bool) -> bool:
    """Whether they get them from now on, also those of a broadcast that is half-way. False when it was so before."""
    return affected(await db.execute(WANT if wanted else STOP, account_id)) == 1


def link(account_id: UUID, public_url: str, secret_keys: Sequence[str]) -> str:
    """The address that ends them. It holds as long as one of the keys, and allows nothing else."""
    raw = account_id.bytes + _mark(account_id.bytes, secret_keys[0])
    return f"{public_url}{PATH}{urlsafe_b64encode(raw).rstrip(b'=').decode()}"


async def owner(db: Db, given: str, secret_keys: Sequence[str]) -> Account:
    """Whose link it is. Raises NotFound for one that was not made here, or whose account is deleted."""
    account = await accounts.get(db, _account_id(given, secret_keys))
    if account.deleted_at is not None:
        raise NotFound
    return account


def _account_id(given: str, secret_keys: Sequence[str]) -> UUID:
    try:
        decoded = urlsafe_b64decode(given.encode() + b"=" * (-len(given) % 4))
    except (NotBase64, ValueError):
        raise NotFound from None
    held = [hmac.compare_digest(_mark(decoded[:16], key), decoded[16:]) for key in secret_keys]
    if len(decoded) != 32 or not any(held):
        raise NotFound
    return UUID(bytes=decoded[:16])


def _mark(account_id: bytes, key: str) -> bytes:
    return hmac.new(key.encode(), b"news:" + account_id, hashlib.sha256).digest()[:16]
