"""The steward: what comes due around the end of a period is done once, and after a week away only what is still true."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import timedelta

import aiohttp
import anyio
import pytest

from limner.actors.mail import letters
from limner.actors.steward import CloseEndedPeriods, Steward
from limner.runtime.bus import Bus
from limner.runtime.presence import Presence
from limner.sql import changes, invoices, ledger, pauses, plans, subscriptions

SHIFT = """
with keyed as (
    select i.id, 'renewal ' || s.id || ' ' || extract(epoch from s.period_end - $1::interval) as key
    from invoice as i join subscription as s
        on i.idempotency_key = 'renewal ' || s.id || ' ' || extract(epoch from s.period_end)
),
moved as (
    update invoice as i set created_at = created_at - $1, expires_at = expires_at - $1,
        idempotency_key = coalesce((select key from keyed where keyed.id = i.id), idempotency_key)
)
update subscription set anchored_at = anchored_at - $1, period_start = period_start - $1, period_end = period_end - $1,
    changes_at = changes_at - $1, invoiced_end = invoiced_end - $1, reminded_end = reminded_end - $1,
    paused_at = paused_at - $1
"""
"""Time goes by: all that is written lies further back."""


class House:
    """A studio whose clock can be moved, and whose steward comes when called."""

    def __init__(self, db, config) -> None:
        self.db = db
        self.config = config

    def steward(self) -> Steward:
        return Steward(self.db, Bus(self.db), Presence(self.db, "worker", lease=3), config=self.config)

    async def look_after(self, times: int = 1) -> None:
        for _ in range(times):
            await self.steward().receive(CloseEndedPeriods())

    async def left(self, **span: float) -> None:
        """So much is left of every period."""
        now_left = await self.db.fetchval("select min(period_end) - now() from subscription")
        await self.db.execute(SHIFT, now_left - timedelta(**span))

    async def mails(self) -> list[tuple[str, str, dict]]:
        rows = await self.db.fetch(
            "select recipient, template, details from notice where channel = 'mail' and template <> 'invoice_paid' order by id"
        )
        return [(row["recipient"].split("@")[0], row["template"], row["details"]) for row in rows]

    async def told(self) -> list[tuple[str, int | None]]:
        """Template and days of each mail."""
        return [(template, details.get("days")) for _, template, details in await self.mails()]

    async def state(self) -> str:
        return await self.db.fetchval("select state from subscription order by created_at desc limit 1")


@pytest.fixture
async def house(db, config):
    return House(db, config)


async def renewal(db) -> invoices.Invoice:
    return await invoices.get(db, await db.fetchval("select id from invoice where purpose = 'renewal'"))


async def test_a_month_as_it_should_be(house, cast, db):
    """Nothing, then a word at 7 days, the invoice at 72 hours, a word at 24, and one at the end: each once."""
    for span, told in (
        ({"days": 8}, []),
        ({"days": 7, "minutes": -1}, [("period_ends_soon", 7)]),
        ({"days": 4}, []),
        ({"hours": 71, "minutes": 59}, [("renewal_invoice", None)]),
        ({"hours": 30}, []),
        ({"hours": 23}, [("period_ends_soon", 1)]),
        ({"minutes": 1}, []),
    ):
        before = len(await house.told())
        await house.left(**span)
        await house.look_after(times=3)
        assert (await house.told())[before:] == told, span
    assert await house.state() == "active"
    await db.execute("update invoice set expires_at = now() - interval '16 minutes'")
    await house.left(minutes=-20)
    await house.look_after(times=3)
    assert await house.state() == "expired"
    name, template, details = (await house.mails())[-1]
    assert (name, template, details["path"]) == ("alice", "period_ended", "/plans")
    assert len(await house.mails()) == 4
    assert await db.fetchval("select count(*) from invoice") == 1


async def test_the_renewal_invoice_is_for_the_next_cycle_and_extends_from_the_old_end(house, cast, db):
    await house.left(hours=70)
    before = await subscriptions.alive(db, cast.alice.id)
    assert before is not None
    await house.look_after()
    invoice = await renewal(db)
    assert (invoice.amount_cents, invoice.credits, invoice.processor) == (999, 100, "sandbox")
    assert invoice.expires_at == before.period.end
    assert await db.fetchval("select count(*) from message where mailbox = 'billing' and kind = 'OpenInvoice'") == 1
    details = (await house.mails())[0][2]
    assert details == {
        "plan": "Monthly", "amount_cents": 999, "currency": "USD", "ends_at": before.period.end.isoformat(),
        "path": f"/invoices/{invoice.id}",
    }  # fmt: skip
    await invoices.settle(db, invoice.id, actor="test")
    after = await subscriptions.alive(db, cast.alice.id)
    assert after and after.period == before.period.longer()
    await house.look_after()
    assert len(await house.mails()) == 1


async def test_the_next_cycle_has_an_invoice_of_its_own(house, cast, db):
    for _ in range(2):
        await house.left(hours=70)
        await house.look_after()
        await invoices.settle(db, (await db.fetchval("select id from invoice where state = 'pending'")), actor="test")
    assert await db.fetchval("select count(*) from invoice where purpose = 'renewal' and state = 'paid'") == 2


async def test_an_automatic_invoice_that_came_to_nothing_is_never_followed_by_another(house, cast, db):
    await house.left(hours=70)
    await house.look_after()
    for state in ("expired", "canceled", "invalid"):
        await db.execute("update invoice set state = $1", state)
        await house.look_after(times=2)
    assert await db.fetchval("select count(*) from invoice") == 1


async def test_whoever_is_paying_already_gets_no_second_invoice(house, cast, db):
    await house.left(hours=70)
    mine = await invoices.create(db, cast.alice.id, await plans.by_code(db, "monthly"), "sandbox")
    await house.look_after()
    assert await db.fetchval("select count(*) from invoice") == 1
    await db.execute("update invoice set state = 'processing' where id = $1", mine.id)
    await house.left(hours=20)
    await house.look_after()
    assert await house.told() == [("period_ends_soon", 3)], "whose payment is being confirmed is not asked to pay"
    await db.execute("update invoice set state = 'expired' where id = $1", mine.id)
    await house.look_after(times=2)
    assert await house.told() == [("period_ends_soon", 3), ("renewal_invoice", None)]


async def test_buying_finds_the_automatic_invoice_again(house, cast, db):
    await house.left(hours=70)
    await house.look_after()
    again = await invoices.create(db, cast.alice.id, await plans.by_code(db, "monthly"), "sandbox")
    assert again.id == (await renewal(db)).id


@pytest.mark.parametrize(
    "left, told",
    [
        ({"days": 5}, [("period_ends_soon", 5)]),
        ({"hours": 50}, [("renewal_invoice", None)]),
        ({"hours": 5}, [("renewal_invoice", None)]),
        ({"days": -2}, [("period_ended", None)]),
        ({"days": -6}, [("period_ended", None)]),
    ],
)
async def test_after_a_week_of_downtime_everybody_hears_once_what_is_still_true(house, cast, left, told):
    await house.left(**left)
    await house.look_after(times=3)
    assert await house.told() == told


async def test_whoever_renewed_during_the_downtime_hears_nothing(house, cast, db):
    await house.left(days=-3)
    invoice = await invoices.create(db, cast.alice.id, await plans.by_code(db, "monthly"), "sandbox")
    await invoices.settle(db, invoice.id, actor="test")
    await house.look_after(times=2)
    assert (await house.told(), await house.state()) == ([], "active")


async def test_many_stewards_at_once_do_each_thing_once(house, cast, db, config):
    await db.execute(
        """with made as (insert into account (email, password_hash, verified_at)
            select 'customer' || n || '@example.com', 'x', now() from generate_series(1, 30) as n returning id)
        insert into subscription (account_id, plan_id, state, anchored_at, cycles, period_start, period_end, cycle_credits)
        select m.id, s.plan_id, 'active', s.anchored_at, 1, s.period_start, s.period_end, 100 from made as m, subscription as s"""
    )
    for span in ({"days": 6}, {"hours": 70}, {"hours": 20}):
        await house.left(**span)
        async with anyio.create_task_group() as group:
            for _ in range(6):
                group.start_soon(house.look_after, 2)
    await db.execute("update invoice set state = 'expired'")
    await house.left(minutes=-1)
    async with anyio.create_task_group() as group:
        for _ in range(6):
            group.start_soon(house.look_after)
    counts = await db.fetch("select template, recipient, count(*) as n from notice group by 1, 2")
    by_template = {}
    for row in counts:
        by_template.setdefault(row["template"], []).append(row["n"])
    assert by_template == {"period_ends_soon": [2] * 31, "renewal_invoice": [1] * 31, "period_ended": [1] * 31}
    assert await db.fetchval("select count(*) from invoice") == 31
    assert await db.fetchval("select count(*) from audit where action = 'subscription.expired'") == 31


async def test_whoever_canceled_gets_no_invoice_and_ends_as_canceled(house, cast, db):
    await changes.cancel(db, cast.alice.id, actor="alice@example.com")
    await house.left(hours=70)
    await house.look_after()
    assert await house.told() == [("period_ends_soon", 3)]
    await house.left(seconds=-1)
    await house.look_after(times=2)
    assert await house.state() == "canceled"
    assert await house.told() == [("period_ends_soon", 3), ("period_ended", None)]
    assert await db.fetchval("select count(*) from invoice") == 0


async def test_taking_it_back_brings_the_invoice(house, cast, db):
    await changes.cancel(db, cast.alice.id, actor="alice@example.com")
    await house.left(hours=70)
    await house.look_after()
    await changes.take_back(db, cast.alice.id, actor="alice@example.com")
    await house.look_after(times=2)
    assert await house.told() == [("period_ends_soon", 3), ("renewal_invoice", None)]


async def test_a_plan_that_is_not_sold_any_more_is_not_asked_for(house, cast, db):
    await db.execute("update plan set active = false")
    await house.left(hours=70)
    await house.look_after(times=2)
    assert await house.told() == [("period_ends_soon", 3)]
    assert (await house.mails())[0][2]["path"] == "/account/subscription"


async def test_without_a_processor_people_are_told_all_the_same(house, cast, db):
    house.config = house.config.model_copy(update={"sandbox_payments": False})
    await house.left(hours=70)
    await house.look_after(times=2)
    assert await house.told() == [("period_ends_soon", 3)]


async def test_a_pause_is_not_the_time_for_mails_invoices_or_an_end(house, cast, db):
    await house.left(hours=10)
    await pauses.pause(db, cast.alice.id, "a dispute", actor="carol@example.com")
    await db.execute(SHIFT, timedelta(days=3))
    await house.look_after(times=2)
    assert (await house.told(), await house.state()) == ([], "active")
    await pauses.resume(db, cast.alice.id, "settled", actor="carol@example.com")
    await house.look_after(times=2)
    assert await house.told() == [("renewal_invoice", None)]


async def test_the_banned_are_not_written_to(house, cast, db):
    await db.execute("update account set banned_at = now()")
    for span in ({"days": 6}, {"hours": 70}, {"hours": 10}, {"days": -1}):
        await house.left(**span)
        await house.look_after()
    assert (await house.told(), await house.state()) == ([], "expired")


@pytest.mark.parametrize("locale", ["en", "ru", "zh"])
async def test_each_mail_can_be_written(house, cast, db, locale):
    """What the steward queues has all that the templates say."""
    for span in ({"days": 6}, {"hours": 70}, {"hours": 10}, {"hours": -1}):
        await house.left(**span)
        await house.look_after()
    await db.execute("update invoice set state = 'expired'")
    await house.look_after()
    for _, template, details in await house.mails():
        letter = letters.write(template, locale, details, public_url="https://limner.example", link=None)
        assert "Monthly" in letter.subject and details["path"] in letter.text
    assert len(await house.mails()) == 4


async def test_mails_are_in_the_language_of_the_person(house, cast, db):
    await db.execute("update account set locale = 'ru' where id = $1", cast.alice.id)
    await house.left(days=6)
    await house.look_after()
    assert await db.fetchval("select locale from notice") == "ru"


async def test_a_payment_that_is_being_confirmed_makes_it_past_due_without_access(house, cast, db):
    await house.left(hours=70)
    await house.look_after()
    invoice = await renewal(db)
    await invoices.move(db, invoice.id, "processing")
    await house.left(seconds=-1)
    await house.look_after(times=2)
    assert await house.state() == "past_due"
    with pytest.raises(subscriptions.NoSubscription):
        await subscriptions.open_one(db, cast.alice.id)
    assert [template for template, _ in await house.told()] == ["renewal_invoice"], "it is not over yet"
    await invoices.settle(db, invoice.id, actor="test")
    alice = await subscriptions.open_one(db, cast.alice.id)
    assert alice.state == "active"
    assert (await ledger.balance(db, cast.alice.id)).available == 200, "what was left stays"
    await house.look_after(times=2)
    assert len(await house.mails()) == 1


@pytest.mark.parametrize("end", ["invalid", "expired"])
async def test_a_payment_that_came_to_nothing_ends_what_was_past_due(house, cast, db, end):
    await house.left(hours=70)
    await house.look_after()
    invoice = await renewal(db)
    await invoices.move(db, invoice.id, "processing")
    await house.left(days=-2)
    await house.look_after(times=2)
    assert await house.state() == "past_due"
    await invoices.move(db, invoice.id, end)
    await house.look_after(times=2)
    assert await house.state() == "expired"
    assert [template for template, _ in await house.told()] == ["renewal_invoice", "period_ended"]


async def test_an_unpaid_invoice_is_asked_about_for_a_quarter_of_an_hour(house, cast, db):
    await house.left(hours=70)
    await house.look_after()
    await db.execute("update invoice set processor_ref = 'known'")
    await house.left(seconds=-1)
    await house.look_after()
    assert await house.state() == "past_due"
    await db.execute("update invoice set expires_at = now() - interval '15 minutes'")
    await house.look_after()
    assert await house.state() == "expired"


async def test_a_cheaper_plan_that_was_paid_begins_at_the_old_end(house, cast, db):
    await db.execute("insert into plan (code, name, price_cents, credits_per_cycle) values ('small', 'Small', 499, 40)")
    await changes.begin(db, cast.alice.id, await plans.by_code(db, "small"), ("sandbox",), actor="alice@example.com")
    await house.left(hours=70)
    await house.look_after()
    invoice = await renewal(db)
    assert (invoice.plan.code, invoice.amount_cents) == ("small", 499)
    await invoices.settle(db, invoice.id, actor="test")
    now = await subscriptions.alive(db, cast.alice.id)
    assert now and now.plan.code == "monthly" and now.changes_at
    await house.look_after()
    assert await db.fetchval("select p.code from subscription join plan as p on p.id = plan_id") == "monthly"
    await db.execute(SHIFT, timedelta(hours=71))
    await house.look_after()
    assert await db.fetchval("select p.code from subscription join plan as p on p.id = plan_id") == "small"
    assert await db.fetchval("select after from audit where action = 'subscription.plan'") == {"plan": "small"}


async def test_the_worker_has_a_steward(db, config, tmp_path):
    from limner.actors.worker import SCHEDULE, occupations
    from limner.runtime.storage import open_storage

    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        storage = await stack.enter_async_context(open_storage(config))
        actors = occupations(
            db, Bus(db), Presence(db, "worker", lease=3), config=config, storage=storage, session=session
        )
    assert any(isinstance(actor, Steward) for actor in actors)
    assert any(isinstance(entry.message, CloseEndedPeriods) for entry in SCHEDULE)
