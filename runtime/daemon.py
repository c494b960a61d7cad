"""supervisord as a child of ours: started, watched, and stopped with everything below it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import xmlrpc.client
from collections import defaultdict
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from supervisor.xmlrpc import SupervisorTransport

from limner.runtime.embedded import die_with_parent
from limner.runtime.errors import WRONG_SETTINGS, Hopeless, Refused

STOP_WITHIN = 9.0
"""Seconds for an orderly stop; what still runs then is killed."""
DRAIN = 4
"""Seconds for running work, unless LIMNER_DRAIN is set: supervisor.conf kills after 5."""
PAUSE = 0.1
MIGRATE_TRIES = 3
STORM = 60
"""Seconds in which a program that is started more than STORM_STARTS times counts as broken."""
STORM_STARTS = 6
TAIL_LINES = 15
TROUBLE = (OSError, HTTPException, xmlrpc.client.Error)
"""What asking a supervisord that starts, stops or is gone can raise."""


class Daemon:
    """One supervisord and the process ids of its programs, as far as it told them."""

    def __init__(self, process: subprocess.Popen[bytes], control: Path, data_dir: Path) -> None:
        self._process = process
        self._control = control
        self._logs = data_dir / "logs"
        self._pids: set[int] = set()
        self._failed_migrations: set[int] = set()
        self._starts: defaultdict[str, set[int]] = defaultdict(set)

    @classmethod
    def start(cls, conf: Path, control: Path, data_dir: Path, *, embedded_postgres: bool) -> Daemon:
        """Start supervisord in a session of its own, so that Ctrl-C reaches us alone. Raises Refused."""
        if not conf.exists():
            raise Refused(f"there is no {conf}: the all-in-one mode runs from a source tree")
        programs = Path(sys.executable).parent
        environment = os.environ | {
            "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "PYTHONSAFEPATH": "1",
            "LIMNER_DATA_DIR": str(data_dir),
            "ALLINONE_SOCKET": str(control),
            "ALLINONE_POSTGRES": str(embedded_postgres).lower(),
        }
        environment.setdefault("LIMNER_DRAIN", str(DRAIN))
        with (data_dir / "logs" / "supervisord.err").open("wb") as errors:
            process = subprocess.Popen(  # noqa: S603
                [programs / "supervisord", "-c", conf],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGTERM),
            )
        return cls(process, control, data_dir)

    @staticmethod
    async def end_predecessor(control: Path) -> None:
        """Stop the supervisord that a killed `limner up` left behind. Raises Refused when it stays."""
        if await anyio.to_thread.run_sync(_call, control, "getPID") is None:
            return
        await anyio.to_thread.run_sync(_call, control, "shutdown")
        for _ in range(int(STOP_WITHIN / PAUSE)):
            if await anyio.to_thread.run_sync(_call, control, "getPID") is None:
                return
            await anyio.sleep(PAUSE)
        raise Refused(f"the supervisord of an earlier start does not stop; it listens on {control}")

    async def check(self) -> None:
        """Raises Hopeless, with the end of a log, when supervisord is gone or a program gave up."""
        if self._has_ended():
            ended = f"supervisord ended unexpectedly (exit status {self._process.returncode})"
            raise Hopeless(f"{ended}\n{self._tail('supervisord.err')}".strip())
        for program in await self._programs():
            if how := self._trouble(program):
                name = str(program["name"])
                raise Hopeless(f"{name} {how}; the end of {name}.log:\n{self._tail(f'{name}.log')}")

    async def describe(self) -> str:
        """One line for each program: its name, state and what supervisord has to say of it."""
        programs = await self._programs()
        return "\n".join(f"  {p['name']}: {p['statename']} {p['spawnerr'] or p['description']}" for p in programs)

    async def stop(self) -> None:
        """Orderly, then by force. Afterwards nothing runs but, if supervisord was killed, perhaps Postgres."""
        await self._programs()
        self._process.terminate()
        if not await _until(self._has_ended, STOP_WITHIN):
            self._process.kill()
            self._process.wait()
        if self._process.returncode != 0:
            self._signal_programs(signal.SIGTERM)
            await _until(lambda: not any(_exists(pid) for pid in self._pids), 1)
            self._signal_programs(signal.SIGKILL)

    async def _programs(self) -> list[dict[str, Any]]:
        programs: list[dict[str, Any]] = await anyio.to_thread.run_sync(_call, self._control, "getAllProcessInfo") or []
        if programs:
            self._pids = {program["pid"] for program in programs if program["pid"] and program["name"] != "postgres"}
        return programs

    def _trouble(self, program: dict[str, Any]) -> str | None:
        """Why nothing more is to be hoped from it; None while there is hope."""
        if program["statename"] == "EXITED" and program["exitstatus"] == WRONG_SETTINGS:
            return "cannot work as it is set up"
        if program["statename"] == "FATAL" or self._migration_failed(program):
            return "does not start"
        return "keeps ending" if self._keeps_ending(program) else None

    def _keeps_ending(self, program: dict[str, Any]) -> bool:
        """It stays up for longer than startsecs, so supervisord would start it for ever."""
        if program["name"] == "migrate":
            return False
        starts = self._starts[program["name"]]
        starts.add(program["start"])
        return len([start for start in starts if start > program["now"] - STORM]) > STORM_STARTS

    def _migration_failed(self, program: dict[str, Any]) -> bool:
        if program["name"] == "migrate" and program["exitstatus"]:
            self._failed_migrations.add(program["start"])
        return len(self._failed_migrations) >= MIGRATE_TRIES

    def _has_ended(self) -> bool:
        return self._process.poll() is not None

    def _signal_programs(self, how: signal.Signals) -> None:
        for pid in self._pids:  # each leads a process group: supervisord made it so
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, how)

    def _tail(self, name: str) -> str:
        with contextlib.suppress(FileNotFoundError):
            text = (self._logs / name).read_text(errors="replace")
            return "\n".join(f"  {line}" for line in text.splitlines()[-TAIL_LINES:])
        return ""


def _call(control: Path, method: str) -> Any:
    """Ask the supervisord at this socket; None when it does not answer."""
    transport = SupervisorTransport(None, None, f"unix://{control}")
    with contextlib.suppress(*TROUBLE), contextlib.closing(transport):
        return getattr(xmlrpc.client.ServerProxy("http://localhost", transport).supervisor, method)()
    return None


def _exists(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, 0)
        return True
    return False


async def _until(happened: Callable[[], bool], seconds: float) -> bool:
    for _ in range(int(seconds / PAUSE)):
        if happened():
            return True
        await anyio.sleep(PAUSE)
    return happened()
