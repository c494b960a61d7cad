"""Pairing: only who stands at the server's console lets somebody in."""

from __future__ import annotations

import re

import anyio
import pytest

from limner.runtime.errors import NotFound, Refused
from limner.sql import audit, pairings
from limner.sql import telegram as books
from tests.bot.conftest import STRANGER, running


async def code_for(fake, config, db) -> str:
    async with running(db, config):
        await fake.say(STRANGER, "hello", name="Eve", username="eve")
        answer = await fake.next("sendMessage")
    found = re.search(r"limner pair (\w+)", answer.text)
    assert found, answer.text
    return found[1]


async def test_a_stranger_gets_a_code_for_the_console_and_nothing_else(fake, config, db):
    code = await code_for(fake, config, db)
    assert len(code) == 8 and set(code) <= set(pairings.ALPHABET)
    assert (await pairings.pending_by_code(db, code)).name == "Eve (@eve)"
    assert "accounts" not in fake.of("sendMessage")[0].text
    stored = await db.fetchrow("select * from telegram_pairing")
    assert code.encode() not in bytes(stored["code_hash"]) and code not in str(dict(stored))


async def test_the_console_lets_them_in_once_and_the_audit_says_so(fake, config, db):
    code = await code_for(fake, config, db)
    admin = await pairings.confirm(db, f"{code[:4]}-{code[4:].lower()}", actor="cli")
    assert (admin.telegram_id, admin.role) == (STRANGER, "owner")
    assert [one.telegram_id for one in await books.admins(db)] == [STRANGER]
    entry = (await audit.listing(db))[0]
    assert (entry.actor, entry.action, entry.subject) == ("cli", "telegram.pair", f"telegram {STRANGER}")
    with pytest.raises(Refused, match="wrong or has expired"):
        await pairings.confirm(db, code, actor="cli")


async def test_each_further_message_replaces_the_code(fake, config, db):
    first = await code_for(fake, config, db)
    await db.execute("update telegram_pairing set created_at = created_at - interval '10 seconds'")
    second = await code_for(fake, config, db)
    with pytest.raises(Refused):
        await pairings.pending_by_code(db, first)
    assert (await pairings.pending_by_code(db, second)).telegram_id == STRANGER


async def test_a_code_ends_after_ten_minutes(db):
    code = await pairings.ask(db, STRANGER, "Eve")
    left = await db.fetchval("select extract(epoch from expires_at - now())::int from telegram_pairing")
    assert 590 <= left <= 600
    await db.execute("update telegram_pairing set expires_at = now()")
    with pytest.raises(Refused):
        await pairings.confirm(db, code, actor="cli")
    assert await pairings.pending(db) == []
    assert await pairings.forget_old(db) == 1


async def test_five_wrong_codes_burn_all_pending_ones(db):
    codes = [await pairings.ask(db, number, "Eve") for number in (1, 2)]
    for ask in (pairings.pending_by_code, lambda db, code: pairings.confirm(db, code, actor="cli")) * 2:
        with pytest.raises(Refused, match=r"wrong or has expired\.$"):
            await ask(db, "WRONG234")
    assert len(await pairings.pending(db)) == 2
    with pytest.raises(Refused, match="all codes are void"):
        await pairings.pending_by_code(db, "WRONG234")
    assert await pairings.pending(db) == []
    for code in codes:
        with pytest.raises(Refused):
            await pairings.confirm(db, code, actor="cli")
    assert await books.admins(db) == []


async def test_guesses_of_an_hour_ago_are_forgotten(db):
    await db.execute(
        "insert into telegram_guess (created_at) select now() - interval '61 minutes' from generate_series(1, 9)"
    )
    await pairings.ask(db, STRANGER, "Eve")
    with pytest.raises(Refused, match=r"expired\.$"):
        await pairings.pending_by_code(db, "WRONG234")
    assert len(await pairings.pending(db)) == 1


async def test_of_many_who_use_one_code_at_once_one_succeeds(db):
    code = await pairings.ask(db, STRANGER, "Eve")
    outcomes = []

    async def use() -> None:
        try:
            outcomes.append((await pairings.confirm(db, code, actor="cli")).telegram_id)
        except Refused:
            outcomes.append(None)

    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(use)
    assert sorted(outcomes, key=str) == [STRANGER, None, None, None]


async def test_a_name_cannot_play_tricks_on_the_console(db):
    await pairings.ask(db, STRANGER, "\x1b[2JEve\u202egpj.exe\r\n\0" + "x" * 500)
    (waiting,) = await pairings.pending(db)
    assert waiting.name.startswith("[2JEvegpj.exexx") and len(waiting.name) == 120


async def test_revoking_ends_the_access_and_is_audited(db, carol):
    assert (await books.revoke(db, carol.telegram_id, "cli", even_the_last=True)).name == "Carol"
    assert await books.admin(db, carol.telegram_id) is None
    entry = (await audit.listing(db))[0]
    assert (entry.action, entry.before) == ("telegram.revoke", {"name": "Carol", "role": "owner"})
    with pytest.raises(NotFound):
        await books.revoke(db, carol.telegram_id, "cli")


async def test_five_hundred_wrong_guesses_burn_the_codes_and_pair_nobody(fake, config, db):
    async with running(db, config):
        await fake.say(STRANGER, "hello", name="Eve")
        await fake.next("message")
        refused = 0
        for number in range(500):
            try:
                await pairings.confirm(db, f"{number:08d}", actor="cli")
            except Refused:
                refused += 1
        assert refused == 500
        assert await pairings.pending(db) == [] and await books.admins(db) == []
        await fake.say(STRANGER, "/start")  # a new code, burnt by the very next wrong guess
        await fake.next("message")
        with pytest.raises(Refused, match="all codes are void"):
            await pairings.confirm(db, "WRONG234", actor="cli")
    assert await pairings.pending(db) == []
    assert len(fake.of("message")) == 2  # guessing is silent: nobody outside hears of it
    assert await db.fetchval("select count(*) from audit where action like 'telegram.%'") == 0


async def test_only_a_message_written_to_the_bot_itself_makes_a_code(fake, config, db):
    eve = fake.person(STRANGER, "Eve")
    written = fake.message(eve, STRANGER, "private", "hello")
    async with running(db, config):
        for chat_type in ("group", "supergroup", "channel"):
            await fake.say(STRANGER, "/start", chat_type)
        await fake.push("edited_message", written)
        await fake.push("message", written | {"chat": {"id": 99, "type": "private"}})  # somebody else's chat
        await fake.push("message", {name: value for name, value in written.items() if name != "from"})  # nobody's
        await fake.push("my_chat_member", written | {"old_chat_member": {}, "new_chat_member": {}})
        await fake.press(STRANGER, "home", written)
        await fake.say(99, "the last of these")
        await fake.next("message")
    assert [call.args["chat_id"] for call in fake.of("screen")] == ["99"]
    assert [one.telegram_id for one in await pairings.pending(db)] == [99]


async def test_a_forwarded_code_lets_in_who_asked_for_it_and_nobody_else(fake, config, db):
    """Mallory sends Eve's code on to the bot: that is a message of Mallory's, who gets a code of her own."""
    async with running(db, config):
        await fake.say(STRANGER, "hello", name="Eve")
        code = re.search(r"limner pair (\w+)", (await fake.next("message")).text)
        assert code
        forwarded = fake.message(fake.person(14, "Mallory"), 14, "private", code[0])
        origin = {"type": "user", "date": 1_790_000_000, "sender_user": fake.person(STRANGER, "Eve")}
        await fake.push("message", forwarded | {"forward_origin": origin})
        assert code[1] not in (await fake.next("message")).text
    assert (await pairings.confirm(db, code[1], actor="cli")).telegram_id == STRANGER
    assert [one.telegram_id for one in await books.admins(db)] == [STRANGER]


async def test_codes_used_old_replaced_and_raced_let_in_one_person_once(db):
    replaced = await pairings.ask(db, STRANGER, "Eve")
    old = await pairings.ask(db, 14, "Mallory")
    await db.execute("update telegram_pairing set expires_at = now() where telegram_id = 14")
    await db.execute("update telegram_pairing set created_at = created_at - interval '10 seconds'")
    code = await pairings.ask(db, STRANGER, "Eve")
    outcomes = []

    async def use(what: str) -> None:
        try:
            outcomes.append((await pairings.confirm(db, what, actor="cli")).telegram_id)
        except Refused:
            outcomes.append(None)

    async with anyio.create_task_group() as group:
        for what in (code, code, code, replaced, old):
            group.start_soon(use, what)
    await use(code)
    assert [each for each in outcomes if each] == [STRANGER]
    assert [one.telegram_id for one in await books.admins(db)] == [STRANGER]
    assert await db.fetchval("select count(*) from audit where action = 'telegram.pair'") == 1
