"""Replicate: predictions of many makers' models; one goes on there without us, and is found again (PROTOCOLS §6)."""

from __future__ import annotations

import re
from collections.abc import Mapping

import aiohttp
import anyio
import orjson

from limner.actors.providers import discretion, egress, parcels, shapes, waiting
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
from limner.actors.providers.images import bearer, url
from limner.actors.providers.parameters import Kind
from limner.actors.providers.rules import ANY, BEYOND_REQUEST, BROKE, BY_STATUS, REQUEST, Rule
from limner.actors.providers.verdicts import Answer, verdict
from limner.sql import painters
from limner.sql.painters import ReplicateSettings as Settings
from limner.sql.painters import Shape

PARAMETERS: dict[str, Kind] = {
    "guidance": {"min": 0, "max": 20},
    "guidance_scale": {"min": 0, "max": 20},
    "num_inference_steps": {"min": 1, "max": 100},
    "prompt_strength": {"min": 0, "max": 1},
    "output_format": ["png", "jpg", "webp"],
    "output_quality": {"min": 0, "max": 100},
    "resolution": ["1K", "2K", "4K"],
    "quality": ["auto", "low", "medium", "high"],
    "background": ["auto", "transparent", "opaque"],
    "go_fast": [True, False],
    "raw": [True, False],
    "negative_prompt": "text",
}
"""What may be sent beyond prompt and size; a model's shape adds more."""

SHAPES: dict[str, Shape] = {
    "black-forest-labs/flux-dev": Shape("aspect_ratio", "image"),
    "black-forest-labs/flux-kontext": Shape("aspect_ratio", "input_image"),
    "black-forest-labs/flux-fill": Shape("none", "image", mask="mask"),
    "google/nano-banana": Shape("aspect_ratio", "image_input", many=True, seed=False),
    "bytedance/seedream-4": Shape("aspect_ratio", "image_input", many=True, seed=False),
    "stability-ai/sdxl": Shape("pixels", "image", mask="mask"),
}
"""Families that are known well enough; the setting ``models`` adds and replaces."""

SMALL = 256 * 1024
"""Bytes: larger pictures are uploaded, not put into the input itself."""
LEAST_TIME = 5
"""Seconds: the shortest life that Replicate gives a prediction (Cancel-After)."""
OVER = ("succeeded", "failed", "canceled", "aborted")
NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")
PICTURES = "collections/text-to-image"

RULES = (
    Rule(Fault.MODERATION_OUTPUT, ANY, r"nsfw"),
    Rule(Fault.MODERATION_INPUT, ANY, r"flagged as sensitive|\be005\b|content[_ ]policy|safety (?:system|filter)"),
    Rule(Fault.BALANCE_EXHAUSTED, BEYOND_REQUEST, r"insufficient credit|spend limit|free time limit|payment required"),
    Rule(Fault.BALANCE_EXHAUSTED, REQUEST, BROKE),
    Rule(Fault.BALANCE_EXHAUSTED, (402,)),
    Rule(Fault.AUTH_DEAD, (401,)),
    Rule(Fault.AUTH_DEAD, (403,), r"token|authenticat|credential|disabled|suspended"),
    Rule(Fault.RATE_LIMITED, BEYOND_REQUEST, r"request was throttled|e003\b|high demand"),
    Rule(Fault.MODEL_UNAVAILABLE, (403, 404, 405, 410)),
    Rule(
        Fault.MODEL_UNAVAILABLE,
        (422,),
        r"^(?:invalid version|(?:the |this |specified )*(?:version.*(?:does not exist|not permitted|invalid)|model.*disabled))",
    ),
    Rule(Fault.PROXY_FAILED, (407,)),
    *BY_STATUS,
)
FAILURES = (
    *RULES[:3],  # as far as money
    Rule(Fault.RATE_LIMITED, ANY, r"\be003\b|high demand|rate limit|too many requests"),
    Rule(Fault.NO_IMAGE, ANY, r"no (?:image|output)"),
    Rule(Fault.INVALID_REQUEST, ANY, r"\be006\b|invalid (?:input|value|image)|unsupported image|is not one of"),
    Rule(Fault.UPSTREAM_5XX, ANY),
)
"""What the error of a prediction means that began and failed."""


class Replicate:
    """Paints at ``access.base_url`` (https://api.replicate.com/v1) with ``access.secret`` as bearer token."""

    name = "replicate"
    quota_scope: QuotaScope = "account_group"

    async def paint(self, order: Order, access: Access, on_step: OnStep) -> Picture:
        """One picture; the prediction's name is told before it is waited for. Raises UpstreamError."""
        settings = checked(painters.replicate, access)
        model, asked = shapes.fill(order, shapes.of(order.model, SHAPES | dict(settings.models)), PARAMETERS)
        wire = Wire()
        with translated(access, wire), anyio.fail_after(access.timeout):
            async with egress.session(access, wire) as session:
                created = await _create(session, model, await _small(session, asked, access), access, settings)
                ref, tell = str(created["id"]), telling(on_step, wire)
                await tell(Step(0.05, ref=ref))
                return await _finish(session, ref, created, access, tell, wire)

    async def resume(self, ref: str, order: Order, access: Access, on_step: OnStep) -> Picture:
        """Wait for a prediction that an earlier process began. Raises UpstreamError, JobGone where it is not known."""
        wire = Wire(sent=True)
        with translated(access, wire), anyio.fail_after(access.timeout):
            async with egress.session(access, wire) as session:
                return await _finish(session, _name(ref), {}, access, telling(on_step, wire), wire)

    async def cancel(self, ref: str, access: Access) -> None:
        """Stop it, if it is not over. Raises UpstreamError."""
        wire = Wire()
        with translated(access, wire), anyio.fail_after(min(access.timeout, 10.0)):
            async with egress.session(access, wire) as session:
                answer = await _ask(session, "POST", f"predictions/{_name(ref)}/cancel", access)
        if answer.status not in (200, 201, 202, 404):
            raise refusal(answer, access)

    async def check(self, access: Access) -> None:
        """Read the account, which costs nothing. Raises UpstreamError when the key is not accepted."""
        await _free(access, "account")

    async def models(self, access: Access) -> list[Listed]:
        """Those of Replicate's own collection of painters. Raises UpstreamError."""
        known = SHAPES | dict(checked(painters.replicate, access).models)
        entries = (await _free(access, PICTURES)).get("models")
        found = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
        return sorted((_listed(entry, known) for entry in found), key=lambda each: each.id)


async def _create(
    session: aiohttp.ClientSession, model: str, asked: dict[str, object], access: Access, settings: Settings
) -> dict[str, object]:
    """A prediction of an official model ("owner/name"), or of a version ("owner/name:version", or the version alone)."""
    owner, _, version = model.rpartition(":")
    if version and (owner or "/" not in version):
        path, body = "predictions", {"version": version, "input": asked}
    else:
        path, body = f"models/{model}/predictions", {"input": asked}
    headers = {"Cancel-After": f"{max(LEAST_TIME, int(access.timeout))}s"}
    if settings.wait:
        headers["Prefer"] = f"wait={settings.wait}"
    answer = await _ask(session, "POST", path, access, body, headers)
    told = parcels.facts(answer.body)
    if answer.status not in range(200, 300) or not NAME.fullmatch(str(told.get("id") or "")):
        raise refusal(answer, access)
    return told


async def _small(session: aiohttp.ClientSession, asked: dict[str, object], access: Access) -> dict[str, object]:
    """The input with every large picture uploaded and named by its address there."""

    async def small(value: object) -> object:
        if isinstance(value, list):
            return [await small(each) for each in value]
        is_large = isinstance(value, str) and value.startswith("data:") and len(value) > SMALL * 4 / 3
        return await _upload(session, str(value), access) if is_large else value

    return {name: await small(value) for name, value in asked.items()}


async def _upload(session: aiohttp.ClientSession, carried: str, access: Access) -> str:
    mime = carried.removeprefix("data:").partition(";")[0]
    form = aiohttp.FormData()
    form.add_field(
        "content",
        parcels.decoded(carried.partition(",")[2]),
        filename=f"picture.{mime.partition('/')[2]}",
        content_type=mime,
    )
    async with session.post(url(access, "files"), data=form, headers=bearer(access), allow_redirects=False) as response:
        answer = await parcels.answer(response, access)
    urls = parcels.facts(answer.body).get("urls")
    address = urls.get("get") if isinstance(urls, dict) else None
    if answer.status not in range(200, 300) or not isinstance(address, str):
        raise refusal(answer, access)
    return address


async def _finish(
    session: aiohttp.ClientSession, ref: str, told: dict[str, object], access: Access, tell: OnStep, wire: Wire
) -> Picture:
    """Wait until it is over, and bring the picture home at once: after an hour it is deleted there."""
    shown = ""

    async def look() -> dict[str, object] | None:
        nonlocal told, shown
        if not told:
            answer = await _ask(session, "GET", f"predictions/{ref}", access)
            if answer.status == 404:
                raise JobGone(f"HTTP 404 for prediction {ref}", secrets=discretion.secrets(access))
            if answer.status != 200:
                raise refusal(answer, access)
            told = parcels.facts(answer.body)
        seen, told = told, {}
        state = str(seen.get("status"))
        if state not in ("starting", "processing", *OVER):
            raise UpstreamError(Fault.UPSTREAM_5XX, f"prediction in a strange state {state[:80]}")
        if state != shown:
            shown = state
            await tell(Step({"starting": 0.1, "processing": 0.4}.get(state, 0.9)))
        return seen if state in OVER else None

    over = await waiting.until_done(look, access, wire)
    data = await parcels.fetched(_address(over, access), access)
    return parcels.picture(data, ref)


def _address(over: dict[str, object], access: Access) -> str:
    """Where the picture of a prediction lies. Raises UpstreamError."""
    secrets, error = discretion.secrets(access), str(over.get("error") or "")
    match over.get("status"):
        case "succeeded":
            output = over.get("output")
            first = output[0] if isinstance(output, list) and output else output
            if isinstance(first, str) and first:
                return first
            if over.get("data_removed"):
                raise JobGone("its output is deleted by now", secrets=secrets)
            told = discretion.without(str(first), secrets)[:200]
            raise UpstreamError(Fault.NO_IMAGE, f"succeeded without a picture: {told}", secrets=secrets)
        case "canceled" | "aborted":  # by us, or by the Cancel-After that we sent
            raise UpstreamError(Fault.CANCELLED, f"prediction {over.get('status')} {error}", secrets=secrets)
        case _:
            logs = discretion.without(str(over.get("logs") or "")[-discretion.JUDGED :], secrets)[-300:]
            said, caller = f"prediction failed: {error or logs}", discretion.caller(access)
            raise verdict(Answer(500, {}, b""), secrets, rules=FAILURES, said=said, caller=caller)


async def _ask(
    session: aiohttp.ClientSession,
    method: str,
    path: str,
    access: Access,
    asked: Mapping[str, object] | None = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    async with session.request(
        method,
        url(access, path),
        data=orjson.dumps(asked) if asked is not None else None,
        headers={**bearer(access), "Content-Type": "application/json", **(headers or {})},
        allow_redirects=False,
    ) as response:
        return await parcels.answer(response, access)


async def _free(access: Access, path: str) -> dict[str, object]:
    """What is told for nothing. Raises UpstreamError."""
    wire = Wire()
    with translated(access, wire), anyio.fail_after(min(access.timeout, 30.0)):
        async with egress.session(access, wire) as session:
            answer = await _ask(session, "GET", path, access)
    if answer.status != 200:
        raise refusal(answer, access)
    return parcels.facts(answer.body)


def refusal(answer: Answer, access: Access) -> UpstreamError:
    """Errors are RFC 7807's: {"title", "detail", "status", "type"}; some have nothing but the detail."""
    told = parcels.facts(answer.body)
    said = " ".join(str(told[name]) for name in ("title", "detail", "error") if told.get(name))
    return verdict(answer, discretion.secrets(access), rules=RULES, said=said, caller=discretion.caller(access))


def _name(ref: str) -> str:
    if not NAME.fullmatch(ref):
        raise JobGone(f"not the name of a prediction: {ref[:200]}")
    return ref


def _listed(entry: dict[str, object], known: shapes.Shapes) -> Listed:
    return shapes.listed(f"{entry.get('owner')}/{entry.get('name')}", str(entry.get("name")), known)
