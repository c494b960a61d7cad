"""`limner bot`, killed by SIGKILL in the midst of traffic, again and again: each update has its effect exactly once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from limner.sql import dialogue
from limner.sql.dialogue import Confirmation
from tests.bot.conftest import CAROL
from tests.upstreams.telegram import TOKEN, FakeTelegram

FULL = os.environ.get("FAULT_FULL") == "1"
"""FAULT_FULL=1 for fifty deaths, FAULT_SEED=… to repeat."""
SEED = int(os.environ.get("FAULT_SEED") or random.randrange(10**6))
DEATHS = 50 if FULL else 3
LEASE = 3
TAKEOVER = 15.0
MOMENTS = ("poll", "getUpdates", "screen", "sendMessage", "answerCallbackQuery")

pytestmark = pytest.mark.timeout(1800 if FULL else 180)


@contextlib.asynccontextmanager
async def limner_bot(
    dsn: str, folder: Path, fake: FakeTelegram, lease: int = LEASE
) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LIMNER_")}
    chosen = {
        "DATABASE_URL": dsn, "DATA_DIR": str(folder), "LEASE": str(lease), "BOT_TOKEN": TOKEN, "TELEGRAM_URL": fake.url,
    }  # fmt: skip
    environment |= {f"LIMNER_{name}": value for name, value in chosen.items()}
    with open(folder / "bot.log", "ab") as log:
        process = await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name("limner"), "bot", env=environment, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


COUNT_EFFECTS = """
create table effect (telegram_id bigint);
create function note_effect() returns trigger language plpgsql as $$
begin insert into effect values (new.telegram_id); return null; end $$;
create trigger note_effect after insert or update on telegram_pairing for each row execute function note_effect();
"""
UNHANDLED = "select count(*) from telegram_update where handled_at is null"
ACTS = "select count(*) from audit where action = 'key.rest' and actor = $1"


async def test_each_update_has_its_effect_once_however_often_the_process_is_killed(fake, dsn, db, tmp_path, carol):
    print(f"FAULT_SEED={SEED} deaths={DEATHS}")
    chance = random.Random(SEED)
    await db.execute(COUNT_EFFECTS)
    key = await db.fetchval("select min(id) from provider_key")
    message = fake.message(fake.person(CAROL), CAROL, "private", "Sure?")
    for death in range(DEATHS):
        async with limner_bot(dsn, tmp_path, fake) as process:
            await traffic(fake, db, death, key, message)
            await fake.next(chance.choice(MOMENTS), within=60)
            await asyncio.sleep(chance.uniform(0, 0.3))
            process.send_signal(signal.SIGKILL)
            await process.wait()
    async with limner_bot(dsn, tmp_path, fake) as process:
        async with asyncio.timeout(60):
            while fake.updates or await db.fetchval(UNHANDLED) or await db.fetchval("select count(*) from effect") == 0:
                await asyncio.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    effects = [row[0] for row in await db.fetch("select telegram_id from effect order by 1")]
    assert effects == list(range(1000, 1000 + 4 * DEATHS))
    assert await db.fetchval(ACTS, f"bot {CAROL}") == DEATHS
    assert fake.conflicts == 0


async def traffic(fake: FakeTelegram, db, death: int, key: int, message: dict) -> None:
    """Four strangers say hello, and Carol says yes twice to what she was asked."""
    for person in range(4):
        await fake.say(1000 + death * 4 + person, "hello")
    asked = Confirmation("keys", "rest", {"key": key, "hours": 1}, "keys")
    token = await dialogue.ask(db, CAROL, asked)
    await db.execute("update telegram_confirmation set expires_at = now() + interval '1 hour'")
    for _ in range(2):
        await fake.press(CAROL, f"yes:{token}", message)


async def test_when_the_one_that_polls_is_killed_the_other_takes_over_and_they_never_disturb_each_other(
    fake, dsn, db, tmp_path, carol
):
    polling = "select w.pid from worker as w join lease as l on l.owner = w.id where l.name = 'telegram'"
    for _ in range(10 if FULL else 1):
        async with limner_bot(dsn, tmp_path, fake, 15) as one, limner_bot(dsn, tmp_path, fake, 15) as other:
            both = "select count(*) from worker where role = 'bot' and state = 'running' and pid = any($1)"
            async with asyncio.timeout(60):
                while await db.fetchval(both, [one.pid, other.pid]) < 2:
                    await asyncio.sleep(0.1)
            await fake.next("poll", within=30)
            async with asyncio.timeout(30):
                while (pid := await db.fetchval(polling)) not in (one.pid, other.pid):
                    await asyncio.sleep(0.1)
            victim = one if one.pid == pid else other
            polls, began = fake.polls, time.monotonic()
            victim.kill()
            async with asyncio.timeout(TAKEOVER):
                while fake.polls == polls:
                    await asyncio.sleep(0.05)
            print(f"taken over after {time.monotonic() - began:.1f} s")
            number = await fake.say(CAROL, "/start")
            await fake.next("screen", within=30)
            async with asyncio.timeout(30):
                while any(update["update_id"] == number for update in fake.updates):
                    await asyncio.sleep(0.05)
    assert fake.conflicts == 0
