"""API tokens on the account page: made with their caps, shown once, listed by their last four characters, revoked."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from limner.http import forms, pages
from limner.http.state import DB, about, must_be_confirmed, path_id, signed_in
from limner.runtime.errors import Refused
from limner.sql import models, tokens
from limner.sql.tokens import SCOPES, Caps

SAYS = {
    "images:write": "Order and cancel pictures",
    "images:read": "Ask for orders and their pictures",
    "models:read": "List the models",
}


async def show(request: web.Request) -> web.Response:
    return await _page(request, {"scopes": list(SCOPES)})


async def create(request: web.Request) -> web.Response:
    """The answer is the page with the token on it: nowhere else is it ever shown."""
    viewer, form = signed_in(request), await forms.read(request)
    try:
        must_be_confirmed(request, viewer)
        name = forms.text(form, "name", most=80, needed=True, label="The name")
        token = await tokens.create(request.app[DB], viewer, name, _caps(form), **about(request))
    except Refused as why:
        typed = forms.kept(form, "name", "credits_per_day", "credits_per_month", "expires", "networks")
        return await _page(request, {**typed, **{name: _several(form, name) for name in ("scopes", "models")}}, why)
    return await _page(request, {"scopes": list(SCOPES)}, fresh=token)


async def revoke(request: web.Request) -> web.StreamResponse:
    viewer = signed_in(request)
    await tokens.revoke(request.app[DB], path_id(request), owner=viewer.id, **about(request))
    return pages.see_other("/account/tokens", "revoked")


def _caps(form: forms.Form) -> Caps:
    expires = forms.end_of_day(forms.text(form, "expires", most=20), "expires")
    return Caps(
        scopes=tuple(_several(form, "scopes")),
        credits_per_day=_credits(form, "credits_per_day"),
        credits_per_month=_credits(form, "credits_per_month"),
        models=tuple(_several(form, "models")) or None,
        networks=tokens.networks(forms.text(form, "networks", most=2000)),
        expires_at=expires,
    )


def _several(form: forms.Form, name: str) -> list[str]:
    """The values of checkboxes; what is no text is none of ours."""
    return [forms.clean(value) for value in form.getall(name, []) if isinstance(value, str) and value][:50]


def _credits(form: forms.Form, name: str) -> int | None:
    typed = forms.text(form, name, most=20)
    return forms.whole(form, name, least=1, most=10**9) if typed else None


async def _page(
    request: web.Request, form: dict[str, Any], why: Refused | None = None, *, fresh: str | None = None
) -> web.Response:
    viewer = signed_in(request)
    return pages.render(
        request,
        "tokens.html",
        why,
        tokens=await tokens.of_account(request.app[DB], viewer.id),
        models=await models.on_offer(request.app[DB]),
        says=SAYS,
        fresh=fresh,
        form={"models": [], **form},
    )
