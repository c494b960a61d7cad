"""The dashboard: the studio at a glance, and the way to every menu."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from anyio import to_thread

from limner.actors.bot import chart
from limner.actors.bot.menus.screen import MOST_CAPTION, Button, Screen, length, pairs
from limner.actors.bot.menus.visit import BOOKKEEPERS, Visit
from limner.actors.bot.words import sums
from limner.runtime.amounts import said
from limner.runtime.log import redact
from limner.sql import backups, doubts, glance, overview, samples
from limner.sql.alerts import Alert
from limner.sql.glance import Day
from limner.sql.overview import Present

MOST_ALERTS = 3
MOST_WORDS = 120
"""Characters of an alert, where there is room."""
MOST_FAULTS = 4


async def screen(visit: Visit, doors: Sequence[Button], *, spare: int = 0) -> Screen:
    """``spare``: characters that somebody may want to put above it, the picture staying where it is."""
    now, days = await overview.present(visit.db), await glance.days(visit.db)
    title = visit.say("home.title", at=visit.moment(await backups.now(visit.db)))
    lines = [
        "",
        *(await _money(visit, days) if visit.may(BOOKKEEPERS) else []),
        visit.say("home.people", accounts=now.accounts, subscribed=now.active_subscriptions),
        *await _pictures(visit, days[-1], now),
        *await _machinery(visit),
    ]
    alerts = _alerts(visit, await visit.alerts(), room=MOST_CAPTION - spare - length("\n".join([title, *lines])))
    picture = await to_thread.run_sync(partial(chart.png, days[-chart.DAYS :], with_money=visit.may(BOOKKEEPERS)))
    return Screen(
        "\n".join([title, *alerts, *lines]), [[visit.button("frame.refresh", "home")], *pairs(doors)], picture=picture
    )


def _alerts(visit: Visit, found: list[Alert], *, room: int) -> list[str]:
    """What is wrong, in as many words as leave the picture above the dashboard."""
    for most in range(MOST_WORDS, 0, -10):
        lines = _lines(visit, found, most)
        if length("\n".join(lines)) < room:
            break
    return lines


def _lines(visit: Visit, found: list[Alert], most: int) -> list[str]:
    lines: list[str] = [
        visit.say(
            "home.alert", words=_shortened(redact(visit.told(each.phrase)), most), ago=visit.duration(each.seconds)
        )
        for each in found[:MOST_ALERTS]
    ]
    if len(found) > MOST_ALERTS:
        lines.append(visit.say("home.more_alerts", n=len(found) - MOST_ALERTS))
    return lines


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


async def _money(visit: Visit, days: list[Day]) -> list[str]:
    doubtful = {each.currency: each.cents for each in await doubts.now(visit.db)}
    spans = {"day": days[-1:], "week": days[-7:], "month": days}
    return [
        visit.say("home.revenue", **{name: sums(glance.revenue(span)) for name, span in spans.items()}),
        *([visit.say("home.doubtful", sum=sums(doubtful))] if doubtful else []),
        visit.say("home.margin", **{name: said(glance.margin(span), "USD") for name, span in spans.items()}),
    ]


async def _pictures(visit: Visit, today: Day, now: Present) -> list[str]:
    keys, room, p95 = await glance.keys(visit.db), await samples.headroom(visit.db), await glance.p95(visit.db)
    failing = ", ".join(f"{fault} {times}" for fault, times in (await glance.faults(visit.db))[:MOST_FAULTS])
    return [
        visit.say("home.pictures", delivered=today.delivered, failed=today.failed),
        *([visit.say("home.faults", faults=failing)] if failing else []),
        visit.say("home.queue", waiting=now.waiting, oldest=visit.duration(now.oldest_waiting), running=now.running),
        *([visit.say("home.p95", p95=visit.duration(p95))] if p95 is not None else []),
        visit.say(
            "home.keys", ready=keys.ready, resting=keys.resting, lost=keys.lost, free=room.free, slots=room.slots
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
