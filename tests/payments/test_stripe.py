"""Stripe: what becomes of a Checkout Session, and whose webhooks are believed."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta

import pytest

from limner.runtime.signatures import is_signed_lately, sign_at
from limner.sql import invoices, plans
from tests.payments.conftest import open_till
from tests.upstreams.stripe import KEY, SECRET, Script


async def test_a_session_is_opened_for_the_amount_and_the_order(till):
    invoice = await till.buy("stripe")
    session = till.session(invoice)
    assert (session.amount, session.currency, session.order) == (999, "usd", str(invoice.id))
    assert invoice.checkout_url == f"{till.stripe.base_url}/c/pay/{session.id}"
    assert int(invoice.expires_at.timestamp()) == session.expires_at


async def test_an_opening_that_is_repeated_gives_the_same_session(till):
    plan = await plans.by_code(till.db, "monthly")
    invoice = await invoices.create(till.db, till.cast.bob.id, plan, "stripe")
    way = till.cashier()._with(invoice)
    first, second = await way.open(invoice), await way.open(invoice)
    assert first == second and len(till.stripe.sessions) == 1
    assert (await way.find(invoice)).ref == first.ref


async def test_a_paid_session_is_credited_once(till):
    invoice = await till.buy("stripe")
    till.stripe.pay(invoice.processor_ref)
    for _ in range(3):
        assert await till.deliver_stripe(till.stripe.events[-1]) == 204
        await till.work()
        await till.look()
    assert await till.is_credited_once(invoice)


async def test_a_debit_that_takes_days_is_not_paid_yet_and_may_fail(till):
    good, bad = await till.buy("stripe"), None
    till.stripe.pay(good.processor_ref, delayed=True)
    await till.look()
    assert (await till.invoice(good.id)).state == "processing"
    till.stripe.confirm(good.processor_ref)
    await till.look()
    assert await till.is_credited_once(good)
    bad = await till.buy("stripe")
    till.stripe.pay(bad.processor_ref, delayed=True)
    till.stripe.fail(bad.processor_ref)
    await till.look()
    assert (await till.invoice(bad.id)).state == "invalid"
    assert await till.grants(bad) == 0


async def test_an_expired_session_closes_the_invoice(till):
    invoice = await till.buy("stripe")
    till.stripe.expire(invoice.processor_ref)
    await till.deliver_stripe(till.stripe.events[-1])
    await till.work()
    assert (await till.invoice(invoice.id)).state == "expired"


@pytest.mark.parametrize(
    "lie",
    [
        {"amount_total": 1}, {"amount_total": None}, {"amount_total": "999"}, {"currency": "eur"},
        {"client_reference_id": None}, {"client_reference_id": "another"},
    ],
)  # fmt: skip
async def test_a_paid_session_over_something_else_pays_nothing(till, lie):
    invoice = await till.buy("stripe")
    till.stripe.pay(invoice.processor_ref)
    till.session(invoice).lies = lie
    await till.look()
    await till.look()
    assert (await till.invoice(invoice.id)).trouble == "mismatch"
    assert await till.grants(invoice) == 0


async def test_every_signature_but_a_fresh_right_one_is_refused(till):
    invoice = await till.buy("stripe")
    till.stripe.pay(invoice.processor_ref)
    event = till.stripe.events[-1]
    body, now = json.dumps(event).encode(), int(time.time())
    right = sign_at(SECRET, body, now)
    moment, _, digest = right.partition(",")
    for signatures in (
        (), ("",), (right, right), (digest,), (moment,), (right.replace("v1=", "v0="),), (f"t={now + 1},{digest}",),
        (right[:-1],), (right.upper(),), (f"{moment},{right}",), (sign_at("", body, now),), (sign_at("x", body, now),),
        (sign_at(SECRET, body, now - 301),), (sign_at(SECRET, body, now + 400),), (f"t=,{digest}",), (f"t=-1,{digest}",),
        (f"t={'9' * 40},{digest}",), (sign_at(SECRET, body + b" ", now),),
    ):  # fmt: skip
        assert await till.deliver_stripe(event, signatures=signatures) == 401, signatures
    assert await till.db.fetchval("select count(*) from payment_event") == 0
    for signatures in ((right,), (f"{moment},v1=00,{digest}",), (sign_at(SECRET, body, now - 200),)):
        assert await till.deliver_stripe(event, signatures=signatures) == 204


def test_an_empty_secret_signs_nothing():
    assert not is_signed_lately("", b"{}", sign_at("", b"{}", 1000), 1000)
    assert is_signed_lately("a secret", b"{}", sign_at("a secret", b"{}", 1000), 1300)
    assert not is_signed_lately("a secret", b"{}", sign_at("a secret", b"{}", 1000), 1301)


async def test_without_a_secret_nobody_is_believed(dsn, tmp_path, db, cast):
    for change in ({"stripe_webhook_secret": ""}, {"stripe_api_key": None}):
        async with open_till(dsn, tmp_path, db, cast, **change) as till:
            for secret in ("", SECRET):
                assert await till.deliver_stripe({"id": "evt", "type": "x"}, secret=secret) == 503


async def test_events_about_other_things_are_taken_and_forgotten(till):
    charge = {"id": "evt_1", "type": "charge.succeeded", "data": {"object": {"object": "charge", "id": "ch_1"}}}
    assert await till.deliver_stripe(charge) == 204
    session = {"object": "checkout.session", "id": "cs_of_another_shop", "client_reference_id": None}
    assert (
        await till.deliver_stripe({"id": "evt_2", "type": "checkout.session.completed", "data": {"object": session}})
        == 503
    )
    for nonsense in ({}, {"id": "e"}, {"id": "e", "type": "t"}, {"id": "e", "type": "t", "data": []}):
        assert await till.deliver_stripe(nonsense) == 400
    assert await till.db.fetchval("select count(*) from payment_event") == 0


async def test_fifty_webhooks_at_once_pay_once(till):
    invoice = await till.buy("stripe")
    till.stripe.pay(invoice.processor_ref)
    paid = till.stripe.events[-1]
    events = [paid | {"id": f"evt_{n % 10}"} for n in range(50)]
    assert set(await asyncio.gather(*(till.deliver_stripe(event) for event in events))) == {204}
    fresh = await till.invoice(invoice.id)
    await asyncio.gather(*(till.cashier().check(fresh) for _ in range(10)), till.work())
    assert await till.is_credited_once(invoice)
    assert await till.db.fetchval("select count(*) from payment_event") == 10


@pytest.mark.parametrize(
    "answer", [Script(503), Script(act="drop"), Script(body=b"x"), Script(body={}), Script(401, {})]
)
async def test_nothing_runs_out_while_stripe_cannot_be_asked(till, answer):
    invoice = await till.buy("stripe")
    till.stripe.always(KEY, answer)
    await till.pass_by("4 hours")
    await till.look()
    assert (await till.invoice(invoice.id)).state == "pending"
    del till.stripe.standing[KEY]
    till.stripe.pay(invoice.processor_ref)
    await till.pass_by("2 hours")
    await till.look()
    assert await till.is_credited_once(invoice)


async def test_a_renewal_that_is_open_for_days_gets_a_new_session_each_day(till):
    plan, until = await plans.by_code(till.db, "monthly"), datetime.now(UTC) + timedelta(hours=72)
    made = await invoices.make(till.db, till.cast.bob.id, plan, "stripe", purpose="renewal", until=until)
    await till.cashier().open(made)
    first = await till.invoice(made.id)
    assert first.expires_at == made.expires_at, "the session's day is not the invoice's"
    till.stripe.expire(first.processor_ref)
    till.stripe.sessions[first.processor_ref].created -= 24 * 3600
    await till.pass_by("24 hours")
    await till.look()
    second = await till.invoice(made.id)
    assert (second.state, len(till.stripe.sessions)) == ("pending", 2)
    assert second.processor_ref != first.processor_ref
    till.stripe.pay(second.processor_ref)
    await till.look()
    assert await till.grants(made) == 1


async def test_a_renewal_is_open_at_btcpay_until_the_period_ends(till):
    plan, until = await plans.by_code(till.db, "monthly"), datetime.now(UTC) + timedelta(hours=72)
    made = await invoices.make(till.db, till.cast.bob.id, plan, "btcpay", purpose="renewal", until=until)
    await till.cashier().open(made)
    found = await till.invoice(made.id)
    assert till.there(found).checkout["expirationMinutes"] == 72 * 60
    assert found.expires_at == made.expires_at
