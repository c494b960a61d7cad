"""The reception: what the command line does for people."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote
from uuid import UUID

from limner.runtime import passwords, zipstream
from limner.runtime.config import Config
from limner.runtime.database import Db
from limner.runtime.errors import NotFound
from limner.runtime.opening import open_briefly
from limner.runtime.storage import open_storage
from limner.sql import (
    accounts,
    admission,
    audit,
    confirmations,
    erasure,
    invitations,
    ledger,
    sessions,
    sign_ins,
    subscriptions,
    takeout,
)
from limner.sql.accounts import Account

ME = "cli"


async def create(config: Config, email: str, role: str, password: str | None) -> list[str]:
    """Without a password: with a link to choose one. The operator needs no invitation and may take any domain."""
    email = admission.address(email)
    chosen = passwords.hash_nothing() if password is None else passwords.hash_new(password, about=(email, "Limner"))
    known = await chosen
    async with open_briefly(config) as db:
        async with db.transaction() as tx:
            account = await accounts.create(tx, email, known, role=role, is_verified=True)
            await audit.record(tx, ME, "account.create", account.email, None, {"role": role})
        said = [f"{account.email} is {role} now"]
        if password is None:
            said += [f"a password is chosen at {await _link(db, config, account)}", "once, within 60 minutes"]
        return said


async def promote(config: Config, email: str, role: str) -> str:
    async with open_briefly(config) as db:
        account = await named(db, email)
        async with db.transaction() as tx:
            await accounts.set_role(tx, account, role, actor=ME)
            if role != account.role:
                await sessions.end_all(tx, account.id)
        return f"{account.email} is {role} now"


async def ban(config: Config, email: str, reason: str) -> str:
    async with open_briefly(config) as db:
        account = await named(db, email)
        await accounts.ban(db, account, reason, actor=ME)
        return f"{account.email} is shut out"


async def unban(config: Config, email: str, reason: str) -> str:
    async with open_briefly(config) as db:
        account = await named(db, email)
        await accounts.unban(db, account, reason, actor=ME)
        return f"{account.email} may come in again"


async def verify(config: Config, email: str) -> str:
    async with open_briefly(config) as db:
        account = await named(db, email)
        done = await confirmations.verify_by_hand(db, account, actor=ME)
        return f"{account.email} is confirmed" if done else f"{account.email} was confirmed already"


async def reset_link(config: Config, email: str) -> str:
    async with open_briefly(config) as db:
        return await _link(db, config, await named(db, email))


async def _link(db: Db, config: Config, account: Account) -> str:
    return await confirmations.reset_link(db, account, config.public_url, config.secret_keys, actor=ME)


async def listing(config: Config, search: str, count: int) -> list[str]:
    async with open_briefly(config) as db:
        return [
            f"{each['email']:<40} {each['role']:<8} {_state(each):<9} {each['available']:>6} credits  "
            f"{each['created_at']:%Y-%m-%d}  {each['plan'] or ''}".rstrip()
            for each in await accounts.listing(db, search=search, count=count)
        ] or ["nobody"]


def _state(each: dict[str, object]) -> str:
    return "deleted" if each["deleted_at"] else "banned" if each["banned_at"] else str(each["state"] or "")


async def show(config: Config, email: str) -> list[str]:
    async with open_briefly(config) as db:
        account = await named(db, email)
        plan, balance = await subscriptions.alive(db, account.id), await ledger.balance(db, account.id)
        lines = [
            f"{account.email}  {account.id}",
            f"role      {account.role}, mails in {account.locale}, since {account.created_at:%Y-%m-%d}",
            f"address   {f'confirmed {account.verified_at:%Y-%m-%d}' if account.verified_at else 'not confirmed'}",
            f"plan      {f'{plan.plan.name}, {plan.state}, until {plan.period_end}' if plan else 'none'}",
            f"credits   {balance.available} available, {balance.held} held, {balance.spent} spent",
            f"sessions  {len(await sessions.of_account(db, account.id, b''))}",
        ]
        lines += [f"banned    {account.banned_at:%Y-%m-%d}: {account.ban_reason}"] if account.banned_at else []
        return lines + [
            f"sign-in   {each.created_at:%Y-%m-%d %H:%M} {'refused' if each.is_refused else 'by ' + each.way} from {each.ip}"
            for each in await sign_ins.of_account(db, account.id, 5)
        ]


async def export(config: Config, email: str, file: Path) -> str:
    """Into a new file that only its owner reads."""
    async with open_briefly(config) as db, open_storage(config) as storage:
        account = await named(db, email)
        size = 0
        with open(file, "xb", opener=_for_its_owner) as target:  # noqa: ASYNC230 - nobody waits but who asked
            async for piece in zipstream.archive(takeout.entries(db, storage, account.id)):
                size += target.write(piece)
        await audit.record(db, ME, "account.export", account.email, None, None)
        return f"{account.email} is in {file}, {size:,} bytes"


def _for_its_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


async def delete(config: Config, email: str, reason: str) -> str:
    async with open_briefly(config) as db:
        account = await named(db, email)
        await erasure.erase(db, account.id, actor=ME, why=reason)
        return f"{account.email} is deleted; a worker wipes the pictures"


async def invite(config: Config, uses: int, days: int, note: str, reason: str) -> str:
    async with open_briefly(config) as db:
        code = await invitations.create(db, uses=uses, days=days, note=note, reason=reason, actor=ME)
        return f"{config.public_url}/register?invite={quote(code)}"


async def list_invitations(config: Config) -> list[str]:
    async with open_briefly(config) as db:
        return [
            f"{each.id}  {each.hint}…  {each.state:<8} {each.uses} of {each.most_uses}  until {each.expires_at:%Y-%m-%d}"
            f"  {each.note}".rstrip()
            for each in await invitations.listing(db)
        ] or ["nobody was invited"]


async def revoke_invitation(config: Config, invitation_id: UUID, reason: str) -> str:
    async with open_briefly(config) as db:
        await invitations.revoke(db, invitation_id, reason, actor=ME)
        return "it is revoked"


async def named(db: Db, email: str) -> Account:
    """Raises NotFound."""
    account = await accounts.find(db, email)
    if account is None:
        raise NotFound(f"There is no account {email!r}.")
    return account
