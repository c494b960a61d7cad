"""Overview: the numbers that an admin looks at first."""

from __future__ import annotations

from collections import Counter
from typing import Any

from aiohttp import web

from limner.http import pages
from limner.http.state import CONFIG, DB, staff
from limner.sql import alerts, keys, overview
from limner.sql.alerts import Alert
from limner.sql.overview import Numbers, Worker


async def show(request: web.Request) -> web.Response:
    staff(request)
    db = request.app[DB]
    numbers = _numbers(await overview.numbers(db))
    numbers["Failed today by class"] = await overview.faults_today(db)
    numbers["Open alerts"] = [_alert(each) for each in await alerts.still_open(db)]
    return pages.render(
        request,
        "admin/overview.html",
        numbers=numbers,
        workers=[_worker(each) for each in await overview.workers(db, request.app[CONFIG].lease)],
        keys=Counter(key["state"] for key in await keys.listing(db)),
    )


def _numbers(now: Numbers) -> dict[str, Any]:
    """Label and value, in the order that an admin asks in."""
    return {
        "Waiting": now.waiting,
        "Oldest waiting": f"{now.oldest_waiting:.0f} s",
        "Being painted": now.running,
        "Delivered today": now.delivered_today,
        "Failed today": now.failed_today,
        "Accounts": now.accounts,
        "Active subscriptions": now.active_subscriptions,
        "Paid today": pages.money(now.revenue_today, "USD"),
        "Paid in 30 days": pages.money(now.revenue_month, "USD"),
        "Credits held": now.held,
    }


def _alert(alert: Alert) -> tuple[str, str]:
    return alert.words, f"for {alert.seconds / 60:.0f} min"


def _worker(worker: Worker) -> dict[str, Any]:
    troubled = [f"{child['name']}: {child['state']}" for child in worker.children if child.get("state") != "running"]
    return vars(worker) | {
        "state": worker.state if worker.is_alive or worker.state == "stopped" else "dead",
        "detail": ", ".join(troubled),
    }
