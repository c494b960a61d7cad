"""A node of AUTOMATIC1111 while it paints: asking it, watching its progress, and telling it to stop."""

from __future__ import annotations

import aiohttp
import anyio
import orjson

from limner.actors.providers import dialects, discretion, parcels
from limner.actors.providers.base import PREVIEW_LIMIT, Access, Fault, OnStep, Order, Step, UpstreamError
from limner.actors.providers.verdicts import Answer
from limner.runtime import raster
from limner.runtime.errors import Busy

Facts = dict[str, object]

DEFAULT_URL = "http://127.0.0.1:7860"
"""Where a provider without a base URL is reached: its provider has to be marked as local."""

API = "sdapi/v1"
OPEN = "none"
"""The secret of a node that asks for no password."""
POLL, GOODBYE = 1.0, 5.0
"""Seconds between two looks at the progress; seconds in which a node may be told to stop."""
EDGES = (320, 224, 128)
"""Longest sides of a preview, tried until it is small enough."""
PARTIAL_LIMIT = 8 * 2**20
GLANCE = 10.0
"""Seconds that a node may take to say how far it is."""


class Watch:
    """Looks at a node while it paints, and tells what it sees of our picture."""

    def __init__(self, order: Order, access: Access, task: str, on_step: OnStep) -> None:
        self.access, self.task, self.on_step = access, task, on_step
        self.partials = order.partial_images
        self.told, self.done, self.image = 0, 0.02, ""

    async def look(self) -> None:
        """Until it is canceled. A node that does not answer has better things to do."""
        seconds = self.access.settings.get("poll")
        shows = self.access.settings.get("previews") is not False
        while True:
            await anyio.sleep(max(0.05, float(seconds)) if isinstance(seconds, int | float) else POLL)
            seen = await progress(self.access, self.task, with_image=shows)
            if seen is not None and (step := await self._step(*seen)) is not None:
                await self.on_step(step)

    async def _step(self, progress: float, image: str) -> Step | None:
        done, before = max(self.done, 0.02 + min(progress, 1.0) * 0.95), self.done
        preview = partial = None
        if image and image != self.image:
            self.image = image
            preview, partial = await self._shown(image, progress)
        self.done = done
        return Step(done, preview, partial=partial) if preview or partial or done > before else None

    async def _shown(self, image: str, progress: float) -> tuple[bytes | None, bytes | None]:
        """A small preview, and the unfinished picture as it is when the next one is due."""
        try:
            data = dialects.picture(image, None, 0).data
            preview = await small(data)
        except (UpstreamError, raster.BadImage, Busy):
            return None, None
        if self.told >= self.partials or progress < (self.told + 1) / (self.partials + 1) or len(data) > PARTIAL_LIMIT:
            return preview, None
        self.told += 1
        return preview, data


async def small(data: bytes) -> bytes | None:
    """The picture as a WebP of at most PREVIEW_LIMIT bytes, or None. Raises BadImage, Busy."""
    for edge in EDGES:
        preview = await raster.thumbnail(data, edge=edge)
        if len(preview) <= PREVIEW_LIMIT:
            return preview
    return None


async def ask(
    access: Access, method: str, path: str, body: bytes | None = None, timeout: float | None = None
) -> Answer:
    """One question to the node. Raises UpstreamError."""
    headers = _basic(access) | ({"Content-Type": "application/json"} if body else {})
    url = f"{(access.base_url or DEFAULT_URL).rstrip('/')}/{path}"
    return await dialects.call(access, method, url, headers=headers, body=body, timeout=timeout)


async def interrupt(access: Access, task: str) -> None:
    """Best effort, and only when it is our picture that the node is at: others may share it."""
    with anyio.move_on_after(GOODBYE, shield=True):
        if await progress(access, task, with_image=False) is not None:
            await _facts(access, "POST", f"{API}/interrupt")


async def progress(access: Access, task: str, *, with_image: bool) -> tuple[float, str] | None:
    """How far our picture is and, as base64, how it looks; None while the node is at another one, or does not say.

    The web UI's own address knows tasks by their names, from 1.8 on those of the API too. The API's address tells what
    is being painted but not for whom: it is asked where the other one is closed, or has never heard of our task.
    """
    body = orjson.dumps({"id_task": task, "live_preview": with_image, "id_live_preview": -1})
    own = await _facts(access, "POST", "internal/progress", body)
    if any(own.get(state) is True for state in ("active", "queued", "completed")):
        return _seen(own.get("progress"), own.get("live_preview")) if own.get("active") is True else None
    skip = "false" if with_image else "true"
    anybodys = await _facts(access, "GET", f"{API}/progress?skip_current_image={skip}")
    if anybodys.get("current_task") not in (None, "", task):
        return None
    return _seen(anybodys.get("progress"), anybodys.get("current_image"))


def _seen(progress: object, image: object) -> tuple[float, str] | None:
    if not isinstance(progress, int | float) or progress <= 0:
        return None
    return float(progress), image if isinstance(image, str) else ""


async def _facts(access: Access, method: str, path: str, body: bytes | None = None) -> Facts:
    """What the node says, or nothing: who paints must not fail because of a look at it."""
    try:
        answer = await ask(access, method, path, body, timeout=GLANCE)
    except UpstreamError:
        return {}
    return parcels.facts(answer.body) if answer.status == 200 else {}


def _basic(access: Access) -> dict[str, str]:
    """Raises UpstreamError(AUTH_DEAD) for a secret that can be no user and password."""
    if access.secret.strip().lower() == OPEN:
        return {}
    user, colon, password = access.secret.partition(":")
    if not colon:
        raise UpstreamError(Fault.AUTH_DEAD, 'the secret of a node is "user:password", or "none"')
    return {"Authorization": aiohttp.encode_basic_auth(user, password)}


def secrets(access: Access) -> tuple[str, ...]:
    """Also the password alone, and the form in which both travel; but not the word that says that there is none."""
    header = _basic(access).get("Authorization", "")
    password = access.secret.partition(":")[2]
    own = (password if len(password) >= discretion.SHORT_PASSWORD else "", header.partition(" ")[2]) if header else ()
    return (*filter(None, own), *(secret for secret in discretion.secrets(access) if header or secret != access.secret))
