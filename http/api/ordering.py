"""Ordering: what was asked becomes an order in the books, or a refusal that names what is wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass
from uuid import UUID

from aiohttp import web

from limner.http.api import access, parameters
from limner.http.api.catalogue import CATALOGUE
from limner.http.api.errors import ApiError, overloaded
from limner.http.api.schemas import Asked
from limner.http.state import CONFIG, DB
from limner.runtime.database import OUTAGE
from limner.runtime.errors import Busy, Refused
from limner.runtime.log import logger
from limner.runtime.pool import Unreached
from limner.sql import generations, ledger, programs, tokens
from limner.sql.generations import Order
from limner.sql.models import Model, Offered
from limner.sql.programs import Entry
from limner.sql.terms import Offer
from limner.sql.tokens import Token

log = logger(__name__)

KEY = re.compile(r"[\x21-\x7e]{1,255}")
NOBODY = UUID(int=0)
MOST_OF_A_STRANGER = 4096
"""Characters of a prompt that go along before it is known whose it is."""


@dataclass(frozen=True)
class Placed:
    """An order in the books. ``is_known``: it was there before, under the same idempotency key."""

    id: UUID
    is_known: bool


def draft(request: web.Request, token: Token | None, asked: Asked, digest: bytes, model: Offered) -> Order:
    """The order, validated against its model; it has no references yet. Nobody's without a token. Raises ApiError."""
    return Order(
        account_id=token.account_id if token else NOBODY,
        prompt=asked.prompt,
        model_id=model.id,
        size=parameters.size(model, asked),
        count=asked.count,
        parameters=parameters.chosen(model, asked),
        partial_images=(asked.partial_images or 0) if asked.stream and model.sends_unfinished else 0,
        idempotency_key=_key(request),
        request_hash=digest,
        api_token_id=token.id if token else None,
        most_unfinished=request.app[CONFIG].api_queue,
    )


async def model_for(request: web.Request, asked: Asked) -> Offered:
    """The model that is asked for. Raises ApiError."""
    return await request.app[CATALOGUE].find(asked.model)


async def model_at_hand(request: web.Request, asked: Asked) -> Offered | None:
    """The same, if it is known without a question to the database."""
    return await request.app[CATALOGUE].at_hand(asked.model)


def allow(token: Token, model: Model) -> None:
    """Raises ApiError when this token may not order it."""
    if not token.allows_model(model.id):
        words = f"This API key does not have access to model '{model.id}'."
        raise ApiError(403, "model_not_found", words, param="model")


def _key(request: web.Request) -> str | None:
    sent = request.headers.getall("Idempotency-Key", [])
    if not sent:
        return None
    if len(sent) > 1 or not KEY.fullmatch(sent[0]):
        words = "An Idempotency-Key is one header of 1 to 255 visible ASCII characters."
        raise ApiError(400, "invalid_idempotency_key", words, param="Idempotency-Key")
    return f"api {sent[0]}"


async def at_once(request: web.Request, asked: Asked, digest: bytes, model: Offered) -> Entry | None:
    """Let in and order with one statement, for whoever waits for the pictures. None: to be done step by step.

    An entry without a generation_id was let in and has not ordered. Raises ApiError, Unreached.
    """
    if "Idempotency-Key" in request.headers or len(asked.prompt) > MOST_OF_A_STRANGER:
        return None
    try:
        order = draft(request, None, asked, digest, model)
        order.check()
        model.check(order.size, 0, len(order.prompt))
        await request.app[CATALOGUE].must_be_awake(model)
    except Refused:  # not for a stranger to hear
        return None
    try:
        return await access.enter_and_order(request, order)
    except programs.RefusedByTheBooks:
        return None
    except Unreached:
        raise
    except (Busy, *OUTAGE) as error:
        raise _unknown(order, error) from error


async def known(request: web.Request, token: Token, digest: bytes) -> Placed | None:
    """The order that this key has named before, whatever has become of its model since. Raises ApiError, KeyReused."""
    if (key := _key(request)) is None:
        return None
    db = request.app[DB]
    found = await generations.known(db, token.account_id, key, digest)
    if found is None:
        return None
    await db.harden()  # whoever ordered it may not have come that far
    return Placed(found, is_known=True)


async def place(
    request: web.Request, token: Token, order: Order, *, offer: Offer | None = None, hardens: bool = True
) -> Placed:
    """Put it into the books, and send one message for each picture. Raises Refused, ApiError when nobody knows.

    ``offer`` and ``hardens``: see generations.order.
    """
    await _may_wait(request, token, order)
    db, deadline = request.app[DB], request.app[CONFIG].job_deadline
    try:
        with tokens.capped():
            generation_id = await generations.order(db, order, deadline=deadline, offer=offer, hardens=hardens)
    except (Busy, *OUTAGE) as error:
        raise _unknown(order, error) from error
    return Placed(generation_id, is_known=order.idempotency_key is not None)


def _unknown(order: Order, error: Exception) -> ApiError:
    """It may be in the books or not. Only a caller that named its order may send it again: another could pay twice."""
    log.warning("order_unknown", error=str(error) or type(error).__name__)
    words = "Nobody knows whether this order was taken."
    if order.idempotency_key is not None:
        return overloaded(f"{words} Sending it again with the same Idempotency-Key takes it once.", 2)
    words += " Look into your gallery before you send it again."
    return ApiError(500, "order_unknown", words, retry=False)


async def may(request: web.Request, token: Token, order: Order, model: Model) -> None:
    """What is soon known, before anything that is dear. Raises Refused; the schema has the last word when it is placed."""
    await _may_wait(request, token, order)
    await ledger.must_cover(request.app[DB], order.account_id, order.count * model.credits)


async def _may_wait(request: web.Request, token: Token, order: Order) -> None:
    """Raises ApiError when the account has too many unfinished pictures. Each of them holds a credit or more."""
    most = request.app[CONFIG].api_queue
    if token.held + order.count > most:
        unfinished = await tokens.unfinished(request.app[DB], token.account_id)
        if unfinished + order.count > most:
            words = f"{unfinished} pictures of this account are not done yet, and {most} are the most."
            raise ApiError(429, "rate_limit_exceeded", words, after=5)


async def wake(request: web.Request, order: Order) -> None:
    """Raises ApiError while every key that could paint it rests, for callers that wait."""
    catalogue = request.app[CATALOGUE]
    await catalogue.must_be_awake(await catalogue.find(order.model_id))
