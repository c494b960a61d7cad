"""A handler that holds up its whole process and then crashes: each try counts, so that it ends."""

from __future__ import annotations

import time
from dataclasses import dataclass

import anyio
import pytest

from limner.runtime import mailbox
from limner.runtime.actor import Actor
from limner.runtime.bus import Bus
from limner.runtime.mailbox import Message
from limner.runtime.presence import Presence
from tests.faults.crew import until

LEASE = 1.0
TRIES = 2

pytestmark = pytest.mark.timeout(60)


@dataclass(frozen=True)
class Grind(Message):
    """Grind without a pause."""

    mailbox = "mill"


class Mill(Actor):
    mailbox = "mill"
    messages = (Grind,)
    pause = 0.3
    began = 0

    async def receive(self, message: Grind) -> None:
        self.began += 1
        time.sleep(LEASE * 0.8)  # nobody else of this process can do anything, nor tell that it lives
        raise ArithmeticError("ground to a halt")


async def test_a_handler_that_holds_up_its_process_and_crashes_is_buried_after_its_last_try(db, dsn):
    presence, bus = Presence(db, "test", lease=LEASE), Bus(db)
    await presence.beat()
    mill = Mill(db, bus, presence)
    async with anyio.create_task_group() as group:
        for work in (presence.run, bus.run, mill.run):
            group.start_soon(work)
        await mailbox.send(db, Grind(), max_attempts=TRIES)
        try:
            await until(dsn, "select count(*) = 1 from dead_letter", within=20)
        finally:
            print(f"begun {mill.began} times")
            group.cancel_scope.cancel()
    assert mill.began == TRIES
