"""The second step of a sign-in: the code, after the password and before any session."""

from __future__ import annotations

from aiohttp import web

from limner.http import forms, pages
from limner.http.entrance import enter, forget, waiting_cookie_name
from limner.http.state import DB, VAULT, address_of, viewer_of
from limner.runtime.errors import Refused
from limner.runtime.log import logger
from limner.sql import factors, pending_sign_ins

log = logger(__name__)


async def show(request: web.Request) -> web.Response:
    if viewer_of(request):
        return pages.see_other("/dashboard")
    await _waiting(request)
    return pages.render(request, "code.html")


async def take(request: web.Request) -> web.Response:
    """The code is checked before the sign-in ends, so that a wrong one may be tried again."""
    form, waiting = await forms.read(request), await _waiting(request)
    db, account = request.app[DB], waiting.account
    try:
        code = forms.text(form, "code", most=40, needed=True, label="The code")
        await factors.check(db, request.app[VAULT], account, code, ip=address_of(request))
    except Refused as why:
        log.info("code_refused", account=str(account.id), address=address_of(request))
        return pages.render(request, "code.html", why)
    await pending_sign_ins.finish(db, waiting)
    response = await enter(request, account, waiting.goal)
    forget(request, response, waiting_cookie_name(request))
    return response


async def _waiting(request: web.Request) -> pending_sign_ins.Waiting:
    """Raises SignInOver, which says to begin again."""
    token = request.cookies.get(waiting_cookie_name(request), "")
    if not token.isascii() or not 20 <= len(token) <= 100:
        raise pending_sign_ins.SignInOver
    return await pending_sign_ins.find(request.app[DB], token)
