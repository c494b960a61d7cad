"""What only the database knows about how the studio is doing, as gauges for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from limner.runtime.database import Db
from limner.runtime.metrics import Gauge
from limner.sql import alerts, backups, crew, mails, schema
from limner.sql.backups import Run
from limner.sql.mails import Jam

ALIVE = """
select role, count(*)::float8 as n from worker
where state <> 'stopped' and seen_at > now() - make_interval(secs => $1) group by role
"""
KEYS = """
select p.code as provider, k.state, count(*)::float8 as n
from provider_key as k join provider as p on p.id = k.provider_id group by p.code, k.state
"""
JOBS = """
select state, count(*)::float8 as n, coalesce(extract(epoch from now() - min(created_at)), 0)::float8 as oldest
from job where state in ('queued', 'running') group by state
"""
OPEN_INVOICES = "select count(*)::float8 from invoice where state in ('pending', 'processing')"
ROLES = ("web", "worker", "bot", "archivist")
MAILBOX = {
    "waiting": "Messages that wait; 100,001 stands for more.",
    "in_hand": "Messages that somebody works on.",
    "later": "Messages that come due later.",
    "oldest": "Seconds that the oldest of those that wait has waited.",
    "dead": "Dead letters of the last 24 hours.",
}


async def read(db: Db, lease: float, *, sends_mail: bool = False) -> Sequence[Gauge]:
    """All gauges; those of mails with a mail server only. A role, or a state of jobs, that nobody is in has a zero."""
    alive = {row["role"]: row["n"] for row in await db.fetch(ALIVE, float(lease))}
    depths = await crew.depths(db)
    keys: dict[tuple[str, ...], float] = {(row["provider"], row["state"]): row["n"] for row in await db.fetch(KEYS)}
    jobs = {row["state"]: row for row in await db.fetch(JOBS)}
    states = ("queued", "running")
    open_alerts = await alerts.still_open(db)
    return [
        Gauge("processes", "Living processes.", ("role",), {(role,): alive.get(role, 0) for role in ROLES}),
        *(
            Gauge(f"mailbox_{name}", words, ("mailbox",), {(each.mailbox,): getattr(each, name) for each in depths})
            for name, words in MAILBOX.items()
        ),
        Gauge("provider_keys", "Keys of the pool.", ("provider", "state"), keys),
        Gauge("jobs", "Pictures under way.", ("state",), {(s,): jobs[s]["n"] if s in jobs else 0 for s in states}),
        Gauge(
            "jobs_oldest_seconds", "Since the oldest of them was ordered.", ("state",),
            {(s,): jobs[s]["oldest"] if s in jobs else 0 for s in states},
        ),
        Gauge("invoices_open", "Invoices that are neither paid nor over.", (), {(): await db.fetchval(OPEN_INVOICES)}),
        Gauge("alerts_open", "Troubles that admins were told of.", (), {(): len(open_alerts)}),
        *(_mails(await mails.jam(db, 0)) if sends_mail else ()),
        *_copies(await backups.latest(db, "backup"), await backups.latest(db, "drill")),
        Gauge("schema_head", "The newest migration in the database.", (), {(): await schema.current(db)}),
    ]  # fmt: skip


def _mails(jam: Jam) -> Iterator[Gauge]:
    yield Gauge("mails_waiting", "Mails that have not gone out yet.", (), {(): jam.waiting})
    yield Gauge("mails_oldest_seconds", "Since the oldest of them was queued.", (), {(): jam.oldest})
    ended: dict[tuple[str, ...], float] = {("sent",): jam.sent, ("refused",): jam.failed}
    yield Gauge("mails_ended", "What became of mails within the last 24 hours.", ("how",), ended)


def _copies(backup: Run | None, drill: Run | None) -> Iterator[Gauge]:
    """Nothing at all of what has never been."""
    ages = {("backup",): backup, ("drill",): drill}
    found: dict[tuple[str, ...], float] = {kind: run.age for kind, run in ages.items() if run}
    yield Gauge("archivist_age_seconds", "Since the last good backup, and the last good drill.", ("kind",), found)
    size: dict[tuple[str, ...], float] = {(): backup.bytes} if backup else {}
    yield Gauge("backup_bytes", "Of the last good backup: database and pictures.", (), size)
