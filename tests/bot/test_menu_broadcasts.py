"""The menu of broadcasts: written in a message, seen as it will be read, sent to as many as were agreed to, and stopped."""

from __future__ import annotations

from dataclasses import replace
from html import unescape
from uuid import UUID

import aiohttp
import pytest

from limner.actors import courier, herald
from limner.sql import broadcasts, plans
from tests.bot.conftest import dashboard, running, say, tap
from tests.bot.phone import acts, paired

TEXT = "News from us\n\nHello <all>.\n\n- **Faster** pictures\n- [The plans](https://art.example/plans)"


@pytest.fixture
def config(config):
    """With a mail server, which nobody asks here."""
    return config.model_copy(update={"smtp_host": "127.0.0.1", "smtp_port": 1})


@pytest.fixture
async def owner(db, config):
    return await paired(db, config)


async def written(owner, segment: str = "all") -> str:
    await owner.press(f"broadcasts:to:{segment}")
    await owner.say(TEXT)
    return next(data for data in owner.data if data.startswith("broadcasts:send:")).rpartition(":")[2]


async def test_it_is_written_seen_and_sent_after_a_yes_that_says_to_how_many(owner, cast, db, config):
    await owner.press("broadcasts")
    await owner.tap("Write one")
    await owner.tap("Everybody")
    assert "To 3 people." in owner.shown.text
    await owner.say("Only a subject")
    assert "The text is missing" in owner.shown.text
    await owner.say(TEXT)
    assert (
        "<b>News from us</b>\n\nHello &lt;all&gt;.\n\n- Faster pictures\n- The plans (https://art.example/plans)"
        in owner.shown.text
    )
    assert "It would go to 3, 0 of them by Telegram" in owner.shown.text
    await owner.tap("Send…")
    assert "to 3 people?" in owner.shown.text and await acts(db) == []
    await owner.yes()
    assert "Being sent" in owner.shown.text and "to come 3" in owner.shown.text
    assert await herald.spread(db, config) == 3
    await owner.tap("Refresh")
    assert "on the way 3 · to come 0" in owner.shown.text
    assert await acts(db) == [("bot 7", "broadcast.begin")]


async def test_a_refusal_above_the_longest_message_leaves_a_message_that_telegram_takes(owner, cast, db):
    """The phone looks at the length of all that it is shown; each of these counts twice."""
    draft = broadcasts.Draft({"en": broadcasts.Words("🎨" * 120, "🎨" * 3500)})
    which = await broadcasts.write(db, draft, actor="test")
    await owner.press(f"broadcasts:send:{which}")
    await broadcasts.rewrite(db, UUID(str(which)), replace(draft, per_minute=7))
    shown = await owner.yes()
    assert shown.text.startswith("❗ It was changed meanwhile") and "🎨" in shown.text


async def test_whoever_agrees_can_read_all_of_it_in_every_language(owner, cast, db):
    """The longest there may be, of what counts twice and of what has to be escaped."""
    longest = {"en": "<&> " * 875, "ru": "и так " * 583, "zh": "🖌🎨" * 1750}
    words = {each: broadcasts.Words(f"Subject {each}", body) for each, body in longest.items()}
    which = await broadcasts.write(db, broadcasts.Draft(words), actor="test")
    for owner.locale in longest:
        await owner.press(f"broadcasts:send:{which}")
        assert "Subject" in owner.shown.text
        yes = next(data for data in owner.data if data.startswith("yes:"))
        for language, name in (("en", "English"), ("ru", "Русский"), ("zh", "中文")):
            await owner.press(f"broadcasts:send:{which}")
            await owner.tap(f"📖 {name}")
            assert f"<b>Subject {language}</b>" in owner.shown.text
            read = unescape(owner.shown.text.partition("</b>\n\n")[2])
            while "▶" in owner.words:
                await owner.tap("▶")
                read += unescape(owner.shown.text.partition("</b>\n\n")[2])
            assert read.split() == longest[language].split(), language
    await owner.press(yes)
    assert [act for _, act in await acts(db)] == ["broadcast.begin"]


async def test_what_is_short_and_in_one_language_is_read_at_a_glance(owner, cast, db):
    which = await written(owner)
    await owner.press(f"broadcasts:send:{which}")
    assert "📖" not in str(owner.words)
    await owner.press(f"broadcasts:read:ru:0:{which}")
    assert "out of date" in owner.shown.toast


async def test_it_is_stopped_and_goes_on(owner, cast, db, config):
    which = await written(owner)
    await owner.tap("Send…")
    await owner.yes()
    await herald.spread(db, config)
    await owner.press(f"broadcasts:stop:{which}")
    await owner.yes()
    assert "Stopped" in owner.shown.text and "to come 3" in owner.shown.text
    assert await db.fetchval("select count(*) from notice") == 0
    await owner.tap("Go on")
    await owner.yes()
    await db.execute("update broadcast set paced_at = now() - interval '30 seconds'")
    assert await herald.spread(db, config) == 3
    assert [act for _, act in await acts(db)] == ["broadcast.begin", "broadcast.stop", "broadcast.go_on"]


async def test_only_who_sends_is_told_to_how_many_and_agrees_to_that(owner, cast, db):
    """People are counted for that one question: in a large studio it takes a while."""
    which = await written(owner)
    agreed = []
    for act in ("send", "away", "stop", "on"):
        await owner.press(f"broadcasts:{act}:{which}")
        what = await db.fetchval("select what from telegram_confirmation order by expires_at desc limit 1")
        agreed.append((act, what.get("people")))
    assert agreed == [("send", 3), ("away", None), ("stop", None), ("on", None)]


async def test_what_was_rewritten_between_question_and_yes_is_not_sent(owner, cast, db):
    which = await written(owner)
    await owner.press(f"broadcasts:send:{which}")
    assert "Hello &lt;all&gt;." in owner.shown.text
    yes = next(data for data in owner.data if data.startswith("yes:"))
    draft = broadcasts.Draft({"en": broadcasts.Words("News from us", "Quite another thing.")}, by_telegram=True)
    await broadcasts.rewrite(db, UUID(which), draft)
    await owner.press(yes)
    assert "changed meanwhile" in owner.shown.toast and "Quite another thing." in owner.shown.text
    assert await acts(db) == []


async def test_two_yeses_send_it_once(owner, cast, db):
    which = await written(owner)
    await owner.tap("Send…")
    first = next(data for data in owner.data if data.startswith("yes:"))
    await owner.press(f"broadcasts:send:{which}")
    await owner.yes()
    await owner.press(first)
    assert owner.shown.toast
    assert await acts(db) == [("bot 7", "broadcast.begin")]


async def test_a_draft_changes_its_pace_and_way_and_is_thrown_away(owner, cast, db):
    which = await written(owner, "without")
    await owner.tap("By mail alone")
    assert "By mail\n" in owner.shown.text
    await owner.tap("Pace")
    await owner.say("0")
    assert "From 1 to 6000 a minute" in owner.shown.text
    await owner.say("7")
    assert "7 a minute" in owner.shown.text
    await owner.press(f"broadcasts:away:{which}")
    await owner.yes()
    assert await broadcasts.listing(db) == []


async def test_it_goes_to_those_with_a_plan(owner, cast, db):
    plan = await plans.by_code(db, "monthly")
    await owner.press("broadcasts:to:plan")
    assert f"broadcasts:plan:{plan.id}" in owner.data
    await owner.tap("Monthly")
    assert "To 1 people" in owner.shown.text
    await owner.say(TEXT)
    assert "With the plan Monthly" in owner.shown.text
    for data in ("broadcasts:plan:999", "broadcasts:to:rich"):
        await owner.press(data)
        assert "out of date" in owner.shown.toast


async def test_who_is_no_owner_writes_to_nobody(db, config, cast, owner):
    which = await written(owner)
    for role in ("viewer", "operator"):
        await db.execute("update telegram_admin set role = $1", role)
        await owner.press(f"broadcasts:see:{which}")
        assert owner.data == (["broadcasts"] if role == "viewer" else owner.data)
        for data in (
            "new",
            "to:all",
            "to:plan",
            f"send:{which}",
            f"way:{which}",
            f"pace:{which}",
            f"away:{which}",
            f"stop:{which}",
        ):
            await owner.press(f"broadcasts:{data}")
            assert owner.shown.toast == "You may look, not change.", data
    assert await acts(db) == []


async def test_by_telegram_it_arrives_as_plain_text_once(fake, config, db, carol, cast):
    """The whole way, over real HTTP: written on Carol's phone, read on Bob's."""
    await db.execute(
        "insert into linked_sign_in (issuer, subject, account_id) values ('telegram', '1002', $1)", cast.bob.id
    )
    async with running(db, config):
        shown = await dashboard(fake)
        await tap(fake, shown, "broadcasts:to:all")
        draft = await say(fake, TEXT)
        [send] = [data for data in draft.buttons.values() if data.startswith("broadcasts:send:")]
        sure = await tap(fake, draft, send)
        [yes] = [data for data in sure.buttons.values() if data.startswith("yes:")]
        assert "Being sent" in (await tap(fake, draft, yes)).text
    assert await herald.spread(db, config) == 3
    async with aiohttp.ClientSession() as session:
        for _ in range(2):
            await courier.deliver(db, config, session)
    [told] = [call for call in fake.of("sendMessage") if call.args["chat_id"] == "1002"]
    assert told.text.startswith("News from us\n\nHello <all>.") and "parse_mode" not in told.args
