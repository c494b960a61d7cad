"""News: whether somebody gets messages that go to many, on the account page and by the link in each of them."""

from __future__ import annotations

from aiohttp import web

from limner.http import forms, pages
from limner.http.state import CONFIG, DB, signed_in
from limner.sql import news
from limner.sql.accounts import Account


async def choose(request: web.Request) -> web.StreamResponse:
    viewer, form = signed_in(request), await forms.read(request)
    wanted = bool(forms.text(form, "wanted", most=5))
    await news.choose(request.app[DB], viewer.id, wanted=wanted)
    return pages.see_other("/account", "news_on" if wanted else "news_off")


async def show_stop(request: web.Request) -> web.Response:
    """A page with one button: whoever looks through mails for links must not end anything by that."""
    account = await _owner(request)
    is_wanted = await news.is_wanted(request.app[DB], account.id)
    return pages.render(request, "unsubscribe.html", email=account.email, is_wanted=is_wanted)


async def stop(request: web.Request) -> web.Response:
    """That button, or the mail program's own one (RFC 8058): no session and no token, the link alone proves it."""
    account = await _owner(request)
    await news.choose(request.app[DB], account.id, wanted=False)
    return pages.render(request, "unsubscribe.html", email=account.email, is_wanted=False)


async def _owner(request: web.Request) -> Account:
    given = request.match_info["secret"][:200]
    return await news.owner(request.app[DB], given, request.app[CONFIG].secret_keys)
