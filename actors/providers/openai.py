"""OpenAI's image API, and whatever speaks it: generations as JSON, edits as multipart (PROTOCOLS §2, §3)."""

from __future__ import annotations

import base64
import binascii
import math
import re

import aiohttp
import anyio
import orjson

from limner.actors.providers import egress
from limner.actors.providers.base import Access, Fault, OnStep, Order, Picture, Step, UpstreamError
from limner.actors.providers.egress import Wire, body, translated
from limner.actors.providers.verdicts import Answer, verdict
from limner.runtime import raster

LISTED = ((1024, 1024), (1536, 1024), (1024, 1536))
"""Pixels: all that GPT image models before 2 paint."""
GRID, STEEPEST, LONGEST = 16, 3.0, 3840
"""From gpt-image-2 on: sides are multiples of GRID, the ratio is at most STEEPEST, no side is longer than LONGEST."""

PRICES = {
    "gpt-image-2": (5.0, 8.0, 30.0),
    "gpt-image-1.5": (5.0, 8.0, 32.0),
    "gpt-image-1-mini": (2.0, 2.5, 8.0),
    "gpt-image-1": (5.0, 10.0, 40.0),
}
"""US dollars per million tokens (so: millionths of a dollar per token) of text in, image in, image out, by model id;
dated ids fall under the longest name they begin with. A model that is not here is booked at 0."""
DATED = re.compile(r"(-\d{4}-\d{2}-\d{2})?$")


class OpenAI:
    """Paints at ``access.base_url`` (such as https://api.openai.com/v1) with ``access.secret`` as bearer token."""

    name = "openai"

    async def paint(self, order: Order, access: Access, on_step: OnStep) -> Picture:
        """One picture, at the size nearest to the order's that the model paints. Raises UpstreamError."""
        wire = Wire()
        await on_step(Step(0.05))
        with translated(access, wire), anyio.fail_after(access.timeout):
            async with egress.session(access, wire) as session:
                answer = await _post(session, order, access)
            picture = await _picture(answer, order, access)
        await on_step(Step(0.95))
        return picture

    async def check(self, access: Access) -> None:
        """List the models, which costs nothing. Raises UpstreamError when the key is not accepted."""
        wire = Wire()
        with translated(access, wire), anyio.fail_after(min(access.timeout, 30.0)):
            async with egress.session(access, wire) as session:
                async with session.get(
                    _url(access, "models"), headers=_bearer(access), allow_redirects=False
                ) as response:
                    answer = await _answer(response, access)
        if answer.status != 200:
            raise verdict(answer, egress.secrets(access))


def size(model: str, width: int, height: int) -> str:
    """The ``size`` to ask for: free from gpt-image-2 on and for other makes, else the listed one nearest by ratio."""
    version = re.match(r"gpt-image-(\d+(?:\.\d+)?)", model)
    if model.startswith("chatgpt-image") or (version and float(version[1]) < 2):
        width, height = min(LISTED, key=lambda listed: abs(math.log(listed[0] / listed[1] * height / width)))
    elif version:
        width, height = _free(width, height)
    return f"{width}x{height}"


def cost(model: str, usage: object) -> int:
    """Millionths of a US dollar for a usage object; 0 where the model or the usage is unknown."""
    prices = PRICES.get(DATED.sub("", model.strip().lower()))
    if prices is None or not isinstance(usage, dict):
        return 0
    details = usage.get("input_tokens_details")
    images = _count(details.get("image_tokens")) if isinstance(details, dict) else 0
    texts = max(0, _count(usage.get("input_tokens")) - images)
    # output_tokens_details is often missing: all that comes out counts as image
    return round(texts * prices[0] + images * prices[1] + _count(usage.get("output_tokens")) * prices[2])


async def _post(session: aiohttp.ClientSession, order: Order, access: Access) -> Answer:
    fields: dict[str, str | int] = {
        "model": order.model,
        "prompt": order.prompt,
        "n": 1,
        "size": size(order.model, order.width, order.height),
    }
    if order.user:
        fields["safety_identifier"] = order.user
    edits = bool(order.references)
    async with session.post(
        _url(access, "images/edits" if edits else "images/generations"),
        data=_form(fields, order) if edits else orjson.dumps(fields),
        headers=_bearer(access) | ({} if edits else {"Content-Type": "application/json"}),
        allow_redirects=False,
    ) as response:
        return await _answer(response, access)


async def _answer(response: aiohttp.ClientResponse, access: Access) -> Answer:
    read = await body(response)
    if read is None:
        raise UpstreamError(
            Fault.NO_IMAGE, f"answer of more than {egress.BODY_LIMIT} bytes", secrets=egress.secrets(access)
        )
    return Answer(response.status, {name.lower(): value for name, value in response.headers.items()}, read)


async def _picture(answer: Answer, order: Order, access: Access) -> Picture:
    whole = _json(answer.body)
    entries = whole.get("data")
    if answer.status != 200 or not isinstance(entries, list):
        raise verdict(answer, egress.secrets(access))
    if not entries:
        raise UpstreamError(
            Fault.MODERATION_OUTPUT, "HTTP 200 with empty data"
        )  # relays refuse this way, without a word
    data = await _data(entries[0] if isinstance(entries[0], dict) else {}, access)
    mime = raster.sniff(data)
    if mime is None or not mime.startswith("image/"):
        raise UpstreamError(Fault.NO_IMAGE, f"{len(data)} bytes that are no picture")
    return Picture(data, mime, answer.headers.get("x-request-id"), cost(order.model, whole.get("usage")))


async def _data(entry: dict[str, object], access: Access) -> bytes:
    """The picture's bytes: inline, as a data URL, or fetched at once from where it lies."""
    inline, url = entry.get("b64_json"), entry.get("url")
    if isinstance(url, str) and url.startswith("data:"):
        inline = url.partition(",")[2]
    if isinstance(inline, str) and inline:
        return _decoded(inline)
    if isinstance(url, str) and url:
        return await _fetched(url, access)
    raise UpstreamError(Fault.NO_IMAGE, "HTTP 200 whose data has no picture")


async def _fetched(url: str, access: Access) -> bytes:
    """What lies at a URL, through the same proxy and without the key."""
    if not egress.may_fetch(url, access.base_url):
        raise UpstreamError(Fault.NO_IMAGE, f"picture at a forbidden address {url}", secrets=egress.secrets(access))
    guarded = not egress.is_own(url, access.base_url)
    async with egress.session(access, Wire(), guarded=guarded) as session:
        async with session.get(url, allow_redirects=False) as response:
            data = await body(response)
    if response.status != 200 or data is None:
        raise UpstreamError(
            Fault.NO_IMAGE, f"picture's address answered {response.status}", secrets=egress.secrets(access)
        )
    return data


def _form(fields: dict[str, str | int], order: Order) -> aiohttp.FormData:
    form = aiohttp.FormData()
    for name, value in fields.items():
        form.add_field(name, str(value))
    for index, reference in enumerate(order.references):
        mime = raster.sniff(reference) or "application/octet-stream"
        form.add_field("image[]", reference, filename=f"image-{index}.{mime.partition('/')[2]}", content_type=mime)
    if order.mask:
        form.add_field("mask", order.mask, filename="mask.png", content_type="image/png")
    return form


def _free(width: int, height: int) -> tuple[int, int]:
    """Pixels on the grid, no steeper and no longer than allowed."""
    scale = min(1.0, LONGEST / max(width, height))
    wide, tall = (max(GRID, round(side * scale / GRID) * GRID) for side in (width, height))
    steepest = int(STEEPEST)
    return min(wide, tall * steepest), min(tall, wide * steepest)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise UpstreamError(Fault.NO_IMAGE, "HTTP 200 with broken base64") from error


def _json(body: bytes) -> dict[str, object]:
    try:
        whole = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return whole if isinstance(whole, dict) else {}


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _url(access: Access, path: str) -> str:
    return f"{access.base_url.rstrip('/')}/{path}"


def _bearer(access: Access) -> dict[str, str]:
    return {"Authorization": f"Bearer {access.secret}"}
