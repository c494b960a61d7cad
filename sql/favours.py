"""Favours: what an admin does by hand about somebody's account: credits, sign-outs, a link for a new password."""

from __future__ import annotations

from limner.runtime.config import Config
from limner.runtime.database import Db
from limner.runtime.errors import Refused
from limner.sql import audit, confirmations, ledger, pending_sign_ins, sessions
from limner.sql.accounts import Account

MOST_CREDITS = 100_000


async def give(
    db: Db, account: Account, credits: int, reason: str, *, actor: str, ip: str = "", told: str = ""
) -> None:
    """Give credits, or take some back with a negative number, and say so in the audit: in one transaction.

    ``told``: what stands on their statement, where that is not the reason.

    Raises Refused, QuotaExhausted when less than that is there.
    """
    if credits == 0:
        raise Refused("Zero credits change nothing.", field="credits")
    if abs(credits) > MOST_CREDITS:
        raise Refused(f"At most {MOST_CREDITS} credits at a time, not {credits}.", field="credits")
    async with db.transaction() as tx:
        before = (await ledger.locked(tx, account.id)).available
        await ledger.adjust(tx, account.id, credits, told or reason)
        after = {"available": before + credits, "reason": reason}
        await audit.record(tx, actor, "ledger.adjust", account.email, {"available": before}, after, ip=ip)


async def log_out(db: Db, account: Account, reason: str, *, actor: str, ip: str = "") -> int:
    """End every session, and every sign-in that waits for its code. Returns how many sessions there were."""
    async with db.transaction() as tx:
        count = await sessions.end_all(tx, account.id)
        await pending_sign_ins.end_all(tx, account.id)
        before, after = {"sessions": count}, {"sessions": 0, "reason": reason}
        await audit.record(tx, actor, "account.log_out", account.email, before, after, ip=ip)
        return count


async def reset_link(
    db: Db, account: Account, config: Config, *, actor: str, reason: str = "", ip: str = ""
) -> str | None:
    """Mail a link for a new password; without a mail server it is returned, for somebody to pass on. An older one ends.

    Raises Refused for who works in the admin: theirs comes from the server's console alone.
    """
    if account.role != "user":
        raise Refused("Who works in the admin gets a link from the server's console alone: limner user reset-link.")
    if account.banned_at is not None:
        raise Refused("This account is banned or gone.")
    if config.smtp_host is None:
        return await confirmations.reset_link(
            db, account, config.public_url, config.secret_keys, actor=actor, reason=reason, ip=ip
        )
    await confirmations.mail_reset(db, account, actor=actor, reason=reason, ip=ip)
    return None
