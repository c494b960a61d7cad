"""Guessing: how often codes may be tried, by an account and from an address."""

from __future__ import annotations

from aiohttp import web

from limner.http import forms
from limner.http.state import DB, address_of, signed_in
from limner.sql import codes, throttles
from limner.sql.codes import Code
from limner.sql.places import household

LONGEST = 2 * codes.LONGEST


async def typed(request: web.Request, form: forms.Form, *, needed: bool = False) -> str:
    """The code in a form, which was not tried too often. Raises Refused, TooMany."""
    found = forms.text(form, "code", most=LONGEST, needed=needed, label="The code")
    if found:
        db, viewer, home = request.app[DB], signed_in(request), household(address_of(request))
        await throttles.take(db, throttles.GUESS_BY_ACCOUNT, f"code {viewer.id}")
        await throttles.take(db, throttles.GUESS_BY_ADDRESS, f"code from {home}")
    return found


async def code(request: web.Request, form: forms.Form) -> Code | None:
    """The code that came with an order, if one did. Raises NoSuchCode, TooMany."""
    found = await typed(request, form)
    return await codes.find(request.app[DB], found) if found else None
