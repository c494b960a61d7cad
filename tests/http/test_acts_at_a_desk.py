"""What an admin does on the pages as in the bot: many at once, a retry, a link for a new password, a backup, a worker drained."""

from __future__ import annotations

import pytest

from limner.runtime.presence import Presence
from limner.sql import backups, entries
from tests.http.conftest import available


async def reasons(db, action: str) -> list[str]:
    rows = await db.fetch("select after ->> 'reason' as reason from audit where action = $1 order by id", action)
    return [row["reason"] for row in rows]


async def many(browser, path: str, act: str, *chosen: object, reason: str = "a test"):
    pairs = [("act", act), *(("chosen", str(each)) for each in chosen)]
    asked = await browser.post(path, pairs)
    assert asked.status == 200 and 'name="sure"' in asked.text
    return await browser.post(path, [*pairs, ("sure", "1"), ("reason", reason)])


async def test_several_are_banned_at_once_and_who_runs_the_place_is_not(carol, alice, bob, cast, db):
    page = await many(carol, "/admin/users/acts", "ban", cast.alice.id, cast.bob.id, cast.carol.id, reason="one farm")
    assert "2 done, 1 not" in page.text and "An admin cannot be banned" in page.text
    assert [(await each.get("/studio")).status for each in (alice, bob)] == [303, 303]
    assert await reasons(db, "account.ban") == ["one farm"] * 2


async def test_several_are_signed_out_at_once(carol, alice, cast, db):
    assert (await many(carol, "/admin/users/acts", "log_out", cast.alice.id, cast.bob.id)).location == "/admin/users"
    assert (await alice.get("/account")).location.startswith("/login")
    assert await db.fetchval("select banned_at from account where id = $1", cast.alice.id) is None


async def test_models_are_switched_off_and_on_again(carol, alice, db):
    assert (await many(carol, "/admin/models/acts", "off", "demo", reason="it paints badly")).status == 303
    assert not (await entries.entry(db, "demo")).active and (await alice.order()).status == 400
    again = await many(carol, "/admin/models/acts", "off", "demo")
    assert (again.status, "It is off already." in again.text) == (409, True)
    assert (await many(carol, "/admin/models/acts", "on", "demo")).status == 303
    assert (await entries.entry(db, "demo")).active and await reasons(db, "model.change") == [
        "it paints badly",
        "a test",
    ]


async def test_what_failed_is_painted_again_on_the_house_and_once(carol, alice, cast, db):
    order = (await alice.order()).location.partition("#")[0].rpartition("/")[2]
    path, page = f"/admin/generations/{order}/retries", f"/admin/generations/{order}"
    assert "Paint what failed again" not in (await carol.get(page)).text
    refused = await carol.act(path)
    assert (refused.status, "not over yet" in refused.text) == (400, True)
    await db.execute(
        "update job set state = 'failed', reason = 'x', finished_at = now() where generation_id = $1", order
    )
    await db.execute("update generation set state = 'failed' where id = $1", order)
    assert "Paint what failed again" in (await carol.get(page)).text
    before = await available(db, cast.alice)
    done = await carol.act(path, reason="our fault")
    assert (done.status, done.location != page) == (303, True)
    assert (await available(db, cast.alice), await reasons(db, "generation.retry")) == (before, ["our fault"])
    assert (await carol.act(path)).status == 400


async def test_a_link_for_a_new_password_is_shown_once_where_no_mails_are_sent(carol, stranger, cast, db):
    path = f"/admin/users/{cast.bob.id}/reset-links"
    page = await carol.act(path, reason="he rang")
    assert page.status == 200 and "/reset/" in page.text
    assert "/reset/" not in (await carol.get(f"/admin/users/{cast.bob.id}")).text
    assert await reasons(db, "account.reset_link") == ["he rang"]
    assert (await carol.act(f"/admin/users/{cast.carol.id}/reset-links")).status == 400


async def test_a_backup_is_asked_for_where_somebody_makes_it(carol, site, db):
    refused = await carol.act("/admin/health/backups")
    assert (refused.status, "No archivist runs" in refused.text) == (400, True)
    await Presence(site.db, "archivist", lease=site.config.lease).beat()
    assert "Back up now" in (await carol.get("/admin/health")).text
    assert (await carol.act("/admin/health/backups", reason="before the move")).location == "/admin/health"
    assert await backups.wished(db, "backup") is not None
    assert await reasons(db, "backup.backup_wanted") == ["before the move"]


async def test_a_worker_is_drained_and_goes_on(carol, site, db):
    presence = Presence(site.db, "worker", lease=site.config.lease)
    await presence.beat()
    path = f"/admin/health/processes/{presence.id}/pause"
    assert "Drain" in (await carol.get("/admin/health")).text
    assert (await carol.act(path, {"paused": "1"}, reason="a new disk")).status == 303
    assert await db.fetchval("select paused from worker where id = $1", presence.id)
    assert (await carol.act(path, {"paused": "0"})).status == 303
    assert not await db.fetchval("select paused from worker where id = $1", presence.id)
    assert await reasons(db, "worker.pause") == ["a new disk", "it is asked for"]


@pytest.mark.parametrize("process", ["00000000-0000-0000-0000-000000000000", "x"])
async def test_what_is_no_worker_is_not_drained(carol, process):
    assert (await carol.act(f"/admin/health/processes/{process}/pause", {"paused": "1"})).status == 404
