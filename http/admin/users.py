"""Users: find, see, grant, ban."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from limner.http import forms, pages
from limner.http.admin import filters, lists
from limner.http.admin.lists import Asked, Found
from limner.http.state import DB, about, address_of, fresh, path_id, session_of, staff
from limner.runtime.database import Database
from limner.runtime.errors import Refused
from limner.sql import (
    accounts,
    confirmations,
    erasure,
    favours,
    invoices,
    ledger,
    pauses,
    people,
    plans,
    renewals,
    roles,
    subscriptions,
    visits,
)
from limner.sql.accounts import Account
from limner.sql.people import Person

STEERING = {"pause": pauses.pause, "resume": pauses.resume}


async def _filters(db: Database) -> Sequence[filters.Filter]:
    return (
        filters.Words("E-mail or id"),
        filters.Choice("state", "State", people.STATES, {"active": "active plan", "unconfirmed": "not confirmed"}),
        filters.Choice("role", "Role", accounts.ROLES),
        filters.Choice("plan", "Plan", [each["code"] for each in await plans.listing(db)]),
        filters.SINCE,
        filters.UNTIL,
        filters.Choice(
            "sort",
            "Sort",
            people.SORTS,
            {"newest": "newest first", "oldest": "oldest first", "email": "by e-mail"},
            sort=True,
        ),
    )


async def _fetch(db: Database, asked: Asked, count: int) -> Found[Person]:
    text, id = lists.id_or_words(asked["q"])
    sought = people.Sought(text, id, asked["role"], asked["state"], asked["plan"], asked.since, asked.until)
    if asked["sort"] == "email":
        found = await people.by_email(db, sought, asked.place, count + 1)
        return lists.cut(found, count, lambda person: person.email_key)
    read = people.oldest if asked["sort"] == "oldest" else people.newest
    return lists.cut(await read(db, sought, asked.moment, count + 1), count, lists.by_time)


def _cells(person: Person) -> Sequence[object]:
    state = "deleted" if person.deleted_at else "banned" if person.banned_at else person.state
    return (
        person.id, person.email, person.role, state, person.plan, person.period_end, person.available, person.held,
        person.spent, person.verified_at, person.locale, person.created_at,
    )  # fmt: skip


LIST = lists.List(
    "/admin/users", _filters, _fetch,
    ("id", "e-mail", "role", "state", "plan", "plan until (UTC)", "available", "held", "spent", "confirmed (UTC)", "language",
     "since (UTC)"),
    _cells,
)  # fmt: skip


async def show_list(request: web.Request) -> web.Response:
    staff(request)
    return pages.render(request, "admin/users.html", list=await LIST.show(request))


async def show(request: web.Request) -> web.Response:
    staff(request)
    return await _page(request, await accounts.get(request.app[DB], path_id(request)))


async def grant(request: web.Request) -> web.StreamResponse:
    fresh(request)
    account, form = await accounts.get(request.app[DB], path_id(request)), await forms.read(request)
    try:
        if account.deleted_at:
            raise Refused("This account is deleted: nobody is there any more to give anything to.", field="form")
        credits = forms.whole(form, "credits", least=-favours.MOST_CREDITS, most=favours.MOST_CREDITS)
        reason = forms.text(form, "reason", most=200, needed=True)
        await favours.give(request.app[DB], account, credits, reason, **about(request))
    except Refused as why:
        return await _page(request, account, Refused(str(why), field=why.field or "credits"))
    return pages.see_other(f"/admin/users/{account.id}", "saved")


async def ban(request: web.Request) -> web.StreamResponse:
    fresh(request)
    account, form = await accounts.get(request.app[DB], path_id(request)), await forms.read(request)
    try:
        reason = forms.text(form, "reason", most=200, needed=True)
        act = accounts.ban if forms.whole(form, "banned", least=0, most=1) else accounts.unban
        await act(request.app[DB], account, reason, **about(request))
    except Refused as why:
        return await _page(request, account, why)
    return pages.see_other(f"/admin/users/{account.id}", "saved")


async def verify(request: web.Request) -> web.StreamResponse:
    """The address is theirs: somebody who knows says so."""
    fresh(request)
    account, form = await accounts.get(request.app[DB], path_id(request)), await forms.read(request)
    try:
        reason = forms.text(form, "verify_reason", most=200, needed=True, label="The reason")
        await confirmations.verify_by_hand(request.app[DB], account, reason, **about(request))
    except Refused as why:
        return await _page(request, account, why)
    return pages.see_other(f"/admin/users/{account.id}", "saved")


async def delete(request: web.Request) -> web.StreamResponse:
    fresh(request)
    account, form = await accounts.get(request.app[DB], path_id(request)), await forms.read(request)
    try:
        reason = forms.text(form, "why", most=200, needed=True, label="The reason")
        if forms.text(form, "confirmation", most=254).lower() != account.email.lower():
            raise Refused(f"Please type {account.email} here, to be sure.", field="confirmation")
        await erasure.erase(request.app[DB], account.id, why=reason, **about(request))
    except Refused as why:
        return await _page(request, account, why)
    return pages.see_other(f"/admin/users/{account.id}", "saved")


async def set_role(request: web.Request) -> web.StreamResponse:
    """Another role. Who is to be an admin is typed out on a page of its own, to be sure."""
    admin = fresh(request)
    account, form = await accounts.get(request.app[DB], path_id(request)), await forms.read(request)
    try:
        role = forms.text(form, "role", most=20, needed=True)
        reason = forms.text(form, "role_reason", most=200, needed=True, label="The reason")
        await roles.check(request.app[DB], account, role, by=admin)
        if role == "admin" and "confirmation" not in form:
            return pages.render(request, "admin/promotion.html", account=account, reason=reason)
        if role == "admin" and forms.text(form, "confirmation", most=254).lower() != account.email.lower():
            why = Refused(f"Please type {account.email} here, to be sure.", field="confirmation")
            return pages.render(request, "admin/promotion.html", why, account=account, reason=reason)
        await roles.change(request.app[DB], account, role, reason, by=admin, ip=address_of(request))
    except Refused as why:
        return await _page(request, account, why)
    return pages.see_other(f"/admin/users/{account.id}", "saved")


async def visit(request: web.Request) -> web.StreamResponse:
    """See the studio as they do, and change nothing (http/looking.py)."""
    admin, session = fresh(request), session_of(request)
    account, form = await accounts.get(request.app[DB], path_id(request)), await forms.read(request)
    assert session is not None
    try:
        reason = forms.text(form, "visit_reason", most=200, needed=True, label="The reason")
        await visits.begin(request.app[DB], session.id, admin, account, reason, ip=address_of(request))
    except Refused as why:
        return await _page(request, account, why)
    return pages.see_other("/dashboard")


async def steer(request: web.Request) -> web.StreamResponse:
    """Pause a subscription, let it go on, or give it days."""
    fresh(request)
    account, form = await accounts.get(request.app[DB], path_id(request)), await forms.read(request)
    try:
        act, reason = forms.text(form, "act", most=10), forms.text(form, "reason", most=200, needed=True)
        if act == "extend":
            days = forms.whole(form, "days", least=1, most=pauses.MOST_DAYS)
            await pauses.extend(request.app[DB], account.id, days, reason, **about(request))
        elif act in STEERING:
            await STEERING[act](request.app[DB], account.id, reason, **about(request))
        else:
            raise Refused(f"A subscription is paused, resumed or extended, not {act!r}.", field="act")
    except Refused as why:
        return await _page(request, account, pages.in_general(why))
    return pages.see_other(f"/admin/users/{account.id}", "saved")


async def _page(request: web.Request, account: Account, why: Refused | None = None) -> web.Response:
    db = request.app[DB]
    return pages.render(
        request,
        "admin/user.html",
        why,
        account=account,
        roles=accounts.ROLES,
        minutes=visits.MINUTES,
        subscription=await subscriptions.latest(db, account.id),
        waiting=await renewals.waiting(db, account.id),
        balance=await ledger.balance(db, account.id),
        entries=await ledger.entries(db, account.id, 50),
        invoices=await invoices.of_account(db, account.id, 20),
    )
