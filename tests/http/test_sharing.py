"""Links to pictures: made and revoked by their owner, open to whoever has them, and silent about everything else."""

from __future__ import annotations

import io
import re

import anyio
import pytest
from PIL import Image, PngImagePlugin

from limner.runtime.errors import NotFound
from limner.sql import accounts, audit, images, shares, studio, takedowns, takeout, walls
from limner.sql.shares import NotShared
from limner.sql.takedowns import NotAsBelieved
from tests.conftest import held
from tests.http.conftest import hang, serving
from tests.http.painting import ordered, take_up
from tests.http.publishing import shared, shown


async def make(alice, picture, **fields):
    """Make the link by the form; its path."""
    answer = await alice.post(f"/pictures/{picture}/share", fields)
    assert answer.location == f"/pictures/{picture}#share"
    return re.search(
        r'id="share-link" value="http://[^/"]+(/s/[\w-]+)"', (await alice.get(f"/pictures/{picture}")).text
    )[1]


async def test_a_link_shows_the_picture_to_anybody_and_nothing_else(alice, stranger, site, cast):
    await ordered(alice, prompt="my secret recipe")
    picture = await (await take_up(site)).deliver()
    path = await make(alice, picture, caption="A pie at dusk")
    page = await stranger.get(path)
    assert page.status == 200
    assert "A pie at dusk" in page.text
    for secret in ("my secret recipe", cast.alice.email, str(cast.alice.id), str(picture), "alice"):
        assert secret not in page.text
    for part in ("picture", "thumbnail"):
        file = await stranger.get(f"{path}/{part}")
        assert (file.status, file.headers["Content-Type"].startswith("image/")) == (200, True)
        assert b"my secret recipe" not in file.body


async def test_the_prompt_is_shown_by_choice_alone(alice, stranger, site):
    await ordered(alice, prompt="my secret recipe")
    picture = await (await take_up(site)).deliver()
    path = await make(alice, picture)
    assert "my secret recipe" not in (await stranger.get(path)).text
    await alice.post(f"/pictures/{picture}/share", {"shows_prompt": "yes"})
    assert "my secret recipe" in (await stranger.get(path)).text
    await alice.post(f"/pictures/{picture}/share", {"caption": "A pie"})
    assert "my secret recipe" not in (await stranger.get(path)).text


async def test_a_messenger_finds_what_it_shows_as_a_preview(stranger, site, cast):
    _, share = await shared(site, cast.alice, caption="A pie at dusk")
    text = (await stranger.get(share.path)).text
    told = dict(re.findall(r'<meta property="og:([a-z:_]+)" content="([^"]*)">', text))
    assert told["title"] == told["image:alt"] == "A pie at dusk"
    assert (told["url"], told["image"]) == (f"{site.url}{share.path}", f"{site.url}{share.path}/thumbnail")
    assert (told["image:width"], told["image:height"]) == ("480", "480")
    assert (await stranger.get(told["image"].removeprefix(site.url))).status == 200


async def test_a_code_cannot_be_guessed(site, cast):
    made = {(await shared(site, cast.alice))[1].code for _ in range(20)}
    assert len(made) == 20
    assert all(len(code) == 24 for code in made)  # 18 random bytes are 144 bits
    assert not any(one[:8] == other[:8] for one in made for other in made if one is not other)


async def test_search_engines_are_sent_away_unless_it_hangs_on_the_wall(stranger, site, cast):
    _, private = await shared(site, cast.alice)
    _, public, _ = await shown(site, cast.alice)
    for path in (private.path, f"{private.path}/picture", f"{private.path}/thumbnail"):
        assert (await stranger.get(path)).headers["X-Robots-Tag"] == "noindex"
    assert '<meta name="robots" content="noindex">' in (await stranger.get(private.path)).text
    for path in (public.path, f"{public.path}/picture", f"{public.path}/thumbnail"):
        assert "X-Robots-Tag" not in (await stranger.get(path)).headers
    assert "noindex" not in (await stranger.get(public.path)).text


async def test_where_the_wall_was_taken_away_what_hung_there_is_a_link_like_any_other(dsn, tmp_path, db, cast):
    async with held(serving(dsn, tmp_path, db, sharing="wall")) as site:
        _, share, _ = await shown(site, cast.alice, "Al from the coast")
        page = await (await site.browser()).get(share.path)
        assert ("noindex" in page.text, "Al from the coast" in page.text) == (False, True)
    async with held(serving(dsn, tmp_path, db, sharing="links")) as site:
        stranger = await site.browser()
        page = await stranger.get(share.path)
        assert (page.status, page.headers["X-Robots-Tag"]) == (200, "noindex")
        assert ("noindex" in page.text, "Al from the coast" in page.text) == (True, False)
        for part in ("picture", "thumbnail"):
            assert (await stranger.get(f"{share.path}/{part}")).headers["X-Robots-Tag"] == "noindex"


async def test_revoking_ends_it_at_once_also_for_who_has_it_in_the_cache(alice, stranger, site):
    await ordered(alice)
    picture = await (await take_up(site)).deliver()
    path = await make(alice, picture)
    files = [await stranger.get(f"{path}/{part}") for part in ("picture", "thumbnail")]
    for file in files:
        assert (
            file.headers["Cache-Control"] == "private, no-cache"
        )  # kept by no one but this browser, and asked for again
    assert (await stranger.get(path)).headers["Cache-Control"] == "no-store"
    again = await stranger.get(f"{path}/picture", If_None_Match=files[0].headers["ETag"])
    assert (again.status, again.body) == (304, b"")
    assert (await alice.post(f"/pictures/{picture}/share/revocation")).location == f"/pictures/{picture}#share"
    for part in ("", "/picture", "/thumbnail"):
        page = await stranger.get(path + part, If_None_Match=files[0].headers["ETag"])
        assert (page.status, "not shown any more" in page.text) == (410, True)
    assert (await stranger.post(f"{path}/reports", {"kind": "hate"})).status == 410
    own = await alice.get(f"/pictures/{picture}")
    assert "link is revoked" in own.text
    assert path not in own.text


async def test_a_new_link_is_another_one(alice, stranger, site, cast):
    picture = (await hang(site, cast.alice))[0]
    old = await make(alice, picture)
    await alice.post(f"/pictures/{picture}/share/revocation")
    new = await make(alice, picture)
    assert old != new
    assert ((await stranger.get(old)).status, (await stranger.get(new)).status) == (410, 200)


async def test_it_ends_with_the_picture_its_owner_or_a_take_down(stranger, site, cast, db):
    async def deleted(picture):
        await studio.delete_picture(db, picture, cast.alice.id)

    async def retired(picture):
        await db.execute("update plan set retention_days = 1")
        await db.execute("update image set created_at = now() - interval '2 days' where id = $1", picture)
        await images.retire(db)

    async def down(picture):
        await takedowns.take_down(db, picture, "no", actor="test")

    async def banned(_):
        await accounts.ban(db, cast.alice, "spam", actor="test")

    for end in (deleted, retired, down, banned):
        picture, share = await shared(site, cast.alice)
        assert (await stranger.get(share.path)).status == 200
        await end(picture)
        for part in ("", "/picture", "/thumbnail"):
            assert (await stranger.get(share.path + part)).status == 410, end


async def test_a_restored_picture_has_its_link_again(stranger, site, cast, db):
    picture, share = await shared(site, cast.alice)
    await takedowns.take_down(db, picture, "no", actor="test")
    await takedowns.restore(db, picture, "yes", actor="test")
    assert (await stranger.get(share.path)).status == 200


@pytest.mark.parametrize("code", ["x", "a" * 24, "a" * 5000, "%00" * 24, "%ff" * 24, "'%20or%201=1--aaaaaaaaaaaaa"])
async def test_what_is_no_code_leads_nowhere(stranger, code):
    for part in ("", "/picture", "/thumbnail"):
        assert (await stranger.get(f"/s/{code}{part}")).status in (404, 414, 400)


async def test_what_the_painter_wrote_into_the_file_stays_at_home(alice, stranger, site, db, cast):
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "my secret recipe")
    file = io.BytesIO()
    Image.new("RGB", (64, 48), (1, 2, 3)).save(file, "PNG", pnginfo=info)
    picture, share = await shared(site, cast.alice)
    kept = await site.storage.put("pictures/with-words.png", file.getvalue(), "image/png")
    await db.execute("update image set storage_key = $1, thumbed_at = null where id = $2", kept.key, picture)
    assert b"my secret recipe" in (await alice.get(f"/pictures/{picture}/file")).body
    for part in ("picture", "thumbnail"):  # the small copy does not hang yet
        answer = await stranger.get(f"{share.path}/{part}")
        assert (answer.status, b"my secret recipe" in answer.body) == (200, False)
        assert Image.open(io.BytesIO(answer.body)).getpixel((0, 0)) == (1, 2, 3)


async def test_a_file_that_nobody_can_read_is_not_passed_on(stranger, site, db, cast):
    picture, share = await shared(site, cast.alice)
    kept = await site.storage.put("pictures/garbled.png", b"\x89PNG\r\n\x1a\nmy secret recipe", "image/png")
    await db.execute("update image set storage_key = $1, thumbed_at = null where id = $2", kept.key, picture)
    assert (await stranger.get(f"{share.path}/picture")).status == 404
    await db.execute("update image set thumbed_at = now() where id = $1", picture)
    answer = await stranger.get(f"{share.path}/picture")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "image/webp")


async def test_nobody_shares_the_pictures_of_others(bob, site, cast, db):
    picture, share = await shared(site, cast.alice)
    for path in ("share", "share/revocation", "wall", "wall/withdrawal"):
        assert (await bob.post(f"/pictures/{picture}/{path}")).status == 404, path
    assert (await shares.latest(db, picture, cast.alice.id)) == share
    with pytest.raises(NotFound):
        await shares.make(db, picture, cast.bob.id, shows_prompt=True, caption="")


async def test_what_is_typed_is_looked_at(alice, site, cast):
    picture = (await hang(site, cast.alice))[0]
    page = await alice.post(f"/pictures/{picture}/share", {"caption": "x" * 201})
    assert (page.status, "at most 200 characters, not 201" in page.text, "x" * 201 in page.text) == (400, True, True)
    assert (await alice.post(f"/pictures/{picture}/share/revocation")).status == 409


async def test_of_ten_at_once_one_makes_the_link(site, cast, db):
    picture = (await hang(site, cast.alice))[0]
    made = []

    async def attempt() -> None:
        try:
            made.append(await shares.make(db, picture, cast.alice.id, shows_prompt=False, caption=""))
        except NotAsBelieved:
            return

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(attempt)
    assert len(made) == 1


async def test_whoever_reads_while_it_is_revoked_gets_it_whole_or_not_at_all(alice, stranger, site, cast):
    picture, share = await shared(site, cast.alice)
    whole = (await stranger.get(f"{share.path}/picture")).body
    seen = []

    async def read() -> None:
        for _ in range(20):
            answer = await stranger.get(f"{share.path}/picture")
            seen.append(answer.status)
            assert answer.status == 410 or answer.body == whole

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        group.start_soon(read)
        await alice.post(f"/pictures/{picture}/share/revocation")
        after = await stranger.get(f"{share.path}/picture")
    assert after.status == 410
    assert seen[-1] == 410


async def test_too_many_are_slowed_down(alice, site, cast):
    picture = (await hang(site, cast.alice))[0]
    answers = [(await alice.post(f"/pictures/{picture}/share")).status for _ in range(61)]
    assert answers[:60] == [303] * 60
    assert answers[60] == 429


async def test_the_export_tells_of_links(site, cast, db):
    _, share, _ = await shown(site, cast.alice, "Al", caption="A pie")
    entries = {entry.name: entry async for entry in takeout.entries(db, site.storage, cast.alice.id)}
    told = b"".join([piece async for piece in entries["shares.json"].pieces]).decode()
    for word in (share.code, "A pie", '"Al"', '"shown"'):
        assert word in told


async def test_a_link_that_is_over_for_a_year_is_forgotten(stranger, site, cast, db):
    picture, share = await shared(site, cast.alice)
    _, other = await shared(site, cast.alice)
    await studio.delete_picture(db, picture, cast.alice.id)
    assert await shares.forget_old(db) == 0
    await db.execute("update share set revoked_at = now() - interval '367 days' where revoked_at is not null")
    assert await shares.forget_old(db) == 1
    assert ((await stranger.get(share.path)).status, (await stranger.get(other.path)).status) == (404, 200)


@pytest.mark.parametrize("sharing, has_links", [("off", False), ("links", True)])
async def test_a_setting_switches_it_off(dsn, tmp_path, db, cast, sharing, has_links):
    async with held(serving(dsn, tmp_path, db, sharing=sharing)) as site:
        alice, stranger, carol = [await site.browser(who) for who in (cast.alice, None, cast.carol)]
        picture, share = await shared(site, cast.alice)
        found = 200 if has_links else 404
        for part in ("", "/picture", "/thumbnail"):
            assert (await stranger.get(share.path + part)).status == found
        assert ((await stranger.get("/wall")).status, (await carol.get("/admin/wall")).status) == (404, 404)
        assert (await alice.post(f"/pictures/{picture}/wall")).status == 404
        assert ("/wall" in (await stranger.get("/login")).text) is False
        page = await alice.get(f"/pictures/{picture}")
        assert (page.status, "share-title" in page.text, "public wall" in page.text) == (200, has_links, False)
        assert (await alice.post(f"/pictures/{picture}/share")).status == (303 if has_links else 404)
        assert (await carol.get("/admin/reports")).status == 200


async def test_the_log_does_not_hold_links(stranger, site, cast, caplog, capsys):
    _, share = await shared(site, cast.alice)
    await stranger.get(share.path)
    await stranger.post(f"{share.path}/reports", {"kind": "hate"})
    said = capsys.readouterr()
    assert share.code not in caplog.text + said.out + said.err


async def test_owners_acts_are_no_acts_of_admins(alice, site, cast, db):
    picture = (await hang(site, cast.alice))[0]
    before = len(await audit.listing(db))
    await make(alice, picture)
    await alice.post(f"/pictures/{picture}/wall")
    await alice.post(f"/pictures/{picture}/share/revocation")
    assert len(await audit.listing(db)) == before
    assert (await walls.latest(db, picture, cast.alice.id)).state == "withdrawn"


async def test_a_code_of_before_is_told_from_one_that_never_was(db):
    with pytest.raises(NotFound):
        await shares.seen(db, "a" * 24)
    assert NotShared().status == 410
