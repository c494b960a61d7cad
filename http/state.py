"""What handlers find in the application and in a request."""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import aiohttp
from aiohttp import web

from limner.runtime.bus import Bus
from limner.runtime.config import Config
from limner.runtime.database import Database
from limner.runtime.errors import NotFound, Refused
from limner.runtime.presence import Presence
from limner.runtime.storage import Storage
from limner.runtime.vault import Vault
from limner.sql.accounts import Account
from limner.sql.confirmations import NotVerified
from limner.sql.sessions import Look, Session

CONFIG = web.AppKey("config", Config)
DB = web.AppKey("db", Database)
BUS = web.AppKey("bus", Bus)
STORAGE = web.AppKey("storage", Storage)
VAULT = web.AppKey("vault", Vault)
CLIENT = web.AppKey("client", aiohttp.ClientSession)
PRESENCE = web.AppKey("presence", Presence)

REQUEST_ID = web.RequestKey("request_id", str)
ADDRESS = web.RequestKey("address", str)
SESSION = web.RequestKey("session", Session)
MORE_HEADERS = web.RequestKey("more_headers", dict[str, str])
"""What is to be said in the answer's headers, whatever the answer is."""
TOKEN = web.RequestKey("token", str)
"""The session's, from the cookie."""
ANCHOR = web.RequestKey("anchor", str)
"""What a form's token is bound to: the session's token, with the visit it is on, or the visitor's cookie."""

NOTICES = {
    "welcome": "Welcome. Choose a plan, and you can begin at once.",
    "password": "Your password is changed.",
    "sessions": "You are signed out everywhere else.",
    "session": "That device is signed out.",
    "verified": "Your e-mail address is confirmed.",
    "verify_sent": "The link is on its way: look into your mail.",
    "verify_noted": "Noted. This place sends no mails: ask the people who run it for your link.",
    "reset": "Your password is changed, and every device is signed out. Please log in.",
    "email_sent": "A link is on its way to the new address. Until it is used, the old one stays.",
    "email_noted": "Noted. This place sends no mails: ask the people who run it for your link.",
    "email": "Your e-mail address is changed.",
    "locale": "Your language is kept. Mails come in it from now on.",
    "goodbye": "Your account is deleted. Your pictures are being wiped.",
    "deleted": "The picture is deleted.",
    "shared": "The link is made. Whoever has it sees the picture, and nothing of you.",
    "share_changed": "Done. Whoever opens the link sees it so.",
    "share_revoked": "The link leads nowhere any more.",
    "offered": "It is offered. An admin looks at it before it hangs on the wall.",
    "withdrawn": "It is taken back from the wall. The link still works.",
    "reported": "Thank you. Somebody will look at it.",
    "some_changed": "Done, but for those that somebody had decided or taken back meanwhile.",
    "canceled": "Canceled. What had not begun was not charged.",
    "stopping": "It is being stopped. A picture that still arrives is delivered and charged.",
    "too_late": "There was nothing left to cancel.",
    "revoked": "The token is revoked. Nothing can use it any more.",
    "saved": "Done.",
    "mailed": "The link is on its way to them.",
    "on_its_way": "It is on its way to you.",
    "news_on": "You get news from us again.",
    "news_off": "You get no more messages that go to many people.",
    "trial": "Your trial has begun. Describe a picture, and see.",
    "ends": "Your plan ends with the period that is paid. Until then everything works as before.",
    "goes_on": "Your plan goes on. Its next invoice comes before the period ends.",
    "asked": "A worker does it: look again in a moment.",
    "factor_first": "Who works in the admin needs a second factor. Set it up here, and you can go on.",
    "factor_off": "The second factor is off. Your password alone lets you in.",
    "linked": "It is linked: from now on you can log in with it.",
    "unlinked": "It is taken away. Nobody can log in with it any more.",
    "asked_processor": "The processor is being asked: this page shows what it says.",
}


FILE_READY = "file"
"""In an address: whoever comes here wanted the file of this list, and may take it along now."""
CODE = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")


class SignInNeeded(Exception):
    """This page is for people who are signed in."""


class FactorNeeded(Exception):
    """Who works in the admin needs a second factor: set one up on the security page of your account."""


class ProofNeeded(Exception):
    """Who does this should have shown a moment ago that it is they. ``back``: where that leads, if not where they went."""

    def __init__(self, back: str = "") -> None:
        super().__init__(back)
        self.back = back


def viewer_of(request: web.Request) -> Account | None:
    session = session_of(request)
    return session.account if session else None


def session_of(request: web.Request) -> Session | None:
    return request.get(SESSION)


def look_of(request: web.Request) -> Look | None:
    """On whose behalf nobody acts: an admin sees what somebody else does."""
    session = session_of(request)
    return session.look if session else None


def signed_in(request: web.Request) -> Account:
    """Who is looking. Raises SignInNeeded, which leads to the sign-in page and back."""
    viewer = viewer_of(request)
    if viewer is None:
        raise SignInNeeded
    return viewer


def must_be_confirmed(request: web.Request, viewer: Account) -> None:
    """Raises NotVerified where that is asked for and the address is not confirmed yet."""
    if request.app[CONFIG].require_verification and viewer.verified_at is None:
        raise NotVerified


class NotAllowed(Refused):
    """Support looks, and leaves the acts to admins."""

    status = 403


def staff(request: web.Request) -> Account:
    """The admin or supporter who is looking. Raises NotFound for anybody else: the place does not exist for them."""
    viewer, session = signed_in(request), session_of(request)
    if viewer.role not in ("support", "admin"):
        raise NotFound
    if request.app[CONFIG].forces_totp and not (session and session.has_factor):
        raise FactorNeeded(FactorNeeded.__doc__)
    return viewer


def admin(request: web.Request) -> Account:
    """The admin who acts. Raises NotAllowed for a supporter, NotFound for anybody else."""
    viewer = staff(request)
    if not viewer.is_admin:
        raise NotAllowed("This is for admins: you may look, and ask one of them.")
    return viewer


def fresh(request: web.Request, *, back: str = "") -> Account:
    """The admin who touches keys, money or roles, and showed within ten minutes that it is they. The first line of a
    handler: a form that comes without is kept, and sent on once the proof is there (http/proof.py).

    ``back``: where whoever only looks is led after it, if not to the same address. Raises ProofNeeded, and what admin() raises.
    """
    return proved(request, admin(request), back=back)


def proved(request: web.Request, viewer: Account, *, back: str = "") -> Account:
    """The same for whoever changes the doors of their own account. Raises ProofNeeded."""
    session = session_of(request)
    if session is None or not session.is_fresh:
        raise ProofNeeded(back)
    return viewer


def csrf_token(request: web.Request) -> str:
    """Bound to the session, or to the visitor's cookie before there is one."""
    return csrf_for(request.app[CONFIG], request.get(ANCHOR, ""))


def csrf_for(config: Config, session_token: str) -> str:
    return _bind(config.secret_keys[0], session_token)


def csrf_holds(request: web.Request, sent: str) -> bool:
    """Whether it is this browser's token, by any of the keys: while they are rotated, pages of before are still open."""
    anchor, given = request.get(ANCHOR, ""), sent.encode(errors="replace")
    return any(hmac.compare_digest(_bind(key, anchor).encode(), given) for key in request.app[CONFIG].secret_keys)


def _bind(secret: str, anchor: str) -> str:
    return hmac.new(secret.encode(), b"csrf " + anchor.encode(errors="replace"), hashlib.sha256).hexdigest()


def notice_of(request: web.Request) -> str | None:
    """The sentence that a form left behind, once."""
    return NOTICES.get(request.cookies.get("notice", ""))


def file_of(request: web.Request) -> str | None:
    """The address of the file of this list, for who came for it and was asked first whether it is they."""
    if FILE_READY not in request.query:
        return None
    asked = urlencode([(name, value) for name, value in request.query.items() if name != FILE_READY], errors="replace")
    return f"{request.path}.csv{f'?{asked}' if asked else ''}"


def address_of(request: web.Request) -> str:
    """The browser's address: the peer's, or the last X-Forwarded-For entry of a trusted proxy, and no other header."""
    return str(request.get(ADDRESS, ""))


def path_id(request: web.Request, name: str = "id") -> UUID:
    """An id from the path. Raises NotFound when it is none."""
    try:
        return UUID(request.match_info[name])
    except ValueError:
        raise NotFound from None


def path_number(request: web.Request, name: str = "id") -> int:
    """A number from the path. Raises NotFound when it is none."""
    text = request.match_info[name]
    if not (text.isascii() and text.isdigit() and len(text) < 18):
        raise NotFound
    return int(text)


def path_code(request: web.Request, name: str = "code") -> str:
    """The name of a provider or a model from the path. Raises NotFound when it cannot be one."""
    text = request.match_info[name]
    if not CODE.fullmatch(text):
        raise NotFound
    return text


def about(request: web.Request) -> dict[str, Any]:
    """Who did it from where, for the audit."""
    viewer = viewer_of(request)
    return {"actor": viewer.email if viewer else "nobody", "ip": address_of(request)}
