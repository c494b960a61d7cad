"""The supervisor: who starts when, who comes again with whom, when it gives up, and how it stops."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator

import anyio
import pytest

from limner.runtime.supervisor import ABANDONED, Child, CrashStorm, Supervisor


class Diary(Child):
    """A child that writes down its states."""

    def enter(self, state: str) -> None:
        super().enter(state)
        self.states = [*getattr(self, "states", []), state]


class Troupe:
    """Children that say when they begin and end, and fall when they are told to."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self._more = anyio.Event()
        self._falls: dict[str, anyio.Event] = {}
        self._why: dict[str, Exception | None] = {}

    def say(self, event: str) -> None:
        self.events.append(event)
        self._more.set()

    async def until(self, event: str, times: int = 1) -> None:
        with anyio.fail_after(10):
            while self.events.count(event) < times:
                self._more = anyio.Event()
                await self._more.wait()

    def child(self, name: str, **options: object) -> Diary:
        async def play() -> None:
            self._falls[name] = anyio.Event()
            self.say(f"+{name}")
            try:
                await self._falls[name].wait()
            finally:
                self.say(f"-{name}")
            if (why := self._why.get(name)) is not None:
                raise why

        return Diary(name, play, **options)  # type: ignore[arg-type]

    def fall(self, name: str, why: Exception | None) -> None:
        self._why[name] = why
        self._falls[name].set()

    async def falls(self, name: str, why: Exception | None) -> None:
        """It falls, and its end has been seen."""
        times = self.events.count(f"-{name}") + 1
        self.fall(name, why)
        await self.until(f"-{name}", times)


@pytest.fixture
def troupe() -> Troupe:
    return Troupe()


@contextlib.asynccontextmanager
async def running(supervisor: Supervisor) -> AsyncIterator[None]:
    async with anyio.create_task_group() as group:
        group.start_soon(supervisor.run)
        yield
        supervisor.stop()


def oops() -> ValueError:
    return ValueError("fell")


async def test_they_start_in_order_and_stop_in_reverse(troupe):
    async with running(Supervisor([troupe.child(name) for name in "abc"])):
        await troupe.until("+c")
    assert troupe.events == ["+a", "+b", "+c", "-c", "-b", "-a"]


async def test_they_stop_in_reverse_when_the_supervisor_is_cancelled(troupe):
    supervisor = Supervisor([troupe.child(name) for name in "abc"])
    async with anyio.create_task_group() as group:
        group.start_soon(supervisor.run)
        await troupe.until("+c")
        group.cancel_scope.cancel()
    assert troupe.events[3:] == ["-c", "-b", "-a"]


async def test_the_next_one_waits_until_the_one_before_says_that_it_is_up(troupe):
    up = anyio.Event()
    children = [troupe.child("a", started=up.wait), troupe.child("b")]
    async with running(Supervisor(children)):
        await troupe.until("+a")
        await anyio.wait_all_tasks_blocked()
        assert (troupe.events, children[0].state) == (["+a"], "starting")
        up.set()
        await troupe.until("+b")
        assert children[0].state == "running"


@pytest.mark.parametrize("strategy", ["one_for_one", "rest_for_one", "one_for_all"])
async def test_one_that_falls_before_it_is_up_holds_the_others_back_until_it_is(troupe, strategy):
    up = anyio.Event()
    children = [troupe.child("a", started=up.wait), troupe.child("b")]
    async with running(Supervisor(children, strategy=strategy)):
        await troupe.until("+a")
        troupe.fall("a", oops())
        await troupe.until("+a", 2)
        up.set()
        await troupe.until("+b")
    assert troupe.events == ["+a", "-a", "+a", "+b", "-b", "-a"]


async def test_nobody_waits_for_one_that_will_never_be_up(troupe):
    children = [troupe.child("a", started=anyio.Event().wait, restart="temporary"), troupe.child("b")]
    async with running(Supervisor(children)):
        await troupe.until("+a")
        troupe.fall("a", oops())
        await troupe.until("+b")
    assert troupe.events[:3] == ["+a", "-a", "+b"]


@pytest.mark.parametrize(
    "strategy, seen",
    [
        ("one_for_one", ["-b", "+b"]),
        ("rest_for_one", ["-b", "-c", "+b", "+c"]),
        ("one_for_all", ["-b", "-c", "-a", "+a", "+b", "+c"]),
    ],
)
async def test_the_strategy_says_who_comes_again_with_one_that_crashed(troupe, strategy, seen):
    children = [troupe.child(name) for name in "abc"]
    async with running(Supervisor(children, strategy=strategy)):
        await troupe.until("+c")
        await troupe.falls("b", oops())
        await troupe.until(seen[-1], 2)
        assert troupe.events[3:] == seen
    assert [child.restarts for child in children] == [0, 1, 0]


async def test_a_fall_in_the_middle_of_a_restart_restarts_all_it_has_to(troupe):
    up = anyio.Event()
    up.set()
    children = [troupe.child("a"), troupe.child("b", started=lambda: up.wait()), troupe.child("c")]
    async with running(Supervisor(children, strategy="rest_for_one")):
        await troupe.until("+c")
        up = anyio.Event()  # the second b will never say that it is up
        troupe.fall("b", oops())
        await troupe.until("+b", 2)
        troupe.fall("a", oops())
        await troupe.until("+a", 2)
        up.set()
        up = anyio.Event()
        up.set()
        await troupe.until("+c", 2)
    assert troupe.events == ["+a", "+b", "+c", "-b", "-c", "+b", "-a", "-b", "+a", "+b", "+c", "-c", "-b", "-a"]


@pytest.mark.parametrize(
    "restart, why, comes_again",
    [
        ("permanent", None, True),
        ("permanent", oops(), True),
        ("transient", None, False),
        ("transient", oops(), True),
        ("temporary", None, False),
        ("temporary", oops(), False),
    ],
)
async def test_who_comes_again_after_which_end(troupe, restart, why, comes_again):
    child = troupe.child("a", restart=restart)
    async with running(Supervisor([child])):
        await troupe.until("+a")
        await troupe.falls("a", why)
        if comes_again:
            await troupe.until("+a", 2)
        else:
            await anyio.wait_all_tasks_blocked()
            assert child.state == ("done" if why is None else "crashed")
    assert troupe.events.count("+a") == 1 + comes_again


async def test_a_temporary_child_that_fell_with_a_sibling_stays_away(troupe):
    children = [troupe.child("a"), troupe.child("guest", restart="temporary"), troupe.child("b")]
    async with running(Supervisor(children, strategy="one_for_all")):
        await troupe.until("+b")
        troupe.fall("a", oops())
        await troupe.until("+b", 2)
        assert (troupe.events.count("+guest"), children[1].state) == (1, "stopped")


async def test_one_that_crashes_goes_on_and_its_report_tells(troupe):
    children = [troupe.child("fragile", about=lambda: {"mailbox": "door"}), troupe.child("steady")]
    supervisor = Supervisor(children)
    before = children[0].since
    async with running(supervisor):
        for times in (1, 2):
            await troupe.until("+fragile", times)
            troupe.fall("fragile", oops())
        await troupe.until("+fragile", 3)
        fragile, steady = supervisor.report()
    assert fragile.pop("since") >= round(before, 3)
    assert fragile == {
        "name": "fragile", "state": "running", "restarts": 2, "last_error": "ValueError: fell", "mailbox": "door",
    }  # fmt: skip
    assert (steady["restarts"], troupe.events.count("+steady")) == (0, 1)


async def test_what_it_says_of_a_crash_holds_no_secret_and_is_not_long(troupe):
    child = troupe.child("fragile")
    async with running(Supervisor([child])):
        await troupe.until("+fragile", 1)
        troupe.fall("fragile", ValueError("no answer from socks5://me:hunter-22@192.0.2.1:1080 " + "x" * 500))
        await troupe.until("+fragile", 2)
    assert "hunter-22" not in child.last_error
    assert child.last_error.startswith("ValueError: no answer from socks5://")
    assert len(child.last_error) == 300


async def test_a_crash_storm_ends_it_and_stops_the_others_in_reverse(troupe):
    async def always() -> None:
        raise oops()

    children = [troupe.child("a"), troupe.child("b"), Child("always", always)]
    with pytest.raises(CrashStorm, match="4 crashes in 30 s, always the last"), anyio.fail_after(10):
        await Supervisor(children, intensity=3, period=30).run()
    assert troupe.events == ["+a", "+b", "-b", "-a"]
    assert children[2].restarts == 4


async def test_crashes_that_lie_apart_are_no_storm(troupe):
    supervisor = Supervisor([troupe.child("a")], intensity=1, period=0.05)
    async with running(supervisor):
        for times in range(1, 5):  # the pause before each restart is longer than the period
            await troupe.until("+a", times)
            troupe.fall("a", oops())
        await troupe.until("+a", 5)


@pytest.mark.parametrize("wrapped", [False, True])
async def test_an_outage_is_a_state_and_no_storm(troupe, wrapped):
    outage: Exception = ConnectionRefusedError("no database")
    child = troupe.child("thirsty")
    supervisor = Supervisor([child], intensity=1, period=60)
    async with running(supervisor):
        for times in range(1, 5):
            await troupe.until("+thirsty", times)
            await troupe.falls("thirsty", ExceptionGroup("from a task group", [outage]) if wrapped else outage)
        await troupe.until("+thirsty", 5)
    assert [state for state in child.states if state != "running"] == ["new", *["degraded"] * 4, "stopped"]


async def test_a_storm_in_a_supervisor_below_is_one_crash_above(troupe):
    below = Supervisor([troupe.child("a"), troupe.child("b")], intensity=0, strategy="one_for_all")
    children = [troupe.child("first"), below.as_child("pair"), troupe.child("last")]
    above = Supervisor(children, intensity=1)
    async with running(above):
        await troupe.until("+b")
        await troupe.until("+last")
        troupe.fall("b", oops())
        await troupe.until("+b", 2)
        await anyio.wait_all_tasks_blocked()
        pair = above.report()[1]
    assert (pair["restarts"], pair["last_error"]) == (1, "CrashStorm: 1 crashes in 30 s, b the last")
    assert [child["state"] for child in pair["children"]] == ["running", "running"]
    assert troupe.events.count("+first") == 1
    assert [event for event in troupe.events if event[0] == "-"] == ["-b", "-a", "-last", "-b", "-a", "-first"]


async def test_what_lies_below_drains_while_everything_above_and_beside_is_there(troupe):
    may_end = anyio.Event()
    asked = anyio.Event()

    async def worker() -> None:
        troupe.say("+worker")
        await may_end.wait()
        troupe.say("-worker by itself")

    below = Supervisor([troupe.child("bus"), Child("worker", worker, drain=asked.set, patience=5)])
    above = Supervisor([troupe.child("presence"), below.as_child("below")])
    async with anyio.create_task_group() as group:
        group.start_soon(above.run)
        await troupe.until("+worker")
        above.stop()
        await asked.wait()
        await anyio.wait_all_tasks_blocked()
        assert "-bus" not in troupe.events
        may_end.set()
    assert troupe.events[3:] == ["-worker by itself", "-bus", "-presence"]


async def test_it_drains_before_it_cancels(troupe):
    may_end = anyio.Event()

    async def worker() -> None:
        troupe.say("+worker")
        await may_end.wait()
        troupe.say("-worker by itself")

    children = [troupe.child("a"), troupe.child("b"), Child("worker", worker, drain=may_end.set, patience=3)]
    async with running(Supervisor(children)):
        await troupe.until("+worker")
    assert troupe.events[3:] == ["-worker by itself", "-b", "-a"]
    assert (children[2].state, children[2].restarts) == ("stopped", 0)


async def test_one_that_does_not_drain_in_time_is_cancelled(troupe):
    supervisor = Supervisor([troupe.child("stubborn", drain=lambda: None, patience=0.05)])
    with anyio.fail_after(5):
        async with running(supervisor):
            await troupe.until("+stubborn")
    assert troupe.events == ["+stubborn", "-stubborn"]


async def test_one_that_is_stopped_before_it_began_starts_nobody(troupe):
    supervisor = Supervisor([troupe.child("a")])
    supervisor.stop()
    with anyio.fail_after(5):
        await supervisor.run()
    assert troupe.events == []


ZOMBIE = """
import anyio
from limner.runtime.supervisor import Child, Supervisor

up = anyio.Event()

async def deaf():
    up.set()
    with anyio.CancelScope(shield=True):
        await anyio.sleep_forever()

async def polite():
    try:
        await anyio.sleep_forever()
    finally:
        print("polite has ended", flush=True)

async def main():
    supervisor = Supervisor([Child("polite", polite), Child("deaf", deaf, shutdown=0.2)])
    async with anyio.create_task_group() as group:
        group.start_soon(supervisor.run)
        await up.wait()
        supervisor.stop()

anyio.run(main)
"""


def test_one_that_ignores_its_cancellation_is_abandoned_and_the_process_says_so():
    run = subprocess.run([sys.executable, "-P", "-c", ZOMBIE], capture_output=True, text=True, timeout=30, check=False)
    assert run.returncode == ABANDONED
    assert "child_abandoned" in run.stdout
    assert run.stdout.strip().endswith("polite has ended")
