"""What every page has: its templates, its globals, and how a handler answers with one."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import aiohttp_jinja2
import jinja2
from aiohttp import web
from markupsafe import Markup

from limner.http.state import CONFIG, REQUEST_ID, csrf_token, file_of, look_of, notice_of, viewer_of
from limner.runtime import amounts
from limner.runtime.errors import NotFound, Refused, TooMany
from limner.runtime.spans import duration
from limner.sql.accounts import Account

HERE = Path(__file__).parent
STATIC = HERE / "static"


class Fields(dict[str, Any]):
    """The fields of a form, or what is wrong with them: one that is not there is empty. All else must be there."""

    def __missing__(self, name: str) -> str:
        return ""


class Site:
    """What pages say of the place itself."""

    name = "Limner"

    def __init__(self, public_url: str, sharing: str) -> None:
        self.public_url = public_url
        self.has_links = sharing != "off"
        self.has_wall = sharing == "wall"


def set_up(app: web.Application) -> None:
    """Give the application its templates."""
    environment = aiohttp_jinja2.setup(
        app,
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=app[CONFIG].env == "development",
    )
    environment.globals |= {
        "asset": asset,
        "site": Site(app[CONFIG].public_url, app[CONFIG].sharing),
    }
    environment.filters |= {
        "ago": ago,
        "money": amounts.said,
        "dollars": amounts.said_micros,
        "rounded": amounts.rounded_micros,
        "size": size,
        "count": count,
        "lasts": duration,
    }


def in_general(why: Refused) -> Refused:
    """The same refusal, said above a page of many forms that have such a field each."""
    if isinstance(why, NotFound):
        return why
    general = Refused(str(why), code=why.code)
    general.status = why.status
    return general


def render(request: web.Request, template: str, why: Refused | None = None, **context: Any) -> web.Response:
    """The page, in the light of who is looking; with ``why``, as the answer to a form that was refused.

    Raises NotFound when that is why: no form can answer for what is not there.
    """
    if isinstance(why, NotFound):
        raise why
    context["errors"] = Fields({} if why is None else {why.field or "form": str(why)})
    if "form" in context:
        context["form"] = Fields(context["form"])
    status = 200 if why is None else why.status
    response = _rendered(request, template, context)
    response.set_status(status)
    if isinstance(why, TooMany):
        response.headers["Retry-After"] = str(max(1, round(why.after)))
    return response


def render_error(request: web.Request, status: int, title: str, words: str) -> web.Response:
    """The error page. It needs nothing that could be broken itself."""
    context = {"status": status, "title": title, "words": words, "request_id": request.get(REQUEST_ID)}
    response = _rendered(request, "error.html", context)
    response.set_status(status)
    return response


def _rendered(request: web.Request, template: str, context: dict[str, Any]) -> web.Response:
    response = aiohttp_jinja2.render_template(template, request, _about(request) | context)
    response.headers["Cache-Control"] = "no-store"
    if "notice" in request.cookies:
        response.del_cookie("notice", path="/")
    return response


def fragment(app: web.Application, template: str, viewer: Account, csrf: str, here: str, **context: Any) -> str:
    """A part of a page for somebody's event stream, rendered as the page renders it."""
    about = {"viewer": viewer, "csrf": csrf, "here": here, "notice": None, "look": None, "now": datetime.now(UTC)}
    return aiohttp_jinja2.get_env(app).get_template(template).render(about | context)


def _about(request: web.Request) -> dict[str, Any]:
    return {
        "viewer": viewer_of(request),
        "csrf": csrf_token(request),
        "here": request.path,
        "notice": notice_of(request),
        "file_url": file_of(request),
        "look": look_of(request),
        "now": datetime.now(UTC),
    }


@lru_cache
def asset(path: str) -> str:
    """The address of a static file, which changes with its content."""
    file = STATIC / path
    if not file.is_file():
        raise LookupError(f"a page names a static file that is not there: {path}")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    return f"/static/{digest}/{path}"


def ago(moment: datetime) -> str:
    seconds = int((datetime.now(UTC) - moment).total_seconds())
    if seconds < 60:
        return "just now"
    for limit, unit, size_ in ((3600, "min", 60), (86400, "h", 3600), (14 * 86400, "days", 86400)):
        if seconds < limit:
            number = seconds // size_
            return f"{number} {'day' if unit == 'days' and number == 1 else unit} ago"
    return moment.strftime("%-d %b %Y")


def size(bytes_: int) -> str:
    amount = float(bytes_)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit != "MB" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


def count(number: int, noun: str = "") -> Markup:
    """12345 as 12 345, with thin spaces; of a ``noun``, as "1 picture" or "2 pictures"."""
    figures = Markup(f"{number:,}".replace(",", "&#8239;"))  # noqa: S704 - digits only
    return figures + f" {amounts.plural(number, noun)}" if noun else figures


def see_other(location: str, notice: str | None = None) -> web.Response:
    """After a form: go and look. ``notice`` names one of the sentences in state.NOTICES, shown once."""
    response = web.Response(status=303, headers={"Location": location, "Cache-Control": "no-store"})
    if notice:
        response.set_cookie("notice", notice, max_age=60, httponly=True, samesite="Lax", path="/")
    return response
