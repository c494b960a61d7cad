"""Overview: the numbers that an admin looks at first."""

from __future__ import annotations

from collections import Counter
from typing import Any

from aiohttp import web

from limner.http import pages
from limner.http.state import CONFIG, DB, staff
from limner.sql import alerts, keys, overview
from limner.sql.overview import Numbers, Worker

HEALTHY = ("running", "polling", "waiting", "no token", None)


async def show(request: web.Request) -> web.Response:
    staff(request)
    db = request.app[DB]
    return pages.render(
        request,
        "admin/overview.html",
        numbers=_shown(await overview.numbers(db)) | {"failed attempts in 24 h": await overview.faults_today(db)},
        workers=[_worker(worker) for worker in await overview.workers(db, request.app[CONFIG].lease)],
        keys=dict(Counter(key["state"] for key in await keys.listing(db))),
        alerts=await alerts.still_open(db),
    )


def _shown(numbers: Numbers) -> dict[str, Any]:
    """Each number under the words that stand beside it."""
    return {
        "accounts": numbers.accounts,
        "active subscriptions": numbers.active_subscriptions,
        "revenue in 24 h": pages.money(numbers.revenue_today, "USD"),
        "revenue in 30 days": pages.money(numbers.revenue_month, "USD"),
        "delivered in 24 h": numbers.delivered_today,
        "failed in 24 h": numbers.failed_today,
        "waiting": numbers.waiting,
        "being painted": numbers.running,
        "oldest waits for": f"{numbers.oldest_waiting:.0f} s",
        "credits on hold": numbers.held,
    }


def _worker(worker: Worker) -> dict[str, Any]:
    """A process; what ails its children stands in the detail."""
    ailing = [f"{child['name']} {child['state']}" for child in worker.children if child.get("state") not in HEALTHY]
    state = worker.state if worker.is_alive or worker.state == "stopped" else "dead"
    return vars(worker) | {"state": state, "detail": ", ".join(ailing)}
