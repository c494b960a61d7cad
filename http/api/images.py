"""Orders of pictures: answered when they are done, as a stream, or at once with a task to ask for later."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import anyio
from aiohttp import web

from limner.http.api import access, bodies, edits, ordering, outcome, reading, streams, tasks
from limner.http.api.errors import ApiError, invalid, overloaded
from limner.http.api.openapi import IDEMPOTENCY, PREFER, operation
from limner.http.api.ordering import Placed
from limner.http.api.schemas import Asked, Edit, Generation, Images, Task
from limner.http.api.waiting import WAITING, Patience
from limner.http.state import CONFIG, DB
from limner.runtime.errors import LimnerError, NotFound
from limner.sql.answers import Order
from limner.sql.generations import Order as Draft
from limner.sql.terms import Offer
from limner.sql.tokens import Token


class Lost(LimnerError):
    """An order that is not in the books any more: Postgres crashed before it was on the disk, or its account is gone."""


Complete = Callable[[Draft], Awaitable[Draft]]
"""What is dear, and done only when nothing else is wrong: the pictures of an order, cleaned and stored."""


ORDER: dict[str, Any] = {"scope": "images:write", "parameters": [IDEMPOTENCY, PREFER], "streams": True}
REFUSED = (400, 401, 403, 404, 409, 410, 413, 415, 422, 429, 500, 502, 503, 504)


@operation("Paint from a description.", {200: Images, 202: Task}, REFUSED, body=Generation, **ORDER)
async def generate(request: web.Request) -> web.StreamResponse:
    """``POST /v1/images/generations``."""
    access.bearer(request)
    try:
        asked, digest = await reading.json(request, Generation)
        model = await ordering.model_at_hand(request, asked)
    except (ApiError, web.HTTPException):
        await access.enter(request, "images:write", orders=True)  # a stranger is not told what was wrong
        raise
    began, offer = anyio.current_time(), None
    if model is None:  # nobody is asked about it for a stranger
        token = await access.enter(request, "images:write", orders=True)
    else:
        waits = not (wants_async(request) or asked.stream)
        entry = await ordering.at_once(request, asked, digest, model) if waits else None
        if entry is None:
            token, offer = await access.enter_to_order(request, "images:write", model)
        elif entry.generation_id is None:
            token, offer = entry.token, entry.offer
        else:
            placed = Placed(entry.generation_id, is_known=False)
            return await _when_done(request, placed, entry.token, _form(asked), began)
    if (again := await _again(request, token, asked, digest, began)) is not None:
        return again
    if model is None:
        model = await ordering.model_for(request, asked)
    ordering.allow(token, model)
    order = ordering.draft(request, token, asked, digest, model)
    return await _take(request, token, asked, order, began, offer=offer)


@operation("Paint from pictures and a description.", {200: Images, 202: Task}, REFUSED, body=Edit, **ORDER)
async def edit(request: web.Request) -> web.StreamResponse:
    """``POST /v1/images/edits``."""
    token = await access.enter(request, "images:write", orders=True)
    asked, files, digest = await reading.form(request, Edit)
    began = anyio.current_time()
    if (again := await _again(request, token, asked, digest, began)) is not None:
        return again
    model = await ordering.model_for(request, asked)
    ordering.allow(token, model)
    sent = edits.sent(model, files)
    order = ordering.draft(request, token, asked, digest, model)
    complete = partial(edits.completed, request, token, model, asked, sent)
    return await _take(request, token, asked, order, began, complete)


async def _take(
    request: web.Request,
    token: Token,
    asked: Asked,
    order: Draft,
    began: float,
    complete: Complete | None = None,
    offer: Offer | None = None,
) -> web.StreamResponse:
    """Order, and answer. ``began``: the moment from which whoever asked waits."""
    is_async = wants_async(request)
    if not is_async:
        await ordering.wake(request, order)
    whole, hardens = await complete(order) if complete else order, is_async or bool(asked.stream)
    placed = await ordering.place(request, token, whole, offer=offer, hardens=hardens)
    partials = order.partial_images if asked.partial_images else None
    return await _answered(request, placed, token, asked, began, partials)


async def _again(
    request: web.Request, token: Token, asked: Asked, digest: bytes, began: float
) -> web.StreamResponse | None:
    """The answer, if this was ordered before. Raises ApiError, KeyReused."""
    if wants_async(request) and asked.stream:
        raise invalid("stream", "An order is either streamed (stream: true) or asynchronous, not both.")
    if (known := await ordering.known(request, token, digest)) is None:
        return None
    return await _answered(request, known, token, asked, began, asked.partial_images or None)


async def _answered(
    request: web.Request, placed: Placed, token: Token, asked: Asked, began: float, partials: int | None
) -> web.StreamResponse:
    """In the way that was asked for. ``partials``: see streams.answer."""
    form = _form(asked)
    if wants_async(request):
        return await tasks.accepted(request, placed.id, token, form)
    if asked.stream:
        return await streams.answer(request, placed.id, token, form, partials=partials)
    return await _when_done(request, placed, token, form, began)


def _form(asked: Asked) -> str:
    return asked.response_format or "b64_json"


def wants_async(request: web.Request) -> bool:
    """By ``Prefer: respond-async``, ``?async=true``, or the path."""
    preferred = ",".join(request.headers.getall("Prefer", []))
    return (
        "respond-async" in (part.partition(";")[0].strip().lower() for part in preferred.split(","))
        or request.query.get("async", "").lower() in ("true", "1")
        or request.path.endswith("/async")
    )


async def _when_done(request: web.Request, placed: Placed, token: Token, form: str, began: float) -> web.StreamResponse:
    """Hold the connection until the order is over. Whoever leaves finds it in the gallery.

    It is in the books, so whatever goes wrong here is no reason to order it again.
    """
    try:
        order = await _over(request, placed, token, began)
        if order is None:
            return web.Response(status=499)
        body = await outcome.images(request, order, form)
    except Lost as error:
        words = "This order is not in the books any more. Nothing was charged; please send it again."
        raise overloaded(words, 1) from error
    except outcome.OUTAGE as error:
        raise outcome.unanswered(request, placed.id) from error
    return await bodies.answered(request, body, outcome.AS_IT_IS)


async def _over(request: web.Request, placed: Placed, token: Token, began: float) -> Order | None:
    """The order when it is over; None when nobody listens any more.

    Raises ApiError when this process has to stop, or it takes too long; Lost.
    """
    config, looks = request.app[CONFIG], placed.is_known
    patience = Patience(request.app[WAITING], config, began + config.api_wait - anyio.current_time())
    with request.app[WAITING].watch(placed.id) as watch:
        while (left := patience.left) > 0:
            if not looks:
                with anyio.move_on_after(left):
                    await watch.end()
            looks = False
            try:
                order = await outcome.look(request, placed.id, token, watch.told)
            except NotFound as error:
                raise Lost(str(placed.id)) from error
            if order is not None and order.is_over:
                return order
            if request.transport is None:
                return None
            watch.doubt()
    await request.app[DB].harden()
    raise outcome.unanswered(request, placed.id)
