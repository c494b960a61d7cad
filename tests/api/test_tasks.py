"""Orders that nobody waits for: accepted at once, asked for later, canceled."""

from __future__ import annotations

import base64

import pytest

from tests.api.conftest import json, switch
from tests.http.conftest import available
from tests.http.painting import take_up


@pytest.mark.parametrize(
    "path, headers",
    [
        ("/v1/images/generations", {"Prefer": "respond-async"}),
        ("/v1/images/generations", {"Prefer": "wait=10, Respond-Async"}),
        ("/v1/images/generations?async=true", {}),
        ("/v1/images/generations/async", {}),
    ],
)
async def test_an_order_is_accepted_at_once(alices, path, headers):
    page = await alices.order(path, **headers)
    task = json(page)
    assert page.status == 202
    assert page.headers["Location"] == task["poll_url"] == f"/v1/images/tasks/{task['id']}"
    assert page.headers["Retry-After"] == "3"
    assert (task["object"], task["status"]) == ("image.generation.task", "queued")
    assert task["expires_at"] - task["created_at"] == 24 * 3600


async def test_the_result_is_the_answer_that_waiting_would_have_brought(alices, site):
    task = json(await alices.order(Prefer="respond-async"))
    easel = await take_up(site)
    page = await alices.get(task["poll_url"])
    assert (json(page)["status"], page.headers["Retry-After"]) == ("processing", "3")
    await easel.deliver()
    page = await alices.get(task["poll_url"])
    done = json(page)
    assert (done["status"], done["http_status"], "Retry-After" in page.headers) == ("completed", 200, False)
    assert base64.b64decode(done["result"]["data"][0]["b64_json"]).startswith(b"\x89PNG")
    assert done["result"]["size"] == "512x512"


async def test_links_are_asked_for_once(alices, site):
    task = json(await alices.order(Prefer="respond-async", response_format="url"))
    await (await take_up(site)).deliver()
    done = json(await alices.get(task["poll_url"]))
    assert done["result"]["data"][0]["url"].startswith(f"{site.url}/v1/files/")


async def test_a_failure_is_told_as_the_error_it_would_have_been(working, at_work, db):
    await switch(at_work, "moderation_input")
    task = json(await working.order(Prefer="respond-async"))
    await at_work.until("generation_ended", lambda: db.fetchval("select state = 'failed' from generation"))
    done = json(await working.get(task["poll_url"]))
    assert (done["status"], done["http_status"], done["error"]["code"]) == ("failed", 400, "moderation_blocked")


async def test_canceling_what_has_not_begun_is_free(alices, db, cast):
    before = await available(db, cast.alice)
    task = json(await alices.order(Prefer="respond-async", n=3))
    assert await available(db, cast.alice) == before - 3
    done = json(await alices.send("DELETE", task["poll_url"]))
    assert (done["status"], done["error"]["code"]) == ("canceled", "canceled")
    assert await available(db, cast.alice) == before
    assert json(await alices.send("DELETE", task["poll_url"]))["status"] == "canceled"


async def test_canceling_what_is_being_painted_asks_it_to_stop(alices, site, db):
    task = json(await alices.order(Prefer="respond-async"))
    await take_up(site)
    assert json(await alices.send("DELETE", task["poll_url"]))["status"] == "processing"
    assert await db.fetchval("select cancel_asked from job")


async def test_a_task_of_a_person_is_a_task_too(alices, site, cast):
    """What Alice ordered on the page, her program may see."""
    alice = await site.browser(cast.alice)
    generation = (await alice.order()).location.partition("#")[0].rpartition("/")[2]
    assert json(await alices.get(f"/v1/images/tasks/{generation}"))["status"] == "queued"
