"""Signing in through an OpenID provider: off to it, and back with a code."""

from __future__ import annotations

from aiohttp import web
from email_validator import EmailNotValidError, validate_email

from limner.http import doors, pages, trips
from limner.http.auth import _next
from limner.http.doors import Visitor
from limner.http.security import HERE
from limner.http.state import CLIENT, CONFIG, proved, signed_in, viewer_of
from limner.runtime.errors import NotFound, Refused
from limner.runtime.id_token import Claims, NotTrusted
from limner.runtime.openid import Client, Provider

PROVIDER = web.AppKey("openid", Provider)


def set_up(app: web.Application) -> None:
    """Know the provider, when the settings name one."""
    config = app[CONFIG]
    if config.oidc_issuer:
        secret = config.oidc_client_secret.get_secret_value() if config.oidc_client_secret else None
        app[PROVIDER] = Provider(
            app[CLIENT], config.oidc_issuer, Client(config.oidc_client_id, secret, config.oidc_scopes)
        )


async def start(request: web.Request) -> web.Response:
    """Nothing is written down here: whoever is led to this address is merely led on."""
    provider = _provider(request)
    if viewer_of(request):
        return pages.see_other("/dashboard")
    return await _leave(request, provider, trips.begin("oidc", _next(request.query.get("next", ""))))


async def link(request: web.Request) -> web.Response:
    provider, viewer = _provider(request), signed_in(request)
    proved(request, viewer)
    return await _leave(request, provider, trips.begin("oidc", HERE, str(viewer.id)))


async def come_back(request: web.Request) -> web.Response:
    """The state is spent before the code is looked at: of two answers to one question, one counts."""
    provider, asked = _provider(request), request.query
    try:
        trip = await trips.end(request, "oidc", asked.get("state", ""))
        if asked.get("iss", provider.issuer) != provider.issuer:  # RFC 9207
            raise NotTrusted("another provider answered")
        if "error" in asked or not asked.get("code"):
            raise Refused("Nothing came of it over there, so nobody is logged in.", field="form", code="declined")
        claims = await provider.claims(
            asked["code"][:4000], back=_back(request), nonce=trip.nonce, verifier=trip.verifier
        )
        return await doors.come_in(request, trip, _visitor(request, claims))
    except Refused as why:
        return await doors.turn_away(request, why)


async def _leave(request: web.Request, provider: Provider, trip: trips.Trip) -> web.Response:
    try:
        to = await provider.address(back=_back(request), state=trip.state, nonce=trip.nonce, verifier=trip.verifier)
    except Refused as why:
        return await doors.turn_away(request, why)
    return trips.leave(request, trip, to)


def _provider(request: web.Request) -> Provider:
    """Raises NotFound where there is none."""
    found = request.app.get(PROVIDER)
    if found is None:
        raise NotFound
    return found


def _back(request: web.Request) -> str:
    return f"{request.app[CONFIG].public_url}/login/oidc/return"


def _visitor(request: web.Request, claims: Claims) -> Visitor:
    """An address counts when the provider says outright that it is theirs; and it must be one that we take ourselves."""
    email = claims.get("email")
    try:
        address = validate_email(email, check_deliverability=False).normalized if isinstance(email, str) else None
    except EmailNotValidError:
        address = None
    name = claims.get("preferred_username") or claims.get("name")
    label = address or (name if isinstance(name, str) and name.isprintable() else "")
    is_theirs = claims.get("email_verified") is True
    door = doors.listed(request.app[CONFIG])["oidc"]
    return Visitor(door, claims["sub"], label, address if is_theirs else None)
