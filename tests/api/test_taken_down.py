"""What programs hear of a picture that was taken down: 410 in OpenAI's envelope, by task and by link."""

from __future__ import annotations

from urllib.parse import urlsplit

from limner.sql import images, takedowns
from tests.api.conftest import error, json
from tests.http.painting import take_up

WHY = "It shows a person who did not agree."


async def test_its_link_says_so_without_the_reason(alices, stranger, site, db):
    task = json(await alices.order(Prefer="respond-async", response_format="url"))
    picture = await (await take_up(site)).deliver()
    link = urlsplit(json(await alices.get(task["poll_url"]))["result"]["data"][0]["url"])
    assert (await stranger.get(f"{link.path}?{link.query}")).status == 200
    await takedowns.take_down(db, picture, WHY, actor="test")
    page = await stranger.get(f"{link.path}?{link.query}")
    assert page.status == 410
    assert error(page)["code"] == "picture_taken_down"
    assert WHY not in page.text


async def test_its_task_says_so_with_the_reason(alices, site, db):
    task = json(await alices.order(Prefer="respond-async"))
    picture = await (await take_up(site)).deliver()
    await takedowns.take_down(db, picture, WHY, actor="test")
    told = json(await alices.get(task["poll_url"]))
    assert (told["status"], told["http_status"], "result" in told) == ("completed", 410, False)
    assert (told["error"]["code"], told["error"]["message"]) == (
        "picture_taken_down",
        f"This picture was taken down: {WHY}",
    )
    await takedowns.restore(db, picture, "A mistake.", actor="test")
    assert json(await alices.get(task["poll_url"]))["http_status"] == 200


async def test_the_others_of_its_order_are_still_answered(alices, site, db):
    task = json(await alices.order(Prefer="respond-async", n=2))
    picture = await (await take_up(site)).deliver()
    await (await take_up(site)).deliver()
    await takedowns.take_down(db, picture, WHY, actor="test")
    told = json(await alices.get(task["poll_url"]))
    assert (told["http_status"], len(told["result"]["data"]), told["result"]["metadata"]["partial"]) == (200, 1, True)
    assert told["result"]["metadata"]["reasons"] == [f"This picture was taken down: {WHY}"]


async def test_whoever_waits_with_the_same_key_is_told(alices, site, db):
    task = json(await alices.order(Prefer="respond-async", Idempotency_Key="one"))
    picture = await (await take_up(site)).deliver()
    await takedowns.take_down(db, picture, WHY, actor="test")
    page = await alices.order(Idempotency_Key="one")
    assert (page.status, error(page)["code"], page.headers["x-should-retry"]) == (410, "picture_taken_down", "false")
    assert task["id"] in page.text


async def test_a_picture_that_was_given_back_is_not_counted_as_paid(alices, site, db):
    task = json(await alices.order(Prefer="respond-async", n=2))
    picture = await (await take_up(site)).deliver()
    await (await take_up(site)).deliver()
    await db.execute("update image set thumbed_at = null where id = $1", picture)
    found = await images.unframed(db, picture)
    assert found is not None
    await images.withdraw(db, found, "it is none")
    assert json(await alices.get(task["poll_url"]))["result"]["metadata"]["credits"] == 1
