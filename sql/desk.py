"""The operator's desk: what the command line does to a running studio."""

from __future__ import annotations

from limner.runtime import presence
from limner.runtime.config import Config
from limner.runtime.database import open_database
from limner.runtime.errors import NotFound
from limner.runtime.vault import Vault
from limner.sql import accounts, keys, overview, telegram

ME = "cli"


async def add_key(config: Config, provider: str, label: str, secret: str, **options: object) -> str:
    async with open_database(config.dsn, role="cli", pool=2) as db:
        key_id = await keys.add(db, Vault.from_config(config), provider, label, secret, actor=ME, **options)  # type: ignore[arg-type]
        return f"key {key_id} is in the pool of {provider}"


async def list_keys(config: Config) -> list[str]:
    async with open_database(config.dsn, role="cli", pool=2) as db:
        return [
            f"{key['id']:>4}  {key['provider']:<12} {key['last4']:<6} {key['state']:<14} {key['label']}"
            + (f"  ({key['why']})" if key["why"] else "")
            for key in await keys.listing(db)
        ]


async def promote(config: Config, email: str, role: str) -> str:
    async with open_database(config.dsn, role="cli", pool=2) as db:
        account = await accounts.find(db, email)
        if account is None:
            raise NotFound(f"There is no account {email!r}.")
        await accounts.set_role(db, account, role, actor=ME)
        return f"{account.email} is {role} now"


async def tree(config: Config) -> list[str]:
    """Every living process with its children, then every mailbox that holds something."""
    async with open_database(config.dsn, role="cli", pool=2) as db:
        processes = [worker for worker in await overview.workers(db, config.lease) if worker.is_alive]
        return [line for worker in processes for line in _process(worker)] + _mailboxes(await overview.depths(db))


def _process(worker: overview.Worker) -> list[str]:
    state = "paused" if worker.paused else worker.state
    return [f"{worker.role:<8} {str(worker.id)[:8]}  {worker.host}:{worker.pid}  {state}"] + [
        f"  {child['name']:<12} {child.get('state', ''):<10}"
        + (
            f" in hand {child['in_hand']}, handled {child['handled']}, failed {child['failed']}"
            if "mailbox" in child
            else ""
        )
        + (f"  restarted {child['restarts']} times: {child['last_error']}" if child.get("restarts") else "")
        for child in worker.children
    ]


def _mailboxes(depths: list[overview.Depth]) -> list[str]:
    head = f"{'mailbox':<14}{'waiting':>9}{'in hand':>9}{'later':>9}{'oldest':>10}{'dead in 24 h':>14}"
    rows = [f"{d.mailbox:<14}{d.waiting:>9}{d.in_hand:>9}{d.later:>9}{d.oldest:>8.0f} s{d.dead:>14}" for d in depths]
    return ["", head, *rows] if rows else ["", "every mailbox is empty"]


async def pause(config: Config, workers: str, *, paused: bool) -> str:
    async with open_database(config.dsn, role="cli", pool=2) as db:
        asked = await presence.pause(db, workers, paused=paused)
        if not asked:
            raise NotFound(f"No living process has an id that begins with {workers!r}; `limner actors` shows them.")
        return f"{asked} asked to {'take nothing new' if paused else 'go on'}"


async def who_has_code(config: Config, code: str) -> str:
    async with open_database(config.dsn, role="cli", pool=2) as db:
        pending = await telegram.pending_by_code(db, code)
        return f"{telegram.printable(pending.name)} (Telegram id {pending.telegram_id})"


async def pair(config: Config, code: str) -> str:
    async with open_database(config.dsn, role="cli", pool=2) as db:
        admin = await telegram.confirm(db, code, actor=ME)
        return f"{telegram.printable(admin.name)} may steer this studio now"


async def list_paired(config: Config) -> list[str]:
    async with open_database(config.dsn, role="cli", pool=2) as db:
        return [
            f"{each.telegram_id:>14}  {each.role:<9} {telegram.printable(each.name)}"
            for each in await telegram.admins(db)
        ] or ["nobody is paired: write to the bot, and it tells you a code"]


async def unpair(config: Config, telegram_id: int) -> str:
    async with open_database(config.dsn, role="cli", pool=2) as db:
        admin = await telegram.revoke(db, telegram_id, ME)
        return f"{telegram.printable(admin.name)} is shut out"


async def forget_codes(config: Config) -> str:
    async with open_database(config.dsn, role="cli", pool=2) as db:
        return f"{await telegram.cleanup(db)} forgotten"
