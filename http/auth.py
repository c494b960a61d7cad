"""Register, log in, log out."""

from __future__ import annotations

from aiohttp import web

from limner.http import (
    entrance,
    forms,
    pages,
    referrals,
)
from limner.http.middleware import cookie_name
from limner.http.state import CONFIG, DB, address_of, session_of, viewer_of
from limner.runtime import passwords
from limner.runtime.database import TROUBLE
from limner.runtime.errors import LimnerError, Refused
from limner.runtime.log import logger
from limner.sql import accounts, admission, confirmations, invitations, sessions, sign_ins, throttles

log = logger(__name__)

WRONG = "This e-mail address and password do not belong together."


async def show_register(request: web.Request) -> web.Response:
    if viewer_of(request):
        return pages.see_other("/dashboard")
    invite = forms.clean(request.query.get("invite", ""))[:100]
    return await _register_page(request, _next(request.query.get("next", "")), invite)


async def register(request: web.Request) -> web.StreamResponse:
    form = await forms.read(request)
    goal = _next(forms.kept(form, "next")["next"])
    db, config = request.app[DB], request.app[CONFIG]
    try:
        invite = forms.text(form, "invite", most=100)
        admission.check_open(config, invite)
        email, password = admission.address(_typed_email(form)), _secret(form, "password")
        admission.check_domain(config, email)
        await throttles.take(db, throttles.REGISTER_BY_ADDRESS, f"register {_subnet(address_of(request))}")
        known = await passwords.hash_new(password, about=(email, pages.Site.name))
        account = await admission.register(db, config, email, known, invite=invite)
    except Refused as why:
        return await _register_page(request, goal, forms.kept(form, "invite")["invite"][:100], form, why)
    await referrals.came_by(request, account)
    await _ask_to_confirm(request, account)
    return await entrance.enter(request, account, goal or "/plans", "welcome")


async def _ask_to_confirm(request: web.Request, account: accounts.Account) -> None:
    """The link to confirm the address. The account is there without it: another one can be asked for."""
    try:
        await confirmations.ask_verification(request.app[DB], account.id)
    except (LimnerError, *TROUBLE) as error:
        log.warning("confirmation_not_sent", account=str(account.id), error=str(error))


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
            _typed_email(form),
            _secret(form, "password"),
        )
    except Refused as why:
        return _page(request, "login.html", goal, form, why)
    return await entrance.admit(request, account, goal or "/dashboard")


async def log_out(request: web.Request) -> web.StreamResponse:
    session = session_of(request)
    if session is not None:
        await sessions.end(request.app[DB], session.token_hash)
    return signed_out(request)


def signed_out(request: web.Request, notice: str | None = None) -> web.Response:
    """The answer after which this browser knows nothing any more."""
    response = pages.see_other("/", notice)
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
    is_right = await passwords.matches(password, known)
    agent = forms.clean(request.headers.get("User-Agent", ""))
    is_in = is_right and account is not None and account.banned_at is None
    whose = account.id if account else None
    await sign_ins.record(db, whose, is_refused=not is_in, ip=address_of(request), agent=agent)
    if not is_right or account is None or known is None:
        log.info("login_refused", address=address_of(request))
        raise Refused(WRONG, field="form")
    if account.banned_at is not None:
        raise Refused("This account is closed. Please write to the people who run this place.", field="form")
    if passwords.is_outdated(known):
        await accounts.set_password(db, account.id, await passwords.hash_password(password))
    await throttles.clear(db, by_account)
    return account


def _page(
    request: web.Request, template: str, goal: str, form: forms.Form | None = None, why: Refused | None = None
) -> web.Response:
    typed = forms.kept(form, "email") if form is not None else {}
    return pages.render(request, template, why, form=typed, next=goal)


async def _register_page(
    request: web.Request, goal: str, invite: str, form: forms.Form | None = None, why: Refused | None = None
) -> web.Response:
    typed = forms.kept(form, "email") if form is not None else {}
    mode = request.app[CONFIG].registration
    is_let_in = mode == "open" or (mode == "invite" and await invitations.holds(request.app[DB], invite))
    about = {"mode": mode, "invite": invite, "is_let_in": is_let_in}
    return pages.render(request, "register.html", why, form=typed, next=goal, **about)


def _typed_email(form: forms.Form) -> str:
    return forms.text(form, "email", most=254, needed=True, label="The e-mail address")


async def prove_again(request: web.Request, viewer: accounts.Account, password: str, field: str) -> None:
    """Whoever is signed in knows the password, too. Raises Refused, naming the field; TooMany."""
    db, bucket = request.app[DB], f"login {viewer.email.lower()}"
    await throttles.take(db, throttles.LOGIN_BY_ACCOUNT, bucket)
    found = await accounts.with_password(db, viewer.email)
    if found is None or not await passwords.matches(password, found[1]):
        raise Refused("That is not your current password.", field=field)
    await throttles.clear(db, bucket)


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
