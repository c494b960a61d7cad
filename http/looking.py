"""Looking on: an admin sees the pages as somebody does. Nothing passes here that changes anything, or leaves the house."""

from __future__ import annotations

from aiohttp import web

from limner.http import pages
from limner.http.middleware import SAFE, Handler
from limner.http.state import DB, NotAllowed, address_of, session_of, signed_in
from limner.sql import visits

LEAVE = "/visit/end"
SHOWN = {
    "/", "/dashboard", "/plans", "/codes", "/invoices", "/invoices/{id}", "/invoices/{id}/status", "/api",
    "/studio", "/studio/{id}", "/threads/{id}/live", "/jobs/{id}/preview", "/uploads/{id}",
    "/gallery", "/pictures/{id}", "/pictures/{id}/file", "/pictures/{id}/thumbnail",
    "/wall", "/s/{secret}", "/s/{secret}/picture", "/s/{secret}/thumbnail",
    "/account", "/account/statement", "/account/security", "/account/subscription",
    "/account/tokens", "/account/referrals", "/account/deletion",
}  # fmt: skip
"""What somebody sees of their studio. Whatever else there is, is not for a visitor: it acts, or it shows a secret."""
REFUSED = (
    "You only look here: nothing can be changed, and what is secret stays so. Leave first, and you are yourself again."
)


@web.middleware
async def only_look(request: web.Request, handler: Handler) -> web.StreamResponse:
    """While a session shows somebody else's studio, its pages pass, and the way out; nothing else does."""
    session, resource = session_of(request), request.match_info.route.resource
    if session is None or session.look is None or resource is None or _passes(request, resource.canonical):
        return await handler(request)
    raise NotAllowed(REFUSED)


def _passes(request: web.Request, pattern: str) -> bool:
    return pattern in SHOWN if request.method in SAFE else request.path == LEAVE


async def leave(request: web.Request) -> web.StreamResponse:
    """Also where the pages are the admin's own already, for who was visited is banned, or joined the staff, meanwhile."""
    viewer, session = signed_in(request), session_of(request)
    assert session is not None
    admin = session.look.admin if session.look else viewer
    visited = await visits.end(request.app[DB], session.id, admin, ip=address_of(request))
    return pages.see_other(f"/admin/users/{visited}" if visited and admin.is_admin else "/dashboard")
