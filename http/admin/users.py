"""Users: find, see, grant, ban."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from limner.http import forms, pages
from limner.http.gallery import as_keyset, keyset
from limner.http.state import DB, about, admin, path_id, staff
from limner.runtime.errors import NotFound, Refused
from limner.sql import accounts, audit, ledger, subscriptions
from limner.sql.accounts import Account

PAGE = 50
MOST_CREDITS = 100_000


async def show_list(request: web.Request) -> web.Response:
    staff(request)
    search = forms.clean(request.query.get("q", ""))[:254]
    before = keyset(request.query.get("before", ""))
    found = await accounts.listing(request.app[DB], search=search, before=before, count=PAGE + 1)
    older = None
    if len(found) > PAGE:
        last = found[PAGE - 1]
        older = "/admin/users?" + urlencode({"q": search, "before": as_keyset(last["created_at"], last["id"])})
    users = [row | {"state": _state(row["banned_at"])} for row in found[:PAGE]]
    return pages.render(request, "admin/users.html", users=users, q=search, older_url=older)


async def show(request: web.Request) -> web.Response:
    staff(request)
    return await _page(request, await accounts.get(request.app[DB], path_id(request)))


async def grant(request: web.Request) -> web.StreamResponse:
    admin(request)
    account = await accounts.get(request.app[DB], path_id(request))
    form = await forms.read(request)
    try:
        credits = forms.whole(form, "credits", least=-MOST_CREDITS, most=MOST_CREDITS)
        await _adjust(request, account, credits, forms.text(form, "reason", most=200, needed=True))
    except Refused as why:
        return await _page(request, account, why)
    return pages.see_other(f"/admin/users/{account.id}", "saved")


async def _adjust(request: web.Request, account: Account, credits: int, reason: str) -> None:
    """Give credits, or take some back, with the audit in the same transaction. Raises Refused."""
    if credits == 0:
        raise Refused("Zero credits change nothing.", field="credits")
    async with request.app[DB].transaction() as tx:
        before = await ledger.balance(tx, account.id)
        await ledger.adjust(tx, account.id, credits, reason)
        await audit.record(
            tx,
            about(request)["actor"],
            "ledger.adjust",
            account.email,
            {"available": before.available},
            {"available": before.available + credits, "reason": reason},
            ip=about(request)["ip"],
        )


async def ban(request: web.Request) -> web.StreamResponse:
    admin(request)
    account = await accounts.get(request.app[DB], path_id(request))
    form = await forms.read(request)
    try:
        reason = forms.text(form, "reason", most=200, needed=True)
        act = accounts.ban if forms.whole(form, "banned", least=0, most=1) else accounts.unban
        await act(request.app[DB], account, reason, **about(request))
    except Refused as why:
        if isinstance(why, NotFound):
            raise
        return await _page(request, account, Refused(str(why), field="ban"))
    return pages.see_other(f"/admin/users/{account.id}", "saved")


async def _page(request: web.Request, account: Account, why: Refused | None = None) -> web.Response:
    db = request.app[DB]
    subscription = await subscriptions.alive(db, account.id)
    balance = await ledger.balance(db, account.id)
    return pages.render(
        request,
        "admin/user.html",
        200 if why is None else why.status,
        user=vars(account)
        | {
            "state": _state(account.banned_at),
            "plan": subscription.plan.name if subscription else None,
            "available": balance.available,
            "held": balance.held,
        },
        entries=[_entry(each) for each in await ledger.entries(db, account.id, 50)],
        errors={} if why is None else {why.field or "credits": str(why)},
    )


def _state(banned_at: object) -> str:
    return "banned" if banned_at else "active"


def _entry(entry: ledger.Entry) -> dict[str, Any]:
    return {"created_at": entry.created_at, "kind": entry.kind, "line": entry.line, "credits": entry.change}
