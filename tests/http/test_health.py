"""Health: alive as long as the process answers, ready only when it can serve."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import orjson
import pytest

from limner.http.health import DRAINING
from limner.runtime.opening import open_database
from tests.conftest import held
from tests.http.conftest import Browser, Site, serving


class Wire:
    """The line to Postgres, which can be cut and mended."""

    def __init__(self, socket: Path, folder: Path) -> None:
        self.real = socket
        self.ours = folder / socket.name
        self.server: asyncio.Server | None = None
        self.writers: set[asyncio.StreamWriter] = set()

    async def mend(self) -> None:
        self.server = await asyncio.start_unix_server(self._connect, self.ours)

    def cut(self) -> None:
        assert self.server is not None
        self.server.close()
        for writer in self.writers:
            writer.transport.abort()
        self.ours.unlink(missing_ok=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(self.real)
        self.writers |= {writer, back}
        with contextlib.suppress(OSError):
            await asyncio.gather(_pass_on(reader, back), _pass_on(there, writer))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


@pytest.fixture
async def wire(dsn: str) -> AsyncIterator[Wire]:
    folder = parse_qs(urlsplit(dsn).query)["host"][0]
    with tempfile.TemporaryDirectory(prefix="wire-") as ours:  # a socket's path must be short
        line = Wire(Path(folder) / ".s.PGSQL.5432", Path(ours))
        await line.mend()
        yield line
        line.cut()


@pytest.fixture
async def on_the_wire(dsn: str, tmp_path: Path, wire: Wire) -> AsyncIterator[Site]:
    """The site, whose database is at the other end of the wire."""
    through = dsn.partition("?")[0] + f"?host={quote(str(wire.ours.parent), safe='')}"
    async with held(open_database(through, role="test", pool=4)) as db, held(serving(through, tmp_path, db)) as site:
        yield site


async def health(browser: Browser, which: str) -> tuple[int, dict[str, object]]:
    page = await browser.get(f"/health/{which}")
    return page.status, orjson.loads(page.body)


async def test_all_is_well(stranger):
    assert await health(stranger, "live") == (200, {"status": "alive"})
    assert await health(stranger, "ready") == (200, {"status": "ready", "missing": [], "live_updates": True})


async def test_without_its_database_it_lives_but_is_not_ready_and_comes_back(on_the_wire, wire):
    browser = await on_the_wire.browser()
    assert (await health(browser, "ready"))[0] == 200
    wire.cut()
    assert await health(browser, "live") == (200, {"status": "alive"})
    status, body = await health(browser, "ready")
    assert (status, body["missing"]) == (503, ["database"])
    page = await browser.get("/")
    assert (page.status, page.headers["Retry-After"]) == (503, "2")
    assert "Nothing was lost or charged" in page.text
    await wire.mend()
    assert (await health(browser, "ready"))[0] == 200
    assert (await browser.get("/")).status == 200


async def test_a_page_of_a_member_says_one_moment_while_the_database_is_away(on_the_wire, wire, cast):
    browser = await on_the_wire.browser(cast.alice)
    token = await browser.csrf()
    wire.cut()
    for page in (await browser.get("/studio"), await browser.send("POST", "/generations", data={"csrf": token})):
        assert (page.status, "One moment" in page.text) == (503, True)


async def test_a_stream_ends_when_the_database_goes_and_the_browser_comes_back(on_the_wire, wire, cast):
    browser = await on_the_wire.browser(cast.alice)
    thread = (await browser.order()).location.partition("#")[0].rpartition("/")[2]
    async with browser.watch(f"/threads/{thread}/live") as stream:
        await stream.next()
        wire.cut()
        assert [event.name for event in await stream.rest()] == []
    await wire.mend()
    async with browser.watch(f"/threads/{thread}/live") as stream:
        assert (await stream.next()).name == f"generation-{thread}"


async def test_while_it_drains_nobody_new_is_sent_here(site, stranger):
    site.app[DRAINING].set()
    assert (await health(stranger, "live"))[0] == 200
    status, body = await health(stranger, "ready")
    assert (status, body["missing"]) == (503, ["drain"])


async def test_an_older_schema_is_not_ready(stranger, db):
    await db.execute("delete from schema_version where version = (select max(version) from schema_version)")
    status, body = await health(stranger, "ready")
    assert (status, body["missing"]) == (503, ["schema_behind"])


async def test_a_newer_schema_that_this_image_may_not_use_is_not_ready(stranger, db):
    await db.execute(
        "insert into schema_version (version, description, type, installed_by) values (99, 'later', 'auto', 'test')"
    )
    assert (await health(stranger, "ready"))[0] == 200
    await db.execute("update schema_window set min_image_head = 99")
    status, body = await health(stranger, "ready")
    assert (status, body["missing"]) == (503, ["schema_ahead"])


async def test_health_tells_nothing_else(stranger):
    for which in ("live", "ready"):
        page = await stranger.get(f"/health/{which}")
        assert page.cookies() == {}
        assert page.headers["Cache-Control"] == "no-store"
