"""The Bot API by aiogram: its client and types, but not its polling, which retries a refused token for ever."""

from __future__ import annotations

import contextlib
import json
import ssl
from collections.abc import Iterator
from typing import Any

from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import (
    ClientDecodeError,
    TelegramAPIError,
    TelegramBadRequest,
    TelegramConflictError,
    TelegramForbiddenError,
    TelegramNotFound,
    TelegramRetryAfter,
    TelegramUnauthorizedError,
)
from aiogram.methods import TelegramMethod
from aiogram.utils.token import TokenValidationError
from aiohttp_socks import ProxyError

from limner.runtime.config import Config
from limner.runtime.errors import Busy, Hopeless
from limner.runtime.log import logger, redact

log = logger(__name__)

LONG_POLL = 25
"""Seconds that Telegram may keep an empty getUpdates waiting."""
MARGIN = 10
"""Seconds more before the line counts as dead."""
TYPES = ["message", "callback_query"]
TOKEN_REFUSED = 78
"""The exit code of a bot whose token is no good (EX_CONFIG)."""


class TokenRefused(Hopeless):
    """Telegram does not know this token: no retry will help."""


class Understood(Busy):
    """Telegram did it, and said so in words that nobody here understands. To do it again may do it twice."""


class Contested(Busy):
    """Somebody else polls with this token, or has set a webhook (409)."""


class GetRawUpdates(TelegramMethod[list[dict[str, Any]]]):
    """getUpdates, unparsed: one update that aiogram does not understand must not hold up the others."""

    __returning__ = list[dict[str, Any]]
    __api_method__ = "getUpdates"

    offset: int | None = None
    timeout: int
    allowed_updates: list[str]


class Telegram:
    """One bot. All it does raises Busy, Contested, TokenRefused or Hopeless, never with the token in the words."""

    def __init__(self, config: Config) -> None:
        assert config.bot_token is not None
        proxy = config.telegram_proxy and config.telegram_proxy.get_secret_value()
        session = _Session(proxy or None, api=TelegramAPIServer.from_base(config.telegram_url), json_loads=_loads)
        with translated():
            self._bot = Bot(config.bot_token.get_secret_value(), session=session)

    async def introduce(self) -> str:
        """End a webhook, which would forbid polling, and return the bot's user name."""
        with translated():
            await self._bot.delete_webhook(request_timeout=MARGIN)
            return (await self._bot.get_me(request_timeout=MARGIN)).username or ""

    async def updates(self, offset: int | None) -> list[dict[str, Any]]:
        """The updates from ``offset`` on, as Telegram sent them; all before it are confirmed by asking."""
        ask = GetRawUpdates(offset=offset, timeout=LONG_POLL, allowed_updates=TYPES)
        with translated():
            return await self._bot(ask, request_timeout=LONG_POLL + MARGIN)

    async def send(self, method: TelegramMethod[Any]) -> Any:
        with translated():
            return await self._bot(method, request_timeout=MARGIN)

    async def close(self) -> None:
        await self._bot.session.close()


def report_refusal(why: TokenRefused) -> None:
    """The one line that an operator needs before the process ends."""
    log.error("bot_token_refused", why=str(why), hint="check LIMNER_BOT_TOKEN and LIMNER_TELEGRAM_URL")


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """The one place where foreign errors become ours. Nothing is chained: addresses have the token in them."""
    try:
        yield
    except TelegramRetryAfter as error:
        raise Busy(redact(str(error)), after=float(error.retry_after)) from None
    except TelegramConflictError as error:
        raise Contested(redact(str(error))) from None
    except (TelegramUnauthorizedError, TelegramNotFound, TokenValidationError) as error:
        raise TokenRefused(redact(str(error))) from None
    except (TelegramBadRequest, TelegramForbiddenError) as error:
        raise Hopeless(redact(str(error)), blame="request") from None
    except (TelegramAPIError, ProxyError, OSError) as error:
        raise Busy(redact(str(error)) or type(error).__name__) from None
    except ClientDecodeError as error:  # its text has the whole answer in it
        if isinstance(error.data, dict) and error.data.get("ok") is True:
            raise Understood("Telegram's answer is of an unknown kind") from None
        raise Busy(f"Telegram's answer makes no sense: {type(error.original).__name__}") from None


class _Session(AiohttpSession):
    """aiogram trusts certifi alone; this one trusts the system, and with it an operator's own authority."""

    def __init__(self, proxy: str | None, **options: Any) -> None:
        super().__init__(proxy, **options)
        self._connector_init["ssl"] = ssl.create_default_context()


def _loads(text: str) -> Any:
    """aiogram looks for words in the description of an error 500 without asking whether there is one."""
    answer = json.loads(text)
    if isinstance(answer, dict) and not answer.get("ok"):
        answer["description"] = answer.get("description") or "no description"
    return answer
