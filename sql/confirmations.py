"""Confirmations: what somebody proves by a link in a mail: an address, a new address, or that a password may be replaced."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import asyncpg

from limner.runtime.database import Db, Transaction, affected
from limner.runtime.errors import Refused, TooMany
from limner.sql import accounts, audit, notices, sessions, throttles, tickets
from limner.sql.accounts import Account, EmailTaken
from limner.sql.tickets import LinkSpent, Ticket

RESET_MINUTES = 60
CONFIRM_HOURS = 24


class NotVerified(Refused):
    """Please confirm your e-mail address first: on the account page you can have the link sent again."""

    status = 403

    def __init__(self) -> None:
        super().__init__(self.__doc__ or "", code="not_verified")


# Two who ask at the same moment come one after another, so that one link alone is left.
HOLD = f"select {accounts.COLUMNS} from account where id = $1 and deleted_at is null for update"


async def ask_verification(db: Db, account_id: UUID) -> None:
    """Send the link that confirms the account's address; an older one ends. Raises Refused, TooMany."""
    await throttles.take(db, throttles.MAIL_BY_ACCOUNT, f"verify {account_id}")
    async with db.transaction() as tx:
        account = await _hold(tx, account_id)
        if account.verified_at is not None:
            raise Refused("This address is confirmed already.")
        await _send(tx, account, account.email, "verify", "verify_email", minutes=60 * CONFIRM_HOURS)


VERIFY = "update account set verified_at = now() where id = $1 and email = $2 and deleted_at is null"


async def verify(db: Db, given: str, secret_keys: Sequence[str]) -> None:
    """The address that the link was sent to is confirmed. Raises LinkSpent."""
    async with db.transaction() as tx:
        ticket = await tickets.use(tx, given, "verify", secret_keys)
        if not affected(await tx.execute(VERIFY, ticket.account_id, ticket.details["email"])):
            raise LinkSpent


async def ask_reset(db: Db, email: str) -> None:
    """Send the link with which a new password is chosen, if there is such an account. Whoever asks learns nothing."""
    try:
        async with db.transaction() as tx:
            await throttles.take(tx, throttles.MAIL_BY_ACCOUNT, f"reset {email.lower()[:254]}")
            found = await accounts.find(tx, email)
            if found is not None and found.banned_at is None:
                account = await _hold(tx, found.id)
                await _send(tx, account, account.email, "reset", "reset_password", minutes=RESET_MINUTES)
    except TooMany:
        return  # said aloud, it would tell that somebody asked for this address before


async def reset_link(
    db: Db,
    account: Account,
    public_url: str,
    secret_keys: Sequence[str],
    *,
    actor: str,
    reason: str = "",
    ip: str = "",
) -> str:
    """A link that the operator passes on by hand; an older one ends."""
    async with db.transaction() as tx:
        await _hold(tx, account.id)
        ticket_id = await tickets.issue(tx, account.id, "reset", minutes=RESET_MINUTES)
        after = {"minutes": RESET_MINUTES}
        await audit.record(tx, actor, "account.reset_link", account.email, None, after, reason=reason, ip=ip)
    return tickets.link(ticket_id, "reset", public_url, secret_keys)


async def mail_reset(db: Db, account: Account, *, actor: str, reason: str = "", ip: str = "") -> None:
    """The same by mail, on somebody else's word."""
    async with db.transaction() as tx:
        held = await _hold(tx, account.id)
        await _send(tx, held, held.email, "reset", "reset_password", minutes=RESET_MINUTES)
        after = {"minutes": RESET_MINUTES}
        await audit.record(tx, actor, "account.reset_mailed", held.email, None, after, reason=reason, ip=ip)


async def reset(db: Db, given: str, password_hash: str, secret_keys: Sequence[str], *, ip: str = "") -> None:
    """A new password for whom the link was made, and for nobody else: every session ends. Raises LinkSpent."""
    async with db.transaction() as tx:
        ticket = await tickets.use(tx, given, "reset", secret_keys)
        account = await _of_ticket(tx, ticket)
        await replace_password(tx, account, password_hash, actor=account.email, how="a link", ip=ip)
        await sessions.end_all(tx, account.id)
        await throttles.clear(tx, f"login {account.email.lower()}")


async def replace_password(
    tx: Transaction, account: Account, password_hash: str, *, actor: str, how: str, ip: str = ""
) -> None:
    """The password, the mail that tells of it, and the end of every link that was made under the old one."""
    await accounts.set_password(tx, account.id, password_hash)
    for purpose in ("reset", "change_email"):
        await tickets.withdraw(tx, account.id, purpose)
    about = {"at": _now(), "path": "/login"}
    await notices.mail(tx, account.email, "password_changed", locale=account.locale, details=about)
    await audit.record(tx, actor, "account.password", account.email, None, {"by": how}, ip=ip)


async def ask_email_change(db: Db, account_id: UUID, email: str, *, ip: str = "") -> None:
    """Send a link to the new address, and tell the old one. Raises Refused, EmailTaken, TooMany."""
    await throttles.take(db, throttles.MAIL_BY_ACCOUNT, f"change {account_id}")  # it counts though the address is taken
    async with db.transaction() as tx:
        account = await _hold(tx, account_id)
        if email.lower() == account.email.lower():
            raise Refused("That is your address already.", field="email")
        if await accounts.find(tx, email) is not None:
            raise EmailTaken
        await _send(tx, account, email, "change_email", "email_change_confirm", minutes=60 * CONFIRM_HOURS)
        about = {"new_email": email, "path": "/account"}
        await notices.mail(tx, account.email, "email_change_notice", locale=account.locale, details=about)
        await audit.record(tx, account.email, "account.email_asked", account.email, None, None, ip=ip)


REMEMBER = "insert into former_address (account_id, email) values ($1, $2)"
CHANGE = "update account set email = $2, verified_at = now() where id = $1"


async def change_email(db: Db, given: str, secret_keys: Sequence[str], *, ip: str = "") -> str:
    """The new address is the account's from now on, and links that went to the old one end. Raises LinkSpent, EmailTaken."""
    async with db.transaction() as tx:
        ticket = await tickets.use(tx, given, "change_email", secret_keys)
        account, email = await _of_ticket(tx, ticket), str(ticket.details["email"])
        await tx.execute(REMEMBER, account.id, account.email)
        try:
            await tx.execute(CHANGE, account.id, email)
        except asyncpg.UniqueViolationError as error:
            raise EmailTaken from error
        for purpose in ("verify", "reset"):
            await tickets.withdraw(tx, account.id, purpose)
        about = {"new_email": email, "at": _now()}
        await notices.mail(tx, account.email, "email_changed", locale=account.locale, details=about)
        await audit.record(tx, email, "account.email", email, {"email": account.email}, {"email": email}, ip=ip)
        return email


CONFIRM = "update account set verified_at = now() where id = $1 and verified_at is null and deleted_at is null"


async def verify_by_hand(db: Db, account: Account, reason: str = "", *, actor: str, ip: str = "") -> bool:
    """The operator knows that the address is theirs. False when it was confirmed already."""
    async with db.transaction() as tx:
        done = bool(affected(await tx.execute(CONFIRM, account.id)))
        if done:
            await tickets.withdraw(tx, account.id, "verify")
            after = {"by": "hand"} | ({"reason": reason} if reason else {})
            await audit.record(tx, actor, "account.verify", account.email, None, after, ip=ip)
        return done


async def _hold(tx: Transaction, account_id: UUID) -> Account:
    row = await tx.fetchrow(HOLD, account_id)
    if row is None:
        raise LinkSpent
    return Account(**row)


async def _of_ticket(tx: Transaction, ticket: Ticket) -> Account:
    """Whom the link was made for: nobody else's name is taken from anywhere. Raises LinkSpent."""
    return await _hold(tx, ticket.account_id)


async def _send(tx: Transaction, account: Account, to: str, purpose: str, template: str, *, minutes: int) -> None:
    ticket_id = await tickets.issue(tx, account.id, purpose, minutes=minutes, details={"email": to})
    about = {"minutes": minutes} if minutes <= 60 else {"hours": minutes // 60}
    await notices.mail(tx, to, template, locale=account.locale, details=about, ticket_id=ticket_id)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
