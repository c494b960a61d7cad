"""The dashboard and the account page."""

from __future__ import annotations

from aiohttp import web

from limner.http import forms, pages
from limner.http.auth import _secret, _typed_email, prove_again, signed_out
from limner.http.gallery import hung
from limner.http.state import CONFIG, DB, address_of, path_id, session_of, signed_in
from limner.runtime import passwords
from limner.runtime.database import Db
from limner.runtime.errors import Refused
from limner.sql import (
    accounts,
    admission,
    confirmations,
    invoices,
    ledger,
    news,
    plans,
    sessions,
    sign_ins,
    statements,
    studio,
    subscriptions,
    trials,
)


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
        current, chosen = _secret(form, "current"), _secret(form, "password")
        known = await passwords.hash_new(chosen, about=(viewer.email, pages.Site.name))
        await prove_again(request, viewer, current, "current")
    except Refused as why:
        return await _page(request, why)
    async with db.transaction() as tx:
        ip = address_of(request)
        await confirmations.replace_password(tx, viewer, known, actor=viewer.email, how="the old one", ip=ip)
        await _end_others(request, tx)
    return pages.see_other("/account", "password")


async def change_email(request: web.Request) -> web.StreamResponse:
    """Ask for it: the new address is in force once it is confirmed from there."""
    db, viewer, config = request.app[DB], signed_in(request), request.app[CONFIG]
    form = await forms.read(request)
    try:
        email = admission.address(_typed_email(form))
        admission.check_domain(config, email)
        await prove_again(request, viewer, _secret(form, "email_password"), "email_password")
        await confirmations.ask_email_change(db, viewer.id, email, ip=address_of(request))
    except Refused as why:
        return await _page(request, why, forms.kept(form, "email"))
    return pages.see_other("/account", "email_sent" if config.smtp_host else "email_noted")


async def set_locale(request: web.Request) -> web.StreamResponse:
    viewer, form = signed_in(request), await forms.read(request)
    try:
        await accounts.set_locale(request.app[DB], viewer.id, forms.text(form, "locale", most=10, needed=True))
    except Refused as why:
        return await _page(request, why)
    return pages.see_other("/account", "locale")


async def end_session(request: web.Request) -> web.StreamResponse:
    viewer, session = signed_in(request), session_of(request)
    await sessions.end_one(request.app[DB], viewer.id, path_id(request))
    if session is not None and session.id == path_id(request):
        return signed_out(request)
    return pages.see_other("/account", "session")


async def end_other_sessions(request: web.Request) -> web.StreamResponse:
    """All but this one; with ``all``, this one, too."""
    viewer, form = signed_in(request), await forms.read(request)
    if forms.text(form, "all", most=1):
        await sessions.end_all(request.app[DB], viewer.id)
        return signed_out(request)
    await _end_others(request, request.app[DB])
    return pages.see_other("/account", "sessions")


async def _end_others(request: web.Request, db: Db) -> None:
    session = session_of(request)
    if session is not None:
        await sessions.end_others(db, session.account.id, session.token_hash)


async def _page(request: web.Request, why: Refused | None = None, typed: dict[str, str] | None = None) -> web.Response:
    db, viewer, session = request.app[DB], signed_in(request), session_of(request)
    return pages.render(
        request,
        "account.html",
        why,
        account=viewer,
        form=typed or {},
        locales=accounts.LOCALES,
        wants_news=await news.is_wanted(db, viewer.id),
        sends_mail=request.app[CONFIG].smtp_host is not None,
        sign_ins=await sign_ins.of_account(db, viewer.id),
        sessions=await sessions.of_account(db, viewer.id, session.token_hash if session else b""),
        statement=[
            {"created_at": line.created_at, "line": line.words, "credits": line.change}
            for line in await statements.lines(db, viewer.id, count=10)
        ],
    )
