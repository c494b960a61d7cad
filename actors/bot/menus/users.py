"""Users: find somebody, see how they stand, give credits, shut out or let in, sign out, a link for a new password."""

from __future__ import annotations

from typing import Any

from limner.actors.bot.menus.asking import listen, sure
from limner.actors.bot.menus.order_pages import order_page, order_turn
from limner.actors.bot.menus.paging import HEAD, Turn, long, page, short, turn, whole
from limner.actors.bot.menus.screen import PAGE, Button, Screen, pairs
from limner.actors.bot.menus.visit import BOOKKEEPERS, OWNERS, Act, Hearing, Menu, Visit
from limner.runtime.errors import Refused
from limner.sql import accounts, favours, ledger, subscriptions
from limner.sql.accounts import Account
from limner.sql.orders import Sought

MOST_TYPED = 254
GIVEN, TAKEN, BANNED = "Added by the studio", "Taken back by the studio", "Shut out by the studio"
"""What whoever it is about reads of it: who it was stands in the audit alone."""


async def press(visit: Visit, args: list[str]) -> Screen:
    """users, users:find, users:see:ID, users:orders:ID, users:(all|hits|orders:ID):WAY:ROW,
    users:grant:ID, users:(ban|unban|logout|reset):ID.
    """
    match args:
        case []:
            return await _list(visit)
        case ["all", way, row]:
            return await _list(visit, await _turn(visit, way, row))
        case ["hits", way, row, *search]:
            return await _list(visit, await _turn(visit, way, row), ":".join(search))
        case ["find"]:
            return await listen(visit, "users.find", {}, visit.say("users.ask_find"), back="users")
        case ["see", account_id]:
            return await _one(visit, await _find(visit, account_id))
        case ["orders", account_id]:
            return await _orders(visit, await _find(visit, account_id))
        case ["orders", account_id, way, row]:
            return await _orders(visit, await _find(visit, str(long(account_id))), await order_turn(visit, way, row))
        case ["grant", account_id]:
            return await _ask_grant(visit, await _find(visit, account_id))
        case [("ban" | "unban" | "logout" | "reset") as act, account_id]:
            return await _ask(visit, await _find(visit, account_id), act)
    raise visit.stale()


async def _turn(visit: Visit, way: str, row: str) -> Turn:
    return await turn(visit, way, row, accounts.get, "users.gone")


async def _list(visit: Visit, at: Turn = HEAD, search: str = "") -> Screen:
    found = await page(
        at,
        lambda place, count: whole(accounts.listing(visit.db, search=search, before=place, count=count)),
        lambda place, count: whole(accounts.newer(visit.db, search, place, count)),
    )
    here = "users:hits" if search else "users:all"
    rows = [[Button(_line(visit, each), f"users:see:{each['id']}")] for each in found.rows]
    title = visit.say("users.found", search=search) if search else visit.say("users.title")
    if search and not rows:
        title = visit.say("users.nobody", search=search)
    if found.is_cut(here, search):
        title = visit.say("frame.narrower", text=title, n=PAGE)
    return Screen(title, [*rows, found.arrows(here, search), [visit.button("users.find", "users:find")], visit.back()])


def _line(visit: Visit, row: dict[str, Any]) -> str:
    light = "⚫" if row["deleted_at"] else "⛔" if row["banned_at"] else "🟢" if row["plan"] else "⚪"
    return f"{light} {row['email'][:40]} · {row['available']}"


async def _found(visit: Visit, text: str, what: dict[str, Any]) -> Screen:
    return await _list(visit, HEAD, text.strip()[:MOST_TYPED])


async def _one(visit: Visit, account: Account) -> Screen:
    held = await subscriptions.latest(visit.db, account.id)
    balance = await ledger.balance(visit.db, account.id)
    lines = [visit.say("users.name", email=account.email, role=visit.told(account.role))]
    if account.deleted_at:
        lines.append(visit.say("users.is_deleted"))
    elif account.banned_at:
        lines.append(visit.say("users.is_banned", why=(account.ban_reason or "")[:300]))
    elif account.verified_at is None:
        lines.append(visit.say("users.is_unconfirmed"))
    until = f"{held.period_end:%d.%m.%Y}" if held and held.period_end else "–"
    plan = visit.say("users.no_plan")
    if held:
        plan = visit.say("users.plan", plan=held.plan.name, state=visit.told(held.state), until=until)
    left = visit.say("users.credits", available=balance.available, held=balance.held, spent=balance.spent)
    lines += [plan, left]
    return Screen("\n".join(lines), [*_switches(visit, account), visit.back("users")])


def _switches(visit: Visit, account: Account) -> list[list[Button]]:
    orders = visit.button("users.orders", f"users:orders:{account.id}")
    if not visit.may(OWNERS) or account.deleted_at:
        return [[orders]]
    acts = ["unban"] if account.banned_at else ["grant", "logout", *([] if account.is_admin else ["ban"])]
    acts += [] if account.banned_at or account.role != "user" else ["reset"]
    return pairs([orders, *(visit.button(f"users.{act}", f"users:{act}:{account.id}") for act in acts)])


async def _orders(visit: Visit, account: Account, at: Turn = HEAD) -> Screen:
    found = await order_page(visit, Sought(account=account.id), at)
    rows = [
        [Button(f"{visit.light(each.state)} {each.created_at:%d.%m. %H:%M} · {each.prompt[:30]}", f"generations:see:{each.id}")]
        for each in found.rows
    ]  # fmt: skip
    title = visit.say("users.orders_of" if found.rows else "users.no_orders", email=account.email)
    return Screen(
        title, [*rows, found.arrows(f"users:orders:{short(account.id)}"), visit.back(f"users:see:{account.id}")]
    )


async def _ask_grant(visit: Visit, account: Account) -> Screen:
    visit.insist(OWNERS)
    now = (await ledger.balance(visit.db, account.id)).available
    text = visit.say("users.ask_grant", email=account.email, now=now)
    return await listen(visit, "users.amount", {"account": str(account.id)}, text, back=f"users:see:{account.id}")


async def _amount(visit: Visit, text: str, what: dict[str, Any]) -> Screen:
    """The amount was typed: the second question shows what would be."""
    account = await _find(visit, what["account"])
    credits = _whole(visit, text)
    now = (await ledger.balance(visit.db, account.id)).available
    said = visit.say(
        "users.sure_grant", email=account.email, credits=f"{credits:+d}", now=now, after=now + credits
    )  # fmt: skip
    about = {"account": str(account.id), "credits": credits}
    return await sure(
        visit,
        "users.grant",
        about,
        said,
        back=f"users:see:{account.id}",
        yes=visit.label("users.yes_grant", credits=f"{credits:+d}"),
    )


def _whole(visit: Visit, text: str) -> int:
    digits = text.strip().replace("−", "-").removeprefix("+")
    bare = digits.removeprefix("-")
    if not (bare.isascii() and bare.isdigit() and len(bare) <= 6) or not 0 < int(bare) <= favours.MOST_CREDITS:
        raise Refused(visit.label("users.bad_amount", most=favours.MOST_CREDITS, typed=text[:40]))
    return int(digits)


async def _ask(visit: Visit, account: Account, act: str) -> Screen:
    visit.insist(OWNERS)
    text = visit.say(f"users.sure_{act}", email=account.email)
    yes = visit.label(f"users.yes_{act}")
    return await sure(
        visit, f"users.{act}", {"account": str(account.id)}, text, back=f"users:see:{account.id}", yes=yes
    )


async def _grant(visit: Visit, what: dict[str, Any]) -> Screen:
    account = await _find(visit, what["account"])
    told = GIVEN if what["credits"] > 0 else TAKEN
    await favours.give(visit.db, account, what["credits"], visit.reason, actor=visit.actor, told=told)
    return await _done(visit, account)


async def _ban(visit: Visit, what: dict[str, Any]) -> Screen:
    account = await _find(visit, what["account"])
    await accounts.ban(visit.db, account, visit.reason, actor=visit.actor, told=BANNED)
    return await _done(visit, account)


async def _unban(visit: Visit, what: dict[str, Any]) -> Screen:
    account = await _find(visit, what["account"])
    await accounts.unban(visit.db, account, visit.reason, actor=visit.actor)
    return await _done(visit, account)


async def _log_out(visit: Visit, what: dict[str, Any]) -> Screen:
    account = await _find(visit, what["account"])
    count = await favours.log_out(visit.db, account, visit.reason, actor=visit.actor)
    return (await _one(visit, account)).with_toast(visit.label("users.logged_out", n=count))


async def _reset(visit: Visit, what: dict[str, Any]) -> Screen:
    """The link is shown only where nobody could send it."""
    account = await _find(visit, what["account"])
    link = await favours.reset_link(visit.db, account, visit.config, actor=visit.actor)
    if link is None:
        return (await _one(visit, account)).with_toast(visit.label("users.reset_mailed"))
    return Screen(
        visit.say("users.reset_shown", email=account.email, link=link), [visit.back(f"users:see:{account.id}")]
    )


async def _done(visit: Visit, account: Account) -> Screen:
    return (await _one(visit, await accounts.get(visit.db, account.id))).with_toast(visit.label("frame.done"))


async def _find(visit: Visit, account_id: str) -> Account:
    return await visit.find(account_id, accounts.get, "users.gone")


MENU = Menu(
    "users",
    press,
    looks=BOOKKEEPERS,
    acts={
        "grant": Act(_grant, by=OWNERS),
        "ban": Act(_ban, by=OWNERS),
        "unban": Act(_unban, by=OWNERS),
        "logout": Act(_log_out, by=OWNERS),
        "reset": Act(_reset, by=OWNERS),
    },
    hears={"find": Hearing(_found, by=BOOKKEEPERS), "amount": Hearing(_amount, by=OWNERS)},
)
