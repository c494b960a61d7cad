"""Writing to many people from the admin, and how anybody ends it for themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from limner.actors import herald
from limner.sql import broadcasts, news
from tests.conftest import held
from tests.http.conftest import serving

FORM = {
    "subject_en": "News <b>here</b>", "body_en": "Hello.\n\n- **one**\n- [two](https://art.example/plans)", "segment": "all",
    "plan": "", "per_minute": "600",
}  # fmt: skip


@pytest.fixture
async def mailing(dsn: str, tmp_path: Path, db):
    """A site with a mail server in its settings."""
    about = {"smtp_host": "127.0.0.1", "smtp_port": 1, "smtp_tls": "none", "mail_from": "studio@art.example"}
    async with held(serving(dsn, tmp_path, db, **about)) as served:
        yield served


@pytest.fixture
async def carols(mailing, cast):
    return await mailing.browser(cast.carol)


async def written(browser, **fields: str) -> str:
    page = await browser.act("/admin/broadcasts", FORM | fields)
    assert page.status == 303, page.text
    return page.location


async def begun(browser, place: str):
    """Agreed to as it is shown."""
    seen = (await browser.get(f"{place}/beginning")).values("as_seen")[0]
    return await browser.post(f"{place}/beginning", {"people": "3", "as_seen": seen, "reason": "news"})


async def test_it_is_written_seen_tried_and_sent_in_two_steps(mailing, carols, cast, db):
    place = await written(carols, subject_ru="Новости", body_ru="Здравствуйте.")
    seen = await carols.get(place)
    assert "<strong>one</strong>" in seen.text and '<a href="https://art.example/plans">two</a>' in seen.text
    assert "News &lt;b&gt;here&lt;/b&gt;" in seen.text and "Здравствуйте." in seen.text and "To 3 people" in seen.text
    assert (await carols.post(f"{place}/trial")).location == place
    assert await db.fetchval("select recipient from notice where template = 'broadcast'") == "carol@example.com"
    asked = await carols.get(f"{place}/beginning")
    assert asked.values("people") == ["3"] and "Send it to 3" in asked.text
    refused = await carols.post(f"{place}/beginning", {"people": "3", "reason": ""})
    assert refused.status == 400 and "Reason is missing" in refused.text
    assert await db.fetchval("select state from broadcast") == "draft"
    agreed = {"people": "3", "as_seen": asked.values("as_seen")[0]}
    begun = await carols.post(f"{place}/beginning", agreed | {"reason": "a new painter"})
    assert (begun.status, begun.location) == (303, place)
    assert await herald.spread(db, mailing.config) == 3
    shown = (await carols.get(place)).text
    assert "sending" in shown and "Stop it" in shown
    act = await db.fetchrow(
        "select actor, action, after from audit where action like 'broadcast.%' order by id desc limit 1"
    )
    assert (act["actor"], act["action"], act["after"]["people"]) == ("carol@example.com", "broadcast.begin", 3)


async def test_it_is_stopped_and_goes_on(mailing, carols, cast, db):
    place = await written(carols)
    await begun(carols, place)
    await herald.spread(db, mailing.config)
    assert (await carols.post(f"{place}/stop", {"reason": ""})).status == 400
    assert (await carols.post(f"{place}/stop", {"reason": "a typo"})).status == 303
    assert await db.fetchval("select count(*) from notice") == 0
    assert "to 3 who have not got it" in (await carols.get(place)).text
    assert (await carols.post(f"{place}/continuation", {"reason": "put right"})).status == 303
    assert await db.fetchval("select state from broadcast") == "sending"
    assert (await carols.post(f"{place}/words", FORM)).status == 400
    assert (await carols.post(f"{place}/removal")).status == 400


async def test_what_was_rewritten_meanwhile_is_looked_at_again(carols, cast, db):
    place = await written(carols)
    seen = (await carols.get(f"{place}/beginning")).values("as_seen")[0]
    assert (await carols.post(f"{place}/words", FORM | {"subject_en": "Another"})).status == 303
    for old in (seen, ""):
        page = await carols.post(f"{place}/beginning", {"people": "3", "as_seen": old, "reason": "news"})
        assert page.status == 400 and "It was changed meanwhile" in page.text and "Another" in page.text
    assert await db.fetchval("select state from broadcast") == "draft"
    assert (await begun(carols, place)).status == 303


async def test_a_draft_is_changed_and_thrown_away(carols, db, cast):
    place = await written(carols)
    form = FORM | {"segment": "plan", "plan": "monthly", "subject_en": "Another", "per_minute": "5"}
    assert (await carols.post(f"{place}/words", form)).status == 303
    shown = (await carols.get(place)).text
    assert "with the plan Monthly" in shown and "Another" in shown and "To 1 person" in shown
    assert (await carols.post(f"{place}/removal")).location == "/admin/broadcasts"
    assert (await carols.get(place)).status == 404


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"segment": "rich"}, "There is no segment &#39;rich&#39;"),
        ({"segment": "plan", "plan": "gold"}, "There is no plan &#39;gold&#39;"),
        ({"per_minute": "0"}, "from 1 to 6000, not &#39;0&#39;"),
        ({"per_minute": "x"}, "not &#39;x&#39;"),
        ({"body_en": " "}, "The body in English is missing"),
        ({"body_ru": "только текст"}, "The subject in Русский is missing"),
        ({"subject_en": "x" * 121}, "at most 120 characters, not 121"),
    ],
)
async def test_what_cannot_be_is_refused_and_what_was_typed_stays(carols, cast, db, fields, said):
    page = await carols.act("/admin/broadcasts", FORM | {"subject_zh": "留下", "body_zh": "内容"} | fields)
    assert page.status == 400 and said in page.text and "留下" in page.text
    assert await db.fetchval("select count(*) from broadcast") == 0


async def test_without_a_mail_server_nothing_is_begun(site, carol, cast, db):
    place = await written(carol)
    assert "No mail server is set up" in (await carol.get(f"{place}/beginning")).text
    page = await begun(carol, place)
    assert page.status == 400 and "nobody would get it" in page.text


async def test_alice_ends_it_on_her_account_page_and_begins_it_again(site, alice, cast, db):
    assert 'name="wanted" value="yes" checked' in (await alice.get("/account")).text
    await alice.post("/account/news", {})
    assert not await news.is_wanted(db, cast.alice.id)
    assert 'name="wanted" value="yes" checked' not in (await alice.get("/account")).text
    await alice.post("/account/news", {"wanted": "yes"})
    assert await news.is_wanted(db, cast.alice.id)


async def test_the_link_in_a_mail_ends_it_without_a_login_by_a_button_alone(site, stranger, cast, db):
    path = news.link(cast.bob.id, "", site.config.secret_keys)
    page = await stranger.get(path)
    assert page.status == 200 and "bob@example.com" in page.text and "Set-Cookie" not in page.headers
    assert await news.is_wanted(db, cast.bob.id)
    done = await stranger.send("POST", path)
    assert done.status == 200 and "That is all" in done.text
    assert not await news.is_wanted(db, cast.bob.id) and await news.is_wanted(db, cast.alice.id)


async def test_the_mail_programs_own_button_ends_it_too(site, cast, db):
    path = news.link(cast.bob.id, "", site.config.secret_keys)
    async with site.client.post(site.url + path, data={"List-Unsubscribe": "One-Click"}) as answer:
        assert answer.status == 200
    assert not await news.is_wanted(db, cast.bob.id)
    for wrong in (path[:-3], path + "x", "/unsubscribe/" + "A" * 43):
        async with site.client.post(site.url + wrong) as answer:
            assert answer.status == 404


async def test_a_draft_of_somebody_is_seen_by_support_and_sent_by_admins_alone(site, cast, carol, db):
    place = await written(carol)
    await db.execute("update account set role = 'support' where id = $1", cast.bob.id)
    bob = await site.browser(cast.bob)
    page = await bob.get(place)
    assert page.status == 200 and "One to me first" not in page.text
    assert (await bob.get(f"{place}/beginning")).status == 403
    assert len(await broadcasts.listing(db)) == 1
