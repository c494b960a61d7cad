"""`limner checklist`: from the bare server to the first drill, with evidence for each line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

import aiohttp
import anyio

from limner.actors.doctor import (
    bot,
    clocks,
    database,
    engine,
    examination,
    host,
    network,
    postgres,
    secrets,
    settings,
    storage,
    work,
)
from limner.actors.doctor.check import Check, Finding, check, trouble, warning, well
from limner.actors.doctor.patient import Patient, Skip
from limner.actors.watchman import LookAround
from limner.runtime import mailbox
from limner.runtime.config import Config, ConfigError
from limner.runtime.database import Database
from limner.runtime.report import WEIGHT, Line, Say
from limner.sql import backups, schema

LOOK = 0.05
"""Seconds between two looks whether a message was handled."""


@check(
    "deployed.roles", "fail", means="web, worker and bot are alive",
    cause="The stack was not started, or a role does not stay up.",
    fix="`docker compose up -d --wait`, then `docker compose ps` and the logs of what is missing.",
)  # fmt: skip
async def roles(patient: Patient) -> Finding:
    alive = dict.fromkeys(("web", "worker", "bot"), 0)
    for each in await work.processes(patient):
        alive[each.role] = alive.get(each.role, 0) + 1
    missing = [role for role, count in alive.items() if not count]
    words = ", ".join(f"{count} {role}" for role, count in alive.items())
    if missing == ["bot"] and patient.config.bot_token is None:
        return well(f"{words} (a bot is not needed without a token)")
    return trouble(words) if missing else well(words)


APPLIED = "select count(*) as n, max(installed_on) as at from public.schema_version"


@check(
    "migrated.job", "fail", means="the migration job has run",
    cause="It was never run on this database.", fix="`docker compose run --rm migrate`",
)  # fmt: skip
async def job(patient: Patient) -> Finding:
    db = await patient.db()
    row = await db.fetchrow(APPLIED) if await schema.current(db) else None
    if row is None:
        return trouble("it has not run on this database yet")
    return well(f"{row['n']} migrations, the last one on {row['at']:%Y-%m-%d %H:%M}")


@check(
    "web.ready", "fail", means="web says that it is ready",
    cause="It waits for the schema, drains, or does not reach the database.",
    fix="`docker compose logs web` says what is missing.",
)  # fmt: skip
async def ready(patient: Patient) -> Finding:
    config = patient.config
    local = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(config.http_host, config.http_host)  # noqa: S104
    address = f"http://{local}:{config.http_port}/health/ready"
    try:
        async with (await patient.web.get()).get(address, allow_redirects=False) as answer:
            said = await answer.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
        raise Skip(f"no web listens here ({address}); what it says itself is in the heartbeats") from None
    missing = ", ".join(said.get("missing", ())) if isinstance(said, dict) else "an answer that makes sense"
    return well(f"{address} answers 200") if answer.status == 200 else trouble(f"{answer.status}: {missing}")


# Gone from the mailbox: handled, or given up.
HANDLED = "select not exists (select from message where id = $1)"
GIVEN_UP = "select reason from dead_letter where id = $1"


@check(
    "worker.loop", "fail", means="a message that is sent now is handled now",
    cause="The worker hangs, is paused, or its mailboxes are full.",
    fix="`limner actors` shows what it has in hand; `docker compose restart worker`.",
)  # fmt: skip
async def loop(patient: Patient) -> Finding:
    if not any(each.role == "worker" for each in await work.processes(patient)):
        return trouble("no worker is alive to handle anything")
    db, key = await patient.db(), f"checklist {token_hex(8)}"
    began = anyio.current_time()
    sent = await mailbox.send(db, LookAround(), key=key, deadline=60)
    try:
        with anyio.move_on_after(patient.long_round_trip):
            await _until_handled(db, sent)
            if reason := await db.fetchval(GIVEN_UP, sent):
                return trouble(f"it was given up: {reason}")
            return well(f"a message was sent and handled in {(anyio.current_time() - began) * 1000:.0f} ms")
    finally:
        with anyio.CancelScope(shield=True):
            await mailbox.cancel(db, LookAround.mailbox, key)
    return trouble(f"a message was not handled within {patient.long_round_trip:.0f} s")


async def _until_handled(db: Database, message_id: int | None) -> None:
    while not await db.fetchval(HANDLED, message_id):
        await anyio.sleep(LOOK)


@check(
    "first.backup", "warn", means="a first backup was made", cause="It is the next thing to do.", fix="`limner backup`",
)  # fmt: skip
async def backup(patient: Patient) -> Finding:
    return await _first(patient, "backup")


@check(
    "first.drill", "warn", means="a backup was tried out once", cause="It is the next thing to do.", fix="`limner drill`",
)  # fmt: skip
async def drill(patient: Patient) -> Finding:
    return await _first(patient, "drill")


async def _first(patient: Patient, kind: backups.Kind) -> Finding:
    found = await backups.latest(await patient.db(), kind)
    return well(f"{found.name} of {found.started_at:%Y-%m-%d %H:%M}") if found else warning("not yet")


@dataclass(frozen=True)
class Item:
    """A line of the checklist: as well as the worst of its checks."""

    code: str
    title: str
    checks: tuple[Check, ...]

    async def examine(self, patient: Patient) -> Line:
        lines = [await check.examine(patient) for check in self.checks]
        worst = max(lines, key=lambda line: (WEIGHT[line.state], line.state == "ok"))
        if WEIGHT[worst.state]:
            return Line(self.code, worst.state, f"{self.title}: {worst.words} ({worst.code})", worst.fix)
        seen = "; ".join(line.words for line in lines if line.state == "ok")
        unseen = "; ".join(dict.fromkeys(line.words for line in lines if line.state == "skip"))
        words = f"{seen} (not seen from here: {unseen})" if seen and unseen else seen or unseen
        return Line(self.code, worst.state, f"{self.title}: {words}")


ITEMS = (
    Item("checklist.server", "server provisioned", (host.disk, host.memory, host.processor, host.kernel, clocks.clock)),
    Item("checklist.docker", "Docker and the Compose plugin", (engine.version,)),
    Item("checklist.dns_tls", "DNS and TLS", (network.name, network.port, network.certificate)),
    Item("checklist.postgres", "Postgres storage", (database.answers, postgres.version, postgres.durable, engine.volumes)),
    Item("checklist.storage", "storage of the pictures", (storage.round_trip,)),
    Item(
        "checklist.env", ".env and secrets",
        (settings.valid, settings.placeholders, settings.address, secrets.complete, secrets.vault, secrets.opens),
    ),
    Item("checklist.deployed", "stack deployed", (roles, engine.containers)),
    Item("checklist.migrated", "migration job run", (job, database.schema_window)),
    Item("checklist.web", "web health", (ready, work.web)),
    Item("checklist.worker", "worker's job loop", (loop,)),
    Item("checklist.bot", "bot polling", (bot.token, bot.poller, bot.alone)),
    Item("checklist.backup", "first backup", (backup,)),
    Item("checklist.drill", "first drill", (drill,)),
)  # fmt: skip


async def walk(settings: Config | ConfigError, folder: Path, say: Say) -> None:
    """Say one line for each item of the list, in its order."""
    patient = Patient(settings, folder)
    async with patient.opened():
        await examination.run(patient, ITEMS, say)
