"""Trials: a few credits for a new account, once, and for nobody who makes accounts by the dozen."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.runtime.errors import Refused
from limner.sql import accounts, billing, generations, invoices, ledger, plans, subscriptions, trials
from limner.sql.generations import Order
from limner.sql.models import Size
from limner.sql.places import household, mail_key, subnet
from limner.sql.trials import TrialRefused
from tests.codes.conftest import crowd, sound

HOME = "192.0.2.7"


@pytest.fixture
def trying(config):
    return config.model_copy(update={"trial_credits": 3, "trial_days": 7})


async def test_bob_tries_and_may_paint_without_having_paid(db, cast, trying):
    await trials.claim(db, cast.bob, HOME, trying)
    subscription = await subscriptions.open_one(db, cast.bob.id)
    assert (subscription.plan.code, subscription.days_left, subscription.cycle_credits) == ("trial", 7, 3)
    await generations.order(db, Order(cast.bob.id, "a boat", "demo", Size(512, 512), count=3), deadline=60)
    assert (await ledger.balance(db, cast.bob.id)).available == 0
    with pytest.raises(ledger.QuotaExhausted):
        await generations.order(db, Order(cast.bob.id, "a boat", "demo", Size(512, 512)), deadline=60)
    await sound(db)


async def test_the_trial_is_not_on_sale(db, cast, trying):
    await trials.claim(db, cast.bob, HOME, trying)
    assert [plan.code for plan in await plans.on_sale(db)] == ["monthly"]
    with pytest.raises(Refused):
        await plans.by_code(db, "trial")


async def test_a_plan_bought_during_the_trial_begins_when_it_ends_and_nothing_is_lost(db, cast, trying):
    await trials.claim(db, cast.bob, HOME, trying)
    ends = (await subscriptions.open_one(db, cast.bob.id)).period_end
    invoice = await billing.buy(db, cast.bob.id, await plans.by_code(db, "monthly"), "sandbox")
    await invoices.settle(db, invoice.id, actor="test")
    held = await subscriptions.open_one(db, cast.bob.id)
    assert 28 <= (held.period_end - ends).days <= 31
    assert (await ledger.balance(db, cast.bob.id)).available == 103


async def test_what_is_left_of_a_trial_ends_with_it(db, cast, trying):
    await trials.claim(db, cast.bob, HOME, trying)
    over = "update subscription set period_start = now() - interval '8 days', period_end = now() - interval '1 day'"
    await db.execute(f"{over} where account_id = $1", cast.bob.id)
    with pytest.raises(subscriptions.NoSubscription):
        await subscriptions.open_one(db, cast.bob.id)
    invoice = await billing.buy(db, cast.bob.id, await plans.by_code(db, "monthly"), "sandbox")
    await invoices.settle(db, invoice.id, actor="test")
    assert (await ledger.balance(db, cast.bob.id)).available == 100
    await sound(db)


async def test_without_the_setting_there_is_no_trial(db, cast, config):
    assert await trials.offer(db, cast.bob, config) is None
    with pytest.raises(TrialRefused, match="no trial here"):
        await trials.claim(db, cast.bob, HOME, config)


async def test_each_refusal_is_said_in_words(db, cast, trying):
    people = await crowd(db, 3, verified=False)
    with pytest.raises(TrialRefused, match="confirm your e-mail"):
        await trials.claim(db, people[0], HOME, trying)
    with pytest.raises(TrialRefused, match="you have had a plan"):
        await trials.claim(db, cast.alice, HOME, trying)
    await trials.claim(db, cast.bob, HOME, trying)
    with pytest.raises(TrialRefused, match="comes once"):
        await trials.claim(db, cast.bob, HOME, trying)
    assert await trials.offer(db, cast.bob, trying) is None


async def test_one_person_in_three_spellings_tries_once(db, trying):
    spellings = ("a.b@gmail.com", "ab+two@gmail.com", "A.B@googlemail.com")
    people = [await accounts.create(db, each, "none", role="user") for each in spellings]
    await db.execute("update account set verified_at = now()")
    found = []
    for number, each in enumerate(people):
        try:
            found.append(await trials.claim(db, await accounts.get(db, each.id), f"198.51.{number}.1", trying))
        except TrialRefused as why:
            found.append(str(why))
    assert found == [None, trials.SAME_MAIL, trials.SAME_MAIL]


async def test_an_address_a_network_and_a_day_have_their_limits(db, trying):
    wide = trying.model_copy(update={"trial_per_subnet": 2, "trial_per_day": 3})
    people = await crowd(db, 8)
    await trials.claim(db, people[0], "192.0.2.1", wide)
    with pytest.raises(TrialRefused, match="your address"):
        await trials.claim(db, people[1], "192.0.2.1", wide)
    await trials.claim(db, people[1], "192.0.2.2", wide)
    with pytest.raises(TrialRefused, match="your network"):
        await trials.claim(db, people[2], "192.0.2.3", wide)
    await trials.claim(db, people[2], "2001:db8::1", wide)
    with pytest.raises(TrialRefused, match="your address|today"):
        await trials.claim(db, people[3], "2001:db8::2", wide)
    with pytest.raises(TrialRefused, match="come back tomorrow"):
        await trials.claim(db, people[3], "203.0.113.1", wide)
    await sound(db)


async def test_twenty_accounts_at_once_from_one_address_get_one_trial(db, trying):
    people = await crowd(db, 20)
    found = await asyncio.gather(*(trials.claim(db, each, HOME, trying) for each in people), return_exceptions=True)
    assert found.count(None) == 1
    assert {str(each) for each in found if each} == {trials.FROM_HERE}
    await sound(db)


async def test_one_account_with_twenty_browsers_gets_one_trial(db, cast, trying):
    tries = (trials.claim(db, cast.bob, f"198.51.{number}.1", trying) for number in range(20))
    found = await asyncio.gather(*tries, return_exceptions=True)
    assert found.count(None) == 1
    assert (await ledger.balance(db, cast.bob.id)).available == 3
    await sound(db)


async def test_addresses_are_forgotten_after_a_month_and_then_count_no_more(db, trying):
    first, second = await crowd(db, 2)
    await trials.claim(db, first, HOME, trying)
    await db.execute("update trial set claimed_at = now() - interval '31 days'")
    await trials.claim(db, second, HOME, trying)
    assert await db.fetchval("select address || subnet from trial where account_id = $1", first.id) == ""


def test_which_spellings_of_a_mail_address_are_one():
    assert mail_key("A.B+news@Gmail.com") == mail_key("ab@googlemail.com") == "ab@gmail.com"
    assert mail_key("a.b@example.com") != mail_key("ab@example.com"), "elsewhere dots mean something"
    assert mail_key("a+x@example.com") == "a@example.com"
    assert mail_key("+@example.com") == "+@example.com"


@given(local=st.text("abc.+", min_size=1), domain=st.sampled_from(["gmail.com", "example.org"]))
def test_the_key_of_a_mail_address_is_its_own_key(local, domain):
    key = mail_key(f"{local}@{domain}")
    assert mail_key(key.upper()) == key


def test_which_addresses_are_one_network():
    assert subnet("192.0.2.77") == subnet("192.0.2.1") == subnet("::ffff:192.0.2.9") == "192.0.2.0/24"
    assert subnet("2001:db8::1") == subnet("2001:db8::ffff") != subnet("2001:db8:0:1::1")
    assert household("192.0.2.77") == "192.0.2.77"
    assert household("2001:db8::1") == household("2001:db8::2")
    assert subnet("") == "" and subnet("nonsense") == "nonsense"
