"""The public wall: offered by the owner, let in by an admin, taken back at any time; open to everybody, page by page."""

from __future__ import annotations

import re

import anyio
import pytest

from limner.sql import accounts, audit, shares, studio, takedowns, walls
from limner.sql.takedowns import NotAsBelieved
from tests.http.conftest import Browser, hang
from tests.http.publishing import offered, shared, shown


async def hanging(browser: Browser, path: str = "/wall") -> tuple[list[str], str | None]:
    """The links on a page of the wall, and the way to the older ones."""
    page = await browser.get(path)
    assert page.status == 200
    return re.findall(r'class="wall-link" href="(/s/[\w-]+)"', page.text), page.older


async def test_nothing_hangs_there_before_an_admin_lets_it_in(alice, stranger, carol, site, cast, db):
    picture, share = await shared(site, cast.alice, caption="A pie at dusk")
    answer = await alice.post(f"/pictures/{picture}/wall", {"display_name": "  Al   from the  coast "})
    assert answer.location == f"/pictures/{picture}#share"
    assert "An admin looks at it" in (await alice.get(f"/pictures/{picture}")).text
    assert await hanging(stranger) == ([], None)
    page = await carol.get("/admin/wall")
    for words in ("A pie at dusk", "Al from the coast", cast.alice.email):
        assert words in page.text
    (offer,) = page.values("offer")
    assert (await carol.act("/admin/wall/decisions", {"act": "approve", "offer": offer})).location == "/admin/wall"
    wall = await stranger.get("/wall")
    assert await hanging(stranger) == ([share.path], None)
    assert "Al from the coast" in wall.text
    assert 'alt="A pie at dusk"' in wall.text
    for secret in (cast.alice.email, str(cast.alice.id), str(picture)):
        assert secret not in wall.text
    assert "on the wall" in (await alice.get(f"/pictures/{picture}")).text
    assert "Al from the coast" in (await stranger.get(share.path)).text
    entry = (await audit.listing(db))[0]
    assert (entry.actor, entry.action, entry.subject) == (cast.carol.email, "wall.approve", f"image {picture}")
    assert (entry.before, entry.after) == ({"wall": "waiting"}, {"wall": "shown", "reason": ""})


async def test_it_needs_a_link_first(alice, site, cast):
    picture = (await hang(site, cast.alice))[0]
    page = await alice.post(f"/pictures/{picture}/wall")
    assert (page.status, "There is no link" in page.text) == (409, True)


@pytest.mark.parametrize("name", ["alice@example.com", "https://evil.test", "x" * 41])
async def test_a_name_is_no_address(alice, site, cast, db, name):
    picture, _ = await shared(site, cast.alice)
    page = await alice.post(f"/pictures/{picture}/wall", {"display_name": name})
    assert page.status == 400
    assert name in page.text  # what was typed is still there
    assert await walls.latest(db, picture, cast.alice.id) is None


async def test_what_is_refused_says_why_and_is_not_offered_again(alice, carol, site, cast, db):
    picture, _, offer = await offered(site, cast.alice)
    page = await carol.act("/admin/wall/decisions", {"act": "refuse", "offer": str(offer)})
    assert (page.status, "The reason is missing" in page.text) == (400, True)
    await carol.act("/admin/wall/decisions", {"act": "refuse", "offer": str(offer), "reason": "Too blurred."})
    assert "Too blurred." in (await alice.get(f"/pictures/{picture}")).text
    assert (await alice.post(f"/pictures/{picture}/wall")).status == 409
    await walls.decide(db, offer, "shown", actor="test")  # an admin may think again
    assert len((await hanging(alice))[0]) == 1


async def test_what_is_taken_off_says_why(alice, carol, stranger, site, cast):
    picture, share, offer = await shown(site, cast.alice)
    await carol.act("/admin/wall/decisions", {"act": "take_off", "offer": str(offer), "reason": "A complaint."})
    assert await hanging(stranger) == ([], None)
    assert "A complaint." in (await alice.get(f"/pictures/{picture}")).text
    assert (await stranger.get(share.path)).status == 200  # the link is another thing


async def test_its_owner_takes_it_back_and_may_offer_it_again(alice, stranger, site, cast):
    picture, share, _ = await shown(site, cast.alice)
    assert (await alice.post(f"/pictures/{picture}/wall/withdrawal")).location == f"/pictures/{picture}#share"
    assert await hanging(stranger) == ([], None)
    assert (await stranger.get(share.path)).status == 200
    assert (await alice.post(f"/pictures/{picture}/wall/withdrawal")).status == 409
    assert (await alice.post(f"/pictures/{picture}/wall")).status == 303


async def test_without_its_link_it_leaves_the_wall(alice, stranger, site, cast, db):
    picture, _, offer = await shown(site, cast.alice)
    await shares.revoke(db, picture, cast.alice.id)
    assert await hanging(stranger) == ([], None)
    with pytest.raises(NotAsBelieved):
        await walls.decide(db, offer, "shown", actor="test")


async def test_it_leaves_the_wall_with_the_picture_its_owner_or_a_take_down(stranger, site, cast, db):
    pictures = [await shown(site, cast.alice) for _ in range(3)]
    assert len((await hanging(stranger))[0]) == 3
    await studio.delete_picture(db, pictures[0][0], cast.alice.id)
    assert await db.fetchval("select count(*) from wall_offer") == 2
    await takedowns.take_down(db, pictures[1][0], "no", actor="test")
    assert (await hanging(stranger))[0] == [pictures[2][1].path]
    await takedowns.restore(db, pictures[1][0], "yes", actor="test")
    assert len((await hanging(stranger))[0]) == 1  # it comes back to its owner, not to the wall
    await accounts.ban(db, cast.alice, "spam", actor="test")
    assert await hanging(stranger) == ([], None)


async def test_what_an_admin_saw_cannot_be_changed_behind_them(alice, site, cast, db):
    picture, share, offer = await offered(site, cast.alice, caption="A pie")
    page = await alice.post(f"/pictures/{picture}/share", {"caption": "Something else", "shows_prompt": "yes"})
    assert (page.status, "take it back from there first" in page.text) == (409, True)
    await walls.decide(db, offer, "shown", actor="test")
    assert (await alice.post(f"/pictures/{picture}/share", {"caption": "Something else"})).status == 409
    seen = await shares.seen(db, share.code)
    assert (seen.caption, seen.prompt) == ("A pie", "")
    await walls.withdraw(db, picture, cast.alice.id)
    assert (await alice.post(f"/pictures/{picture}/share", {"caption": "Something else"})).status == 303


@pytest.mark.parametrize("change", [{"caption": "Words never seen"}, {"caption": "A pie", "shows_prompt": "yes"}])
async def test_what_was_changed_since_the_page_was_opened_is_not_let_in_unseen(alice, carol, site, cast, db, change):
    """A picture that was refused may get other words; an admin who thinks again has to see them."""
    picture, _, offer = await offered(site, cast.alice, caption="A pie")
    await walls.decide(db, offer, "refused", "because", actor="test")
    before = (await carol.get("/admin/wall?state=refused")).values("offer")
    assert (await alice.post(f"/pictures/{picture}/share", change)).status == 303
    for stale in (before[0], str(offer)):
        page = await carol.act("/admin/wall/decisions", {"act": "approve", "offer": stale, "state": "refused"})
        assert (page.status, "look again" in page.text) == (409, True)
    assert await db.fetchval("select state from wall_offer") == "refused"
    now = (await carol.get("/admin/wall?state=refused")).values("offer")
    assert (await carol.act("/admin/wall/decisions", {"act": "approve", "offer": now[0]})).status == 303


async def test_offered_while_it_is_changed_one_of_them_wins(site, cast, db):
    for _ in range(10):
        picture, share = await shared(site, cast.alice, caption="A pie")
        won = []

        async def attempt(name, act, won=won) -> None:
            try:
                await act
            except NotAsBelieved:
                return
            won.append(name)

        async with anyio.create_task_group() as group:
            group.start_soon(attempt, "offer", walls.offer(db, picture, cast.alice.id, ""))
            changed = shares.change(db, picture, cast.alice.id, shows_prompt=True, caption="Something else")
            group.start_soon(attempt, "change", changed)
        # Either it was offered as it is now, or it was changed before it was offered: never behind the offer.
        seen = await shares.seen(db, share.code)
        order = await db.fetchval("select count(*) from wall_offer where image_id = $1", picture)
        assert order == 1
        assert "offer" in won
        assert (seen.caption == "Something else") == ("change" in won)


async def test_let_in_while_it_is_taken_back_it_does_not_hang(stranger, site, cast, db):
    for how in ("withdraw", "revoke", "take down", "delete") * 3:
        picture, _, offer = await offered(site, cast.alice)
        ends = {
            "withdraw": lambda p=picture: walls.withdraw(db, p, cast.alice.id),
            "revoke": lambda p=picture: shares.revoke(db, p, cast.alice.id),
            "take down": lambda p=picture: takedowns.take_down(db, p, "no", actor="test"),
            "delete": lambda p=picture: studio.delete_picture(db, p, cast.alice.id),
        }

        async def let_in(offer=offer) -> None:
            try:
                await walls.decide(db, offer, "shown", actor="test")
            except NotAsBelieved:
                return

        async with anyio.create_task_group() as group:
            group.start_soon(let_in)
            group.start_soon(ends[how])
        assert await hanging(stranger) == ([], None), how
        assert await db.fetchval("select count(*) from wall_offer where state = 'shown'") == 0, how


async def test_of_ten_admins_at_once_one_decides(site, cast, db):
    picture, _, offer = await offered(site, cast.alice)
    won = []

    async def attempt(to: str) -> None:
        try:
            await walls.decide(db, offer, to, "because", actor="test")
        except NotAsBelieved:
            return
        won.append(to)

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(attempt, "refused")
    assert won == ["refused"]
    assert await db.fetchval("select count(*) from audit where subject = $1", f"image {picture}") == 1


async def test_many_are_decided_at_once_and_what_changed_meanwhile_is_left(carol, stranger, site, cast, db):
    made = [await offered(site, cast.alice) for _ in range(4)]
    await walls.withdraw(db, made[1][0], cast.alice.id)
    offers = [("offer", f"{offer}~{walls.beside('', False)}") for _, _, offer in made]
    answer = await carol.act("/admin/wall/decisions", [("act", "approve"), *offers])
    assert answer.status == 303
    assert "decided or taken back meanwhile" in (await carol.get("/admin/wall")).text
    assert set((await hanging(stranger))[0]) == {share.path for at, (_, share, _) in enumerate(made) if at != 1}
    again = await carol.act("/admin/wall/decisions", [("act", "approve"), *offers])
    assert (again.status, "faster" in again.text) == (409, True)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"act": "approve"},
        {"act": "burn", "offer": "1"},
        {"act": "approve", "offer": "x"},
        {"act": "approve", "offer": "-1"},
        {"act": "approve", "offer": "9" * 30},
        {"act": "refuse", "offer": "1", "reason": "x" * 501},
    ],
)
async def test_a_bent_form_changes_nothing(carol, site, cast, db, fields):
    await offered(site, cast.alice)
    assert (await carol.act("/admin/wall/decisions", fields)).status == 400
    assert await db.fetchval("select state from wall_offer") == "waiting"


async def test_fifty_three_pictures_are_three_pages_without_doubles_or_gaps(stranger, site, cast, db):
    made = [await shown(site, cast.alice) for _ in range(53)]
    await db.execute(
        "update wall_offer set decided_at = date_trunc('hour', decided_at)"
    )  # all of them at the same moment
    seen, path, sizes = [], "/wall", []
    while path:
        links, path = await hanging(stranger, path)
        seen += links
        sizes.append(len(links))
    assert sizes == [24, 24, 5]
    assert sorted(seen) == sorted(share.path for _, share, _ in made)


@pytest.mark.parametrize(
    "before", ["x", "~", "2026-01-01~x", "0001-01-01T00:00:00~1", "%00~1", "2026-01-01~" + "9" * 40]
)
async def test_a_bent_address_shows_the_newest_or_nothing(stranger, carol, site, cast, before):
    await shown(site, cast.alice)
    assert (await stranger.get(f"/wall?before={before}")).status == 200
    assert (await carol.get(f"/admin/wall?state=shown&before={before}")).status == 200


async def test_every_state_has_its_list(carol, site, cast, db):
    for to in ("shown", "refused"):
        _, _, offer = await offered(site, cast.alice, caption=f"it is {to}")
        await walls.decide(db, offer, to, "because", actor="test")
    _, _, offer = await shown(site, cast.alice, caption="it is taken_off")
    await walls.decide(db, offer, "taken_off", "because", actor="test")
    await offered(site, cast.alice, caption="it is waiting")
    for state in walls.STATES:
        page = await carol.get(f"/admin/wall?state={state}")
        assert re.findall(r"<bdi>it is (\w+)</bdi>", page.text) == [state]


@pytest.mark.parametrize("query", ["q=PIE", "q=lice@exa", "state=waiting&q=pie&since=2001-01-01"])
async def test_an_offer_is_found_by_its_words_and_its_owner(carol, site, cast, query):
    _, _, offer = await offered(site, cast.alice, caption="A pie")
    assert (await carol.get(f"/admin/wall?{query}")).values("offer")[0].startswith(str(offer))
    assert (await carol.get(f"/admin/wall?{query}&until=2001-01-01")).text.count('name="offer"') == 0
    assert (await carol.get("/admin/wall?q=cake")).text.count('name="offer"') == 0
