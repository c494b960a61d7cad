"""The Courier delivers notices: each once, as far as the world allows."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, ClassVar

import aiohttp

from limner.runtime import tracing
from limner.runtime.actor import Actor
from limner.runtime.bus import Bus
from limner.runtime.config import Config
from limner.runtime.database import Database
from limner.runtime.errors import Busy, Hopeless
from limner.runtime.log import following, logger, redact
from limner.runtime.mailbox import Message
from limner.runtime.presence import Presence
from limner.sql import deliveries, notices, segments
from limner.sql.notices import Notice

log = logger(__name__)

PATIENCE = aiohttp.ClientTimeout(total=10)
LEASE = 30.0
"""Seconds for which a notice is with whoever has taken it: longer than two posts, of which aiohttp rounds each up."""
LONGEST_TEXT = 4096
"""Characters in a Telegram message (Bot API, sendMessage)."""


@dataclass(frozen=True)
class DeliverNotices(Message):
    """Deliver what waits in the outbox."""

    mailbox: ClassVar[str] = "delivering"


@dataclass(frozen=True)
class Way:
    """Out to Telegram. ``refusals``: what a proxy on it says when it will not."""

    session: aiohttp.ClientSession
    refusals: tuple[type[Exception], ...] = ()


class Courier(Actor):
    """Delivers whenever the schedule says so."""

    mailbox = "delivering"
    messages = (DeliverNotices,)

    def __init__(
        self, db: Database, bus: Bus, presence: Presence, *, config: Config, session: aiohttp.ClientSession
    ) -> None:
        super().__init__(db, bus, presence)
        self.config = config
        self.session = session

    async def receive(self, message: DeliverNotices) -> None:
        await deliver(self.db, self.config, self.session)


async def deliver(db: Database, config: Config, session: aiohttp.ClientSession) -> int:
    """Deliver all notices that wait; returns how many went out. Any number of processes may do it at once.

    Raises Busy when Telegram wants a pause or cannot be reached: the rest stays where it is.
    """
    if config.bot_token is None:
        return 0
    count = 0
    async with _way_out(config, session) as way:
        while (notice := await notices.take(db, "telegram", LEASE)) is not None:
            about = {"limner.channel": notice.channel}
            with following(notice.request_id), tracing.span("notice", "producer", about, parent=notice.traceparent):
                count += await _deliver_one(db, config, way, notice)
    return count


async def _deliver_one(db: Database, config: Config, way: Way, notice: Notice) -> bool:
    """Whether it went out. Raises Busy: then it waits for the next round.

    No transaction is open while it is on its way, so a slow Telegram costs no connection. Whoever is killed between
    Telegram's "yes" and the note of it makes it go out twice: nothing is done in between.
    """
    try:
        if notice.is_broadcast and (why_not := await segments.why_not_chat(db, notice.recipient)):
            raise Hopeless(f"not for them any more: {why_not}", blame="request")
        await _send(config, way, notice)
    except Hopeless as why:
        log.warning("notice_failed", notice=notice.id, why=str(why))
        tracing.here().failed(type(why).__name__)
        await deliveries.failed(db, notice, str(why))
        return False
    except Busy:
        await deliveries.let_go(db, notice)
        raise
    went = await deliveries.sent(db, notice)
    log.info("notice_sent", notice=notice.id, channel=notice.channel, late=not went)
    return went


async def _send(config: Config, way: Way, notice: Notice) -> None:
    """The text with its buttons, or without those that Telegram does not take. Raises Busy or Hopeless."""
    buttons = _keyboard(notice)
    try:
        await _post(config, way, notice, buttons)
    except Hopeless as why:
        if not buttons or "button" not in str(why).lower():
            raise
        # An address that Telegram does not like, such as one of this machine, must not cost the news.
        await _post(config, way, notice, [[each for each in row if "url" not in each] for row in buttons])


def _keyboard(notice: Notice) -> list[list[dict[str, Any]]]:
    """As the Bot API has it (InlineKeyboardMarkup)."""
    return [
        [
            {"text": each["text"]}
            | ({"url": each["url"]} if "url" in each else {"callback_data": notices.APART + each["data"]})
            for each in row
        ]
        for row in notice.buttons or ()
    ]


async def _post(config: Config, way: Way, notice: Notice, buttons: list[list[dict[str, Any]]]) -> None:
    """One plain POST. Raises Busy or Hopeless, without the token, which stands in the address."""
    assert config.bot_token is not None
    address = f"{config.telegram_url}/bot{config.bot_token.get_secret_value()}/sendMessage"
    text = f"{notice.subject}\n\n{notice.body}" if notice.subject else notice.body
    message = {"chat_id": notice.recipient, "text": text[:LONGEST_TEXT], "link_preview_options": {"is_disabled": True}}
    if rows := [row for row in buttons if row]:
        message["reply_markup"] = {"inline_keyboard": rows}
    try:
        async with way.session.post(address, json=message, timeout=PATIENCE, allow_redirects=False) as answer:
            status, said = answer.status, await _read(answer)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Busy(f"Telegram cannot be reached: {redact(str(error)) or type(error).__name__}") from None
    except way.refusals as error:
        raise Busy(f"the proxy for Telegram refuses: {redact(str(error))}") from None
    _judge(status, said)


def _judge(status: int, said: dict[str, Any]) -> None:
    """Bot API: 400 and 403 are about this message or chat; 401, 404, 429 and 5xx are about all of them."""
    if status == 200 and said.get("ok"):
        return
    words = redact(str(said.get("description") or f"HTTP {status}"))
    if status in (400, 403):
        raise Hopeless(words, blame="request")
    parameters = said.get("parameters")
    after = parameters.get("retry_after") if isinstance(parameters, dict) else None
    raise Busy(f"Telegram: {words}", after=float(after) if isinstance(after, int) else None)


async def _read(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    try:
        said = await answer.json(content_type=None)
    except ValueError:  # a gateway's error page
        return {}
    return said if isinstance(said, dict) else {}


@contextlib.asynccontextmanager
async def _way_out(config: Config, session: aiohttp.ClientSession) -> AsyncIterator[Way]:
    """The session, or one of its own through the proxy that is for Telegram alone."""
    if config.telegram_proxy is None:
        yield Way(session)
        return
    from aiohttp_socks import ProxyConnector, ProxyError  # only who has a proxy pays for its import

    connector = ProxyConnector.from_url(config.telegram_proxy.get_secret_value())
    async with aiohttp.ClientSession(connector=connector) as proxied:
        yield Way(proxied, (ProxyError,))
