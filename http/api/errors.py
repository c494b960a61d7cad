"""Errors in OpenAI's envelope: whatever goes wrong under /v1 is said in this form."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any

from aiohttp import web

from limner.runtime.errors import Refused, TooMany
from limner.sql.generations import KeyReused
from limner.sql.ledger import QuotaExhausted
from limner.sql.subscriptions import NoSubscription
from limner.sql.takedowns import TakenDown
from limner.sql.terms import PlanCapReached
from limner.sql.tokens import CapReached

FIELDS = {"count": "n", "reference": "image", "idempotency_key": None}
"""Our name for a field: the API's."""
KINDS = {
    401: "invalid_request_error",
    429: "rate_limit_error",
    500: "server_error",
    502: "server_error",
    503: "service_unavailable_error",
    504: "server_error",
}
CODES = {
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "request_too_large",
    415: "unsupported_media_type",
    417: "expectation_failed",
    429: "rate_limit_exceeded",
    503: "server_is_overloaded",
}


class ApiError(Refused):
    """A refusal that knows its code. ``after``: seconds until a retry makes sense; ``retry``: what a client is told of it."""

    def __init__(
        self,
        status: int,
        code: str | None,
        message: str,
        *,
        param: str | None = None,
        kind: str | None = None,
        after: float | None = None,
        retry: bool | None = None,
        **more: Any,
    ) -> None:
        super().__init__(message, field=param, code=code or "")
        self.status = status
        self.kind = kind or KINDS.get(status, "invalid_request_error")
        self.after = after
        self.retry = retry
        self.more = more

    @property
    def body(self) -> dict[str, Any]:
        return {
            "error": {
                "message": str(self), "type": self.kind, "param": self.field, "code": self.code or None, **self.more
            }
        }  # fmt: skip

    @property
    def headers(self) -> dict[str, str]:
        headers = {"WWW-Authenticate": "Bearer"} if self.status == 401 else {}
        if self.after is not None:
            headers["Retry-After"] = str(max(1, ceil(self.after)))  # who comes sooner is refused once more
        if self.retry is not None:
            headers["x-should-retry"] = str(self.retry).lower()
        return headers


def invalid(param: str | None, message: str, code: str = "invalid_value") -> ApiError:
    return ApiError(400, code, message, param=param)


def overloaded(message: str, after: float) -> ApiError:
    return ApiError(503, "server_is_overloaded", message, after=after)


def is_of_api(path: str) -> bool:
    return path.startswith("/v1/") or path == "/v1"


def as_api(request: web.BaseRequest, status: int, words: str, why: BaseException | None) -> ApiError:
    """What the middleware caught, as the API says it."""
    match why:
        case ApiError():
            return why
        case CapReached() | QuotaExhausted() | NoSubscription():
            return ApiError(429, "insufficient_quota", str(why), kind="insufficient_quota", retry=False)
        case PlanCapReached():
            quota = "insufficient_quota"
            return ApiError(429, quota, str(why), kind=quota, after=why.after, retry=False)
        case TooMany():
            return ApiError(429, "rate_limit_exceeded", str(why), after=why.after)
        case KeyReused():
            return ApiError(422, "idempotency_key_reused", str(why))
        case TakenDown():
            return ApiError(410, why.code, str(why))
        case Refused() if why.field == "model" and why.status == 400:
            return ApiError(404, "model_not_found", str(why), param="model")
        case Refused():
            known = CODES.get(status, "invalid_value" if why.field else None)
            code = why.code or known if status == 400 else known
            return ApiError(status, code, str(why), param=FIELDS.get(why.field or "", why.field))
        case web.HTTPNotFound():
            words = f"Unknown request URL: {request.method} {request.path[:200]}. What there is: /v1/openapi.json."
            return ApiError(404, "unknown_url", words)
        case web.HTTPMethodNotAllowed():
            return ApiError(405, CODES[405], f"Not allowed to {why.method[:20]} on {request.path[:200]}.")
    if status == 500 and request.method == "POST" and "Idempotency-Key" not in request.headers:
        words = "This did not work because of us, and may be ordered. Look into your gallery before you send it again."
        return ApiError(500, "order_unknown", words, retry=False)
    return ApiError(status, CODES.get(status), words, after=2 if status == 503 else None)


def answer(error: ApiError, more: Mapping[str, str] = {}) -> web.Response:
    return web.json_response(error.body, status=error.status, headers={**error.headers, **more})
