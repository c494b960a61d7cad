"""What an admin looks at in a crowd, and how long each look takes, from the request to the last byte of the page."""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import aiohttp
import anyio

from limner.runtime.config import Config
from limner.runtime.database import Database
from limner.sql import accounts, sessions

MOST_MS = 300.0
PATIENCE = 60.0
WARM_UP = 2
SEARCHES: Mapping[str, Mapping[str, str]] = {
    "rare": {"q": "zhang99"},
    "one": {"q": "anna.abel24000@example.org"},
    "common": {"q": "example.com"},
    "nobody": {"q": "nobody-has-this@nowhere.test"},
    "percent": {"q": "%"},
    "underscore": {"q": "_"},
    "backslash": {"q": "\\"},
    "emoji": {"q": "\N{FOX FACE}\N{ARTIST PALETTE}"},
    "long": {"q": "x" * 254},
}
LISTS: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "users": {
        **SEARCHES, "banned": {"state": "banned"}, "active": {"state": "active"}, "no plan": {"state": "no_plan"},
        "support": {"role": "support"}, "of a plan": {"plan": "atelier"}, "oldest": {"sort": "oldest"},
        "by e-mail": {"sort": "email"},
        "all at once": {"q": "anna", "state": "active", "plan": "studio", "sort": "email"},
    },
    "subscriptions": {
        **SEARCHES, "active": {"state": "active"}, "ending": {"state": "ending"}, "paused": {"state": "paused"},
        "of a plan": {"plan": "atelier"},
    },
    "invoices": {
        **SEARCHES, "to decide": {"state": "trouble"}, "paid": {"state": "paid"}, "pending": {"state": "pending"},
        "of a plan": {"plan": "atelier", "through": "stripe"},
    },
    "ledger": {
        **SEARCHES, "reserve": {"kind": "reserve"}, "release": {"kind": "release"}, "adjust": {"kind": "adjust"},
        "refund": {"kind": "refund"}, "rare of a part": {"q": "zhang99", "kind": "adjust"},
    },
    "generations": {
        **SEARCHES, "failed": {"state": "failed"}, "queued": {"state": "queued"}, "words": {"q": "a fox in the snow"},
        "no such words": {"q": "a submarine"}, "of a class": {"fault": "moderation_input"},
        "no such class": {"fault": "auth_dead", "state": "failed"},
        "of a key": {"key": "7"}, "of no key": {"key": "99999"}, "of a model": {"model": "demo"},
    },
    "keys": {"percent": {"q": "%"}, "active": {"state": "active"}},
    "providers": {"percent": {"q": "%"}}, "proxies": {"percent": {"q": "%"}},
    "models": {"percent": {"q": "%"}, "on": {"state": "on"}}, "plans": {"percent": {"q": "%"}, "on": {"state": "on"}},
    "codes": {"percent": {"q": "%"}, "nobody": {"q": "no such word"}, "promo": {"kind": "promo"},
    "stopped": {"state": "stopped"}},
    "notices": {**SEARCHES, "waiting": {"state": "waiting"}, "failed": {"state": "failed"},
    "telegram": {"channel": "telegram"}},
    "mails": {**SEARCHES, "waiting": {"state": "waiting"}, "failed": {"state": "failed"}},
    "audit": {
        **SEARCHES, "of an action": {"action": "key.state"}, "of a room": {"action": "plan"}, "by nobody": {"actor": "mallory"},
        "by an admin": {"actor": "carol"},
    },
    "sessions": {**SEARCHES, "support": {"role": "support"}},
    "alerts": {"open": {"state": "open"}, "over": {"state": "over"}, "of a rule": {"rule": "disk_full"}},
    "wall": {"shown": {"state": "shown"}, "refused": {"state": "refused"}, "taken off": {"state": "taken_off"}},
    "reports": {
        **SEARCHES, "words": {"q": "picture number 4"}, "settled": {"state": "settled"}, "down": {"state": "down"},
        **{f"settled, {name}": {**asked, "state": "settled"} for name, asked in SEARCHES.items()},
        "settled, words": {"q": "picture number 4", "state": "settled"},
        **{f"down, {name}": {**asked, "state": "down"} for name, asked in SEARCHES.items()},
        "down, reason": {"q": "looked at", "state": "down"},
    },
    "invitations": {
        **SEARCHES, "active": {"state": "active"}, "used": {"state": "used"}, "expired": {"state": "expired"},
        "revoked": {"state": "revoked"},
    },
    "broadcasts": {**SEARCHES, "draft": {"state": "draft"}, "stopped": {"state": "stopped"}, "done": {"state": "done"}},
    "health": {},
}  # fmt: skip
"""Every list, and what it is narrowed to beside its first page."""
DAYS = (
    "users",
    "subscriptions",
    "invoices",
    "ledger",
    "generations",
    "codes",
    "notices",
    "mails",
    "audit",
    "sessions",
    "alerts",
    "wall",
    "reports",
    "invitations",
)
"""Those that can be narrowed to days."""

# Where a page lies that nobody reaches by turning: nine tenths of all rows come before it.
DEEP_USERS = """
select created_at, id from account order by created_at offset (select count(*) / 10 from account) limit 1
"""
DEEP_INVOICES = """
select created_at, id from invoice order by created_at offset (select count(*) / 10 from invoice) limit 1
"""
DEEP_SUBSCRIPTIONS = """
select created_at, id from subscription order by created_at offset (select count(*) / 10 from subscription) limit 1
"""
DEEP_LEDGER = """
select created_at, id from ledger_entry order by id offset (select count(*) / 10 from ledger_entry) limit 1
"""
DEEP_GENERATIONS = """
select created_at, id from generation order by created_at offset (select count(*) / 10 from generation) limit 1
"""
DEEP_CODES = """
select created_at, id from code order by created_at offset (select count(*) / 10 from code) limit 1
"""
DEEP_SESSIONS = """
select created_at, id from session order by created_at offset (select count(*) / 10 from session) limit 1
"""
DEEP_WALL = """
select offered_at as created_at, id from wall_offer where state = 'waiting' order by offered_at, id
offset (select count(*) / 10 from wall_offer where state = 'waiting') limit 1
"""
DEEP_REPORTS = """
select min(created_at) as created_at, image_id as id from report where settled_at is null group by image_id order by 1
offset (select count(distinct image_id) * 9 / 10 from report where settled_at is null) limit 1
"""
DEEP_INVITATIONS = """
select created_at, id from invitation order by created_at offset (select count(*) / 10 from invitation) limit 1
"""
DEEP_BROADCASTS = """
select created_at, id from broadcast order by created_at offset (select count(*) / 10 from broadcast) limit 1
"""
TO_EVERYBODY = "select broadcast_id from broadcast_recipient limit 1"
DEEP_ALERTS = "select max(id) / 10 as id from alert"
DEEP_NOTICES = "select max(id) / 10 as id from notice"
DEEP_AUDIT = "select max(id) / 10 as id from audit"
DEEP: Mapping[str, str] = {
    "users": DEEP_USERS, "invoices": DEEP_INVOICES, "subscriptions": DEEP_SUBSCRIPTIONS, "ledger": DEEP_LEDGER,
    "generations": DEEP_GENERATIONS, "codes": DEEP_CODES, "sessions": DEEP_SESSIONS, "notices": DEEP_NOTICES,
    "mails": DEEP_NOTICES,
    "audit": DEEP_AUDIT, "wall": DEEP_WALL, "reports": DEEP_REPORTS, "invitations": DEEP_INVITATIONS,
    "broadcasts": DEEP_BROADCASTS, "alerts": DEEP_ALERTS,
}  # fmt: skip


async def look(config: Config, db: Database, rounds: int, only: str, say: Callable[[str], None]) -> dict[str, Any]:
    """Each look ``rounds`` times, all of them in turn, so that no list has its pages in memory for itself."""
    looks = {name: path for name, path in (await _looks(db)).items() if only in name}
    async with aiohttp.ClientSession(cookies=await _carol(db)) as client:
        await _until_up(client, config.public_url)
        times: dict[str, list[float]] = {name: [] for name in looks}
        for turn in range(WARM_UP + rounds):
            for name, path in looks.items():
                took = await _took(client, config.public_url + path)
                if turn >= WARM_UP:
                    times[name].append(took)
    for name, each in times.items():
        say(f"{_p95(each):7.1f} ms p95 {statistics.median(each):7.1f} ms median  {name}")
    worst: dict[str, float] = {}
    for name, each in times.items():
        worst[name.split(":")[0]] = max(worst.get(name.split(":")[0], 0.0), _p95(each))
    slow = {name: _p95(each) for name, each in times.items() if _p95(each) > MOST_MS}
    load = {"average": os.getloadavg()[0], "cores": os.cpu_count() or 1}
    return {"p95_ms": worst, "slow": len(slow), "too_slow": slow, "looks": len(looks), "rounds": rounds, "load": load}


async def _looks(db: Database) -> dict[str, str]:
    """Name to path: of each list the first page, the narrowed ones, a day long ago, and a deep page."""
    found = {}
    for room, narrowed in LISTS.items():
        found[f"{room}: first"] = f"/admin/{room}"
        found |= {f"{room}: {name}": f"/admin/{room}?{urlencode(values)}" for name, values in narrowed.items()}
        if room in DAYS:
            day = (await db.fetchrow("select now() - interval '200 days' as day") or {})["day"].date().isoformat()
            found[f"{room}: a day"] = f"/admin/{room}?{urlencode({'since': day, 'until': day})}"
            found[f"{room}: until a day"] = f"/admin/{room}?{urlencode({'until': day})}"
        if room in DEEP:
            found[f"{room}: deep"] = f"/admin/{room}?{urlencode({'before': await _place(db, DEEP[room])})}"
    return found | {"broadcasts: to everybody": f"/admin/broadcasts/{await db.fetchval(TO_EVERYBODY)}"}


async def _place(db: Database, sql: str) -> str:
    row = await db.fetchrow(sql)
    assert row is not None
    at: datetime | None = row.get("created_at")
    return f"{at.astimezone(UTC).isoformat()}~{row['id']}" if at else str(row["id"])


async def _carol(db: Database) -> dict[str, str]:
    """The cookie of somebody who runs the place."""
    carol = await accounts.find(db, "carol@example.com")
    assert carol is not None
    return {"session": await sessions.start(db, carol.id, ip="127.0.0.1", agent="the benchmark")}


async def _until_up(client: aiohttp.ClientSession, url: str) -> None:
    with anyio.fail_after(PATIENCE):
        while True:
            try:
                async with client.get(f"{url}/health/ready") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                pass
            await anyio.sleep(0.1)


async def _took(client: aiohttp.ClientSession, url: str) -> float:
    """Milliseconds. Raises RuntimeError for what is no page."""
    began = time.perf_counter()
    async with client.get(url, allow_redirects=False) as answer:
        await answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{url} answered {answer.status}")
    return (time.perf_counter() - began) * 1000


def _p95(times: list[float]) -> float:
    """The nearest rank: of 20 the second longest."""
    return round(sorted(times)[math.ceil(len(times) * 0.95) - 1], 1)
