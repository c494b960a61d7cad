"""The Visitor acts as a user over HTTP, nothing bypassed: registers, buys, orders, waits, downloads."""

from __future__ import annotations

import re
import secrets
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from urllib.parse import urljoin

import aiohttp
import anyio

from limner.runtime import allinone, raster
from limner.runtime.config import Config
from limner.runtime.errors import Hopeless

PATIENCE = 60.0
"""Seconds until the Visitor loses faith in any one step."""

CAST = """
  Alice, who has a plan     alice@example.com   alice-likes-vermilion
  Bob, who has none         bob@example.com     bob-likes-vermilion
  Carol, who runs the place carol@example.com   carol-likes-vermilion
"""


@dataclass(frozen=True)
class Painted:
    """What was downloaded, and how long the studio took from the order to its delivery."""

    path: Path
    width: int
    height: int
    seconds: float
    url: str

    def __str__(self) -> str:
        return f"painted {self.path} {self.width}x{self.height} in {self.seconds:.1f} s  {self.url}"


async def demonstrate(config: Config, *, prompt: str, out: Path | None, size: str, once: bool) -> int:
    """Start everything, paint one picture as a fresh user; then stop, or stay up. Returns the exit code."""
    async with allinone.running(config) as limner:
        painted = await paint(limner.address, prompt=prompt, out=out, size=size)
        if not once:
            print(f"Limner is at {limner.address}. Ctrl-C stops it.\n{CAST}")
        print(painted, flush=True)
        if not once:
            await anyio.sleep_forever()
    return 0


def stay(config: Config) -> int:
    """Start everything and stay up. Returns the exit code."""
    return allinone.run_up(config, greeting=CAST)


async def visit(url: str, *, prompt: str, out: Path | None, size: str, insecure: bool) -> int:
    """The same at a studio that runs already. Returns the exit code."""
    print(await paint(url.rstrip("/"), prompt=prompt, out=out, size=size, insecure=insecure), flush=True)
    return 0


async def paint(url: str, *, prompt: str, out: Path | None, size: str, insecure: bool = False) -> Painted:
    """One picture for a new account. Raises Hopeless, naming the step that failed."""
    tls: ssl.SSLContext | bool = True
    if insecure:
        tls = ssl.create_default_context()
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    jar = aiohttp.CookieJar(unsafe=True)  # an address without a name has cookies too
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    async with aiohttp.ClientSession(
        cookie_jar=jar, timeout=timeout, connector=aiohttp.TCPConnector(ssl=tls)
    ) as session:
        visitor = Visitor(session, url)
        await visitor.register()
        await visitor.buy_plan()
        began = time.monotonic()
        thread = await visitor.order(prompt, size)
        picture = await visitor.wait_for_picture(thread)
        seconds = time.monotonic() - began
        return await visitor.download(picture, prompt, out, size, seconds)


class Visitor:
    """A browser without eyes: it reads pages, fills in their forms and follows where they lead."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = url
        self.email = f"visitor-{secrets.token_hex(6)}@example.com"

    async def register(self) -> None:
        page = await self.read("/register")
        await self.send(page, "/register", email=self.email, password=secrets.token_urlsafe(15))

    async def buy_plan(self) -> None:
        """Through the processor's checkout page, until the invoice says paid."""
        plans = await self.read("/plans")
        action = self._find(plans, r'action="(/plans/[a-z0-9-]+/invoices)"', "a plan on sale")
        invoice = await self.send(plans, action)
        checkout = await self._until(invoice, r'href="([^"]*/sandbox/[0-9a-f-]{36})"', "a way to pay")
        page = await self.read(checkout)
        await self.send(page, checkout, act="pay")
        await self._until(invoice, r"(The plan is paid|>\s*<strong>Paid\.|Paid\.)", "a paid invoice")

    async def order(self, prompt: str, size: str) -> str:
        """Returns the address of the thread."""
        studio = await self.read("/studio")
        model = self._find(studio, r'name="model"[^>]*value="([^"]+)"', "a model")
        idempotency_key = self._find(studio, r'name="idempotency_key"[^>]*value="([^"]+)"', "a composer")
        return await self.send(
            studio, "/generations", prompt=prompt, model=model, size=size, count="1", idempotency_key=idempotency_key
        )

    async def wait_for_picture(self, thread: str) -> str:
        """Watch the live stream as the page does. Returns the picture's address."""
        stream = urljoin(thread, f"/threads/{thread.partition('#')[0].rpartition('/')[2]}/live")
        async for event in self._events(stream):
            if found := re.search(r'href="(/pictures/[0-9a-f-]{36}/file)\?', event):
                return found[1]
            if "could not" in event or "othing was charged" in event:
                raise Hopeless(f"the picture was not painted: {' '.join(re.sub('<[^>]+>', ' ', event).split())[-300:]}")
        raise Hopeless("the live stream ended without a picture")

    async def download(self, picture: str, prompt: str, out: Path | None, size: str, seconds: float) -> Painted:
        """Keep it, after proving that it is a whole picture of the size that was asked for."""
        async with self.session.get(self.url + picture) as answer:
            data = await answer.read()
        shape = await raster.verify(data)
        if f"{shape.width}x{shape.height}" != size:
            raise Hopeless(f"asked for {size}, got {shape.width}x{shape.height}")
        path = out or Path("-".join(re.findall(r"[a-z0-9]+", prompt.lower())[:8]) + "." + shape.mime.rpartition("/")[2])
        await anyio.Path(path).write_bytes(data)
        return Painted(path, shape.width, shape.height, seconds, self.url + picture.removesuffix("/file"))

    async def read(self, path: str) -> str:
        async with self.session.get(urljoin(self.url + "/", path)) as answer:
            return await self._checked(answer, path)

    async def send(self, page: str, path: str, **fields: str) -> str:
        """Fill in a form of this page and follow the answer. Returns the address it led to."""
        csrf = self._find(page, r'name="csrf" value="([^"]+)"', "a form")
        async with self.session.post(urljoin(self.url + "/", path), data={"csrf": csrf, **fields}) as answer:
            await self._checked(answer, path)
            return str(answer.url)

    async def _checked(self, answer: aiohttp.ClientResponse, path: str) -> str:
        text = await answer.text()
        if answer.status >= 400:
            words = re.search(r'class="(?:mt-4 text-lg|field-error)[^"]*"[^>]*>(.*?)</p>', text, re.S)
            said = " ".join(re.sub("<[^>]+>", " ", unescape(words[1])).split()) if words else ""
            raise Hopeless(f"{path} answered {answer.status}: {said}")
        return text

    async def _until(self, path: str, pattern: str, what: str) -> str:
        with anyio.move_on_after(PATIENCE):
            while True:
                if found := re.search(pattern, await self.read(path)):
                    return unescape(found[1])
                await anyio.sleep(0.1)
        raise Hopeless(f"no sign of {what} at {path} within {PATIENCE:.0f} s")

    async def _events(self, path: str) -> AsyncIterator[str]:
        async with self.session.get(path, headers={"Accept": "text/event-stream"}) as answer:
            if answer.status != 200:
                raise Hopeless(f"the live stream answered {answer.status}")
            lines: list[str] = []
            async for raw in answer.content:
                line = raw.decode().rstrip("\n")
                if line.startswith("data:"):
                    lines.append(line[5:].strip())
                elif not line and lines:
                    yield "\n".join(lines)
                    lines = []

    def _find(self, page: str, pattern: str, what: str) -> str:
        if not (found := re.search(pattern, page)):
            raise Hopeless(f"the page has no sign of {what}")
        return unescape(found[1])
