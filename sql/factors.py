"""Second factors: an authenticator app's secret, sealed, and recovery codes, hashed; each code is taken once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from limner.runtime import otp
from limner.runtime.database import Db
from limner.runtime.errors import Refused
from limner.runtime.vault import Vault
from limner.sql import audit, notices, throttles
from limner.sql.accounts import Account

CODES = 10
"""Recovery codes in a set."""
PLACE = "/account/security"
"""Where the mails about it lead."""


class WrongCode(Refused):
    """This code does not fit, or it was used already. Wait for the next one."""

    def __init__(self) -> None:
        super().__init__(self.__doc__ or "", field="code", code="wrong_code")


class AlreadyOn(Refused):
    """There is a second factor already: switch it off first."""

    status = 409

    def __init__(self) -> None:
        super().__init__(self.__doc__ or "", code="already_on")


class NotOn(Refused):
    """There is no second factor to do this with: set one up first."""

    status = 409

    def __init__(self) -> None:
        super().__init__(self.__doc__ or "", code="not_on")


def bound_to(account_id: UUID) -> str:
    """The one place where the sealed secret may be opened."""
    return f"second_factor/{account_id}/sealed_secret"


@dataclass(frozen=True)
class Standing:
    """``confirmed_at``: since when it counts. ``codes_left``: recovery codes not used yet."""

    confirmed_at: datetime
    codes_left: int


STANDING = """
select confirmed_at, (select count(*) from recovery_code as r where r.account_id = f.account_id and r.used_at is null)
    as codes_left
from second_factor as f where account_id = $1 and confirmed_at is not null
"""


async def standing(db: Db, account_id: UUID) -> Standing | None:
    """None: it is off."""
    row = await db.fetchrow(STANDING, account_id)
    return None if row is None else Standing(**row)


BEGIN = """
insert into second_factor as f (account_id, sealed_secret) values ($1, $2)
on conflict (account_id) do update set sealed_secret = excluded.sealed_secret, created_at = now()
where f.confirmed_at is null
returning true
"""


async def begin(db: Db, vault: Vault, account_id: UUID) -> None:
    """A new secret, in place of one that was never confirmed. Raises AlreadyOn."""
    sealed = vault.seal(otp.fresh_secret(), bound_to=bound_to(account_id))
    if not await db.fetchval(BEGIN, account_id, sealed):
        raise AlreadyOn


UNCONFIRMED = "select sealed_secret from second_factor where account_id = $1 and confirmed_at is null"


async def unconfirmed(db: Db, vault: Vault, account_id: UUID) -> str | None:
    """The secret that waits for its first code; None when none does."""
    sealed = await db.fetchval(UNCONFIRMED, account_id)
    return None if sealed is None else vault.open(sealed, bound_to=bound_to(account_id))


BEGUN = "select exists (select from second_factor where account_id = $1 and confirmed_at is null)"


async def is_begun(db: Db, account_id: UUID) -> bool:
    """Whether a secret waits for its first code."""
    return bool(await db.fetchval(BEGUN, account_id))


CONFIRM = """
update second_factor set confirmed_at = now(), last_step = $2
where account_id = $1 and sealed_secret = $3 and confirmed_at is null
returning true
"""


async def confirm(db: Db, vault: Vault, account: Account, code: str, *, ip: str) -> list[str]:
    """From now on it counts. Returns the recovery codes, this once. Raises WrongCode, NotOn, AlreadyOn, TooMany."""
    await throttles.take(db, throttles.CODE_BY_ACCOUNT, _bucket(account.id))
    async with db.transaction() as tx:
        sealed, now = await tx.fetchval(UNCONFIRMED, account.id), await _now(tx)
        if sealed is None:
            raise AlreadyOn if await standing(tx, account.id) else NotOn
        step = otp.step_of(vault.open(sealed, bound_to=bound_to(account.id)), _plain(code), now)
        if step is None:
            raise WrongCode
        if not await tx.fetchval(CONFIRM, account.id, step, sealed):
            raise AlreadyOn
        codes = await _new_codes(tx, account.id)
        await audit.record(tx, account.email, "account.totp_on", account.email, None, None, ip=ip)
        await _tell(tx, account, "totp_on")
    await throttles.clear(db, _bucket(account.id))
    return codes


CONFIRMED = """
select sealed_secret, extract(epoch from now())::float8 as now from second_factor
where account_id = $1 and confirmed_at is not null
"""
TAKE_STEP = """
update second_factor set last_step = $2 where account_id = $1 and last_step < $2 and confirmed_at is not null
returning true
"""
TAKE_CODE = """
update recovery_code set used_at = now() where account_id = $1 and digest = $2 and used_at is null
returning true
"""


async def check(db: Db, vault: Vault, account: Account, code: str, *, ip: str) -> None:
    """Take a code of the app or a recovery code, once. Raises WrongCode, NotOn, TooMany."""
    await throttles.take(db, throttles.CODE_BY_ACCOUNT, _bucket(account.id))
    row = await db.fetchrow(CONFIRMED, account.id)
    if row is None:
        raise NotOn
    plain = _plain(code)
    if len(plain) == 6:
        step = otp.step_of(vault.open(row["sealed_secret"], bound_to=bound_to(account.id)), plain, row["now"])
        if step is None or not await db.fetchval(TAKE_STEP, account.id, step):
            raise WrongCode
    else:
        await _take_recovery_code(db, account, plain, ip)
    await throttles.clear(db, _bucket(account.id))


async def _take_recovery_code(db: Db, account: Account, plain: str, ip: str) -> None:
    async with db.transaction() as tx:
        if not await tx.fetchval(TAKE_CODE, account.id, _digest(account.id, plain)):
            raise WrongCode
        found = await standing(tx, account.id)
        left = {"left": found.codes_left if found else 0}
        await audit.record(tx, account.email, "account.recovery_code", account.email, None, left, ip=ip)


async def renew(db: Db, account: Account, *, ip: str) -> list[str]:
    """Ten new recovery codes in place of the old ones. Raises NotOn."""
    async with db.transaction() as tx:
        if await standing(tx, account.id) is None:
            raise NotOn
        codes = await _new_codes(tx, account.id)
        await audit.record(tx, account.email, "account.recovery_codes", account.email, None, {"new": CODES}, ip=ip)
        return codes


REMOVE = "delete from second_factor where account_id = $1 returning confirmed_at is not null"


async def switch_off(db: Db, account: Account, *, actor: str, ip: str = "", action: str = "account.totp_off") -> bool:
    """Secret and codes are gone. False when it was off. The owner is told."""
    async with db.transaction() as tx:
        if not await tx.fetchval(REMOVE, account.id):
            return False
        await audit.record(tx, actor, action, account.email, None, None, ip=ip)
        await _tell(tx, account, "totp_off")
        return True


END_SESSIONS = "delete from session where account_id = $1"
END_PENDING = "delete from pending_sign_in where account_id = $1"


async def reset(db: Db, account: Account, *, actor: str) -> bool:
    """For somebody who lost the app and the codes: it is off, and whoever is signed in signs in anew."""
    async with db.transaction() as tx:
        was_on = await switch_off(tx, account, actor=actor, action="account.totp_reset")
        if was_on:
            await tx.execute(END_SESSIONS, account.id)
            await tx.execute(END_PENDING, account.id)
        return was_on


FORGET_CODES = "delete from recovery_code where account_id = $1"
KEEP_CODES = "insert into recovery_code (account_id, digest) select $1, unnest($2::bytea[])"


async def _new_codes(db: Db, account_id: UUID) -> list[str]:
    codes = [otp.recovery_code() for _ in range(CODES)]
    await db.execute(FORGET_CODES, account_id)
    await db.execute(KEEP_CODES, account_id, [_digest(account_id, _plain(code)) for code in codes])
    return codes


async def _now(db: Db) -> float:
    return float(await db.fetchval("select extract(epoch from now())::float8"))


async def _tell(db: Db, account: Account, template: str) -> None:
    details = {"at": datetime.now(UTC).isoformat(), "path": PLACE}
    await notices.mail(db, account.email, template, locale=account.locale, details=details)


def _plain(code: str) -> str:
    """As it was meant: without the blanks and dashes that people type or leave out."""
    return "".join(sign for sign in code.upper() if sign.isalnum())


def _digest(account_id: UUID, plain: str) -> bytes:
    """80 random bits need no slow hash; the account's id keeps equal codes of two people apart."""
    return hashlib.sha256(account_id.bytes + plain.encode(errors="replace")).digest()


def _bucket(account_id: UUID) -> str:
    return f"code {account_id}"
