"""Doors: the other ways in, and what happens to whoever comes through one of them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import aiohttp_jinja2
from aiohttp import web

from limner.http import forms, pages, referrals, security
from limner.http.auth import _subnet
from limner.http.entrance import admit, forget
from limner.http.state import CONFIG, DB, about, address_of, viewer_of
from limner.http.trips import Trip, cookie_name
from limner.runtime import passwords
from limner.runtime.config import Config
from limner.runtime.errors import Refused
from limner.runtime.log import logger
from limner.sql import accounts, admission, links, sign_ins, throttles
from limner.sql.accounts import Account

log = logger(__name__)


@dataclass(frozen=True)
class Door:
    """``name`` as people read it: Log in with …"""

    code: str
    name: str
    issuer: str


@dataclass(frozen=True)
class Visitor:
    """Who came through a door. ``email`` only when the other place has made sure that it is theirs."""

    door: Door
    subject: str
    label: str
    email: str | None


def listed(config: Config) -> dict[str, Door]:
    """The doors that are open here."""
    found = []
    if config.oidc_issuer:
        found.append(Door("oidc", config.oidc_name, config.oidc_issuer))
    if config.telegram_login:
        found.append(Door("telegram", "Telegram", "telegram"))
    return {door.code: door for door in found}


def set_up(app: web.Application) -> None:
    """Let the pages show them."""
    aiohttp_jinja2.get_env(app).globals["doors"] = list(listed(app[CONFIG]).values())


async def come_in(request: web.Request, trip: Trip, visitor: Visitor) -> web.Response:
    """Link the visitor to the account that asked for it, or let them into theirs. Raises Refused."""
    if trip.account:
        response = await _link(request, trip, visitor)
    else:
        account = await _account_of(request, visitor)
        agent = forms.clean(request.headers.get("User-Agent", ""))
        await sign_ins.record(
            request.app[DB], account.id, is_refused=False, ip=address_of(request), agent=agent, way=visitor.door.code
        )
        response = await admit(request, account, trip.goal or "/dashboard", proved=False)
    forget(request, response, cookie_name(request))
    return response


async def turn_away(request: web.Request, why: Refused) -> web.Response:
    """The page where they began, with the reason."""
    log.info("door_closed", why=why.code, address=address_of(request))
    if viewer_of(request) is not None:
        response = await security.page(request, why)
    else:
        response = pages.render(request, "login.html", Refused(str(why), field="form", code=why.code), form={}, next="")
    forget(request, response, cookie_name(request))
    return response


async def _link(request: web.Request, trip: Trip, visitor: Visitor) -> web.Response:
    viewer, door = viewer_of(request), visitor.door
    if viewer is None or str(viewer.id) != trip.account:
        raise Refused("You are logged in as somebody else by now. Begin again.", field="form")
    await links.link(
        request.app[DB], viewer, door.issuer, visitor.subject, visitor.label, provider=door.name, **about(request)
    )
    return pages.see_other(security.HERE, "linked")


async def _account_of(request: web.Request, visitor: Visitor) -> Account:
    """Whose door it is; by an address that was made sure of, also that of whom it was not linked to yet."""
    account = await links.owner(request.app[DB], visitor.door.issuer, visitor.subject)
    if account is None:
        account = await _found_by_mail(request, visitor)
    if account.banned_at is not None:
        raise Refused("This account is closed. Please write to the people who run this place.", field="form")
    return account


async def _found_by_mail(request: web.Request, visitor: Visitor) -> Account:
    if visitor.email is None:
        raise Refused(
            f"No account here knows this {visitor.door.name} yet. Log in with your password, and link it under"
            " Account, Security.", field="form", code="not_linked",
        )  # fmt: skip
    account = await accounts.find(request.app[DB], visitor.email)
    if account is None:
        return await _register(request, visitor, visitor.email)
    if account.verified_at is None or account.role != "user":
        # Whoever registered with somebody else's address must not get a door opened; and who works here links by hand.
        raise Refused(
            "There is an account with this address already. Log in with its password, and link"
            f" {visitor.door.name} under Account, Security.", field="form", code="not_linked",
        )  # fmt: skip
    await _join(request, account, visitor)
    return account


async def _register(request: web.Request, visitor: Visitor, email: str) -> Account:
    """A new account, its address made sure of elsewhere. Nobody knows its password: the reset gives it one."""
    admission.check_open(request.app[CONFIG], "")
    admission.check_domain(request.app[CONFIG], email)
    place = f"register {_subnet(address_of(request))}"
    await throttles.take(request.app[DB], throttles.REGISTER_BY_ADDRESS, place)
    unknown = await passwords.hash_password(secrets.token_urlsafe(32))
    async with request.app[DB].transaction() as tx:
        account = await admission.register(tx, request.app[CONFIG], email, unknown, is_verified=True)
        door = visitor.door
        await links.link(
            tx, account, door.issuer, visitor.subject, visitor.label, provider=door.name, actor=email,
            ip=address_of(request),
        )  # fmt: skip
    await referrals.came_by(request, account)
    return account


async def _join(request: web.Request, account: Account, visitor: Visitor) -> None:
    if account.banned_at is None:
        door = visitor.door
        await links.link(
            request.app[DB], account, door.issuer, visitor.subject, visitor.label, provider=door.name,
            actor=account.email, ip=address_of(request),
        )  # fmt: skip
