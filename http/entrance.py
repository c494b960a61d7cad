"""How somebody gets in: whoever has a second factor by way of the code, everybody with a fresh session."""

from __future__ import annotations

from aiohttp import web

from limner.http import forms, pages
from limner.http.middleware import cookie_name
from limner.http.state import CONFIG, DB, address_of, session_of
from limner.sql import factors, pending_sign_ins, sessions, sign_ins
from limner.sql.accounts import Account

CODE_PAGE = "/login/code"
MINUTES = 5


async def admit(request: web.Request, account: Account, goal: str, *, proved: bool = True) -> web.Response:
    """What follows the right password, or the word of another place (``proved`` is false then)."""
    db = request.app[DB]
    if await factors.standing(db, account.id) is None:
        return await enter(request, account, goal, proved=proved)
    token = await pending_sign_ins.begin(db, account.id, goal)
    response = pages.see_other(CODE_PAGE)
    _set(request, response, waiting_cookie_name(request), token, MINUTES * 60)
    return response


async def enter(
    request: web.Request, account: Account, goal: str, notice: str | None = None, *, proved: bool = True
) -> web.Response:
    """A fresh session, whatever cookie came before."""
    if (old := session_of(request)) is not None:
        await sessions.end(request.app[DB], old.token_hash)
    agent = forms.clean(request.headers.get("User-Agent", ""))
    token = await sessions.start(request.app[DB], account.id, ip=address_of(request), agent=agent, proved=proved)
    await sign_ins.came_in(request.app[DB], account, ip=address_of(request), agent=agent)
    response = pages.see_other(goal, notice)
    _set(request, response, cookie_name(request), token, 30 * 86400)
    return response


def waiting_cookie_name(request: web.Request) -> str:
    return "__Host-signing-in" if request.app[CONFIG].is_https else "signing-in"


def forget(request: web.Request, response: web.Response, name: str) -> None:
    response.del_cookie(name, path="/", secure=request.app[CONFIG].is_https, httponly=True, samesite="Lax")


def _set(request: web.Request, response: web.Response, name: str, value: str, seconds: int) -> None:
    secure = request.app[CONFIG].is_https
    response.set_cookie(name, value, httponly=True, samesite="Lax", secure=secure, path="/", max_age=seconds)
