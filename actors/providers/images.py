"""The images API that OpenAI speaks and many imitate: generations as JSON, edits as a form, both perhaps as a stream."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import aiohttp
import anyio
import orjson

from limner.actors.providers import discretion, parcels
from limner.actors.providers.base import Access, Fault, OnStep, Order, Step, UpstreamError
from limner.actors.providers.events import events
from limner.actors.providers.parcels import facts
from limner.actors.providers.rules import RULES, Rule
from limner.actors.providers.verdicts import Answer, verdict
from limner.runtime import raster
from limner.sql.models import MARKUP

LINGER = 5.0
"""Seconds in which unfinished pictures may still come behind the finished one."""

Fields = dict[str, object]


@dataclass(frozen=True)
class Reply:
    """An answer, the entries of its ``data`` (None: it has none) and its usage."""

    answer: Answer
    entries: list[object] | None
    usage: object = None


async def ask(
    session: aiohttp.ClientSession,
    order: Order,
    access: Access,
    fields: Fields,
    on_step: OnStep,
    *,
    headers: Mapping[str, str],
    rules: Sequence[Rule] = RULES,
) -> Reply:
    """Send an order as these fields; each unfinished picture of a stream is told as a step. Raises UpstreamError."""
    edits = bool(order.references)
    async with session.post(
        url(access, "images/edits" if edits else "images/generations"),
        data=_form(fields, order) if edits else orjson.dumps(fields),
        headers={**headers, **({} if edits else {"Content-Type": "application/json"})},
        allow_redirects=False,
    ) as response:
        if response.status == 200 and response.content_type == "text/event-stream":
            return await _streamed(response, access, order, on_step, rules)
        answer = await parcels.answer(response, access)
    whole = facts(answer.body)
    entries = whole.get("data")
    return Reply(answer, entries if isinstance(entries, list) else None, whole.get("usage"))


def chosen(order: Order) -> Fields:
    """Its parameters as fields. What its mask is, is none: the name of the file says that."""
    return {name: value for name, value in order.parameters.items() if name != MARKUP}


def overlay(order: Order) -> str:
    """What its mask is called."""
    return MARKUP if MARKUP in order.parameters else "mask"


def refusal(answer: Answer, order: Order, access: Access, rules: Sequence[Rule] = RULES) -> UpstreamError:
    """The one error that an answer without a picture is. Who has no address for edits says nothing about the model."""
    error = _refusal(answer, access, rules)
    about = error.detail.lower()
    is_nowhere = bool(order.references) and answer.status in (404, 405)
    if (
        is_nowhere
        and error.fault is Fault.MODEL_UNAVAILABLE
        and "model" not in about
        and order.model.lower() not in about
    ):
        return UpstreamError(Fault.INVALID_REQUEST, error.detail, words="This painter takes no reference pictures.")
    return error


def _refusal(answer: Answer, access: Access, rules: Sequence[Rule]) -> UpstreamError:
    return verdict(answer, discretion.secrets(access), rules=rules, caller=discretion.caller(access))


async def data(reply: Reply, access: Access) -> bytes:
    """The bytes of the first picture: inline, as a data URL, or fetched at once from where it lies.

    Raises UpstreamError, MODERATION_OUTPUT for a success with nothing in it: relays refuse this way, without a word.
    """
    if not reply.entries:
        raise UpstreamError(Fault.MODERATION_OUTPUT, "HTTP 200 with empty data")
    entry = reply.entries[0] if isinstance(reply.entries[0], dict) else {}
    inline, address = entry.get("b64_json"), entry.get("url")
    if isinstance(inline, str) and inline:
        return await parcels.fetched(inline, access) if inline.startswith("data:") else parcels.decoded(inline)
    if isinstance(address, str) and address:
        return await parcels.fetched(address, access)
    raise UpstreamError(Fault.NO_IMAGE, "HTTP 200 whose data has no picture")


def url(access: Access, path: str) -> str:
    return f"{access.base_url.rstrip('/')}/{path}"


def bearer(access: Access) -> dict[str, str]:
    return {"Authorization": f"Bearer {access.secret}"}


async def _streamed(
    response: aiohttp.ClientResponse, access: Access, order: Order, on_step: OnStep, rules: Sequence[Rule]
) -> Reply:
    """The finished picture of a stream, which may come before the last unfinished one."""
    told = parcels.headers(response)
    final: dict[str, object] | None = None
    shown = 0
    try:
        with anyio.CancelScope() as scope:
            async with contextlib.aclosing(events(response)) as arriving:
                async for name, raw in arriving:
                    event = facts(raw)
                    kind = str(event.get("type") or name)
                    if kind.endswith(".completed"):
                        final, scope.deadline = event, anyio.current_time() + LINGER
                    elif kind.endswith(".partial_image"):
                        shown += 1
                        await _show(event, shown, order, on_step)
                    elif final is None and (kind == "error" or event.get("error")):
                        raise _refusal(Answer(response.status, told, raw), access, rules)
                    if raw == b"[DONE]" or (final is not None and shown >= order.partial_images):
                        break
    except aiohttp.ClientError:
        if final is None:
            raise
    if final is None:
        raise UpstreamError(Fault.NO_IMAGE, f"stream that ended after {shown} unfinished pictures")
    return Reply(Answer(response.status, told, b""), [final], final.get("usage"))


async def _show(event: dict[str, object], number: int, order: Order, on_step: OnStep) -> None:
    inline = event.get("b64_json")
    with contextlib.suppress(UpstreamError):  # one that is broken is nobody's loss
        unfinished = parcels.decoded(inline if isinstance(inline, str) else "")
        if raster.sniff(unfinished):
            await on_step(Step(0.2 + 0.7 * min(1.0, number / (order.partial_images + 1)), partial=unfinished))


def _form(fields: Fields, order: Order) -> aiohttp.FormData:
    form = aiohttp.FormData()
    for name, value in fields.items():
        form.add_field(name, value if isinstance(value, str) else orjson.dumps(value).decode())
    for index, reference in enumerate(order.references):
        mime = raster.sniff(reference) or "application/octet-stream"
        form.add_field("image[]", reference, filename=f"image-{index}.{mime.partition('/')[2]}", content_type=mime)
    if order.mask:
        name = overlay(order)
        form.add_field(name, order.mask, filename=f"{name}.png", content_type="image/png")
    return form
