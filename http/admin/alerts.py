"""Alerts: what is wrong and what was, the rules that say so, and when nobody wants to hear of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import time
from typing import Any

from aiohttp import web

from limner.http import forms, pages, sure
from limner.http.admin import filters, lists
from limner.http.admin.lists import Asked, Found
from limner.http.state import CONFIG, DB, about, fresh, path_code, path_number, staff
from limner.runtime.database import Database
from limner.runtime.errors import Refused
from limner.sql import alert_news, alert_rules, alert_times, alerts
from limner.sql.alert_rules import KINDS, Rule
from limner.sql.alerts import Alert

STATES = ("open", "over")
SNOOZES = (1, 4, 12, 24)
"""Hours that are offered."""


FILTERS = (
    filters.Words("Words or cause"),
    filters.Choice("state", "State", STATES),
    filters.Choice("rule", "Rule", tuple(KINDS), {code: kind.title for code, kind in KINDS.items()}),
    filters.SINCE,
    filters.UNTIL,
)


async def _fetch(db: Database, asked: Asked, count: int) -> Found[Alert]:
    sought = alerts.Sought(asked["state"], asked["rule"], asked["q"], asked.since, asked.until)
    return lists.cut(await alerts.listing(db, sought, asked.before, count + 1), count, lists.by_number)


def _cells(each: Alert) -> Sequence[object]:
    return (
        each.id, each.rule, each.severity, each.words, each.began_at, each.ended_at, round(each.seconds), each.returns,
        each.told, each.told_at, each.snoozed_until, each.place,
    )  # fmt: skip


LIST = lists.List(
    "/admin/alerts", FILTERS, _fetch,
    ("alert", "rule", "how bad", "what", "began (UTC)", "ended (UTC)", "lasted (s)", "came back", "told", "told (UTC)",
     "snoozed until (UTC)", "where to mend it"),
    _cells, people=False,
)  # fmt: skip


async def show_list(request: web.Request) -> web.Response:
    staff(request)
    return await _page(request)


async def show(request: web.Request) -> web.Response:
    staff(request)
    return await _alert_page(request)


async def _alert_page(request: web.Request, why: Refused | None = None) -> web.Response:
    db = request.app[DB]
    alert = await alerts.get(db, path_number(request))
    kind = KINDS.get(alert.rule)
    return pages.render(
        request, "admin/alert.html", None if why is None else pages.in_general(why), alert=alert, kind=kind,
        same=await alerts.of_cause(db, alert.cause), acts=await alerts.acts(db, alert),
        snoozes=SNOOZES, runbooks=request.app[CONFIG].docs_url,
    )  # fmt: skip


async def snooze(request: web.Request) -> web.StreamResponse:
    fresh(request)
    form = await forms.read(request)
    try:
        hours = forms.whole(form, "hours", least=0, most=alert_news.MOST_SNOOZED)
        reason = forms.text(form, "reason", most=200, needed=True, label="The reason")
        await alert_news.snooze(request.app[DB], path_number(request), hours, reason, **about(request))
    except Refused as why:
        return await _alert_page(request, why)
    return pages.see_other(f"/admin/alerts/{path_number(request)}", "saved")


async def change_times(request: web.Request) -> web.StreamResponse:
    fresh(request)
    form = await forms.read(request)
    typed = ("quiet_from", "quiet_to", "digest_at", "time_zone", "mail_after_minutes")
    try:
        begin, end = _clock(form, "quiet_from"), _clock(form, "quiet_to")
        if (begin is None) != (end is None):
            missing = "quiet_to" if end is None else "quiet_from"
            raise Refused("Quiet hours have a beginning and an end; leave both empty for none.", field=missing)
        quiet = (begin, end) if begin is not None and end is not None else None
        zone = forms.text(form, "time_zone", most=60, needed=True, label="The time zone")
        minutes = forms.whole(form, "mail_after_minutes", least=1, most=1440)
        digest = _clock(form, "digest_at")
        was = _typed(await alert_times.get(request.app[DB]))
        clocks = {"quiet_from": begin, "quiet_to": end, "digest_at": digest}
        will = {name: at.isoformat("minutes") if at else "" for name, at in clocks.items()}
        will |= {"time_zone": zone, "mail_after_minutes": str(minutes)}
        reason = sure.asked(form, "Change when you are told", was, will, back="/admin/alerts")
        async with sure.once(request, form) as tx:
            await alert_times.change(tx, quiet, digest, zone, minutes, reason=reason, **about(request))
    except Refused as why:
        return await _page(request, why, forms.kept(form, *typed))
    return pages.see_other("/admin/alerts", "saved")


async def show_rule(request: web.Request) -> web.Response:
    staff(request)
    return await _rule_page(request, await alert_rules.get(request.app[DB], path_code(request)))


async def change_rule(request: web.Request) -> web.StreamResponse:
    fresh(request)
    rule, form = await alert_rules.get(request.app[DB], path_code(request)), await forms.read(request)
    try:
        reason = forms.text(form, "reason", most=200, needed=True, label="The reason")
        await alert_rules.change(request.app[DB], _wanted(rule, form), reason, **about(request))
    except Refused as why:
        return await _rule_page(request, rule, why, forms.kept(form, *TERMS, "reason"))
    return pages.see_other(f"/admin/alerts/rules/{rule.code}", "saved")


TERMS = (
    "is_on", "severity", "begins", "ends", "least", "within_seconds", "after_seconds", "calm_seconds", "again_hours",
)  # fmt: skip


def _wanted(rule: Rule, form: forms.Form) -> Rule:
    """What the form asks for; whether it can be is the rule's own matter. Raises Refused."""
    kind = rule.kind
    severity = forms.text(form, "severity", most=20)
    if severity not in ("urgent", "normal"):
        raise Refused(f"A rule is urgent or normal, not {severity!r}.", field="severity")
    return Rule(
        code=rule.code,
        is_on=bool(forms.text(form, "is_on", most=5)),
        severity="urgent" if severity == "urgent" else "normal",
        begins=_number(form, "begins") if kind.unit else None,
        ends=_number(form, "ends") if kind.ends else None,
        least=_whole(form, "least") if kind.cases else None,
        within_seconds=_whole(form, "within_seconds") if kind.windowed else None,
        after_seconds=_whole(form, "after_seconds"),
        calm_seconds=_whole(form, "calm_seconds"),
        again_hours=_whole(form, "again_hours") if forms.text(form, "again_hours", most=20) else None,
        changed_at=rule.changed_at,
    )


def _number(form: forms.Form, field: str) -> float:
    typed = forms.text(form, field, most=20, needed=True, label="The number")
    whole, _, part = typed.partition(".")
    if not (whole.isascii() and whole.isdigit() and (not part or (part.isascii() and part.isdigit()))):
        raise Refused(f"A number looks like 10 or 2.5, not {typed!r}.", field=field)
    return float(typed)


def _whole(form: forms.Form, field: str) -> int:
    return forms.whole(form, field, least=0, most=10**9)


def _clock(form: forms.Form, field: str) -> time | None:
    typed = forms.text(form, field, most=10)
    try:
        return time.fromisoformat(typed) if typed else None
    except ValueError:
        raise Refused(f"A time of day looks like 22:30, not {typed!r}.", field=field) from None


async def _page(request: web.Request, why: Refused | None = None, form: dict[str, str] | None = None) -> web.Response:
    db = request.app[DB]
    times = await alert_times.get(db)
    return pages.render(
        request, "admin/alerts.html", why, list=await LIST.show(request),
        rules=await alert_rules.listing(db), kinds=KINDS, times=times, form=form or _typed(times),
        runbooks=request.app[CONFIG].docs_url,
    )  # fmt: skip


def _typed(times: alert_times.Times) -> dict[str, str]:
    clocks = {name: getattr(times, name) for name in ("quiet_from", "quiet_to", "digest_at")}
    shown = {name: at.isoformat("minutes") if at else "" for name, at in clocks.items()}
    return shown | {"time_zone": times.time_zone, "mail_after_minutes": str(times.mail_after_minutes)}


async def _rule_page(
    request: web.Request, rule: Rule, why: Refused | None = None, form: dict[str, str] | None = None
) -> web.Response:
    values: dict[str, Any] = {name: getattr(rule, name) for name in TERMS}
    shown = {
        name: "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
        for name, value in values.items()
    }
    shown["is_on"] = "yes" if rule.is_on else ""
    return pages.render(
        request, "admin/alert_rule.html", why, rule=rule, form=form or shown, runbooks=request.app[CONFIG].docs_url
    )
