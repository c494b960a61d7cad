"""Pairing: only who stands at the server's console lets somebody in."""

from __future__ import annotations

import re

import anyio
import pytest

from limner.runtime.errors import NotFound, Refused
from limner.sql import audit
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
    assert len(code) == 8 and set(code) <= set(books.ALPHABET)
    assert (await books.pending_by_code(db, code)).name == "Eve (@eve)"
    assert "accounts" not in fake.of("sendMessage")[0].text
    stored = await db.fetchrow("select * from telegram_pairing")
    assert code.encode() not in bytes(stored["code_hash"]) and code not in str(dict(stored))


async def test_the_console_lets_them_in_once_and_the_audit_says_so(fake, config, db):
    code = await code_for(fake, config, db)
    admin = await books.confirm(db, f"{code[:4]}-{code[4:].lower()}", actor="cli")
    assert (admin.telegram_id, admin.role) == (STRANGER, "owner")
    assert [one.telegram_id for one in await books.admins(db)] == [STRANGER]
    entry = (await audit.listing(db))[0]
    assert (entry.actor, entry.action, entry.subject) == ("cli", "telegram.pair", f"telegram {STRANGER}")
    with pytest.raises(Refused, match="wrong or has expired"):
        await books.confirm(db, code, actor="cli")


async def test_each_further_message_replaces_the_code(fake, config, db):
    first = await code_for(fake, config, db)
    second = await code_for(fake, config, db)
    with pytest.raises(Refused):
        await books.pending_by_code(db, first)
    assert (await books.pending_by_code(db, second)).telegram_id == STRANGER


async def test_a_code_ends_after_ten_minutes(db):
    code = await books.ask(db, STRANGER, "Eve")
    left = await db.fetchval("select extract(epoch from expires_at - now())::int from telegram_pairing")
    assert 590 <= left <= 600
    await db.execute("update telegram_pairing set expires_at = now()")
    with pytest.raises(Refused):
        await books.confirm(db, code, actor="cli")
    assert await books.pending(db) == []
    assert await books.cleanup(db) == 1


async def test_five_wrong_codes_burn_all_pending_ones(db):
    codes = [await books.ask(db, number, "Eve") for number in (1, 2)]
    for ask in (books.pending_by_code, lambda db, code: books.confirm(db, code, actor="cli")) * 2:
        with pytest.raises(Refused, match=r"wrong or has expired\.$"):
            await ask(db, "WRONG234")
    assert len(await books.pending(db)) == 2
    with pytest.raises(Refused, match="all codes are void"):
        await books.pending_by_code(db, "WRONG234")
    assert await books.pending(db) == []
    for code in codes:
        with pytest.raises(Refused):
            await books.confirm(db, code, actor="cli")
    assert await books.admins(db) == []


async def test_guesses_of_an_hour_ago_are_forgotten(db):
    await db.execute(
        "insert into telegram_guess (created_at) select now() - interval '61 minutes' from generate_series(1, 9)"
    )
    await books.ask(db, STRANGER, "Eve")
    with pytest.raises(Refused, match=r"expired\.$"):
        await books.pending_by_code(db, "WRONG234")
    assert len(await books.pending(db)) == 1


async def test_of_many_who_use_one_code_at_once_one_succeeds(db):
    code = await books.ask(db, STRANGER, "Eve")
    outcomes = []

    async def use() -> None:
        try:
            outcomes.append((await books.confirm(db, code, actor="cli")).telegram_id)
        except Refused:
            outcomes.append(None)

    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(use)
    assert sorted(outcomes, key=str) == [STRANGER, None, None, None]


async def test_a_name_cannot_play_tricks_on_the_console(db):
    await books.ask(db, STRANGER, "\x1b[2JEve\u202egpj.exe\r\n\0" + "x" * 500)
    (waiting,) = await books.pending(db)
    assert waiting.name.startswith("[2JEvegpj.exexx") and len(waiting.name) == 120


async def test_revoking_ends_the_access_and_is_audited(db, carol):
    assert (await books.revoke(db, carol.telegram_id, "cli")).name == "Carol"
    assert await books.admin(db, carol.telegram_id) is None
    entry = (await audit.listing(db))[0]
    assert (entry.action, entry.before) == ("telegram.revoke", {"name": "Carol", "role": "owner"})
    with pytest.raises(NotFound):
        await books.revoke(db, carol.telegram_id, "cli")
