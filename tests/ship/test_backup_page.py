"""The page about backups: its commands run as they stand there, from the first backup to the undone restore."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import asyncpg

from limner.actors.archivist import tools
from tests.ship.conftest import Studio

PAGE = Path(__file__).parents[2] / "docs/how-to/back-up-and-restore.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)


async def test_its_commands_do_what_it_says(studio: Studio) -> None:
    ours = [text for text in blocks("sh") if "restic" not in text]  # tests/ship/test_restic.py runs those
    commands = [shlex.split(line, comments=True) for text in ours for line in text.splitlines()]
    assert [words[:2] for words in commands] == [
        ["limner", "backup"], ["limner", "backups"], ["limner", "drill"], ["limner", "restore"],
    ]  # fmt: skip
    before = await studio.rows()
    for words in commands:
        done = await studio.limner(*words[1:])
        assert done.exit_code == 0, done.output
    assert await studio.rows() == before


async def test_its_way_to_undo_a_restore_leads_back(studio: Studio) -> None:
    await studio.report("backup")
    await studio.ask("update account set locale = 'fr'")
    await studio.report("restore", "latest", "--yes")
    assert await studio.ask("select count(*) from account where locale = 'fr'") == 0
    name = tools.database_of(studio.dsn)
    (point,) = await studio.databases() - {name}
    (undo,) = [text for text in blocks("sql") if "rename" in text]
    boss = await asyncpg.connect(tools.at_database(studio.dsn, "postgres"))
    try:
        for statement in undo.strip().splitlines():
            await boss.execute(statement.replace("limner_before_20261123_120000", point).replace(" limner", f" {name}"))
    finally:
        await boss.close()
    assert await studio.ask("select count(*) from account where locale = 'fr'") == 3
