"""Notices: the outbox, mails and Telegram messages alike: what went, what waits, what failed and why."""

from __future__ import annotations

from collections.abc import Sequence

from aiohttp import web

from limner.http import forms, pages, sure
from limner.http.admin import filters, lists
from limner.http.admin.lists import Asked, Found
from limner.http.state import CONFIG, DB, about, admin, fresh, path_number
from limner.runtime.database import Database
from limner.runtime.errors import Refused
from limner.sql import dispatches
from limner.sql.dispatches import Dispatch, Told

FILTERS = (
    filters.Words("To whom, kind or error"),
    filters.Choice("state", "State", dispatches.STATES),
    filters.Choice("channel", "By", dispatches.CHANNELS, {"telegram": "Telegram"}),
    filters.SINCE,
    filters.UNTIL,
)


async def _fetch(db: Database, asked: Asked, count: int) -> Found[Dispatch]:
    sought = dispatches.Sought(asked["q"], asked["channel"], asked["state"], asked.since, asked.until)
    return lists.cut(await dispatches.listing(db, sought, asked.before, count + 1), count, lists.by_number)


def _cells(each: Dispatch) -> Sequence[object]:
    return (
        each.id,
        each.channel,
        each.recipient,
        each.kind,
        each.state,
        each.attempts,
        each.error,
        each.created_at,
        each.ended_at,
    )


LIST = lists.List(
    "/admin/notices", FILTERS, _fetch,
    ("notice", "by", "to", "kind", "state", "tries", "error", "queued (UTC)", "ended (UTC)"), _cells,
)  # fmt: skip


async def show_list(request: web.Request) -> web.Response:
    admin(request)
    return pages.render(request, "admin/notices.html", list=await LIST.show(request))


async def show(request: web.Request) -> web.Response:
    admin(request)
    return await _page(request, await dispatches.get(request.app[DB], path_number(request)))


async def send_again(request: web.Request) -> web.StreamResponse:
    fresh(request)
    told, form = await dispatches.get(request.app[DB], path_number(request)), await forms.read(request)
    try:
        effect = "It goes out as soon as somebody takes it, also when it was given up."
        reason = sure.asked(
            form, f"Send it to {_name(told)} again", _state(told), {"state": "waiting"}, effect=effect, back=_path(told)
        )
        async with sure.once(request, form) as tx:
            await dispatches.send_again(tx, told, reason, **about(request))
    except Refused as why:
        return await _page(request, told, pages.in_general(why))
    return pages.see_other(_path(told), "saved")


async def let_go(request: web.Request) -> web.StreamResponse:
    fresh(request)
    told, form = await dispatches.get(request.app[DB], path_number(request)), await forms.read(request)
    try:
        reason = sure.asked(
            form, f"Never send it to {_name(told)}", _state(told), {"state": "given up"}, back=_path(told), grave=True
        )
        async with sure.once(request, form) as tx:
            await dispatches.let_go(tx, told, reason, **about(request))
    except Refused as why:
        return await _page(request, told, pages.in_general(why))
    return pages.see_other(_path(told), "saved")


def _path(told: Told) -> str:
    return f"/admin/notices/{told.id}"


def _name(told: Told) -> str:
    return told.name or told.recipient


def _state(told: Told) -> dict[str, object]:
    return {"state": f"{told.state}: {told.error}" if told.error else told.state}


async def _page(request: web.Request, told: Told, why: Refused | None = None) -> web.Response:
    config = request.app[CONFIG]
    sends = config.smtp_host is not None if told.channel == "mail" else config.bot_token is not None
    acts = await dispatches.acts(request.app[DB], told)
    return pages.render(request, "admin/notice.html", why, told=told, acts=acts, sends=sends)
