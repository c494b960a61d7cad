"""What only the database knows about how the studio is doing, as gauges for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from limner.runtime.database import Db
from limner.runtime.metrics import Gauge
from limner.sql import (
    alerts,
    backups,
    crew,
    funds,
    mails,
    schema,
    worries,
)
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
PROXIES = """
select case when state = 'cooldown' and failures >= $1 then 'dead' else state end as state, count(*)::float8 as n
from proxy where retired_at is null group by 1
"""
PROXY_STATES = ("active", "cooldown", "dead", "disabled")
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
        *await _pool(db),
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


async def _pool(db: Db) -> list[Gauge]:
    """How the ways out, the models and the accounts over there are."""
    proxies = {row["state"]: row["n"] for row in await db.fetch(PROXIES, worries.DEAD_AFTER)}
    resting: dict[tuple[str, ...], float] = {(each.id,): 1 for each in await worries.cooled(db)}
    known = await funds.listing(db)
    left: dict[tuple[str, ...], float] = {(each.provider, each.name): each.left / 1e6 for each in known}
    low: dict[tuple[str, ...], float] = {(each.provider, each.name): each.is_low for each in known}
    days: dict[tuple[str, ...], float] = {
        (each.provider, each.name): each.days_left for each in known if each.days_left is not None
    }
    account = ("provider", "account")
    return [
        Gauge("proxies", "Ways out.", ("state",), {(state,): proxies.get(state, 0) for state in PROXY_STATES}),
        Gauge("model_resting", "1: nobody can paint with it for a while.", ("model",), resting),
        Gauge("fund_left_dollars", "What is left on an account over there.", account, left),
        Gauge("fund_days_left", "For how many days that lasts, by what the last seven cost.", account, days),
        Gauge("fund_low", "1: less than what you want to be told of.", account, low),
    ]


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
