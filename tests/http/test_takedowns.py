"""Take-downs: gone from all eyes at once, told to the owner with the reason, undone within retention, and free of money."""

from __future__ import annotations

import io
import zipfile

import anyio
import pytest

from limner.runtime.errors import NotFound, Refused
from limner.sql import audit, images, studio, takedowns
from limner.sql.takedowns import NotAsBelieved, TakenDown
from tests.http.conftest import Browser, Site, drawn, hang, numbers
from tests.http.painting import ordered, take_up

WHY = "It shows a person who did not agree."


async def down(site: Site, picture, why: str = WHY) -> None:
    await takedowns.take_down(site.db, picture, why, actor="carol@example.com", ip="192.0.2.1")


async def painted(alice: Browser, site: Site):
    """A picture that Alice ordered and got; its thread."""
    thread = await ordered(alice, prompt="the pier at dusk")
    return await (await take_up(site)).deliver(), thread


async def test_nothing_of_it_is_sent_any_more(alice, site):
    picture, _ = await painted(alice, site)
    etag = (await alice.get(f"/pictures/{picture}/file")).headers["ETag"]
    await down(site, picture)
    for part in ("file", "file?download=1", "thumbnail"):
        page = await alice.get(f"/pictures/{picture}/{part}", If_None_Match=etag)
        assert (page.status, "It was taken down" in page.text, WHY in page.text) == (410, True, True), part


async def test_the_owner_reads_why_wherever_the_picture_hung(alice, site):
    picture, thread = await painted(alice, site)
    await down(site, picture)
    own = await alice.get(f"/pictures/{picture}")
    assert own.status == 200
    for words in ("Taken down", WHY, "the pier at dusk", "neither charges nor gives back"):
        assert words in own.text
    assert f"{WHY}" in (await alice.get(f"/studio/{thread}")).text
    for path in ("/gallery", "/dashboard", f"/pictures/{picture}", f"/studio/{thread}", "/studio"):
        page = await alice.get(path)
        assert page.status == 200
        assert f"/pictures/{picture}/file" not in page.text, path
        assert f"/pictures/{picture}/thumbnail" not in page.text, path
    assert "Taken down" in (await alice.get("/gallery")).text


async def test_an_open_page_shows_it_at_once(alice, site):
    picture, thread = await painted(alice, site)
    await alice.order(thread=thread, prompt="another one")  # so that the stream stays open
    with anyio.fail_after(20):
        async with alice.watch(f"/threads/{thread}/live") as stream:
            while f"/pictures/{picture}/file" not in (event := await stream.next()).data:
                assert event is not None
            await down(site, picture)
            while WHY not in (event := await stream.next()).data:
                assert event is not None
    assert f"/pictures/{picture}/file" not in event.data


async def test_previews_of_it_are_gone(alice, site, db):
    await ordered(alice)
    easel = await take_up(site)
    picture = await easel.deliver()
    job = easel.job.id
    await db.execute("insert into preview (job_id, step, mime, data) values ($1, 1, 'image/png', $2)", job, drawn())
    await db.execute("insert into partial (job_id, number, mime, data) values ($1, 0, 'image/png', $2)", job, drawn())
    assert (await alice.get(f"/jobs/{job}/preview")).status == 200
    await down(site, picture)
    assert (await alice.get(f"/jobs/{job}/preview")).status == 410
    assert await numbers(db, "partial") == 0


async def test_it_is_no_reference_any_more(alice, site):
    picture, thread = await painted(alice, site)
    await alice.order(thread=thread, prompt="like it", picture=str(picture))
    assert f"/pictures/{picture}/thumbnail" in (await alice.get(f"/studio/{thread}")).text
    await down(site, picture)
    refused = await alice.order(thread=thread, prompt="once more", picture=str(picture))
    assert (refused.status, "was taken down" in refused.text) == (410, True)
    assert f"/pictures/{picture}/thumbnail" not in (await alice.get(f"/studio/{thread}?reference={picture}")).text


async def test_the_export_names_it_and_leaves_its_bytes_out(alice, site):
    picture, _ = await painted(alice, site)
    await down(site, picture)
    page = await alice.get("/account/export")
    with zipfile.ZipFile(io.BytesIO(page.body)) as export:
        assert not [name for name in export.namelist() if name.startswith("pictures/")]
        assert WHY in export.read("pictures.json").decode()


async def test_to_others_it_looks_like_nothing(alice, bob, site):
    picture, _ = await painted(alice, site)
    await down(site, picture)
    for part in ("", "/file", "/thumbnail"):
        page = await bob.get(f"/pictures/{picture}{part}")
        assert (page.status, WHY in page.text) == (404, False)


async def test_it_comes_back_as_it_was(alice, site):
    picture, thread = await painted(alice, site)
    whole = (await alice.get(f"/pictures/{picture}/file")).body
    await down(site, picture)
    await takedowns.restore(site.db, picture, "The person agreed.", actor="carol@example.com")
    assert (await alice.get(f"/pictures/{picture}/file")).body == whole
    assert (await alice.get(f"/pictures/{picture}/thumbnail")).status == 200
    assert WHY not in (await alice.get(f"/studio/{thread}")).text


async def test_both_are_audited_with_what_was_and_what_is(alice, site, db):
    picture, _ = await painted(alice, site)
    await down(site, picture)
    await takedowns.restore(db, picture, "A mistake.", actor="bot carol")
    back, gone = (await audit.listing(db))[:2]
    assert (gone.actor, gone.action, gone.subject) == (
        "carol@example.com",
        "picture.take_down",
        f"image {picture}",
    )
    assert (gone.before, gone.after) == ({"state": "hung"}, {"state": "taken_down", "reason": WHY})
    assert (back.actor, back.action, back.after) == (
        "bot carol",
        "picture.restore",
        {"state": "hung", "reason": "A mistake."},
    )
    assert back.before == {"state": "taken_down", "reason": WHY}


async def test_no_credit_moves(alice, site, db, cast):
    picture, _ = await painted(alice, site)
    entries = await numbers(db, "ledger_entry")
    await down(site, picture)
    await takedowns.restore(db, picture, "A mistake.", actor="test")
    await down(site, picture)
    assert await numbers(db, "ledger_entry") == entries
    assert tuple(
        await db.fetchrow("select available, held, spent from balance where account_id = $1", cast.alice.id)
    ) == (99, 0, 1)


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501])
async def test_a_reason_is_needed_and_bounded(site, cast, db, reason):
    picture = (await hang(site, cast.alice))[0]
    with pytest.raises(Refused) as refused:
        await takedowns.take_down(db, picture, reason, actor="test")
    assert refused.value.field == "reason"
    assert (await takedowns.get(db, picture)).state == "hung"


async def test_of_twenty_at_once_one_takes_it_down(site, cast, db):
    picture = (await hang(site, cast.alice))[0]
    won = []

    async def attempt(number: int) -> None:
        try:
            await takedowns.take_down(db, picture, f"reason {number}", actor="test")
        except NotAsBelieved:
            return
        won.append(f"reason {number}")

    async with anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(attempt, number)
    assert len(won) == 1
    assert (await takedowns.get(db, picture)).reason == won[0]
    assert await db.fetchval("select count(*) from audit where action = 'picture.take_down'") == 1


async def test_what_is_not_down_is_not_restored_and_what_is_deleted_is_neither(site, cast, db):
    one, other = await hang(site, cast.alice, 2)
    with pytest.raises(NotAsBelieved, match="not taken down"):
        await takedowns.restore(db, one, "why not", actor="test")
    await studio.delete_picture(db, one, cast.alice.id)
    await down(site, other)
    await studio.delete_picture(db, other, cast.alice.id)
    for picture in (one, other):
        with pytest.raises(NotAsBelieved, match="deleted"):
            await takedowns.take_down(db, picture, WHY, actor="test")
        with pytest.raises(NotAsBelieved, match="deleted"):
            await takedowns.restore(db, picture, WHY, actor="test")
    with pytest.raises(NotFound):
        await takedowns.take_down(db, cast.alice.id, WHY, actor="test")


async def test_retention_goes_on_for_it(site, cast, db):
    picture = (await hang(site, cast.alice))[0]
    await down(site, picture)
    await db.execute("update plan set retention_days = 1")
    await db.execute("update image set created_at = now() - interval '2 days'")
    await images.retire(db)
    assert [doomed.id for doomed in await images.to_wipe(db)] == [picture]


async def test_the_pictures_of_an_order_are_told_with_their_state(alice, site, db):
    picture, _ = await painted(alice, site)
    await down(site, picture)
    (found,) = await takedowns.of_generation(db, (await takedowns.get(db, picture)).generation_id)
    assert (found.id, found.state, found.reason, found.position) == (picture, "taken_down", WHY, 1)


async def test_a_refusal_without_an_owner_tells_no_reason(site, cast, db):
    picture = (await hang(site, cast.alice))[0]
    await down(site, picture)
    with pytest.raises(TakenDown) as refused:
        await takedowns.refuse_among(db, [picture], cast.alice.id)
    assert WHY not in str(refused.value)
    await takedowns.refuse_among(db, [picture], cast.bob.id)  # another's is for others to refuse
