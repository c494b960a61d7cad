"""fal: a queue in front of many makers' models; a job goes on there without us, and is found again (PROTOCOLS §5)."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp
import anyio
import orjson

from limner.actors.providers import discretion, egress, fal_answers, parcels, shapes, waiting
from limner.actors.providers.base import (
    Access,
    Fault,
    JobGone,
    Listed,
    OnStep,
    Order,
    Picture,
    QuotaScope,
    Step,
    UpstreamError,
    checked,
)
from limner.actors.providers.egress import Wire, telling, translated
from limner.actors.providers.parameters import Kind
from limner.actors.providers.verdicts import Answer
from limner.sql import painters
from limner.sql.painters import Shape

PARAMETERS: dict[str, Kind] = {
    "guidance_scale": {"min": 0, "max": 20},
    "num_inference_steps": {"min": 1, "max": 100},
    "strength": {"min": 0, "max": 1},
    "output_format": ["png", "jpeg", "webp"],
    "resolution": ["1K", "2K", "4K"],
    "acceleration": ["none", "regular", "high"],
    "quality": ["auto", "low", "medium", "high"],
    "background": ["auto", "transparent", "opaque"],
    "rendering_speed": ["TURBO", "BALANCED", "QUALITY"],
    "raw": [True, False],
    "style": "text",
    "negative_prompt": "text",
}
"""What may be sent beyond prompt and size; a model's shape adds more. Whether pictures are checked is not the user's choice."""

SHAPES: dict[str, Shape] = {
    "": Shape("image_size"),
    "fal-ai/flux/dev": Shape("image_size", "image_url", edit="/image-to-image"),
    "fal-ai/flux-pro/v1.1-ultra": Shape("aspect_ratio", "image_url"),
    "fal-ai/flux-pro/kontext": Shape("aspect_ratio", "image_url"),
    "fal-ai/nano-banana": Shape("aspect_ratio", "image_urls", many=True, edit="/edit", seed=False),
    "fal-ai/bytedance/seedream/v4/text-to-image": Shape(
        "image_size", "image_urls", many=True, edit="fal-ai/bytedance/seedream/v4/edit"
    ),
}
"""Families that are known well enough; the setting ``models`` adds and replaces."""

PRICED = "fal-ai/flux/schnell"
"""Any model: its price costs nothing to read, and only a key that works may read it."""
PAGES = 10


class Fal:
    """Paints at ``access.base_url`` (https://queue.fal.run) with ``access.secret`` as key."""

    name = "fal"
    quota_scope: QuotaScope = "account_group"

    async def paint(self, order: Order, access: Access, on_step: OnStep) -> Picture:
        """One picture; the job's name is told before it is waited for. Raises UpstreamError."""
        model, asked = shapes.fill(
            order, shapes.of(order.model, SHAPES | dict(checked(painters.fal, access).models)), PARAMETERS
        )
        wire = Wire()
        with translated(access, wire), anyio.fail_after(access.timeout):
            async with egress.session(access, wire) as session:
                job = await _create(session, model, asked, access)
                tell = telling(on_step, wire)
                await tell(Step(0.05, ref=job.ref))
                return await _finish(session, job, access, tell, wire)

    async def resume(self, ref: str, order: Order, access: Access, on_step: OnStep) -> Picture:
        """Wait for a job that an earlier process began. Raises UpstreamError, JobGone where it is not known."""
        wire = Wire(sent=True)
        with translated(access, wire), anyio.fail_after(access.timeout):
            async with egress.session(access, wire) as session:
                return await _finish(session, _job(ref), access, telling(on_step, wire), wire)

    async def cancel(self, ref: str, access: Access) -> None:
        """Take it out of the queue, or ask its runner to stop. Raises UpstreamError."""
        wire = Wire()
        with translated(access, wire), anyio.fail_after(min(access.timeout, 10.0)):
            async with egress.session(access, wire) as session:
                answer = await _ask(session, "PUT", _job(ref).cancel, access)
        if answer.status not in (200, 202, 400, 404):  # 400, 404: it is over
            raise fal_answers.judged(answer, access)

    async def check(self, access: Access) -> None:
        """Read a price, which costs nothing. Raises UpstreamError when the key is not accepted."""
        await _platform(access, f"models/pricing?endpoint_id={PRICED}")

    async def models(self, access: Access) -> list[Listed]:
        """Those that paint from words. Raises UpstreamError."""
        listed, cursor = list[Listed](), ""
        known = SHAPES | dict(checked(painters.fal, access).models)
        for _ in range(PAGES):
            page = await _platform(access, f"models?category=text-to-image&status=active&limit=100{cursor}")
            entries = page.get("models")
            listed += (
                [_listed(entry, known) for entry in entries if isinstance(entry, dict)]
                if isinstance(entries, list)
                else []
            )
            if not page.get("next_cursor"):
                break
            cursor = f"&cursor={page['next_cursor']}"
        return sorted(listed, key=lambda each: each.id)

    async def balance(self, access: Access) -> int:
        """Millionths of a US dollar; only admin keys may read it. Raises UpstreamError."""
        try:
            credits = (await _platform(access, "account/billing?expand=credits")).get("credits")
        except UpstreamError as error:
            if error.fault not in (Fault.AUTH_DEAD, Fault.MODEL_UNAVAILABLE):
                raise
            raise UpstreamError(Fault.INVALID_REQUEST, f"this key tells no balance: {error.detail}") from error
        left = credits.get("current_balance") if isinstance(credits, dict) else None
        if not isinstance(left, int | float):
            raise UpstreamError(Fault.UPSTREAM_5XX, "HTTP 200 without a balance")
        return round(left * 1_000_000)


@dataclass(frozen=True)
class _Job:
    """A job's name and the paths on the upstream's own host where it is asked for, fetched and canceled."""

    id: str
    status: str
    response: str
    cancel: str

    @property
    def ref(self) -> str:
        return " ".join((self.id, self.status, self.response, self.cancel))


def _job(ref: str) -> _Job:
    parts = ref.split(" ")
    if len(parts) != 4 or not all(path.startswith("/") and not path.startswith("//") for path in parts[1:]):
        raise JobGone(f"not the name of a job: {ref[:200]}")
    return _Job(*parts)


async def _create(session: aiohttp.ClientSession, model: str, asked: dict[str, object], access: Access) -> _Job:
    headers = {
        "x-fal-no-retry": "1",  # our own next key is a better one
        "X-Fal-Object-Lifecycle-Preference": '{"expiration_duration_seconds": 3600}',
    }
    answer = await _ask(
        session, "POST", urlsplit(access.base_url).path.rstrip("/") + f"/{model}", access, asked, headers
    )
    told = parcels.facts(answer.body)
    if answer.status not in range(200, 300) or not told.get("request_id"):
        raise fal_answers.judged(answer, access)
    paths = [_own_path(told.get(f"{name}_url"), access) for name in ("status", "response", "cancel")]
    return _Job(str(told["request_id"]).replace(" ", ""), *paths)


def _own_path(url: object, access: Access) -> str:
    """The path of a URL on the upstream's own host: the key goes nowhere else, whatever an answer says."""
    try:
        parts, base = urlsplit(str(url)), urlsplit(access.base_url)
        is_own = (parts.scheme, parts.hostname, parts.port) == (base.scheme, base.hostname, base.port)
    except ValueError:
        is_own = False
    if (
        not is_own
        or not parts.path.startswith("/")
        or parts.path.startswith("//")
        or " " in parts.path
        or parts.username
    ):
        raise UpstreamError(Fault.UPSTREAM_5XX, f"a job at a foreign address {url}", secrets=discretion.secrets(access))
    return parts.path


async def _finish(session: aiohttp.ClientSession, job: _Job, access: Access, tell: OnStep, wire: Wire) -> Picture:
    """Wait until it is done, and bring the picture home at once: it does not lie there for ever."""
    shown = ""

    async def look() -> bool | None:
        nonlocal shown
        answer = await _ask(session, "GET", job.status, access)
        state = str(parcels.facts(answer.body).get("status"))
        if answer.status == 404:
            raise JobGone(f"HTTP 404 for job {job.id}", secrets=discretion.secrets(access))
        if answer.status not in (200, 202):
            raise fal_answers.judged(answer, access)
        if state not in ("IN_QUEUE", "IN_PROGRESS", "COMPLETED"):
            raise UpstreamError(
                Fault.UPSTREAM_5XX, f"job in a strange state {state[:80]}", secrets=discretion.secrets(access)
            )
        if state != shown:
            shown = state
            await tell(Step({"IN_QUEUE": 0.1, "IN_PROGRESS": 0.4, "COMPLETED": 0.9}[state]))
        return True if state == "COMPLETED" else None

    async def fetch() -> Answer | None:
        answer = await _ask(session, "GET", job.response, access)
        if answer.status >= 500 and not fal_answers.said(answer):  # of what stands before the queue, not of the job
            raise fal_answers.judged(answer, access)
        return answer

    await waiting.until_done(look, access, wire)
    answer = await waiting.until_done(fetch, access, wire)
    data = await parcels.fetched(_address(answer, access), access)
    return parcels.picture(data, job.id)


def _address(answer: Answer, access: Access) -> str:
    """Where the picture of a result lies. Raises UpstreamError."""
    result = parcels.facts(answer.body)
    nsfw = result.get("has_nsfw_concepts")
    if answer.status == 200 and isinstance(nsfw, list) and nsfw and nsfw[0] is True:
        raise UpstreamError(Fault.MODERATION_OUTPUT, "has_nsfw_concepts: the picture is blacked out")
    pictures = result.get("images")
    first = pictures[0] if isinstance(pictures, list) and pictures else result.get("image")
    url = first.get("url") if isinstance(first, dict) else first
    if answer.status == 200 and not url and not fal_answers.said(answer):
        raise UpstreamError(Fault.NO_IMAGE, "a result without a picture")
    if answer.status != 200 or not isinstance(url, str) or not url:
        raise fal_answers.judged(answer, access)
    return url


async def _ask(
    session: aiohttp.ClientSession,
    method: str,
    path: str,
    access: Access,
    asked: dict[str, object] | None = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    base = urlsplit(access.base_url)
    async with session.request(
        method,
        f"{base.scheme}://{base.netloc}{path}",
        data=orjson.dumps(asked) if asked is not None else None,
        headers={"Authorization": f"Key {access.secret}", "Content-Type": "application/json", **(headers or {})},
        allow_redirects=False,
    ) as response:
        return await parcels.answer(response, access)


async def _platform(access: Access, path: str) -> dict[str, object]:
    """What the platform tells for free. Raises UpstreamError."""
    wire = Wire()
    headers = {"Authorization": f"Key {access.secret}"}
    with translated(access, wire), anyio.fail_after(min(access.timeout, 30.0)):
        async with (
            egress.session(access, wire) as session,
            session.get(
                f"{checked(painters.fal, access).platform_url}/{path}",
                headers=headers,
                allow_redirects=False,
            ) as response,
        ):
            answer = await parcels.answer(response, access)
    if answer.status != 200:
        raise fal_answers.judged(answer, access)
    return parcels.facts(answer.body)


def _listed(entry: dict[str, object], known: shapes.Shapes) -> Listed:
    model, about = str(entry.get("endpoint_id")), entry.get("metadata")
    name = about.get("display_name") if isinstance(about, dict) else None
    return shapes.listed(model, str(name or model), known)
