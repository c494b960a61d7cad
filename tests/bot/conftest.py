"""A bot beside a Telegram that stands outside: Carol's phone has the id 7, a stranger's 13."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from limner.actors.bot.poller import Poller
from limner.actors.bot.reader import Reader
from limner.actors.bot.telegram import Telegram
from limner.runtime.config import Config
from limner.runtime.database import Database
from limner.runtime.presence import Presence
from limner.sql import alerts, funds
from limner.sql import telegram as books
from limner.sql.alerts import Trouble
from tests.conftest import settings
from tests.upstreams.telegram import TOKEN, Call, FakeTelegram, telegram

CAROL = 7
STRANGER = 13


@pytest.fixture
async def fake() -> AsyncIterator[FakeTelegram]:
    async with telegram() as served:
        yield served


@pytest.fixture
def config(dsn: str, tmp_path: Path, fake: FakeTelegram) -> Config:
    return settings(dsn, tmp_path, bot_token=TOKEN, telegram_url=fake.url)


@pytest.fixture
async def carol(db: Database) -> books.Admin:
    """Carol's phone, paired."""
    return await books.confirm(db, await books.ask(db, CAROL, "Carol"), actor="cli")


@pytest.fixture
async def busy_studio(db, cast):
    """One of each thing that a menu shows: alerts, keys in every state, a fund, processes, a backup that failed."""
    rules = enumerate(("no_worker", "queue_waits", "disk_full", "key_lost", "balance_low"))
    await alerts.see(db, [Trouble(rule, f"Trouble <{number}> " + "x" * 300, rule) for number, rule in rules])
    first = await db.fetchval("select min(id) from provider_key")
    await db.execute("""
        insert into provider_key (provider_id, label, fingerprint, last_four, state, why, returns_by_probe)
        select provider_id, 'Key <' || state || '>', 'f' || state, '…0' || length(state), state, 'because & why', true
        from unnest(array['active', 'cooldown', 'out_of_funds', 'manual_review', 'disabled']) as state,
            (select provider_id from provider_key limit 1) as p
    """)
    await db.execute("""
        insert into provider_key (provider_id, label, fingerprint)
        select provider_id, 'Key ' || n, 'g' || n from generate_series(1, 6) as n,
            (select provider_id from provider_key limit 1) as p
    """)
    await funds.set_left(db, first, 12_500_000, "", actor="cli")
    await db.execute("""
        insert into worker (id, role, host, pid, children, seen_at) values
        (gen_random_uuid(), 'worker', 'brush-1', 1, '[]', now() + interval '1 hour'),
        (gen_random_uuid(), 'archivist', 'vault-1', 1, '[{"name": "x", "state": "crashed"}]', now() + interval '1 hour')
    """)
    await db.execute(
        "insert into backup_run (kind, state, why, ended_at) values ('backup', 'failed', 'no <room>', now())"
    )


@dataclass
class Bot:
    poller: Poller
    reader: Reader
    presence: Presence
    group: anyio.abc.TaskGroup
    stopped: anyio.Event


@contextlib.asynccontextmanager
async def running(db: Database, config: Config, *, calm: float = 0, deaf: float = 90) -> AsyncIterator[Bot]:
    """A bot's two halves, until the block ends."""
    client = Telegram(config)
    presence = Presence(db, "bot", lease=config.lease)
    await presence.beat()
    reader, stopped = Reader(db, client, config), anyio.Event()
    poller = Poller(db, presence, client, wake=reader.wake, stop=stopped.set, calm=calm, deaf=deaf)
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(poller.run)
            group.start_soon(reader.run)
            yield Bot(poller, reader, presence, group, stopped)
            group.cancel_scope.cancel()
    finally:
        await client.close()


async def dashboard(fake: FakeTelegram, person: int = CAROL) -> Call:
    """Write to the bot; returns the message that it answers with."""
    await fake.say(person, "/start")
    return await fake.next("message")


async def tap(fake: FakeTelegram, shown: Call, data: str, *, person: int = CAROL) -> Call:
    """Press a button under a message of the bot; returns what it became, or the message that was sent in its place."""
    await fake.press(person, data, fake.shown(shown))
    return await fake.next("screen")


async def say(fake: FakeTelegram, text: str, *, person: int = CAROL) -> Call:
    """Write what a menu asked for; returns the answer."""
    await fake.say(person, text)
    return await fake.next("message")


async def toast(fake: FakeTelegram) -> str:
    """What the last press brought up for a moment; waits for it."""
    return str((await fake.next("answerCallbackQuery")).args.get("text", ""))
