"""The site as it is served: real HTTP on a free port, browsers of the known cast, and a worker where a test needs one."""

from __future__ import annotations

import contextlib
import html
import io
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import anyio
import pytest
from aiohttp import web
from multidict import CIMultiDictProxy
from PIL import Image

from limner.actors.worker import occupations
from limner.http.app import make_app
from limner.http.server import Runner
from limner.runtime.bus import Bus
from limner.runtime.config import Config
from limner.runtime.database import Database
from limner.runtime.presence import Presence
from limner.runtime.storage import Storage, open_storage
from limner.runtime.supervisor import Child, Supervisor
from limner.runtime.vault import Vault
from limner.sql import channels, keys, sessions
from limner.sql.accounts import Account
from tests.conftest import Cast, held, settings

PATIENCE = 20
"""Seconds until a test that waits for an event gives up."""

Fields = Mapping[str, str] | Sequence[tuple[str, str]]
Upload = tuple[str, str, bytes, str]
"""Field, file name, bytes, type."""


@dataclass
class Page:
    """An answer, read to its end."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def location(self) -> str:
        return self.headers["Location"]

    @property
    def csrf(self) -> str:
        """The token of the page's forms."""
        return self.values("csrf")[0]

    def values(self, name: str) -> list[str]:
        """The values of all inputs of this name."""
        return [html.unescape(found) for found in re.findall(rf'name="{name}"[^>]*? value="([^"]*)"', self.text)]

    def link(self, words: str) -> str:
        """Where the link of these words leads."""
        found = re.search(rf'href="([^"]+)"[^>]*>{re.escape(words)}</a>', self.text)
        assert found, f"no link says {words!r}"
        return html.unescape(found[1])

    @property
    def older(self) -> str | None:
        """Where the list goes on."""
        found = re.search(r'href="([^"]+)" rel="next"', self.text)
        return html.unescape(found[1]) if found else None

    def cookies(self) -> dict[str, str]:
        """What is set: the whole line by the cookie's name."""
        return {line.partition("=")[0]: line for line in self.headers.getall("Set-Cookie", [])}


class Browser:
    """Somebody's browser: it keeps cookies, finds the forms' token, and follows no redirects by itself."""

    def __init__(self, site: Site, client: aiohttp.ClientSession) -> None:
        self.site = site
        self.client = client
        self._csrf = ""

    async def sign_in(self, account: Account) -> str:
        """A session without the dear password; returns its token."""
        token = await sessions.start(self.site.db, account.id, ip="127.0.0.1", agent="a test browser")
        self.client.cookie_jar.update_cookies({"session": token}, self.site.address)
        self._csrf = ""
        return token

    @property
    def session(self) -> str | None:
        return next((cookie.value for cookie in self.client.cookie_jar if cookie.key == "session"), None)

    async def csrf(self) -> str:
        """The token from a page's form, as a browser gets it."""
        if not self._csrf:
            start = await self.get("/")
            self._csrf = (start if start.values("csrf") else await self.get("/login")).csrf
        return self._csrf

    async def get(self, path: str, **headers: str) -> Page:
        return await self.send("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    async def post(
        self, path: str, fields: Fields = (), *, files: Sequence[Upload] = (), headers: Mapping[str, str] | None = None
    ) -> Page:
        """Send a form with its token: as a browser does, from this very origin."""
        pairs = [("csrf", await self.csrf()), *(fields.items() if isinstance(fields, Mapping) else fields)]
        about = {"Origin": self.site.url, "Sec-Fetch-Site": "same-origin", **(headers or {})}
        if not files:
            return await self.send("POST", path, data=pairs, headers=about)
        form = aiohttp.FormData(pairs, default_to_multipart=True)
        for field, name, data, kind in files:
            form.add_field(field, data, filename=name, content_type=kind)
        return await self.send("POST", path, data=form, headers=about)

    async def act(self, path: str, fields: Fields = (), *, reason: str = "it is asked for") -> Page:
        """Send a form, and say on the page in between that it is meant."""
        return await self.confirm(path, await self.post(path, fields), reason)

    async def confirm(self, path: str, asked: Page, reason: str = "it is asked for") -> Page:
        """The second step, with the reason that stands there or this one; what asks for none is left as it is."""
        if not asked.values("sure_form"):
            return asked
        why = asked.values("sure_reason")[0] or reason
        return await self.post(path, {"sure_form": asked.values("sure_form")[0], "sure_reason": why})

    async def send(self, method: str, path: str, **options: Any) -> Page:
        """Any request, nothing added but cookies."""
        self._csrf = "" if method == "POST" and path.startswith(("/login", "/logout", "/register")) else self._csrf
        async with self.client.request(method, self.site.url + path, allow_redirects=False, **options) as answer:
            return Page(answer.status, answer.headers, await answer.read())

    async def order(self, **fields: str) -> Page:
        """Order a picture as the composer would."""
        asked = {"thread": "", "prompt": "a red boat", "model": "demo", "size": "512x512", "count": "1"} | fields
        return await self.post("/generations", asked)

    @contextlib.asynccontextmanager
    async def watch(self, path: str) -> AsyncIterator[Stream]:
        """An open event stream."""
        async with self.client.get(self.site.url + path, timeout=aiohttp.ClientTimeout(PATIENCE)) as answer:
            yield Stream(answer)


@dataclass(frozen=True)
class Event:
    name: str
    data: str


class Stream:
    """A live stream, event by event."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer

    async def next(self) -> Event | None:
        """The next event; None when the stream has ended."""
        name, data = "message", list[str]()
        async for raw in self.answer.content:
            line = raw.decode().rstrip("\n")
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                data.append(value)
            elif not line and data:
                return Event(name, "\n".join(data))
        return None

    async def rest(self) -> list[Event]:
        """All events until its end."""
        events = []
        while event := await self.next():
            events.append(event)
        return events


@dataclass
class Site:
    """The site being served."""

    url: str
    config: Config
    app: web.Application
    db: Database
    bus: Bus
    storage: Storage
    client: aiohttp.ClientSession
    stack: contextlib.AsyncExitStack

    @property
    def address(self) -> Any:
        return aiohttp.client.URL(self.url)

    async def browser(self, account: Account | None = None) -> Browser:
        """A fresh browser, signed in or a stranger's."""
        jar = aiohttp.CookieJar(unsafe=True)  # the site has no name here, only a number
        client = await self.stack.enter_async_context(aiohttp.ClientSession(cookie_jar=jar))
        browser = Browser(self, client)
        if account is not None:
            await browser.sign_in(account)
        return browser

    async def until(self, channel: str, holds: Callable[[], Awaitable[Any]]) -> None:
        """Wait until something holds: looked at whenever the channel tells."""
        told = anyio.Event()

        def listener(_: str | None) -> None:
            told.set()

        await self.bus.on(channel, listener)
        with anyio.fail_after(PATIENCE):
            while not await holds():
                await told.wait()
                told = anyio.Event()
        self.bus.off(channel, listener)

    async def raw(self, data: bytes) -> bytes:
        """What these very bytes are answered, until the connection closes."""
        parts = aiohttp.client.URL(self.url)
        with anyio.fail_after(PATIENCE):
            async with await anyio.connect_tcp(str(parts.host), int(parts.port or 0)) as stream:
                await stream.send(data)
                answer = b""
                with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                    while True:
                        answer += await stream.receive()
                return answer


@contextlib.asynccontextmanager
async def serving(dsn: str, folder: Path, db: Database, *, work: bool = False, **overrides: Any) -> AsyncIterator[Site]:
    """The site on a free port, with these settings; with ``work`` its worker, too."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        chosen = {"http_port": port, "public_url": f"http://127.0.0.1:{port}"} | overrides
        config, bus = settings(dsn, folder, **chosen), Bus(db)
        async with (
            open_storage(config) as storage,
            aiohttp.ClientSession() as client,
            contextlib.AsyncExitStack() as stack,
            anyio.create_task_group() as group,
        ):
            app = make_app(config, db, bus, storage, client)
            runner = Runner(app, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            await web.SockSite(runner, listening).start()
            site = Site(f"http://127.0.0.1:{port}", config, app, db, bus, storage, client, stack)
            try:
                await _listening(group, bus)
                async with _working(site) if work else contextlib.nullcontext():
                    yield site
            finally:
                group.cancel_scope.cancel()
                with anyio.CancelScope(shield=True):
                    await stack.aclose()
                    await runner.cleanup()


async def _listening(group: anyio.abc.TaskGroup, bus: Bus) -> None:
    connected = anyio.Event()

    def listener(_: str | None) -> None:
        connected.set()

    await bus.on(channels.GENERATION_CHANGED, listener)
    group.start_soon(bus.run)
    await connected.wait()
    bus.off(channels.GENERATION_CHANGED, listener)


@contextlib.asynccontextmanager
async def _working(site: Site) -> AsyncIterator[None]:
    presence = Presence(site.db, "worker", lease=site.config.lease)
    await presence.beat()
    actors = occupations(site.db, site.bus, presence, config=site.config, storage=site.storage, session=site.client)
    children = [Child(type(actor).__name__, actor.run, drain=actor.drain, patience=1) for actor in actors]
    supervisor = Supervisor([Child("presence", presence.run), *children])
    presence.children = supervisor.report
    async with anyio.create_task_group() as group:
        group.start_soon(supervisor.run)
        try:
            yield
        finally:
            supervisor.stop()


@pytest.fixture
async def site(dsn: str, tmp_path: Path, db: Database) -> AsyncIterator[Site]:
    """The site without a worker: what is ordered waits."""
    async with held(serving(dsn, tmp_path, db)) as served:
        yield served


@pytest.fixture
async def studio_at_work(dsn: str, tmp_path: Path, db: Database) -> AsyncIterator[Site]:
    """The site with a worker that paints, collects and tidies. The simulator has a key and is quick."""
    async with held(serving(dsn, tmp_path, db, work=True)) as served:
        await keys.add(
            db, Vault.from_config(served.config), "simulator", "quick", "simulator-key-1", actor="test", concurrency=8
        )
        yield served


@pytest.fixture
async def alice(site: Site, cast: Cast) -> Browser:
    """Has a plan and 100 credits."""
    return await site.browser(cast.alice)


@pytest.fixture
async def bob(site: Site, cast: Cast) -> Browser:
    """Has no plan."""
    return await site.browser(cast.bob)


@pytest.fixture
async def carol(site: Site, cast: Cast) -> Browser:
    """Runs the place."""
    return await site.browser(cast.carol)


@pytest.fixture
async def stranger(site: Site) -> Browser:
    """Nobody that is known."""
    return await site.browser()


HANG = """
with asked as (select gen_random_uuid() as id, n from generate_series(1, $2::int) as n),
g as (
    insert into generation (id, account_id, thread_id, model_id, prompt, width, height, count, credits, state)
    select id, $1, id, 'demo', 'picture ' || n, 512, 512, 1, 1, 'delivered' from asked
),
j as (
    insert into job (generation_id, account_id, position, credits, seed, state, finished_at, deadline)
    select id, $1, 1, 1, 7, 'delivered', now(), now() from asked returning id, generation_id
)
insert into image (job_id, account_id, generation_id, storage_key, thumb_key, sha256, mime, width, height, bytes, created_at)
select j.id, $1, j.generation_id, $3, $4, $5, 'image/png', 512, 512, $6, now() - (asked.n / 5) * interval '1 minute'
from j join asked on asked.id = j.generation_id
returning id
"""


async def hang(site: Site, account: Account, count: int = 1) -> list[UUID]:
    """Pictures in somebody's gallery, five of each minute; they share their bytes."""
    name = f"pictures/{account.id}-{count}-{id(object())}"
    kept = await site.storage.put(f"{name}.png", drawn("PNG"), "image/png")
    thumb = await site.storage.put(f"{name}.thumb.webp", drawn("WEBP"), "image/webp")
    rows = await site.db.fetch(HANG, account.id, count, kept.key, thumb.key, kept.sha256, kept.size)
    return [row["id"] for row in rows]


def drawn(form: str = "PNG", width: int = 64, height: int = 48, **options: Any) -> bytes:
    """The bytes of a small picture."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), (228, 87, 46)).save(file, form, **options)
    return file.getvalue()


def numbers(database: Database, table: str) -> Awaitable[int]:
    """How many rows a table has."""
    return database.fetchval(f"select count(*) from {table}")


async def available(db: Database, account: Account) -> int:
    """The credits that somebody may still spend."""
    return await db.fetchval("select available from balance where account_id = $1", account.id)
