"""Every order of a payment's webhooks, some lost, with a cashier that dies at any step: one grant where it was paid."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable, Sequence

import pytest

from limner.sql import billing, plans
from limner.sql.invoices import Invoice
from tests.payments.conftest import Till

FULL = os.environ.get("FAULT_FULL") == "1"
SEED = int(os.environ.get("FAULT_SEED", "20261128"))
NEWS = ("created", "received", "processing", "settled", "expired", "paymentSettled", "redelivered")
ORDERS = list(itertools.permutations(NEWS))
PARTS = 42 if FULL else 1
MOST_STEPS = 16
"""Steps of one check from the first look to the last commit are fewer."""

Truth = Callable[[Till, Invoice], None]


def paid(till: Till, invoice: Invoice) -> None:
    till.btcpay.pay(str(invoice.processor_ref), confirmed=True)


def late(till: Till, invoice: Invoice) -> None:
    till.btcpay.expire(str(invoice.processor_ref))
    till.btcpay.pay(str(invoice.processor_ref), confirmed=True)


def over(till: Till, invoice: Invoice) -> None:
    till.btcpay.pay(str(invoice.processor_ref), "12.00", confirmed=True)


def in_parts(till: Till, invoice: Invoice) -> None:
    till.btcpay.pay(str(invoice.processor_ref), "3.00")
    till.btcpay.pay(str(invoice.processor_ref), confirmed=True)


def marked(till: Till, invoice: Invoice) -> None:
    till.btcpay.mark(str(invoice.processor_ref), "Settled")


def partial(till: Till, invoice: Invoice) -> None:
    till.btcpay.pay(str(invoice.processor_ref), "3.00", confirmed=True)
    till.btcpay.expire(str(invoice.processor_ref))


def unconfirmed(till: Till, invoice: Invoice) -> None:
    till.btcpay.pay(str(invoice.processor_ref))


def unpaid(till: Till, invoice: Invoice) -> None:
    till.btcpay.expire(str(invoice.processor_ref))


def bounced(till: Till, invoice: Invoice) -> None:
    till.btcpay.pay(str(invoice.processor_ref))
    till.btcpay.bounce(str(invoice.processor_ref))


ENDS: dict[Truth, str] = {
    paid: "paid", late: "paid", over: "paid", in_parts: "paid", marked: "paid",
    partial: "expired", unconfirmed: "processing", unpaid: "expired", bounced: "invalid",
}  # fmt: skip
KINDS = {
    "created": "InvoiceCreated", "received": "InvoiceReceivedPayment", "processing": "InvoiceProcessing",
    "settled": "InvoiceSettled", "expired": "InvoiceExpired", "paymentSettled": "InvoicePaymentSettled",
    "redelivered": "InvoiceSettled",
}  # fmt: skip


async def story(till: Till, truth: Truth, order: Sequence[str], chance: random.Random) -> None:
    """The truth comes about somewhere among the webhooks; each may be lost, and each may kill the cashier that heeds it."""
    invoice = await till.buy()
    happens, told = chance.randrange(len(order) + 1), {}
    for number, news in enumerate(order):
        if number == happens:
            truth(till, invoice)
        delivery = f"{invoice.id} {'settled' if news == 'redelivered' else news}"
        event = {
            "deliveryId": f"{delivery} {number}", "originalDeliveryId": delivery, "type": KINDS[news],
            "storeId": till.site.config.btcpay_store, "invoiceId": invoice.processor_ref,
            "metadata": {"orderId": str(invoice.id)},
        }  # fmt: skip
        told[news] = chance.random() < 0.6
        if told[news]:
            assert await till.deliver(event) == 204
        await till.work(lives=chance.choice([None, chance.randrange(MOST_STEPS)]))
    if happens == len(order):
        truth(till, invoice)
    await till.look()
    await till.pass_by("10 minutes")
    await till.look()
    one = int(ENDS[truth] == "paid")
    about = f"{truth.__name__} {' '.join(order)}, happens at {happens}, told {told}"
    assert await till.effects(invoice) == (ENDS[truth], one, one, one), about


@pytest.mark.timeout(600 if FULL else 60)
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("truth", ENDS, ids=lambda truth: truth.__name__)
async def test_the_end_does_not_depend_on_what_was_told_in_which_order(till, truth, part):
    """A part of the orders for each shop: what it does to all that is open gets slower with all that was bought."""
    chance = random.Random(f"{SEED} {truth.__name__} {part}")
    for order in ORDERS[part::PARTS] if FULL else chance.sample(ORDERS, 8):
        await story(till, truth, order, chance)
        if truth is unconfirmed:  # else the next one to buy finds it open
            await till.db.execute("update invoice set expires_at = now()")


@pytest.mark.parametrize("truth", [paid, late, over], ids=lambda truth: truth.__name__)
async def test_a_cashier_that_dies_at_any_step_is_made_up_for_by_the_next(till, truth):
    for steps in range(MOST_STEPS):
        invoice = await till.buy()
        truth(till, invoice)
        assert await till.deliver(till.btcpay.events[-1]) == 204
        await till.work(lives=steps)
        await till.look()
        assert await till.is_credited_once(invoice), steps


async def test_a_cashier_that_dies_while_opening_opens_one_invoice(till):
    plan = await plans.by_code(till.db, "monthly")
    for steps in range(8):
        invoice = await billing.buy(till.db, till.cast.bob.id, plan, "btcpay")
        await till.work(lives=steps)
        assert (await till.invoice(invoice.id)).processor_ref is not None
        assert len(till.btcpay.invoices) == steps + 1
        await till.db.execute("update invoice set expires_at = now()")


@pytest.mark.parametrize("processor", ["btcpay", "stripe"])
async def test_with_every_webhook_lost_the_credit_comes_within_ninety_seconds(till, processor):
    """The schedule looks every 30 seconds, and skips what it looked at less than 25 ago: at worst the third look finds it."""
    invoice = await till.buy(processor)
    await till.look()
    till.btcpay.pay(invoice.processor_ref, confirmed=True) if processor == "btcpay" else till.stripe.pay(
        invoice.processor_ref
    )
    looks = 0
    while (await till.invoice(invoice.id)).state != "paid":
        await till.look()
        looks += 1
        assert looks * 30 <= 90
    assert await till.is_credited_once(invoice)


async def test_two_hundred_open_invoices_are_all_looked_at_in_one_round(till):
    invoice = await till.buy()
    await till.db.execute(
        """
        insert into invoice (account_id, plan_id, processor, processor_ref, amount_cents, currency, credits, expires_at)
        select account_id, plan_id, processor, 'gone' || n, amount_cents, currency, credits, expires_at
        from invoice, generate_series(1, 200) as n where id = $1
        """,
        invoice.id,
    )
    till.btcpay.pay(invoice.processor_ref, confirmed=True)
    await till.look()
    assert await till.is_credited_once(invoice)
    assert await till.db.fetchval("select count(*) from invoice where checked_at is null") == 0
