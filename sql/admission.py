"""Admission: who may make an account here, and with which address."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from email_validator import EmailNotValidError, validate_email

from limner.runtime.config import Config
from limner.runtime.database import Db
from limner.runtime.errors import Refused
from limner.runtime.log import logger
from limner.sql import accounts, invitations
from limner.sql.accounts import Account
from limner.sql.invitations import NotInvited

log = logger(__name__)

THROWAWAY = Path(__file__).with_name("throwaway_domains.txt")


class RegistrationClosed(Refused):
    """Nobody can make an account here by themselves. Please ask the people who run this place."""

    status = 403

    def __init__(self) -> None:
        super().__init__(self.__doc__ or "", code="registration_closed")


class ThrowawayAddress(Refused):
    """Addresses of this kind are thrown away after a while. Please give one that you keep."""

    def __init__(self) -> None:
        super().__init__(self.__doc__ or "", field="email", code="throwaway_address")


async def register(
    db: Db, config: Config, email: str, password_hash: str, *, invite: str = "", is_verified: bool = False
) -> Account:
    """A new account, if the house takes one with this address and this invitation.

    Raises RegistrationClosed, NotInvited, ThrowawayAddress, EmailTaken.
    """
    check_open(config, invite)
    check_domain(config, email)
    async with db.transaction() as tx:
        invitation_id = await invitations.use(tx, invite) if config.registration == "invite" else None
        account = await accounts.create(tx, email, password_hash, invitation_id=invitation_id, is_verified=is_verified)
    log.info("registered", account=str(account.id))
    return account


def check_open(config: Config, invite: str) -> None:
    """Raises RegistrationClosed, NotInvited when there is no use in going on."""
    if config.registration == "closed":
        raise RegistrationClosed
    if config.registration == "invite" and not invite:
        raise NotInvited("One needs an invitation to make an account here.")


def address(given: str) -> str:
    """An e-mail address as it is kept. Raises Refused."""
    try:
        return validate_email(given, check_deliverability=False).normalized
    except EmailNotValidError:
        raise Refused("This does not look like an e-mail address.", field="email") from None


def check_domain(config: Config, email: str) -> None:
    """Raises ThrowawayAddress for a domain that is blocked, and for what is below one."""
    labels = validate_email(email, check_deliverability=False).ascii_domain.lower().split(".")
    blocked = _throwaway() | set(config.blocked_email_domains)
    if any(".".join(labels[start:]) in blocked for start in range(len(labels))):
        raise ThrowawayAddress


@cache
def _throwaway() -> frozenset[str]:
    lines = (line.partition("#")[0].strip() for line in THROWAWAY.read_text(encoding="utf-8").splitlines())
    return frozenset(line for line in lines if line)
