"""The admin's lists: what is narrowed stays so while turning pages, nothing typed breaks a search, and a file holds it all."""

from __future__ import annotations

import csv
import io
import re
from urllib.parse import quote

import pytest

from limner.sql import accounts, codes, notices, pending_sign_ins, plans, sessions
from tests.http.conftest import Page

ROOMS = (
    "users", "subscriptions", "invoices", "ledger", "generations", "keys", "providers", "proxies", "models", "plans", "codes",
    "notices", "mails", "audit", "sessions", "invitations", "broadcasts", "wall", "reports", "alerts",
)  # fmt: skip
WICKED = ("%", "_", "\\", "'", '"', "%_%\\%", "🦊🎨", "x" * 254, "a b", "\t", "👩‍👩‍👧", "--", "ﷺ", "ДОМ")


def rows(page: Page) -> list[dict[str, str]]:
    """A file as a spreadsheet reads it."""
    assert page.body.startswith("\ufeff".encode())
    return list(csv.DictReader(io.StringIO(page.body.decode("utf-8-sig"))))


async def crowd(db, many: int = 120) -> None:
    """So many users, every third with an invoice that ran out."""
    await db.execute(
        """with made as (
            insert into account (email, password_hash, created_at)
            select 'person' || n || '@' || case when n % 2 = 0 then 'even' else 'odd' end || '.test', 'x',
                now() - n * interval '1 hour'
            from generate_series(1, $1::int) as n returning id, email, created_at
        )
        insert into invoice (account_id, plan_id, processor, amount_cents, currency, credits, state, created_at, expires_at)
        select m.id, p.id, 'sandbox', 999, 'USD', 100, 'expired', m.created_at, m.created_at
        from made as m cross join plan as p where p.code = 'monthly'""",
        many,
    )


@pytest.mark.parametrize("room", ROOMS)
async def test_nothing_typed_into_a_search_breaks_a_list_or_its_file(carol, alice, room):
    await alice.order()
    for text in WICKED:
        for name in ("", ".csv"):
            page = await carol.send("GET", f"/admin/{room}{name}", params={"q": text})
            assert page.status == 200, (room, name, text)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("users?role=boss", "Role is one of user, support, admin, not &#39;boss&#39;."),
        ("users?sort=size", "Sort is one of newest, oldest, email, not &#39;size&#39;."),
        ("users?before=yesterday", "Before is a moment and an id, not &#39;yesterday&#39;."),
        ("users?q=" + "x" * 255, "E-mail or id has at most 254 characters, not 255."),
        ("invoices?state=lost", "not &#39;lost&#39;."),
        ("ledger?since=2026-13-01", "Since looks like 2027-01-31, not &#39;2026-13-01&#39;."),
        ("ledger?user=7", "User is an id, not &#39;7&#39;."),
        ("ledger?before=x~y", "Before is a moment and a number, not &#39;x~y&#39;."),
        ("generations?key=first", "Key is a number, not &#39;first&#39;."),
        ("generations?until=tomorrow", "Until looks like 2027-01-31, not &#39;tomorrow&#39;."),
        ("audit?before=-1", "Before is a number, not &#39;-1&#39;."),
        ("subscriptions?plan=nothing", "not &#39;nothing&#39;."),
        ("codes?kind=secret", "not &#39;secret&#39;."),
        ("keys?state=tired", "not &#39;tired&#39;."),
    ],
)
async def test_what_no_list_knows_is_refused_by_name_and_value(carol, address, words):
    page = await carol.get(f"/admin/{address}")
    assert page.status == 400
    assert words in page.text


async def test_what_is_narrowed_stays_narrowed_while_turning(carol, db):
    await crowd(db)
    seen, path = [], "/admin/users?q=even.test&role=user&sort=oldest"
    while path:
        page = await carol.get(path)
        assert "“even.test”" in page.text
        assert "Role: user" in page.text
        seen += re.findall(r">(person\d+@\w+\.test)</a>", page.text)
        path = page.older
    assert seen == [f"person{n}@even.test" for n in range(120, 0, -2)]


async def test_each_order_of_the_users_is_read_whole_and_once(carol, db):
    await crowd(db)
    found = {}
    for sort in ("newest", "oldest", "email"):
        seen, path = [], f"/admin/users?sort={sort}"
        while path:
            page = await carol.get(path)
            seen += re.findall(r'href="/admin/users/[0-9a-f-]{36}">([^<]+)</a>', page.text)
            path = page.older
        found[sort] = seen
    assert found["newest"] == found["oldest"][::-1]
    assert found["email"] == sorted(found["newest"])
    assert len(set(found["newest"])) == len(found["newest"]) == 123


@pytest.mark.parametrize(
    "name",
    [
        "users",
        "generations",
        "keys",
        "providers",
        "proxies",
        "plans",
        "invoices",
        "subscriptions",
        "codes",
        "audit",
        "sessions",
    ],
)
async def test_a_search_without_hits_says_so(carol, name):
    assert "Nothing matches that." in (await carol.get(f"/admin/{name}?q=nothing-is-called-so")).text


async def test_one_filter_can_be_taken_away_and_the_others_stay(carol):
    page = await carol.get("/admin/users?q=alice&role=user&state=active")
    assert 'href="/admin/users?state=active&amp;role=user" aria-label="Without “alice”"' in page.text
    assert 'aria-label="Without Role: user"' in page.text
    assert 'href="/admin/users.csv?q=alice&amp;state=active&amp;role=user"' in page.text


async def test_users_are_found_by_state_plan_role_day_and_id(carol, db, cast):
    async def found(query: str) -> set[str]:
        page = await carol.get(f"/admin/users?{query}")
        assert page.status == 200
        return {name for name in ("alice", "bob", "carol") if f">{name}@example.com</a>" in page.text}

    assert await found("state=active") == {"alice"}
    assert await found("plan=monthly") == {"alice"}
    assert await found("state=no_plan") == {"bob", "carol"}
    assert await found("role=admin") == {"carol"}
    assert await found("until=2001-01-01") == set()
    assert await found(f"q={cast.bob.id}") == {"bob"}
    await accounts.ban(db, cast.bob, "why", actor="test")
    assert await found("state=banned") == {"bob"}


async def test_users_are_shown_as_they_are_before_the_steward_has_been_there(carol, db):
    """Paused, run out, or on another plan since a minute ago: the row says so, and the filters find it."""

    async def row(query: str = "") -> str:
        page = await carol.get(f"/admin/users?{query}")
        found = re.search(
            r"<tr>\s*<th[^>]*>\s*(?:<input[^>]*>)?<a[^>]*>alice@example.com</a>.*?</tr>", page.text, re.DOTALL
        )
        return re.sub(r"<[^>]+>|\s+", " ", found[0]) if found else ""

    assert "active" in await row("state=active")
    await db.execute("update subscription set paused_at = now()")
    assert "paused" in await row("state=paused")
    assert [await row(f"state={state}") for state in ("active", "no_plan")] == ["", ""]
    await db.execute("update subscription set paused_at = null")
    await plans.add(db, "fast", plans.Entry("Fast lane", 1999), actor="test")
    await db.execute(
        "update subscription set changes_at = now() - interval '1 minute', "
        "next_plan_id = (select id from plan where code = 'fast')"
    )
    assert "Fast lane" in await row("plan=fast")
    assert await row("plan=monthly") == ""
    await db.execute(
        "update subscription set period_start = now() - interval '2 days', period_end = now() - interval '1 minute'"
    )
    assert "expired" in await row("state=no_plan")
    assert [await row(f"state={state}") for state in ("active", "paused")] == ["", ""]
    file = rows(await carol.get("/admin/users.csv?q=alice"))
    assert (file[0]["state"], file[0]["plan"]) == ("expired", "Fast lane")


async def test_a_subscription_is_found_by_who_has_it_its_plan_and_its_state(carol, db, cast):
    assert cast.alice.email in (await carol.get("/admin/subscriptions?state=active&plan=monthly&q=ALICE@")).text
    await db.execute("update subscription set canceled_at = now()")
    assert cast.alice.email in (await carol.get("/admin/subscriptions?state=ending")).text
    await db.execute("update subscription set paused_at = now()")
    assert "Nothing matches" in (await carol.get("/admin/subscriptions?state=active")).text
    assert cast.alice.email in (await carol.get("/admin/subscriptions?state=paused")).text


async def test_the_ledger_leads_from_an_entry_to_the_receipt_of_its_picture(carol, alice, db, cast):
    await alice.order()
    job = await db.fetchval("select id from job")
    entry = await db.fetchval("select id from ledger_entry where kind = 'reserve'")
    for query in ("", "?kind=reserve", f"?user={cast.alice.id}", f"?q={job}", f"?q={cast.alice.email}", "?q=lice@exa"):
        assert f'href="/admin/ledger/{entry}"' in (await carol.get(f"/admin/ledger{query}")).text, query
    for query in ("?kind=refund", f"?user={cast.bob.id}", "?q=bob@", "?until=2001-01-01"):
        assert f'href="/admin/ledger/{entry}"' not in (await carol.get(f"/admin/ledger{query}")).text, query
    page = await carol.get(f"/admin/ledger/{entry}")
    assert "The receipt of this picture" in page.text
    assert str(job) in page.text
    assert (await carol.get("/admin/ledger/999999")).status == 404


async def test_the_ledger_is_read_whole_and_once(carol, db, cast):
    await db.execute(
        "insert into ledger_entry (account_id, kind, credits) select $1, 'adjust', 1 from generate_series(1, 120)",
        cast.bob.id,
    )
    seen, path = [], "/admin/ledger?kind=adjust"
    while path:
        page = await carol.get(path)
        seen += re.findall(r'href="/admin/ledger/(\d+)"', page.text)
        path = page.older
    assert len(seen) == len(set(seen)) == 120


async def test_generations_are_found_by_words_owner_state_and_failure(carol, alice, db, cast):
    await alice.order(prompt="a red boat at sea")
    await alice.order(prompt="50% of a_fox")
    job = await db.fetchval(
        "select j.id from job as j join generation as g on g.id = j.generation_id where g.prompt like '50%'"
    )
    key = await db.fetchval("select min(id) from provider_key")
    await db.execute(
        """insert into attempt (job_id, number, key_id, model_id, fault, expires_at, finished_at)
        values ($1, 1, $2, 'demo', 'rate_limited', now(), now())""",
        job, key,
    )  # fmt: skip
    boat, fox = "a red boat at sea", "50% of a_fox"
    for query, found in {
        "q=RED boat": {boat}, "q=50%": {fox}, "q=a_fox": {fox}, "q=afox": set(), "q=alice@example.com": {boat, fox},
        "q=alice@": {boat, fox}, "q=bob@": set(), "state=queued": {boat, fox}, "state=failed": set(),
        "fault=rate_limited": {fox}, "fault=auth_dead": set(), f"key={key}": {fox}, "model=demo": {boat, fox},
        f"user={cast.bob.id}": set(), f"user={cast.alice.id}": {boat, fox},
    }.items():  # fmt: skip
        name, _, value = query.partition("=")
        page = await carol.send("GET", "/admin/generations", params={name: value})
        assert {prompt for prompt in (boat, fox) if prompt in page.text} == found, query


async def test_a_search_that_looks_far_says_how_far_and_goes_on(carol, alice, db, cast, monkeypatch):
    monkeypatch.setattr("limner.sql.orders.LOOKED", 10)
    await db.execute(
        """insert into generation (account_id, thread_id, model_id, prompt, width, height, count, credits, created_at)
        select $1, gen_random_uuid(), 'demo', case when n = 35 then 'the needle' else 'hay' end, 512, 512, 1, 1,
            now() - n * interval '1 minute'
        from generate_series(1, 40) n""",
        cast.alice.id,
    )
    turns, path = 0, "/admin/generations?q=needle"
    while "the needle" not in (page := await carol.get(path)).text:
        assert "Looked back to" in page.text
        turns, path = turns + 1, page.older
    assert turns == 3
    assert [row["prompt"] for row in rows(await carol.get("/admin/generations.csv?q=needle"))] == ["the needle"]


async def test_an_old_act_is_found_by_who_what_and_whom(carol, db):
    await db.execute(
        """insert into audit (actor, action, subject) values ('dave@example.com', 'key.state', 'key 7 abcd'),
         ('cli', 'plan.change', 'monthly'),
        ('dave@example.com', 'key.add', '100%')"""
    )
    for query, actions in {
        "actor=DAVE": {"key.state", "key.add"}, "action=key": {"key.state", "key.add"}, "action=key.state": {"key.state"},
        "q=monthly": {"plan.change"}, "q=100%25": {"key.add"}, "actor=cli&action=key": set(), "until=2001-01-01": set(),
    }.items():  # fmt: skip
        page = await carol.get(f"/admin/audit?{query}")
        assert {
            action for action in ("key.state", "plan.change", "key.add") if f">{action}</th>" in page.text
        } == actions, query


# ---- files


async def test_a_file_holds_every_row_that_the_filters_let_through(carol, db, monkeypatch):
    monkeypatch.setattr("limner.http.admin.lists.BATCH", 7)
    await crowd(db)
    found = rows(await carol.get("/admin/users.csv?q=odd.test"))
    assert [row["e-mail"] for row in found] == [f"person{n}@odd.test" for n in range(1, 120, 2)]
    assert len(rows(await carol.get("/admin/invoices.csv?state=expired"))) == 120
    assert {row["amount"] for row in rows(await carol.get("/admin/invoices.csv"))} == {"9.99"}


@pytest.mark.parametrize("begins", ["=", "+", "-", "@", "\t", "\r"])
async def test_no_cell_of_any_file_begins_like_a_formula(carol, alice, db, cast, begins):
    wicked = f"{begins}HYPERLINK(1)"
    await db.execute("update generation set prompt = $1", wicked)
    await alice.order(prompt="x")
    await db.execute("update generation set prompt = $1, reason = $1", wicked)
    await db.execute("insert into account (email, password_hash) values ($1, 'x')", wicked)
    await db.execute(
        "insert into ledger_entry (account_id, kind, credits, why) values ($1, 'adjust', 1, $2)", cast.bob.id, wicked
    )
    await db.execute("insert into audit (actor, action, subject) values ($1, $1, $1)", wicked)
    await db.execute("update session set agent = $1", wicked)
    await db.execute("update plan set name = $1", wicked)
    await notices.queue(db, "mail", wicked, "body", subject=wicked)
    seen = 0
    for room in ROOMS:
        page = await carol.get(f"/admin/{room}.csv")
        for row in csv.reader(io.StringIO(page.body.decode("utf-8-sig"))):
            for cell in row:
                seen += "HYPERLINK" in cell
                assert not (cell.startswith(begins) and "HYPERLINK" in cell), (room, cell)
    assert seen >= 8


async def test_no_file_has_a_secret_in_it(carol, cast, db, site):
    await carol.post(
        "/admin/keys",
        {"provider": "simulator", "label": "spare", "secret": "sk-canary-0123456789-LAST", "concurrency": "3"},
    )
    await carol.act("/admin/proxies", {"label": "out", "url": "socks5://me:canary-pw@192.0.2.1:1080"})
    await db.execute("""update provider set settings = '{"headers": {"X-Key": "canary-header"}}'""")
    gift = (await carol.act("/admin/codes/batches", {"count": "1", "credits": "5"})).text.split("\n")[1].split(",")[0]
    for room in ROOMS:
        text = (await carol.get(f"/admin/{room}.csv")).text
        for secret in ("sk-canary", "canary-pw", "canary-header", gift, "argon2", carol.session):
            assert secret not in text, (room, secret)


async def test_a_file_of_people_is_written_down_with_what_it_was_narrowed_to(carol, db, cast):
    await carol.get("/admin/users.csv?role=admin")
    entry = await db.fetchrow("select * from audit where action = 'export'")
    assert (entry["actor"], entry["subject"], entry["after"]) == (cast.carol.email, "users", {"role": "admin"})
    await carol.get("/admin/keys.csv")
    assert await db.fetchval("select count(*) from audit where action = 'export'") == 1
    assert (await carol.get("/admin/users.csv?role=boss")).status == 400
    assert await db.fetchval("select count(*) from audit where action = 'export'") == 1


async def test_a_supporter_finds_lists_without_files(site, cast, db):
    await accounts.set_role(db, cast.bob, "support", actor="test")
    support = await site.browser(cast.bob)
    for room in ROOMS:
        page = await support.get(f"/admin/{room}")
        assert page.status == (403 if room in ("mails", "notices") else 200)
        assert f"/admin/{room}.csv" not in page.text
        assert (await support.get(f"/admin/{room}.csv")).status == 403


# ---- many at once


async def test_sessions_that_are_ticked_end_after_one_more_question(carol, alice, bob, db, cast):
    ids = [await db.fetchval("select id from session where account_id = $1", who.id) for who in (cast.alice, cast.bob)]
    chosen = [("act", "end"), *(("chosen", str(each)) for each in ids)]
    page = await carol.act("/admin/sessions/end", chosen)
    assert (page.status, cast.alice.email in page.text, "End 2?" in page.text) == (200, True, True)
    assert (await alice.get("/dashboard")).status == 200
    page = await carol.act("/admin/sessions/end", [*chosen, ("sure", "1"), ("reason", "")])
    assert (page.status, "The reason is missing." in page.text) == (400, True)
    answer = await carol.act("/admin/sessions/end", [*chosen, ("sure", "1"), ("reason", "stolen <phone>")])
    assert answer.location == "/admin/sessions"
    assert [(await who.get("/dashboard")).status for who in (alice, bob)] == [303, 303]
    done = await db.fetch("select subject, after from audit where action = 'session.end' order by id")
    assert [row["subject"] for row in done] == [cast.alice.email, cast.bob.email]
    assert {row["after"]["reason"] for row in done} == {"stolen <phone>"}


async def test_all_sessions_of_a_user_end_at_once(carol, alice, db, cast):
    await sessions.start(db, cast.alice.id, ip="192.0.2.9", agent="another device")
    await pending_sign_ins.begin(db, cast.alice.id, "/dashboard")
    page = await carol.get(f"/admin/sessions?user={cast.alice.id}")
    assert f"End all sessions of {cast.alice.email}" in page.text
    form = {"act": "end_all", "chosen": str(cast.alice.id), "sure": "1", "reason": "asked by phone"}
    assert (await carol.act("/admin/sessions/end", form)).status == 303
    assert await db.fetchval("select count(*) from session where account_id = $1", cast.alice.id) == 0
    assert await db.fetchval("select count(*) from pending_sign_in") == 0, (
        "nor does a password that waits for its code hold"
    )
    entry = await db.fetchrow("select before, after from audit where action = 'account.log_out'")
    assert (entry["before"], entry["after"]) == ({"sessions": 2}, {"sessions": 0, "reason": "asked by phone"})


async def test_what_of_many_was_not_done_is_said_by_name(carol, db):
    made = [await codes.create(db, codes.Promo(f"CODE{n}", "days", 3), actor="test") for n in (1, 2)]
    await codes.stop(db, made[1], "before", actor="test")
    form = [
        ("act", "stop"),
        ("chosen", str(made[0].id)),
        ("chosen", str(made[1].id)),
        ("sure", "1"),
        ("reason", "over"),
    ]
    page = await carol.act("/admin/codes/acts", form)
    assert page.status == 200
    assert "1 done, 1 not" in page.text
    assert re.search(r"CODE2</th>.*not done.*It is stopped already\.", page.text)
    assert await db.fetchval("select count(*) from code where stopped_at is null") == 0
    again = await carol.act("/admin/codes/acts", form)
    assert (again.status, "0 done, 2 not" in again.text) == (409, True)


async def test_keys_that_are_ticked_are_woken_and_disabled_one_by_one(carol, db):
    ids = [row["id"] for row in await db.fetch("select id from provider_key order by id limit 2")]
    form = [*(("chosen", str(each)) for each in ids), ("sure", "1"), ("reason", "the bill is paid")]
    for act, state in (("disable", "disabled"), ("wake", "active")):
        assert (await carol.act("/admin/keys/acts", [("act", act), *form])).status == 303
        assert {row["state"] for row in await db.fetch("select state from provider_key where id = any($1)", ids)} == {
            state
        }
        assert (
            len(await db.fetch("select from audit where action = 'key.state' and after ->> 'state' = $1", state)) == 2
        )


async def test_a_mail_is_found_by_its_kind_however_it_is_written(carol, db):
    await notices.mail(db, "dora@example.net", "reset_password", details={"minutes": 60})
    for room in ("mails", "notices"):
        assert "dora@example.net" in (await carol.get(f"/admin/{room}?q=Reset_P")).text


async def test_mails_that_are_ticked_are_tried_again(carol, db):
    for n in range(2):
        await notices.queue(db, "mail", f"person{n}@example.com", "body", subject="Hello")
    await db.execute("update notice set failed_at = now(), error = 'no such mailbox'")
    ids = [row["id"] for row in await db.fetch("select id from notice")]
    form = [
        ("act", "retry"),
        *(("chosen", str(each)) for each in ids),
        ("sure", "1"),
        ("reason", "the mailbox is back"),
    ]
    assert (await carol.act("/admin/mails/acts", form)).status == 303
    assert await db.fetchval("select count(*) from notice where failed_at is null") == 2
    assert await db.fetchval("select count(*) from audit where after ->> 'reason' = 'the mailbox is back'") == 2


@pytest.mark.parametrize(
    "form", [{}, {"act": "end"}, {"act": "burn", "chosen": "1"}, {"act": "end", "chosen": "x", "sure": "1"}]
)
async def test_an_act_on_nothing_or_of_no_kind_is_refused(carol, form):
    page = await carol.act("/admin/sessions/end", form)
    assert page.status == 400


async def test_a_stale_proof_is_asked_for_before_many_are_touched(carol, alice, db, cast):
    await db.execute("update session set proved_at = now() - interval '1 hour' where account_id = $1", cast.carol.id)
    chosen = str(await db.fetchval("select id from session where account_id = $1", cast.alice.id))
    page = await carol.act("/admin/sessions/end", {"act": "end", "chosen": chosen, "sure": "1", "reason": "x"})
    assert page.status == 401
    assert (await alice.get("/dashboard")).status == 200


# ---- notices


async def test_the_outbox_is_found_by_whom_kind_error_and_way(carol, db):
    await notices.mail(db, "dave@example.com", "invoice_paid")
    await notices.queue(db, "telegram", "4242", "the queue is long")
    await db.execute("update notice set failed_at = now(), error = '550 no <such> mailbox' where channel = 'mail'")
    for query, found in {
        "": {"dave@example.com", "4242"}, "channel=telegram": {"4242"}, "state=failed": {"dave@example.com"},
        "state=waiting": {"4242"}, "q=invoice_paid": {"dave@example.com"}, "q=550 no": {"dave@example.com"}, "state=sent": set(),
    }.items():  # fmt: skip
        page = await carol.get(f"/admin/notices?{quote(query, safe='=&')}")
        assert {each for each in ("dave@example.com", "4242") if f">{each}</a></th>" in page.text} == found, query
    assert "550 no &lt;such&gt; mailbox" in (await carol.get("/admin/notices")).text
