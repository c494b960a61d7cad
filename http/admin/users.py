"""Users: find, see, grant, ban."""

from __future__ import annotations

from urllib.parse import urlencode

from aiohttp import web

from limner.http import forms, pages
from limner.http.gallery import as_keyset, keyset
from limner.http.state import DB, about, address_of, fresh, path_id, session_of, staff
from limner.runtime.errors import Refused
from limner.sql import (
    accounts,
    confirmations,
    erasure,
    favours,
    invoices,
    ledger,
    pauses,
    renewals,
    roles,
    subscriptions,
    visits,
)
from limner.sql.accounts import Account

PAGE = 50
STEERING = {"pause": pauses.pause, "resume": pauses.resume}


async def show_list(request: web.Request) -> web.Response:
    staff(request)
    search = forms.clean(request.query.get("q", ""))[:254]
    before = keyset(request.query.get("before", ""))
    found = await accounts.listing(request.app[DB], search=search, before=before, count=PAGE + 1)
    older = None
    if len(found) > PAGE:
        last = found[PAGE - 1]
        older = "/admin/users?" + urlencode({"q": search, "before": as_keyset(last["created_at"], last["id"])})
    return pages.render(request, "admin/users.html", users=found[:PAGE], q=search, older_url=older)


async def show(request: web.Request) -> web.Response:
    staff(request)
    return await _page(request, await accounts.get(request.app[DB], path_id(request)))


async def grant(request: web.Request) -> web.StreamResponse:
    fresh(request)
    account, form = await accounts.get(request.app[DB], path_id(request)), await forms.read(request)
    try:
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
    account = await accounts.get(request.app[DB], path_id(request))
    await forms.read(request)
    await confirmations.verify_by_hand(request.app[DB], account, **about(request))
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


async def _page(
    request: web.Request, account: Account, why: Refused | None = None, field: str = "form"
) -> web.Response:
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
