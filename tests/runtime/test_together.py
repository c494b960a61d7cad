"""Calls that go out together: everybody gets the answer to his own, and nobody's trouble is another's."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import asyncpg
import pytest

from limner.runtime.together import Together


class Carrier:
    """Carries numbers, doubled; the test lets each load go."""

    def __init__(self) -> None:
        self.loads: list[list[int]] = []
        self.gate = anyio.Semaphore(0)
        self.arrived = anyio.Semaphore(0)
        self.trouble: dict[int, Exception] = {}

    async def carry(self, load):
        self.loads.append(list(load))
        self.arrived.release()
        await self.gate.acquire()
        for number in load:
            if number in self.trouble:
                raise self.trouble[number]
        return [number * 2 for number in load]


class Crowd:
    """Callers, and what each of them got."""

    def __init__(self, together, group) -> None:
        self.together, self.group = together, group
        self.got: dict[int, object] = {}

    async def send(self, *numbers: int) -> None:
        for number in numbers:
            self.group.start_soon(self._one, number)
        await anyio.wait_all_tasks_blocked()

    async def _one(self, number: int) -> None:
        try:
            self.got[number] = await self.together.do(number)
        except (ValueError, OSError, asyncpg.DataError) as error:
            self.got[number] = type(error)


@pytest.fixture
def carrier():
    return Carrier()


async def test_one_alone_goes_at_once_and_who_comes_meanwhile_goes_with_the_next(carrier):
    async with anyio.create_task_group() as group:
        crowd = Crowd(Together(carrier.carry), group)
        await crowd.send(1)
        await crowd.send(2, 3, 4)
        assert carrier.loads == [[1]]
        carrier.gate.release()
        carrier.gate.release()
    assert carrier.loads == [[1], [2, 3, 4]]
    assert crowd.got == {1: 2, 2: 4, 3: 6, 4: 8}


async def test_a_load_is_not_larger_than_it_may_be(carrier):
    async with anyio.create_task_group() as group:
        crowd = Crowd(Together(carrier.carry, most=2), group)
        await crowd.send(1)
        await crowd.send(2, 3, 4)
        for _ in range(3):
            carrier.gate.release()
    assert carrier.loads == [[1], [2, 3], [4]]
    assert crowd.got == {1: 2, 2: 4, 3: 6, 4: 8}


async def test_a_bad_one_fails_alone(carrier):
    carrier.trouble[3] = asyncpg.DataError("three")
    async with anyio.create_task_group() as group:
        crowd = Crowd(Together(carrier.carry), group)
        await crowd.send(1)
        await crowd.send(2, 3, 4)
        for _ in range(5):
            carrier.gate.release()
    assert carrier.loads == [[1], [2, 3, 4], [2], [3], [4]]
    assert crowd.got == {1: 2, 2: 4, 3: asyncpg.DataError, 4: 8}


async def test_an_outage_is_everybodys_and_the_next_load_goes_out(carrier):
    carrier.trouble[3] = OSError("gone")
    async with anyio.create_task_group() as group:
        crowd = Crowd(Together(carrier.carry), group)
        await crowd.send(1)
        await crowd.send(2, 3)
        carrier.gate.release()
        await anyio.wait_all_tasks_blocked()
        await crowd.send(4)
        carrier.gate.release()
        carrier.gate.release()
    assert crowd.got == {1: 2, 2: OSError, 3: OSError, 4: 8}


async def test_an_outage_while_each_goes_alone_leaves_nobody_without_an_answer(carrier):
    carrier.trouble |= {2: asyncpg.DataError("two"), 3: OSError("gone")}
    async with anyio.create_task_group() as group:
        crowd = Crowd(Together(carrier.carry), group)
        await crowd.send(1)
        await crowd.send(2, 3, 4)
        for _ in range(5):
            carrier.gate.release()
    assert crowd.got == {1: 2, 2: asyncpg.DataError, 3: OSError, 4: 8}


async def test_who_gives_up_waiting_is_left_out_and_who_gives_up_on_the_way_holds_up_nobody(carrier):
    async with anyio.create_task_group() as group:
        together = Together(carrier.carry)
        crowd = Crowd(together, group)
        async with anyio.create_task_group() as leader:
            leader.start_soon(together.do, 1)
            await anyio.wait_all_tasks_blocked()
            async with anyio.create_task_group() as waiter:
                waiter.start_soon(together.do, 2)
                await anyio.wait_all_tasks_blocked()
                waiter.cancel_scope.cancel()
            await crowd.send(3)
            leader.cancel_scope.cancel()
            carrier.gate.release()
        carrier.gate.release()
    assert carrier.loads == [[1], [3]]
    assert crowd.got == {3: 6}


async def test_who_is_ready_in_the_same_round_goes_along_where_many_come(carrier, monkeypatch):
    carrier.gate = anyio.Semaphore(100)
    together = Together(carrier.carry)

    async def at_once(*numbers: int) -> None:
        async with anyio.create_task_group() as group:
            for number in numbers:
                group.start_soon(together.do, number)

    monkeypatch.setattr("limner.runtime.together.RECENTLY", 60)
    await at_once(1)
    await at_once(2, 3, 4)  # right after the first: there is company to be had
    assert carrier.loads == [[1], [2, 3, 4]]
    monkeypatch.setattr("limner.runtime.together.RECENTLY", 0)
    await at_once(5, 6)  # after a while there is none, and nobody waits for it
    assert carrier.loads[2:] == [[5], [6]]
