"""Orders of pictures: answered when they are done, as a stream, or at once with a task to ask for later."""

from __future__ import annotations

from uuid import UUID

import anyio
import orjson
from aiohttp import web

from limner.http.api import access, ordering, outcome, reading, tasks
from limner.http.api.errors import ApiError, invalid, overloaded
from limner.http.api.ordering import Placed
from limner.http.api.schemas import Asked, Generation
from limner.http.api.waiting import WAITING
from limner.http.state import CONFIG, DB
from limner.runtime.database import TROUBLE
from limner.runtime.errors import Busy
from limner.runtime.storage import Missing
from limner.sql import answers, generations
from limner.sql.answers import Order
from limner.sql.tokens import Token

GRACE = 60.0
"""Seconds beyond the deadline of its pictures after which nobody waits for an order: the janitor ends it long before."""


async def generate(request: web.Request) -> web.StreamResponse:
    """``POST /v1/images/generations``."""
    token = await access.enter(request, "images:write", orders=True)
    asked, digest = await reading.json(request, Generation)
    order = await ordering.draft(request, token, asked, digest)
    return await _take(request, token, asked, order)


async def _take(request: web.Request, token: Token, asked: Asked, order: generations.Order) -> web.StreamResponse:
    is_async = wants_async(request)
    if is_async and asked.stream:
        raise invalid("stream", "An order is either streamed (stream: true) or asynchronous, not both.")
    placed = await ordering.known(request, order)
    if placed is None:
        if not is_async:
            await ordering.wake(request, order)
        placed = await ordering.place(request, token, order)
    form = asked.response_format or "b64_json"
    if is_async:
        return await tasks.accepted(request, placed.id, token.account_id, form)
    return await _when_done(request, placed, token.account_id, form)


def wants_async(request: web.Request) -> bool:
    """By ``Prefer: respond-async``, ``?async=true``, or the path."""
    preferred = ",".join(request.headers.getall("Prefer", []))
    return (
        "respond-async" in (part.partition(";")[0].strip().lower() for part in preferred.split(","))
        or request.query.get("async", "").lower() in ("true", "1")
        or request.path.endswith("/async")
    )


async def _when_done(request: web.Request, placed: Placed, account_id: UUID, form: str) -> web.StreamResponse:
    """Hold the connection until the order is over. Whoever leaves finds it in the gallery."""
    order = await _over(request, placed, account_id)
    if order is None:
        return web.Response(status=499)
    try:
        body = orjson.dumps(await outcome.images(request, order, form))
    except (Busy, Missing, *TROUBLE) as error:
        raise unanswered(request, order.id) from error
    return web.Response(body=body, content_type="application/json")


async def _over(request: web.Request, placed: Placed, account_id: UUID) -> Order | None:
    """The order when it is over; None when nobody listens any more. Raises ApiError when this process has to stop."""
    waiting, config = request.app[WAITING], request.app[CONFIG]
    give_up, is_closing = anyio.current_time() + config.job_deadline + GRACE, False
    with waiting.watch(placed.id) as watch:
        looks = placed.is_known
        while (left := give_up - anyio.current_time()) > 0:
            if not looks:
                with anyio.move_on_after(left):
                    await watch.end()
            looks = False
            order = await look(request, placed.id, account_id)
            if order is not None and order.is_over:
                return order
            if request.transport is None:
                return None
            if waiting.is_closing.is_set() and not is_closing:
                give_up, is_closing = min(give_up, anyio.current_time() + max(config.drain - 1, 0)), True
            watch.doubt()
    raise unanswered(request, placed.id)


async def look(request: web.Request, generation_id: UUID, account_id: UUID) -> Order | None:
    """How it stands; None while the database does not answer: it is in the books, so nobody should order it again."""
    try:
        return await answers.order(request.app[DB], generation_id, account_id)
    except TROUBLE:
        await anyio.sleep(1)
        return None


def unanswered(request: web.Request, generation_id: UUID) -> ApiError:
    """It goes on without this request. Only a caller that named its order may send it again: another would pay twice."""
    words = f"Your order goes on; its pictures will be at /v1/images/tasks/{generation_id}."
    if "Idempotency-Key" in request.headers:
        return overloaded(f"{words} Sending it again with the same Idempotency-Key waits for the same order.", 1)
    return ApiError(500, "answer_unavailable", words, retry=False)
