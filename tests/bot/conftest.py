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
from limner.sql import telegram as books
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


@dataclass
class Bot:
    poller: Poller
    reader: Reader
    presence: Presence
    group: anyio.abc.TaskGroup
    stopped: anyio.Event


@contextlib.asynccontextmanager
async def running(db: Database, config: Config, *, calm: float = 0) -> AsyncIterator[Bot]:
    """A bot's two halves, until the block ends."""
    client = Telegram(config)
    presence = Presence(db, "bot", lease=config.lease)
    await presence.beat()
    reader, stopped = Reader(db, client, config), anyio.Event()
    poller = Poller(db, presence, client, wake=reader.wake, stop=stopped.set, calm=calm)
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
    """Press a button under a message of the bot; returns what the message became."""
    await fake.press(person, data, fake.shown(shown))
    return await fake.next("edit")


async def say(fake: FakeTelegram, text: str, *, person: int = CAROL) -> Call:
    """Write what a menu asked for; returns the answer."""
    await fake.say(person, text)
    return await fake.next("message")


async def toast(fake: FakeTelegram) -> str:
    """What the last press brought up for a moment; waits for it."""
    return str((await fake.next("answerCallbackQuery")).args.get("text", ""))
