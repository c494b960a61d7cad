"""Bodies: JSON and forms, read into the shapes, each mistake named by its field and value."""

from __future__ import annotations

import hashlib
from typing import Any, TypeVar

import orjson
from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage
from pydantic import ValidationError

from limner.http import forms
from limner.http.api.errors import ApiError, invalid
from limner.http.api.schemas import Asked

T = TypeVar("T", bound=Asked)

CODES = {
    "missing": "missing_required_parameter",
    "greater_than_equal": "integer_below_min_value",
    "less_than_equal": "integer_above_max_value",
    "string_too_long": "string_above_max_length",
    "string_too_short": "string_below_min_length",
    "literal_error": "invalid_value",
}
WHOLE, YES_OR_NO = ("n", "partial_images"), ("stream",)
"""Fields of a form, where all is text, that are something else."""


async def json(request: web.Request, shape: type[T]) -> tuple[T, bytes]:
    """The body, and a digest that is the same for the same content. Raises ApiError and web.HTTPException."""
    if request.content_type != "application/json" or (request.charset or "utf-8").lower() not in ("utf-8", "utf8"):
        raise ApiError(415, "unsupported_media_type", "Send JSON in UTF-8, with Content-Type: application/json.")
    try:
        sent: Any = orjson.loads(await request.read())
    except (ValueError, BadHttpMessage) as error:
        words = "We could not parse the JSON body of your request. The API expects a JSON object."
        raise ApiError(400, "invalid_json", words) from error
    if not isinstance(sent, dict):
        raise ApiError(400, "invalid_json", f"The API expects a JSON object, not {_kind(sent)}.")
    return shaped(shape, sent), digest(sent)


def digest(sent: Any) -> bytes:
    return hashlib.sha256(orjson.dumps(sent, option=orjson.OPT_SORT_KEYS)).digest()


def shaped(shape: type[T], sent: dict[str, Any]) -> T:
    try:
        return shape.model_validate(sent)
    except ValidationError as error:
        raise _explained(error) from error


def _explained(error: ValidationError) -> ApiError:
    """The first mistake, as OpenAI words it."""
    problem = error.errors(include_url=False, include_context=True)[0]
    param, value = str(problem["loc"][0])[:80], problem["input"]
    context, code = problem.get("ctx", {}), CODES.get(problem["type"], "invalid_type")
    match code:
        case "missing_required_parameter":
            words = f"Missing required parameter: '{param}'."
        case "integer_below_min_value":
            words = f"Invalid '{param}': expected a value >= {context['ge']}, but got {value} instead."
        case "integer_above_max_value":
            words = f"Invalid '{param}': expected a value <= {context['le']}, but got {shown(value)} instead."
        case "string_above_max_length":
            words = f"Invalid '{param}': at most {context['max_length']} characters, but got {len(value)}."
        case "string_below_min_length":
            words = f"Invalid '{param}': it is empty."
        case "invalid_value":
            words = f"Invalid value: {shown(value)}. Supported values of '{param}' are: {context['expected']}."
        case _:
            expected = problem["msg"].partition("valid ")[2] or "another type"
            words = f"Invalid type for '{param}': expected a valid {expected}, but got {_kind(value)} instead."
    return invalid(param, words, code)


def shown(value: Any) -> str:
    """A value as it may stand in a message: short, and on one line."""
    return repr(value) if len(repr(value)) <= 80 else repr(value)[:77] + "…"


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "an array", type(None): "null"}
    return names.get(type(value), f"{'a boolean' if isinstance(value, bool) else shown(value)}")


async def form(request: web.Request, shape: type[T]) -> tuple[T, dict[str, list[bytes]], bytes]:
    """Fields, files by field, and a digest of both. Raises ApiError and web.HTTPException."""
    if request.content_type != "multipart/form-data":
        raise ApiError(415, "unsupported_media_type", "Send the pictures with Content-Type: multipart/form-data.")
    sent = await forms.read(request.clone(client_max_size=forms.LARGEST_UPLOAD))
    fields: dict[str, Any] = {}
    files: dict[str, list[bytes]] = {}
    for name, value in sent.items():
        if isinstance(value, web.FileField):
            files.setdefault(name.removesuffix("[]"), []).append(_file(name, value))
        elif name in fields or not isinstance(value, str):
            raise invalid(forms.clean(name)[:80], f"'{forms.clean(name)[:80]}' was sent twice, or is no text.")
        else:
            fields[name] = _typed(name, value)
    try:
        return shaped(shape, fields), files, digest([fields, {name: [*map(_name, files[name])] for name in files}])
    except orjson.JSONEncodeError as error:  # lone surrogates
        raise ApiError(400, "invalid_value", "The form has characters that are not text.") from error


def _name(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _file(name: str, field: web.FileField) -> bytes:
    data = field.file.read(forms.LARGEST_FILE + 1)
    if len(data) > forms.LARGEST_FILE:
        words = f"'{name[:80]}' is larger than {forms.LARGEST_FILE // 1024 // 1024} MB."
        raise ApiError(413, "request_too_large", words, param=name[:80])
    return data


def _typed(name: str, value: str) -> Any:
    if name in WHOLE and value.removeprefix("-").isascii() and value.removeprefix("-").isdecimal() and len(value) < 10:
        return int(value)
    if name in YES_OR_NO and value.lower() in ("true", "false"):
        return value.lower() == "true"
    return value
