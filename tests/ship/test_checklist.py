"""The checklist: thirteen lines in their order, each with its evidence, also where little can be seen."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import anyio
import pytest

from limner.actors.doctor import examination
from limner.actors.doctor.checklist import ITEMS
from limner.actors.watchman import Watchman
from limner.runtime.bus import Bus
from limner.runtime.opening import open_database
from limner.runtime.presence import Presence
from limner.runtime.report import Line
from tests.conftest import held
from tests.ship.clinic import Clinic, Studio, clinic, closed_port, limner_at, studio

__all__ = ["clinic", "studio"]  # fixtures

ORDER = [
    "server", "docker", "dns_tls", "postgres", "storage", "env", "deployed", "migrated", "web", "worker", "bot", "backup",
    "drill",
]  # fmt: skip


@pytest.fixture
async def watchman(studio: Studio) -> AsyncIterator[None]:
    """A living watchman, as every worker has one."""

    @contextlib.asynccontextmanager
    async def working() -> AsyncIterator[None]:
        config = studio.config().model_copy(update={"bot_token": None})
        async with open_database(studio.clinic.dsn, role="test", pool=4) as db, anyio.create_task_group() as group:
            presence, bus = Presence(db, "worker", lease=600), Bus(db)
            await presence.beat()
            actor = Watchman(db, bus, presence, config=config)
            for work in (presence.run, bus.run, actor.run):
                group.start_soon(work)
            yield
            group.cancel_scope.cancel()

    async with held(working()):
        yield
    await studio.db.execute("delete from alert")


async def walked(studio: Studio) -> dict[str, Line]:
    lines: list[Line] = []
    patient = studio.patient()
    async with patient.opened():
        await examination.run(patient, ITEMS, lines.append)
    return {line.code.partition(".")[2]: line for line in lines}


async def test_a_complete_installation_has_thirteen_good_lines_in_order(studio: Studio, watchman: None) -> None:
    lines = await walked(studio)
    assert list(lines) == ORDER
    assert [str(line) for line in lines.values() if line.state != "ok"] == []
    assert "a message was sent and handled in" in lines["worker"].words
    assert "2026-11-23T0400Z-abcd" in lines["backup"].words
    assert "migrations, the last one on" in lines["migrated"].words
    assert await studio.db.fetchval("select count(*) from message where mailbox <> 'framing'") == 0


async def test_inside_a_container_it_says_what_it_did_not_see(studio: Studio, watchman: None) -> None:
    """No docker, no compose file, and no way out."""
    empty = studio.folder.parent / "app"
    empty.mkdir()
    studio.write("proc/net/route", "Iface\tDestination\tGateway\neth0\t0000A8C0\t00000000\n")
    studio.inputs |= {"docker": None, "folder": empty}
    studio.settings |= {"public_url": "https://studio.invalid", "telegram_url": f"http://127.0.0.1:{closed_port()}"}
    studio.environ["DOMAIN"] = "studio.invalid"
    lines = await walked(studio)
    assert {name for name, line in lines.items() if line.state == "skip"} == {"docker", "dns_tls"}
    assert [str(line) for line in lines.values() if line.state in ("warn", "fail")] == []
    assert "inside a container it never is" in lines["docker"].words
    assert "there is no way out of here" in lines["dns_tls"].words
    assert "not seen from here" in lines["bot"].words


async def test_a_worker_that_handles_nothing_fails_its_line(studio: Studio) -> None:
    """Its heartbeat is fresh, and nobody takes the message: which is taken back."""
    studio.inputs["long_round_trip"] = 0.5
    lines = await walked(studio)
    assert lines["worker"].state == "fail"
    assert "was not handled within" in lines["worker"].words
    assert await studio.db.fetchval("select count(*) from message where mailbox <> 'framing'") == 0


async def test_an_empty_database_is_told_line_by_line(studio: Studio) -> None:
    await studio.db.execute("create database bare")
    studio.stack.push_async_callback(studio.db.execute, "drop database bare with (force)")
    studio.settings["database_url"] = studio.clinic.dsn.replace("/limner?", "/bare?", 1)
    lines = await walked(studio)
    assert lines["postgres"].state == "ok"
    assert lines["migrated"].state == "fail"
    assert "`docker compose run --rm migrate`" in lines["migrated"].fix
    assert [lines[name].state for name in ("worker", "backup")] == ["skip", "skip"]
    assert "the schema is another one" in lines["backup"].words


async def test_without_a_token_the_bot_is_skipped(studio: Studio, watchman: None) -> None:
    studio.settings["bot_token"] = None
    line = (await walked(studio))["bot"]
    assert (line.state, line.words) == ("skip", "bot polling: no token: the bot waits quietly")


async def test_the_command_says_it_in_json(studio: Studio, clinic: Clinic) -> None:
    await studio.run("update worker set seen_at = now() - interval '1 hour'")  # nobody to wait for
    done = await asyncio.to_thread(limner_at, clinic, "checklist", "--json")
    said = json.loads(done.stdout)
    assert [line["code"] for line in said["lines"]] == [f"checklist.{name}" for name in ORDER]
    assert done.returncode == said["verdict"]
