"""The operator's desk: what the command line does to a running studio."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from limner.runtime import presence
from limner.runtime.config import Config
from limner.runtime.database import Database
from limner.runtime.errors import NotFound
from limner.runtime.opening import open_briefly
from limner.runtime.storage import open_storage
from limner.runtime.vault import Vault
from limner.sql import (
    accounts,
    books,
    chain,
    crew,
    factors,
    keys,
    pairings,
    roster,
    sightings,
    telegram,
    tokens,
    vaults,
)
from limner.sql.accounts import Account
from limner.sql.chain import Anchor

ME = "cli"


async def add_key(config: Config, provider: str, label: str, secret: str, **options: object) -> str:
    async with open_briefly(config) as db:
        await vaults.admit(db, config)
        key_id = await keys.add(db, Vault.from_config(config), provider, label, secret, actor=ME, **options)  # type: ignore[arg-type]
        return f"key {key_id} is in the pool of {provider}"


async def list_keys(config: Config) -> list[str]:
    async with open_briefly(config) as db:
        return [
            f"{key['id']:>4}  {key['provider']:<12} {key['last4']:<6} {key['state']:<14} {key['label']}"
            + (f"  ({key['why']})" if key["why"] else "")
            for key in await keys.listing(db)
        ]


async def reset_factor(config: Config, email: str) -> str:
    async with open_briefly(config) as db:
        account = await _account(db, email)
        if not await factors.reset(db, account, actor=ME):
            return f"{account.email} has no second factor"
        return f"{account.email} signs in with the password alone now; every session of theirs is ended"


async def create_token(config: Config, email: str, name: str, **caps: Any) -> str:
    async with open_briefly(config) as db:
        return await tokens.create(db, await _account(db, email), name, _caps(**caps), actor=ME)


def _caps(
    scopes: tuple[str, ...], per_day: int | None, per_month: int | None, models: tuple[str, ...],
    networks: tuple[str, ...], expires: datetime | None,
) -> tokens.Caps:  # fmt: skip
    until = expires and expires.replace(tzinfo=UTC)
    allowed = tokens.networks(" ".join(networks))
    return tokens.Caps(scopes or tokens.SCOPES, per_day, per_month, models or None, allowed, until)


async def list_tokens(config: Config, email: str) -> list[str]:
    async with open_briefly(config) as db:
        account = await _account(db, email)
        return [
            f"{token.id}  …{token.last_four}  {token.state:<8} {token.spent_today:>6} today "
            f"{token.spent_this_month:>6} this month  {token.name}"
            for token in await tokens.of_account(db, account.id)
        ] or [f"{account.email} has no tokens"]


async def revoke_token(config: Config, token_id: UUID) -> str:
    async with open_briefly(config) as db:
        return f"{await tokens.revoke(db, token_id, owner=None, actor=ME)!r} is revoked"


async def _account(db: Database, email: str) -> Account:
    account = await accounts.find(db, email)
    if account is None:
        raise NotFound(f"There is no account {email!r}.")
    return account


async def tree(config: Config) -> list[str]:
    """Every living process with its children, then every mailbox that is worked for or holds something."""
    return roster.lines(*await _crew(config))


async def census(config: Config) -> dict[str, Any]:
    """The same, fit for JSON."""
    return roster.data(*await _crew(config))


async def _crew(config: Config) -> tuple[list[crew.Process], list[crew.Depth]]:
    async with open_briefly(config) as db:
        return await crew.processes(db, config.lease), await crew.depths(db)


async def verify_books(config: Config, *, deep: bool) -> list[books.Finding]:
    async with open_briefly(config) as db, open_storage(config) as storage:
        return await books.verify(db, storage, deep=deep, live=True)


async def verify_audit(config: Config, since: str | None, expect: tuple[str, ...]) -> dict[str, Any]:
    """What came of it, fit for JSON. When all of it holds again, the watchman need not wait for the walk of the night."""
    start, known = chain.START if since is None else Anchor.read(since), [Anchor.read(each) for each in expect]
    async with open_briefly(config) as db:
        found = await chain.verify(db, since=start, expect=known)
        if found.is_whole and start == chain.START:
            await sightings.mended(db, "audit")
    return {
        "whole": found.is_whole, "links": found.links, "rows": found.rows, "erased": found.erased,
        "head": str(found.head) if found.is_whole else None, "broken": found.broken or None, "guards": found.missing_guards,
    }  # fmt: skip


async def pause(config: Config, workers: str, *, paused: bool) -> str:
    async with open_briefly(config) as db:
        asked = await presence.pause(db, workers, paused=paused)
        if not asked:
            raise NotFound(f"No living process has an id that begins with {workers!r}; `limner actors` shows them.")
        return f"{asked} asked to {'take nothing new' if paused else 'go on'}"


async def who_has_code(config: Config, code: str, role: str | None) -> str:
    async with open_briefly(config) as db:
        pending = await pairings.pending_by_code(db, code)
        role = await telegram.becomes(db, pending.telegram_id, role)
        return f"{telegram.printable(pending.name)} (Telegram id {pending.telegram_id}) as {role}"


async def pair(config: Config, code: str, role: str | None) -> str:
    async with open_briefly(config) as db:
        admin = await pairings.confirm(db, code, actor=ME, role=role)
        return f"{telegram.printable(admin.name)} may steer this studio now, as {admin.role}"


async def set_pair_role(config: Config, telegram_id: int, role: str) -> str:
    async with open_briefly(config) as db:
        admin = await telegram.set_role(db, telegram_id, role, ME)
        return f"{telegram.printable(admin.name)} is {admin.role} now"


async def list_paired(config: Config) -> list[str]:
    async with open_briefly(config) as db:
        return [
            f"{each.telegram_id:>14}  {each.role:<9} {telegram.printable(each.name)}"
            for each in await telegram.admins(db)
        ] or ["nobody is paired: write to the bot, and it tells you a code"]


async def unpair(config: Config, telegram_id: int, *, even_the_last: bool) -> str:
    async with open_briefly(config) as db:
        admin = await telegram.revoke(db, telegram_id, ME, even_the_last=even_the_last)
        return f"{telegram.printable(admin.name)} is shut out"


async def forget_codes(config: Config) -> str:
    async with open_briefly(config) as db:
        return f"{await pairings.forget_old(db) + await telegram.cleanup(db)} forgotten"
