"""Crowds: one act on many accounts that were ticked in the list."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from aiohttp import web

from limner.http.admin import bulk
from limner.http.state import DB, fresh
from limner.runtime.errors import NotFound, Refused
from limner.sql import accounts, favours


async def act_on_many(request: web.Request) -> web.StreamResponse:
    fresh(request)
    return await bulk.do(request, ACTS, "/admin/users", _names)


async def _ban(request: web.Request, chosen: str, reason: str, actor: str, ip: str) -> None:
    account = await accounts.get(request.app[DB], bulk.as_id(chosen))
    if account.banned_at is not None or account.deleted_at is not None:
        raise Refused("This account is banned or gone already.")
    await accounts.ban(request.app[DB], account, reason, actor=actor, ip=ip)


async def _log_out(request: web.Request, chosen: str, reason: str, actor: str, ip: str) -> None:
    account = await accounts.get(request.app[DB], bulk.as_id(chosen))
    await favours.log_out(request.app[DB], account, reason, actor=actor, ip=ip)


async def _names(request: web.Request, chosen: list[str]) -> Mapping[str, str]:
    found = {}
    for each in chosen:
        with contextlib.suppress(NotFound):
            found[each] = (await accounts.get(request.app[DB], bulk.as_id(each))).email
    return found


ACTS = {
    "ban": bulk.Act("Ban", "They are logged out everywhere at once and cannot paint. Nothing is deleted.", _ban),
    "log_out": bulk.Act("Sign out", "They are signed out on every device, and have to log in again.", _log_out),
}
