"""One stop-watch for all that a worker paints: what happens to it, or to one picture, takes nothing from the others."""

from __future__ import annotations

import asyncio

import anyio
import asyncpg
import pytest

from limner.actors.stopwatch import Stopwatch
from limner.runtime import mailbox
from limner.runtime.presence import Presence
from limner.sql import generations, jobs

CANCEL = """
select pg_cancel_backend(pid) from pg_stat_activity
where datname = current_database() and wait_event_type = 'Lock' and query like '%cancel_asked or state%'
"""


@pytest.fixture
async def job(stage):
    await stage.key()
    await stage.order()
    presence = Presence(stage.db, "worker", lease=30)
    await presence.beat()
    (claimed,) = await mailbox.claim_fairly(stage.db, "painting", presence.id, 1)
    return await jobs.start(stage.db, claimed.payload["job_id"], claimed.fence)


async def test_a_look_that_is_broken_off_is_taken_again(stage, db, job):
    stopwatch, stops = Stopwatch(db), []

    async def over() -> None:
        stops.append(await stopwatch.over(job, anyio.sleep_forever))
        group.cancel_scope.cancel()

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(stopwatch.run)
            group.start_soon(over)
            connection = await asyncpg.connect(db.dsn)
            async with connection.transaction():
                await connection.execute("lock table job in access exclusive mode")
                while not await db.fetch(CANCEL):
                    await asyncio.sleep(0.05)
            await connection.close()
            await generations.cancel(db, job.generation_id, stage.alice)
    ((stop, _),) = stops
    assert stop.reason == "canceled while it was painted"


async def test_a_picture_that_came_back_to_its_worker_is_watched(stage, db, job):
    """Its earlier try ends here only after the next one has begun."""
    stopwatch, gone, stops = Stopwatch(db), anyio.Event(), []

    async def again() -> None:
        stops.append(await stopwatch.over(job, anyio.sleep_forever))
        group.cancel_scope.cancel()

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            async with anyio.create_task_group() as first:
                first.start_soon(stopwatch.over, job, gone.wait)
                await anyio.wait_all_tasks_blocked()
                group.start_soon(again)
                await anyio.wait_all_tasks_blocked()
                gone.set()
            group.start_soon(stopwatch.run)
            await generations.cancel(db, job.generation_id, stage.alice)
    ((stop, _),) = stops
    assert stop.reason == "canceled while it was painted"
