"""The command line makes, lists and stops codes, and each act is audited."""

from __future__ import annotations

import asyncio

import pytest
from click.testing import CliRunner

from limner.runtime.cli import commands as cli
from limner.sql import codes, redemptions
from tests.conftest import VAULT_KEYS


@pytest.fixture
def limner(dsn, config):
    environment = {
        "LIMNER_DATABASE_URL": dsn, "LIMNER_DATA_DIR": str(config.data_dir), "LIMNER_VAULT_KEYS": VAULT_KEYS,
        "LIMNER_SECRET_KEY": "s" * 40,
    }  # fmt: skip

    async def run(*words: str):
        return await asyncio.to_thread(CliRunner(env=environment).invoke, cli.main, ["code", *words])

    return run


async def test_a_code_is_made_listed_and_stopped(limner, db):
    made = await limner("create", "SPRING", "--amount", "4.99", "--uses", "10", "--until", "2099-01-31")
    assert (made.exit_code, made.output) == (0, "SPRING gives 4.99 USD off from now on\n")
    assert (await codes.find(db, "spring")).quantity == 499
    assert "0 of 10" in (await limner("list")).output
    assert (await limner("stop", "spring", "--reason", "a mistake")).output == "SPRING is stopped\n"
    assert (await limner("stop", "spring")).exit_code == 1
    rows = await db.fetch("select actor, action from audit where subject = 'SPRING' order by id")
    assert [tuple(row) for row in rows] == [("cli", "code.made"), ("cli", "code.stopped")]


async def test_gifts_are_printed_once_and_work(limner, db, cast):
    made = (await limner("create", "--gifts", "2", "--plan", "monthly", "--note", "fair")).output.split()
    assert len(made) == 2
    await redemptions.redeem(db, cast.bob, made[0])
    listed = (await limner("list", "--kind", "gift")).output
    assert made[0] not in listed
    assert f"…{made[0][-4:]}" in listed


@pytest.mark.parametrize("words", [
    ["create"], ["create", "SPRING"],
    ["create", "SPRING", "--percent", "5", "--days", "5"], ["create", "SPRING", "--percent", "101"],
    ["create", "SPRING", "--amount", "1.234"], ["create", "SPRING", "--amount", "-1"], ["create", "--gifts", "2"],
    ["create", "--gifts", "2", "--percent", "5"], ["create", "X", "--gifts", "2", "--credits", "5"],
    ["create", "ab", "--percent", "5"], ["create", "SPRING", "--percent", "5", "--plan", "nothing"],
    ["create", "SPRING", "--percent", "5", "--until", "2001-01-01"], ["stop", "nothing"],
])  # fmt: skip
async def test_what_makes_no_sense_is_refused_and_makes_nothing(limner, db, words):
    answer = await limner(*words)
    assert answer.exit_code in (1, 2), answer.output
    assert answer.exception is None or isinstance(answer.exception, SystemExit)
    assert await db.fetchval("select count(*) from code") == 0
