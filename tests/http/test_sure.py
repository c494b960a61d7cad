"""The second step: what weighs something is asked once more, with what was, what will be and why; nothing typed is lost."""

from __future__ import annotations

import asyncio
import inspect
from uuid import uuid4

import pytest
from multidict import MultiDict, MultiDictProxy

from limner.http import sure
from limner.sql import assents, favours, pauses, payments, plans
from limner.sql.invoices import create
from tests.beside import beside
from tests.http.conftest import available
from tests.http.factor import CAROL
from tests.http.sitemap import patterns

ONE_STEP = {
    "/admin/keys", "/admin/proxies", "/admin/providers", "/admin/models", "/admin/plans",  # new ones: a reason on the page
    "/admin/keys/{id}/probe", "/admin/proxies/{id}/test", "/admin/providers/{code}/models", "/admin/invoices/{id}/check",
    "/admin/broadcasts", "/admin/broadcasts/{id}/words", "/admin/broadcasts/{id}/removal", "/admin/broadcasts/{id}/trial",
    "/admin/broadcasts/{id}/stop", "/admin/broadcasts/{id}/continuation",
    "/admin/broadcasts/{id}/beginning", "/admin/invoices/{id}/refunds",  # the page before asks what it would be
    "/admin/users/{id}/deletion",  # the address is typed out
    "/admin/users/{id}/visits",  # read only
    "/admin/invitations", "/admin/invitations/{id}/revocation",
    "/admin/pictures/{id}/decision", "/admin/reports/decisions", "/admin/wall/decisions",  # can be taken back
    "/admin/alerts/{id}/snooze", "/admin/alerts/rules/{code}/terms", "/admin/health/letters/{id}/retry",
    "/admin/mails/{id}/link",
}  # fmt: skip
"""Acts that touch no money, key, plan, role or ban; or that have another second step."""


def where(cast) -> str:
    return f"/admin/users/{cast.bob.id}/grants"


async def acts(db) -> list[str]:
    return [row["action"] for row in await db.fetch("select action from audit where action <> 'key.add' order by id")]


def what_it_does(handler) -> str:
    """The source of a handler, and of what its module does for it."""
    source, module = inspect.getsource(handler), inspect.getmodule(handler)
    ours = [each for name, each in inspect.getmembers(module, inspect.isfunction) if f"await {name}(" in source]
    return source + "".join(inspect.getsource(each) for each in ours if each is not handler)


async def test_every_act_that_weighs_something_declares_its_second_step(site):
    """One that others add asks twice, or is listed above."""
    handlers = {
        route.resource.canonical: route.handler
        for route in site.app.router.routes()
        if route.method == "POST" and route.resource.canonical.startswith("/admin/")
    }
    assert set(handlers) >= ONE_STEP and len(list(patterns(site))) > len(handlers)
    done = {path: what_it_does(handler) for path, handler in handlers.items()}
    many = {path for path, source in done.items() if "bulk.do(" in source}
    twice = {path for path, source in done.items() if "sure.asked(" in source} | many
    assert set(handlers) - ONE_STEP == twice - ONE_STEP
    once = {path for path, source in done.items() if "sure.once(" in source}
    assert twice - many == once, "what is done after a yes is done once for it"
    assert not twice & ONE_STEP


async def test_nothing_happens_before_she_says_that_she_means_it(carol, cast, db):
    asked = await carol.post(where(cast), {"credits": "3", "reason": "welcome"})
    assert (asked.status, "Give 3 credits?" in asked.text, asked.values("sure_reason")) == (200, True, ["welcome"])
    assert (await available(db, cast.bob), await acts(db)) == (0, [])
    assert (await carol.confirm(where(cast), asked)).location == f"/admin/users/{cast.bob.id}"
    row = await db.fetchrow("select before, after from audit where action = 'ledger.adjust'")
    assert (row["before"], row["after"]) == ({"available": 0}, {"available": 3, "reason": "welcome"})


@pytest.mark.parametrize("reason", ["", "   ", "x" * 201, "a\x00b"])
async def test_without_a_good_reason_it_is_asked_again_and_the_form_is_kept(carol, cast, db, reason):
    asked = await carol.post(where(cast), {"credits": "3"})
    again = await carol.post(where(cast), {"sure_form": asked.values("sure_form")[0], "sure_reason": reason})
    assert (again.status, "sure_reason-error" in again.text, await available(db, cast.bob)) == (400, True, 0)
    kept = {"sure_form": again.values("sure_form")[0], "sure_reason": "welcome"}
    assert (await carol.post(where(cast), kept)).status == 303
    assert await available(db, cast.bob) == 3


async def test_the_same_yes_does_nothing_twice(carol, cast, db):
    asked = await carol.post(where(cast), {"credits": "3", "reason": "welcome"})
    assert (await carol.confirm(where(cast), asked)).status == 303
    twice = await carol.confirm(where(cast), asked)
    assert (twice.status, "done already" in twice.text, await available(db, cast.bob)) == (409, True, 3)


async def test_a_yes_that_was_said_before_is_a_conflict_also_above_a_page_of_many_forms(carol, db):
    path = "/admin/providers/demo/terms"
    asked = await carol.post(path, {"active": "0"})
    assert (await carol.confirm(path, asked)).status == 303
    await db.execute("update provider set active = true where code = 'demo'")
    again = await carol.confirm(path, asked)
    assert (again.status, "done already" in again.text) == (409, True)


async def test_a_double_click_books_a_payment_once(carol, db):
    await db.execute("update provider_key set account_group = 'main'")
    paths = {
        "/admin/providers/demo/funds": {"account": "main", "amount": "25.50", "alert_below": "5"},
        "/admin/codes/batches": {"count": "2", "credits": "5"},
    }
    for path, fields in paths.items():
        asked = await carol.post(path, fields)
        pages = await asyncio.gather(*(carol.confirm(path, asked) for _ in range(4)))
        statuses = sorted(page.status for page in pages)
        if path.endswith("batches"):  # the file is the only place where the codes stand: whoever clicked last has it
            assert (statuses, len({page.text for page in pages})) == ([200] * 4, 1)
            continue
        assert statuses[1:] == [409] * 3, path
        assert sum("done already" in page.text for page in pages) == 3
    assert await db.fetchval("select array_agg(micros) from top_up") == [25_500_000]
    assert await db.fetchval("select count(*) from code") == 2


async def test_a_yes_of_which_nothing_came_may_be_said_again(carol, db):
    """And what it was about is done as a whole, or not at all."""
    await db.execute("update provider_key set account_group = 'main'")
    path = "/admin/providers/demo/funds"
    asked = await carol.post(path, {"account": "main", "amount": "25.50", "alert_below": "5"})
    await db.execute("alter table fund add constraint broken check (alert_below_micros is null)")
    assert (await carol.confirm(path, asked)).status == 500
    assert await db.fetchval("select count(*) from top_up") == 0
    await db.execute("alter table fund drop constraint broken")
    assert (await carol.confirm(path, asked)).status == 303
    assert await db.fetchval("select array_agg(micros) from top_up") == [25_500_000]


async def test_two_who_saw_the_same_balance_at_once_are_not_both_believed(carol, cast, db):
    asked = await carol.post(where(cast), {"credits": "3"})
    confirmed = []

    async def confirm() -> None:
        confirmed.append(await carol.confirm(where(cast), asked))

    await beside(db, lambda tx: favours.give(tx, cast.bob, 4, "hello", actor="dave"), confirm())
    [page] = confirmed
    assert (page.status, "changed meanwhile" in page.text, await available(db, cast.bob)) == (400, True, 4)


async def test_two_who_saw_the_same_end_at_once_do_not_both_add_days(carol, cast, db):
    path = f"/admin/users/{cast.alice.id}/subscription"
    asked = await carol.post(path, {"act": "extend", "days": "5"})
    confirmed = []

    async def confirm() -> None:
        confirmed.append(await carol.confirm(path, asked))

    await beside(db, lambda tx: pauses.extend(tx, cast.alice.id, 5, "sorry", actor="dave"), confirm())
    assert [(page.status, "changed meanwhile" in page.text) for page in confirmed] == [(400, True)]
    assert [act for act in await acts(db) if act == "subscription.extend"] == ["subscription.extend"]


def test_a_page_of_before_the_number_is_asked_again():
    question = sure.Question("Do it", (), "", "/admin", False)
    form = MultiDict({"sure_form": "x", "sure_seen": question.seen, "sure_reason": "because"})
    with pytest.raises(sure.SureNeeded):
        sure.asked(MultiDictProxy(form), "Do it", back="/admin")
    form["sure_once"] = str(uuid4())
    assert sure.asked(MultiDictProxy(form), "Do it", back="/admin") == "because"


async def test_a_yes_is_remembered_for_as_long_as_a_session_may_live(db):
    for age in ("29 days", "31 days"):
        await db.execute("insert into assent values (gen_random_uuid(), now() - $1::text::interval)", age)
    assert await assents.forget_old(db) == 1


async def test_a_first_step_cannot_play_the_second(carol, cast, db):
    for forged in ({"sure_seen": "x", "sure_reason": "y"}, {"sure_reason": "y"}):
        page = await carol.post(where(cast), {"credits": "3"} | forged)
        assert "Give 3 credits?" in page.text
    asked = await carol.post(where(cast), {"credits": "3"})
    for bent in ("x", asked.values("sure_form")[0][:-4]):
        page = await carol.post(where(cast), {"sure_form": bent, "sure_reason": "y"})
        assert (page.status, "out of date" in page.text) == (400, True)
    elsewhere = f"/admin/users/{cast.alice.id}/grants"
    assert (await carol.confirm(elsewhere, asked)).status == 400
    assert (await available(db, cast.bob), await available(db, cast.alice)) == (0, 100)


async def test_another_admin_cannot_use_her_yes(site, cast, carol, db):
    asked = await carol.post(where(cast), {"credits": "3"})
    other = await site.browser(cast.carol)
    assert (await other.confirm(where(cast), asked)).status == 400
    assert await available(db, cast.bob) == 0


async def test_a_proof_that_runs_out_in_between_loses_neither_form_nor_reason(carol, cast, db):
    asked = await carol.post(where(cast), {"credits": "3"})
    await db.execute("update session set proved_at = now() - interval '10 minutes'")
    proof = await carol.confirm(where(cast), asked, "welcome")
    assert (proof.status, await available(db, cast.bob)) == (401, 0)
    fields = {"proof_form": proof.values("proof_form")[0], "proof_password": CAROL["password"]}
    assert (await carol.post(where(cast), fields)).status == 303
    assert await db.fetchval("select after ->> 'reason' from audit where action = 'ledger.adjust'") == "welcome"


async def test_what_was_typed_is_not_readable_on_the_page(carol, db):
    await db.execute("update provider set settings = '{}' where code = 'openrouter'")
    settings = '{"extra_headers": {"X-Token": "canary-77"}}'
    page = await carol.post("/admin/providers/openrouter/terms", {"base_url": "", "settings": settings})
    assert ("extra_headers" in page.text, "canary" in page.text) == (True, False)


async def test_what_came_up_meanwhile_is_not_decided_with_what_was_shown(carol, cast, db):
    invoice = await create(db, cast.bob.id, await plans.by_code(db, "monthly"), "sandbox")
    path = f"/admin/invoices/{invoice.id}/decision"
    await payments.flag(db, invoice.id, "partial", "Half of it came.", {}, actor="test")
    asked = await carol.post(path, {"reason": "a tip"})
    assert "Half of it came." in asked.text
    await payments.flag(db, invoice.id, "doubted", "It was taken back.", {}, actor="test")
    again = await carol.confirm(path, asked)
    assert (again.status, "It was taken back." in again.text) == (400, True)
    assert await db.fetchval("select trouble from invoice where id = $1", invoice.id) == "doubted"
    assert (await carol.confirm(path, again)).status == 303
    row = await db.fetchrow("select before from audit where action = 'invoice.dealt_with'")
    assert row["before"] == {"trouble": "doubted", "words": "It was taken back."}


async def test_gifts_are_made_when_she_means_it_and_the_audit_says_why(carol, db):
    asked = await carol.post("/admin/codes/batches", {"count": "2", "credits": "5"})
    assert (asked.status, await db.fetchval("select count(*) from code")) == (200, 0)
    file = await carol.confirm("/admin/codes/batches", asked, "for the fair")
    assert (file.headers["Content-Type"].partition(";")[0], file.text.count("5 credits")) == ("text/csv", 2)
    reasons = await db.fetch(
        "select after ->> 'reason' as reason from audit where action like '%gift%' or action like 'code%'"
    )
    assert [row["reason"] for row in reasons] == ["for the fair"]


async def test_a_top_up_says_what_was_counted_before_and_why(carol, db):
    await db.execute("update provider_key set account_group = 'main'")
    for amount in ("25.50", "10"):
        page = await carol.act("/admin/providers/demo/funds", {"account": "main", "amount": amount}, reason="by card")
        assert page.location == "/admin/providers"
    rows = await db.fetch("select before, after from audit where action = 'fund.top_up' order by id")
    assert [row["before"] for row in rows] == [None, {"counted": 25_500_000}]
    assert (rows[1]["after"]["counted"], rows[1]["after"]["reason"]) == (35_500_000, "by card")


async def test_what_is_asked_about_a_top_up_is_what_is_booked(carol, db):
    await db.execute("update provider_key set account_group = 'main'")
    path = "/admin/providers/demo/funds"
    asked = await carol.post(path, {"account": "main", "amount": "0.004", "alert_below": "12.345678"})
    assert "0.004 USD" in asked.text and "12.345678 USD" in asked.text
    await carol.confirm(path, asked)
    assert await db.fetchval("select micros from top_up") == 4_000


async def test_a_key_rests_and_wakes_by_hand(carol, db):
    key = await db.fetchval("select min(id) from provider_key")
    path = f"/admin/keys/{key}/state"
    assert (await carol.act(path, {"state": "cooldown", "minutes": "60"}, reason="a holiday")).status == 303
    minutes = await db.fetchval(
        "select extract(epoch from rests_until - now())::int / 60 from provider_key where id = $1", key
    )
    assert 58 <= minutes <= 60
    assert (await carol.act(path, {"state": "active"}, reason="back again")).status == 303
    assert await acts(db) == ["key.rest", "key.state"]
