"""The wire to a processor: one HTTP client with a deadline and a size, and one place where its errors are translated."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import ROUND_FLOOR, Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import anyio
import orjson

from limner.actors.processors.base import Unreachable, Unwilling
from limner.runtime.log import logger, redact

log = logger(__name__)

PATIENCE = 10.0
"""Seconds for one call."""
LARGEST = 4 * 2**20
"""Bytes of an answer: a hundred invoices with their payments are less."""
MOST_CENTS = 10**12


class Missing(Unwilling):
    """There is no such thing over there."""


class Wire:
    """Speaks JSON to one API. ``name`` is how people call it."""

    def __init__(self, session: aiohttp.ClientSession, name: str, base: str, headers: Mapping[str, str]) -> None:
        self.session = session
        self.name = name
        self.base = base
        self.headers = headers

    async def ask(
        self,
        method: str,
        path: str,
        *,
        wants: type = dict,
        body: Any = None,
        form: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """The answer's JSON: an object, or what else it ``wants``. Raises Unreachable, Unwilling, or Missing for a 404."""
        try:
            with anyio.fail_after(PATIENCE):
                async with self.session.request(
                    method,
                    self.base + path,
                    json=body,
                    data=form,
                    params=query,
                    headers={**self.headers, **(headers or {})},
                    allow_redirects=False,
                ) as answer:
                    said = self._judge(answer, await _read(answer))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Unreachable(f"{self.name} cannot be reached: {type(error).__name__}") from error
        if not isinstance(said, wants):
            raise Unreachable(f"{self.name} answered something else: {type(said).__name__}")
        return said

    def _judge(self, answer: aiohttp.ClientResponse, data: bytes) -> Any:
        status = answer.status
        if 200 <= status < 300:
            return orjson.loads(data) if data.strip() else None
        if status == 404:
            raise Missing(f"{self.name} knows nothing of that")
        words = f"{self.name} answered {status}{_words(data)}"
        if status in (401, 403):
            log.error("processor_refuses_key", processor=self.name, status=status)
        if 400 <= status < 500 and status not in (401, 403, 408, 409, 429):
            raise Unwilling(words, blame="request")
        raise Unreachable(words, after=_after(answer.headers.get("Retry-After", "")))

    @contextmanager
    def sensibly(self) -> Iterator[None]:
        """Around what reads its answers: one without what it must have is as good as none."""
        try:
            yield
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, InvalidOperation) as error:
            raise Unreachable(f"{self.name} answered something else: {type(error).__name__}") from error


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    data = bytearray()
    async for chunk in answer.content.iter_any():
        data += chunk
        if len(data) > LARGEST:
            raise ValueError("too long")
    return bytes(data)


def _words(data: bytes) -> str:
    """What it says about it, if that can be found: BTCPay and Stripe differ."""
    try:
        said = orjson.loads(data)
    except ValueError:
        return ""
    said = said[0] if isinstance(said, list) and said else said
    said = said.get("error", said) if isinstance(said, dict) else said
    words = said.get("message", "") if isinstance(said, dict) else said
    return f": {redact(words)[:200]}" if isinstance(words, str) and words else ""


def _after(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return min(seconds, 600.0) if math.isfinite(seconds) and seconds > 0 else None


def cents(amount: Any) -> int:
    """A decimal amount in the smallest unit, rounded down. Raises ValueError."""
    value = Decimal(str(amount))
    if not value.is_finite() or not 0 <= value * 100 <= MOST_CENTS:
        raise ValueError(amount)
    return int((value * 100).to_integral_value(ROUND_FLOOR))


def exact_cents(amount: Any) -> int:
    """The same for an amount that was asked: -1, which no invoice has, for one with a fraction of a cent, or for none."""
    if amount is None:
        return -1
    value = cents(amount)
    return value if Decimal(str(amount)) * 100 == value else -1


def web_address(value: Any) -> str:
    """An address that a browser may be sent to. Raises ValueError."""
    parts = urlsplit(str(value))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("no web address")
    return str(value)
