"""Reports: anybody who sees a picture may say that it should not be shown; an admin dismisses that, or takes it down."""

from __future__ import annotations

import csv
import io
import re
from datetime import timedelta
from uuid import UUID

import pytest

from limner.sql import accounts, audit, erasure, images, reports, studio, takedowns
from limner.sql.shares import NotShared
from tests.http.conftest import Page, hang, numbers
from tests.http.publishing import offered, report, shared, shown

WHY = "It shows a person who did not agree."


def rows(page: Page) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(page.body.decode("utf-8-sig"))))


async def test_a_visitor_reports_without_signing_in(stranger, carol, site, cast):
    picture, share = await shared(site, cast.alice)
    answer = await stranger.post(f"{share.path}/reports", {"kind": "person", "words": "That is my sister."})
    assert (answer.status, answer.location) == (303, share.path)
    assert "Somebody will look at it" in (await stranger.get(share.path)).text
    page = await carol.get("/admin/reports")
    for words in ("That is my sister.", "without consent", "Reported by 1 visitor", cast.alice.email, str(picture)):
        assert words in page.text


@pytest.mark.parametrize(
    "fields, words",
    [
        ({}, "Please choose what is wrong"),
        ({"kind": "boring"}, "Please choose what is wrong"),
        ({"kind": "other"}, "Please say what is wrong"),
        ({"kind": "hate", "words": "x" * 1001}, "at most 1000 characters, not 1001"),
    ],
)
async def test_what_is_missing_is_said_and_what_was_typed_stays(stranger, site, cast, db, fields, words):
    _, share = await shared(site, cast.alice)
    page = await stranger.post(f"{share.path}/reports", fields)
    assert (page.status, words in page.text, '<details class="report-box" open' in page.text) == (400, True, True)
    assert fields.get("words", "") in page.text
    assert await numbers(db, "report") == 0


async def test_a_form_of_another_site_reports_nothing(stranger, site, cast, db):
    _, share = await shared(site, cast.alice)
    assert (await stranger.send("POST", f"{share.path}/reports", data={"kind": "hate"})).status == 403
    assert await numbers(db, "report") == 0


async def test_the_same_household_again_is_the_same_report(stranger, alice, site, cast, db):
    picture, share = await shared(site, cast.alice)
    assert await report(stranger, share, "hate", "first words") == 303
    assert await report(stranger, share, "violence") == 303
    assert await report(alice, share, "violence") == 303  # from the same address, with an account
    (case,) = await reports.open_cases(db)
    assert (case.image_id, case.people, case.times, case.kinds) == (picture, 1, 3, ["violence"])
    assert case.words == ["first words"]
    (one,) = await reports.of_image(db, picture)
    assert (one.email, one.times) == (cast.alice.email, 3)


async def test_different_people_are_counted_and_grouped(site, cast, db):
    picture, _ = await shared(site, cast.alice)
    for number in range(5):
        await reports.file(db, picture, ["hate", "rights"][number % 2], f"words {number}", address=f"192.0.2.{number}")
    (case,) = await reports.open_cases(db)
    assert (case.people, case.times, case.kinds, len(case.words)) == (5, 5, ["hate", "rights"], 3)
    assert (await reports.waiting(db))[0] == 1


async def test_a_flood_is_slowed_down(stranger, site, cast, db):
    made = [await shared(site, cast.alice) for _ in range(11)]
    answers = [await report(stranger, share) for _, share in made]
    assert answers == [303] * 10 + [429]
    assert (await reports.waiting(db))[0] == 10


async def test_a_dismissed_report_is_settled_and_may_come_again(stranger, carol, site, cast, db):
    picture, share = await shared(site, cast.alice)
    await report(stranger, share)
    fields = {"act": "dismiss", "picture": str(picture), "reason": "It is a drawing."}
    assert (await carol.act("/admin/reports/decisions", fields)).location == "/admin/reports"
    assert (await reports.waiting(db)) == (0, None)
    assert "It is a drawing." in (await carol.get("/admin/reports?state=settled")).text
    assert (await stranger.get(share.path)).status == 200
    entry = (await audit.listing(db))[0]
    assert (entry.actor, entry.action, entry.subject) == (cast.carol.email, "report.dismiss", f"image {picture}")
    assert (entry.before, entry.after) == ({"reports": 1}, {"reports": 0, "reason": "It is a drawing."})
    again = await carol.act("/admin/reports/decisions", fields)
    assert (again.status, "somebody was faster" in again.text) == (409, True)
    await report(stranger, share)
    assert (await reports.waiting(db))[0] == 1


async def test_a_take_down_settles_its_reports(stranger, carol, alice, site, cast, db):
    picture, share, _ = await shown(site, cast.alice)
    await report(stranger, share)
    fields = {"act": "take_down", "picture": str(picture), "reason": WHY}
    assert (await carol.act("/admin/reports/decisions", fields)).status == 303
    assert (await stranger.get(share.path)).status == 410
    assert WHY in (await alice.get(f"/pictures/{picture}")).text
    (case,) = await reports.settled_cases(db)
    assert (case.outcome, case.reason, case.is_down) == ("taken_down", WHY, True)
    down = await carol.get("/admin/reports?state=down")
    assert WHY in down.text
    assert (await stranger.post(f"{share.path}/reports", {"kind": "hate"})).status == 410
    with pytest.raises(NotShared):
        await reports.file(db, picture, "hate", "", address="192.0.2.9")


async def test_many_are_decided_for_one_reason(carol, site, cast, db):
    pictures = [(await shared(site, cast.alice))[0] for _ in range(3)]
    for picture in pictures:
        await reports.file(db, picture, "hate", "", address="192.0.2.1")
    await takedowns.take_down(db, pictures[0], "before", actor="test")
    chosen = [("picture", str(picture)) for picture in pictures]
    answer = await carol.act("/admin/reports/decisions", [("act", "take_down"), ("reason", WHY), *chosen])
    assert answer.status == 303
    assert [(await takedowns.get(db, picture)).reason for picture in pictures] == ["before", WHY, WHY]


@pytest.mark.parametrize(
    "fields",
    [{}, {"act": "dismiss"}, {"act": "burn", "reason": "x"}, {"act": "dismiss", "reason": "x", "picture": "x"}],
)
async def test_a_bent_form_changes_nothing(carol, site, cast, db, fields):
    picture, _ = await shared(site, cast.alice)
    await reports.file(db, picture, "hate", "", address="192.0.2.1")
    assert (await carol.act("/admin/reports/decisions", fields)).status == 400
    bent = {name: value for name, value in fields.items() if name != "reason"}
    assert (await carol.act(f"/admin/pictures/{picture}/decision", bent)).status == 400
    assert (await reports.waiting(db))[0] == 1


async def test_one_picture_before_the_admin(stranger, carol, alice, site, cast, db):
    picture, share, _ = await shown(site, cast.alice)
    await report(stranger, share, "rights", "It is mine.")
    page = await carol.get(f"/admin/pictures/{picture}")
    for words in ("It is mine.", "It uses work that is mine", "127.0.0.1", "moves no credits", "#grant-title"):
        assert words in page.text
    post = f"/admin/pictures/{picture}/decision"
    assert (await carol.post(post, {"act": "take_down", "reason": WHY})).location == f"/admin/pictures/{picture}"
    for part in ("file", "thumbnail"):  # whoever decides must see what it is about
        assert (await carol.get(f"/admin/pictures/{picture}/{part}")).status == 200
    assert (await carol.post(post, {"act": "take_down", "reason": WHY})).status == 409
    assert (await carol.post(post, {"act": "restore", "reason": "They agreed."})).status == 303
    page = await carol.get(f"/admin/pictures/{picture}")
    for words in ("picture.take_down", "picture.restore", WHY, "They agreed.", cast.carol.email):
        assert words in page.text
    assert (await alice.get(f"/pictures/{picture}/file")).status == 200


async def test_what_was_never_shown_to_others_stays_private(carol, alice, site, cast, db):
    picture = (await hang(site, cast.alice))[0]
    page = await carol.get(f"/admin/pictures/{picture}")
    assert (page.status, "It is private" in page.text) == (200, True)
    for part in ("file", "thumbnail"):
        assert (await carol.get(f"/admin/pictures/{picture}/{part}")).status == 404
    answer = await carol.act(f"/admin/pictures/{picture}/decision", {"act": "take_down", "reason": WHY})
    assert answer.status == 303
    assert (await alice.get(f"/pictures/{picture}/file")).status == 410
    assert (await carol.get(f"/admin/pictures/{picture}/file")).status == 200


async def test_the_generation_leads_to_its_pictures(carol, site, cast, db):
    picture = (await hang(site, cast.alice))[0]
    generation = await db.fetchval("select generation_id from image where id = $1", picture)
    assert f"/admin/pictures/{picture}" in (await carol.get(f"/admin/generations/{generation}")).text


async def test_reports_and_offers_to_the_wall_can_be_taken_along(carol, stranger, site, cast, db):
    for number in range(30):
        _, share, _ = await offered(site, cast.alice, caption=f"=pie {number:02}")
        await report(stranger, share, words=f"I mind {number:02}")
        await db.execute("delete from throttle")
    file = (await carol.get("/admin/reports.csv")).text
    assert [f"I mind {number:02}" in file for number in range(30)] == [True] * 30
    assert "I mind" not in (await carol.get("/admin/reports.csv?state=settled")).text
    assert (await carol.get("/admin/reports.csv?state=lost")).status == 400
    file = (await carol.get("/admin/wall.csv")).text
    assert [f"'=pie {number:02}" in file for number in range(30)] == [True] * 30
    assert "pie" not in (await carol.get("/admin/wall.csv?state=shown")).text
    assert await db.fetchval("select count(*) from audit where action = 'export'") == 4


async def test_support_looks_and_decides_nothing(stranger, site, cast, db):
    await accounts.set_role(db, cast.bob, "support", actor="test")
    support = await site.browser(cast.bob)
    picture, share, _ = await shown(site, cast.alice)
    await report(stranger, share)
    for path in ("/admin/reports", "/admin/wall?state=shown", f"/admin/pictures/{picture}"):
        page = await support.get(path)
        assert page.status == 200
        desk = re.sub(r'<form class="sieve".*?</form>', "", page.text.partition('class="desk"')[2], flags=re.DOTALL)
        assert "<button" not in desk, path  # but for the search
    for path in ("/admin/reports/decisions", "/admin/wall/decisions", f"/admin/pictures/{picture}/decision"):
        assert (await support.post(path, {"act": "take_down", "reason": "x", "picture": str(picture)})).status == 403


async def test_a_picture_that_goes_takes_its_reports_off_the_desk(stranger, carol, site, cast, db):
    picture, share = await shared(site, cast.alice)
    await report(stranger, share)
    await studio.delete_picture(db, picture, cast.alice.id)
    assert (await reports.waiting(db))[0] == 0
    assert "The picture is gone" in (await carol.get("/admin/reports?state=settled")).text
    assert (await carol.get(f"/admin/pictures/{picture}/file")).status == 404


async def test_retention_settles_reports_too(stranger, site, cast, db):
    _, share = await shared(site, cast.alice)
    await report(stranger, share)
    await db.execute("update plan set retention_days = 1")
    await db.execute("update image set created_at = now() - interval '2 days'")
    await images.retire(db)
    assert [case.outcome for case in await reports.settled_cases(db)] == ["gone"]
    assert (await stranger.get(share.path)).status == 410


async def test_who_leaves_takes_links_wall_and_name_along(stranger, alice, site, cast, db):
    _, share, _ = await shown(site, cast.alice, "Al", caption="My street")
    theirs, _ = await shared(site, cast.bob)
    await reports.file(db, theirs, "hate", "so it is", address="192.0.2.7", account_id=cast.alice.id)
    await erasure.erase(db, cast.alice.id, actor="test", why="they asked")
    assert (await stranger.get(share.path)).status == 410
    assert "Al" not in [row["display_name"] for row in await db.fetch("select display_name from wall_offer")]
    assert await db.fetchval("select count(*) from share where caption <> ''") == 0
    (one,) = await reports.of_image(db, theirs)
    assert (one.words, one.address, one.email) == ("so it is", "", None)


async def test_who_reported_is_forgotten_a_month_after_it_is_settled(site, cast, db):
    picture, _ = await shared(site, cast.alice)
    await reports.file(db, picture, "hate", "words", address="192.0.2.7", account_id=cast.bob.id)
    await reports.dismiss(db, picture, "a drawing", actor="test")
    assert await reports.forget_old(db) == 0
    await db.execute("update report set settled_at = now() - interval '31 days'")
    assert await reports.forget_old(db) == 1
    (one,) = await reports.of_image(db, picture)
    assert (one.words, one.address, one.email) == ("words", "", None)


async def test_sixty_cases_are_three_pages_oldest_first(carol, site, cast, db):
    pictures = await hang(site, cast.alice, 60)
    await db.execute(
        "insert into report (image_id, kind, address, created_at) select id, 'hate', 'x', now() - (n / 7) * interval '1 min' "
        "from unnest($1::uuid[]) with ordinality as t (id, n)",
        pictures,
    )
    seen, path = [], "/admin/reports"
    while path:
        page = await carol.get(path)
        seen += page.values("picture")
        path = page.older
    assert sorted(seen) == sorted(map(str, pictures))
    oldest = await db.fetchval("select image_id from report order by created_at, image_id limit 1")
    assert seen[0] == str(oldest)
    await db.execute("update report set settled_at = now(), outcome = 'dismissed'")
    seen, path = [], "/admin/reports?state=settled"
    while path:
        page = await carol.get(path)
        seen += {part for part in page.text.split('"') if part.startswith("/admin/pictures/") and len(part) == 52}
        path = page.older
    assert len(seen) == len(set(seen)) == 60


async def reported(db, site, owner, prompt, words, ago) -> str:
    """The id of a picture that was reported so many days ago."""
    (picture,) = await hang(site, owner)
    await db.execute(
        "update generation set prompt = $2 where id = (select generation_id from image where id = $1)", picture, prompt
    )
    await reports.file(db, picture, "hate", words, address="192.0.2.1")
    await db.execute(
        "update report set created_at = now() - make_interval(days => $2) where image_id = $1", picture, ago
    )
    return str(picture)


@pytest.fixture
async def three(db, site, cast) -> dict[str, str]:
    """Pictures that were reported three, two days ago, and today; of the first one somebody said two things."""
    found = {
        "sale": await reported(db, site, cast.alice, "a poster: 50% off", "", 3),
        "fox": await reported(db, site, cast.alice, "a fox", "This is 100 percent mine.", 2),
        "hare": await reported(db, site, cast.bob, "a hare", "under_scored", 0),
    }
    await reports.file(db, UUID(found["sale"]), "rights", "Copied from \\\\share.", address="192.0.2.2")
    return found


FOUND = [
    ("%", ["sale"], ["sale"]), ("_", ["hare"], []), ("\\", ["sale"], []), ("50% OFF", ["sale"], ["sale"]),
    ("percent mine", ["fox"], []), ("copied", ["sale"], []), ("alice@", ["sale", "fox"], ["sale", "fox"]),
    ("BOB@example", ["hare"], ["hare"]), ("a ", ["sale", "fox", "hare"], ["sale", "fox", "hare"]), ("hate", [], []),
    ("x" * 254, [], []),
]  # fmt: skip
"""What is typed, which reports it finds, and which take-downs, that know no words of visitors; nothing of it is a pattern."""


@pytest.mark.parametrize(("typed", "said", "down"), FOUND)
async def test_a_reported_picture_is_found_by_what_was_said_of_it_in_each_state(carol, db, three, typed, said, down):
    page = await carol.send("GET", "/admin/reports", params={"q": typed})
    assert (page.status, page.values("picture")) == (200, [three[name] for name in said])
    for picture in three.values():
        await takedowns.take_down(db, UUID(picture), "it may not stay", actor="test")
    for state, names in (("settled", said), ("down", down)):
        wanted = {three[name] for name in names}
        file = await carol.send("GET", "/admin/reports.csv", params={"q": typed, "state": state})
        assert {row["picture"] for row in rows(file)} == wanted, state
        page = await carol.send("GET", "/admin/reports", params={"q": typed, "state": state})
        assert {picture for picture in three.values() if f"/admin/pictures/{picture}" in page.text} == wanted, state


async def test_a_reported_picture_is_found_by_its_id_and_what_is_decided_by_its_reason(carol, db, three):
    for state in ("open", "settled", "down"):
        for picture in three.values():
            page = await carol.get(f"/admin/reports?state={state}&q={picture}")
            assert {each for each in three.values() if f"/admin/pictures/{each}" in page.text} == {picture}, state
        if state == "open":
            for name, picture in three.items():
                await takedowns.take_down(db, UUID(picture), f"the {name} goes", actor="test")
    for state in ("settled", "down"):
        file = await carol.get(f"/admin/reports.csv?state={state}&q=hare+goes")
        assert [row["reason"] for row in rows(file)] == ["the hare goes"]


async def test_days_count_from_the_first_report_and_of_what_is_decided_from_the_decision(carol, db, three):
    today = await db.fetchval("select current_date")
    two_ago = today - timedelta(days=2)
    between = f"since={two_ago}&until={today - timedelta(days=1)}"
    assert (await carol.get(f"/admin/reports?{between}")).values("picture") == [three["fox"]]
    assert (await carol.get(f"/admin/reports?until={two_ago}")).values("picture") == [three["sale"], three["fox"]]
    for picture in three.values():
        await takedowns.take_down(db, UUID(picture), "it may not stay", actor="test")
    await db.execute(
        "update report set settled_at = now() - interval '2 days' where image_id = $1", UUID(three["hare"])
    )
    await db.execute(
        "update takedown set taken_at = now() - interval '2 days' where image_id = $1", UUID(three["hare"])
    )
    for state in ("settled", "down"):
        file = await carol.get(f"/admin/reports.csv?state={state}&{between}")
        assert [row["picture"] for row in rows(file)] == [three["hare"]], state


async def test_what_is_narrowed_stays_so_while_turning_and_after_a_decision(carol, site, cast, db):
    pictures = await hang(site, cast.alice, 60)
    for n, picture in enumerate(pictures):
        await reports.file(db, picture, "hate", "an odd one" if n % 2 else "an even one", address="192.0.2.1")
    wanted = sorted(str(picture) for n, picture in enumerate(pictures) if n % 2)
    seen, path = [], "/admin/reports?q=odd"
    while path:
        page = await carol.get(path)
        assert "“odd”" in page.text
        seen += page.values("picture")
        path = page.older
    assert sorted(seen) == wanted
    address = re.search(r'action="(/admin/reports/decisions[^"]*)"', page.text)
    fields = {"act": "take_down", "picture": seen[0]}
    again = await carol.act(address[1], fields)
    assert (again.status, set(again.values("picture")) <= set(wanted)) == (400, True)
    assert (await carol.act(address[1], {**fields, "reason": WHY})).location == "/admin/reports?q=odd"
    for picture in seen[1:]:
        await takedowns.take_down(db, UUID(picture), WHY, actor="test")
    for state in ("settled", "down"):
        found, path = [], f"/admin/reports?state={state}&q=agree"
        while path:
            page = await carol.get(path)
            found += {part for part in page.text.split('"') if part.startswith("/admin/pictures/") and len(part) == 52}
            path = page.older
        assert sorted(found) == [f"/admin/pictures/{picture}" for picture in wanted], state


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("state=lost", "State is one of open, settled, down, not &#39;lost&#39;."),
        ("since=2026-13-01", "Since looks like 2027-01-31, not &#39;2026-13-01&#39;."),
        ("before=yesterday", "Before is a moment and an id, not &#39;yesterday&#39;."),
        ("state=down&before=x~y", "Before is a moment and a number, not &#39;x~y&#39;."),
    ],
)
async def test_what_the_list_of_reports_does_not_know_is_refused_by_name_and_value(carol, asked, words):
    page = await carol.get(f"/admin/reports?{asked}")
    assert (page.status, words in page.text) == (400, True)


async def test_a_search_that_finds_nothing_says_so(carol, three):
    page = await carol.get("/admin/reports?q=submarine")
    assert ("Nothing matches that" in page.text, "comes here" in page.text) == (True, False)


CANARY = "\"'><img src=x onerror=alert(1)><script>alert(2)</script>{{7*7}}"


async def test_nothing_that_was_typed_runs_on_any_page(stranger, alice, carol, site, cast, db):
    picture, share, _ = await shown(site, cast.alice, "<b>Al</b>", caption=CANARY, shows_prompt=True)
    await db.execute("update generation set prompt = $1", CANARY)
    await report(stranger, share, "other", CANARY)
    pages = [
        await stranger.get(share.path), await stranger.get("/wall"), await alice.get(f"/pictures/{picture}"),
        await carol.get("/admin/wall?state=shown"), await carol.get("/admin/reports"),
        await carol.get(f"/admin/pictures/{picture}"),
    ]  # fmt: skip
    await takedowns.take_down(db, picture, CANARY, actor="test")
    pages += [
        await alice.get(f"/pictures/{picture}"), await alice.get("/gallery"), await alice.get(f"/pictures/{picture}/file"),
        await carol.get("/admin/reports?state=down"), await carol.get("/admin/reports?state=settled"),
        await carol.get("/admin/wall?state=taken_off"), await carol.get(f"/admin/pictures/{picture}"),
    ]  # fmt: skip
    for page in pages:
        assert page.status in (200, 410)
        for raw in ("<img src=x", "<script>alert", "<b>Al", "49}}"):
            assert raw not in page.text
