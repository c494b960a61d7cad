"""The stage of the payments' stories: the site, both processors over real HTTP, and a cashier that may die."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from limner.actors.cashier import Cashier
from limner.runtime.bus import Bus
from limner.runtime.database import Database
from limner.runtime.errors import Busy, Hopeless
from limner.runtime.mailbox import Fence
from limner.runtime.presence import Presence
from limner.sql import billing, invoices, plans
from limner.sql.billing import CheckOpenInvoices
from limner.sql.invoices import Invoice
from tests.conftest import Cast, held
from tests.http.conftest import Site, serving
from tests.upstreams import btcpay, stripe
from tests.upstreams.btcpay import BtcpayInvoice, FakeBtcpay
from tests.upstreams.stripe import FakeStripe, Session


class Died(BaseException):
    """The process is gone: what it had not committed was never there."""


class Mortal:
    """A database in the hands of somebody who dies before a statement, or right after a commit: ``left`` is how many pass."""

    def __init__(self, db: Any, left: list[int]) -> None:
        self._db = db
        self._left = left

    def _step(self) -> None:
        self._left[0] -= 1
        if self._left[0] < 0:
            raise Died

    async def fetch(self, sql: str, *args: Any) -> Any:
        self._step()
        return await self._db.fetch(sql, *args)

    async def fetchrow(self, sql: str, *args: Any) -> Any:
        self._step()
        return await self._db.fetchrow(sql, *args)

    async def fetchval(self, sql: str, *args: Any) -> Any:
        self._step()
        return await self._db.fetchval(sql, *args)

    async def execute(self, sql: str, *args: Any) -> Any:
        self._step()
        return await self._db.execute(sql, *args)

    def tell(self, channel: str, payload: str = "", *, can_wait: bool = False) -> None:
        self._db.tell(channel, payload)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        async with self._db.transaction() as tx:
            yield Mortal(tx, self._left)
        self._step()


@dataclass
class Till:
    """The shop, and its processors."""

    site: Site
    db: Database
    btcpay: FakeBtcpay
    stripe: FakeStripe
    cast: Cast
    before: dict[UUID, int] = field(default_factory=dict)
    """The periods that Bob had paid for when an invoice was made."""

    def cashier(self, db: Any = None) -> Cashier:
        presence = Presence(self.db, "worker", lease=self.site.config.lease)
        return Cashier(db or self.db, Bus(self.db), presence, config=self.site.config, session=self.site.client)

    async def buy(self, processor: str = "btcpay") -> Invoice:
        """Bob wants the monthly plan, and the cashier opens it."""
        plan = await plans.by_code(self.db, "monthly")
        invoice = await billing.buy(self.db, self.cast.bob.id, plan, processor)
        self.before[invoice.id] = await self.periods()
        await self.work()
        return await self.invoice(invoice.id)

    async def invoice(self, invoice_id: UUID) -> Invoice:
        return await invoices.get(self.db, invoice_id)

    def there(self, invoice: Invoice) -> BtcpayInvoice:
        return self.btcpay.invoices[str(invoice.processor_ref)]

    def session(self, invoice: Invoice) -> Session:
        return self.stripe.sessions[str(invoice.processor_ref)]

    async def work(self, *, lives: int | None = None, rounds: int = 20) -> None:
        """Handle every message of the mailbox. With ``lives`` the cashier dies after so many steps, once, and another goes on."""
        left = [10**9 if lives is None else lives]
        for _ in range(rounds):
            rows = await self.db.fetch(
                "select id, kind, payload, attempts from message where mailbox = 'billing' and state = 0 order by id"
            )
            if not rows:
                return
            for row in rows:
                try:
                    await self._handle(self.cashier(Mortal(self.db, left)), row)
                except Died:
                    left = [10**9]  # the message is still there: the next one begins with it
                    break
        raise AssertionError("the mailbox does not empty")

    async def _handle(self, cashier: Cashier, row: Any) -> None:
        kinds = {kind.__name__: kind for kind in Cashier.messages}
        message = kinds[row["kind"]].revive(row["payload"], Fence(row["id"], UUID(int=1), 1))
        with contextlib.suppress(Busy, Hopeless):  # later, or a dead letter: the look at all that is open is the net
            await cashier.receive(message)  # type: ignore[arg-type]
        await self.db.execute("delete from message where id = $1", row["id"])

    async def look(self) -> None:
        """Half a minute goes by, by the clock of the database, and the schedule has everything open looked at."""
        await self.pass_by("30 seconds")
        await self.cashier().receive(CheckOpenInvoices())

    async def pass_by(self, interval: str) -> None:
        """All that is written down becomes that much older."""
        await self.db.execute(
            "update invoice set checked_at = checked_at - $1::text::interval, created_at = created_at - $1::text::interval, "
            "expires_at = expires_at - $1::text::interval, paid_at = paid_at - $1::text::interval",
            interval,
        )
        await self.db.execute(
            "update refund set asked_at = asked_at - $1::text::interval, created_at = created_at - $1::text::interval",
            interval,
        )

    async def deliver(self, event: dict[str, Any], **options: Any) -> int:
        return await btcpay.deliver(self.site.client, self.site.url, event, **options)

    async def deliver_stripe(self, event: dict[str, Any], **options: Any) -> int:
        return await stripe.deliver(self.site.client, self.site.url, event, **options)

    async def grants(self, invoice: Invoice) -> int:
        return int(
            await self.db.fetchval(
                "select count(*) from ledger_entry where invoice_id = $1 and kind = 'grant'", invoice.id
            )
        )

    async def credits(self) -> int:
        return int(await self.db.fetchval("select available from balance where account_id = $1", self.cast.bob.id))

    async def audited(self, action: str) -> int:
        return int(await self.db.fetchval("select count(*) from audit where action = $1", action))

    async def periods(self) -> int:
        found = "select coalesce(sum(cycles), 0) from subscription where account_id = $1"
        return int(await self.db.fetchval(found, self.cast.bob.id))

    async def effects(self, invoice: Invoice) -> tuple[str, int, int, int]:
        """Its state, and how many grants, paid periods and lines in the audit came of it."""
        audits = "select count(*) from audit where action = 'invoice.paid' and subject = $1"
        return (
            (await self.invoice(invoice.id)).state,
            await self.grants(invoice),
            await self.periods() - self.before.get(invoice.id, 0),
            int(await self.db.fetchval(audits, str(invoice.id))),
        )

    async def is_credited_once(self, invoice: Invoice) -> bool:
        return await self.effects(invoice) == ("paid", 1, 1, 1)


@pytest.fixture
async def till(dsn: str, tmp_path: Path, db: Database, cast: Cast) -> AsyncIterator[Till]:
    async with held(open_till(dsn, tmp_path, db, cast)) as opened:
        yield opened


@contextlib.asynccontextmanager
async def open_till(dsn: str, folder: Path, db: Database, cast: Cast, **overrides: Any) -> AsyncIterator[Till]:
    async with FakeBtcpay().serve() as coins, FakeStripe().serve() as cards:
        chosen = {
            "btcpay_url": coins.base_url, "btcpay_store": btcpay.STORE, "btcpay_api_key": btcpay.KEY,
            "btcpay_webhook_secret": btcpay.SECRET, "stripe_url": cards.base_url, "stripe_api_key": stripe.KEY,
            "stripe_webhook_secret": stripe.SECRET,
        }  # fmt: skip
        async with serving(dsn, folder, db, **(chosen | overrides)) as site:
            yield Till(site, db, coins, cards, cast)
