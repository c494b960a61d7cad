"""A fresh proof of who acts: the password, and the code where there is one, before keys, money and roles are touched."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote

from aiohttp import web

from limner.http import envelopes, forms, pages
from limner.http.auth import _next, _secret, prove_again
from limner.http.middleware import SAFE, Handler
from limner.http.state import (
    DB,
    SESSION,
    VAULT,
    FactorNeeded,
    NotAllowed,
    ProofNeeded,
    address_of,
    session_of,
    signed_in,
)
from limner.runtime.errors import Refused
from limner.runtime.log import logger
from limner.sql import factors, sessions

log = logger(__name__)

OURS = ("csrf", "proof_password", "proof_code", "proof_form")
"""Fields of the proof itself: the rest is what somebody was about to send."""
WAITS = "while you show who you are. Do that first at /account/proof, then send it again"


@web.middleware
async def ask(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whoever acts without a fresh proof is asked for one on the way; what they typed is kept, and then done."""
    try:
        return await handler(request)
    except FactorNeeded as why:
        if request.method in SAFE:
            return pages.see_other("/account/security", "factor_first")
        raise NotAllowed(str(why)) from None
    except ProofNeeded as why:
        if request.method in SAFE:
            goal = quote(why.back or request.path_qs, safe="", errors="replace")
            return pages.see_other(f"/account/proof?next={goal}")
        return await _prove_and_act(request, handler)


async def _prove_and_act(request: web.Request, handler: Handler) -> web.StreamResponse:
    form = await forms.read(request)
    kept = (
        envelopes.seal(request, form, without=OURS, what=WAITS)
        if "proof_form" not in form
        else forms.text(form, "proof_form", most=200_000)
    )
    here = forms.clean(request.path_qs)
    if "proof_password" not in form:
        return _page(request, here, kept, status=401)
    try:
        meant = envelopes.opened(request, kept)
        await _prove(request, form)
    except Refused as why:
        return _page(request, here, kept, why)
    request[forms.MEANT] = meant
    return await handler(request)


async def show(request: web.Request) -> web.Response:
    signed_in(request)
    return _page(request, "/account/proof", next=_next(request.query.get("next", "")))


async def take(request: web.Request) -> web.Response:
    signed_in(request)
    form = await forms.read(request)
    goal = _next(forms.kept(form, "next")["next"])
    try:
        await _prove(request, form)
    except Refused as why:
        return _page(request, "/account/proof", why=why, next=goal)
    return pages.see_other(goal or "/account/security")


async def _prove(request: web.Request, form: forms.Form) -> None:
    """From now on the session counts as fresh. Raises Refused."""
    db, viewer, session = request.app[DB], signed_in(request), session_of(request)
    assert session is not None
    try:
        await check(request, _secret(form, "proof_password"), forms.text(form, "proof_code", most=40))
    except Refused:
        log.info("proof_refused", account=str(viewer.id), address=address_of(request))
        raise
    await sessions.prove(db, session.token_hash)
    request[SESSION] = replace(session, is_fresh=True)


async def check(request: web.Request, password: str, code: str) -> None:
    """Whether these are the viewer's own: the code too, when there is a second factor. Raises Refused."""
    viewer, session = signed_in(request), session_of(request)
    await prove_again(request, viewer, password, "password")
    if session is not None and session.has_factor:
        await factors.check(request.app[DB], request.app[VAULT], viewer, code, ip=address_of(request))


def _page(
    request: web.Request,
    action: str,
    kept: str | None = None,
    why: Refused | None = None,
    *,
    next: str = "",
    status: int = 200,
) -> web.Response:
    session = session_of(request)
    response = pages.render(
        request,
        "proof.html",
        why,
        action=action,
        kept=kept,
        next=next,
        wants_code=session is not None and session.has_factor,
    )
    if why is None:
        response.set_status(status)
    return response
