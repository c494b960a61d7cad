"""The dashboard: the studio at a glance, and the way to every menu."""

from __future__ import annotations

from collections.abc import Sequence

from limner.actors.bot.menus.screen import Button, Screen, pairs
from limner.actors.bot.menus.visit import BOOKKEEPERS, Visit
from limner.actors.bot.words import money
from limner.sql import alerts, overview
from limner.sql.overview import Numbers

MOST_ALERTS = 5


async def screen(visit: Visit, doors: Sequence[Button]) -> Screen:
    numbers = await overview.numbers(visit.db)
    lines = [*await _alerts(visit), *_money(visit, numbers), *_pictures(visit, numbers), *await _processes(visit)]
    text = "\n".join([visit.say("home.title"), "", *lines])
    return Screen(text, [[visit.button("home.refresh", "home")], *pairs(doors)])


async def _alerts(visit: Visit) -> list[str]:
    open_now = await alerts.still_open(visit.db)
    lines: list[str] = [
        visit.say("home.alert", words=each.words[:200], ago=visit.duration(each.seconds))
        for each in open_now[:MOST_ALERTS]
    ]
    if len(open_now) > MOST_ALERTS:
        lines.append(visit.say("home.more_alerts", n=len(open_now) - MOST_ALERTS))
    return [*lines, ""] if lines else []


def _money(visit: Visit, numbers: Numbers) -> list[str]:
    if not visit.may(BOOKKEEPERS):
        return []
    return [visit.say("home.money", today=money(numbers.revenue_today), month=money(numbers.revenue_month))]


def _pictures(visit: Visit, n: Numbers) -> list[str]:
    return [
        visit.say("home.people", accounts=n.accounts, subscribed=n.active_subscriptions),
        visit.say("home.pictures", delivered=n.delivered_today, failed=n.failed_today),
        visit.say("home.queue", waiting=n.waiting, oldest=visit.duration(n.oldest_waiting), running=n.running),
        visit.say("home.keys", ready=n.keys_active, resting=n.keys_resting, lost=n.keys_lost),
    ]


async def _processes(visit: Visit) -> list[str]:
    alive = [each for each in await overview.workers(visit.db, visit.config.lease) if each.is_alive]
    if any(each.role == "worker" for each in alive):
        return [visit.say("home.processes", n=len(alive))]
    return [visit.say("home.no_worker")]
