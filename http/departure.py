"""Taking everything along, and leaving for good."""

from __future__ import annotations

from contextlib import aclosing

from aiohttp import web

from limner.http import forms, pages
from limner.http.auth import _secret, prove_again, signed_out
from limner.http.state import DB, STORAGE, address_of, signed_in
from limner.runtime import zipstream
from limner.runtime.errors import Refused
from limner.sql import erasure, ledger, subscriptions, takeout, throttles


async def export(request: web.Request) -> web.StreamResponse:
    """A ZIP of everything of one's own. It is made while it is sent: nothing of it is ever held as a whole."""
    viewer, db = signed_in(request), request.app[DB]
    await throttles.take(db, throttles.EXPORT_BY_ACCOUNT, f"export {viewer.id}")
    answer = web.StreamResponse(
        headers={
            "Content-Type": "application/zip",
            "Content-Disposition": 'attachment; filename="limner-export.zip"',
            "Cache-Control": "no-store",
        }
    )
    await answer.prepare(request)
    async with aclosing(zipstream.archive(takeout.entries(db, request.app[STORAGE], viewer.id))) as pieces:
        async for piece in pieces:
            await answer.write(piece)
    await answer.write_eof()
    return answer


async def show_deletion(request: web.Request) -> web.Response:
    return await _page(request)


async def delete(request: web.Request) -> web.StreamResponse:
    viewer, form = signed_in(request), await forms.read(request)
    try:
        if forms.text(form, "confirmation", most=254).lower() != viewer.email.lower():
            raise Refused(f"Please type {viewer.email} here, to be sure.", field="confirmation")
        await prove_again(request, viewer, _secret(form, "password"), "password")
        await erasure.erase(request.app[DB], viewer.id, actor=viewer.email, why="asked for", ip=address_of(request))
    except Refused as why:
        return await _page(request, why)
    return signed_out(request, "goodbye")


async def _page(request: web.Request, why: Refused | None = None) -> web.Response:
    db, viewer = request.app[DB], signed_in(request)
    return pages.render(
        request,
        "deletion.html",
        why,
        account=viewer,
        subscription=await subscriptions.alive(db, viewer.id),
        credits=(await ledger.balance(db, viewer.id)).available,
    )
