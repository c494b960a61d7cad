"""OpenAI's image API: any size that the model paints, unfinished pictures on the way, what it costs (PROTOCOLS §2)."""

from __future__ import annotations

import math
import re

import anyio

from limner.actors.providers import discretion, egress, images, parcels, usages
from limner.actors.providers.base import Access, Fault, Listed, OnStep, Order, Picture, QuotaScope, Step, UpstreamError
from limner.actors.providers.egress import Wire, translated
from limner.actors.providers.images import bearer, url
from limner.actors.providers.parameters import Kind, refuse, refuse_unknown
from limner.actors.providers.verdicts import Answer, verdict
from limner.sql.models import MARKUP

PARAMETERS: dict[str, Kind] = {
    "quality": ["auto", "low", "medium", "high", "xhigh", "max"],
    "background": ["auto", "transparent", "opaque"],
    "output_format": ["png", "jpeg", "webp"],
    "output_compression": {"min": 0, "max": 100},
    "moderation": ["auto", "low"],
    "complexity": ["low", "medium", "high"],
    "input_fidelity": ["high", "low"],
    "style": ["vivid", "natural"],
}
"""What may be sent beyond prompt and size, under these very names; which model knows which is in the catalogue."""
MOST_PARTIALS = 3
MAKES = ("gpt-image", "chatgpt-image", "dall-e")
"""How the ids of OpenAI's image models begin; its list of models says no more about them."""

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
    quota_scope: QuotaScope = "account_group"

    async def paint(self, order: Order, access: Access, on_step: OnStep) -> Picture:
        """One picture, at the size nearest to the order's that the model paints. Raises UpstreamError."""
        asked = fields(order)
        wire = Wire()
        await on_step(Step(0.05))
        with translated(access, wire), anyio.fail_after(access.timeout):
            async with egress.session(access, wire) as session:
                tell = egress.telling(on_step, wire)
                reply = await images.ask(session, order, access, asked, tell, headers=bearer(access))
            if reply.answer.status != 200 or reply.entries is None:
                raise images.refusal(reply.answer, order, access)
            spent = cost(order.model, reply.usage)
            with parcels.costing(spent):
                data = await images.data(reply, access)
                named, told = reply.answer.headers.get("x-request-id"), usages.openai(reply.usage)
                done = parcels.picture(data, named, spent, told)
        await on_step(Step(0.95))
        return done

    async def check(self, access: Access) -> None:
        """List the models, which costs nothing. Raises UpstreamError when the key is not accepted."""
        await free(access, "models")

    async def models(self, access: Access) -> list[Listed]:
        """Those that paint. Raises UpstreamError."""
        sizes = tuple(f"{width}x{height}" for width, height in LISTED)
        ids = sorted(str(entry.get("id")) for entry in entries(await free(access, "models"), access))
        return [Listed(each, each, ("text", "image", "mask"), sizes) for each in ids if each.startswith(MAKES)]


async def free(access: Access, path: str, *, headers: dict[str, str] | None = None) -> Answer:
    """The answer to a question that costs nothing. Raises UpstreamError for any but a success."""
    wire = Wire()
    with translated(access, wire), anyio.fail_after(min(access.timeout, 30.0)):
        async with (
            egress.session(access, wire) as session,
            session.get(url(access, path), headers=headers or bearer(access), allow_redirects=False) as response,
        ):
            answer = await parcels.answer(response, access)
    if answer.status != 200:
        raise verdict(answer, discretion.secrets(access), caller=discretion.caller(access))
    return answer


def entries(answer: Answer, access: Access) -> list[dict[str, object]]:
    """The ``data`` of a list. Raises UpstreamError(UPSTREAM_5XX) where there is none."""
    found = parcels.facts(answer.body).get("data")
    if not isinstance(found, list):
        raise UpstreamError(Fault.UPSTREAM_5XX, "HTTP 200 without a list", secrets=discretion.secrets(access))
    return [entry for entry in found if isinstance(entry, dict)]


def fields(order: Order) -> images.Fields:
    """What to ask for. Raises UpstreamError(INVALID_REQUEST) for what could not be sent."""
    refuse_unknown(order, [*PARAMETERS, MARKUP])
    check_company(order)
    asked: images.Fields = {
        "model": order.model,
        "prompt": order.prompt,
        "n": 1,
        "size": size(order.model, order.width, order.height),
        **images.chosen(order),
    }
    if order.user:
        asked["safety_identifier"] = order.user
    if order.partial_images:
        asked |= {"stream": True, "partial_images": min(order.partial_images, MOST_PARTIALS)}
    return asked


def check_company(order: Order) -> None:
    """Raises UpstreamError(INVALID_REQUEST) for what makes sense with a reference picture alone."""
    overlay = images.overlay(order)
    for name, is_given in (("input_fidelity", "input_fidelity" in order.parameters), (overlay, bool(order.mask))):
        if is_given and not order.references:
            refuse(name, "needs a reference picture")


def size(model: str, width: int, height: int) -> str:
    """The ``size`` to ask for: free from gpt-image-2 on and for other makes, else the listed one nearest by ratio."""
    version = re.match(r"gpt-image-(\d+(?:\.\d+)?)", model)
    if model.startswith("chatgpt-image") or (version and float(version[1]) < 2):
        width, height = nearest(LISTED, width, height)
    elif version:
        width, height = _free(width, height)
    return f"{width}x{height}"


def nearest(listed: tuple[tuple[int, int], ...], width: int, height: int) -> tuple[int, int]:
    """The size of the ratio nearest to the asked one, and among those the one nearest in pixels."""

    def distance(offered: tuple[int, int]) -> tuple[float, float]:
        wide, tall = offered
        return round(abs(math.log(wide / tall * height / width)), 3), abs(math.log(wide * tall / (width * height)))

    return min(listed, key=distance)


def cost(model: str, usage: object) -> int:
    """Millionths of a US dollar for a usage object; 0 where the model or the usage is unknown."""
    prices = PRICES.get(DATED.sub("", model.strip().lower()))
    if prices is None or not isinstance(usage, dict):
        return 0
    details = usage.get("input_tokens_details")
    pictures = _count(details.get("image_tokens")) if isinstance(details, dict) else 0
    texts = max(0, _count(usage.get("input_tokens")) - pictures)
    # output_tokens_details is often missing: all that comes out counts as image
    return round(texts * prices[0] + pictures * prices[1] + _count(usage.get("output_tokens")) * prices[2])


def _free(width: int, height: int) -> tuple[int, int]:
    """Pixels on the grid, no steeper and no longer than allowed."""
    scale = min(1.0, LONGEST / max(width, height))
    wide, tall = (max(GRID, round(side * scale / GRID) * GRID) for side in (width, height))
    steepest = int(STEEPEST)
    return min(wide, tall * steepest), min(tall, wide * steepest)


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0
