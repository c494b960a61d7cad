"""The supervisor: restarts one, leaves its siblings alone, gives up on a storm, stops in order."""

from __future__ import annotations

import anyio
import pytest

from limner.runtime.supervisor import Child, CrashStorm, Supervisor


async def test_one_that_crashes_is_restarted_and_its_siblings_go_on():
    starts, sibling = [], anyio.Event()

    async def fragile() -> None:
        starts.append("start")
        if len(starts) < 3:
            raise ValueError("fell")
        sibling.set()
        await anyio.sleep_forever()

    async def steady() -> None:
        starts_of_steady.append("start")
        await anyio.sleep_forever()

    starts_of_steady: list[str] = []
    children = [Child("fragile", fragile), Child("steady", steady)]
    supervisor = Supervisor(children)
    async with anyio.create_task_group() as group:
        group.start_soon(supervisor.run)
        with anyio.fail_after(5):
            await sibling.wait()
        supervisor.stop()
    assert (len(starts), len(starts_of_steady)) == (3, 1)
    assert (children[0].restarts, children[0].last_error) == (2, "ValueError: fell")


async def test_a_crash_storm_ends_it():
    async def always() -> None:
        raise ValueError("again")

    with pytest.raises(BaseExceptionGroup) as storm:
        with anyio.fail_after(10):
            await Supervisor([Child("always", always)], intensity=3, period=30).run()
    assert storm.group_contains(CrashStorm)


async def test_an_outage_is_a_state_and_no_storm():
    tries = []

    async def without_database() -> None:
        tries.append(1)
        if len(tries) > 6:
            await anyio.sleep_forever()
        raise ConnectionRefusedError("no database")

    child = Child("thirsty", without_database)
    supervisor = Supervisor([child], intensity=2, period=60)
    async with anyio.create_task_group() as group:
        group.start_soon(supervisor.run)
        with anyio.fail_after(20):
            while len(tries) < 4:
                await anyio.sleep(0.01)
        assert child.state in ("degraded", "running")
        supervisor.stop()


async def test_it_drains_before_it_cancels_and_stops_in_reverse_order():
    ended: list[str] = []
    may_end = anyio.Event()

    async def worker() -> None:
        await may_end.wait()
        ended.append("worker by itself")

    async def base(name: str) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(name)

    children = [
        Child("first", lambda: base("first")),
        Child("second", lambda: base("second")),
        Child("worker", worker, drain=may_end.set, patience=3),
    ]
    supervisor = Supervisor(children)
    async with anyio.create_task_group() as group:
        group.start_soon(supervisor.run)
        await anyio.sleep(0.05)
        supervisor.stop()
    assert ended == ["worker by itself", "second", "first"]


async def test_one_that_does_not_drain_in_time_is_cancelled():
    cancelled = anyio.Event()

    async def stubborn() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()

    supervisor = Supervisor([Child("stubborn", stubborn, drain=lambda: None, patience=0.1)])
    async with anyio.create_task_group() as group:
        group.start_soon(supervisor.run)
        await anyio.sleep(0.05)
        with anyio.fail_after(3):
            supervisor.stop()
            await cancelled.wait()
