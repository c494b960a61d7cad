"""Who may what: the first is the owner, others look until somebody says more, and one owner there is always."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from limner.runtime.cli.commands import main
from limner.runtime.errors import NotFound, Refused
from limner.sql import audit, pairings
from limner.sql import telegram as books
from tests.bot.conftest import CAROL, STRANGER


async def pair(db, person: int, name: str, role: str | None = None) -> books.Admin:
    return await pairings.confirm(db, await pairings.ask(db, person, name), actor="cli", role=role)


async def test_the_first_is_the_owner_and_whoever_comes_after_looks(db):
    assert (await pair(db, CAROL, "Carol")).role == "owner"
    assert (await pair(db, STRANGER, "Dave")).role == "viewer"


@pytest.mark.parametrize("role", books.ROLES)
async def test_the_console_says_what_somebody_becomes(db, carol, role):
    assert (await pair(db, STRANGER, "Dave", role)).role == role
    assert (await audit.listing(db))[0].after == {"name": "Dave", "role": role}


async def test_the_first_cannot_be_less_than_an_owner(db):
    with pytest.raises(Refused, match="has to be the owner"):
        await pair(db, CAROL, "Carol", "viewer")
    assert await books.admins(db) == []


async def test_who_pairs_again_keeps_the_role(db, carol):
    await pair(db, STRANGER, "Dave", "operator")
    assert (await pair(db, STRANGER, "Dave II")).role == "operator"
    entry = (await audit.listing(db))[0]
    assert (entry.before, entry.after) == (
        {"name": "Dave", "role": "operator"},
        {"name": "Dave II", "role": "operator"},
    )


async def test_a_role_is_changed_at_the_console_and_audited(db, carol):
    await pair(db, STRANGER, "Dave")
    assert (await books.set_role(db, STRANGER, "operator", "cli")).role == "operator"
    entry = (await audit.listing(db))[0]
    assert (entry.action, entry.before, entry.after) == ("telegram.role", {"role": "viewer"}, {"role": "operator"})
    with pytest.raises(NotFound):
        await books.set_role(db, 99, "viewer", "cli")


async def test_the_last_owner_stays_one(db, carol):
    await pair(db, STRANGER, "Dave", "operator")
    with pytest.raises(Refused, match="there is no other"):
        await books.set_role(db, CAROL, "viewer", "cli")
    await books.set_role(db, STRANGER, "owner", "cli")
    assert (await books.set_role(db, CAROL, "viewer", "cli")).role == "viewer"


async def test_the_last_owner_is_not_shut_out_unless_somebody_says_so(db, carol):
    await pair(db, STRANGER, "Dave", "operator")
    with pytest.raises(Refused, match="--last"):
        await books.revoke(db, CAROL, "cli")
    await books.revoke(db, CAROL, "cli", even_the_last=True)
    entry = (await audit.listing(db))[0]
    assert (entry.action, entry.after) == ("telegram.revoke", {"owners_left": 0})
    assert [one.telegram_id for one in await books.admins(db)] == [STRANGER]


def test_the_command_pairs_lists_changes_and_revokes(dsn, tmp_path, monkeypatch):
    import asyncio

    from limner.runtime.opening import open_database

    async def a_code() -> str:
        async with open_database(dsn, role="test", pool=2) as db:
            await pairings.confirm(db, await pairings.ask(db, CAROL, "Carol"), actor="cli")
            return await pairings.ask(db, STRANGER, "Dave")

    code = asyncio.run(a_code())
    monkeypatch.setenv("LIMNER_DATABASE_URL", dsn)
    monkeypatch.setenv("LIMNER_DATA_DIR", str(tmp_path))

    def limner(*words: str, said: str = "") -> str:
        done = CliRunner().invoke(main, words, input=said)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.output

    assert "Let Dave (Telegram id 13) as operator" in limner("pair", code, "--role", "operator", said="n\n")
    assert "as operator" in limner("pair", code, "--role", "operator", "--yes")
    assert "13  operator  Dave" in limner("pair", "list")
    assert "Dave is viewer now" in limner("pair", "role", "13", "viewer")
    assert "Dave is shut out" in limner("pair", "revoke", "13")
    assert "That is the last owner" in limner("pair", "revoke", "7") and "7  owner" in limner("pair", "list")
    assert "Carol is shut out" in limner("pair", "revoke", "7", "--last")
    assert "forgotten" in limner("pair", "cleanup")
