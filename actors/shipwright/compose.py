"""The fleet of an installation with Compose, steered through the docker command line."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from secrets import token_hex
from typing import Any

import anyio

from limner.actors.shipwright import choices
from limner.actors.shipwright.command import Done, Talk, run, spawn
from limner.actors.shipwright.fleet import ORDER, Broken, Images
from limner.runtime.errors import Refused

LEAST = (2, 24)
"""The Compose that knows what docker-compose.yml uses."""
QUICK = 60.0
PULL_WITHIN = 1800.0
IN_OPS = ("backup", "backups", "restore", "drill", "pitr", "archivist")
"""Commands that need Postgres's own programs, which the ops image has."""
KNOCK = (
    "import http.client,sys; c=http.client.HTTPConnection('127.0.0.1',8080,timeout=5);"
    " c.request('GET',sys.argv[1]); print(c.getresponse().status)"
)


class ComposeFleet:
    """``folder`` holds docker-compose.yml and .env. ``COMPOSE`` in the environment names another `docker compose`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._compose = shlex.split(os.environ.get("COMPOSE", "docker compose"))
        self._services: dict[str, dict[str, Any]] = {}

    async def check(self) -> str:
        engine = await self._docker("version", "--format", "{{.Server.Version}}")
        if engine.code:
            raise Refused(f"no Docker engine answers: {engine.said.splitlines()[-1] if engine.said else engine.code}")
        compose = await self._ask("version", "--short")
        found = re.search(r"(\d+)\.(\d+)", compose.out)
        if compose.code or not found or (int(found[1]), int(found[2])) < LEAST:
            raise Refused(
                f"{shlex.join(self._compose)}: version {compose.out.strip() or 'unknown'} is here, 2.24 is needed"
            )
        return f"Docker {engine.out.strip()}, Compose {compose.out.strip()}"

    async def now(self) -> Images:
        services = await self._known()
        if "web" not in services:
            raise Refused(f"{self.folder / 'docker-compose.yml'} has no service web")
        ops = services.get("archivist", {}).get("image", "")
        return Images(
            await self._in_service("web", services["web"]["image"]),
            await self._in_service("archivist", ops) if ops else "",
        )

    async def roles(self) -> list[str]:
        services = await self._known()
        return [role for role in ORDER if role in services]

    async def resolve(self, images: Images) -> Images:
        return Images(await self._resolve(images.app), await self._resolve(images.ops) if images.ops else "")

    async def head(self, images: Images) -> int | None:
        label = '{{index .Config.Labels "limner.schema.head"}}'
        done = await self._docker("image", "inspect", "--format", label, images.app)
        return int(done.out) if not done.code and done.out.strip().isdigit() else None

    async def run(self, images: Images, command: Sequence[str], within: float) -> Done:
        async with self._container(images) as (name, environment):
            argv = [*self._compose, "run", "--rm", "--no-deps", "-T", "--name", name, _service(command), *command]
            return await run(argv, within=within, folder=self.folder, environment=environment)

    async def talk(self, images: Images, command: Sequence[str]) -> Talk:
        argv = [*self._compose, "run", "--rm", "--no-deps", "-T", _service(command), *command]
        return Talk(await spawn(argv, folder=self.folder, environment=_environment(images), talks=True))

    async def rehearse(self, role: str, images: Images, within: float) -> None:
        async with self._container(images) as (name, environment):
            argv = [*self._compose, "run", "-d", "--no-deps", "-T", "--name", name, role]
            begun = await run(argv, within=QUICK, folder=self.folder, environment=environment)
            if begun.code:
                raise Broken(f"{role} of {images} does not start", begun.said)
            with anyio.move_on_after(within):
                while await self._is_running(name):
                    if not (await self._docker("exec", name, "limner", "health", _played(role))).code:
                        await self._docker("stop", "-t", "20", name)
                        return
                    await anyio.sleep(1)
            logs = (await self._docker("logs", "--tail", "40", name)).said
            raise Broken(f"{role} of {images} does not become healthy", logs)

    async def replace(self, roles: Sequence[str], images: Images, within: float, grace: int | None = None) -> None:
        argv = [*self._compose, "up", "-d", "--no-deps", "--no-build", "--pull", "never"]
        argv += ["--wait", "--wait-timeout", str(int(within))]
        argv += ["--timeout", str(grace)] if grace is not None else []
        for role in roles:
            # Without it a worker that was scaled up would come back alone.
            if (count := await self._count(role)) > 1:
                argv += ["--scale", f"{role}={count}"]
        done = await run(
            [*argv, *roles], within=within + 180, folder=self.folder, environment=_environment(images)
        )  # 180: a worker may take 120 s to finish its pictures
        if done.code:
            logs = [(await self._ask("logs", "--no-color", "--tail", "40", role)).said for role in roles]
            raise Broken(
                f"{', '.join(roles)} of {images}: not healthy within {within:g} s", "\n".join([done.said, *logs])
            )

    async def knock(self, role: str, path: str) -> int:
        done = await self._ask("exec", "-T", role, "python", "-c", KNOCK, path)
        return int(done.out) if not done.code and done.out.strip().isdigit() else 0

    async def health(self, role: str) -> Done:
        return await self._ask("exec", "-T", role, "limner", "health", _played(role))

    async def pin(self, images: Images) -> None:
        named = {"APP_IMAGE": images.app} | ({"OPS_IMAGE": images.ops} if images.ops else {})
        choices.rewrite(self.folder / ".env", named)

    async def free_space(self, database_folder: str) -> int | None:
        root = (await self._docker("info", "--format", "{{.DockerRootDir}}")).out.strip()
        with contextlib.suppress(OSError):  # the engine is on another machine
            return shutil.disk_usage(root).free
        return None

    def words(self, *command: str, images: Images | None = None) -> str:
        chosen = f"OPS_IMAGE={images.ops} " if images and images.ops else ""
        # A service of its own: the archivist may not write pictures.
        words = command if command[0] == "restore" else ["--no-deps", _service(command), *command]
        return f"{chosen}{shlex.join([*self._compose, 'run', '--rm', *words])}"

    def stop_words(self, roles: Sequence[str]) -> str:
        return shlex.join([*self._compose, "stop", *roles])

    async def portable(self) -> dict[str, str]:
        """Image by service, for another engine: a digest does not survive `docker save`, a tag does. Raises Refused."""
        services = await self._known()
        return {name: await self._portable(service["image"]) for name, service in services.items()}

    async def save(self, images: Sequence[str], out: Path) -> None:
        """Write images into a file that `docker load` reads. Raises Refused."""
        done = await self._docker("save", "--output", str(out), *images, within=PULL_WITHIN)
        if done.code:
            raise Refused(f"docker save: {done.said}")

    async def _in_service(self, service: str, image: str) -> str:
        """What a service runs. A name whose image was built anew since means another one: then under a tag of its own."""
        containers = (await self._ask("ps", "--quiet", service)).out.split()
        if not containers:
            return image
        running = (await self._docker("inspect", "--format", "{{.Image}}", containers[0])).out.strip()
        named = (await self._docker("image", "inspect", "--format", "{{.Id}}", image)).out.strip()
        return image if not running or running == named else await self._tag(running, image, running)

    async def _resolve(self, image: str) -> str:
        """By digest when a registry gave it one; else under a tag of its own, which keeps it from being pruned, too."""
        if (await self._docker("image", "inspect", "--format", "{{.Id}}", image)).code:
            pulled = await self._docker("pull", "--quiet", image, within=PULL_WITHIN)
            if pulled.code:
                raise Refused(f"IMAGE: {image!r} is neither here nor to be had: {pulled.said}", field="image")
        if "@sha256:" in image:
            return image
        form = "{{.Id}} {{json .RepoDigests}}"
        identity, _, digests = (
            (await self._docker("image", "inspect", "--format", form, image)).out.strip().partition(" ")
        )
        if known := [each for each in json.loads(digests or "null") or [] if _repository(each) == _repository(image)]:
            return str(known[0])
        return await self._tag(image, image, identity)

    async def _portable(self, image: str) -> str:
        if "@sha256:" not in image:
            return image
        found = await self._docker("image", "inspect", "--format", "{{.Id}}", image)
        if found.code:
            raise Refused(f"{image} is not here: docker compose pull")
        return await self._tag(image, image, found.out.strip())

    async def _tag(self, image: str, name: str, identity: str) -> str:
        lasting = f"{_repository(name)}:{identity.removeprefix('sha256:')[:12]}"
        tagged = await self._docker("tag", image, lasting)
        if tagged.code:
            raise Refused(f"IMAGE: {image!r} cannot be tagged as {lasting}: {tagged.said}", field="image")
        return lasting

    @contextlib.asynccontextmanager
    async def _container(self, images: Images) -> AsyncIterator[tuple[str, dict[str, str]]]:
        """A name for one container, which is gone after the block, whatever became of the program that started it."""
        name = f"limner-once-{token_hex(6)}"
        try:
            yield name, _environment(images)
        finally:
            with anyio.CancelScope(shield=True):
                await self._docker("rm", "--force", name)

    async def _is_running(self, container: str) -> bool:
        form = "{{.State.Status}} {{.RestartCount}}"
        return (await self._docker("inspect", "--format", form, container)).out.split() == ["running", "0"]

    async def _count(self, role: str) -> int:
        return len((await self._ask("ps", "--quiet", role)).out.split())

    async def _known(self) -> dict[str, dict[str, Any]]:
        """The services of this installation, by its profiles, as they were when it was first asked. Raises Refused."""
        if not self._services:
            done = await self._ask("config", "--format", "json")
            if done.code:
                raise Refused(f"docker-compose.yml or .env in {self.folder}: {done.said}")
            self._services = json.loads(done.out)["services"]
        return self._services

    async def _ask(self, *words: str) -> Done:
        return await run([*self._compose, *words], within=QUICK, folder=self.folder, environment=_environment(None))

    async def _docker(self, *words: str, within: float = QUICK) -> Done:
        return await run(["docker", *words], within=within, folder=self.folder)


def _environment(images: Images | None) -> dict[str, str]:
    """Ours. What it says of images would win over .env, so that is either what we want, or nothing."""
    environment = {name: value for name, value in os.environ.items() if name not in ("APP_IMAGE", "OPS_IMAGE")}
    if images:
        environment["APP_IMAGE"] = images.app
        if images.ops:
            environment["OPS_IMAGE"] = images.ops
    return environment


def _service(command: Sequence[str]) -> str:
    """Whose settings, secrets and volumes a command needs."""
    return "archivist" if command[0] in IN_OPS else "migrate"


def _played(role: str) -> str:
    return "web" if role == "web-b" else role


def _repository(image: str) -> str:
    """ghcr.io:443/limner/limner:1.2@sha256:… without tag and digest."""
    before, slash, last = image.partition("@")[0].rpartition("/")
    return before + slash + last.partition(":")[0]
