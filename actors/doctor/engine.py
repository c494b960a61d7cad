"""The engine: what docker-compose.yml asks for, and what Docker made of it where it can be asked."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import anyio

from limner.actors.doctor.check import Finding, check, trouble, well
from limner.actors.doctor.compose import ROLES, Compose, Port
from limner.actors.doctor.patient import Patient, Skip

DATA = ("postgres", "minio")
"""Services that nobody outside has any business with."""
OLDEST_ENGINE, OLDEST_COMPOSE = (25, 0), (2, 24)
PATIENCE = 10.0


@check(
    "engine.version", "fail", means="Docker Engine 25 and Compose 2.24 or newer",
    cause="The distribution's own packages are old.", fix="Install both from Docker: https://docs.docker.com/engine/install/",
)  # fmt: skip
async def version(patient: Patient) -> Finding:
    engine = await _docker(patient, "version", "--format", "{{.Server.Version}}")
    compose = await _docker(patient, "compose", "version", "--short")
    words = f"Docker Engine {engine.strip()}, Compose {compose.strip()}"
    is_old = _number(engine) < OLDEST_ENGINE or _number(compose) < OLDEST_COMPOSE
    return trouble(words) if is_old else well(words)


@check(
    "engine.containers", "fail", means="every container that is to stay up is up and healthy",
    cause="A service crashed, or its health check fails.",
    fix="`docker compose ps` and `docker compose logs SERVICE` show why; `docker compose up -d --wait` starts what is missing.",
)  # fmt: skip
async def containers(patient: Patient) -> Finding:
    wanted = set(patient.compose.lasting())
    said = await _docker(patient, "compose", "ps", "--all", "--format", "json")
    found = list(_rows(said))
    ill = [f"{row['Service']} is {row.get('Health') or row.get('State')}" for row in found if _is_ill(row, wanted)]
    ill += [f"{name} is not there" for name in sorted(wanted - {row["Service"] for row in found})]
    return trouble("; ".join(ill)) if ill else well(f"{len(wanted)} services run")


@check(
    "engine.database_shut", "fail", means="the database and the S3 server publish no port",
    cause="Docker opens published ports past the host's firewall: anybody can try passwords.",
    fix="Take `ports:` away from postgres and minio; `docker compose exec postgres psql -U limner` works without.",
)  # fmt: skip
async def database_shut(patient: Patient) -> Finding:
    found = [port for port in patient.compose.ports() if port.service in DATA and port.is_open]
    return _ports(found, "neither is reachable from outside")


@check(
    "engine.ports", "warn", means="only Caddy publishes ports",
    cause="A role was published for a try: it is reachable without TLS, limits and headers.",
    fix="Take its `ports:` away, or bind them to 127.0.0.1.",
)  # fmt: skip
async def ports(patient: Patient) -> Finding:
    found = [port for port in patient.compose.ports() if port.service not in (*DATA, "caddy") and port.is_open]
    return _ports(found, "nothing else is published")


@check(
    "engine.gate", "fail", means="web, worker and bot wait for the migration",
    cause="docker-compose.yml was changed.",
    fix="Give each `depends_on: migrate: condition: service_completed_successfully`.",
)  # fmt: skip
async def gate(patient: Patient) -> Finding:
    def waits(service: dict[str, Any]) -> bool:
        asked = service.get("depends_on")
        migrate = asked.get("migrate") if isinstance(asked, dict) else None
        return isinstance(migrate, dict) and migrate.get("condition") == "service_completed_successfully"

    return _each(
        patient.compose, lambda name, service: name.partition("-")[0] not in ROLES or waits(service), "do not wait"
    )


@check(
    "engine.logs", "warn", means="no container's log can fill the disk",
    cause="Docker's default log never ends.",
    fix="Give the service `logging: {driver: local, options: {max-size: 10m, max-file: \"5\"}}`.",
)  # fmt: skip
async def logs(patient: Patient) -> Finding:
    def bounded(_: str, service: dict[str, Any]) -> bool:
        logging = service.get("logging") or {}
        return logging.get("driver") in ("local", "none") or "max-size" in (logging.get("options") or {})

    return _each(patient.compose, bounded, "log without end")


@check(
    "engine.restart", "warn", means="what crashes or reboots comes back; what runs once does not",
    cause="docker-compose.yml was changed, or a service was added without a policy.",
    fix="`restart: unless-stopped` for what stays up, `restart: \"no\"` for migrate.",
)  # fmt: skip
async def restart(patient: Patient) -> Finding:
    def fits(name: str, service: dict[str, Any]) -> bool:
        policy = str(service.get("restart", "no"))
        return policy in ("no", "False") if name == "migrate" else policy in ("unless-stopped", "always")

    return _each(patient.compose, fits, "have the wrong policy")


@check(
    "engine.limits", "warn", means="every container has limits of memory and processes",
    cause="One that grows takes the others along, the database first.", fix="Give the service mem_limit and pids_limit.",
)  # fmt: skip
async def limits(patient: Patient) -> Finding:
    return _each(patient.compose, lambda _, one: bool(one.get("mem_limit") and one.get("pids_limit")), "have no limits")


@check(
    "engine.hardened", "warn", means="containers are read-only, without capabilities, and gain none",
    cause="docker-compose.yml was changed, or a service was added without the anchor.",
    fix="Give the service `<<: *hardened`, and writable places by tmpfs and volumes alone.",
)  # fmt: skip
async def hardened(patient: Patient) -> Finding:
    def is_hard(_: str, one: dict[str, Any]) -> bool:
        return bool(
            one.get("read_only")
            and "ALL" in (one.get("cap_drop") or ())
            and any("no-new-privileges" in str(option) for option in one.get("security_opt") or ())
        )

    return _each(patient.compose, is_hard, "are not hardened")


@check(
    "engine.digests", "warn", means="images from registries are pinned by digest",
    cause="A tag moves: the next pull may bring another major version, or another C library under the indexes.",
    fix="Pin them in .env, as in POSTGRES_IMAGE=postgres:18-bookworm@sha256:…; `docker images --digests` shows yours.",
)  # fmt: skip
async def digests(patient: Patient) -> Finding:
    def pinned(_: str, service: dict[str, Any]) -> bool:
        image = str(service.get("image", ""))
        return "@sha256:" in image or image.endswith(":local")  # built here: it is in no registry

    return _each(patient.compose, pinned, "follow a tag")


@check(
    "engine.volumes", "fail", means="the database and the pictures are on volumes that have names",
    cause="An anonymous volume, or none, is lost with its container.",
    fix="Mount a named volume: `pgdata18:/var/lib/postgresql`, `pictures:/var/lib/limner/pictures`.",
)  # fmt: skip
async def volumes(patient: Patient) -> Finding:
    compose = patient.compose
    kept = {"postgres": "/var/lib/postgresql", "worker": "/var/lib/limner/pictures", "minio": "/data"}
    if patient.said.get("LIMNER_STORAGE") == "s3":
        del kept["worker"]
    lost = [
        f"{name}:{path}"
        for name, path in kept.items()
        if name in compose.services and not _is_kept(compose, name, path)
    ]
    return trouble(f"not kept: {', '.join(lost)}") if lost else well("what is to last is on named volumes")


CHECKS = (
    version, containers, database_shut, ports, gate, logs, restart, limits, hardened, digests, volumes,
)  # fmt: skip


def _is_kept(compose: Compose, name: str, path: str) -> bool:
    for entry in compose.services[name].get("volumes") or ():
        source, target = (entry.get("source"), entry.get("target")) if isinstance(entry, dict) else _split(str(entry))
        if target and (target == path or str(target).startswith(f"{path}/")) and source:
            return str(source).startswith(("/", ".", "~")) or source in compose.volumes
    return False


def _split(entry: str) -> tuple[str, str]:
    parts = entry.split(":")
    return (parts[0], parts[1]) if len(parts) > 1 else ("", parts[0])


def _each(compose: Compose, holds: Callable[[str, dict[str, Any]], bool], words: str) -> Finding:
    bad = [name for name, service in compose.services.items() if not holds(name, service)]
    return trouble(f"{', '.join(bad)} {words}") if bad else well(f"all {len(compose.services)} services")


def _ports(found: list[Port], words: str) -> Finding:
    return trouble(f"published: {', '.join(map(str, found))}") if found else well(words)


def _is_ill(row: dict[str, Any], wanted: set[str]) -> bool:
    if row["Service"] not in wanted:
        return row.get("State") == "exited" and row.get("ExitCode") not in (0, None)
    return row.get("State") != "running" or row.get("Health") in ("unhealthy", "starting")


def _rows(said: str) -> Iterator[dict[str, Any]]:
    """Newer Compose prints an object a line, older ones a list. Raises ValueError."""
    for line in said.splitlines():
        if line.strip():
            row = json.loads(line)
            yield from row if isinstance(row, list) else [row]


def _number(text: str) -> tuple[int, int]:
    found = re.search(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


async def _docker(patient: Patient, *words: str) -> str:
    """What it prints. Raises Skip when there is no Docker here, or none that answers us."""
    if patient.docker is None:
        raise Skip("docker is not here: inside a container it never is")
    folder = patient.folder if (patient.folder / "docker-compose.yml").is_file() else None
    try:
        with anyio.fail_after(PATIENCE):
            done = await anyio.run_process(
                [patient.docker, *words], check=False, cwd=folder, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
    except (OSError, TimeoutError) as error:
        raise Skip(f"docker does not answer: {error or type(error).__name__}") from None
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise Skip(f"docker cannot be asked: {said[0]}")
    return done.stdout.decode(errors="replace")
