"""What stands before every handler: headers, errors, sessions, and the guard of unsafe methods."""

from __future__ import annotations

import ipaddress
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from urllib.parse import quote

from aiohttp import web

from limner.http import forms, pages
from limner.http.api import errors
from limner.http.state import (
    ADDRESS,
    ANCHOR,
    CONFIG,
    DB,
    MORE_HEADERS,
    REQUEST_ID,
    SESSION,
    TOKEN,
    SignInNeeded,
    csrf_holds,
    session_of,
)
from limner.runtime import metrics, tracing
from limner.runtime.database import TROUBLE
from limner.runtime.errors import Busy, LimnerError, Refused, TooMany
from limner.runtime.log import following, logger
from limner.sql import sessions

log = logger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "font-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # no-referrer would make browsers send "Origin: null" with our own forms
    "Permissions-Policy": "camera=(self), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Server": "limner",
}
SAFE = ("GET", "HEAD", "OPTIONS")
METHODS = (*SAFE, "POST", "PUT", "PATCH", "DELETE")
UNGUARDED = ("/hooks/", "/sandbox/api/", "/v1/", "/unsubscribe/")
"""Called by machines, which prove themselves by a signature, a bearer token or a secret in the address."""

PUBLIC = ("/static/", "/health/", "/status", *UNGUARDED)
"""The same for everybody: nobody is looked up, and no visitor gets a cookie."""
QUIET = ("/static/", "/health/")
"""Too many of them to trace, and nothing to see."""
REQUEST_NAME = re.compile(r"(?!telegram-)[A-Za-z0-9-]{8,64}")
"""What a caller may name a request. The bot's are named by us alone."""

TITLES = {
    400: "That did not work",
    402: "A plan is needed",
    403: "Not from here",
    404: "Nothing hangs here",
    405: "Not like that",
    409: "That has changed meanwhile",
    410: "This link is spent",
    413: "That is too large",
    422: "That does not fit",
    429: "A little slower",
    503: "One moment",
}


def fixed_headers(app: web.Application) -> dict[str, str]:
    """What every answer has, unless its handler knows better."""
    headers = HEADERS | {"Cache-Control": "no-store", "X-Request-Id": "-", "Vary": "HX-Request"}
    if app[CONFIG].is_https:
        headers["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"
    return headers


async def put_headers(request: web.Request, response: web.StreamResponse) -> None:
    """On every answer, errors and redirects included."""
    if request_id := request.get(REQUEST_ID):
        response.headers.setdefault("X-Request-Id", request_id)
    for name, value in request.get(MORE_HEADERS, {}).items():
        response.headers.setdefault(name, value)
    for name, value in fixed_headers(request.app).items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = "limner"


@web.middleware
async def name_request(request: web.Request, handler: Handler) -> web.StreamResponse:
    """An id for the log and the error page, the caller's own if it is one, and the address it came from."""
    request[REQUEST_ID] = _request_id(request)
    request[ADDRESS] = _address(request)
    began = time.monotonic()
    with following(request[REQUEST_ID]), _span(request) as span:
        response = await handler(request)
        seconds = time.monotonic() - began
        _count(request, response, seconds)
        span.note({"http.response.status_code": response.status})
        if response.status >= 500:
            span.failed(str(response.status))
        _log(request, response, seconds)
        return response


def _request_id(request: web.Request) -> str:
    """What the caller named it, so that a proxy's log and ours agree; anything but a plain name is replaced."""
    sent = request.headers.getall("X-Request-Id", [])
    return sent[0] if len(sent) == 1 and REQUEST_NAME.fullmatch(sent[0]) else secrets.token_hex(8)


def _span(request: web.Request) -> AbstractContextManager[tracing.Span]:
    if request.path.startswith(QUIET):
        return tracing.UNTRACED
    method, route = _what(request)
    about = {"http.request.method": method, "http.route": route, "limner.request": request[REQUEST_ID]}
    return tracing.span(f"{method} {route}", "server", about)


def _log(request: web.Request, response: web.StreamResponse, seconds: float) -> None:
    """What may change something is worth a line."""
    say = log.debug if request.method in SAFE else log.info
    say("answered", method=request.method, path=_loggable(request), status=response.status, ms=round(seconds * 1000))


def _loggable(request: web.Request) -> str:
    """The path; of a link from a mail its pattern alone: whoever reads the log must not be able to use it."""
    return _what(request)[1] if "secret" in request.match_info else request.path


def _what(request: web.Request) -> tuple[str, str]:
    """Method and route. By the route's pattern: a path would make a series of each picture."""
    resource = request.match_info.route.resource
    return request.method if request.method in METHODS else "other", "none" if resource is None else resource.canonical


def _count(request: web.Request, response: web.StreamResponse, seconds: float) -> None:
    method, route = _what(request)
    metrics.ANSWERS.labels(method, route, response.status).inc()
    if response.content_type != "text/event-stream":
        metrics.ANSWER_SECONDS.labels(route).observe(seconds)


def _address(request: web.Request) -> str:
    peer = request.remote or ""
    try:
        trusted = any(ipaddress.ip_address(peer) in network for network in request.app[CONFIG].trusted_proxies)
    except ValueError:
        return peer
    if not trusted:
        return peer
    last = ",".join(request.headers.getall("X-Forwarded-For", [])).rpartition(",")[2].strip()
    try:
        return str(ipaddress.ip_address(last))
    except ValueError:
        return peer


@web.middleware
async def show_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every error as a page in plain words, without internals. The one broad except beside the supervisor's."""
    try:
        return await handler(request)
    except SignInNeeded:
        if request.method in SAFE and "HX-Request" not in request.headers:
            return pages.see_other(f"/login?next={quote(request.path_qs, safe='', errors='replace')}")
        return _error(request, 401, "Please log in first.")
    except TooMany as error:
        response = _error(request, 429, str(error), error)
        response.headers["Retry-After"] = str(max(1, round(error.after)))
        return response
    except Refused as error:
        return _error(request, error.status, str(error), error)
    except web.HTTPException as error:
        return _error(request, error.status, _words(error), error, allow=error.headers.get("Allow"))
    except (Busy, *TROUBLE) as error:
        log.warning("not_answered", path=_loggable(request), error=str(error) or type(error).__name__)
        response = _error(
            request, 503, "Something behind this page does not answer just now. Nothing was lost or charged."
        )
        response.headers["Retry-After"] = "2"
        return response
    except (ConnectionResetError, LimnerError) as error:
        log.error("request_failed", path=_loggable(request), error=str(error))
        return _error(request, 500, "This did not work because of us. Nothing was charged.")
    except Exception:
        log.exception("request_crashed", method=request.method, path=_loggable(request))
        return _error(request, 500, "This did not work because of us. Nothing was charged.")


def _words(error: web.HTTPException) -> str:
    match error.status:
        case 404:
            return "There is nothing here, or it is not yours."
        case 405:
            return "This address does not take that method."
        case 413:
            return "What you sent is larger than this place takes."
        case _:
            return error.reason or "The request could not be understood."


def _error(
    request: web.Request, status: int, words: str, why: BaseException | None = None, *, allow: str | None = None
) -> web.StreamResponse:
    title = why.title if isinstance(why, Refused) else ""
    title = title or TITLES.get(status, "Something broke" if status >= 500 else "That did not work")
    if errors.is_of_api(request.path):
        response: web.StreamResponse = errors.answer(errors.as_api(request, status, words, why))
    elif _wants_json(request):
        body = {"error": {"message": words, "status": status, "request_id": request.get(REQUEST_ID)}}
        response = web.json_response(body, status=status)
    else:
        response = pages.render_error(request, status, title, words)
    if allow:
        response.headers["Allow"] = allow
    return response


def _wants_json(request: web.Request) -> bool:
    return request.path.startswith(("/hooks/", "/sandbox/api/", "/health/")) or (
        "application/json" in request.headers.get("Accept", "") and "text/html" not in request.headers.get("Accept", "")
    )


def cookie_name(request: web.Request) -> str:
    return "__Host-session" if request.app[CONFIG].is_https else "session"


def visitor_cookie_name(request: web.Request) -> str:
    return "__Host-visitor" if request.app[CONFIG].is_https else "visitor"


@web.middleware
async def find_session(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Who is looking. A cookie that does not fit is nobody, never an error."""
    if request.path.startswith(PUBLIC):
        return await handler(request)
    token = request.cookies.get(cookie_name(request), "")
    if token and len(token) <= 100 and token.isascii():
        session = await sessions.find(request.app[DB], token)
        if session is not None:
            request[SESSION], request[TOKEN] = session, token
            request[ANCHOR] = token if session.look is None else f"{token} {session.look.visit_id}"
            return await handler(request)
    visitor = request.cookies.get(visitor_cookie_name(request), "")
    is_new = not (20 <= len(visitor) <= 100)
    request[ANCHOR] = visitor = secrets.token_urlsafe(24) if is_new else visitor
    response = await handler(request)
    if is_new and not response.prepared:
        response.set_cookie(
            visitor_cookie_name(request),
            visitor,
            httponly=True,
            samesite="Lax",
            secure=request.app[CONFIG].is_https,
            path="/",
        )
    return response


@web.middleware
async def guard_unsafe(request: web.Request, handler: Handler) -> web.StreamResponse:
    """No change without our own form's token, from our own pages."""
    if request.method in SAFE or request.path.startswith(UNGUARDED) or request.match_info.http_exception is not None:
        return await handler(request)
    if not _from_here(request):
        raise web.HTTPForbidden(reason="This form was sent from another site.")
    if session_of(request) is not None:
        request = request.clone(client_max_size=forms.LARGEST_UPLOAD)
    sent = request.headers.get("X-CSRF-Token") or await _sent_token(request)
    if not csrf_holds(request, sent):
        raise web.HTTPForbidden(reason="This form is out of date. Please go back, reload the page and send it again.")
    return await handler(request)


async def _sent_token(request: web.Request) -> str:
    """The token of the form that was sent; another site can send text/plain without asking, so that has none."""
    if request.content_type not in forms.TYPES:
        return ""
    return forms.text(await forms.read(request), "csrf", most=200)


def _from_here(request: web.Request) -> bool:
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("Origin")
    if origin is None or origin == request.app[CONFIG].public_url:
        return True
    return request.app[CONFIG].env == "development" and origin.partition("://")[2] == request.host
