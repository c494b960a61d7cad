"""The work: who is alive, what waits too long, what was given up, and whether anybody can paint."""

from __future__ import annotations

from limner.actors.doctor.check import Finding, check, trouble, well
from limner.actors.doctor.patient import Patient, Skip
from limner.sql import alerts, crew
from limner.sql.crew import Process

STALE = 300.0
"""Seconds without a tick: some messages come round every few seconds."""


@check(
    "work.worker", "fail", means="a worker is alive",
    cause="It crashed, waits for the schema, or was never started.",
    fix="`docker compose ps worker`, `docker compose logs worker`; `docker compose up -d --wait worker`.",
)  # fmt: skip
async def worker(patient: Patient) -> Finding:
    return _alive(await processes(patient), "worker")


@check(
    "work.web", "fail", means="a web process is alive",
    cause="It crashed, waits for the schema, or was never started.",
    fix="`docker compose ps web`, `docker compose logs web`; `docker compose up -d --wait web`.",
)  # fmt: skip
async def web(patient: Patient) -> Finding:
    return _alive(await processes(patient), "web")


@check(
    "work.children", "warn", means="nothing inside the living processes has crashed",
    cause="A bug, or something outside that it cannot do without.",
    fix="`limner actors` shows where it stands; the log of that role says why.",
)  # fmt: skip
async def children(patient: Patient) -> Finding:
    found = await processes(patient)
    ill = [
        f"{each.role} {child.get('name')} is {child['state']}: {child.get('last_error', '')}"
        for each in found
        for child in each.children
        if child.get("state") in ("crashed", "degraded")
    ]
    return trouble("; ".join(ill[:3])) if ill else well(f"{sum(len(each.children) for each in found)} run")


@check(
    "work.paused", "warn", means="no worker was told to take nothing new",
    cause="`limner drain` was said, and `limner resume` was forgotten.", fix="`limner resume all`",
)  # fmt: skip
async def paused(patient: Patient) -> Finding:
    idle = [str(each.id)[:8] for each in await processes(patient) if each.paused]
    return trouble(f"paused: {', '.join(idle)}") if idle else well("none is")


OLDEST = """
select mailbox, extract(epoch from now() - ready_at)::float8 as age from message
where state = 0 order by ready_at limit 1
"""


@check(
    "work.queue", "warn", means="no message waits long",
    cause="No worker, too few of them, or all keys rest.",
    fix="`limner actors` shows the mailboxes; start more: `docker compose up -d --scale worker=3`.",
)  # fmt: skip
async def queue(patient: Patient) -> Finding:
    row = await (await patient.db()).fetchrow(OLDEST)
    if row is None:
        return well("nothing waits")
    words = f"the oldest waits for {row['age']:.0f} s, in {row['mailbox']}"
    return trouble(words) if row["age"] > patient.long_wait else well(words)


SUSPECTS = "select count(*) as n, min(mailbox) as mailbox, min(id) as id from message where deaths >= 2"


@check(
    "work.suspects", "warn", means="no message has killed workers",
    cause="A worker died twice with it in hand: of its memory, most likely.",
    fix="Look for the end of that worker in its log and in host.oom; the message is given up by itself in the end.",
)  # fmt: skip
async def suspects(patient: Patient) -> Finding:
    row = await (await patient.db()).fetchrow(SUSPECTS)
    assert row is not None
    return trouble(f"{row['n']}, such as {row['id']} in {row['mailbox']}") if row["n"] else well("none")


DEAD = """
select mailbox, count(*) as n from dead_letter where died_at > now() - interval '24 hours' group by mailbox order by 2 desc
"""


@check(
    "work.dead_letters", "warn", means="nothing was given up in the last day",
    cause="Something failed again and again.", fix="`limner support-bundle` has their reasons; people were not charged.",
)  # fmt: skip
async def dead_letters(patient: Patient) -> Finding:
    found = await (await patient.db()).fetch(DEAD)
    return trouble(", ".join(f"{row['n']} in {row['mailbox']}" for row in found)) if found else well("none in 24 h")


OVERDUE = """
select count(*) as n, coalesce(extract(epoch from now() - min(deadline)), 0)::float8 as age from job
where state in ('queued', 'running') and deadline < now() - interval '1 minute'
"""


@check(
    "work.overdue", "warn", means="no picture is past its deadline and still unfinished",
    cause="No worker is there to end it.", fix="See work.worker; whoever ordered it gets the credits back then.",
)  # fmt: skip
async def overdue(patient: Patient) -> Finding:
    row = await (await patient.db()).fetchrow(OVERDUE)
    assert row is not None
    return trouble(f"{row['n']}, for up to {row['age']:.0f} s") if row["n"] else well("none")


IDLE_MODELS = """
select m.id from model as m join provider as p on p.id = m.provider_id
where m.active and p.active and (m.retires_at is null or m.retires_at > now())
    and exists (select from provider_key as k where k.provider_id = p.id and k.state <> 'disabled')
    and not exists (select from provider_key as k where k.provider_id = p.id and k.state in ('active', 'cooldown'))
order by m.sort
"""
ABLE = """
select count(*) from provider_key as k join provider as p on p.id = k.provider_id
where p.active and (k.state = 'active' or k.state = 'cooldown' and k.rests_until <= now())
"""


@check(
    "work.keys", "fail", means="for every model that is offered there is a key that can paint",
    cause="Keys ran out of funds, were revoked, or none was added yet.",
    fix="`limner key list` says why; top the account up and wake the key, or `limner key add --provider …`.",
)  # fmt: skip
async def keys(patient: Patient) -> Finding:
    db = await patient.db()
    able = await db.fetchval(ABLE)
    idle = [row["id"] for row in await db.fetch(IDLE_MODELS)]
    if not able:
        return trouble("no key can paint now")
    return trouble(f"no key for {', '.join(idle)}") if idle else well(f"{able} can paint")


@check(
    "work.alerts", "warn", means="no alert is open",
    cause="The watchman saw a trouble that is not over.", fix="Each says what it is about, and ends by itself when that does.",
)  # fmt: skip
async def open_alerts(patient: Patient) -> Finding:
    found = await alerts.still_open(await patient.db())
    return trouble("; ".join(alert.words for alert in found)) if found else well("none")


TICKS = "select extract(epoch from now() - max(last_at))::float8 from schedule"


@check(
    "work.schedule", "fail", means="what comes round by the clock comes round",
    cause="No worker leads the schedule: all are stopped or cannot write.",
    fix="`docker compose restart worker`; `limner actors` shows whether its schedule runs.",
)  # fmt: skip
async def schedule(patient: Patient) -> Finding:
    age = await (await patient.db()).fetchval(TICKS)
    if age is None or not any(each.role == "worker" for each in await processes(patient)):
        raise Skip("no worker is alive" if age is not None else "no worker has run yet")
    return trouble(f"the last tick was {age:.0f} s ago") if age > STALE else well(f"{age:.0f} s ago")


# What somebody let go, or is not for its reader any more, is not missed.
UNSENT = """
select count(*) filter (where failed_at is null) as unsent, count(*) filter (where failed_at is not null) as failed
from notice
where channel = 'telegram' and sent_at is null and let_go_at is null and not starts_with(error, 'not for them any more')
    and (failed_at > now() - interval '24 hours' or failed_at is null and created_at < now() - interval '10 minutes')
"""


@check(
    "work.notices", "warn", means="what is to be told is told",
    cause="Telegram cannot be reached, or somebody has blocked the bot.",
    fix="See bot.token and bot.poller; `limner pair list` shows who is told.",
)  # fmt: skip
async def notices(patient: Patient) -> Finding:
    if patient.config.bot_token is None:
        raise Skip("there is no bot to tell anything")
    row = await (await patient.db()).fetchrow(UNSENT)
    assert row is not None
    words = f"{row['unsent']} wait for more than 10 min, {row['failed']} were refused in 24 h"
    return trouble(words) if row["unsent"] or row["failed"] else well(words)


CHECKS = (
    worker, web, children, paused, queue, suspects, dead_letters, overdue, keys, open_alerts, schedule, notices,
)  # fmt: skip


async def processes(patient: Patient) -> list[Process]:
    """Those that gave a sign of life within a lease."""
    return await crew.processes(await patient.db(), patient.config.lease)


def _alive(found: list[Process], role: str) -> Finding:
    mine = [each for each in found if each.role == role]
    if not mine:
        return trouble(f"no {role} gave a sign of life within a lease")
    return well(f"{len(mine)}, the last beat {min(each.silent for each in mine):.1f} s ago")
