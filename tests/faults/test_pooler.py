"""Behind PgBouncer in transaction mode: what the mailbox promises holds without a session of one's own, by polling."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import signal
import subprocess
import tempfile
from collections import defaultdict
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import anyio
import asyncpg
import pytest

from limner.runtime import embedded, mailbox, placement, upkeep
from limner.runtime.errors import FenceLost
from limner.runtime.opening import open_database
from limner.runtime.presence import Presence
from tests.faults.clerk import LEASE, Stamp
from tests.faults.crew import free_port, frozen, happens, until
from tests.faults.office import BEATS, DONE, heartbeats, overlaps, uncounted

FULL = os.environ.get("FAULT_FULL") == "1"
"""FAULT_FULL=1 for the long form, FAULT_SEED=… to repeat one."""
SEED = int(os.environ.get("FAULT_SEED", random.randrange(2**32)))
PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")

pytestmark = [
    pytest.mark.timeout(600 if FULL else 120),
    pytest.mark.skipif(PGBOUNCER is None, reason="LOUD: there is no pgbouncer here, so nobody knows whether we work behind it"),
]  # fmt: skip

# Each transaction gets another session than the one before, as far as there are others: nothing that is left in one can help.
SETTINGS = """
[databases]
{name} = host={sockets} port=5432 dbname={name} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 5
server_round_robin = 1
max_client_conn = 200
"""


@pytest.fixture
async def pooler(dsn: str):
    """The address of the test's database by way of a PgBouncer."""
    parts = urlsplit(dsn)
    (sockets,) = parse_qs(parts.query)["host"]
    name, port = parts.path.lstrip("/"), free_port()
    with tempfile.TemporaryDirectory(prefix="limner-test-", dir="/tmp") as made:
        folder = Path(made)
        folder.chmod(0o755)
        (folder / "pgbouncer.ini").write_text(
            SETTINGS.format(name=name, sockets=sockets, user=parts.username, port=port)
        )
        owner = placement.owner_of(folder)  # who may enter the folder of the sockets
        who = {"user": owner.uid, "group": owner.gid, "extra_groups": []} if owner else {}
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [str(PGBOUNCER), str(folder / "pgbouncer.ini")], cwd="/", stdout=log, stderr=log,
                preexec_fn=embedded.die_with_parent(signal.SIGKILL), **who,
            )  # fmt: skip
        address = f"postgresql://{parts.username}@127.0.0.1:{port}/{name}"
        try:
            await _answers(address, process, folder / "log")
            yield address
        finally:
            process.kill()
            process.wait(10)


async def _answers(address, process, log):
    with anyio.fail_after(30):
        while True:
            assert process.poll() is None, log.read_text()
            with contextlib.suppress(OSError, asyncpg.PostgresError):
                connection = await asyncpg.connect(address, timeout=5)
                return await connection.close()
            await anyio.sleep(0.05)


async def test_behind_a_pooler_nothing_is_lost_or_begun_by_two_whoever_is_killed_or_frozen(office, pooler, db):
    dice = random.Random(SEED)
    print(f"FAULT_SEED={SEED}")
    await db.execute(BEATS)

    def worker():
        return office.start("work", "pooled", dsn=pooler)

    workers = [worker() for _ in range(3)]
    for turn in range(20 if FULL else 3):
        producer = office.start("produce", 1 + turn * 10_000, 2000, 0.01, "pooled", dsn=pooler)
        await happens(lambda turn=turn: any(number > turn * 10_000 + 40 for number in office.numbers("sent")))
        await anyio.sleep(dice.uniform(0, 0.5))
        producer.kill()
        victim = dice.randrange(len(workers))
        await happens(lambda victim=victim: office.owner(workers[victim]) != "")
        if turn % 3 == 1:
            await _freeze(workers[victim])
        else:
            workers[victim].kill()
            workers[victim] = worker()
    await until(office.dsn, DONE, within=60)
    sent, events = office.numbers("sent"), office.events("start", "stopped", "end")
    print(f"{len(sent)} sent, {len(office.numbers('end'))} done, {len(office.numbers('unsure'))} unsure")
    assert sent <= office.numbers("end"), "acknowledged, and lost"
    assert await db.fetchval("select count(*) from dead_letter") == 0
    assert overlaps(events, await heartbeats(db), LEASE) == []
    assert uncounted(events) == []


async def _freeze(worker):
    """For two leases; that pause is the fault itself."""
    worker.send_signal(signal.SIGSTOP)
    await frozen(worker)
    await anyio.sleep(2 * LEASE)
    worker.send_signal(signal.SIGCONT)


async def test_behind_a_pooler_a_lost_fence_changes_nothing(pooler):
    async with open_database(pooler, role="test", pool=4, pooled=True) as db:
        late, heir = Presence(db, "test", lease=3), Presence(db, "test", lease=3)
        await late.beat()
        await mailbox.send(db, Stamp(1, 0.0))
        (mine,) = await mailbox.claim(db, "desk", late.id, 1)
        await db.execute("update worker set seen_at = now() - interval '4 s' where id = $1", late.id)
        await heir.beat()
        assert await upkeep.rescue(db, 3) == 1
        (theirs,) = await mailbox.claim(db, "desk", heir.id, 1)
        for late_write in (
            lambda: mailbox.ack(db, mine.fence),
            lambda: mailbox.report(db, mine.fence, {"share": 1}),
            lambda: mailbox.retry(db, mine.fence, after=1, error="too late"),
            lambda: mailbox.bury(db, mine.fence, "too late"),
        ):
            with pytest.raises(FenceLost):
                await late_write()
        async with db.transaction() as tx:
            await mailbox.hold(tx, theirs.fence)
            await mailbox.ack(tx, theirs.fence)
        assert await db.fetchval("select count(*) from message") == 0


async def test_behind_a_pooler_a_key_is_sent_once_by_many_at_the_same_time(pooler):
    async with open_database(pooler, role="test", pool=4, pooled=True) as db:
        sent = await asyncio.gather(
            *(mailbox.send(db, Stamp(number, 0.0), key=f"key {number % 5}") for number in range(50))
        )
        assert len([each for each in sent if each is not None]) == 5
        assert await db.fetchval("select count(*) from message") == 5


async def test_behind_a_pooler_a_commit_is_seen_by_polling_and_a_rollback_never(office, pooler):
    office.start("work", "pooled", dsn=pooler)
    await happens(lambda: bool(office.events("up")))
    began: defaultdict[int, list[float]] = defaultdict(list)
    async with open_database(pooler, role="test", pool=2, pooled=True) as db:
        for number in (1, 2, 3):
            with contextlib.suppress(InterruptedError):
                async with db.transaction() as tx:
                    await mailbox.send(tx, Stamp(-number, 0.0))
                    raise InterruptedError
            async with db.transaction() as tx:
                await mailbox.send(tx, Stamp(number, 0.0))
            await happens(lambda number=number: number in office.numbers("end"), within=10)
    for event in office.events("start"):
        began[event["number"]].append(event["at"])
    assert began.keys() == {1, 2, 3}
