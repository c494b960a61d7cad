"""Payments: what is open, what somebody has to decide about, mark paid, give back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

from limner.actors.bot.menus.asking import listen, sure
from limner.actors.bot.menus.paging import HEAD, Turn, page, turn, whole
from limner.actors.bot.menus.screen import PAGE, Button, Screen, pairs
from limner.actors.bot.menus.visit import BOOKKEEPERS, OWNERS, Act, Hearing, Menu, Visit
from limner.runtime.amounts import said as money
from limner.runtime.errors import Refused
from limner.sql import accounts, billing, doubts, invoices, payments, refundable, refunds, till
from limner.sql.invoices import Invoice, WrongState
from limner.sql.till import Listed

LISTS = {"stuck": "trouble", "open": "pending", "coming": "processing", "list_paid": "paid"}
"""What each list is called here, and at the till."""


async def press(visit: Visit, args: list[str]) -> Screen:
    """payments, payments:LIST, payments:LIST:WAY:ROW, payments:find, payments:hits:WAY:ROW:SEARCH,
    payments:see:ID, payments:(paid|holds|check|decided):ID, payments:(whole|surplus):ID.
    """
    match args:
        case []:
            return await _list(visit, "stuck")
        case [name] if name in LISTS:
            return await _list(visit, name)
        case [name, way, row] if name in LISTS:
            return await _list(visit, name, await _turn(visit, way, row))
        case ["hits", way, row, *search]:
            return await _list(visit, "stuck", await _turn(visit, way, row), ":".join(search))
        case ["find"]:
            return await listen(visit, "payments.find", {}, visit.say("payments.ask_find"), back="payments")
        case ["see", invoice_id]:
            return await _one(visit, await _find(visit, invoice_id))
        case ["check", invoice_id]:
            return await _check(visit, await _find(visit, invoice_id))
        case [("paid" | "holds" | "decided") as act, invoice_id]:
            return await _ask(visit, await _find(visit, invoice_id), act)
        case [("whole" | "surplus") as kind, invoice_id]:
            return await _ask_why(visit, await _find(visit, invoice_id), kind)
    raise visit.stale()


async def _turn(visit: Visit, way: str, row: str) -> Turn:
    return await turn(visit, way, row, invoices.get, "payments.gone")


async def _list(visit: Visit, name: str, at: Turn = HEAD, search: str = "") -> Screen:
    sought = till.sought("" if search else LISTS[name], search)
    found = await page(
        at,
        lambda place, count: whole(till.look_through(visit.db, sought, place, count)),
        lambda place, count: whole(till.newer(visit.db, sought, place, count)),
    )
    here = "payments:hits" if search else f"payments:{name}"
    rows = [[Button(_line(visit, each), f"payments:see:{each.id}")] for each in found.rows]
    title = (
        visit.say("payments.found", search=search)
        if search
        else visit.say(f"payments.title_{name.removeprefix('list_')}", n=await _stuck(visit))
    )
    others = [visit.button(f"payments.{each}", f"payments:{each}") for each in LISTS if search or each != name]
    text = title if found.rows else visit.say("payments.none", text=title)
    if search and found.is_cut(here, search):
        text = visit.say("frame.narrower", text=text, n=PAGE)
    around = found.arrows(here, search)
    return Screen(
        text, [*rows, around, *pairs([*others, visit.button("payments.find", "payments:find")]), visit.back()]
    )


def _line(visit: Visit, each: Listed) -> str:
    light = "⚠️" if each.trouble else visit.light(each.state)
    return f"{light} {money(each.amount_cents, each.currency)} · {each.email[:30]}"


async def _stuck(visit: Visit) -> int:
    return len(await payments.troubled(visit.db))


async def _found(visit: Visit, text: str, what: dict[str, Any]) -> Screen:
    return await _list(visit, "stuck", HEAD, text.strip()[:254])


async def _one(visit: Visit, invoice: Invoice) -> Screen:
    account = await accounts.get(visit.db, invoice.account_id)
    owed = await refundable.owed(visit.db, invoice)
    is_doubted = bool(invoice.frozen_credits) or await doubts.is_open(visit.db, invoice.id)
    lines = [
        visit.say("payments.name", light=visit.light(invoice.state), amount=_price(invoice), state=visit.told(invoice.state)),
        visit.say("payments.for", email=account.email, plan=invoice.plan.name, purpose=visit.told(invoice.purpose)),
        visit.say(
            "payments.through", processor=invoice.processor, received=money(invoice.received_cents, invoice.currency)
        ),
        visit.say("payments.made", at=visit.stamp(invoice.created_at)),
        *([visit.say("payments.trouble", words=visit.told(invoice.trouble_words)[:400])] if invoice.trouble else []),
        *(visit.say("payments.refund", amount=money(each.amount_cents, each.currency), state=visit.told(each.state))
          for each in await refunds.of_invoice(visit.db, invoice.id)),
        visit.say("payments.number", id=invoice.id),
    ]  # fmt: skip
    return Screen("\n".join(lines), [*_switches(visit, invoice, owed, is_doubted=is_doubted), visit.back("payments")])


def _switches(visit: Visit, invoice: Invoice, owed: dict[str, int], *, is_doubted: bool) -> list[list[Button]]:
    if not visit.may(OWNERS):
        return []
    acts = ["paid"] if invoice.state != "paid" else ["holds"] if invoice.frozen_credits or is_doubted else []
    acts.append("check")
    acts += ["decided"] if invoice.trouble else []
    acts += [kind for kind in refundable.KINDS if owed[kind]]
    return pairs(
        visit.button(
            f"payments.{act}", f"payments:{act}:{invoice.id}", amount=money(owed.get(act, 0), invoice.currency)
        )
        for act in acts
    )


async def _check(visit: Visit, invoice: Invoice) -> Screen:
    visit.insist(OWNERS)
    await billing.ask(visit.db, invoice.id)
    return (await _one(visit, invoice)).with_toast(visit.label("payments.asked"))


async def _ask(visit: Visit, invoice: Invoice, act: str) -> Screen:
    visit.insist(OWNERS)
    account = await accounts.get(visit.db, invoice.account_id)
    text = visit.say(
        f"payments.sure_{act}", email=account.email, amount=_price(invoice),
        plan=invoice.plan.name, state=visit.told(invoice.state), words=visit.told(invoice.trouble_words)[:300],
        credits=invoice.frozen_credits,
    )  # fmt: skip
    yes = visit.label(f"payments.yes_{act}")
    about = {"invoice": str(invoice.id), "trouble": invoice.trouble, "words": invoice.trouble_words}
    return await sure(visit, f"payments.{act}", about, text, back=f"payments:see:{invoice.id}", yes=yes)


async def _ask_why(visit: Visit, invoice: Invoice, kind: str) -> Screen:
    """A refund has a reason that whoever paid reads."""
    visit.insist(OWNERS)
    amount = await _owed(visit, invoice, kind)
    text = visit.say("payments.ask_refund", amount=money(amount, invoice.currency))
    about = {"invoice": str(invoice.id), "kind": kind}
    return await listen(visit, "payments.refund", about, text, back=f"payments:see:{invoice.id}")


async def _why(visit: Visit, text: str, what: dict[str, Any]) -> Screen:
    invoice, reason = await _find(visit, what["invoice"]), " ".join(text.split())
    if len(reason) > 200:
        raise Refused(visit.label("payments.long_reason", n=len(reason)))
    amount = await _owed(visit, invoice, what["kind"])
    owed = await refundable.owed(visit.db, invoice)
    account = await accounts.get(visit.db, invoice.account_id)
    said = visit.say(
        _question(invoice, what["kind"], owed), email=account.email, amount=money(amount, invoice.currency),
        credits=owed["credits"], processor=invoice.processor, why=reason,
    )  # fmt: skip
    about = what | {"reason": reason, "amount": amount, "credits": owed["credits"] if what["kind"] == "whole" else 0}
    yes = visit.label("payments.yes_refund", amount=money(amount, invoice.currency))
    return await sure(visit, "payments.refund", about, said, back=f"payments:see:{invoice.id}", yes=yes)


def _question(invoice: Invoice, kind: str, owed: dict[str, int]) -> str:
    """What is asked before money goes back. After the whole of it went, nothing that was bought stays."""
    if kind == "surplus" and not refundable.is_kept(invoice, owed):
        return "payments.sure_rest"
    return "payments.sure_gift" if kind == "surplus" and invoice.purpose == "gift" else f"payments.sure_{kind}"


async def _owed(visit: Visit, invoice: Invoice, kind: str) -> int:
    amount = (await refundable.owed(visit.db, invoice))[kind]
    if not amount:
        raise WrongState(visit.label("payments.nothing_owed"))
    return amount


async def _refund(visit: Visit, what: dict[str, Any]) -> Screen:
    """What goes back is what was agreed to, or nothing does."""
    invoice = await _find(visit, what["invoice"])
    if await _owed(visit, invoice, what["kind"]) != what["amount"]:
        raise WrongState(visit.label("payments.other_amount"))
    seen = what["amount"], what.get("credits")
    await refunds.order(visit.db, invoice.id, what["kind"], what["reason"], actor=visit.actor, seen=seen)
    return await _done(visit, invoice.id)


async def _paid(visit: Visit, what: dict[str, Any]) -> Screen:
    """Not one that was paid since the question and came into doubt: that is another question."""
    invoice = await _find(visit, what["invoice"])
    if invoice.frozen_credits or await doubts.is_open(visit.db, invoice.id):
        raise WrongState(visit.label("payments.doubted_now"))
    return await _mark(visit, replace(invoice, state="pending"), what)


async def _holds(visit: Visit, what: dict[str, Any]) -> Screen:
    return await _mark(visit, replace(await _find(visit, what["invoice"]), state="paid"), what)


async def _mark(visit: Visit, invoice: Invoice, what: dict[str, Any]) -> Screen:
    await payments.mark_paid(visit.db, invoice.id, visit.reason, actor=visit.actor, seen=_as_shown(invoice, what))
    return await _done(visit, invoice.id)


async def _decided(visit: Visit, what: dict[str, Any]) -> Screen:
    """About what stood there when it was asked: what came up meanwhile is to be decided on its own."""
    invoice = await _find(visit, what["invoice"])
    await payments.dealt_with(visit.db, _as_shown(invoice, what), visit.reason, actor=visit.actor)
    return await _done(visit, invoice.id)


def _as_shown(invoice: Invoice, what: dict[str, Any]) -> Invoice:
    return replace(invoice, trouble=what.get("trouble", ""), trouble_words=what.get("words", ""))


async def _done(visit: Visit, invoice_id: UUID) -> Screen:
    return (await _one(visit, await invoices.get(visit.db, invoice_id))).with_toast(visit.label("frame.done"))


async def _find(visit: Visit, invoice_id: str) -> Invoice:
    return await visit.find(invoice_id, invoices.get, "payments.gone")


def _price(invoice: Invoice) -> str:
    return money(invoice.amount_cents, invoice.currency)


MENU = Menu(
    "payments",
    press,
    looks=BOOKKEEPERS,
    acts={
        "paid": Act(_paid, by=OWNERS),
        "holds": Act(_holds, by=OWNERS),
        "decided": Act(_decided, by=OWNERS),
        "refund": Act(_refund, by=OWNERS),
    },
    hears={"find": Hearing(_found, by=BOOKKEEPERS), "refund": Hearing(_why, by=OWNERS)},
)
