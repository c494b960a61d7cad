"""The dashboard and the account page."""

from __future__ import annotations

from aiohttp import web

from limner.http import forms, pages
from limner.http.auth import _new_password, _secret
from limner.http.gallery import hung
from limner.http.state import CONFIG, DB, session_of, signed_in
from limner.runtime import passwords
from limner.runtime.database import Db
from limner.runtime.errors import Refused
from limner.sql import accounts, audit, invoices, ledger, plans, sessions, studio, subscriptions, throttles, trials


async def landing(request: web.Request) -> web.Response:
    return pages.render(request, "landing.html", plans=await plans.on_sale(request.app[DB]))


async def dashboard(request: web.Request) -> web.Response:
    db, viewer = request.app[DB], signed_in(request)
    subscription = await subscriptions.alive(db, viewer.id)
    balance = await ledger.balance(db, viewer.id)
    is_open = subscription is not None and subscription.is_open
    return pages.render(
        request,
        "dashboard.html",
        subscription=subscription,
        bucket=ledger.bucket(balance.available, subscription.cycle_credits) if subscription and is_open else None,
        pictures=[hung(picture) for picture in await studio.gallery(db, viewer.id, count=8)],
        pending_invoice=await invoices.pending(db, viewer.id),
        trial=await trials.offer(db, viewer, request.app[CONFIG]),
    )


async def show(request: web.Request) -> web.Response:
    return await _page(request)


async def change_password(request: web.Request) -> web.StreamResponse:
    db, viewer = request.app[DB], signed_in(request)
    form = await forms.read(request)
    try:
        current, chosen = _secret(form, "current"), _new_password(form, "password")
        await throttles.take(db, throttles.LOGIN_BY_ACCOUNT, f"login {viewer.email.lower()}")
        found = await accounts.with_password(db, viewer.email)
        if found is None or not await passwords.matches(current, found[1]):
            raise Refused("That is not your current password.", field="current")
    except Refused as why:
        return await _page(request, why)
    async with db.transaction() as tx:
        await accounts.set_password(tx, viewer.id, await passwords.hash_password(chosen))
        await _end_others(request, tx)
        await audit.record(tx, viewer.email, "account.password", viewer.email, None, None)
    await throttles.clear(db, f"login {viewer.email.lower()}")
    return pages.see_other("/account", "password")


async def end_other_sessions(request: web.Request) -> web.StreamResponse:
    signed_in(request)
    await _end_others(request, request.app[DB])
    return pages.see_other("/account", "sessions")


async def _end_others(request: web.Request, db: Db) -> None:
    session = session_of(request)
    if session is not None:
        await sessions.end_others(db, session.account.id, session.token_hash)


async def _page(request: web.Request, why: Refused | None = None) -> web.Response:
    db, viewer, session = request.app[DB], signed_in(request), session_of(request)
    return pages.render(
        request,
        "account.html",
        why,
        account=viewer,
        sessions=await sessions.of_account(db, viewer.id, session.token_hash if session else b""),
        statement=[
            {"created_at": entry.created_at, "line": entry.line, "credits": entry.change}
            for entry in await ledger.entries(db, viewer.id)
        ],
    )
