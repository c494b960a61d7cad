"""The live stream: every change arrives as the page would show it, for the owner alone, until all is done."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from limner.http.live import LIVE, LOOK_AGAIN
from limner.sql import accounts
from tests.conftest import held
from tests.http.conftest import serving
from tests.http.painting import ordered, take_up


async def test_a_picture_is_seen_from_the_line_to_the_wall(alice, site):
    thread = await ordered(alice, prompt="a lighthouse & its <keeper>")
    async with alice.watch(f"/threads/{thread}/live") as stream:
        waiting = await stream.next()
        assert waiting.name == f"generation-{thread}"
        assert "next in line" in waiting.data
        assert "a lighthouse &amp; its &lt;keeper&gt;" in waiting.data
        easel = await take_up(site)
        await easel.show("painting", 40)
        seen = await stream.next()
        while "preview?step=1" not in seen.data:
            seen = await stream.next()
        assert 'value="40"' in seen.data
        picture = await easel.deliver()
        *shown, last = await stream.rest()
        assert f"/pictures/{picture}/file" in shown[-1].data
        assert (last.name, last.data) == ("finished", "done")


async def test_a_preview_is_its_owners(alice, bob, site):
    await ordered(alice)
    easel = await take_up(site)
    await easel.show("painting", 40)
    path = f"/jobs/{easel.job.id}/preview"
    page = await alice.get(path)
    assert (page.status, page.headers["Content-Type"]) == (200, "image/png")
    assert (await bob.get(path)).status == 404
    await easel.deliver()
    assert (await alice.get(path)).status == 404


async def test_the_page_and_the_stream_show_the_same(alice, site):
    thread = await ordered(alice, count="2")
    await (await take_up(site)).deliver()
    async with alice.watch(f"/threads/{thread}/live") as stream:
        fragment = (await stream.next()).data
    page = (await alice.get(f"/studio/{thread}")).text
    assert fragment.split() == page[page.index("<article") : page.index("</article>") + len("</article>")].split()


async def test_a_failure_is_told_with_its_reason(alice, site):
    thread = await ordered(alice)
    easel = await take_up(site)
    async with alice.watch(f"/threads/{thread}/live") as stream:
        await stream.next()
        await easel.fail("the painters' rules do not allow this picture")
        events = await stream.rest()
    assert "rules do not allow this picture" in events[0].data
    assert "othing was charged" in events[0].data
    assert events[-1].name == "finished"


async def test_whoever_comes_back_sees_how_it_stands_now(alice, site):
    thread = await ordered(alice)
    easel = await take_up(site)
    async with alice.watch(f"/threads/{thread}/live") as stream:
        await stream.next()
    picture = await easel.deliver()
    async with alice.watch(f"/threads/{thread}/live") as stream:
        events = await stream.rest()
    assert [event.name for event in events] == [f"generation-{thread}", "finished"]
    assert str(picture) in events[0].data


@pytest.mark.parametrize("since", ["", "nonsense", "0001-01-01T00:00:00", "9999-12-31T23:59:59-23:59", "2026-01-01"])
async def test_a_finished_thread_ends_its_stream_at_once(alice, site, since):
    thread = await ordered(alice)
    await (await take_up(site)).deliver()
    async with alice.watch(f"/threads/{thread}/live?since={since}") as stream:
        assert stream.answer.status == 200
        assert (await stream.rest())[-1].name == "finished"


async def test_a_lost_notification_costs_seconds_and_not_the_picture(alice, site, db):
    thread = await ordered(alice)
    easel = await take_up(site)
    async with alice.watch(f"/threads/{thread}/live") as stream:
        await stream.next()
        await easel.site.db.execute("update job set line = 'drying' where id = $1", easel.job.id)  # and nobody is told
        assert "drying" in (await stream.next()).data


async def test_other_threads_are_not_heard(alice, site):
    first, second = await ordered(alice, prompt="first"), await ordered(alice, prompt="second")
    async with alice.watch(f"/threads/{second}/live") as stream:
        await stream.next()
        await (await take_up(site)).deliver()
        await (await take_up(site)).deliver()
        assert first not in "".join(event.name for event in await stream.rest())


async def test_many_pages_of_one_thread_hear_the_same(alice, site):
    thread = await ordered(alice)
    easel = await take_up(site)

    async def look() -> list[str]:
        async with alice.watch(f"/threads/{thread}/live") as stream:
            await stream.next()
            await everybody.wait()
            return [event.name for event in await stream.rest()]

    everybody = asyncio.Barrier(11)
    pages = [asyncio.create_task(look()) for _ in range(10)]
    await everybody.wait()
    await easel.deliver()
    assert {tuple(names) for names in await asyncio.gather(*pages)} == {(f"generation-{thread}", "finished")}


@pytest.mark.parametrize("end", ["banned", "logged out", "expired"])
async def test_whoever_is_shut_out_stops_seeing_within_seconds(alice, site, db, cast, end):
    thread = await ordered(alice)
    easel = await take_up(site)
    async with alice.watch(f"/threads/{thread}/live") as stream:
        await stream.next()
        if end == "banned":
            await accounts.ban(db, cast.alice, "a test", actor="test")
        elif end == "logged out":
            await alice.post("/logout")
        else:
            await db.execute("update session set expires_at = now()")
        with anyio.fail_after(2 * LOOK_AGAIN):
            await stream.rest()
        await easel.show("painting", 90)
    assert (await alice.get(f"/threads/{thread}/live")).status == 303


async def test_a_stream_that_is_left_is_forgotten(alice, site):
    thread = await ordered(alice)
    async with alice.watch(f"/threads/{thread}/live") as stream:
        await stream.next()
        assert len(site.app[LIVE].watchers) == 1
    with anyio.fail_after(2 * LOOK_AGAIN):
        while site.app[LIVE].watchers:
            await anyio.sleep(0.05)


async def test_a_restart_waits_for_no_open_page(dsn, tmp_path, db, cast):
    async with held(
        serving(
            dsn,
            tmp_path,
            db,
        )
    ) as site:
        alice = await site.browser(cast.alice)
        thread = await ordered(alice)
        async with alice.watch(f"/threads/{thread}/live") as stream:
            await stream.next()
            with anyio.fail_after(20):  # it would be open for ever
                await site.app.shutdown()
                assert await stream.rest() == []


async def test_a_real_worker_paints_what_was_ordered(studio_at_work, cast):
    alice = await studio_at_work.browser(cast.alice)
    thread = await ordered(alice, model="simulator", count="2")
    async with alice.watch(f"/threads/{thread}/live") as stream:
        events = await stream.rest()
    assert events[-1].name == "finished"
    page = await alice.get(f"/studio/{thread}")
    assert page.text.count("reserved 1, delivered, charged 1") == 2
    gallery = await alice.get("/gallery")
    assert gallery.text.count('class="tile mat') == 2
