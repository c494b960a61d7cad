"""What every payment processor has in common: open a payment, read what became of it, pay it back, give it up."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Protocol, cast

import aiohttp

from limner.runtime.config import Config
from limner.runtime.errors import Busy, Hopeless, NotFound
from limner.sql.invoices import Invoice
from limner.sql.refunds import Refund

PROCESSORS = {"sandbox": "Sandbox", "btcpay": "Btcpay", "stripe": "Stripe"}
"""Name, as in the table ``invoice``: its module in this folder and its class there."""


@dataclass(frozen=True)
class Way:
    """One way to pay: ``link`` for a QR code or a wallet, ``address`` and ``due`` for a hand that types."""

    method: str
    link: str
    address: str = ""
    due: str = ""
    currency: str = ""


@dataclass(frozen=True)
class Opened:
    """How the processor calls the payment, where the payer goes, and until when."""

    ref: str
    checkout_url: str
    expires_at: datetime | None = None
    ways: Sequence[Way] = ()


@dataclass(frozen=True)
class Payment:
    """What the processor says about a payment. ``state``: pending, processing, paid, expired, canceled or invalid.

    ``received_cents``: what it has seen of it, in ``currency``. ``store``: whose payment it is, where a key opens several.
    ``is_late``: it came after the end. ``is_marked``: somebody said so by hand over there.
    """

    ref: str
    order_ref: str
    state: str
    amount_cents: int
    currency: str
    store: str = ""
    received_cents: int = 0
    is_late: bool = False
    is_marked: bool = False
    ways: Sequence[Way] = ()

    @property
    def is_untouched(self) -> bool:
        """Open there, and nothing came."""
        return self.state == "pending" and not self.received_cents


@dataclass(frozen=True)
class PaidBack:
    """How the processor calls a refund, and where its owner claims it, when that is needed."""

    ref: str
    claim_url: str | None = None


class Unreachable(Busy):
    """The processor did not answer, or not sensibly: ask again later."""


class Unwilling(Hopeless):
    """The processor refuses, for good: asking again will not help."""


class Processor(Protocol):
    """A processor's adapter. Each method raises Unreachable or Unwilling, and nothing else that a caller should catch."""

    store: str
    """Whose payments count; empty when the key says it all."""

    async def open(self, invoice: Invoice) -> Opened:
        """Make it known there. Safe to repeat: the same invoice gives the same payment."""
        ...

    async def find(self, invoice: Invoice) -> Opened | None:
        """The payment of an invoice whose opening may have been lost on the way."""
        ...

    async def read(self, ref: str) -> Payment | None:
        """The truth about a payment; a webhook is only a hint. None: it knows none of that name."""
        ...

    async def refund(self, invoice: Invoice, refund: Refund) -> PaidBack:
        """Give money back. Safe to repeat: the same refund is sent once."""
        ...

    async def cancel(self, ref: str) -> None:
        """Take no money for it any more. What was paid meanwhile stays paid: read it afterwards."""
        ...

    def since(self, moment: datetime) -> AsyncIterator[Payment]:
        """Every payment that was opened there since then."""
        ...


def plain(ways: Sequence[Way]) -> list[dict[str, str]]:
    """Ways to pay, as an invoice keeps them."""
    return [asdict(way) for way in ways]


def processor(name: str, config: Config, session: aiohttp.ClientSession) -> Processor:
    """The adapter of this name, imported on first use. Raises NotFound."""
    if name not in PROCESSORS:
        raise NotFound(f"There is no payment processor called {name!r}.")
    module = importlib.import_module(f"limner.actors.processors.{name}")
    return cast(Processor, getattr(module, PROCESSORS[name])(config, session))
