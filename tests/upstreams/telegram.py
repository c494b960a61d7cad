"""A Bot API on loopback: long polls, confirmed offsets, conflicts, messages that are edited, and errors on request."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from html import unescape
from typing import Any

from aiohttp import web

KINDS = {
    "message": ("sendMessage", "sendPhoto"),
    "edit": ("editMessageText", "editMessageCaption", "editMessageMedia"),
    "screen": ("sendMessage", "sendPhoto", "editMessageText", "editMessageCaption", "editMessageMedia"),
}
TOKEN = "987654321:AACanary-never_to_be_seen_in_logs-0123"
MOST_TEXT = 4096
TEXTS = {"text", "caption"}
PHOTO = [{"file_id": "p", "file_unique_id": "p", "width": 640, "height": 240}]
Json = dict[str, Any]


@dataclass
class Call:
    """One request, as it came in."""

    method: str
    args: Json

    @property
    def text(self) -> str:
        """What stands in the message, or below its picture."""
        media = self.args.get("media", {})
        return str(self.args.get("text") or self.args.get("caption") or media.get("caption") or "")

    @property
    def buttons(self) -> dict[str, str]:
        """What the buttons carry, by what they say; a link carries nothing."""
        rows = self.args.get("reply_markup", {}).get("inline_keyboard", [])
        return {button["text"]: button["callback_data"] for row in rows for button in row if "callback_data" in button}


class Refusal(Exception):
    """An answer that is not ok."""

    def __init__(self, status: int, description: str = "", retry_after: int | None = None) -> None:
        super().__init__(description)
        self.status = status
        self.description = description or {401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}.get(
            status, ""
        )
        self.retry_after = retry_after

    def answer(self) -> web.Response:
        body: Json = {"ok": False, "error_code": self.status, "description": self.description}
        if self.retry_after is not None:
            body["parameters"] = {"retry_after": self.retry_after}
        return web.json_response(body, status=self.status)


@dataclass
class FakeTelegram:
    """One bot's side of Telegram. ``conflicts`` counts polls that another poll threw out."""

    token: str = TOKEN
    url: str = ""
    updates: list[Json] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    conflicts: int = 0
    polls: int = 0
    webhook: str = ""
    language: str = ""
    odd: str = ""
    """The method that is answered in a way that nobody understands."""
    _refusals: defaultdict[str, deque[Refusal]] = field(default_factory=lambda: defaultdict(deque))
    _always: dict[str, Refusal] = field(default_factory=dict)
    _heard: defaultdict[str, asyncio.Queue[Call]] = field(default_factory=lambda: defaultdict(asyncio.Queue))
    _messages: dict[int, Json] = field(default_factory=dict)
    _shown: dict[int, Call] = field(default_factory=dict)
    _waited_for: set[int] = field(default_factory=set)
    _queries: set[str] = field(default_factory=set)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1001))
    _poll: asyncio.Future[None] | None = None
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    stalled: asyncio.Event = field(default_factory=asyncio.Event)
    _stalls: dict[str, asyncio.Event] = field(default_factory=dict)

    async def say(
        self, user_id: int, text: str, chat_type: str = "private", *, name: str = "Carol", username: str | None = None
    ) -> int:
        """Somebody writes; returns the update's id."""
        chat_id = user_id if chat_type == "private" else -100
        return await self.push("message", self.message(self.person(user_id, name, username), chat_id, chat_type, text))

    async def press(
        self, user_id: int, data: str, message: Json, *, chat_type: str = "private", is_old: bool = False
    ) -> int:
        """Somebody presses a button under ``message``, an answer of sendMessage; returns the update's id.

        ``is_old``: under one that Telegram does not show to bots any more, and too long ago for a toast.
        """
        chat = {"id": message["chat"]["id"], "type": chat_type}
        query = f"q{next(self._numbers)}"
        if is_old:
            message = {"message_id": message["message_id"], "date": 0}
        else:
            self._queries.add(query)
        body = {"id": query, "from": self.person(user_id), "chat_instance": "1", "data": data}
        return await self.push("callback_query", body | {"message": message | {"chat": chat}})

    def forget(self, call: Call) -> None:
        """Somebody deletes the message that a call made."""
        del self._messages[call.args["made"]]

    async def push(self, kind: str, body: Json) -> int:
        """Any type of update; returns its id."""
        update_id = next(self._numbers)
        self.updates.append({"update_id": update_id, kind: body})
        self._news.set()
        return update_id

    def refuse(self, method: str, status: int, description: str = "", *, retry_after: int | None = None) -> None:
        """Refuse the next call of this method; several refusals come one after the other."""
        self._refusals[method].append(Refusal(status, description, retry_after))

    def refuse_always(self, method: str, status: int, description: str = "") -> None:
        self._always[method] = Refusal(status, description)

    def relent(self) -> None:
        self._always.clear()

    def stall(self, method: str) -> None:
        """Keep who calls this method waiting until ``go_on``; ``stalled`` is set when somebody does."""
        self._stalls[method] = asyncio.Event()

    def go_on(self) -> None:
        for stall in self._stalls.values():
            stall.set()

    async def next(self, method: str, within: float = 15) -> Call:
        """The next call of this method that nobody has waited for yet; "poll": a getUpdates that begins to wait;
        "message": sendMessage or sendPhoto; "edit": whatever changes a message; "screen": both."""
        async with asyncio.timeout(within):
            while id(call := await self._heard[method].get()) in self._waited_for:
                pass
        if call.method in KINDS["screen"]:
            self._waited_for.add(id(call))
        return call

    def shown(self, call: Call) -> Json:
        """The message that a sendMessage made."""
        return self._messages[call.args["made"]]

    def of(self, method: str) -> list[Call]:
        """All calls of a method, or of a kind as in ``next``."""
        return [call for call in self.calls if call.method in KINDS.get(method, (method,))]

    def person(self, user_id: int, name: str = "Carol", username: str | None = None) -> Json:
        more = {"username": username, "language_code": self.language}
        person = {"id": user_id, "is_bot": False, "first_name": name}
        return person | {name: value for name, value in more.items() if value}

    def message(self, sender: Json, chat_id: int, chat_type: str, text: str) -> Json:
        chat = {"id": chat_id, "type": chat_type}
        return {"message_id": next(self._numbers), "date": 1_790_000_000, "chat": chat, "from": sender, "text": text}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.match_info["token"] != self.token:
            return Refusal(401).answer()
        call = Call(request.match_info["method"], await _arguments(request))
        if call.method != "getUpdates":
            self.calls.append(call)
        try:
            await self._maybe_stall(call.method)
            self._maybe_refuse(call.method)
            result = await getattr(self, f"_{call.method}")(call)
        except Refusal as refusal:
            self.refused.append(f"{call.method}: {refusal.description}")
            return refusal.answer()
        finally:
            for name in {call.method, *(kind for kind, methods in KINDS.items() if call.method in methods)}:
                self._heard[name].put_nowait(call)
        return web.json_response({"ok": True, "result": "something new" if call.method == self.odd else result})

    async def _maybe_stall(self, method: str) -> None:
        if method in self._stalls:
            self.stalled.set()
            await self._stalls[method].wait()

    def _maybe_refuse(self, method: str) -> None:
        if self._refusals[method]:
            raise self._refusals[method].popleft()
        if method in self._always:
            raise self._always[method]

    async def _getMe(self, call: Call) -> Json:
        return {"id": 987654321, "is_bot": True, "first_name": "Limner", "username": "limner_test_bot"}

    async def _getWebhookInfo(self, _: Call) -> Json:
        return {"url": self.webhook, "has_custom_certificate": False, "pending_update_count": len(self.updates)}

    async def _deleteWebhook(self, call: Call) -> bool:
        self.webhook = ""
        return True

    async def _getUpdates(self, call: Call) -> list[Json]:
        """A later poll ends the earlier one with 409; asking from an offset forgets all before it."""
        self.polls += 1
        if self.webhook:
            raise Refusal(409, "Conflict: can't use getUpdates method while webhook is active")
        offset = int(call.args.get("offset") or 0)
        self.updates = [update for update in self.updates if update["update_id"] >= offset]
        if self._poll is not None and not self._poll.done():
            self.conflicts += 1
            self._poll.set_result(None)
        thrown_out = self._poll = asyncio.get_running_loop().create_future()
        self._heard["poll"].put_nowait(call)
        try:
            await self._until_news(thrown_out, float(call.args.get("timeout") or 0))
        finally:
            if self._poll is thrown_out:
                self._poll = None
        if thrown_out.done():
            raise Refusal(409, "Conflict: terminated by other getUpdates request")
        return self.updates[: int(call.args.get("limit") or 100)]

    async def _until_news(self, thrown_out: asyncio.Future[None], timeout: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while not self.updates and not thrown_out.done():
                    self._news.clear()
                    news = asyncio.ensure_future(self._news.wait())
                    try:
                        await asyncio.wait({news, thrown_out}, return_when=asyncio.FIRST_COMPLETED)
                    finally:
                        news.cancel()

    async def _sendMessage(self, call: Call) -> Json:
        if not call.text:
            raise Refusal(400, "Bad Request: message text is empty")
        if _length(call.text) > MOST_TEXT:
            raise Refusal(400, "Bad Request: message is too long")
        return self._made(call, {"text": call.text})

    async def _sendPhoto(self, call: Call) -> Json:
        _must_be_png(call.args.get("photo"))
        _must_fit_below(call.text)
        return self._made(call, {"photo": PHOTO, "caption": call.text})

    def _made(self, call: Call, content: Json) -> Json:
        _must_be_buttons(call)
        chat_id = int(call.args["chat_id"])
        made = self.message({"id": 987654321, "is_bot": True, "first_name": "Limner"}, chat_id, "private", "")
        del made["text"]
        call.args["made"] = made["message_id"]
        made |= content
        self._messages[made["message_id"]] = made
        self._shown[made["message_id"]] = call
        return made

    async def _editMessageText(self, call: Call) -> Json:
        if _length(call.text) > MOST_TEXT:
            raise Refusal(400, "Bad Request: MESSAGE_TOO_LONG")
        return self._edited(call, {"text": call.text}, needs="text")

    async def _editMessageCaption(self, call: Call) -> Json:
        _must_fit_below(call.text)
        return self._edited(call, {"caption": call.text}, needs="photo")

    async def _editMessageMedia(self, call: Call) -> Json:
        """A picture takes the place of another, or is added to words alone; no method takes one away."""
        _must_fit_below(call.text)
        _must_be_png(call.args.get(call.args["media"]["media"].removeprefix("attach://")))
        message = self._edited(call, {"photo": PHOTO, "caption": call.text}, needs="")
        message.pop("text", None)
        return message

    def _edited(self, call: Call, content: Json, *, needs: str) -> Json:
        message = self._messages.get(int(call.args["message_id"]))
        if message is None or message["chat"]["id"] != int(call.args["chat_id"]):
            raise Refusal(400, "Bad Request: message to edit not found")
        if needs and needs not in message:
            raise Refusal(
                400, f"Bad Request: there is no {'text' if needs == 'text' else 'caption'} in the message to edit"
            )
        _must_be_buttons(call)
        before = self._shown.get(message["message_id"])
        if "photo" not in content and before is not None and (before.text, before.buttons) == (call.text, call.buttons):
            raise Refusal(
                400, "Bad Request: message is not modified: specified new message content is exactly the same"
            )
        message |= content
        self._shown[message["message_id"]] = call
        return message

    async def _deleteMessage(self, call: Call) -> bool:
        if self._messages.pop(int(call.args["message_id"]), None) is None:
            raise Refusal(400, "Bad Request: message to delete not found")
        return True

    async def _answerCallbackQuery(self, call: Call) -> bool:
        if len(str(call.args.get("text") or "")) > 200:
            raise Refusal(400, "Bad Request: MESSAGE_TOO_LONG")
        if call.args["callback_query_id"] not in self._queries:
            raise Refusal(400, "Bad Request: query is too old and response timeout expired or query ID is invalid")
        self._queries.discard(call.args["callback_query_id"])
        return True


def _must_be_png(picture: Any) -> None:
    if not isinstance(picture, bytes) or not picture.startswith(b"\x89PNG\r\n"):
        raise Refusal(400, "Bad Request: IMAGE_PROCESS_FAILED")


def _must_fit_below(words: str) -> None:
    if _length(words) > 1024:
        raise Refusal(400, "Bad Request: message caption is too long")


def _length(html: str) -> int:
    """After its tags were understood, in UTF-16."""
    return len(unescape(re.sub(r"<[^>]*>", "", html)).encode("utf-16-le")) // 2


def _must_be_buttons(call: Call) -> None:
    """Each with words, and with 1 to 64 bytes to carry."""
    for row in call.args.get("reply_markup", {}).get("inline_keyboard", []):
        for button in row:
            if not button["text"] or not ("url" in button or 0 < len(button["callback_data"].encode()) <= 64):
                raise Refusal(400, "Bad Request: BUTTON_DATA_INVALID")


async def _arguments(request: web.Request) -> Json:
    """aiogram sends forms, with JSON inside; others may send JSON."""
    if request.content_type == "application/json":
        return dict(await request.json())
    form = dict(await request.post())
    files = {name: value.file.read() for name, value in form.items() if isinstance(value, web.FileField)}
    words = {name: value for name, value in form.items() if isinstance(value, str)}
    arguments = {
        name: json.loads(value) if value[:1] in "[{" and name not in TEXTS else value for name, value in words.items()
    }
    photo = str(arguments.get("photo", ""))
    if photo.startswith("attach://"):
        arguments["photo"] = files.pop(photo.removeprefix("attach://"), None)
    return arguments | files


@contextlib.asynccontextmanager
async def telegram(token: str = TOKEN) -> AsyncIterator[FakeTelegram]:
    """Serve one bot's API on a free port until the block ends."""
    fake = FakeTelegram(token)
    app = web.Application()
    app.router.add_route("*", "/bot{token}/{method}", fake.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield fake
    finally:
        await runner.cleanup()
