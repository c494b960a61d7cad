"""AUTOMATIC1111 and Forge on the operator's own machines: txt2img, img2img, live previews (PROTOCOLS §8)."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from pathlib import PurePosixPath

import anyio
import orjson
import pybase64

from limner.actors.providers import a1111_node, dialects, discretion, parcels
from limner.actors.providers.a1111_node import API, DEFAULT_URL, Facts, Watch, ask, interrupt
from limner.actors.providers.base import Access, Fault, Listed, OnStep, Order, Picture, Step, UpstreamError
from limner.actors.providers.parameters import Kind, refuse, refuse_unknown
from limner.actors.providers.rules import ANY, BEYOND_REQUEST, BY_STATUS, Rule, holding
from limner.actors.providers.verdicts import QUOTA_DELAY, Answer, by_whom, delay
from limner.runtime import raster
from limner.runtime.errors import as_raised

PARAMETERS: dict[str, Kind] = {
    "negative_prompt": "text",
    "steps": {"min": 1, "max": 150},
    "cfg_scale": {"min": 1, "max": 30},
    "sampler": "text",
    "scheduler": "text",
    "checkpoint": "text",
    "denoising_strength": {"min": 0, "max": 1},
    "mask_blur": {"min": 0, "max": 64},
}
ANY_MODEL = ("", "default", "a1111")
"""Ids of a model that is whatever the node has loaded, unless the settings name a checkpoint."""
GRID, SMALLEST = 8, 64
"""Pixels."""

RULES = (
    Rule(Fault.AUTH_DEAD, (401, 403)),
    Rule(
        Fault.INVALID_REQUEST, ANY, r"(?:sampler|scheduler|script|upscaler|init image).{0,80}not found|invalid encoded"
    ),
    Rule(Fault.MODEL_UNAVAILABLE, BEYOND_REQUEST, r"(?:model|checkpoint).{0,120}not found|no checkpoint"),
    Rule(Fault.MODEL_UNAVAILABLE, (404, 405, 410)),
    Rule(Fault.NO_IMAGE, (500,), r"nansexception|all nans"),
    Rule(Fault.PROXY_FAILED, (407,)),
    *BY_STATUS,
)

__all__ = ["A1111", "DEFAULT_URL", "PARAMETERS"]


class A1111:
    """Paints with ``access.secret`` as "user:password" for HTTP Basic, or "none". A node paints one picture at a time."""

    name = "a1111"

    async def paint(self, order: Order, access: Access, on_step: OnStep) -> Picture:
        """One picture, with its progress on the way. Raises UpstreamError; tells the node when nobody waits any more."""
        path, body = await request(order, access)
        task = str(body["force_task_id"])
        await on_step(Step(0.02))
        with as_raised():
            async with anyio.create_task_group() as group:
                group.start_soon(Watch(order, access, task, on_step).look)
                answer = await _posted(path, body, access)
                group.cancel_scope.cancel()
        picture = painted(answer, order, access)
        await on_step(Step(0.98))
        return picture

    async def check(self, access: Access) -> None:
        """List the checkpoints. Raises UpstreamError when the node does not answer or does not let us in."""
        await _checkpoints(access)

    async def models(self, access: Access) -> list[Listed]:
        """The node's checkpoints, by their titles."""
        abilities = ("text", "image", "mask")
        return [
            Listed(str(each["title"]), str(each.get("model_name") or each["title"]), abilities)
            for each in await _checkpoints(access)
            if each.get("title")
        ]


async def request(order: Order, access: Access) -> tuple[str, Facts]:
    """Where to post what. Raises UpstreamError(INVALID_REQUEST) for what the node does not know."""
    refuse_unknown(order, PARAMETERS)
    if len(order.references) > 1:
        refuse("reference", "pictures are more than the one that this painter takes")
    if "denoising_strength" in order.parameters and not order.references:
        refuse("denoising_strength", "makes sense only with a reference picture")
    if order.mask is not None and not order.references:
        refuse("mask", "makes sense only with a reference picture")
    if "mask_blur" in order.parameters and order.mask is None:
        refuse("mask_blur", "makes sense only with a mask")
    chosen = {name: value for name, value in access.settings.items() if name in PARAMETERS} | dict(order.parameters)
    body: Facts = {
        "prompt": order.prompt,
        "width": _side(order.width),
        "height": _side(order.height),
        "seed": order.seed % 2**32,
        "batch_size": 1,
        "n_iter": 1,
        "send_images": True,
        "save_images": False,
        "force_task_id": f"task({uuid.uuid4().hex})",
        # The prompt would be written into the file, next to the checkpoint's name. What is overridden is restored.
        "override_settings": _checkpoint(order, chosen) | {"enable_pnginfo": False, "samples_format": "png"},
    }
    names = {"sampler": "sampler_name"}
    body |= {
        names.get(name, name): chosen[name]
        for name in ("negative_prompt", "steps", "cfg_scale", "sampler", "scheduler")
        if name in chosen
    }
    if not order.references:
        return "txt2img", body
    body["init_images"] = [pybase64.b64encode_as_string(order.references[0])]
    body["denoising_strength"] = chosen.get("denoising_strength", 0.75)
    if order.mask is not None:
        body |= {"mask": await _stencil(order.mask), "inpainting_fill": 1, "inpaint_full_res": False}
        body |= {"mask_blur": chosen["mask_blur"]} if "mask_blur" in chosen else {}
    return "img2img", body


def painted(answer: Answer, order: Order, access: Access) -> Picture:
    """The picture: not the grid that may stand before it. Raises UpstreamError for whatever else the answer is."""
    whole = parcels.facts(answer.body)
    images = whole.get("images")
    if answer.status != 200 or not isinstance(images, list) or not images:
        raise refusal(answer, access)
    info = _info(whole)
    wanted = _wanted(order, access.settings)
    if wanted and not _is_by(info, wanted):  # a checkpoint that is not there is replaced without a word
        raise UpstreamError(Fault.MODEL_UNAVAILABLE, f"asked for {wanted}, painted by {info.get('sd_model_name')}")
    seeds = info.get("all_seeds")
    seed = seeds[0] if isinstance(seeds, list) and seeds else info.get("seed")
    image = images[_first(images, info, seeds)]
    return dialects.picture(image if isinstance(image, str) else "", None if seed is None else f"seed-{seed}", 0)


def refusal(answer: Answer, access: Access) -> UpstreamError:
    """The one error that an answer without a picture is."""
    error = parcels.facts(answer.body)
    said = [error[name] for name in ("error", "detail", "errors") if error.get(name)]
    text = " ".join(str(each) for each in said) or dialects.raw(answer)
    secrets = a1111_node.secrets(access)
    own = discretion.without(text, secrets)
    rule = by_whom(holding(answer.status, own, RULES), answer, error)
    fault, after = rule.fault, delay(answer.headers)
    if fault is Fault.RATE_LIMITED and after is not None and after > QUOTA_DELAY:
        fault = Fault.DAILY_QUOTA
    detail, is_vague = f"HTTP {answer.status} {own}", rule.is_vague(answer.status)
    return UpstreamError(fault, detail, after=after, secrets=secrets, is_vague=is_vague)


async def _posted(path: str, body: Facts, access: Access) -> Answer:
    """The node's answer; when nobody waits for it any more, the node is told so."""
    try:
        return await ask(access, "POST", f"{API}/{path}", orjson.dumps(body))
    except anyio.get_cancelled_exc_class():
        await interrupt(access, str(body["force_task_id"]))
        raise
    except UpstreamError as error:
        if error.fault is Fault.TIMEOUT_UNKNOWN:
            await interrupt(access, str(body["force_task_id"]))
        raise


async def _checkpoints(access: Access) -> list[Facts]:
    answer = await ask(access, "GET", f"{API}/sd-models", timeout=dialects.CHECK)
    try:
        listed = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        listed = None
    if answer.status != 200 or not isinstance(listed, list):
        raise refusal(answer, access)
    return [each for each in listed if isinstance(each, dict)]


async def _stencil(mask: bytes) -> str:
    """The node wants white where it paints, and old ones do not look at transparency at all."""
    try:
        return pybase64.b64encode_as_string(await raster.stencil(mask))
    except raster.BadImage as error:
        raise UpstreamError(Fault.INVALID_REQUEST, f"mask: {error}") from error


def _wanted(order: Order, settings: Mapping[str, object]) -> str:
    """The checkpoint that an order asks for, or "" for whatever is loaded."""
    asked = order.parameters.get("checkpoint")
    model = "" if order.model.strip().lower() in ANY_MODEL else order.model.strip()
    return str(asked or model or settings.get("checkpoint") or "")


def _checkpoint(order: Order, chosen: Mapping[str, object]) -> Facts:
    wanted = _wanted(order, chosen)
    return {"sd_model_checkpoint": wanted} if wanted else {}


def _is_by(info: Facts, wanted: str) -> bool:
    """Whether a picture's info names the checkpoint that was asked for by title, name or hash; True if it names none."""
    name, digest = str(info.get("sd_model_name") or "").lower(), str(info.get("sd_model_hash") or "").lower()
    asked = wanted.lower()
    if not name and not digest:
        return True
    by_hash = bool(digest) and (digest in asked or digest.startswith(asked))
    return by_hash or (bool(name) and _bare(asked) == _bare(name))


def _bare(title: str) -> str:
    """A checkpoint's name without folder, extension and hash."""
    name = PurePosixPath(re.sub(r"\s*\[[0-9a-f]+\]$", "", title).replace("\\", "/")).name
    return re.sub(r"\.(?:safetensors|ckpt|pt|gguf)$", "", name)


def _first(images: list[object], info: Facts, seeds: object) -> int:
    """Where the first single picture stands."""
    told = info.get("index_of_first_image")
    if isinstance(told, int) and 0 <= told < len(images):
        return told
    has_grid = isinstance(seeds, list) and 1 < len(seeds) < len(images)
    return 1 if has_grid else 0


def _info(whole: Facts) -> Facts:
    """``info`` is JSON in a string."""
    info = whole.get("info")
    return parcels.facts(info.encode()) if isinstance(info, str) else info if isinstance(info, dict) else {}


def _side(pixels: int) -> int:
    return max(SMALLEST, round(pixels / GRID) * GRID)
