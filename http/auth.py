"""Register, log in, log out."""

from __future__ import annotations

from aiohttp import web
from email_validator import EmailNotValidError, validate_email

from limner.http import forms, pages, referrals
from limner.http.middleware import cookie_name
from limner.http.state import CONFIG, DB, address_of, session_of, viewer_of
from limner.runtime import passwords
from limner.runtime.errors import Refused
from limner.runtime.log import logger
from limner.sql import accounts, sessions, throttles

log = logger(__name__)

WRONG = "This e-mail address and password do not belong together."


async def show_register(request: web.Request) -> web.Response:
    if viewer_of(request):
        return pages.see_other("/dashboard")
    return _page(request, "register.html", _next(request.query.get("next", "")))


async def register(request: web.Request) -> web.StreamResponse:
    form = await forms.read(request)
    goal = _next(forms.kept(form, "next")["next"])
    try:
        email, password = _email(form), _new_password(form, "password")
        await throttles.take(request.app[DB], throttles.REGISTER_BY_ADDRESS, f"register {_subnet(address_of(request))}")
        account = await accounts.create(request.app[DB], email, await passwords.hash_password(password))
    except Refused as why:
        return _page(request, "register.html", goal, form, why)
    await referrals.came_by(request, account)
    log.info("registered", account=str(account.id))
    return await _enter(request, account, goal or "/plans", "welcome")


async def show_login(request: web.Request) -> web.Response:
    if viewer_of(request):
        return pages.see_other("/dashboard")
    return _page(request, "login.html", _next(request.query.get("next", "")))


async def log_in(request: web.Request) -> web.StreamResponse:
    form = await forms.read(request)
    goal = _next(forms.kept(form, "next")["next"])
    try:
        account = await _prove(
            request,
            forms.text(form, "email", most=254, needed=True, label="The e-mail address"),
            _secret(form, "password"),
        )
    except Refused as why:
        return _page(request, "login.html", goal, form, why)
    return await _enter(request, account, goal or "/dashboard")


async def log_out(request: web.Request) -> web.StreamResponse:
    session = session_of(request)
    if session is not None:
        await sessions.end(request.app[DB], session.token_hash)
    response = pages.see_other("/")
    response.del_cookie(
        cookie_name(request), path="/", secure=request.app[CONFIG].is_https, httponly=True, samesite="Lax"
    )
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
    return response


async def _prove(request: web.Request, email: str, password: str) -> accounts.Account:
    """The account that these belong to. The limits come before the hashing, which is dear. Raises Refused."""
    db = request.app[DB]
    by_account = f"login {email.lower()}"
    await throttles.take(db, throttles.LOGIN_BY_ADDRESS, f"login from {_subnet(address_of(request))}")
    await throttles.take(db, throttles.LOGIN_BY_ACCOUNT, by_account)
    found = await accounts.with_password(db, email)
    account, known = found if found else (None, None)
    if not await passwords.matches(password, known) or account is None or known is None:
        log.info("login_refused", address=address_of(request))
        raise Refused(WRONG, field="form")
    if account.banned_at is not None:
        raise Refused("This account is closed. Please write to the people who run this place.", field="form")
    if passwords.is_outdated(known):
        await accounts.set_password(db, account.id, await passwords.hash_password(password))
    await throttles.clear(db, by_account)
    return account


async def _enter(request: web.Request, account: accounts.Account, goal: str, notice: str | None = None) -> web.Response:
    """A fresh session, whatever cookie came before."""
    if (old := session_of(request)) is not None:
        await sessions.end(request.app[DB], old.token_hash)
    agent = forms.clean(request.headers.get("User-Agent", ""))
    token = await sessions.start(request.app[DB], account.id, ip=address_of(request), agent=agent)
    response = pages.see_other(goal, notice)
    response.set_cookie(
        cookie_name(request),
        token,
        httponly=True,
        samesite="Lax",
        secure=request.app[CONFIG].is_https,
        path="/",
        max_age=30 * 86400,
    )
    return response


def _page(
    request: web.Request, template: str, goal: str, form: forms.Form | None = None, why: Refused | None = None
) -> web.Response:
    typed = forms.kept(form, "email") if form is not None else {}
    return pages.render(request, template, why, form=typed, next=goal)


def _email(form: forms.Form) -> str:
    given = forms.text(form, "email", most=254, needed=True, label="The e-mail address")
    try:
        return validate_email(given, check_deliverability=False).normalized
    except EmailNotValidError:
        raise Refused("This does not look like an e-mail address.", field="email") from None


def _new_password(form: forms.Form, field: str) -> str:
    password = _secret(form, field)
    if len(password) < passwords.SHORTEST:
        raise Refused(f"Please choose at least {passwords.SHORTEST} characters.", field=field)
    return password


def _secret(form: forms.Form, field: str) -> str:
    """A password as it was typed: not trimmed. Raises Refused."""
    value = form.get(field, "")
    if not isinstance(value, str) or not value:
        raise Refused("The password is missing.", field=field)
    if len(value) > passwords.LONGEST or any("\ud800" <= char <= "\udfff" for char in value):
        raise Refused(f"A password has at most {passwords.LONGEST} characters of text.", field=field)
    return value


def _next(goal: str) -> str:
    """Where to go afterwards: a path of ours and nothing else, or nowhere in particular."""
    is_ours = goal.startswith("/") and not goal.startswith(("//", "/\\"))
    return goal if is_ours and goal.isprintable() and len(goal) <= 500 else ""


def _subnet(address: str) -> str:
    """What counts as one place: an IPv4 address, or an IPv6 /64."""
    return ":".join(address.split(":")[:4]) if ":" in address and "." not in address else address
