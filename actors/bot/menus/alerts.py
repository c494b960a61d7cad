"""Alerts: what is wrong just now, the way to where it is mended, and silence for a while."""

from __future__ import annotations

from limner.actors.bot.menus.screen import PAGE, Button, Screen, number, page_of, pairs, turns
from limner.actors.bot.menus.visit import BOOKKEEPERS, EVERYBODY, STAFF, Menu, Visit
from limner.actors.watch.telling import runbook
from limner.runtime.errors import NotFound, Refused
from limner.runtime.log import redact
from limner.sql import alert_news, alert_rules, alerts
from limner.sql.alert_rules import KINDS
from limner.sql.alerts import Alert

HOURS = (1, 8)
"""For so long an alert can be silenced; and till tomorrow morning."""
MOST_WORDS = 44
"""Characters on a button."""


async def press(visit: Visit, args: list[str]) -> Screen:
    """alerts, alerts:page:N, and with the id of one: alerts:see:7, alerts:sleep:7:HOURS, alerts:morning:7, alerts:wake:7."""
    match args:
        case []:
            return await _list(visit, 0)
        case ["page", page]:
            return await _list(visit, number(page))
        case ["see", alert_id]:
            return _one(visit, await _find(visit, alert_id))
        case ["sleep", alert_id, hours] if number(hours) in HOURS:
            return await _sleep(visit, await _find(visit, alert_id), number(hours))
        case ["morning", alert_id]:
            return await _sleep(visit, await _find(visit, alert_id), None)
        case ["wake", alert_id]:
            return await _wake(visit, await _find(visit, alert_id))
    raise visit.stale()


async def _list(visit: Visit, wanted: int) -> Screen:
    found = await visit.alerts()
    page, pages = page_of(len(found), wanted)
    rows = [[_line(visit, each)] for each in found[page * PAGE : (page + 1) * PAGE]]
    around = turns(f"alerts:page:{page - 1}" if page else None, f"alerts:page:{page + 1}" if page < pages - 1 else None)
    text = visit.say("alerts.title", n=len(found)) if found else visit.say("alerts.none")
    if pages > 1:
        text = visit.say("frame.page", text=text, page=page + 1, pages=pages)
    return Screen(text, [*rows, around, [visit.button("frame.refresh", "alerts")], visit.back()])


def _line(visit: Visit, alert: Alert) -> Button:
    words = _words(visit, alert)
    return Button(
        f"{_sign(alert)} {words if len(words) <= MOST_WORDS else words[: MOST_WORDS - 1] + '…'}",
        f"alerts:see:{alert.id}",
    )


def _words(visit: Visit, alert: Alert) -> str:
    return redact(visit.told(alert.phrase))


def _sign(alert: Alert) -> str:
    return "✅" if alert.ended_at else "🔕" if alert.is_snoozed else "⚠️"


def _one(visit: Visit, alert: Alert) -> Screen:
    """What it is and what may be done; nothing may be done about one that is over."""
    words = _words(visit, alert)[:1000]
    if alert.ended_at is not None:
        return Screen(visit.say("alerts.over", words=words), [visit.back("alerts")])
    lines: list[str] = [visit.say("alerts.one", sign=_sign(alert), words=words, lasted=alert.seconds)]
    if alert.returns:
        lines.append(visit.say("alerts.came_back", n=alert.returns))
    if alert.rule in KINDS:
        lines.append(visit.say("alerts.what_to_do", page=runbook(visit.config, KINDS[alert.rule].page)))
    if alert.is_snoozed and alert.snoozed_until is not None:
        lines.append(visit.say("alerts.sleeps", until=visit.moment(alert.snoozed_until)))
    elif visit.may(STAFF):
        lines += ["", visit.say("alerts.ask")]
    fix = [] if alert.button == "home" else [visit.button("alerts.fix", alert.button)]
    return Screen("\n".join(lines), [*_switches(visit, alert), fix, visit.back("alerts")])


def _switches(visit: Visit, alert: Alert) -> list[list[Button]]:
    if not visit.may(STAFF):
        return []
    if alert.is_snoozed:
        return [[visit.button("alerts.wake", f"alerts:wake:{alert.id}")]]
    hours = [visit.button("alerts.hours", f"alerts:sleep:{alert.id}:{each}", n=each) for each in HOURS]
    return [*pairs(hours), [visit.button("alerts.morning", f"alerts:morning:{alert.id}")]]


async def _sleep(visit: Visit, alert: Alert, hours: int | None) -> Screen:
    """``hours``: None is till tomorrow morning."""
    visit.insist(STAFF)
    if hours is None:
        await alert_news.snooze_until_morning(visit.db, alert.id, visit.reason, actor=visit.actor)
    else:
        await alert_news.snooze(visit.db, alert.id, hours, visit.reason, actor=visit.actor)
    asleep = await alerts.get(visit.db, alert.id)
    assert asleep.snoozed_until is not None
    return _one(visit, asleep).with_toast(visit.label("alerts.slept", until=visit.moment(asleep.snoozed_until)))


async def _wake(visit: Visit, alert: Alert) -> Screen:
    visit.insist(STAFF)
    await alert_news.snooze(visit.db, alert.id, 0, visit.reason, actor=visit.actor)
    return _one(visit, await alerts.get(visit.db, alert.id)).with_toast(visit.label("alerts.woken"))


async def _find(visit: Visit, alert_id: str) -> Alert:
    """One of money is not there for who sees none."""
    try:
        alert = await alerts.get(visit.db, number(alert_id))
    except NotFound:
        raise Refused(visit.label("alerts.gone")) from None
    if alert_rules.is_money(alert.rule) and not visit.may(BOOKKEEPERS):
        raise Refused(visit.label("alerts.gone"))
    return alert


MENU = Menu("alerts", press, looks=EVERYBODY)
