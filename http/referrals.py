"""Referrals: follow somebody's link, and see what came of one's own."""

from __future__ import annotations

from aiohttp import web

from limner.http import forms, pages
from limner.http.state import CONFIG, DB, address_of, signed_in, viewer_of
from limner.runtime.errors import NotFound
from limner.sql import referrals
from limner.sql.accounts import Account

COOKIE = "referral"


async def follow(request: web.Request) -> web.StreamResponse:
    """Remember by whom a visitor came: the first one counts. Whose link it is, nobody learns here."""
    code, config = request.match_info["code"], request.app[CONFIG]
    if not (code.isascii() and code.isalnum() and len(code) <= 40):
        raise NotFound
    response = pages.see_other("/")
    if config.referral_credits and COOKIE not in request.cookies and viewer_of(request) is None:
        age = referrals.COOKIE_DAYS * 86400
        response.set_cookie(
            COOKIE, code, max_age=age, httponly=True, samesite="Lax", secure=config.is_https, path="/"
        )  # fmt: skip
    return response


async def show(request: web.Request) -> web.Response:
    db, viewer, config = request.app[DB], signed_in(request), request.app[CONFIG]
    code = await referrals.link(db, viewer.id)
    return pages.render(
        request,
        "referrals.html",
        credits=config.referral_credits,
        days=referrals.COOKIE_DAYS,
        link=f"{config.public_url}/r/{code}" if code else None,
        referrals=await referrals.of_referrer(db, viewer.id),
    )


async def make_link(request: web.Request) -> web.StreamResponse:
    viewer = signed_in(request)
    await forms.read(request)
    await referrals.make_link(request.app[DB], viewer.id)
    return pages.see_other("/account/referrals")


async def came_by(request: web.Request, account: Account) -> None:
    """A new account was made in this browser: note by whose link."""
    code, credits = request.cookies.get(COOKIE, ""), request.app[CONFIG].referral_credits
    await referrals.note(request.app[DB], account, code, address_of(request), credits)
