"""Streams: an order as server-sent events, each unfinished picture as it comes, each finished one as it is delivered."""

from __future__ import annotations

import contextlib
from typing import Any
from uuid import UUID

import anyio
import orjson
from aiohttp import web

from limner.http.api import outcome
from limner.http.api.bodies import base64
from limner.http.api.errors import ApiError
from limner.http.api.waiting import LOOK_AGAIN, WAITING, Patience
from limner.http.state import CONFIG, DB
from limner.runtime.database import TROUBLE
from limner.runtime.storage import Missing
from limner.sql import answers
from limner.sql.answers import Answer, Order, Partial
from limner.sql.tokens import Token
from limner.sql.usages import NOTHING

KEEP_ALIVE = 15.0
"""Seconds of silence after which a comment is sent: proxies cut silent connections."""


async def answer(
    request: web.Request, generation_id: UUID, token: Token, form: str, *, partials: int | None
) -> web.StreamResponse:
    """Events until the order is over. Who leaves finds its pictures in the gallery.

    ``partials``: how many unfinished ones of each its painter is asked for, 0 where it sends none; None: nobody wants any.
    """
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}
    )
    await response.prepare(request)
    feed = _Feed(request, response, generation_id, token, form, partials)
    with contextlib.suppress(ConnectionResetError):
        await feed.run()
    return response


class _Feed:
    """One open stream."""

    def __init__(
        self,
        request: web.Request,
        response: web.StreamResponse,
        generation_id: UUID,
        token: Token,
        form: str,
        partials: int | None,
    ) -> None:
        self.request = request
        self.response = response
        self.generation_id = generation_id
        self.token = token
        self.form = form
        self.partials = partials
        self.seen: list[tuple[UUID, int]] = []
        self.sent: set[UUID] = set()
        self.lost: set[UUID] = set()
        self.last_sign = anyio.current_time()

    async def run(self) -> None:
        patience = Patience(self.request.app[WAITING], self.request.app[CONFIG])
        with self.request.app[WAITING].watch(self.generation_id) as watch:
            while (left := patience.left) > 0:
                try:
                    if await self._tell():
                        return
                except ConnectionResetError:
                    raise
                except outcome.OUTAGE:
                    break
                except ApiError as why:
                    await self._error(why)
                    return
                watch.doubt()
                await self._sign_of_life()
                quiet = self.last_sign + KEEP_ALIVE - anyio.current_time()
                await watch.change(min(LOOK_AGAIN, left, max(quiet, 0)))
        await self._error(outcome.unanswered(self.request, self.generation_id))

    async def _tell(self) -> bool:
        """Send what is new; True when nothing will be new any more."""
        order = await outcome.look(self.request, self.generation_id, self.token)
        if order is None:
            return False
        for partial in await self._unseen():
            self.seen.append((partial.job_id, partial.number))
            if partial.job_id not in self.sent:
                await self._partial(order, partial)
        for each in order.delivered:
            if each.job_id not in self.sent:
                self.sent.add(each.job_id)
                try:
                    await self._completed(order, each)
                except Missing:
                    self.lost.add(each.job_id)
        if order.is_over and (self.lost or len(order.delivered) < len(order.answers)):
            await self._error(outcome.failure(outcome.without(order, self.lost)))  # the last word: clients end with it
        return order.is_over

    async def _unseen(self) -> list[Partial]:
        """What cannot be read is seen at the next look, or not at all: the order is none the worse for it."""
        if self.partials is None:
            return []
        try:
            return await answers.partials(self.request.app[DB], self.generation_id, self.seen)
        except TROUBLE:
            return []

    async def _partial(self, order: Order, partial: Partial) -> None:
        await self._event(
            f"{_kind(order)}.partial_image",
            {
                "b64_json": base64(partial.data),
                "partial_image_index": partial.number,
                **outcome.used(order, None),
                "output_format": partial.mime.rpartition("/")[2],
                "created_at": int(order.created_at.timestamp()),
                "metadata": {"generation": str(order.id), "job": str(partial.job_id)},
            },
        )

    async def _completed(self, order: Order, each: Answer) -> None:
        await self._event(
            f"{_kind(order)}.completed",
            {
                **await outcome.picture(self.request, order, each, self.form),
                **outcome.used(order, each),
                "created_at": int(order.changed_at.timestamp()),
                "usage": (each.usage or NOTHING).fields,  # no client of OpenAI's expects an event without it
                "metadata": {"job": str(each.job_id), "charged": each.credits, **self._metadata(order)},
            },
        )

    def _metadata(self, order: Order) -> dict[str, Any]:
        more = outcome.metadata(order)
        if self.partials is not None:
            more["requested"] |= {"partial_images": self.partials}
        return more

    async def _error(self, why: ApiError) -> None:
        await self._event("error", why.body)

    async def _event(self, name: str, data: dict[str, Any]) -> None:
        body = orjson.dumps({"type": name, **data})
        await self.response.write(b"event: %b\ndata: %b\n\n" % (name.encode(), body))
        self.last_sign = anyio.current_time()

    async def _sign_of_life(self) -> None:
        if anyio.current_time() - self.last_sign >= KEEP_ALIVE:
            await self.response.write(b": still here\n\n")
            self.last_sign = anyio.current_time()


def _kind(order: Order) -> str:
    return "image_edit" if order.is_edit else "image_generation"
