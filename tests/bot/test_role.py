"""`limner bot` as a process: quiet without a token, quick to stop, and no update lost or handled twice over restarts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from limner.actors.bot.role import NO_TOKEN, with_its_own_words
from limner.sql import notices, pairings
from tests.bot.conftest import CAROL, STRANGER
from tests.upstreams.telegram import TOKEN, FakeTelegram

pytestmark = pytest.mark.timeout(120)
LEASE = 3
ROLE = """
import asyncio, sys
from limner.actors.bot import role
from limner.runtime import log
from limner.runtime.config import Config
log.set_up("bot", "text", "info")
code = asyncio.run(role.run(Config.load()))
print("modules", *(name for name in sys.modules if "." not in name), flush=True)
sys.exit(code)
"""


class Process:
    """A bot of its own, with what it said."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said = ""

    async def says(self, words: str, within: float = 30) -> str:
        """The line that it says with these words in it."""
        assert self.process.stdout is not None
        async with asyncio.timeout(within):
            while line := (await self.process.stdout.readline()).decode():
                self.said += line
                if words in line:
                    return line
        raise AssertionError(f"it ended without {words!r}:\n{self.said}")

    async def ends(self, within: float = 5) -> int:
        assert self.process.stdout is not None
        async with asyncio.timeout(within):
            self.said += (await self.process.stdout.read()).decode()
            return await self.process.wait()

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        return await self.ends()


@contextlib.asynccontextmanager
async def bot(dsn: str, folder: Path, **settings: str) -> AsyncIterator[Process]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LIMNER_")}
    chosen = {"DATABASE_URL": dsn, "DATA_DIR": str(folder), "LEASE": str(LEASE)} | settings
    environment |= {f"LIMNER_{name}": value for name, value in chosen.items()}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ROLE, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        yield Process(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def with_token(fake: FakeTelegram, token: str = TOKEN) -> dict[str, str]:
    return {"BOT_TOKEN": token, "TELEGRAM_URL": fake.url}


async def test_without_a_token_it_says_so_once_imports_no_aiogram_and_stays_healthy(dsn, db, tmp_path):
    async with bot(dsn, tmp_path) as process:
        await process.says("bot_ready")
        row = await db.fetchrow("select state, children from worker where role = 'bot'")
        assert row["state"] == "running"
        assert {"name": "poller", "state": "no token", "last_ok": None} in row["children"]
        assert await process.stop() == 0
    assert process.said.count("bot has no token: set LIMNER_BOT_TOKEN") == 1
    modules = next(line for line in process.said.splitlines() if line.startswith("modules"))
    assert "aiohttp" in modules.split() and "aiogram" not in modules.split()
    assert await db.fetchval("select state from worker where role = 'bot'") == "stopped"


async def test_from_a_strangers_hello_to_the_dashboard_and_an_alert(fake, dsn, db, tmp_path):
    async with bot(dsn, tmp_path, **with_token(fake)) as process:
        await fake.say(CAROL, "hello")
        code = re.search(r"limner pair (\w+)", (await fake.next("sendMessage")).text)
        assert code
        await pairings.confirm(db, code[1], actor="cli")
        await fake.say(CAROL, "/start")
        assert "today" in (await fake.next("sendPhoto")).text
        alert = await fake.next("sendMessage", within=60)  # no worker is alive, so the bot itself sees and says it
        assert alert.text.startswith("⚠️ No worker is alive: nothing is painted.")
        assert alert.text.endswith("docs/how-to/alerts/no-worker.md")
        (poller,) = [
            child
            for child in await db.fetchval("select children from worker where role = 'bot'")
            if child["name"] == "poller"
        ]
        assert poller["state"] == "polling" and time.time() - poller["last_ok"] < 30
        began = time.monotonic()
        assert await process.stop() == 0
        assert time.monotonic() - began < 20, "it does not wait for the end of its poll"


async def test_a_refused_token_ends_it_with_one_clear_line_and_without_the_token(fake, dsn, tmp_path):
    for token in (TOKEN.replace("Canary", "Sparrow"), "Canary-not-even-a-token"):
        async with bot(dsn, tmp_path, **with_token(fake, token)) as process:
            assert await process.ends(within=30) == 78
        refusals = [line for line in process.said.splitlines() if "bot_token_refused" in line]
        assert len(refusals) == 1 and "check LIMNER_BOT_TOKEN" in refusals[0]
        assert "Traceback" not in process.said
        assert token.rpartition(":")[2] not in process.said


async def test_the_token_is_nowhere_to_be_read_whatever_goes_wrong(fake, dsn, db, tmp_path, carol):
    canary = TOKEN.split(":")[1]
    echo = f"Internal: cannot POST {fake.url}/bot{TOKEN}/getUpdates"
    for status in (500, 409, 400, 429):
        fake.refuse("getUpdates", status, echo)
        fake.refuse("sendMessage", status, echo)
    async with bot(dsn, tmp_path, **with_token(fake)) as process:
        await fake.say(CAROL, "/start")
        for _ in range(4):
            await process.says("/bot***")
        await process.stop()
        assert canary not in process.said
    await notices.queue(db, "telegram", str(CAROL), "hello")
    async with bot(dsn, tmp_path, BOT_TOKEN=TOKEN, TELEGRAM_URL="http://127.0.0.1:99999") as process:
        await process.says("bot_pauses")  # the library's words have the whole address in them
        await process.says("bot_waits")
        await process.stop()
        assert canary not in process.said and "/bot***" in process.said
    for table in ("worker", "notice", "alert", "telegram_update", "audit"):
        assert canary not in str([tuple(row) for row in await db.fetch(f"select * from {table}")])


async def test_a_contested_token_becomes_an_alert_within_thirty_seconds(fake, config, dsn, db, tmp_path, carol):
    fake.refuse_always("getUpdates", 409, "Conflict: terminated by other getUpdates request")
    async with bot(dsn, tmp_path, **with_token(fake)) as process:
        await fake.next("getUpdates", within=30)
        began = time.monotonic()
        alert = await fake.next("sendMessage", within=60)
        while "token" not in alert.text:
            alert = await fake.next("sendMessage", within=60)
        assert time.monotonic() - began < 30
        fake.relent()
        await process.stop()
    assert "Somebody else polls with the bot's token" in alert.text


POLLING = "select w.pid from worker as w join lease as l on l.owner = w.id where l.name = 'telegram'"


async def test_no_update_is_lost_or_handled_twice_over_a_deploy(fake, dsn, db, tmp_path):
    people = range(1000, 1100)
    async with bot(dsn, tmp_path, **with_token(fake)) as first, bot(dsn, tmp_path, **with_token(fake)) as second:
        await asyncio.gather(first.says("bot_ready"), second.says("bot_ready"))
        await fake.next("poll")
        pid = await db.fetchval(POLLING)
        old, new = sorted((first, second), key=lambda bot: bot.process.pid != pid)
        for person in people:
            await fake.say(person, "hello")
            if person % 10:  # one in ten writes again before the last one was answered
                await fake.next("sendMessage", within=30)
            if person == 1050:
                old.process.send_signal(signal.SIGTERM)
        for _ in range(10):
            await fake.next("sendMessage", within=30)
        assert await old.ends() == 0
        assert await new.stop() == 0
    answered = sorted(int(call.args["chat_id"]) for call in fake.of("sendMessage"))
    assert answered == list(people)
    assert fake.conflicts == 0
    assert await db.fetchval("select count(*) from telegram_pairing") == len(people)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_the_second_replica_takes_over(fake, dsn, db, tmp_path, how):
    lease = 30 if how == signal.SIGTERM else LEASE
    chosen = with_token(fake) | {"LEASE": str(lease)}
    async with bot(dsn, tmp_path, **chosen) as first, bot(dsn, tmp_path, **chosen) as second:
        await asyncio.gather(first.says("bot_ready"), second.says("bot_ready"))
        await fake.next("poll")
        pid = await db.fetchval(POLLING)
        one, other = sorted((first, second), key=lambda bot: bot.process.pid != pid)
        began = time.monotonic()
        one.process.send_signal(how)
        await fake.next("poll")
        assert time.monotonic() - began < (10 if how == signal.SIGTERM else lease + 3)
        assert await db.fetchval(POLLING) == other.process.pid != pid
        await fake.say(STRANGER, "hello")
        await fake.next("sendMessage")
        assert await other.stop() == 0
    assert fake.conflicts == 0


def test_a_poller_that_has_crashed_does_not_go_on_saying_that_it_polls():
    own = {"name": "poller", "state": "polling", "last_ok": 5.0}
    reader = {"name": "reader", "state": "running"}
    for state, shown in (("running", "polling"), ("crashed", "crashed"), ("degraded", "degraded")):
        child = {"name": "poller", "state": state, "restarts": 1}
        assert with_its_own_words([reader, child], own) == [reader, child | own | {"state": shown}]
    assert with_its_own_words([reader], NO_TOKEN) == [reader, NO_TOKEN]
