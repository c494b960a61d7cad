"""Models: what a token may order, with the sizes, options and prices of each."""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web

from limner.http.api import access
from limner.http.api.catalogue import CATALOGUE
from limner.http.api.errors import ApiError
from limner.http.api.openapi import operation
from limner.http.api.reading import shown
from limner.http.api.schemas import MOST_UNFINISHED, ModelList, OfferedModel
from limner.http.state import DB
from limner.sql import answers
from limner.sql.models import Offered
from limner.sql.tokens import Token

UNFINISHED = {"partial_images": {"min": 0, "max": MOST_UNFINISHED}}


@operation("What can be ordered.", {200: ModelList}, (401, 403), scope="models:read")
async def show_list(request: web.Request) -> web.Response:
    """``GET /v1/models``."""
    token = await access.enter(request, "models:read")
    born = await answers.born(request.app[DB])
    return _json({"object": "list", "data": [_shown(model, born) for model in await _allowed(request, token)]})


@operation("One model, by its id or an alias.", {200: OfferedModel}, (401, 403, 404), scope="models:read")
async def show(request: web.Request) -> web.Response:
    """``GET /v1/models/{id}``: by its id or an alias."""
    token = await access.enter(request, "models:read")
    model = await request.app[CATALOGUE].find(request.match_info["id"])
    if model not in await _allowed(request, token):
        raise ApiError(404, "model_not_found", f"The model {shown(model.id)} is not for this API key.", param="model")
    return _json(_shown(model, await answers.born(request.app[DB])))


async def _allowed(request: web.Request, token: Token) -> list[Offered]:
    """Inside the plan, where there is one, and inside the token."""
    plan = await answers.allowed_models(request.app[DB], token.account_id)
    offer = await request.app[CATALOGUE].offer()
    return [each for each in offer if token.allows_model(each.id) and (plan is None or each.id in plan)]


def _shown(model: Offered, born: dict[str, int]) -> dict[str, Any]:
    return {
        "id": model.id,
        "object": "model",
        "created": born.get(model.id, 0),
        "owned_by": "limner",
        "name": model.name,
        "aliases": model.aliases,
        "abilities": model.abilities,
        "sizes": [str(each) for each in model.sizes],
        "options": model.options | (UNFINISHED if model.sends_unfinished else {}),
        "credits": model.credits,
    }


def _json(body: dict[str, Any]) -> web.Response:
    return web.Response(body=orjson.dumps(body), content_type="application/json")
