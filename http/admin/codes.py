"""Codes: make, batch, stop, and see who used which."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

from aiohttp import web

from limner.http import forms, pages, sheets, sure
from limner.http.admin import bulk, filters, lists
from limner.http.admin.lists import Asked, Found
from limner.http.state import CONFIG, DB, about, fresh, path_id, staff
from limner.runtime import amounts
from limner.runtime.database import Database
from limner.runtime.errors import NotFound, Refused
from limner.sql import codes, gifts, plans, redemptions
from limner.sql.assents import DoneAlready
from limner.sql.codes import Code, Promo
from limner.sql.gifts import Batch
from limner.sql.plans import Plan

KINDS = ("promo", "gift")
TYPED = (
    "word", "gives", "quantity", "currency", "plan", "most_uses", "most_per_account", "ends_at", "note", "first_order_only",
    "count", "gift_plan", "credits", "gift_ends_at", "gift_note",
)  # fmt: skip


FILTERS = (
    filters.Words("Code, note or who made it"),
    filters.Choice("kind", "Kind", KINDS),
    filters.Choice("state", "State", codes.STATES),
    filters.SINCE,
    filters.UNTIL,
)


async def _fetch(db: Database, asked: Asked, count: int) -> Found[Code]:
    sought = codes.Sought(asked["kind"], asked["q"], asked["state"], asked.since, asked.until)
    return lists.cut(await codes.look_through(db, sought, asked.moment, count + 1), count, lists.by_time)


def _cells(code: Code) -> Sequence[object]:
    uses = (code.uses, code.most_uses, code.most_per_account)
    return (
        code.id,
        code.shown,
        code.kind,
        code.promise,
        code.state,
        *uses,
        code.ends_at,
        code.note,
        code.made_by,
        code.created_at,
    )


# Of a gift the last four characters: the rest is nowhere.
LIST = lists.List(
    "/admin/codes", FILTERS, _fetch,
    ("id", "code", "kind", "gives", "state", "uses", "most uses", "most of one account", "until (UTC)", "note", "made by",
     "made (UTC)"),
    _cells,
)  # fmt: skip


async def show_list(request: web.Request) -> web.Response:
    staff(request)
    return await _list(request)


async def act_on_many(request: web.Request) -> web.StreamResponse:
    fresh(request)
    return await bulk.do(request, ACTS, "/admin/codes", _names)


async def _stop_one(request: web.Request, chosen: str, reason: str, actor: str, ip: str) -> None:
    code = await codes.get(request.app[DB], bulk.as_id(chosen))
    if code.stopped_at is not None:
        raise Refused("It is stopped already.")
    await codes.stop(request.app[DB], code, reason, actor=actor, ip=ip)


async def _names(request: web.Request, chosen: list[str]) -> Mapping[str, str]:
    found = {}
    for each in chosen:
        with contextlib.suppress(NotFound):
            found[each] = (await codes.get(request.app[DB], bulk.as_id(each))).shown
    return found


ACTS = {"stop": bulk.Act("Stop", "Nobody can use them any more. Invoices that were made with them hold.", _stop_one)}


async def create(request: web.Request) -> web.StreamResponse:
    fresh(request)
    form = await forms.read(request)
    try:
        promo = await _promo(request, form)
        promo.check()
        reason = sure.asked(form, f"Make the code {promo.word}", {}, _said(promo), back="/admin/codes")
        async with sure.once(request, form) as tx:
            code = await codes.create(tx, promo, reason=reason, **about(request))
    except Refused as why:
        return await _list(request, why, forms.kept(form, *TYPED))
    return pages.see_other(f"/admin/codes/{code.id}", "saved")


async def make_batch(request: web.Request) -> web.Response:
    """The answer is the file with the codes in it: nowhere else are they ever told. The same yes gets the same file."""
    fresh(request)
    form = await forms.read(request)
    try:
        batch = await _batch(request, form)
        reason = sure.asked(
            form,
            f"Make {amounts.counted(batch.count, 'gift')}",
            {},
            {"each gives": _worth(batch), "until": batch.ends_at and f"{batch.ends_at:%Y-%m-%d}", "note": batch.note},
            effect="They are money. The file that comes is the only place where they stand.",
            back="/admin/codes",
        )
        made = await _made(request, form, batch, reason)
    except Refused as why:
        return await _list(request, why, forms.kept(form, *TYPED))
    return _as_csv(made, batch)


async def _made(request: web.Request, form: forms.Form, batch: Batch, reason: str) -> list[str]:
    """Raises DoneAlready for a yes of before whose codes cannot be told again."""
    yes, keys = sure.number(form), request.app[CONFIG].secret_keys
    try:
        async with sure.once(request, form) as tx:
            return await gifts.make(tx, batch, reason=reason, yes=(yes, keys[0]), **about(request))
    except DoneAlready:
        if (made := await gifts.made_after(request.app[DB], yes, batch.count, keys)) is None:
            raise
        return made


async def show(request: web.Request) -> web.Response:
    staff(request)
    return await _detail(request)


async def stop(request: web.Request) -> web.StreamResponse:
    fresh(request)
    code, form = await codes.get(request.app[DB], path_id(request)), await forms.read(request)
    try:
        reason = sure.asked(
            form,
            f"Stop the code {code.shown}",
            {"state": code.state},
            {"state": "stopped"},
            effect="Nobody can use it any more. Invoices that were made with it hold.",
            back=f"/admin/codes/{code.id}",
            grave=True,
        )
        async with sure.once(request, form) as tx:
            await codes.stop(tx, code, reason, **about(request))
    except Refused as why:
        return await _detail(request, why)
    return pages.see_other(f"/admin/codes/{code.id}", "saved")


async def _promo(request: web.Request, form: forms.Form) -> Promo:
    """What the form says. An amount is typed as money, 5.00, and kept in cents."""
    gives = forms.text(form, "gives", most=10, needed=True)
    if gives not in codes.PROMISES:
        raise Refused(f"A code gives {', '.join(codes.PROMISES)}, not {gives!r}.", field="gives")
    plan = await _plan(request, form, "plan")
    return Promo(
        word=forms.text(form, "word", most=2 * codes.LONGEST, needed=True, label="The code"),
        gives=gives,
        quantity=forms.cents(form, "quantity", like="5 or 4.99")
        if gives == "amount"
        else forms.whole(form, "quantity", least=1, most=100_000),
        plans=(plan,) if plan else (),
        currency=(forms.text(form, "currency", most=5) or "USD").upper(),
        first_order_only=bool(forms.text(form, "first_order_only", most=5)),
        most_uses=forms.whole(form, "most_uses", least=0, most=10**9, default=0) or None,
        most_per_account=forms.whole(form, "most_per_account", least=1, most=1000, default=1),
        ends_at=forms.end_of_day(forms.text(form, "ends_at", most=20), "ends_at"),
        note=forms.text(form, "note", most=200),
    )


async def _batch(request: web.Request, form: forms.Form) -> Batch:
    plan = await _plan(request, form, "gift_plan")
    return Batch(
        count=forms.whole(form, "count", least=1, most=gifts.MOST_AT_ONCE),
        plan=plan,
        credits=0 if plan else forms.whole(form, "credits", least=1, most=100_000),
        ends_at=forms.end_of_day(forms.text(form, "gift_ends_at", most=20), "gift_ends_at"),
        note=forms.text(form, "gift_note", most=200),
    )


async def _plan(request: web.Request, form: forms.Form, field: str) -> Plan | None:
    wanted = forms.text(form, field, most=40)
    found = next((plan for plan in await plans.on_sale(request.app[DB]) if plan.code == wanted), None)
    if wanted and found is None:
        raise Refused(f"There is no plan {wanted!r} on sale.", field=field)
    return found


def _worth(batch: Batch) -> str:
    return batch.plan.name if batch.plan else amounts.counted(batch.credits, "credit")


def _said(promo: Promo) -> dict[str, object]:
    """As the page that asks once more shows it."""
    amount = amounts.said(promo.quantity, promo.currency)
    return {
        "gives": {"percent": f"{promo.quantity} % off", "amount": f"{amount} off"}.get(
            promo.gives, f"{promo.quantity} more {promo.gives}"
        ),
        "for": [plan.name for plan in promo.plans] or "any plan",
        "uses in all": promo.most_uses or "any number",
        "uses by one account": promo.most_per_account,
        "first order only": promo.first_order_only,
        "until": promo.ends_at and f"{promo.ends_at:%Y-%m-%d}",
        "note": promo.note,
    }


def _as_csv(made: list[str], batch: Batch) -> web.Response:
    what = _worth(batch)
    until = batch.ends_at.date().isoformat() if batch.ends_at else ""
    rows = [("code", "gives", "until"), *((code, what, until) for code in made)]
    headers = {"Content-Disposition": 'attachment; filename="gifts.csv"', "Cache-Control": "no-store"}
    return web.Response(body=b"".join(map(sheets.row, rows)), content_type="text/csv", charset="utf-8", headers=headers)


async def _list(request: web.Request, why: Refused | None = None, form: dict[str, str] | None = None) -> web.Response:
    on_sale = await plans.on_sale(request.app[DB])
    about_all = {"list": await LIST.show(request), "plans": on_sale, "promises": codes.PROMISES}
    return pages.render(request, "admin/codes.html", why, form=form or {}, **about_all)


async def _detail(request: web.Request, why: Refused | None = None) -> web.Response:
    db = request.app[DB]
    code = await codes.get(db, path_id(request))
    of_plans = [await plans.get(db, plan_id) for plan_id in code.plan_ids or (code.plan_id,) if plan_id]
    uses = await redemptions.of_code(db, code.id)
    return pages.render(request, "admin/code.html", why, code=code, uses=uses, plans=of_plans)
