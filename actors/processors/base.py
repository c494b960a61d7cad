"""What every payment processor has in common: open a payment, and read what became of it."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Protocol, cast

import aiohttp

from limner.runtime.config import Config
from limner.runtime.errors import Busy, NotFound
from limner.sql.invoices import Invoice

PROCESSORS = {"sandbox": "Sandbox"}
"""Name, as in the table ``invoice``: its module in this folder and its class there."""


@dataclass(frozen=True)
class Opened:
    """How the processor calls the payment, and where the payer goes."""

    ref: str
    checkout_url: str


@dataclass(frozen=True)
class Payment:
    """What the processor says about a payment. ``state``: pending, processing, paid, expired, canceled or invalid."""

    ref: str
    order_ref: str
    state: str
    amount_cents: int
    currency: str


class Unreachable(Busy):
    """The processor did not answer, or not sensibly: ask again later."""


class Processor(Protocol):
    """A processor's adapter. Both methods raise Unreachable, and nothing else that a caller should catch."""

    async def open(self, invoice: Invoice) -> Opened:
        """Make it known there. Safe to repeat: the same invoice gives the same payment."""
        ...

    async def read(self, ref: str) -> Payment:
        """The truth about a payment; a webhook is only a hint."""
        ...


def processor(name: str, config: Config, session: aiohttp.ClientSession) -> Processor:
    """The adapter of this name, imported on first use. Raises NotFound."""
    if name not in PROCESSORS:
        raise NotFound(f"There is no payment processor called {name!r}.")
    module = importlib.import_module(f"limner.actors.processors.{name}")
    return cast(Processor, getattr(module, PROCESSORS[name])(config, session))
