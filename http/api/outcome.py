"""Outcomes: what became of an order, as OpenAI's answer or as its error."""

from __future__ import annotations

import contextlib
from collections.abc import Container
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import anyio
from aiohttp import web

from limner.http.api import files
from limner.http.api.access import WRONG_KEY
from limner.http.api.bodies import LATER, Body, base64
from limner.http.api.errors import ApiError, overloaded
from limner.http.state import DB, STORAGE
from limner.runtime import database
from limner.runtime.database import TROUBLE
from limner.runtime.errors import Busy
from limner.runtime.log import logger
from limner.runtime.storage import Missing
from limner.sql import answers, usages
from limner.sql.answers import Answer, Order
from limner.sql.takedowns import TakenDown
from limner.sql.tokens import Token

log = logger(__name__)

AS_IT_IS = {"Cache-Control": "no-store, no-transform"}
"""Pictures are packed already: to pack them once more would cost a proxy more than it spares."""
OUTAGE = (Busy, Missing, *database.OUTAGE)
"""What keeps an answer from whoever ordered, and not the picture from being painted."""
MODERATED = {"moderation_input": "input", "moderation_output": "output"}
HANDED_ON = ("prompt", "size", "image", "mask")
"""Parameters that upstreams have by our names, beside those that the caller chose."""
LATE = ("it took too long", "no painter was free in time")
"""Reasons of sql/lost_jobs.py and actors/stopwatch.py."""
WORST_FIRST = ("moderation_input", "moderation_output", "invalid_request")
"""What the caller can do something about is said before what we can."""
FRESH = timedelta(seconds=30)
"""After it came, a picture's file is likely in the memory of this machine."""


async def look(request: web.Request, generation_id: UUID, token: Token, told: str | None = None) -> Order | None:
    """How it stands; None while the database does not answer: it is in the books, so nobody should order it again.

    ``told``: what was heard of its end, and need not be looked for. Raises ApiError when the token has come to its end
    meanwhile.
    """
    try:
        heard = answers.heard(told, token.id) if told else None
        order = heard or await answers.order(request.app[DB], generation_id, token)
    except TROUBLE:
        await anyio.sleep(1)
        return None
    if not order.is_heard:
        raise ApiError(401, "invalid_api_key", WRONG_KEY)
    return order


def unanswered(request: web.Request, generation_id: UUID) -> ApiError:
    """It goes on without this request. Only a caller that named its order may send it again: another would pay twice."""
    words = f"Your order goes on; its pictures will be at /v1/images/tasks/{generation_id}."
    if "Idempotency-Key" in request.headers:
        return overloaded(f"{words} Sending it again with the same Idempotency-Key waits for the same order.", 1)
    return ApiError(500, "answer_unavailable", words, retry=False)


async def images(request: web.Request, order: Order, form: str) -> Body:
    """The answer; ``form`` is "b64_json" or "url". Raises ApiError when not one picture came.

    One whose file is lost hides none of the others.
    """
    data: dict[UUID, dict[str, Any]] = {}
    are_many = form == "b64_json" and len(order.delivered) > 1
    for answer in order.delivered:
        with contextlib.suppress(Missing):
            data[answer.job_id] = await (_later(request, answer) if are_many else picture(request, order, answer, form))
    order = without(order, {each.job_id for each in order.delivered} - data.keys())
    if not data:
        raise failure(order)
    first, usage = order.delivered[0], usages.total(each.usage for each in order.delivered)
    content = {
        "created": int(order.changed_at.timestamp()),
        "data": list(data.values()),
        "model": order.model_id,
        **{name: value for name, value in used(order, first).items() if value != "auto"},
        **({} if usage is None else {"usage": usage.fields}),
        "metadata": metadata(order),
    }
    return Body(content, [str(each.storage_key) for each in order.delivered] if are_many else [])


def without(order: Order, lost: Container[UUID]) -> Order:
    """The order as it is without the pictures of these jobs, whose files are not there."""
    return replace(order, answers=[_lost(each) if each.job_id in lost else each for each in order.answers])


def _lost(answer: Answer) -> Answer:
    log.error("picture_missing", picture=str(answer.image_id), key=answer.storage_key)
    return replace(answer, image_id=None, reason="its file is not in the storage any more")


async def picture(request: web.Request, order: Order, answer: Answer, form: str) -> dict[str, Any]:
    assert answer.image_id is not None
    assert answer.storage_key is not None
    if form == "url":
        return {"url": files.link(request, answer.image_id)}
    is_fresh = datetime.now(UTC) - order.changed_at < FRESH
    return {"b64_json": base64(await request.app[STORAGE].get(answer.storage_key, is_fresh=is_fresh))}


async def _later(request: web.Request, answer: Answer) -> dict[str, Any]:
    """To be read when it is written."""
    if await request.app[STORAGE].head(str(answer.storage_key)) is None:
        raise Missing(str(answer.storage_key))
    return {"b64_json": LATER}


def used(order: Order, answer: Answer | None) -> dict[str, Any]:
    """What was really delivered where we know it, and what was asked for where only the painter does."""
    return {
        "size": f"{answer.width}x{answer.height}" if answer else f"{order.width}x{order.height}",
        "quality": order.parameters.get("quality", "auto"),
        "background": order.parameters.get("background", "auto"),
        "output_format": answer.mime.rpartition("/")[2] if answer and answer.mime else "png",
    }


def metadata(order: Order) -> dict[str, Any]:
    missing = [answer for answer in order.answers if answer.image_id is None]
    requested = {"model": order.model_id, "size": f"{order.width}x{order.height}", "n": len(order.answers)}
    return {
        "generation": str(order.id),
        "requested": {**requested, **order.parameters},
        "jobs": [_job(order, answer) for answer in order.answers],
        "credits": sum(answer.credits for answer in order.answers if answer.state == "delivered"),
        "partial": bool(missing) and order.is_over,
        "reasons": [_reason(answer) for answer in missing if answer.reason or answer.state == "delivered"],
    }


def _job(order: Order, answer: Answer) -> dict[str, Any]:
    about = {"id": str(answer.job_id), "state": answer.state}
    if answer.image_id is None:
        return {**about, "reason": _reason(answer)}
    return {**about, **{name: used(order, answer)[name] for name in ("size", "output_format")}}


def _reason(answer: Answer) -> str:
    if answer.takedown is not None:
        return str(TakenDown(answer.takedown))
    return answer.reason or ("the picture was deleted" if answer.state == "delivered" else "")


def failure(order: Order) -> ApiError:
    """Why nothing came. A blind retry would be refused or cost a second time, so only what is our fault invites one."""
    return refusal(min((each for each in order.answers if each.image_id is None), key=_rank), order)


def _rank(answer: Answer) -> int:
    return WORST_FIRST.index(answer.fault) if answer.fault in WORST_FIRST else len(WORST_FIRST)


def refusal(answer: Answer, order: Order) -> ApiError:
    """Why this picture did not come."""
    more = metadata(order)
    words = _sentence(_reason(answer), more["credits"])
    param = answer.param if answer.param in (*HANDED_ON, *order.parameters) else None
    if answer.takedown is not None:
        return ApiError(410, "picture_taken_down", _reason(answer), retry=False, metadata=more)
    if answer.state == "canceled":
        return ApiError(409, "canceled", words, retry=False, metadata=more)
    if answer.state == "delivered":
        return ApiError(404, "not_found", words, metadata=more)
    if answer.fault in MODERATED:
        details = {"moderation_stage": MODERATED[answer.fault], "categories": answer.categories or []}
        kind = "image_generation_user_error"
        return ApiError(
            400, "moderation_blocked", words, kind=kind, param=param, moderation_details=details, metadata=more
        )
    if answer.fault == "invalid_request":
        return ApiError(400, "invalid_request", words, param=param, metadata=more)
    if answer.fault == "timeout_unknown" or answer.reason in LATE:
        return ApiError(504, "timeout", words, retry=False, metadata=more)
    return ApiError(502, "no_image", words, retry=False, metadata=more)


def _sentence(reason: str, credits: int) -> str:
    words = (reason or "It could not be painted").rstrip(".")
    charged = "Only what was delivered was charged" if credits else "Nothing was charged"
    return f"{words[0].upper()}{words[1:]}. {charged}."
