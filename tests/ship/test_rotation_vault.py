"""The vault's keys are replaced while the studio paints; nothing fails, whatever dies or changes meanwhile."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import anyio
import asyncpg
import pytest
from pydantic import SecretStr

from limner.actors.rotation import keyring, places
from limner.runtime.errors import Refused
from limner.runtime.presence import Presence
from limner.runtime.report import verdict
from limner.runtime.vault import Vault, generate_key
from limner.sql import factors, generations, keys, vaults
from limner.sql.generations import Order
from limner.sql.models import Size
from tests.conftest import VAULT_KEYS, settings
from tests.faults.books import audit
from tests.faults.crew import SETTLED, Crew, death_of, until
from tests.faults.customers import sign_up

FULL = bool(os.environ.get("FAULT_FULL"))
OLD = Vault.parse(VAULT_KEYS)
SEAL_PROXY = "update proxy set sealed_url = $2 where id = $1"
NEW_PROXY = "insert into proxy (label, sealed_url) values ('front door', 'yet to be sealed') returning id"
MIX = "select count(*) filter (where sealed_secret like 'v1.k2.%') between 50 and count(*) - 50 from provider_key"
ALL_IN_LIFE = "select count(*) = $1 from worker where state = 'running' and seen_at > now() - interval '3 s'"


@dataclass
class Studio(Crew):
    """A crew whose vault keys stand in a file."""

    def _settings(self) -> dict[str, object]:
        return {n: v for n, v in super()._settings().items() if n != "vault_keys"} | {"vault_keys_file": self.file}

    @property
    def file(self) -> Path:
        return self.folder / "vault_keys"

    @property
    def vault(self) -> Vault:
        return Vault.parse(self.file.read_text())

    def rotating(self) -> subprocess.Popen[bytes]:
        """`limner secrets rotate vault`, started."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("LIMNER_")}
        env |= {f"LIMNER_{name.upper()}": str(value) for name, value in self._settings().items()}
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "limner.runtime.cli", "secrets", "rotate", "vault", "--json"],
            env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    async def rotate(self) -> tuple[int, str]:
        """The same to its end: its verdict, and what it said."""
        process = self.rotating()
        out, err = await asyncio.to_thread(process.communicate, timeout=60)
        assert process.returncode in (0, 1, 2), err.decode()
        said = json.loads(out)
        assert said["verdict"] == process.returncode
        return process.returncode, "\n".join(line["words"] for line in said["lines"])


class Desk:
    """Rotations in this process, each with the settings as the file has them then."""

    def __init__(self, dsn: str, folder: Path) -> None:
        self.dsn, self.folder = dsn, folder
        self.file = folder / "vault_keys"

    @property
    def vault(self) -> Vault:
        return Vault.parse(self.file.read_text())

    async def rotate(self, **options) -> tuple[int, str]:
        lines: list = []
        config = settings(self.dsn, self.folder, vault_keys=self.file.read_text())
        await keyring.rotate(config, "vault", lines.append, folder=self.folder, **options)
        assert not [secret for secret in self.file.read_text().split(",") if secret.partition(":")[2] in str(lines)]
        return verdict(lines), "\n".join(map(str, lines))


@pytest.fixture
def studio(dsn, tmp_path):
    studio = Studio(dsn, tmp_path)
    studio.file.write_text(VAULT_KEYS)
    studio.file.chmod(0o640)
    yield studio
    for process in studio.processes:
        process.kill()
        process.wait(10)


async def everything_opens(db, vault: Vault) -> dict[str, int]:
    """With these keys; returns how many are sealed with which."""
    rows = await vaults.page(db, None, 100_000)
    assert [why for row in rows if (why := vaults.trouble(vault, row))] == []
    return await vaults.sealed_with(db)


@pytest.mark.timeout(180)
async def test_the_vault_is_rotated_while_pictures_are_painted_and_none_fails(studio, db, config, cast):
    for number in range(20):
        await keys.add(db, OLD, "simulator", f"brush {number}", f"simulated-{number}", actor="test", concurrency=4)
    proxy = await db.fetchval(NEW_PROXY)
    await db.execute(SEAL_PROXY, proxy, OLD.seal("http://proxy.example", bound_to=keys.proxy_bound_to(proxy)))
    await db.execute("update plan set concurrency = 20")
    customers = [id for id, _ in await sign_up(db, 40)]
    desk, ordered, closed = Desk(studio.dsn, studio.folder), 0, anyio.Event()

    async def keep_ordering() -> None:
        nonlocal ordered
        while not closed.is_set():
            await generations.order(
                db, Order(customers[ordered % 40], "a fox", "simulator", Size(512, 512)), deadline=120
            )
            ordered += 1
            with anyio.move_on_after(0.02 if FULL else 0.25):
                await closed.wait()

    async def replace(worker):
        """A new one first, then the old one drains."""
        fresh = studio.start("worker", worker_slots=8)
        await until(studio.dsn, ALL_IN_LIFE, 2)
        worker.terminate()
        assert await death_of(worker) == 0
        return fresh

    async with anyio.create_task_group() as group:
        group.start_soon(keep_ordering)
        worker = studio.start("worker", worker_slots=8)
        await until(studio.dsn, "select count(*) > 3 from job where state = 'delivered'")
        code, said = await desk.rotate()
        assert (code, studio.vault.key_ids) == (1, ("k2", "k1")), said
        code, said = await desk.rotate()
        assert code == 1
        assert f"worker {worker.pid} on" in said
        assert await vaults.sealed_with(db) == {"k1": 24}, "nobody may seal with what a worker does not know"
        worker = await replace(worker)
        code, said = await desk.rotate()
        assert (code, studio.vault.key_ids) == (0, ("k2",)), said
        worker = await replace(worker)
        reached = ordered
        await until(studio.dsn, "select count(*) > $1 from job where state = 'delivered'", reached)
        closed.set()
    await until(studio.dsn, SETTLED, within=60)
    assert await everything_opens(db, studio.vault) == {"k2": 24}
    states = await db.fetch("select state, count(*) as n from job group by state")
    assert [tuple(row) for row in states] == [("delivered", ordered)]
    await audit(db, config.pictures_folder)
    assert studio.file.stat().st_mode & 0o777 == 0o640
    assert (studio.folder / "vault_keys.retired").read_text() == VAULT_KEYS, "backups of before need it"
    assert (studio.folder / "vault_keys.retired").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in studio.folder.glob(".vault*")] == []


@pytest.mark.timeout(180)
async def test_a_rotation_killed_half_way_is_run_again(studio, db):
    count = 1200
    async with db.transaction(120) as tx:
        for number in range(count):
            await keys.add(tx, OLD, "openai", f"key {number}", f"sk-live-{number}", actor="test")
    assert (await studio.rotate())[0] == 1
    process = studio.rotating()
    with anyio.fail_after(60):
        while not await db.fetchval(MIX):
            await anyio.sleep(0.005)
    process.kill()
    process.communicate()
    assert process.returncode == -9
    mixed = await everything_opens(db, studio.vault)
    assert set(mixed) == {"k1", "k2"}
    assert studio.vault.key_ids == ("k2", "k1"), "the old key stays as long as something needs it"
    assert (await studio.rotate())[0] == 0
    assert await everything_opens(db, studio.vault) == {"k2": count + 3}
    code, said = await studio.rotate()
    assert (code, studio.vault.key_ids) == (0, ("k2",)), "the next one is not begun by running it once too often"
    assert "nothing to do" in said


@pytest.fixture
def desk(dsn, tmp_path):
    desk = Desk(dsn, tmp_path)
    desk.file.write_text(VAULT_KEYS)
    return desk


async def test_the_old_key_is_not_retired_while_a_row_needs_it(desk, db):
    lost = await db.fetchval("select min(id) from provider_key")
    stranger = Vault.parse(generate_key("k0")).seal("sk-lost", bound_to=keys.bound_to(lost))
    await db.execute("update provider_key set sealed_secret = $2 where id = $1", lost, stranger)
    assert (await desk.rotate())[0] == 1
    code, said = await desk.rotate()
    assert code == 2
    assert f"provider_key/{lost}/sealed_secret is sealed with the key 'k0'" in said
    assert desk.vault.key_ids == ("k2", "k1")
    await db.execute("delete from provider_key where id = $1", lost)
    assert (await desk.rotate())[0] == 0
    assert desk.vault.key_ids == ("k2",)


@pytest.mark.parametrize("role", ["web", "worker", "archivist"])
async def test_the_old_key_is_not_retired_while_a_process_does_not_know_the_new_one(desk, db, role):
    presence = Presence(db, role, lease=15, holds=[f"vault:{OLD.fingerprint}"])
    await presence.beat()
    assert (await desk.rotate())[0] == 1
    code, said = await desk.rotate()
    assert code == 1
    assert f"WARN  rotate.vault             {role} {os.getpid()} on" in said
    assert desk.vault.key_ids == ("k2", "k1")
    assert set(await vaults.sealed_with(db)) == {"k1"}
    await presence.leave()
    assert (await desk.rotate())[0] == 0


async def test_a_process_of_an_older_release_says_nothing_and_is_waited_for(desk, db):
    await Presence(db, "worker", lease=15).beat()
    await desk.rotate()
    assert (await desk.rotate())[0] == 1
    assert desk.vault.key_ids == ("k2", "k1")
    assert set(await vaults.sealed_with(db)) == {"k1"}


async def test_a_rotation_that_was_killed_after_the_file_was_written_goes_on(desk, db):
    """The database has not heard of the new key yet; it is the newer one all the same."""
    desk.file.write_text(f"{generate_key('k2')},{VAULT_KEYS}")
    assert (await desk.rotate())[0] == 0
    assert desk.vault.key_ids == ("k2",)
    assert set(await vaults.sealed_with(db)) == {"k2"}


async def test_what_somebody_changes_at_the_same_moment_wins(desk, db, dsn):
    await desk.rotate()
    first = await db.fetchval("select min(id) from provider_key")
    changed = OLD.seal("sk-changed-meanwhile", bound_to=keys.bound_to(first))
    somebody = await asyncpg.connect(dsn)
    async with anyio.create_task_group() as group:
        async with somebody.transaction():
            await somebody.execute("update provider_key set sealed_secret = $2 where id = $1", first, changed)
            found: list[vaults.Resealed] = []

            async def reseal() -> None:
                found.append(await vaults.reseal(db, desk.vault))

            group.start_soon(reseal)
            await until(dsn, "select exists (select from pg_locks where not granted and database is not null)"
                             " or exists (select from pg_stat_activity where wait_event_type = 'Lock')")  # fmt: skip
    await somebody.close()
    assert (found[0].done, found[0].left) == (2, 1)
    assert await db.fetchval("select sealed_secret from provider_key where id = $1", first) == changed
    assert (await desk.rotate())[0] == 0
    assert desk.vault.open(
        await db.fetchval("select sealed_secret from provider_key where id = $1", first), bound_to=keys.bound_to(first)
    ) == "sk-changed-meanwhile"  # fmt: skip


async def test_second_factors_are_sealed_anew_with_the_rest(desk, db, cast):
    people = (cast.alice, cast.bob, cast.carol)
    for account in people:
        await factors.begin(db, OLD, account.id)
    before = [await factors.unconfirmed(db, OLD, account.id) for account in people]
    await desk.rotate()
    assert (await desk.rotate())[0] == 0
    assert await everything_opens(db, desk.vault) == {"k2": 3 + 3}
    assert [await factors.unconfirmed(db, desk.vault, account.id) for account in people] == before


async def test_a_second_factor_moved_to_another_account_stays_shut(db, cast):
    for account in (cast.alice, cast.bob):
        await factors.begin(db, OLD, account.id)
    await db.execute("update second_factor set sealed_secret = (select sealed_secret from second_factor"
                     " where account_id = $1)", cast.alice.id)  # fmt: skip
    shut = [row for row in await vaults.page(db, None, 100) if vaults.trouble(OLD, row)]
    assert [(row.place, row.id) for row in shut] == [("second_factor", str(cast.bob.id))]


@pytest.mark.parametrize("batch", [1, 4])
async def test_whatever_its_id_looks_like_each_is_met_once(db, cast, batch):
    """Ids are numbers and UUIDs: in pages they stand as text, 10 before 9."""
    for number in range(12):
        await keys.add(db, OLD, "openai", f"key {number}", f"sk-live-{number}", actor="test")
    for account in (cast.alice, cast.bob, cast.carol):
        await factors.begin(db, OLD, account.id)
    after, met = None, list[tuple[str, str]]()
    while rows := await vaults.page(db, after, batch):
        after = rows[-1]
        met += [(row.place, row.id) for row in rows]
    assert len(met) == len(set(met)) == 3 + 12 + 3
    done = await vaults.reseal(db, Vault.parse(f"{generate_key('k2')},{VAULT_KEYS}"), batch=batch)
    assert (done.done, done.left, done.stuck) == (18, 0, [])


async def test_another_rotation_begins_only_when_it_is_asked_for(desk):
    await desk.rotate()
    await desk.rotate()
    before = desk.file.read_text()
    assert (await desk.rotate())[0] == 0
    assert desk.file.read_text() == before
    assert (await desk.rotate(again=True))[0] == 1
    assert desk.vault.key_ids == ("k3", "k2")


async def test_a_file_that_says_something_else_than_the_process_was_started_with_is_left_alone(desk, config):
    desk.file.write_text(generate_key("k7"))
    before = desk.file.read_text()
    with pytest.raises(Refused, match="LIMNER_VAULT_KEYS is not what stands in"):
        await keyring.rotate(config, "vault", lambda line: None, folder=desk.folder)
    assert desk.file.read_text() == before


async def test_keys_that_stand_in_no_file_are_written_to_the_folder_that_is_named(config, tmp_path):
    with pytest.raises(Refused, match="LIMNER_VAULT_KEYS does not stand in a file: with --folder"):
        await keyring.rotate(config, "vault", lambda line: None)
    (tmp_path / "new").mkdir()
    await keyring.rotate(config, "vault", lambda line: None, folder=tmp_path / "new")
    fresh = tmp_path / "new" / "vault_keys"
    assert Vault.parse(fresh.read_text()).key_ids == ("k2", "k1")
    assert fresh.stat().st_mode & 0o777 == 0o600


@pytest.mark.timeout(180)
async def test_a_picture_waits_for_a_worker_that_has_the_key(studio, db, cast):
    """A key was added by a process that was started later; the old worker neither fails nor charges the picture."""
    await db.execute("update model set active = false where id <> 'simulator'")
    later = Vault.parse(f"{generate_key('k2')},{VAULT_KEYS}")
    key = await keys.add(db, later, "simulator", "late brush", "simulated-late", actor="test")
    worker = studio.start("worker")
    generation = await generations.order(db, Order(cast.alice.id, "a fox", "simulator", Size(512, 512)), deadline=120)
    await until(studio.dsn, "select waits_until is not null from job where generation_id = $1", generation)
    assert await db.fetchval("select line from job where generation_id = $1", generation) == "waiting for a painter"
    sealed = OLD.seal("simulated-late", bound_to=keys.bound_to(key))
    await db.execute("update provider_key set sealed_secret = $2 where id = $1", key, sealed)
    await db.execute("update message set ready_at = now() where mailbox = 'painting'")  # it need not wait for so long
    await until(studio.dsn, "select state = 'delivered' from job where generation_id = $1", generation, within=60)
    assert worker.poll() is None


async def test_only_one_rotation_at_a_time_works_in_a_folder(desk, config):
    with places.alone(desk.folder), pytest.raises(Refused, match="another rotation is at work"):
        await keyring.rotate(
            config.model_copy(update={"vault_keys": SecretStr(VAULT_KEYS)}),
            "vault",
            lambda line: None,
            folder=desk.folder,
        )
