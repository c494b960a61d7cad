"""Trips: what a browser carries, signed, while somebody shows elsewhere who they are; good for ten minutes and once."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from dataclasses import asdict, dataclass

from aiohttp import web

from limner.http.state import CONFIG, DB
from limner.runtime.errors import Refused
from limner.sql import links

LASTS = 600
"""Seconds."""


class NoTrip(Refused):
    """This sign-in did not begin in this browser, or took too long. Begin it again."""

    def __init__(self) -> None:
        super().__init__(self.__doc__ or "", field="form", code="no_trip")


@dataclass(frozen=True)
class Trip:
    """``door``: by which one leaves and comes back. ``account``: whose it shall open; empty: somebody signs in."""

    door: str
    state: str
    nonce: str
    verifier: str
    goal: str
    account: str
    until: float


def begin(door: str, goal: str, account: str = "") -> Trip:
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    return Trip(door, state, nonce, verifier, goal, account, time.time() + LASTS)


def leave(request: web.Request, trip: Trip, to: str) -> web.Response:
    """To another site, with the trip in a cookie."""
    response = web.Response(status=303, headers={"Location": to, "Cache-Control": "no-store"})
    packed = urlsafe_b64encode(json.dumps(asdict(trip)).encode()).decode()
    secure = request.app[CONFIG].is_https
    value = f"{packed}.{_mark(request.app[CONFIG].secret_keys[0], packed)}"
    response.set_cookie(
        cookie_name(request), value, httponly=True, samesite="Lax", secure=secure, path="/", max_age=LASTS
    )
    return response


def look(request: web.Request, door: str, state: str) -> Trip:
    """The trip that this browser is on, when it is this one. Raises NoTrip."""
    packed, _, mark = request.cookies.get(cookie_name(request), "").partition(".")
    keys = request.app[CONFIG].secret_keys
    if not any(hmac.compare_digest(_mark(key, packed).encode(), mark.encode(errors="replace")) for key in keys):
        raise NoTrip
    try:
        trip = Trip(**json.loads(urlsafe_b64decode(packed)))
    except (NotBase64, ValueError, TypeError):  # signed by a release that packs otherwise
        raise NoTrip from None
    is_same = hmac.compare_digest(trip.state.encode(), state.encode(errors="replace"))
    if trip.door != door or not is_same or trip.until < time.time():
        raise NoTrip
    return trip


async def end(request: web.Request, door: str, state: str) -> Trip:
    """The same, and nobody comes back from it a second time. Raises NoTrip, AnswerSpent."""
    trip = look(request, door, state)
    await links.spend(request.app[DB], f"trip {trip.state}", LASTS + 60)
    return trip


def cookie_name(request: web.Request) -> str:
    return "__Host-trip" if request.app[CONFIG].is_https else "trip"


def _mark(key: str, packed: str) -> str:
    return hmac.new(key.encode(), b"trip " + packed.encode(errors="replace"), hashlib.sha256).hexdigest()
