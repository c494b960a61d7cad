"""Codes: use one, give one, and try the studio with a few credits."""

from __future__ import annotations

from aiohttp import web
from email_validator import EmailNotValidError, validate_email

from limner.http import forms, guessing, pages
from limner.http.billing import _plans, _processor, _until_payable
from limner.http.state import CONFIG, DB, address_of, signed_in
from limner.runtime.errors import Refused
from limner.sql import accounts, billing, plans, redemptions, throttles, trials


async def show(request: web.Request) -> web.Response:
    return await _page(request)


async def redeem(request: web.Request) -> web.Response:
    viewer, form = signed_in(request), await forms.read(request)
    try:
        typed = await guessing.typed(request, form, needed=True)
        said = await redemptions.redeem(request.app[DB], viewer, typed, ip=address_of(request))
    except Refused as why:
        return await _page(request, why, forms.kept(form, "code"))
    return await _page(request, said=said)


async def give(request: web.Request) -> web.StreamResponse:
    """An invoice for a gift: its code holds when it is paid."""
    viewer, form = signed_in(request), await forms.read(request)
    try:
        plan = await plans.by_code(request.app[DB], forms.text(form, "plan", most=40, needed=True))
        to = _email(forms.text(form, "to", most=254))
        message = forms.text(form, "message", most=200)
        await throttles.take(request.app[DB], throttles.GIFT_BY_ACCOUNT, f"gift {viewer.id}")
        keys = request.app[CONFIG].secret_keys
        way = _processor(request, form)
        invoice = await billing.buy_gift(request.app[DB], viewer, plan, way, keys, to=to, message=message)
    except Refused as why:
        return await _page(request, why, forms.kept(form, "plan", "to", "message"))
    await _until_payable(request, invoice.id)
    return pages.see_other(f"/invoices/{invoice.id}")


async def begin_trial(request: web.Request) -> web.StreamResponse:
    viewer = signed_in(request)
    await forms.read(request)
    account = await accounts.get(request.app[DB], viewer.id)
    try:
        await trials.claim(request.app[DB], account, address_of(request), request.app[CONFIG])
    except Refused as why:
        return await _plans(request, why)
    return pages.see_other("/studio", "trial")


def _email(given: str) -> str:
    """To whom a gift goes; empty: to its buyer. Raises Refused."""
    if not given:
        return ""
    try:
        return validate_email(given, check_deliverability=False).normalized
    except EmailNotValidError:
        raise Refused("This does not look like an e-mail address.", field="to") from None


async def _page(
    request: web.Request, why: Refused | None = None, form: dict[str, str] | None = None, *, said: str = ""
) -> web.Response:
    db, viewer = request.app[DB], signed_in(request)
    return pages.render(
        request,
        "codes.html",
        why,
        form=form or {},
        said=said,
        plans=await plans.on_sale(db),
        thanks=request.app[CONFIG].referral_credits,
        uses=await redemptions.of_account(db, viewer.id),
    )
