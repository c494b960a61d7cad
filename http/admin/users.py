"""Users: find, see, grant, ban."""

from __future__ import annotations

from urllib.parse import urlencode

from aiohttp import web

from limner.http import forms, pages
from limner.http.gallery import as_keyset, keyset
from limner.http.state import DB, about, admin, path_id
from limner.sql import accounts, audit, invoices, ledger, subscriptions

PAGE = 50


async def show_list(request: web.Request) -> web.Response:
    admin(request)
    search = request.query.get("q", "")[:254].replace("\x00", "")
    before = keyset(request.query.get("before", ""))
    found = await accounts.listing(request.app[DB], search=search, before=before, count=PAGE + 1)
    older = None
    if len(found) > PAGE:
        last = found[PAGE - 1]
        older = "/admin/users?" + urlencode({"q": search, "before": as_keyset(last["created_at"], last["id"])})
    return pages.render(request, "admin/users.html", users=found[:PAGE], q=search, older_url=older)


async def show(request: web.Request) -> web.Response:
    admin(request)
    db = request.app[DB]
    account = await accounts.get(db, path_id(request))
    return pages.render(
        request,
        "admin/user.html",
        account=account,
        subscription=await subscriptions.alive(db, account.id),
        balance=await ledger.balance(db, account.id),
        entries=await ledger.entries(db, account.id, 50),
        invoices=await invoices.of_account(db, account.id, 20),
    )


async def grant(request: web.Request) -> web.StreamResponse:
    admin(request)
    form = await forms.read(request)
    credits = forms.whole(form, "credits", least=-100_000, most=100_000)
    reason = forms.text(form, "reason", most=200, needed=True)
    account = await accounts.get(request.app[DB], path_id(request))
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
    return pages.see_other(f"/admin/users/{account.id}", "saved")


async def ban(request: web.Request) -> web.StreamResponse:
    admin(request)
    form = await forms.read(request)
    reason = forms.text(form, "reason", most=200, needed=True)
    account = await accounts.get(request.app[DB], path_id(request))
    act = accounts.ban if forms.whole(form, "banned", least=0, most=1) else accounts.unban
    await act(request.app[DB], account, reason, **about(request))
    return pages.see_other(f"/admin/users/{account.id}", "saved")
