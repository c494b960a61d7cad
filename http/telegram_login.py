"""Signing in with Telegram: off to its page, and back with fields that are signed with the bot's token."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
from base64 import urlsafe_b64decode
from binascii import Error as NotBase64
from collections.abc import Mapping
from urllib.parse import urlencode

from aiohttp import web

from limner.http import doors, forms, pages, trips
from limner.http.auth import _next
from limner.http.doors import Visitor
from limner.http.security import HERE
from limner.http.state import CONFIG, DB, proved, signed_in, viewer_of
from limner.runtime.errors import NotFound, Refused
from limner.runtime.id_token import NotTrusted
from limner.sql import links

LASTS = 600
"""Seconds for which Telegram's word counts."""
LEEWAY = 60
NAME = re.compile(r"[a-z_]{1,32}")


async def start(request: web.Request) -> web.Response:
    """Nothing is written down here: whoever is led to this address is merely led on."""
    _token(request)
    if viewer_of(request):
        return pages.see_other("/dashboard")
    return _leave(request, trips.begin("telegram", _next(request.query.get("next", ""))))


async def link(request: web.Request) -> web.Response:
    _token(request)
    viewer = proved(request, signed_in(request))
    return _leave(request, trips.begin("telegram", HERE, str(viewer.id)))


async def come_back(request: web.Request) -> web.Response:
    """Telegram writes its fields into the query, or as one piece behind the #, which only the browser sees.

    A page of ours then sends that piece to us.
    """
    _token(request)
    fields = {name: value for name, value in request.query.items() if name != "state"}
    if "hash" in fields:
        return await _come_in(request, request.query.get("state", ""), fields)
    return pages.render(request, "telegram.html", state=forms.clean(request.query.get("state", ""))[:200])


async def take(request: web.Request) -> web.Response:
    _token(request)
    form = await forms.read(request)
    try:
        state, result = forms.text(form, "state", most=200), forms.text(form, "result", most=4000)
        fields = unpacked(result)
    except Refused as why:
        return await doors.turn_away(request, why)
    return await _come_in(request, state, fields)


def unpacked(result: str) -> dict[str, str]:
    """The fields of a tgAuthResult: base64 of a JSON object. Raises Refused."""
    if not result:
        raise Refused("Nothing came of it over there, so nobody is logged in.", field="form", code="declined")
    try:
        said = json.loads(urlsafe_b64decode(result.replace("+", "-").replace("/", "_") + "=" * (-len(result) % 4)))
    except (NotBase64, ValueError, RecursionError):
        said = None
    if not isinstance(said, dict) or not all(isinstance(value, str | int) for value in said.values()):
        raise NotTrusted("it is not what Telegram says")
    return {name: str(value) for name, value in said.items()}


def checked(fields: Mapping[str, str], token: str, now: float) -> tuple[str, str]:
    """Id and name of whom Telegram speaks, as https://core.telegram.org/widgets/login has it checked.

    The signature is an HMAC-SHA256 of the sorted lines name=value, with the SHA-256 of the bot's token as its key.
    A value with a line break could pass for two fields, so there is none. Raises NotTrusted.
    """
    if len(fields) > 20 or not all(NAME.fullmatch(name) and value.isprintable() for name, value in fields.items()):
        raise NotTrusted("it is not what Telegram says")
    lines = "\n".join(f"{name}={value}" for name, value in sorted(fields.items()) if name != "hash")
    key = hashlib.sha256(token.encode()).digest()
    mark = hmac.new(key, lines.encode(errors="replace"), hashlib.sha256).hexdigest()
    if not token or not hmac.compare_digest(mark.encode(), fields.get("hash", "").encode(errors="replace")):
        raise NotTrusted("its signature is not Telegram's")
    person, since = fields.get("id", ""), fields.get("auth_date", "")
    if not (_is_number(person) and _is_number(since)):
        raise NotTrusted("it is not what Telegram says")
    if not -LEEWAY <= now - int(since) <= LASTS:
        raise NotTrusted("it is too old")
    name = " ".join(part for part in (fields.get("first_name"), fields.get("last_name")) if part)
    user = f"@{fields['username']}" if fields.get("username") else ""
    return person, f"{name} {user}".strip()[:254]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 18


async def _come_in(request: web.Request, state: str, fields: Mapping[str, str]) -> web.Response:
    try:
        trip = await trips.end(request, "telegram", state)
        person, label = checked(fields, _token(request), time.time())
        await links.spend(request.app[DB], f"telegram {fields['hash']}", LASTS + LEEWAY)
        door = doors.listed(request.app[CONFIG])["telegram"]
        return await doors.come_in(request, trip, Visitor(door, person, label, None))
    except Refused as why:
        return await doors.turn_away(request, why)


def _leave(request: web.Request, trip: trips.Trip) -> web.Response:
    config = request.app[CONFIG]
    asked = {
        "bot_id": _token(request).partition(":")[0],
        "origin": config.public_url,
        "return_to": f"{config.public_url}/login/telegram/return?{urlencode({'state': trip.state})}",
    }
    return trips.leave(request, trip, f"{config.telegram_login_url}?{urlencode(asked)}")


def _token(request: web.Request) -> str:
    """The bot's. Raises NotFound where this door is shut."""
    config = request.app[CONFIG]
    if not config.telegram_login or config.bot_token is None:
        raise NotFound
    return config.bot_token.get_secret_value()
