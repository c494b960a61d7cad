"""BTCPay Server: what each of its states does to an invoice, and that only its own answer counts."""

from __future__ import annotations

import asyncio
import json

import pytest

from limner.actors.processors.base import Unreachable
from limner.runtime.signatures import sign
from limner.sql import invoices, plans, refundable
from tests.payments.conftest import open_till
from tests.upstreams.btcpay import KEY, SECRET, Script


async def test_an_invoice_is_opened_with_its_amount_order_and_ways_to_pay(till):
    invoice = await till.buy()
    asked = next(each for each in till.btcpay.asked if each.method == "POST")
    assert asked.fields["amount"] == "9.99" and asked.fields["metadata"]["orderId"] == str(invoice.id)
    assert asked.fields["checkout"]["speedPolicy"] == "MediumSpeed"
    assert asked.headers["authorization"] == f"token {KEY}"
    assert invoice.checkout_url == f"{till.btcpay.base_url}/i/{invoice.processor_ref}"
    assert invoice.ways[0]["method"] == "BTC-CHAIN" and invoice.ways[0]["link"].startswith("bitcoin:BC1Q")
    assert invoice.state == "pending"


async def test_an_invoice_whose_opening_was_lost_is_found_again(till):
    """The answer never came: BTCPay knows an invoice that we know nothing of."""
    plan = await plans.by_code(till.db, "monthly")
    invoice = await invoices.create(till.db, till.cast.bob.id, plan, "btcpay")
    way = till.cashier()._with(invoice)
    lost = await way.open(invoice)
    assert (await way.open(invoice)).ref == lost.ref
    await till.pass_by("2 minutes")
    await till.look()
    assert (await till.invoice(invoice.id)).processor_ref == lost.ref
    assert len(till.btcpay.invoices) == 1


async def test_what_is_seen_and_not_confirmed_grants_nothing(till):
    invoice = await till.buy()
    till.btcpay.pay(invoice.processor_ref)
    await till.look()
    assert (await till.invoice(invoice.id)).state == "processing"
    assert await till.grants(invoice) == 0


async def test_a_part_says_what_is_missing_and_the_rest_makes_it_whole(till):
    invoice = await till.buy()
    till.btcpay.pay(invoice.processor_ref, "4.00")
    await till.look()
    found = await till.invoice(invoice.id)
    assert (found.state, found.received_cents, found.missing_cents) == ("pending", 400, 599)
    assert "amount=0.0001198" in found.ways[0]["link"], "the QR code asks for the rest"
    till.btcpay.pay(invoice.processor_ref, confirmed=True)
    await till.look()
    assert await till.is_credited_once(invoice)


async def test_a_part_that_ran_out_waits_for_a_decision_and_the_rest_may_still_come(till):
    invoice = await till.buy()
    till.btcpay.pay(invoice.processor_ref, "4.00", confirmed=True)
    till.btcpay.expire(invoice.processor_ref)
    await till.look()
    found = await till.invoice(invoice.id)
    assert (found.state, found.trouble, found.received_cents) == ("expired", "partial", 400)
    assert "4.00 of 9.99 USD" in found.trouble_words
    assert await till.grants(invoice) == 0
    till.btcpay.pay(invoice.processor_ref, confirmed=True)
    await till.pass_by("10 minutes")
    await till.look()
    assert await till.is_credited_once(invoice)
    assert (await till.invoice(invoice.id)).trouble == ""


async def test_too_much_is_credited_once_and_the_rest_is_told(till):
    invoice = await till.buy()
    till.btcpay.pay(invoice.processor_ref, "15.00", confirmed=True)
    await till.look()
    found = await till.invoice(invoice.id)
    assert await till.is_credited_once(invoice)
    assert (await refundable.surplus(till.db, found), found.trouble) == (501, "over")


async def test_dust_is_nobodys_business(till):
    invoice = await till.buy()
    till.btcpay.pay(invoice.processor_ref, "10.4899", confirmed=True)
    await till.look()
    found = await till.invoice(invoice.id)
    assert (found.state, found.received_cents, found.trouble) == ("paid", 1048, "")


async def test_within_the_tolerance_it_is_enough(dsn, tmp_path, db, cast):
    async with open_till(dsn, tmp_path, db, cast, btcpay_tolerance=2) as till:
        enough, late = await till.buy(), None
        till.btcpay.pay(enough.processor_ref, "9.80", confirmed=True)
        await till.look()
        assert await till.is_credited_once(enough)
        late = await till.buy()
        till.btcpay.expire(late.processor_ref)
        till.btcpay.pay(late.processor_ref, "9.80", confirmed=True)
        await till.look()
        assert await till.grants(late) == 1


@pytest.mark.parametrize("is_old", [False, True])
async def test_late_is_credited_when_all_of_it_is_confirmed(till, is_old):
    till.btcpay.is_old = is_old
    invoice = await till.buy()
    till.btcpay.expire(invoice.processor_ref)
    await till.look()
    assert (await till.invoice(invoice.id)).state == "expired"
    till.btcpay.pay(invoice.processor_ref)
    await till.pass_by("10 minutes")
    await till.look()
    assert (await till.invoice(invoice.id)).state == "processing"
    assert await till.grants(invoice) == 0
    till.btcpay.confirm(invoice.processor_ref)
    await till.look()
    assert await till.is_credited_once(invoice)
    assert (await till.invoice(invoice.id)).is_late
    assert await till.audited("invoice.paid_late") == 1


async def test_what_was_marked_by_hand_over_there_counts_and_is_audited(till):
    invoice = await till.buy()
    till.btcpay.mark(invoice.processor_ref, "Settled")
    await till.look()
    assert await till.is_credited_once(invoice)
    assert await till.audited("invoice.marked_elsewhere") == 1


async def test_an_invalid_one_grants_nothing(till):
    invoice = await till.buy()
    till.btcpay.pay(invoice.processor_ref)
    till.btcpay.bounce(invoice.processor_ref)
    await till.look()
    assert (await till.invoice(invoice.id)).state == "invalid"
    assert await till.grants(invoice) == 0


async def test_what_turns_invalid_after_it_was_credited_is_frozen_and_told(till):
    invoice = await till.buy()
    till.btcpay.pay(invoice.processor_ref, confirmed=True)
    await till.look()
    assert await till.credits() == 100
    till.btcpay.bounce(invoice.processor_ref)
    for _ in range(3):
        await till.deliver(till.btcpay.again(till.btcpay.events[-1]) | {"originalDeliveryId": f"again{_}"})
        await till.work()
    found = await till.invoice(invoice.id)
    assert (found.state, found.trouble, found.frozen_credits) == ("paid", "doubted", 100)
    assert await till.credits() == 0
    till.btcpay.mark(invoice.processor_ref, "Settled")
    await till.deliver(till.btcpay.events[-1])
    await till.work()
    assert await till.is_credited_once(invoice), "the merchant says that it holds: all is as before"


LIES = (
    {"amount": "0.01"}, {"amount": "9.98"}, {"amount": "9.9900001"}, {"amount": "999"}, {"currency": "EUR"},
    {"storeId": "another"}, {"metadata": {"orderId": "another"}}, {"metadata": {}}, {"amount": None},
)  # fmt: skip


async def test_a_settled_invoice_over_something_else_pays_nothing(till):
    for lie in LIES:
        invoice = await till.buy()
        till.btcpay.pay(invoice.processor_ref, confirmed=True)
        till.there(invoice).lies = lie
        await till.deliver(till.btcpay.events[-1])
        await till.work()
        await till.look()
        assert await till.effects(invoice) == ("pending", 0, 0, 0), lie
        assert (await till.invoice(invoice.id)).trouble == "mismatch"
        await till.db.execute("update invoice set state = 'canceled'")
    assert await till.audited("invoice.mismatch") == len(LIES), "told once each, however often it is looked at"


async def test_a_signed_settled_without_a_settled_invoice_pays_nothing(till):
    invoice = await till.buy()
    event = till.btcpay.events[0] | {"type": "InvoiceSettled", "deliveryId": "x", "originalDeliveryId": "x"}
    assert await till.deliver(event) == 204
    await till.work()
    assert await till.grants(invoice) == 0


NO_ANSWERS = (
    Script(503), Script(429, headers={"Retry-After": "7"}), Script(act="drop"), Script(act="cut"), Script(act="flood"),
    Script(body=b"<html>"), Script(body=[]), Script(body={}), Script(body=b""), Script(302, headers={"Location": "/x"}),
    Script(body={"id": "x", "status": "Perhaps", "amount": "9.99", "currency": "USD", "storeId": "s"}),
    Script(401, {"message": "no"}),
)  # fmt: skip


async def test_nothing_runs_out_while_the_processor_cannot_be_asked(till):
    for answer in NO_ANSWERS:
        invoice = await till.buy()
        till.btcpay.always(KEY, answer)
        await till.pass_by("5 hours")
        await till.look()
        assert (await till.invoice(invoice.id)).state == "pending", answer
        with pytest.raises(Unreachable):
            await till.cashier().check(await till.invoice(invoice.id))
        del till.btcpay.standing[KEY]
        till.btcpay.pay(invoice.processor_ref, confirmed=True)
        await till.pass_by("2 hours")
        await till.look()
        assert await till.is_credited_once(invoice), "its final word beats our clock"


async def test_one_that_was_never_opened_runs_out_only_after_the_processor_was_asked(till):
    till.btcpay.always(KEY, Script(503))
    plan = await plans.by_code(till.db, "monthly")
    invoice = await invoices.create(till.db, till.cast.bob.id, plan, "btcpay")
    await till.pass_by("2 hours")
    await till.look()
    assert (await till.invoice(invoice.id)).state == "pending"
    del till.btcpay.standing[KEY]
    await till.pass_by("2 hours")
    await till.look()
    assert (await till.invoice(invoice.id)).state == "expired"
    assert till.btcpay.invoices == {}


async def test_a_processor_that_is_down_does_not_hold_up_the_other(till):
    crypto, card = await till.buy("btcpay"), await till.buy("stripe")
    till.btcpay.always(KEY, Script(503))
    till.stripe.pay(card.processor_ref)
    await till.look()
    assert (await till.invoice(card.id)).state == "paid"
    assert (await till.invoice(crypto.id)).state == "pending"


async def test_its_webhook_needs_the_one_right_signature(till):
    invoice = await till.buy()
    till.btcpay.pay(invoice.processor_ref, confirmed=True)
    event = till.btcpay.events[-1]
    body = json.dumps(event).encode()
    right = sign(SECRET, body)
    for signatures in (
        (), ("",), (right[:-1],), (right.upper(),), (right.removeprefix("sha256="),), (right.replace("sha256", "sha1"),),
        (right, right), (sign("", body),), (sign("another", body),), (f"{right},{right}",),
    ):  # fmt: skip
        assert await till.deliver(event, signatures=signatures) == 401, signatures
    assert await till.db.fetchval("select count(*) from payment_event") == 0
    assert await till.db.fetchval("select count(*) from message where mailbox = 'billing'") == 0
    assert await till.deliver(event) == 204


async def test_another_store_an_unknown_invoice_and_a_test_of_the_endpoint(till):
    await till.buy()
    event = till.btcpay.events[0]
    assert await till.deliver(event | {"storeId": "another"}) == 400
    unknown = event | {"invoiceId": "nobody's", "metadata": {"orderId": "order-7"}, "originalDeliveryId": "n"}
    assert await till.deliver(unknown) == 503
    assert await till.deliver({"type": "Test", "storeId": event["storeId"]}) == 204
    assert await till.db.fetchval("select count(*) from payment_event") == 0


async def test_a_webhook_may_be_faster_than_the_name_of_what_it_is_about(till):
    plan = await plans.by_code(till.db, "monthly")
    invoice = await invoices.create(till.db, till.cast.bob.id, plan, "btcpay")
    opened = await till.cashier()._with(invoice).open(invoice)
    till.btcpay.pay(opened.ref, confirmed=True)
    assert await till.deliver(till.btcpay.events[-1]) == 204
    await till.work()
    assert await till.is_credited_once(invoice)


async def test_fifty_webhooks_at_once_pay_once(till):
    invoice = await till.buy()
    till.btcpay.pay(invoice.processor_ref, confirmed=True)
    settled = till.btcpay.events[-1]
    events = [till.btcpay.again(settled) for _ in range(40)] + [
        settled | {"deliveryId": f"d{n}", "originalDeliveryId": f"d{n}"} for n in range(10)
    ]
    assert set(await asyncio.gather(*(till.deliver(event) for event in events))) == {204}
    assert await till.db.fetchval("select count(*) from payment_event") == 11
    fresh = await till.invoice(invoice.id)
    await asyncio.gather(*(till.cashier().check(fresh) for _ in range(10)), till.work())
    assert await till.is_credited_once(invoice)


@pytest.mark.parametrize(
    "change", [{"btcpay_webhook_secret": None}, {"btcpay_webhook_secret": ""}, {"btcpay_url": None}]
)
async def test_without_a_secret_nobody_is_believed_and_asking_still_credits(dsn, tmp_path, db, cast, change):
    async with open_till(dsn, tmp_path, db, cast, **change) as till:
        for secret in ("", SECRET):
            assert await till.deliver({"invoiceId": "x"}, secret=secret) == 503
        if "btcpay_url" not in change:
            invoice = await till.buy()
            till.btcpay.pay(invoice.processor_ref, confirmed=True)
            await till.look()
            assert await till.is_credited_once(invoice)


async def test_an_invoice_of_the_one_is_not_paid_by_the_word_of_the_other(till):
    invoice = await till.buy("stripe")
    event = {
        "invoiceId": invoice.processor_ref, "storeId": till.site.config.btcpay_store, "type": "InvoiceSettled",
        "deliveryId": "d", "metadata": {"orderId": str(invoice.id)},
    }  # fmt: skip
    assert await till.deliver(event) == 503
    assert await till.grants(invoice) == 0
