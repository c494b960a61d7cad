"""The live stream: what changes in a thread, sent to every open page of its owner."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from uuid import UUID

import anyio
from aiohttp import web
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from limner.http import pages
from limner.http.state import ANCHOR, CONFIG, DB, TOKEN, csrf_for, path_id, signed_in
from limner.http.studio import card
from limner.runtime.bus import Bus
from limner.runtime.database import TROUBLE
from limner.sql import generations, sessions, studio
from limner.sql.channels import GENERATION_CHANGED
from limner.sql.studio import ShownGeneration

KEEP_ALIVE = 15.0
LOOK_AGAIN = 5.0
"""Seconds between looks at the session and at the rows, so that a lost notification costs no more than that."""

Watchers = defaultdict[UUID, set[MemoryObjectSendStream[UUID | None]]]


class Live:
    """Who watches which thread; fed by the bus."""

    def __init__(self) -> None:
        self.watchers: Watchers = defaultdict(set)
        self.is_closing = False

    async def listen(self, bus: Bus) -> None:
        await bus.on(GENERATION_CHANGED, self._changed)

    async def close(self, _: web.Application) -> None:
        """Let every page go, so that a restart waits for none of them: they come back by themselves."""
        self.is_closing = True
        self._changed(None)

    def _changed(self, payload: str | None) -> None:
        """A payload names the thread and the generation; None means that anything may have changed."""
        if payload is None:
            for watchers in self.watchers.values():
                _offer(watchers, None)
        else:
            thread, _, generation = payload.partition(" ")
            _offer(self.watchers.get(UUID(thread), set()), UUID(generation))


def _offer(watchers: set[MemoryObjectSendStream[UUID | None]], what: UUID | None) -> None:
    for watcher in watchers:
        with contextlib.suppress(anyio.WouldBlock, anyio.BrokenResourceError):  # a full one looks again by itself
            watcher.send_nowait(what)


LIVE = web.AppKey("live", Live)


async def stream(request: web.Request) -> web.StreamResponse:
    """Server-sent events: ``generation-<id>`` with its fragment whenever it changes, ``finished`` when all are done."""
    viewer, thread_id = signed_in(request), path_id(request)
    await generations.must_own_thread(request.app[DB], thread_id, viewer.id)
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/event-stream; charset=utf-8",
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",
        }
    )
    await response.prepare(request)
    send, receive = anyio.create_memory_object_stream[UUID | None](100)
    request.app[LIVE].watchers[thread_id].add(send)
    try:
        with contextlib.suppress(*TROUBLE):  # the page left, or the database did: the browser asks again by itself
            await _Feed(request, response, thread_id).run(receive)
    finally:
        request.app[LIVE].watchers[thread_id].discard(send)
        if not request.app[LIVE].watchers[thread_id]:
            del request.app[LIVE].watchers[thread_id]
        send.close()
        receive.close()
    return response


class _Feed:
    """One open page."""

    def __init__(self, request: web.Request, response: web.StreamResponse, thread_id: UUID) -> None:
        self.request = request
        self.response = response
        self.thread_id = thread_id
        self.live = request.app[LIVE]
        self.viewer = signed_in(request)
        self.since = _moment(request.query.get("since", "")) - timedelta(minutes=30)
        self.sent: dict[UUID, str] = {}
        self.is_done: dict[UUID, bool] = {}
        self.last_sign = anyio.current_time()

    async def run(self, receive: MemoryObjectReceiveStream[UUID | None]) -> None:
        await self._whole_thread()
        while not self._is_finished() and await self._may_still_look():
            changed: UUID | None = None
            with anyio.move_on_after(LOOK_AGAIN):
                changed = await receive.receive()
            if changed is None:
                await self._whole_thread()
            else:
                await self._show(await studio.generation(self.request.app[DB], changed))
            await self._sign_of_life()
            if self.live.is_closing:
                return
        await self._event("finished", "done")

    async def _whole_thread(self) -> None:
        for shown in await studio.thread(self.request.app[DB], self.thread_id):
            if not shown.is_done or shown.id in self.sent or shown.created_at >= self.since:
                await self._show(shown)

    async def _show(self, shown: ShownGeneration) -> None:
        csrf = csrf_for(self.request.app[CONFIG], self.request[ANCHOR])
        html = pages.fragment(
            self.request.app,
            "partials/generation.html",
            self.viewer,
            csrf,
            f"/studio/{self.thread_id}",
            generation=card(shown),
        )
        self.is_done[shown.id] = shown.is_done
        if self.sent.get(shown.id) != html:
            self.sent[shown.id] = html
            await self._event(f"generation-{shown.id}", html)

    def _is_finished(self) -> bool:
        return all(self.is_done.values())

    async def _may_still_look(self) -> bool:
        """A page that was closed, a session or a visit that ended, an account that was banned: they stop within seconds."""
        session = await sessions.find(self.request.app[DB], self.request[TOKEN])
        return self.request.transport is not None and session is not None and session.account.id == self.viewer.id

    async def _sign_of_life(self) -> None:
        if anyio.current_time() - self.last_sign > KEEP_ALIVE:
            await self.response.write(b": still here\n\n")
            self.last_sign = anyio.current_time()

    async def _event(self, name: str, data: str) -> None:
        lines = "".join(f"data: {line}\n" for line in data.splitlines())
        await self.response.write(f"event: {name}\n{lines}\n".encode())
        self.last_sign = anyio.current_time()


def _moment(text: str) -> datetime:
    """When the page was made, and now for what is no moment of our time."""
    try:
        moment = datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return datetime.now(UTC)
    return moment if moment.year > 2000 else datetime.now(UTC)
