"""How a process hears that it has to stop: by a signal, or because supervisord is gone."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import anyio
import anyio.abc

from limner.runtime.log import logger

log = logger(__name__)


async def stop_on_signal(
    stop: Callable[[], None], *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED
) -> None:
    """Call ``stop`` at SIGTERM or SIGINT; a second signal ends the process at once."""
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        asked = False
        async for number in signals:
            if asked:
                os._exit(128 + number)
            asked = True
            log.info("stopping", signal=signal.Signals(number).name)
            stop()


async def stop_when_orphaned(stop: Callable[[], None]) -> None:
    """Under supervisord: call ``stop`` when it has died, so that the next start finds no leftovers."""
    parent = os.getppid()
    while os.getppid() == parent:
        await anyio.sleep(1)
    log.warning("orphaned")
    stop()
