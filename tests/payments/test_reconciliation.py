"""Every night the books are laid side by side: what one of them lacks is credited or told."""

from __future__ import annotations

from itertools import count

import anyio
import pytest

from limner.actors import watchman
from limner.actors.processors.base import Unreachable
from limner.sql import invoices, telegram
from limner.sql.billing import Reconcile
from tests.faults.crew import until
from tests.payments.conftest import Died, Mortal, open_till
from tests.upstreams.btcpay import KEY, Script


async def reconcile(till):
    await till.cashier().receive(Reconcile())


@pytest.mark.parametrize("processor", ["btcpay", "stripe"])
async def test_what_was_paid_there_and_is_closed_here_is_credited_and_audited(till, processor):
    invoice = await till.buy(processor)
    await till.db.execute("update invoice set state = 'canceled'")
    till.btcpay.pay(invoice.processor_ref, confirmed=True) if processor == "btcpay" else till.stripe.pay(
        invoice.processor_ref
    )
    await till.look()
    assert await till.grants(invoice) == 0, "nobody looks at a canceled one"
    await reconcile(till)
    await reconcile(till)
    assert await till.is_credited_once(invoice)
    assert await till.audited("invoice.reconciled") == 1


async def test_whoever_is_killed_at_night_leaves_credit_audit_and_news_together_or_none_of_them(
    dsn, tmp_path, db, cast
):
    async with open_till(dsn, tmp_path, db, cast, bot_token="1:token") as till:
        await db.execute("insert into telegram_admin (telegram_id, name) values (7, 'Carol')")
        invoice = await till.buy()
        await db.execute("update invoice set state = 'canceled'")
        till.btcpay.pay(invoice.processor_ref, confirmed=True)
        told = "select count(*) from notice where dedupe_key = 'alert reconciled ' || $1"
        for steps in count():
            died = False
            try:
                await till.cashier(Mortal(db, [steps])).receive(Reconcile())
            except Died:
                died = True
            left = await till.grants(invoice), await till.audited("invoice.reconciled")
            assert (*left, await db.fetchval(told, str(invoice.id))) in ((0, 0, 0), (1, 1, 1)), steps
            if not died:
                break
        assert await till.is_credited_once(invoice) and steps > 10
        buttons = await db.fetchval("select buttons from notice where channel = 'telegram'")
        assert buttons[0][0] == {"text": "💰 Look at the payments", "data": f"payments:see:{invoice.id}"}


async def test_what_a_webhook_credits_meanwhile_is_not_said_to_be_found_by_night(dsn, tmp_path, db, cast):
    async with open_till(dsn, tmp_path, db, cast, bot_token="1:token") as till:
        await db.execute("insert into telegram_admin (telegram_id, name) values (7, 'Carol')")
        invoice = await till.buy()
        till.btcpay.pay(invoice.processor_ref, confirmed=True)
        async with anyio.create_task_group() as group:
            async with db.transaction() as webhook:
                await invoices.settle(webhook, invoice.id, actor="cashier")
                group.start_soon(reconcile, till)  # it has seen it open, and waits for its turn
                await until(db.dsn, "select count(*) > 0 from pg_locks where not granted")
        assert await till.is_credited_once(invoice)
        assert await till.audited("invoice.reconciled") == 0
        assert not await db.fetchval("select count(*) from notice where dedupe_key like 'alert reconciled %'")


async def test_a_late_one_that_was_forgotten_is_found(till):
    invoice = await till.buy()
    till.btcpay.expire(invoice.processor_ref)
    await till.look()
    await till.pass_by("30 hours")
    till.btcpay.pay(invoice.processor_ref, confirmed=True)
    await till.look()
    assert await till.grants(invoice) == 0, "a day has gone by"
    await reconcile(till)
    assert await till.is_credited_once(invoice)


@pytest.mark.parametrize("processor", ["btcpay", "stripe"])
async def test_what_is_paid_here_and_not_there_is_told_once(till, processor):
    invoice = await till.buy(processor)
    await till.db.execute("update invoice set state = 'paid', paid_at = now()")
    for _ in range(3):
        await reconcile(till)
    found = await till.invoice(invoice.id)
    assert (found.state, found.trouble) == ("paid", "unbacked")
    assert await till.audited("invoice.unbacked") == 1


async def test_what_agrees_says_nothing(till):
    for processor in ("btcpay", "stripe", "btcpay"):
        invoice = await till.buy(processor)
        till.btcpay.pay(invoice.processor_ref, confirmed=True) if processor == "btcpay" else till.stripe.pay(
            invoice.processor_ref
        )
        await till.look()
    before = await till.db.fetchval("select count(*) from audit")
    await reconcile(till)
    assert await till.db.fetchval("select count(*) from audit") == before


async def test_another_shop_in_the_same_store_is_none_of_our_business(till):
    invoice = await till.buy()
    till.there(invoice).order = "order-7 of another shop"
    till.btcpay.pay(invoice.processor_ref, confirmed=True)
    await reconcile(till)
    assert await till.grants(invoice) == 0


async def test_a_settled_one_over_another_amount_is_not_credited_by_night_either(till):
    invoice = await till.buy()
    till.there(invoice).lies = {"amount": "0.01"}
    till.btcpay.pay(invoice.processor_ref, confirmed=True)
    await reconcile(till)
    assert await till.grants(invoice) == 0
    assert (await till.invoice(invoice.id)).trouble == "mismatch"


async def test_a_processor_that_is_down_is_reconciled_later_and_the_other_now(till):
    invoice = await till.buy("stripe")
    await till.db.execute("update invoice set state = 'canceled'")
    till.stripe.pay(invoice.processor_ref)
    till.btcpay.always(KEY, Script(503))
    with pytest.raises(Unreachable, match="btcpay"):
        await reconcile(till)
    assert await till.is_credited_once(invoice)


async def test_a_hundred_and_fifty_invoices_are_more_than_one_page(till):
    first = await till.buy()
    till.btcpay.pay(first.processor_ref, confirmed=True)
    template = till.there(first)
    for number in range(150):
        till.btcpay.invoices[f"other{number}"] = type(template)(
            f"other{number}", "x", template.amount, "USD", template.checkout
        )
    till.btcpay.invoices[first.processor_ref] = till.btcpay.invoices.pop(first.processor_ref)
    await till.db.execute("update invoice set state = 'canceled'")
    await reconcile(till)
    assert await till.is_credited_once(first)


async def test_admins_are_told_and_told_again_when_it_is_decided(dsn, tmp_path, db, cast):
    from limner.sql import payments

    async with open_till(dsn, tmp_path, db, cast, bot_token="1:token") as till:
        await db.execute("insert into telegram_admin (telegram_id, name) values (7, 'Carol')")
        assert len(await telegram.admins(db)) == 1
        invoice = await till.buy()
        till.btcpay.pay(invoice.processor_ref, "20.00", confirmed=True)
        await till.look()
        await watchman.look(db, till.site.config)
        told = await db.fetchval("select string_agg(body, ' | ') from notice where channel = 'telegram'")
        assert str(invoice.id) in told and "10.01 USD more" in told
        await payments.dealt_with(db, await till.invoice(invoice.id), "a tip", actor="carol@example.com")
        await watchman.look(db, till.site.config)
        told = await db.fetchval("select string_agg(body, ' | ') from notice where channel = 'telegram'")
        assert "✅" in told
        await till.look()
        assert (await till.invoice(invoice.id)).trouble == "", "what was decided does not come up again"
