"""The sandbox processor's adapter: it takes no money, and is reached over HTTP like any other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
import anyio

from limner.actors.processors.base import Opened, Payment, Unreachable
from limner.runtime.config import Config
from limner.sql.invoices import Invoice

STATES = {"pending": "pending", "settled": "paid", "declined": "canceled"}


class Sandbox:
    """Speaks to ``/sandbox/api/payments`` of LIMNER_SANDBOX_URL."""

    def __init__(self, config: Config, session: aiohttp.ClientSession) -> None:
        self.base = (config.sandbox_url or f"http://{config.http_host}:{config.http_port}") + "/sandbox/api/payments"
        self.public_url = config.public_url
        self.session = session
        self.headers = {"Authorization": f"Bearer {config.sandbox_secret.get_secret_value()}"}

    async def open(self, invoice: Invoice) -> Opened:
        asked = {
            "order_ref": str(invoice.id),
            "amount_cents": invoice.amount_cents,
            "currency": invoice.currency,
            "title": invoice.plan.name,
            "return_url": f"{self.public_url}/invoices/{invoice.id}",
        }
        with _translated():
            answer = await self._ask("POST", self.base, asked)
            return Opened(answer["id"], f"{self.public_url}/sandbox/{answer['id']}")

    async def read(self, ref: str) -> Payment:
        with _translated():
            answer = await self._ask("GET", f"{self.base}/{ref}")
            state = STATES[answer["state"]]
            return Payment(answer["id"], answer["order_ref"], state, int(answer["amount_cents"]), answer["currency"])

    async def _ask(self, method: str, url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        with anyio.fail_after(10):
            async with self.session.request(
                method, url, json=body, headers=self.headers, allow_redirects=False
            ) as answer:
                if answer.status != 200:
                    raise Unreachable(f"the sandbox answered {answer.status}")
                return await answer.json()  # type: ignore[no-any-return]


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (aiohttp.ClientError, TimeoutError, OSError, KeyError, ValueError) as error:
        raise Unreachable(f"the sandbox cannot be reached: {type(error).__name__}") from error
