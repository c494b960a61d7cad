"""Ordering a picture: taken once, and when refused, the same page says why and nothing typed is lost or charged."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from limner.sql import throttles
from tests.http.conftest import available, hang


async def test_an_order_leads_to_its_thread_and_reserves_its_price(alice, db, cast):
    answer = await alice.order(prompt="a blue barn", count="3")
    assert answer.status == 303
    thread, _, anchor = answer.location.partition("#")
    assert anchor == f"generation-{thread.rpartition('/')[2]}"
    page = await alice.get(thread)
    assert page.text.count('class="shot"') == 3
    assert "a blue barn" in page.text
    assert await available(db, cast.alice) == 97


async def test_a_prompt_of_many_lines_is_counted_as_the_browser_counts_it(alice, db):
    assert (await alice.order(prompt="\r\n".join("x" * 2000))).status == 303
    assert await db.fetchval("select length(prompt) from generation") == 3999


async def test_a_thread_goes_on(alice, db):
    thread = (await alice.order()).location.partition("#")[0].rpartition("/")[2]
    second = await alice.order(prompt="the same in winter", thread=thread)
    assert second.location.startswith(f"/studio/{thread}#")
    assert await db.fetchval("select count(*) from generation where thread_id = $1", thread) == 2


async def test_the_composer_begins_with_what_was_asked_for_last(alice):
    answer = await alice.order(size="1344x768")
    page = await alice.get(answer.location.partition("#")[0])
    assert 'value="1344x768"' in page.text
    assert page.text.count("checked") == 3


REFUSALS = [
    ({"prompt": ""}, 400, "The description is missing."),
    ({"prompt": "   \n "}, 400, "The description is missing."),
    ({"prompt": "x" * 4001}, 400, "at most 4000 characters, not 4001"),
    ({"prompt": "a\x00b"}, 400, "characters that are not text"),
    ({"model": "nobody"}, 400, "no model"),
    ({"model": "gpt-image-2"}, 400, "no model"),
    ({"model": ""}, 400, "Model is missing."),
    ({"size": "1024"}, 400, "A size looks like 1024x1024"),
    ({"size": "-512x512"}, 400, "A size looks like 1024x1024"),
    ({"size": "513x513"}, 400, "not 513x513"),
    ({"size": "99999999x1"}, 400, "not 99999999x1"),
    ({"count": "0"}, 400, "from 1 to 10"),
    ({"count": "-1"}, 400, "from 1 to 10"),
    ({"count": "--1"}, 400, "from 1 to 10"),
    ({"count": "11"}, 400, "from 1 to 10"),
    ({"count": "1000000000"}, 400, "from 1 to 10"),
    ({"count": "1.5"}, 400, "from 1 to 10"),
    ({"count": "1e3"}, 400, "from 1 to 10"),
    ({"count": "NaN"}, 400, "from 1 to 10"),
    ({"count": "true"}, 400, "from 1 to 10"),
    ({"count": "٣"}, 400, "from 1 to 10"),
    ({"picture": "not-an-id"}, 400, "is not an id"),
    ({"thread": "not-an-id"}, 400, "is not an id"),
    ({"idempotency_key": "k" * 65}, 400, "at most 64 characters"),
]


async def test_each_refusal_is_told_on_the_same_page_and_nothing_is_lost(alice, db, cast):
    for change, status, words in REFUSALS:
        page = await alice.order(**{"prompt": "a lighthouse in a storm"} | change)
        typed = change.get("prompt", "a lighthouse in a storm").strip().replace("\x00", "")
        assert page.status == status, change
        assert words in page.text, change
        assert 'id="composer"' in page.text, change
        assert typed in page.text, change
    assert await available(db, cast.alice) == 100
    assert await db.fetchval("select count(*) from generation") == 0


async def test_without_a_plan_the_way_to_one_is_shown(bob, db, cast):
    page = await bob.order(prompt="a lighthouse in a storm")
    assert page.status == 402
    assert "Painting needs a plan" in page.text
    assert 'href="/plans"' in page.text
    assert "a lighthouse in a storm</textarea>" in page.text
    assert await db.fetchval("select count(*) from generation") == 0


async def test_an_ended_plan_says_so(alice, db):
    await db.execute("update subscription set period_end = now() - interval '1 second'")
    page = await alice.order()
    assert (page.status, "Your plan has ended" in page.text) == (402, True)


async def test_more_than_what_is_left_is_refused_whole(alice, db, cast):
    await db.execute("insert into ledger_entry (account_id, kind, credits) values ($1, 'adjust', -98)", cast.alice.id)
    page = await alice.order(count="3")
    assert (page.status, "not enough credits" in page.text) == (402, True)
    assert await available(db, cast.alice) == 2
    assert await db.fetchval("select count(*) from job") == 0


async def test_many_orders_at_once_never_spend_more_than_there_is(alice, db, cast):
    await db.execute("insert into ledger_entry (account_id, kind, credits) values ($1, 'adjust', -93)", cast.alice.id)
    await alice.csrf()
    answers = await asyncio.gather(*(alice.order() for _ in range(20)))
    assert sorted(answer.status for answer in answers) == [303] * 7 + [402] * 13
    assert await available(db, cast.alice) == 0


async def test_an_extra_field_changes_nothing(alice, db):
    await alice.order(credits="0", account_id=str(uuid4()), state="delivered", role="admin", seed="1")
    row = await db.fetchrow(
        "select g.state, g.credits, a.email, a.role from generation g join account a on a.id = account_id"
    )
    assert tuple(row) == ("queued", 1, "alice@example.com", "user")


async def test_the_same_order_sent_twice_is_one_order(alice, db, cast):
    await alice.csrf()
    answers = await asyncio.gather(*(alice.order(idempotency_key="once") for _ in range(5)))
    assert len({answer.location for answer in answers}) == 1
    assert await available(db, cast.alice) == 99


async def test_a_key_that_was_used_for_another_order_is_refused(alice, db):
    await alice.order(idempotency_key="once")
    page = await alice.order(idempotency_key="once", prompt="something else")
    assert (page.status, "used for another order" in page.text) == (422, True)
    assert "something else</textarea>" in page.text
    assert page.values("idempotency_key") != ["once"]
    assert await db.fetchval("select count(*) from generation") == 1


async def test_the_same_key_of_two_people_is_two_orders(alice, site, cast):
    await alice.order(idempotency_key="once")
    await site.db.execute("update subscription set account_id = $1", cast.carol.id)
    await site.db.execute("insert into ledger_entry (account_id, kind, credits) values ($1, 'grant', 5)", cast.carol.id)
    carol = await site.browser(cast.carol)
    assert (await carol.order(idempotency_key="once")).status == 303


async def test_an_order_that_comes_too_often_says_when_to_come_back(alice, db, cast):
    for _ in range(throttles.ORDER_BY_ACCOUNT.burst):
        await throttles.take(db, throttles.ORDER_BY_ACCOUNT, f"order {cast.alice.id}")
    page = await alice.order(prompt="a lighthouse in a storm")
    assert (page.status, page.headers["Retry-After"]) == (429, "1")
    assert "a lighthouse in a storm</textarea>" in page.text


async def test_a_strangers_thread_is_neither_continued_nor_shown(alice, bob, carol, db):
    thread = (await alice.order(prompt="alice's secret garden")).location.partition("#")[0].rpartition("/")[2]
    for somebody in (bob, carol):
        for change in ({}, {"count": "0"}, {"prompt": ""}):
            page = await somebody.order(thread=thread, **change)
            assert page.status == 404
            assert "secret garden" not in page.text
    assert await db.fetchval("select count(*) from generation") == 1


async def test_a_strangers_picture_is_no_reference(alice, site, cast, db):
    theirs = (await hang(site, cast.bob))[0]
    assert (await alice.order(picture=str(theirs))).status == 404
    assert (await alice.order(picture=str(uuid4()))).status == 404
    assert str(theirs) not in (await alice.get(f"/studio?reference={theirs}")).text
    assert await db.fetchval("select count(*) from generation where account_id = $1", cast.alice.id) == 0


async def test_an_earlier_picture_is_a_reference_and_stays_chosen_after_a_refusal(alice, site, cast):
    mine = (await hang(site, cast.alice))[0]
    assert (await alice.get(f"/studio?reference={mine}")).values("picture") == [str(mine)]
    refused = await alice.order(picture=str(mine), count="0")
    assert refused.values("picture") == [str(mine)]
    taken = await alice.order(picture=str(mine))
    assert f"/pictures/{mine}/thumbnail" in (await alice.get(taken.location.partition("#")[0])).text


async def test_more_than_four_references_are_refused(alice, site, cast):
    mine = await hang(site, cast.alice, 5)
    fields = [("prompt", "a boat"), ("model", "demo"), ("size", "512x512"), *(("picture", str(one)) for one in mine)]
    page = await alice.post("/generations", fields)
    assert (page.status, "At most 4" in page.text) == (400, True)


async def test_what_has_not_begun_is_canceled_for_nothing(alice, db, cast):
    thread = (await alice.order(count="2")).location.partition("#")[0]
    answer = await alice.post(f"/generations/{thread.rpartition('/')[2]}/cancellation")
    assert answer.location.startswith(thread)
    assert "Canceled" in (await alice.get(thread)).text
    assert await available(db, cast.alice) == 100


async def test_a_notice_is_shown_once(alice):
    thread = (await alice.order()).location.partition("#")[0]
    await alice.post(f"/generations/{thread.rpartition('/')[2]}/cancellation")
    assert "What had not begun was not charged" in (await alice.get(thread)).text
    assert "What had not begun was not charged" not in (await alice.get(thread)).text


async def test_without_javascript_the_page_looks_again_by_itself_until_all_is_done(alice, db):
    thread = (await alice.order()).location.partition("#")[0]
    assert '<noscript><meta http-equiv="refresh"' in (await alice.get(thread)).text
    await alice.post(f"/generations/{thread.rpartition('/')[2]}/cancellation")
    assert "http-equiv" not in (await alice.get(thread)).text


async def test_a_studio_without_painters_says_so(alice, db):
    await db.execute("update provider_key set state = 'disabled'")
    page = await alice.get("/studio")
    assert (page.status, "No painter is at work" in page.text) == (200, True)
    assert (await alice.order()).status == 400
