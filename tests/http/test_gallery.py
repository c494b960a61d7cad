"""The gallery: every picture once, page by page, and a deleted one is gone at once."""

from __future__ import annotations

import io
import re

import pytest
from PIL import Image

from limner.sql import images
from tests.http.conftest import Browser, drawn, hang
from tests.http.painting import ordered, take_up


async def shown(browser: Browser, path: str) -> tuple[list[str], str | None]:
    """The pictures of a page and the way to the older ones."""
    page = await browser.get(path)
    assert page.status == 200
    return re.findall(r'href="/pictures/([0-9a-f-]{36})"', page.text), page.older


async def walk(browser: Browser, path: str | None = "/gallery") -> list[list[str]]:
    pages = []
    while path:
        pictures, path = await shown(browser, path)
        pages.append(pictures)
    return pages


async def test_eighty_five_pictures_are_three_pages_without_doubles_or_gaps(alice, site, cast):
    hung = await hang(site, cast.alice, 85)
    pages = await walk(alice)
    assert [len(page) for page in pages] == [40, 40, 5]
    seen = [picture for page in pages for picture in page]
    assert set(seen) == {str(picture) for picture in hung}
    assert len(seen) == 85


async def test_what_arrives_while_one_leafs_moves_nothing(alice, site, cast):
    before = {str(picture) for picture in await hang(site, cast.alice, 85)}
    first, older = await shown(alice, "/gallery")
    await hang(site, cast.alice, 7)
    rest = await walk(alice, older)
    seen = [*first, *(picture for page in rest for picture in page)]
    assert before <= set(seen)
    assert len(seen) == len(set(seen))


async def test_what_is_deleted_while_one_leafs_leaves_no_gap(alice, site, cast):
    await hang(site, cast.alice, 85)
    first, older = await shown(alice, "/gallery")
    await alice.post(f"/pictures/{first[-1]}/deletion")
    rest = await walk(alice, older)
    assert len(first) + sum(map(len, rest)) == 85


async def test_nobody_sees_the_pictures_of_others(bob, site, cast):
    await hang(site, cast.alice, 3)
    assert (await shown(bob, "/gallery"))[0] == []
    assert "Nothing hangs here yet" in (await bob.get("/gallery")).text


@pytest.mark.parametrize(
    "before",
    [
        "",
        "x",
        "~",
        "2026-01-01~x",
        "0001-01-01T00:00:00~{id}",
        "9999-12-31T23:59:59-23:59~{id}",
        "%00~{id}",
        "1~{id}~2",
    ],
)
async def test_a_bent_address_shows_the_newest_or_nothing(alice, site, cast, before):
    hung = await hang(site, cast.alice, 2)
    page = await alice.get("/gallery?before=" + before.replace("{id}", str(hung[0])))
    assert page.status == 200


async def test_a_picture_tells_where_it_comes_from_and_what_it_cost(alice, site):
    await ordered(alice, prompt="the pier at dusk")
    picture = await (await take_up(site)).deliver()
    page = await alice.get(f"/pictures/{picture}")
    for words in ("the pier at dusk", "Demo painter", "512 × 512", "reserved 1, delivered, charged 1"):
        assert words in page.text


async def test_a_picture_is_downloaded_whole_under_a_plain_name(alice, site):
    await ordered(alice)
    picture = await (await take_up(site)).deliver()
    page = await alice.get(f"/pictures/{picture}/file?download=1")
    assert page.headers["Content-Disposition"] == f'attachment; filename="limner-{str(picture)[:8]}.png"'
    assert page.body == drawn("PNG", 512, 512)
    assert Image.open(io.BytesIO((await alice.get(f"/pictures/{picture}/thumbnail")).body)).format == "WEBP"
    assert "Content-Disposition" not in (await alice.get(f"/pictures/{picture}/file")).headers


async def test_until_the_small_copy_hangs_the_picture_itself_is_shown(alice, site, db):
    await ordered(alice)
    picture = await (await take_up(site)).deliver(framed=False)
    early = await alice.get(f"/pictures/{picture}/thumbnail")
    assert (early.status, early.headers["Content-Type"], early.body) == (200, "image/png", drawn("PNG", 512, 512))
    assert early.headers["Cache-Control"] == "private, no-cache"
    key = await db.fetchval("select thumb_key from image")
    await site.storage.put(key, drawn("WEBP"), "image/webp")
    await images.framed(db, picture)
    late = await alice.get(f"/pictures/{picture}/thumbnail", If_None_Match=early.headers["ETag"])
    assert (late.status, late.headers["Content-Type"]) == (200, "image/webp")


async def test_a_deleted_picture_is_gone_at_once_everywhere(alice, site):
    thread = await ordered(alice)
    picture = await (await take_up(site)).deliver()
    answer = await alice.post(f"/pictures/{picture}/deletion")
    assert answer.location == "/gallery"
    assert "The picture is deleted" in (await alice.get("/gallery")).text
    for part in ("", "/file", "/file?download=1", "/thumbnail"):
        assert (await alice.get(f"/pictures/{picture}{part}")).status == 404
    for path in ("/gallery", "/dashboard", f"/studio/{thread}"):
        assert str(picture) not in (await alice.get(path)).text
    assert (await alice.post(f"/pictures/{picture}/deletion")).status == 404


async def test_a_deleted_picture_leaves_the_money_as_it_was(alice, site, db, cast):
    await ordered(alice)
    picture = await (await take_up(site)).deliver()
    await alice.post(f"/pictures/{picture}/deletion")
    row = await db.fetchrow("select available, held, spent from balance where account_id = $1", cast.alice.id)
    assert tuple(row) == (99, 0, 1)


async def test_a_picture_whose_bytes_are_lost_is_no_crash(alice, site, db):
    await ordered(alice)
    picture = await (await take_up(site)).deliver()
    await site.storage.delete(await db.fetchval("select storage_key from image"))
    assert (await alice.get(f"/pictures/{picture}/file")).status == 404
    assert (await alice.get(f"/pictures/{picture}")).status == 200
