"""The fleet of plain processes: an image is a folder (an environment, a source tree) whose bin/limner is run."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from limner.actors.shipwright import choices
from limner.actors.shipwright.command import Done, Talk, run, spawn
from limner.actors.shipwright.fleet import NOTES, ORDER, Broken, Images
from limner.runtime.errors import Refused, as_raised

MAP = "fleet.json"
"""``{"images": {"app": FOLDER, "ops": FOLDER or ""}, "roles": {ROLE: {SETTING: VALUE}}, "settings": {SETTING: VALUE}}``."""
RUNNING = "running.json"
GRACE = 30
"""Seconds that a process may take to end before it is killed."""
QUICK = 30.0
PAUSE = 0.2
TAIL = 40


@dataclass(frozen=True)
class Running:
    """A process, and the moment of its birth, for the number alone may be somebody else's by now."""

    pid: int
    born: str
    image: str

    @property
    def is_alive(self) -> bool:
        found = _stat(self.pid)
        return found is not None and found[1] == self.born and found[0] not in "ZX"


class ProcessFleet:
    """``folder``/.limner/fleet.json says which roles there are. The processes outlive us; nobody restarts them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._notes = self.folder / NOTES
        self._heads: dict[str, int | None] = {}

    async def check(self) -> str:
        return f"{len(await self.roles())} processes in {self.folder}"

    async def now(self) -> Images:
        return Images(**self._map()["images"])

    async def roles(self) -> list[str]:
        return [role for role in ORDER if role in self._map()["roles"]]

    async def resolve(self, images: Images) -> Images:
        return Images(_found(images.app), _found(images.ops) if images.ops else "")

    async def head(self, images: Images) -> int | None:
        if images.app not in self._heads:
            code = "from limner.sql import schema; print(schema.head())"
            done = await run([Path(images.app) / "bin" / "python", "-c", code], within=QUICK, folder=self.folder)
            self._heads[images.app] = int(done.out) if not done.code and done.out.strip().isdigit() else None
        return self._heads[images.app]

    async def run(self, images: Images, command: Sequence[str], within: float) -> Done:
        argv, environment = self._line(images, command), self._environment()
        return await run(argv, within=within, folder=self.folder, environment=environment)

    async def talk(self, images: Images, command: Sequence[str]) -> Talk:
        argv, environment = self._line(images, command), self._environment()
        return Talk(await spawn(argv, folder=self.folder, environment=environment, talks=True))

    async def rehearse(self, role: str, images: Images, within: float) -> None:
        """On a port of its own, so that nobody is sent there."""
        port = _free_port()
        name = f"{role}-rehearsal"
        running = self._start(role, images, name, {"LIMNER_HTTP_PORT": str(port), "LIMNER_METRICS_PORT": "0"})
        try:
            await self._until_healthy(role, running, port, images, within, name)
        finally:
            with anyio.CancelScope(shield=True):
                await _stop(running, GRACE)

    async def replace(self, roles: Sequence[str], images: Images, within: float, grace: int | None = None) -> None:
        with as_raised():
            async with anyio.create_task_group() as group:
                for role in roles:
                    if role in (known := self._running()):
                        group.start_soon(_stop, known[role], GRACE if grace is None else grace)
        for role in roles:
            running = self._start(role, images, role, {})
            self._remember(role, running)
            await self._until_healthy(role, running, self._port(role), images, within, role)

    async def knock(self, role: str, path: str) -> int:
        return await anyio.to_thread.run_sync(_knock, self._port(role), path)

    async def health(self, role: str) -> Done:
        played = "web" if role == "web-b" else role
        return await self.run(await self._image_of(role), ["health", played], QUICK)

    async def pin(self, images: Images) -> None:
        choices.replace(self._notes / MAP, json.dumps(self._map() | {"images": asdict(images)}, indent=2))

    async def free_space(self, database_folder: str) -> int | None:
        with contextlib.suppress(OSError):
            return shutil.disk_usage(database_folder).free if database_folder else None
        return None

    def words(self, *command: str, images: Images | None = None) -> str:
        return shlex.join([f"{(images or Images(**self._map()['images'])).app}/bin/limner", *command])

    def stop_words(self, roles: Sequence[str]) -> str:
        return shlex.join(["kill", *(str(pid) for role, pid in self.pids().items() if role in roles)])

    async def start(self, within: float) -> None:
        """Start what is pinned, one role after the other. Raises Broken."""
        for role in await self.roles():
            await self.replace([role], await self.now(), within)

    async def stop(self, grace: int = GRACE) -> None:
        with as_raised():
            async with anyio.create_task_group() as group:
                for running in self._running().values():
                    group.start_soon(_stop, running, grace)

    def pids(self) -> dict[str, int]:
        """The living ones."""
        return {role: each.pid for role, each in self._running().items() if each.is_alive}

    async def _until_healthy(
        self, role: str, running: Running, port: int, images: Images, within: float, log: str
    ) -> None:
        with anyio.move_on_after(within):
            while running.is_alive:
                if await (self._serves(port) if role.startswith("web") else self._beats(running, images)):
                    return
                await anyio.sleep(PAUSE)
        raise Broken(f"{role} of {images}: {'hangs' if running.is_alive else 'has ended'}", self._tail(log))

    async def _serves(self, port: int) -> bool:
        return await anyio.to_thread.run_sync(_knock, port, "/health/ready") == 200

    async def _beats(self, running: Running, images: Images) -> bool:
        """Whether the process is known to the others, with no child in trouble."""
        done = await self.run(images, ["actors", "--json"], QUICK)
        if done.code:
            return False
        known = {each["pid"]: each for each in json.loads(done.out)["processes"]}
        return running.pid in known and not any(
            child.get("state") in ("crashed", "degraded") for child in known[running.pid]["children"]
        )

    def _start(self, role: str, images: Images, log: str, settings: dict[str, str]) -> Running:
        folder = self._notes / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{log}.log").open("wb") as output:
            process = subprocess.Popen(  # noqa: S603
                self._line(images, ["web" if role == "web-b" else role]), cwd=self.folder, stdin=subprocess.DEVNULL,
                env=self._environment() | self._map()["roles"][role] | settings, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip
        found = _stat(process.pid)
        return Running(process.pid, found[1] if found else "", images.app)

    def _tail(self, log: str) -> str:
        text = (self._notes / "logs" / f"{log}.log").read_text(errors="replace")
        return "\n".join(text.splitlines()[-TAIL:])

    def _port(self, role: str) -> int:
        return int(self._map()["roles"][role].get("LIMNER_HTTP_PORT", 8080))

    async def _image_of(self, role: str) -> Images:
        running = self._running().get(role)
        return Images(running.image) if running else await self.now()

    def _line(self, images: Images, command: Sequence[str]) -> list[str]:
        return [str(Path(images.app) / "bin" / "limner"), *command]

    def _environment(self) -> dict[str, str]:
        settings: dict[str, str] = self._map().get("settings", {})
        return os.environ | {"PYTHONSAFEPATH": "1"} | settings

    def _map(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self._notes / MAP).read_text(encoding="utf-8"))
        return found

    def _running(self) -> dict[str, Running]:
        path = self._notes / RUNNING
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return {role: Running(**about) for role, about in known.items()}

    def _remember(self, role: str, running: Running) -> None:
        known = self._running() | {role: running}
        choices.replace(self._notes / RUNNING, json.dumps({name: asdict(each) for name, each in known.items()}))


def _found(image: str) -> str:
    if not os.access(Path(image) / "bin" / "limner", os.X_OK):
        raise Refused(f"IMAGE: there is no {image}/bin/limner that can be run", field="image")
    return str(Path(image).resolve())


async def _stop(running: Running, grace: int) -> None:
    """Kindly, then by force."""
    for how, seconds in ((signal.SIGTERM, float(grace)), (signal.SIGKILL, 10.0)):
        if running.is_alive:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, how)
        with anyio.move_on_after(seconds):
            while running.is_alive:
                await anyio.sleep(0.05)
            return
    raise Broken(f"process {running.pid} does not end")


def _stat(pid: int) -> tuple[str, str] | None:
    """The state of a process and the moment of its birth, in ticks since the machine's."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return fields[0], fields[19]
    return None


def _knock(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def _free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])
