"""What links from mails lead to: a page with one button, which alone changes something."""

from __future__ import annotations

import anyio
from aiohttp import web

from limner.http import forms, pages
from limner.http.auth import _secret, _subnet, _typed_email
from limner.http.state import CONFIG, DB, address_of, signed_in, viewer_of
from limner.runtime import passwords
from limner.runtime.errors import Refused
from limner.sql import accounts, confirmations, throttles, tickets

SAME_TIME = 0.3
"""Seconds after which a request for a new password is answered, be there such an account or not."""


async def show_verify(request: web.Request) -> web.Response:
    ticket = await tickets.look(request.app[DB], _given(request), "verify", request.app[CONFIG].secret_keys)
    return pages.render(request, "confirm.html", what="verify", email=ticket.details["email"])


async def verify(request: web.Request) -> web.StreamResponse:
    await forms.read(request)
    await confirmations.verify(request.app[DB], _given(request), request.app[CONFIG].secret_keys)
    return pages.see_other("/dashboard" if viewer_of(request) else "/login", "verified")


async def send_verification(request: web.Request) -> web.StreamResponse:
    await confirmations.ask_verification(request.app[DB], signed_in(request).id)
    return pages.see_other("/account", "verify_sent" if request.app[CONFIG].smtp_host else "verify_noted")


async def show_forgotten(request: web.Request) -> web.Response:
    return _forgotten_page(request)


async def forgotten(request: web.Request) -> web.StreamResponse:
    """The same answer after the same time, whoever it is about."""
    ready = anyio.current_time() + SAME_TIME
    form = await forms.read(request)
    try:
        email = _typed_email(form)
        await throttles.take(request.app[DB], throttles.MAIL_BY_ADDRESS, f"reset from {_subnet(address_of(request))}")
        await confirmations.ask_reset(request.app[DB], email)
    except Refused as why:
        return _forgotten_page(request, form, why)
    await anyio.sleep_until(ready)
    return _forgotten_page(request, is_sent=True)


async def show_reset(request: web.Request) -> web.Response:
    return await _reset_page(request)


async def reset(request: web.Request) -> web.StreamResponse:
    """Whose password it is, the link alone says: no field is read for that."""
    db, keys, form = request.app[DB], request.app[CONFIG].secret_keys, await forms.read(request)
    ticket = await tickets.look(db, _given(request), "reset", keys)
    try:
        account = await accounts.get(db, ticket.account_id)
        known = await passwords.hash_new(_secret(form, "password"), about=(account.email, pages.Site.name))
    except Refused as why:
        return await _reset_page(request, why)
    await confirmations.reset(db, _given(request), known, keys, ip=address_of(request))
    return pages.see_other("/login", "reset")


async def show_email(request: web.Request) -> web.Response:
    ticket = await tickets.look(request.app[DB], _given(request), "change_email", request.app[CONFIG].secret_keys)
    return pages.render(request, "confirm.html", what="email", email=ticket.details["email"])


async def change_email(request: web.Request) -> web.StreamResponse:
    await forms.read(request)
    keys = request.app[CONFIG].secret_keys
    await confirmations.change_email(request.app[DB], _given(request), keys, ip=address_of(request))
    return pages.see_other("/account" if viewer_of(request) else "/login", "email")


def _given(request: web.Request) -> str:
    return request.match_info["secret"][:200]


def _forgotten_page(
    request: web.Request, form: forms.Form | None = None, why: Refused | None = None, *, is_sent: bool = False
) -> web.Response:
    typed = forms.kept(form, "email") if form is not None else {}
    sends = request.app[CONFIG].smtp_host is not None
    return pages.render(request, "forgotten.html", why, form=typed, is_sent=is_sent, sends_mail=sends)


async def _reset_page(request: web.Request, why: Refused | None = None) -> web.Response:
    ticket = await tickets.look(request.app[DB], _given(request), "reset", request.app[CONFIG].secret_keys)
    account = await accounts.get(request.app[DB], ticket.account_id)
    return pages.render(request, "reset.html", why, email=account.email)
