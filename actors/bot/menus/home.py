"""The dashboard: the studio at a glance, and the way to every menu."""

from __future__ import annotations

from collections.abc import Sequence

from anyio import to_thread

from limner.actors.bot import chart
from limner.actors.bot.menus.screen import Button, Screen, pairs
from limner.actors.bot.menus.visit import BOOKKEEPERS, Visit
from limner.actors.bot.words import money
from limner.runtime.log import redact
from limner.sql import backups, glance, overview
from limner.sql.overview import Numbers

MOST_ALERTS = 3
MOST_FAULTS = 4


async def screen(visit: Visit, doors: Sequence[Button]) -> Screen:
    numbers = await overview.numbers(visit.db)
    lines = [
        visit.say("home.title", at=visit.moment(await backups.now(visit.db))),
        *await _alerts(visit),
        "",
        *(await _money(visit) if visit.may(BOOKKEEPERS) else []),
        visit.say("home.people", accounts=numbers.accounts, subscribed=numbers.active_subscriptions),
        *await _pictures(visit, numbers),
        *await _machinery(visit),
    ]
    return Screen(
        "\n".join(lines), [[visit.button("frame.refresh", "home")], *pairs(doors)], picture=await _chart(visit)
    )


async def _chart(visit: Visit) -> bytes:
    days, with_money = await glance.days(visit.db), visit.may(BOOKKEEPERS)
    return await to_thread.run_sync(lambda: chart.png(days, with_money=with_money))


async def _alerts(visit: Visit) -> list[str]:
    found = await visit.alerts()
    lines: list[str] = [
        visit.say("home.alert", words=redact(each.words)[:120], ago=visit.duration(each.seconds))
        for each in found[:MOST_ALERTS]
    ]
    if len(found) > MOST_ALERTS:
        lines.append(visit.say("home.more_alerts", n=len(found) - MOST_ALERTS))
    return lines


async def _money(visit: Visit) -> list[str]:
    found = await glance.money(visit.db)
    revenue = {"day": found.revenue_day, "week": found.revenue_week, "month": found.revenue_month}
    margin = {"day": found.margin_day, "week": found.margin_week, "month": found.margin_month}
    return [
        visit.say("home.revenue", **{name: money(cents) for name, cents in revenue.items()}),
        visit.say("home.margin", **{name: money(round(micros / 10_000)) for name, micros in margin.items()}),
    ]


async def _pictures(visit: Visit, n: Numbers) -> list[str]:
    pace, faults = await glance.pace(visit.db), (await overview.faults_today(visit.db))[:MOST_FAULTS]
    failing = ", ".join(f"{fault} {times}" for fault, times in faults)
    return [
        visit.say("home.pictures", delivered=n.delivered_today, failed=n.failed_today),
        *([visit.say("home.faults", faults=failing)] if failing else []),
        visit.say("home.queue", waiting=n.waiting, oldest=visit.duration(n.oldest_waiting), running=n.running),
        *([visit.say("home.p95", p95=visit.duration(pace.p95))] if pace.p95 is not None else []),
        visit.say(
            "home.keys", ready=n.keys_active, resting=n.keys_resting, lost=n.keys_lost, free=pace.free, slots=pace.slots
        ),
    ]


async def _machinery(visit: Visit) -> list[str]:
    lease = visit.config.lease
    backup, drill = await backups.latest(visit.db, "backup"), await backups.latest(visit.db, "drill")
    free, alive = await glance.disk_free(visit.db, lease), await glance.processes(visit.db, lease)
    has_worker = any(each.role == "worker" for each in alive)
    return [
        visit.say(
            "home.copies",
            backup=visit.ago(backup.age if backup else None),
            drill=visit.ago(drill.age if drill else None),
        ),
        *([visit.say("home.disk", free=round(free))] if free is not None else []),
        visit.say("home.processes", n=len(alive)) if has_worker else visit.say("home.no_worker"),
    ]
