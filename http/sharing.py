"""Sharing: what owners do with a picture of theirs: a link to it, and an offer to the public wall."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from aiohttp import web

from limner.http import forms, pages, picture
from limner.http.state import CONFIG, DB, path_id, signed_in
from limner.runtime.errors import NotFound, Refused
from limner.sql import shares, throttles, walls

TYPED = ("caption", "shows_prompt", "display_name")


def must_share(request: web.Request) -> None:
    """Raises NotFound where people share nothing."""
    if request.app[CONFIG].sharing == "off":
        raise NotFound


def must_have_wall(request: web.Request) -> None:
    """Raises NotFound where there is no public wall."""
    if request.app[CONFIG].sharing != "wall":
        raise NotFound


async def share(request: web.Request) -> web.StreamResponse:
    """Make the link, or say something else beside the picture."""
    must_share(request)
    viewer, image_id, form = signed_in(request), path_id(request), await forms.read(request)
    try:
        about = _terms(form)
        await throttles.take(request.app[DB], throttles.SHARE_BY_ACCOUNT, f"share {viewer.id}")
        known = await shares.latest(request.app[DB], image_id, viewer.id)
        if known and known.revoked_at is None:
            await shares.change(request.app[DB], image_id, viewer.id, **about)
            return _back(image_id, "share_changed")
        await shares.make(request.app[DB], image_id, viewer.id, **about)
    except Refused as why:
        return await picture.page(request, why, forms.kept(form, *TYPED))
    return _back(image_id, "shared")


def _terms(form: forms.Form) -> dict[str, Any]:
    caption = " ".join(forms.text(form, "caption", most=shares.LONGEST_CAPTION).split())
    return {"caption": caption, "shows_prompt": bool(forms.text(form, "shows_prompt", most=5))}


async def revoke(request: web.Request) -> web.StreamResponse:
    must_share(request)
    viewer, image_id = signed_in(request), path_id(request)
    try:
        await shares.revoke(request.app[DB], image_id, viewer.id)
    except Refused as why:
        return await picture.page(request, why)
    return _back(image_id, "share_revoked")


async def offer(request: web.Request) -> web.StreamResponse:
    must_have_wall(request)
    viewer, image_id, form = signed_in(request), path_id(request), await forms.read(request)
    try:
        name = forms.text(form, "display_name", most=2 * walls.LONGEST_NAME, label="The name")
        await throttles.take(request.app[DB], throttles.SHARE_BY_ACCOUNT, f"share {viewer.id}")
        await walls.offer(request.app[DB], image_id, viewer.id, name)
    except Refused as why:
        return await picture.page(request, why, forms.kept(form, *TYPED))
    return _back(image_id, "offered")


async def withdraw(request: web.Request) -> web.StreamResponse:
    must_share(request)
    viewer, image_id = signed_in(request), path_id(request)
    try:
        await walls.withdraw(request.app[DB], image_id, viewer.id)
    except Refused as why:
        return await picture.page(request, why)
    return _back(image_id, "withdrawn")


def _back(image_id: UUID, notice: str) -> web.Response:
    return pages.see_other(f"/pictures/{image_id}#share", notice)
