"""Broadcasts: each person once, whatever is killed; who does not want them gets none; the pace and a stop hold."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace

import aiohttp
import anyio
import pytest
from pydantic import SecretStr

from limner.actors import courier, herald, postman
from limner.actors.mail import bulletins
from limner.runtime.errors import Refused
from limner.sql import (
    accounts,
    broadcasts,
    deliveries,
    erasure,
    invoices,
    mails,
    news,
    notices,
    plans,
    portions,
    segments,
    spreading,
)
from limner.sql.broadcasts import Draft, Words
from limner.sql.spreading import Ways
from tests.upstreams.telegram import TOKEN, telegram

ENGLISH = Words("News from the studio", "Hello.\n\n- **Faster** pictures\n- See [the plans](https://art.example/plans)")
RUSSIAN = Words("Новости студии", "Здравствуйте.\n\nКартины стали быстрее.")
BY_MAIL = Ways(mail=True, telegram=False)


async def crowd(db, count: int) -> None:
    """People whose addresses are confirmed and who have no plan."""
    await db.execute(
        "insert into account (email, password_hash, verified_at)"
        " select 'p' || n || '@example.com', 'x', now() from generate_series(1, $1::int) as n",
        count,
    )


async def begun(db, *, ways: Ways = BY_MAIL, people: int = 10_000, **about) -> broadcasts.Broadcast:
    draft = Draft(**({"words": {"en": ENGLISH}, "per_minute": 6000} | about))
    broadcast_id = await broadcasts.write(db, draft, actor="carol@example.com")
    seen = (await broadcasts.get(db, broadcast_id)).as_it_is
    about = {"people": people, "as_seen": seen, "actor": "carol@example.com"}
    return await spreading.begin(db, broadcast_id, ways, "a new painter", **about)


async def all_spread(db, config) -> int:
    """Every portion, as if time went by between them."""
    count = 0
    while await portions.under_way(db):
        await db.execute("update broadcast set paced_at = now() - interval '30 seconds'")
        count += await herald.spread(db, config)
        await postman.deliver(db, config)
    return count


async def named(db, *emails: str) -> list[accounts.Account]:
    return [account for email in emails if (account := await accounts.find(db, email))]


def recipients(server) -> list[str]:
    return sorted(mail.recipients[0] for mail in server.got)


async def test_everybody_gets_it_once_in_their_language(server, db, config, cast):
    await accounts.set_locale(db, cast.alice.id, "ru")
    await accounts.set_locale(db, cast.bob.id, "zh")
    found = await begun(db, words={"en": ENGLISH, "ru": RUSSIAN})
    assert found.people == 3 and await all_spread(db, config) == 3
    assert recipients(server) == ["alice@example.com", "bob@example.com", "carol@example.com"]
    subjects = {mail.recipients[0]: mail.message["Subject"] for mail in server.got}
    assert subjects["alice@example.com"] == RUSSIAN.subject and subjects["bob@example.com"] == ENGLISH.subject
    assert (await broadcasts.get(db, found.id)).state == "done"
    assert await spreading.progress(db, found.id) == spreading.Progress(0, 0, 3, 0, 0)
    acts = await db.fetch("select actor, action, before, after from audit where action like 'broadcast.%' order by id")
    assert [(row["actor"], row["action"]) for row in acts] == [
        ("carol@example.com", "broadcast.begin"), ("herald", "broadcast.done"),
    ]  # fmt: skip
    assert acts[0]["before"] == {"state": "draft"} and acts[0]["after"]["people"] == 3
    assert acts[0]["after"]["reason"] == "a new painter"


async def test_a_mail_says_what_was_typed_and_how_to_end_it(server, db, config, cast):
    await begun(db)
    await all_spread(db, config)
    mail = next(mail for mail in server.got if mail.recipients == ["bob@example.com"])
    link = news.link(cast.bob.id, "https://art.example", config.secret_keys)
    assert mail.message["List-Unsubscribe"].replace("\n", "").replace(" ", "") == f"<{link}>"
    assert mail.message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    html = mail.part("html")
    assert "<strong>Faster</strong> pictures" in html and '<a href="https://art.example/plans">the plans</a>' in html
    assert f'href="{link}"' in html and link in mail.part("plain") and "- Faster pictures" in mail.part("plain")
    assert "the plans (https://art.example/plans)" in mail.part("plain")


async def test_what_was_typed_cannot_leave_its_place(db, config, cast):
    wicked = Words(
        "Win\u202e <b>", '<script>x</script> [a](javascript:alert(1)) [b](https://e.x/"onload="1)\x07 {{ stop }}'
    )
    found = await begun(db, words={"en": wicked})
    letter = bulletins.write(found, "en", "https://art.example", "https://art.example/unsubscribe/x")
    assert letter.subject == "Win <b>" and "<script>" not in letter.html and "\x07" not in letter.html
    assert 'href="javascript' not in letter.html and 'onload="1' not in letter.html and "{{ stop }}" in letter.text


async def test_a_trial_goes_to_its_author_alone_and_says_so(server, db, config, cast):
    broadcast_id = await broadcasts.write(db, Draft({"en": ENGLISH}), actor="carol@example.com")
    await broadcasts.try_out(db, broadcast_id, cast.carol)
    await postman.deliver(db, config)
    assert recipients(server) == ["carol@example.com"]
    assert server.got[0].message["Subject"] == "Trial: News from the studio"
    assert (await broadcasts.get(db, broadcast_id)).state == "draft"


async def test_each_segment_has_its_people(db, cast):
    await crowd(db, 4)
    monthly = await plans.by_code(db, "monthly")
    lapsed, unverified, banned, gone = await named(db, *(f"p{n}@example.com" for n in range(1, 5)))
    invoice = await invoices.create(db, lapsed.id, monthly, "sandbox")
    await db.execute("update invoice set state = 'paid', paid_at = now() where id = $1", invoice.id)
    await db.execute("update account set verified_at = null where id = $1", unverified.id)
    await accounts.ban(db, banned, "spam", actor="test")
    await erasure.erase(db, gone.id, actor="cli", why="asked")
    everybody = {"alice", "bob", "carol", "p1"}
    wanted = {
        ("all", None): everybody, ("running", None): {"alice"}, ("without", None): everybody - {"alice"},
        ("plan", monthly.id): {"alice"}, ("plan", 999): set(), ("never", None): everybody, ("lapsed", None): {"p1"},
    }  # fmt: skip
    for (segment, plan), people in wanted.items():
        assert await segments.count(db, segment, plan) == (len(people), 0), segment
    assert set(segments.NAMES) == {segment for segment, _ in wanted}
    found = await begun(db, segment="lapsed")
    assert found.people == 1
    assert not await portions.enlist(db, found.id)
    [row] = await db.fetch("select account_id from broadcast_recipient where broadcast_id = $1", found.id)
    assert row["account_id"] == lapsed.id


async def test_who_says_no_half_way_gets_none(server, db, config, cast):
    await crowd(db, 5)
    no, banned, gone, unsure, late = await named(db, *(f"p{n}@example.com" for n in range(1, 6)))
    found = await begun(db)
    await portions.enlist(db, found.id)
    await news.choose(db, no.id, wanted=False)
    await accounts.ban(db, banned, "spam", actor="test")
    await erasure.erase(db, gone.id, actor="cli", why="asked")
    await db.execute("update account set verified_at = null where id = $1", unsure.id)
    await herald.spread(db, config)
    await news.choose(db, late.id, wanted=False)  # it is in the outbox already
    await all_spread(db, config)
    assert recipients(server) == ["alice@example.com", "bob@example.com", "carol@example.com", "p3@example.com"]
    assert dict(await spreading.troubles(db, found.id)) == {
        "passed over: banned": 1, "passed over: wants none": 1, "passed over: not confirmed": 1,
        "not for them any more: wants none": 1,
    }  # fmt: skip


async def test_the_pace_holds_and_an_outage_is_not_made_up_for(db, config, cast):
    await crowd(db, 100)
    found = await begun(db, per_minute=60)
    assert await herald.spread(db, config) == 10
    assert await herald.spread(db, config) == 0
    await db.execute("update broadcast set paced_at = now() - interval '3 hours'")
    await db.execute("update notice set sent_at = now() where dedupe_key = 'broadcast ' || $1::uuid::text", found.id)
    assert await herald.spread(db, config) == 30


async def test_a_slow_one_goes_on_too(db, config, cast):
    await begun(db, per_minute=1)
    assert await herald.spread(db, config) == 0
    await db.execute("update broadcast set paced_at = now() - interval '60 seconds'")
    assert await herald.spread(db, config) == 1
    assert await herald.spread(db, config) == 0


async def test_no_more_than_a_minutes_worth_waits_in_the_outbox(db, config, cast):
    await crowd(db, 100)
    await begun(db, per_minute=40)
    for _ in range(5):
        await db.execute("update broadcast set paced_at = now() - interval '30 seconds'")
        await herald.spread(db, config)
    assert await db.fetchval("select count(*) from notice where template = 'broadcast'") == 40


async def test_other_mails_pass_a_broadcast(server, db, config, cast):
    await begun(db)
    await herald.spread(db, config)
    await db.execute(
        "insert into notice (channel, recipient, subject, body) values ('mail', 'eve@example.com', 'A link', 'Here.')"
    )
    await postman.deliver(db, config)
    assert server.got[0].recipients == ["eve@example.com"] and len(server.got) == 4


async def test_a_stop_takes_back_what_has_not_gone_out_and_nobody_gets_it_twice_afterwards(server, db, config, cast):
    await crowd(db, 20)
    found = await begun(db, per_minute=60)
    await herald.spread(db, config)
    await postman.deliver(db, config)
    assert len(server.got) == 10
    await db.execute("update broadcast set paced_at = now() - interval '5 seconds'")
    await herald.spread(db, config)
    await spreading.stop(db, found.id, "a typo", actor="carol@example.com")
    await db.execute("update broadcast set paced_at = now() - interval '30 seconds'")
    assert await herald.spread(db, config) == 0 and await postman.deliver(db, config) == 0
    assert await spreading.progress(db, found.id) == spreading.Progress(13, 0, 10, 0, 0)
    with pytest.raises(Refused, match="It was stopped"):
        await spreading.stop(db, found.id, "again", actor="carol@example.com")
    await spreading.go_on(db, found.id, BY_MAIL, "it was none", actor="carol@example.com")
    await all_spread(db, config)
    assert len(server.got) == 23 == len(set(recipients(server)))
    acts = await db.fetch(
        "select action, after ->> 'reason' as reason from audit where subject = $1 order by id", str(found.id)
    )
    assert [(row["action"], row["reason"]) for row in acts[:3]] == [
        ("broadcast.begin", "a new painter"), ("broadcast.stop", "a typo"), ("broadcast.go_on", "it was none"),
    ]  # fmt: skip


async def test_a_mail_that_is_put_off_does_not_go_out_while_it_is_stopped(server, db, config, cast):
    server.refuse("RCPT", "451 4.7.1 greylisted", "bob@example.com", times=1)
    found = await begun(db)
    await herald.spread(db, config)
    await postman.deliver(db, config)
    await db.execute("update broadcast set state = 'stopped' where id = $1", found.id)
    await db.execute("update notice set next_at = now()")
    assert await postman.deliver(db, config) == 0 and len(server.got) == 2
    await db.execute("update broadcast set state = 'sending' where id = $1", found.id)
    await db.execute("update notice set next_at = now()")
    assert await postman.deliver(db, config) == 1 and recipients(server)[1] == "bob@example.com"


async def test_a_mail_that_is_put_off_is_not_used_up_while_it_is_stopped(server, db, config, cast):
    """Neither counted, nor called a jam, nor given up: it is how it was meant."""
    server.refuse("RCPT", "451 4.7.1 greylisted", "bob@example.com", times=1)
    found = await begun(db)
    await herald.spread(db, config)
    await postman.deliver(db, config)
    await spreading.stop(db, found.id, "a typo", actor="carol@example.com")
    await db.execute("update notice set next_at = now(), created_at = now() - interval '31 days', attempts = 10")
    assert await postman.deliver(db, config) == 0
    await mails.forget_old(db)
    assert (await mails.jam(db, 900)).waiting == 0
    assert await db.fetchval("select attempts from notice where sent_at is null and failed_at is null") == 10
    await spreading.go_on(db, found.id, BY_MAIL, "it was none", actor="carol@example.com")
    assert (await mails.jam(db, 900)).waiting == 1
    await postman.deliver(db, config)
    assert recipients(server) == ["alice@example.com", "bob@example.com", "carol@example.com"]


async def test_who_is_banned_or_not_confirmed_any_more_gets_none_that_is_in_the_outbox_already(
    server, db, config, cast
):
    await begun(db)
    await herald.spread(db, config)
    await accounts.ban(db, await accounts.get(db, cast.alice.id), "spam", actor="test")
    await db.execute("update account set verified_at = null where id = $1", cast.bob.id)
    await postman.deliver(db, config)
    assert recipients(server) == ["carol@example.com"]


KILLED = """
import asyncio, os, sys
from limner.actors import herald
from limner.runtime.config import Config
from limner.runtime.opening import open_database

async def main():
    config = Config.load()
    async with open_database(config.database_url.get_secret_value(), role="worker", pool=2) as db:
        while True:
            await db.execute("update broadcast set paced_at = now() - interval '1 second'")
            if await herald.spread(db, config):
                print("spread", flush=True, file=sys.stderr)

asyncio.run(main())
"""
KILLS = 30 if os.environ.get("FAULT_FULL") else 4


async def test_killed_again_and_again_it_reaches_each_person_exactly_once(server, db, config, cast, dsn):
    await crowd(db, 400)
    found = await begun(db, per_minute=600)
    env = os.environ | {
        "LIMNER_DATABASE_URL": dsn, "LIMNER_DATA_DIR": str(config.data_dir), "LIMNER_SECRET_KEY": "s" * 40,
        "LIMNER_SMTP_HOST": "127.0.0.1", "LIMNER_MAIL_FROM": "studio@art.example", "LIMNER_ENV": "development",
    }  # fmt: skip
    for _ in range(KILLS):
        child = subprocess.Popen(
            [sys.executable, "-P", "-c", KILLED], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        said = await anyio.to_thread.run_sync(lambda out=child.stderr: [out.readline()])
        child.send_signal(signal.SIGKILL)
        _, trace = await anyio.to_thread.run_sync(child.communicate)
        assert child.returncode == -signal.SIGKILL and said == [b"spread\n"], (said, trace)
        await db.execute("update notice set sent_at = now() where sent_at is null")  # room for the next
    queued = await db.fetchval("select count(*) from notice where template = 'broadcast'")
    assert 0 < queued <= 403
    await all_spread(db, config)
    rows = await db.fetch("select recipient, count(*) as times from notice where template = 'broadcast' group by 1")
    assert len(rows) == 403 and {row["times"] for row in rows} == {1}
    assert await db.fetchval("select count(*) from broadcast_recipient where state <> 'queued'") == 0
    assert (await broadcasts.get(db, found.id)).state == "done"


async def test_the_list_is_made_in_parts_and_of_those_who_were_there(server, db, config, cast, monkeypatch):
    await crowd(db, 10)
    monkeypatch.setattr(portions, "AT_ONCE", 4)
    found = await begun(db)
    late = await accounts.create(db, "late@example.com", "x", is_verified=True)
    assert await portions.enlist(db, found.id)
    assert await db.fetchval("select count(*) from broadcast_recipient") == 4
    assert (await spreading.progress(db, found.id)).waiting == 13
    await all_spread(db, config)
    assert len(server.got) == 13 == len(set(recipients(server))) and late.email not in recipients(server)


async def test_what_the_outbox_has_forgotten_was_let_go(server, db, config, cast):
    found = await begun(db)
    await all_spread(db, config)
    await db.execute("delete from notice where recipient = 'bob@example.com'")
    assert await spreading.progress(db, found.id) == spreading.Progress(0, 0, 3, 0, 0)


async def test_who_is_deleted_leaves_no_trace_in_it(server, db, config, cast):
    await db.execute("update account set role = 'user' where id = $1", cast.carol.id)
    await begun(db)
    await herald.spread(db, config)
    assert await db.fetchval("select listed_to from broadcast") is None, "whoever was listed last"
    await erasure.erase(db, cast.carol.id, actor="cli", why="asked")
    said = str(await db.fetch("select * from broadcast")) + str(await db.fetch("select * from broadcast_recipient"))
    said += str(await db.fetch("select * from notice where template = 'broadcast'"))
    assert "carol@" not in said and str(cast.carol.id) not in said.replace(f"deleted-{cast.carol.id}", "")


async def test_many_heralds_reach_each_person_once(server, db, config, cast):
    await crowd(db, 60)
    await begun(db)
    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(all_spread, db, config)
    assert len(server.got) == 63 == len(set(recipients(server)))


async def test_who_has_linked_telegram_gets_it_there_and_a_mail_if_telegram_refuses(server, db, config, cast):
    for account, chat in ((cast.alice, "1001"), (cast.bob, "1002")):
        await db.execute(
            "insert into linked_sign_in (issuer, subject, account_id) values ('telegram', $1, $2)", chat, account.id
        )
    studio = config.model_copy(update={"bot_token": SecretStr("1:x")})
    found = await begun(db, ways=Ways.of(studio), by_telegram=True)
    assert await segments.count(db, "all", None) == (3, 2)
    assert await herald.spread(db, studio) == 3
    told = await db.fetch("select recipient, subject, body from notice where channel = 'telegram' order by recipient")
    assert [row["recipient"] for row in told] == ["1001", "1002"]
    assert told[0]["subject"] == ENGLISH.subject and told[0]["body"].endswith("https://art.example/account")
    assert (await broadcasts.get(db, found.id)).state == "sending"
    await db.execute("update notice set sent_at = now() where recipient = '1001'")
    await db.execute("update notice set failed_at = now(), error = 'Forbidden' where recipient = '1002'")
    await all_spread(db, studio)
    assert recipients(server) == ["bob@example.com", "carol@example.com"]
    assert await spreading.progress(db, found.id) == spreading.Progress(0, 0, 3, 0, 0)


async def linked(db, *pairs) -> None:
    for account, chat in pairs:
        row = "insert into linked_sign_in (issuer, subject, account_id) values ('telegram', $1, $2)"
        await db.execute(row, chat, account.id)


async def test_who_had_fallen_back_to_mail_still_gets_it_after_a_stop(server, db, config, cast):
    await linked(db, (cast.alice, "1001"), (cast.bob, "1002"))
    studio = config.model_copy(update={"bot_token": SecretStr("1:x")})
    found = await begun(db, ways=Ways.of(studio), by_telegram=True)
    await herald.spread(db, studio)
    await db.execute("update notice set failed_at = now(), error = 'Forbidden' where recipient = '1001'")
    await db.execute("update broadcast set paced_at = now() - interval '30 seconds'")
    await herald.spread(db, studio)
    await spreading.stop(db, found.id, "a typo", actor="carol@example.com")
    assert (await spreading.progress(db, found.id)).waiting == 3
    await spreading.go_on(db, found.id, Ways.of(studio), "it was none", actor="carol@example.com")
    await herald.spread(db, studio)
    await db.execute("update notice set sent_at = now() where recipient = '1002'")
    await all_spread(db, studio)
    assert recipients(server) == ["alice@example.com", "carol@example.com"]
    assert await spreading.progress(db, found.id) == spreading.Progress(0, 0, 3, 0, 0)


async def test_it_is_not_done_while_a_chat_may_still_refuse_it(server, db, config, cast):
    await linked(db, (cast.alice, "1001"))
    studio = config.model_copy(update={"bot_token": SecretStr("1:x")})
    found = await begun(db, ways=Ways.of(studio), by_telegram=True)
    await herald.spread(db, studio)
    taken = await notices.take(db, "telegram", 30)
    assert taken is not None
    for _ in range(2):
        await herald.spread(db, studio)
        await postman.deliver(db, studio)
    assert (await broadcasts.get(db, found.id)).state == "sending"
    await deliveries.failed(db, taken, "Forbidden: bot was blocked by the user")
    await all_spread(db, studio)
    assert recipients(server) == ["alice@example.com", "bob@example.com", "carol@example.com"]


async def test_telegram_brings_none_to_who_says_no_or_is_banned_while_it_waits_in_the_outbox(server, db, config, cast):
    await linked(db, (cast.alice, "1001"), (cast.bob, "1002"), (cast.carol, "1003"))
    async with telegram() as fake, aiohttp.ClientSession() as session:
        studio = config.model_copy(update={"bot_token": SecretStr(TOKEN), "telegram_url": fake.url})
        found = await begun(db, ways=Ways.of(studio), by_telegram=True)
        await herald.spread(db, studio)
        await news.choose(db, cast.alice.id, wanted=False)
        await accounts.ban(db, await accounts.get(db, cast.bob.id), "spam", actor="test")
        assert await courier.deliver(db, studio, session) == 1
        assert [call.args["chat_id"] for call in fake.of("sendMessage")] == ["1003"]
    await all_spread(db, studio)
    assert server.got == []
    assert dict(await spreading.troubles(db, found.id)) == {"passed over: banned": 1, "passed over: wants none": 1}


async def test_what_telegram_has_not_got_of_one_that_is_stopped_stays_where_it_is(server, db, config, cast):
    await linked(db, (cast.alice, "1001"))
    studio = config.model_copy(update={"bot_token": SecretStr("1:x")})
    found = await begun(db, ways=Ways.of(studio), by_telegram=True)
    await herald.spread(db, studio)
    assert await notices.take(db, "telegram", 30) is not None  # by one that is killed
    await spreading.stop(db, found.id, "a typo", actor="carol@example.com")
    await db.execute("update notice set next_at = now()")
    assert await notices.take(db, "telegram", 30) is None
    await spreading.go_on(db, found.id, Ways.of(studio), "it was none", actor="carol@example.com")
    assert await notices.take(db, "telegram", 30) is not None


async def test_without_any_way_nothing_is_begun(db, cast):
    with pytest.raises(Refused, match="No mail server is set up"):
        await begun(db, ways=Ways(mail=False, telegram=True))
    assert await db.fetchval("select count(*) from broadcast_recipient") == 0


@pytest.mark.parametrize(
    "change",
    [
        {"words": {"en": Words("News", "Other words.")}},
        {"words": {"en": ENGLISH, "ru": RUSSIAN}},
        {"segment": "without"},
        {"by_telegram": True},
        {"per_minute": 7},
    ],
)
async def test_what_was_rewritten_since_somebody_saw_it_is_not_begun(db, cast, change):
    draft = Draft({"en": ENGLISH})
    broadcast_id = await broadcasts.write(db, draft, actor="carol@example.com")
    seen = (await broadcasts.get(db, broadcast_id)).as_it_is
    await broadcasts.rewrite(db, broadcast_id, replace(draft, **change))
    agreed = {"people": 3, "as_seen": seen, "actor": "carol@example.com"}
    with pytest.raises(Refused, match="It was changed meanwhile"):
        await spreading.begin(db, broadcast_id, BY_MAIL, "news", **agreed)
    await broadcasts.rewrite(db, broadcast_id, draft)
    assert (await spreading.begin(db, broadcast_id, BY_MAIL, "news", **agreed)).state == "sending"


async def test_what_nobody_agreed_to_is_not_begun(db, cast):
    await crowd(db, 30)
    with pytest.raises(Refused, match="By now it would go to 33 people, not 5"):
        await begun(db, people=5)
    with pytest.raises(Refused, match="nobody in this segment"):
        await begun(db, segment="lapsed")
    found = await begun(db)
    with pytest.raises(Refused, match="It is being sent already"):
        await spreading.begin(
            db, found.id, BY_MAIL, "again", people=33, as_seen=found.as_it_is, actor="carol@example.com"
        )
    with pytest.raises(Refused, match="It is being sent already"):
        await broadcasts.rewrite(db, found.id, Draft({"en": ENGLISH}))
    with pytest.raises(Refused, match="It is being sent already"):
        await broadcasts.throw_away(db, found.id)


@pytest.mark.parametrize(
    ("about", "field"),
    [
        ({"segment": "rich"}, "segment"),
        ({"segment": "plan"}, "plan"),
        ({"plan_id": 1}, "plan"),
        ({"per_minute": 0}, "per_minute"),
        ({"per_minute": 6001}, "per_minute"),
        ({"words": {"ru": RUSSIAN}}, "body_en"),
        ({"words": {"en": Words(" ", "x")}}, "subject_en"),
        ({"words": {"en": Words("x", "")}}, "body_en"),
        ({"words": {"en": Words("x" * 121, "x")}}, "subject_en"),
        ({"words": {"en": ENGLISH, "zh": Words("x", "x" * 3501)}}, "body_zh"),
        ({"words": {"en": Words("a\nb", "x")}}, "subject_en"),
    ],
)
async def test_a_draft_that_cannot_be_is_refused_with_its_field(db, about, field):
    with pytest.raises(Refused) as refused:
        await broadcasts.write(db, Draft(**({"words": {"en": ENGLISH}} | about)), actor="test")
    assert refused.value.field == field


async def test_a_link_holds_for_its_account_alone(db, cast, config):
    keys = config.secret_keys
    given = news.link(cast.bob.id, "", keys).removeprefix(news.PATH)
    assert (await news.owner(db, given, keys)).id == cast.bob.id
    assert (await news.owner(db, given, ("another" * 8, *keys))).id == cast.bob.id
    for wrong in ("", "ü", given[:-2], given + "AA", "A" * 43, given[::-1]):
        with pytest.raises(Refused):
            await news.owner(db, wrong, keys)
    with pytest.raises(Refused):
        await news.owner(db, given, ("another" * 8,))
