"""The OpenAPI document of /v1, made from the very shapes that validate."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, TypeVar, get_args

import orjson
from aiohttp import web
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from limner.http.api.errors import is_of_api
from limner.http.api.schemas import EVENTS, Edit, Failure
from limner.http.state import CONFIG

H = TypeVar("H", bound=Callable[..., Any])
REF = "#/components/schemas/{model}"
REFUSALS = {
    400: "What was sent is wrong; `param` names the field, the message its value. Or the painter refused it: "
    "`moderation_blocked`.",
    401: "`invalid_api_key`: unknown, revoked or expired.",
    403: "The key lacks a scope or a model.",
    404: "There is no such thing, or it is not yours.",
    409: "It was canceled.",
    410: "`picture_taken_down`: the people who run this place took it down.",
    413: "Too large.",
    415: "Not the type of body that is expected.",
    422: "The Idempotency-Key was used for another order.",
    429: "`rate_limit_exceeded`: later, see Retry-After. `insufficient_quota`: credits, plan or a cap of the key.",
    500: "`answer_unavailable`: it is ordered and goes on; the message says where its pictures will be. `order_unknown`: it may "
    "be ordered or not; look into the gallery. Do not send either again.",
    502: "The painter answered without a picture. Nothing was charged.",
    503: "`server_is_overloaded`: see Retry-After. All painters rest, and nothing was ordered; or, with an Idempotency-Key, your "
    "order goes on: send it again with the same key, and you wait for the same order.",
    504: "It took too long. Nothing was charged.",
}
IDEMPOTENCY = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "maxLength": 255},
    "description": "For 24 hours, the same key and the same content are the same order, charged once.",
}
PREFER = {
    "name": "Prefer",
    "in": "header",
    "schema": {"type": "string", "enum": ["respond-async"]},
    "description": "Do not wait: 202 with a task to ask for. The query `async=true` does the same.",
}
BINARY = {"type": "string", "contentMediaType": "application/octet-stream"}


@dataclass(frozen=True)
class Operation:
    """What the document says of a handler beyond its shapes."""

    summary: str
    answers: dict[int, type[BaseModel] | str]
    """A shape, or the media type of what is no JSON."""
    refusals: tuple[int, ...]
    body: type[BaseModel] | None = None
    scope: str | None = None
    parameters: list[dict[str, Any]] = field(default_factory=list)
    streams: bool = False


OPERATIONS: dict[Any, Operation] = {}


def operation(
    summary: str, answers: dict[int, type[BaseModel] | str], refusals: tuple[int, ...], **more: Any
) -> Callable[[H], H]:
    """Put a handler into the document."""

    def note(handler: H) -> H:
        OPERATIONS[handler] = Operation(summary, answers, refusals, **more)
        return handler

    return note


@operation("This document.", {200: "application/json"}, ())
async def show(request: web.Request) -> web.Response:
    """``GET /v1/openapi.json``."""
    return web.Response(body=orjson.dumps(document(request.app)), content_type="application/json")


def document(app: web.Application) -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    shapes: dict[str, type[BaseModel]] = {"Failure": Failure}
    for method, path, told in _operations(app):
        used = (told.body, *told.answers.values(), *(EVENTS if told.streams else ()))
        shapes |= {shape.__name__: shape for shape in used if isinstance(shape, type)}
        paths.setdefault(path, {})[method] = _operation(method, path, told)
    _, schemas = models_json_schema([(shape, "serialization") for shape in shapes.values()], ref_template=REF)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Limner",
            "version": version("limner"),
            "description": "OpenAI's image protocol, and tasks. Charged on delivery, one picture at a time.",
        },
        "servers": [{"url": app[CONFIG].public_url}],
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "lim_…"}},
        },
    }


def _operations(app: web.Application) -> Iterator[tuple[str, str, Operation]]:
    for route in app.router.routes():
        path = route.resource.canonical if route.resource else ""
        if is_of_api(path) and route.method != "HEAD":
            yield route.method.lower(), path, OPERATIONS[route.handler]


def _operation(method: str, path: str, told: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{method}_{path.removeprefix('/v1/')}").strip("_"),
        "summary": told.summary,
        "parameters": [*_in_path(path), *told.parameters],
        "responses": {
            **{str(status): _answer(status, shape, told) for status, shape in told.answers.items()},
            **{str(status): _refusal(status) for status in told.refusals},
        },
        "security": [{"token": []}] if told.scope else [],
    }
    if told.scope:
        described["description"] = f"Scope: `{told.scope}`."
    if told.body is not None:
        described["requestBody"] = {"required": True, "content": _body(told.body)}
    return described


def _in_path(path: str) -> list[dict[str, Any]]:
    names = re.findall(r"{(\w+)}", path)
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _body(shape: type[BaseModel]) -> dict[str, Any]:
    ref = {"$ref": REF.format(model=shape.__name__)}
    if shape is not Edit:
        return {"application/json": {"schema": ref}}
    files = {
        "type": "object",
        "required": ["image"],
        "properties": {
            "image": {"type": "array", "items": BINARY, "minItems": 1, "maxItems": 16, "description": "PNG, JPEG, WebP or GIF."},
            "mask": {**BINARY, "description": "A PNG as large as the first picture, transparent where to paint."},
            "markup": {**BINARY, "description": "Instead of a mask: a PNG drawn over the first picture, where the model has it."},
        },
    }  # fmt: skip
    return {"multipart/form-data": {"schema": {"allOf": [ref, files]}}}


def _answer(status: int, shape: type[BaseModel] | str, told: Operation) -> dict[str, Any]:
    if isinstance(shape, str):
        return {"description": "What was asked for.", "content": {shape: {}}}
    content: dict[str, Any] = {"application/json": {"schema": {"$ref": REF.format(model=shape.__name__)}}}
    if told.streams and status == 200:
        content["text/event-stream"] = {"schema": _event()}
    return {"description": (shape.__doc__ or "").partition("\n")[0], "content": content}


def _event() -> dict[str, Any]:
    """The data of one event."""
    return {
        "anyOf": [{"$ref": REF.format(model=shape.__name__)} for shape in EVENTS],
        "discriminator": {"propertyName": "type", "mapping": dict(_names())},
        "description": "Events; this is the data of each, whose name is its `type`. A comment every 15 s breaks silence.",
    }


def _names() -> Iterator[tuple[str, str]]:
    """Which shape each ``type`` has: without it a reader takes the type for the name of a shape."""
    for shape in EVENTS:
        for name in get_args(shape.model_fields["type"].annotation):
            yield name, REF.format(model=shape.__name__)


def _refusal(status: int) -> dict[str, Any]:
    schema = {"$ref": REF.format(model="Failure")}
    return {"description": REFUSALS[status], "content": {"application/json": {"schema": schema}}}
