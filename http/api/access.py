"""Who asks: the bearer token of a request, what it may do, and how many requests its account has left."""

from __future__ import annotations

from aiohttp import web

from limner.http.api.errors import ApiError
from limner.http.state import CONFIG, DB, MORE_HEADERS, address_of
from limner.sql import programs, tokens
from limner.sql.generations import Order
from limner.sql.models import Model
from limner.sql.programs import Entry
from limner.sql.terms import Offer
from limner.sql.tokens import Token

NO_KEY = "You didn't provide an API key. Send it as a header: Authorization: Bearer lim_…"
WRONG_KEY = "Incorrect API key provided: it is unknown, revoked or expired."


async def enter(request: web.Request, scope: str, *, orders: bool = False) -> Token:
    """The token of this request, alive and wide enough. Raises ApiError. With ``orders`` it counts as one of the minute."""
    per_minute = request.app[CONFIG].api_rpm
    token = await tokens.find(
        request.app[DB], bearer(request), ip=address_of(request), per_minute=per_minute, takes=orders
    )
    if token is None:
        raise ApiError(401, "invalid_api_key", WRONG_KEY)
    return _let_in(request, token, scope)


async def enter_to_order(request: web.Request, scope: str, model: Model) -> tuple[Token, Offer]:
    """``enter`` for an order of which all else is known already: with the terms of this model. Raises ApiError."""
    per_minute = request.app[CONFIG].api_rpm
    found = await programs.enter(
        request.app[DB], bearer(request), ip=address_of(request), per_minute=per_minute, model_id=model.id
    )
    if found is None:
        raise ApiError(401, "invalid_api_key", WRONG_KEY)
    token, offer = found
    return _let_in(request, token, scope), offer


async def enter_and_order(request: web.Request, order: Order) -> Entry:
    """``enter_to_order`` with the order, if nothing about it is unusual: see programs.order. Raises ApiError."""
    config = request.app[CONFIG]
    entry = await programs.order(
        request.app[DB],
        bearer(request),
        order,
        ip=address_of(request),
        per_minute=config.api_rpm,
        deadline=config.job_deadline,
    )
    if entry is None:
        raise ApiError(401, "invalid_api_key", WRONG_KEY)
    _let_in(request, entry.token, programs.SCOPE)
    return entry


def _let_in(request: web.Request, token: Token, scope: str) -> Token:
    if not token.allows_address(address_of(request)):
        raise ApiError(401, "ip_not_authorized", f"This API key may not be used from {address_of(request)}.")
    if scope not in token.scopes:
        words = f"You have insufficient permissions for this operation. Missing scopes: {scope}."
        raise ApiError(403, "missing_scope", words)
    _count(request, token.left)
    return token


def bearer(request: web.Request) -> str:
    """Raises ApiError when there is none, or one that cannot be ours: nobody is asked about it."""
    sent = request.headers.getall("Authorization", [])
    kind, _, token = sent[0].partition(" ") if len(sent) == 1 else ("", "", "")
    if kind.lower() != "bearer":
        raise ApiError(401, "invalid_api_key", NO_KEY)
    if not tokens.SHAPE.fullmatch(token.strip()):
        raise ApiError(401, "invalid_api_key", WRONG_KEY)
    return token.strip()


def _count(request: web.Request, left: float | None) -> None:
    """Say how many requests are left in the headers. Raises ApiError when there was none for this one."""
    limit = request.app[CONFIG].api_rpm
    remaining = max(0, int(left or 0))
    request[MORE_HEADERS] = {
        "x-ratelimit-limit-requests": str(limit),
        "x-ratelimit-remaining-requests": str(remaining),
        "x-ratelimit-reset-requests": f"{(limit - (left or 0)) * 60 / limit:.3f}s",
    }
    if left is None:
        words = f"Rate limit reached: {limit} requests per minute. Please try again in {60 / limit:.1f} s."
        raise ApiError(429, "rate_limit_exceeded", words, after=60 / limit)
