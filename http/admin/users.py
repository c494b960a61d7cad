"""Users: find, see, grant, ban."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from aiohttp import web

from limner.http import forms, pages, sure
from limner.http.admin import filters, lists
from limner.http.admin.lists import Asked, Found
from limner.http.state import CONFIG, DB, about, address_of, fresh, path_id, session_of, staff
from limner.runtime import amounts
from limner.runtime.database import Database, Transaction
from limner.runtime.errors import Refused
from limner.sql import (
    accounts,
    confirmations,
    erasure,
    favours,
    invoices,
    ledger,
    pauses,
    people,
    plans,
    renewals,
    roles,
    subscriptions,
    visits,
)
from limner.sql.accounts import Account
from limner.sql.people import Person

BANNED = "They are logged out everywhere at once and cannot paint. Nothing is deleted."
STEERING = {"pause": pauses.pause, "resume": pauses.resume}


async def _filters(db: Database) -> Sequence[filters.Filter]:
    return (
        filters.Words("E-mail or id"),
        filters.Choice("state", "State", people.STATES, {"active": "active plan", "unconfirmed": "not confirmed"}),
        filters.Choice("role", "Role", accounts.ROLES),
        filters.Choice("plan", "Plan", [each["code"] for each in await plans.listing(db)]),
        filters.SINCE,
        filters.UNTIL,
        filters.Choice(
            "sort",
            "Sort",
            people.SORTS,
            {"newest": "newest first", "oldest": "oldest first", "email": "by e-mail"},
            sort=True,
        ),
    )


async def _fetch(db: Database, asked: Asked, count: int) -> Found[Person]:
    text, id = lists.id_or_words(asked["q"])
    sought = people.Sought(text, id, asked["role"], asked["state"], asked["plan"], asked.since, asked.until)
    if asked["sort"] == "email":
        found = await people.by_email(db, sought, asked.place, count + 1)
        return lists.cut(found, count, lambda person: person.email_key)
    read = people.oldest if asked["sort"] == "oldest" else people.newest
    return lists.cut(await read(db, sought, asked.moment, count + 1), count, lists.by_time)


def _cells(person: Person) -> Sequence[object]:
    state = "deleted" if person.deleted_at else "banned" if person.banned_at else person.state
    return (
        person.id, person.email, person.role, state, person.plan, person.period_end, person.available, person.held,
        person.spent, person.verified_at, person.locale, person.created_at,
    )  # fmt: skip


LIST = lists.List(
    "/admin/users", _filters, _fetch,
    ("id", "e-mail", "role", "state", "plan", "plan until (UTC)", "available", "held", "spent", "confirmed (UTC)", "language",
     "since (UTC)"),
    _cells,
)  # fmt: skip


async def show_list(request: web.Request) -> web.Response:
    staff(request)
    return pages.render(request, "admin/users.html", list=await LIST.show(request))


async def show(request: web.Request) -> web.Response:
    staff(request)
    return await _page(request, await accounts.get(request.app[DB], path_id(request)))


async def grant(request: web.Request) -> web.StreamResponse:
    fresh(request)
    account, form = await accounts.get(request.app[DB], path_id(request)), await forms.read(request)
    try:
        if account.deleted_at:
            raise Refused("This account is deleted: nobody is there any more to give anything to.", field="form")
        credits = forms.whole(form, "credits", least=-favours.MOST_CREDITS, most=favours.MOST_CREDITS)
        async with sure.once(request, form) as tx:
            there = (await ledger.locked(tx, account.id)).available
            reason = sure.asked(
                form,
                f"{'Give' if credits > 0 else 'Take'} {amounts.counted(abs(credits), 'credit')}",
                {"credits available": there},
                {"credits available": there + credits},
                effect=f"{account.email} reads the reason on the statement.",
                back=f"/admin/users/{account.id}",
                grave=credits < 0,
            )
            await favours.give(tx, account, credits, reason, **about(request))
    except Refused as why:
        return await _page(request, account, why if why.field else Refused(str(why), field="credits"))
    return pages.see_other(f"/admin/users/{account.id}", "saved")


async def ban(request: web.Request) -> web.StreamResponse:
    fresh(request)
    account, form = await accounts.get(request.app[DB], path_id(request)), await forms.read(request)
    try:
        is_ban = bool(forms.whole(form, "banned", least=0, most=1))
        reason = sure.asked(
            form,
            f"{'Ban' if is_ban else 'Lift the ban of'} {account.email}",
            {"banned": account.banned_at is not None},
            {"banned": is_ban},
            effect=BANNED if is_ban else "They may log in and paint again.",
            back=f"/admin/users/{account.id}",
            grave=is_ban,
        )
        act = accounts.ban if is_ban else accounts.unban
        async with sure.once(request, form) as tx:
            await act(tx, account, reason, **about(request))
    except Refused as why:
        return await _page(request, account, pages.in_general(why))
    return pages.see_other(f"/admin/users/{account.id}", "saved")


async def verify(request: web.Request) -> web.StreamResponse:
    """The address is theirs: somebody who knows says so."""
    fresh(request)
    account, form = await accounts.get(request.app[DB], path_id(request)), await forms.read(request)
    try:
        reason = sure.asked(
            form,
            f"Confirm the address {account.email}",
            {"address confirmed": account.verified_at is not None},
            {"address confirmed": True},
            back=f"/admin/users/{account.id}",
        )
        async with sure.once(request, form) as tx:
            await confirmations.verify_by_hand(tx, account, reason, **about(request))
    except Refused as why:
        return await _page(request, account, pages.in_general(why))
    return pages.see_other(f"/admin/users/{account.id}", "saved")


async def delete(request: web.Request) -> web.StreamResponse:
    fresh(request)
    account, form = await accounts.get(request.app[DB], path_id(request)), await forms.read(request)
    try:
        reason = forms.text(form, "why", most=200, needed=True, label="The reason")
        if forms.text(form, "confirmation", most=254).lower() != account.email.lower():
            raise Refused(f"Please type {account.email} here, to be sure.", field="confirmation")
        await erasure.erase(request.app[DB], account.id, why=reason, **about(request))
    except Refused as why:
        return await _page(request, account, why)
    return pages.see_other(f"/admin/users/{account.id}", "saved")


async def set_role(request: web.Request) -> web.StreamResponse:
    """Another role. Who is to be an admin is typed out on a page of its own, to be sure."""
    admin = fresh(request)
    account, form = await accounts.get(request.app[DB], path_id(request)), await forms.read(request)
    try:
        role = forms.text(form, "role", most=20, needed=True)
        await roles.check(request.app[DB], account, role, by=admin)
        if role == "admin":
            page = _promotion(request, form, account)
            if page is not None:
                return page
            reason = forms.text(form, "role_reason", most=200)
        else:
            effect = "They are logged out everywhere, and log in anew."
            was, will, back = {"role": account.role}, {"role": role}, f"/admin/users/{account.id}"
            reason = sure.asked(form, f"Make {account.email} a {role}", was, will, effect=effect, back=back)
        async with sure.once(request, form) as tx:
            await roles.change(tx, account, role, reason, by=admin, ip=address_of(request))
    except Refused as why:
        return await _page(request, account, why)
    return pages.see_other(f"/admin/users/{account.id}", "saved")


def _promotion(request: web.Request, form: forms.Form, account: Account) -> web.Response | None:
    """The page on which the address is typed out; None when it was. Raises Refused for a reason that cannot be."""
    why = None
    if "confirmation" in form:
        try:
            forms.text(form, "role_reason", most=200, needed=True, label="The reason")
            if forms.text(form, "confirmation", most=254).lower() == account.email.lower():
                return None
            why = Refused(f"Please type {account.email} here, to be sure.", field="confirmation")
        except Refused as wrong:
            why = wrong
    reason = forms.kept(form, "role_reason")["role_reason"]
    return pages.render(request, "admin/promotion.html", why, account=account, reason=reason)


async def reset_link(request: web.Request) -> web.StreamResponse:
    """A link for a new password: by mail, or shown here, once, where no mails are sent."""
    fresh(request)
    account, form = await accounts.get(request.app[DB], path_id(request)), await forms.read(request)
    config = request.app[CONFIG]
    try:
        reason = sure.asked(
            form,
            f"{'Mail' if config.smtp_host else 'Make'} a link for {account.email}",
            effect="Whoever has it chooses a new password. An older one ends.",
            back=f"/admin/users/{account.id}",
        )
        async with sure.once(request, form) as tx:
            link = await favours.reset_link(tx, account, config, reason=reason, **about(request))
    except Refused as why:
        return await _page(request, account, pages.in_general(why))
    if link is None:
        return pages.see_other(f"/admin/users/{account.id}", "mailed")
    return await _page(request, account, link=link)


async def visit(request: web.Request) -> web.StreamResponse:
    """See the studio as they do, and change nothing (http/looking.py)."""
    admin, session = fresh(request), session_of(request)
    account, form = await accounts.get(request.app[DB], path_id(request)), await forms.read(request)
    assert session is not None
    try:
        reason = forms.text(form, "visit_reason", most=200, needed=True, label="The reason")
        await visits.begin(request.app[DB], session.id, admin, account, reason, ip=address_of(request))
    except Refused as why:
        return await _page(request, account, why)
    return pages.see_other("/dashboard")


async def steer(request: web.Request) -> web.StreamResponse:
    """Pause a subscription, let it go on, or give it days."""
    fresh(request)
    account, form = await accounts.get(request.app[DB], path_id(request)), await forms.read(request)
    try:
        act = forms.text(form, "act", most=10)
        async with sure.once(request, form) as tx:
            if act == "extend":
                days = forms.whole(form, "days", least=1, most=pauses.MOST_DAYS)
                reason = await _meant(tx, form, account, f"Add {days} days for nothing", days=days)
                await pauses.extend(tx, account.id, days, reason, **about(request))
            elif act in STEERING:
                reason = await _meant(tx, form, account, f"{act.capitalize()} the subscription", paused=act == "pause")
                await STEERING[act](tx, account.id, reason, **about(request))
            else:
                raise Refused(f"A subscription is paused, resumed or extended, not {act!r}.", field="act")
    except Refused as why:
        return await _page(request, account, pages.in_general(why))
    return pages.see_other(f"/admin/users/{account.id}", "saved")


async def _meant(
    tx: Transaction, form: forms.Form, account: Account, act: str, *, days: int = 0, paused: bool | None = None
) -> str:
    """Why the subscription is steered so."""
    await subscriptions.locked(tx, account.id)
    now = await subscriptions.latest(tx, account.id)
    was: dict[str, object] = {}
    will: dict[str, object] = {}
    if now is not None and now.period_end is not None and days:
        was, will = {"until": _day(now.period_end)}, {"until": _day(now.period_end + timedelta(days=days))}
    elif now is not None and paused is not None:
        was, will = {"paused": now.paused_at is not None}, {"paused": paused}
    effect, back = f"It is about the subscription of {account.email}.", f"/admin/users/{account.id}"
    return sure.asked(form, act, was, will, effect=effect, back=back, grave=bool(paused))


def _day(moment: datetime) -> str:
    return f"{moment:%-d %b %Y, %H:%M UTC}"


async def _page(request: web.Request, account: Account, why: Refused | None = None, *, link: str = "") -> web.Response:
    db = request.app[DB]
    return pages.render(
        request,
        "admin/user.html",
        why,
        account=account,
        link=link,
        sends=request.app[CONFIG].smtp_host is not None,
        roles=accounts.ROLES,
        minutes=visits.MINUTES,
        subscription=await subscriptions.latest(db, account.id),
        waiting=await renewals.waiting(db, account.id),
        balance=await ledger.balance(db, account.id),
        entries=await ledger.entries(db, account.id, 50),
        invoices=await invoices.of_account(db, account.id, 20),
    )
