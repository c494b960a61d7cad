"""The security page: the second factor and its recovery codes, and the other ways to sign in."""

from __future__ import annotations

import segno
from aiohttp import web
from markupsafe import Markup

from limner.http import forms, pages, proof
from limner.http.auth import _secret
from limner.http.state import CONFIG, DB, VAULT, about, address_of, path_code, proved, session_of, signed_in
from limner.runtime import otp
from limner.runtime.errors import NotFound, Refused
from limner.sql import factors, links, sessions, sign_ins, visits

HERE = "/account/security"
SET_UP = "/account/security/totp"


async def show(request: web.Request) -> web.Response:
    return await page(request)


async def begin(request: web.Request) -> web.Response:
    """A fresh secret, that counts once a code of it was shown."""
    viewer = proved(request, signed_in(request))
    await forms.read(request)
    try:
        await factors.begin(request.app[DB], request.app[VAULT], viewer.id)
    except Refused as why:
        return await page(request, why)
    return pages.see_other(SET_UP)


async def show_set_up(request: web.Request) -> web.Response:
    signed_in(request)
    return await _set_up_page(request)


async def confirm(request: web.Request) -> web.Response:
    """The answer is the page with the recovery codes on it: nowhere else are they ever shown."""
    db, viewer, form = request.app[DB], signed_in(request), await forms.read(request)
    session = session_of(request)
    assert session is not None
    try:
        code = forms.text(form, "code", most=40, needed=True, label="The code")
        codes = await factors.confirm(db, request.app[VAULT], viewer, code, ip=address_of(request))
    except Refused as why:
        return await _set_up_page(request, why)
    await sessions.end_others(db, viewer.id, session.token_hash)
    await sessions.prove(db, session.token_hash)
    return await page(request, codes=codes)


async def renew_codes(request: web.Request) -> web.Response:
    viewer = proved(request, signed_in(request))
    await forms.read(request)
    try:
        codes = await factors.renew(request.app[DB], viewer, ip=address_of(request))
    except Refused as why:
        return await page(request, why)
    return await page(request, codes=codes)


async def switch_off(request: web.Request) -> web.Response:
    """Password and code, whatever was shown a moment ago."""
    viewer, form = signed_in(request), await forms.read(request)
    try:
        if _is_forced(request):
            raise Refused("Who works in the admin needs a second factor: it cannot be switched off.", field="form")
        if await factors.standing(request.app[DB], viewer.id) is None:
            raise factors.NotOn
        await proof.check(request, _secret(form, "password"), forms.text(form, "code", most=40, needed=True))
        await factors.switch_off(request.app[DB], viewer, **about(request))
    except Refused as why:
        return await page(request, why)
    return pages.see_other(HERE, "factor_off")


async def set_mails(request: web.Request) -> web.StreamResponse:
    """Whether a mail comes when somebody comes in from a place that is new."""
    viewer, form = signed_in(request), await forms.read(request)
    wanted = bool(forms.text(form, "wanted", most=1))
    await sign_ins.want_mail(request.app[DB], viewer.id, wanted=wanted)
    return pages.see_other(HERE, "saved")


async def unlink(request: web.Request) -> web.Response:
    """Of a door that is shut by now, too."""
    viewer = proved(request, signed_in(request))
    await forms.read(request)
    issuers = {"telegram": "telegram", "oidc": request.app[CONFIG].oidc_issuer or ""}
    try:
        await links.unlink(request.app[DB], viewer, issuers.get(path_code(request), ""), **about(request))
    except NotFound as why:
        return await page(request, Refused(str(why), field="form"))
    return pages.see_other(HERE, "unlinked")


def _is_forced(request: web.Request) -> bool:
    return request.app[CONFIG].forces_totp and signed_in(request).role != "user"


async def page(request: web.Request, why: Refused | None = None, *, codes: list[str] | None = None) -> web.Response:
    """The security page itself."""
    db, viewer = request.app[DB], signed_in(request)
    return pages.render(
        request,
        "security.html",
        why,
        factor=await factors.standing(db, viewer.id),
        is_begun=await factors.is_begun(db, viewer.id),
        is_forced=_is_forced(request),
        codes=codes,
        wants_mail=await sign_ins.wants_mail(db, viewer.id),
        visits=await visits.of_account(db, viewer.id),
        links={link.issuer: link for link in await links.of_account(db, viewer.id)},
    )


async def _set_up_page(request: web.Request, why: Refused | None = None) -> web.Response:
    viewer = signed_in(request)
    secret = await factors.unconfirmed(request.app[DB], request.app[VAULT], viewer.id)
    if secret is None:
        return await page(request, why) if why else pages.see_other(HERE)
    groups = " ".join(secret[start : start + 4] for start in range(0, len(secret), 4))
    return pages.render(
        request, "totp.html", why, secret=groups, qr=_drawn(otp.address(secret, viewer.email, pages.Site.name))
    )


def _drawn(text: str) -> Markup:
    """A QR code as a drawing in the page: no picture to fetch, and no script."""
    drawing = segno.make(text, error="m", micro=False)
    return Markup(drawing.svg_inline(dark="#1E1B18", light="#FFFFFF", omitsize=True, border=3))  # noqa: S704 - drawn here
