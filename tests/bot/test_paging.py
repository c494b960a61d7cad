"""Long lists: every row can be reached, page by page, there and back."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from limner.actors.bot.menus.paging import long, short
from limner.sql import broadcasts, codes, orders
from tests.bot.phone import Phone, paired
from tests.bot.test_menu_generations import failed

MANY = 19


@pytest.fixture
async def owner(db, config):
    return await paired(db, config)


def shown(phone: Phone) -> list[str]:
    return [each.data for row in phone.shown.rows for each in row if ":see:" in each.data and "Back" not in each.text]


async def there_and_back(phone: Phone) -> list[str]:
    """Every row from here to the end of the list; the way back has the same pages."""
    pages = [shown(phone)]
    while "▶" in phone.words:
        await phone.tap("▶")
        pages.append(shown(phone))
        assert len(pages) < 50
    for page in reversed(pages[:-1]):
        await phone.tap("◀")
        assert shown(phone) == page
    for _ in range(50):  # it may have to look up there whether there is more
        if "◀" in phone.words:
            await phone.tap("◀")
    assert "◀" not in phone.words and shown(phone) == pages[0]
    return [each for page in pages for each in page]


PEOPLE = """
insert into account (email, password_hash, created_at)
select 'p' || n || '@long.example', '', now() + make_interval(mins => n / 2)
from generate_series(1, $1) as n
"""
INVOICES = """
insert into invoice (account_id, plan_id, processor, amount_cents, currency, credits, state, created_at, expires_at, paid_at)
select $1, min(p.id), 'sandbox', 999, 'USD', 1, 'paid', now() + make_interval(mins => n / 2), now(), now()
from plan as p, generate_series(1, $2) as n group by n
"""


async def test_every_account_and_every_one_that_was_found_can_be_reached(owner, cast, db):
    await db.execute(PEOPLE, MANY)
    await owner.press("users")
    everybody = await there_and_back(owner)
    assert len(set(everybody)) == len(everybody) == MANY + 3
    await owner.press("users:find")
    await owner.say("@LONG.example")
    assert "“@LONG.example”" in owner.shown.text
    found = await there_and_back(owner)
    assert len(found) == MANY and set(found) < set(everybody)


async def test_a_search_that_is_too_long_for_a_button_says_that_there_is_more(owner, cast, db):
    await db.execute("update account set email = email || $1", "x" * 40)
    await db.execute(PEOPLE.replace("long.example", "long.example" + "x" * 40), MANY)
    await owner.press("users:find")
    await owner.say("x" * 40)
    assert "More than 8: write more of it" in owner.shown.text and "▶" not in owner.words


@pytest.mark.parametrize("which", ["payments:list_paid", "a search"])
async def test_every_invoice_can_be_reached(owner, cast, db, which):
    await db.execute(INVOICES, cast.bob.id, MANY)
    if which == "a search":
        await owner.press("payments:find")
        await owner.say("bob@")
    else:
        await owner.press(which)
    assert len(set(await there_and_back(owner))) == MANY


async def test_every_code_can_be_reached_and_found(owner, cast, db):
    for number in range(MANY):
        note = "for <friends>: all" if number < 10 else ""
        await codes.create(db, codes.Promo(f"SUMMER{number:02}", "days", 3, note=note), actor="test")
    await owner.press("codes")
    assert len(set(await there_and_back(owner))) == MANY
    await owner.tap("Find")
    await owner.say("<friends>: all")
    assert "“&lt;friends&gt;: all”" in owner.shown.text and len(set(await there_and_back(owner))) == 10
    await owner.tap("Find")
    await owner.say("summer07")
    assert len(shown(owner)) == 1
    await owner.tap("Find")
    await owner.say("100%")
    assert "No code has “100%” in it." in owner.shown.text
    await owner.tap("Back")
    assert len(shown(owner)) == 8


async def test_every_broadcast_can_be_reached(owner, cast, db):
    for number in range(MANY):
        await broadcasts.write(db, broadcasts.Draft({"en": broadcasts.Words(f"News {number}", "x")}), actor="test")
    await owner.press("broadcasts")
    assert len(set(await there_and_back(owner))) == MANY


@pytest.mark.parametrize("looked", [5000, 3])
async def test_every_order_can_be_reached_however_few_are_looked_through_at_a_time(
    owner, cast, db, monkeypatch, looked
):
    monkeypatch.setattr(orders, "LOOKED", looked)
    lost = [str(await failed(db, cast.alice, 1)) for _ in range(10)]
    await db.execute("update generation set created_at = created_at + interval '1 minute'")
    lost.append(str(await failed(db, cast.alice, 1)))
    for where in ("generations", "generations:all", f"users:orders:{cast.alice.id}"):
        await owner.press(where)
        assert sorted(await there_and_back(owner)) == sorted(f"generations:see:{each}" for each in lost), where
    await owner.press("generations:find")
    await owner.say("alice@")
    assert len(await there_and_back(owner)) == len(lost)


async def test_what_is_rare_is_found_behind_much_that_is_not(owner, cast, db, monkeypatch):
    """A page looks through so much and no more: it may be empty, and leads on."""
    rare = await failed(db, cast.alice, 1)
    for _ in range(4):
        order = await failed(db, cast.alice, 1)
        await db.execute("update generation set state = 'canceled' where id = $1", order)
    monkeypatch.setattr(orders, "LOOKED", 1)
    monkeypatch.setattr("limner.actors.bot.menus.order_pages.MOST_LOOKS", 1)
    await owner.press("generations")
    assert shown(owner) == []
    assert await there_and_back(owner) == [f"generations:see:{rare}"]


async def test_a_row_that_went_or_never_was_is_no_place(owner, cast, db):
    for data in ("codes:all:n:nonsense", f"codes:all:x:{short(uuid4())}", "users:orders:x:n:y", "generations:of:x:n:y"):
        await owner.press(data)
        assert "out of date" in owner.shown.toast, data
    await owner.press(f"codes:all:n:{short(uuid4())}")
    assert owner.shown.toast == "There is no such code any more."


@pytest.mark.parametrize("text", ["", "A", "A" * 21, "A" * 23, "?" * 22, "é" * 22])
def test_a_row_is_short_on_a_button(text):
    one = UUID("0192f6e0-0000-7000-bfff-ffffffffffff")
    assert len(short(one)) == 22 and long(short(one)) == one and long(text) is None
