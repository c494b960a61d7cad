"""Sessions: who is signed in, where, since when; and how they are ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aiohttp import web

from limner.http import pages
from limner.http.admin import bulk, filters, lists
from limner.http.admin.lists import Asked, Found
from limner.http.state import DB, fresh, path_id, session_of, staff
from limner.runtime.database import Database
from limner.sql import accounts, favours, sessions
from limner.sql.sessions import Somebodys

FILTERS = (
    filters.Words("E-mail or address"),
    filters.Choice("role", "Role", accounts.ROLES),
    filters.Name("user", "User"),
    filters.SINCE,
    filters.UNTIL,
)


async def _fetch(db: Database, asked: Asked, count: int) -> Found[Somebodys]:
    sought = sessions.Sought(asked["q"], asked.id("user"), asked["role"], asked.since, asked.until)
    return lists.cut(await sessions.listing(db, sought, asked.moment, count + 1), count, lists.by_time)


def _cells(each: Somebodys) -> Sequence[object]:
    return each.email, each.role, each.ip, each.agent, each.created_at, each.seen_at


LIST = lists.List(
    "/admin/sessions", FILTERS, _fetch, ("e-mail", "role", "address", "browser", "since (UTC)", "seen (UTC)"), _cells
)


async def show_list(request: web.Request) -> web.Response:
    staff(request)
    session = session_of(request)
    return pages.render(request, "admin/sessions.html", list=await LIST.show(request), own=session and session.id)


async def show(request: web.Request) -> web.Response:
    """Ended on the same page as many are: that one asks for the reason."""
    staff(request)
    found, own = await sessions.get(request.app[DB], path_id(request)), session_of(request)
    return pages.render(request, "admin/session.html", session=found, own=own and own.id)


async def end(request: web.Request) -> web.StreamResponse:
    """Those that were ticked, or all of one account."""
    fresh(request)
    return await bulk.do(request, ACTS, "/admin/sessions", _names)


async def _end(request: web.Request, chosen: str, reason: str, actor: str, ip: str) -> None:
    await sessions.end_for(request.app[DB], bulk.as_id(chosen), reason, actor=actor, ip=ip)


async def _end_all(request: web.Request, chosen: str, reason: str, actor: str, ip: str) -> None:
    account = await accounts.get(request.app[DB], bulk.as_id(chosen))
    await favours.log_out(request.app[DB], account, reason, actor=actor, ip=ip)


async def _names(request: web.Request, chosen: list[str]) -> Mapping[str, str]:
    return await sessions.names(request.app[DB], [bulk.as_id(each) for each in chosen])


ACTS = {
    "end": bulk.Act("End", "Whoever is signed in there has to log in again.", _end),
    "end_all": bulk.Act("End all of", "They are signed out on every device, and have to log in again.", _end_all),
}
