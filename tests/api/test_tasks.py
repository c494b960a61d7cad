"""Orders that nobody waits for: accepted at once, asked for later, canceled."""

from __future__ import annotations

import base64

import anyio
import pytest
from structlog.testing import capture_logs

from limner.http.state import STORAGE
from limner.sql import attempts, jobs
from limner.sql.attempts import Lease
from tests.api.conftest import error, json, program, switch
from tests.faults.crew import happens
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


async def test_a_task_says_until_when_it_waits_for_a_painter(alices, site, db):
    task = json(await alices.order(Prefer="respond-async"))
    assert "waits_until" not in json(await alices.get(task["poll_url"]))
    easel = await take_up(site)
    await jobs.postpone(db, easel.job, 40, "all painters are resting", back=40)
    page = await alices.get(task["poll_url"])
    waiting = json(page)
    assert (waiting["status"], waiting["waits_until"] > waiting["created_at"]) == ("queued", True)
    assert 30 <= int(page.headers["Retry-After"]) <= 40


async def test_who_may_only_write_gets_no_picture_by_canceling(site, cast, db):
    writer = await program(site, cast.alice, scopes=("images:write",))
    task = json(await writer.order(Prefer="respond-async"))
    wrong = await writer.send("DELETE", f"{task['poll_url']}?response_format=gif")
    assert (wrong.status, error(wrong)["param"]) == (400, "response_format")
    assert await db.fetchval("select state = 'queued' and not cancel_asked from job")
    await (await take_up(site)).deliver()
    done = json(await writer.send("DELETE", task["poll_url"]))
    assert (done["status"], "result" in done) == ("completed", False)
    reader = await program(site, cast.alice)
    assert json(await reader.send("DELETE", task["poll_url"]))["result"]["data"]


async def test_a_file_that_is_lost_hides_none_of_the_others(alices, site, db):
    task = json(await alices.order(Prefer="respond-async", n=2))
    for _ in range(2):
        await (await take_up(site)).deliver()
    keys = [row["storage_key"] for row in await db.fetch("select storage_key from image order by created_at")]
    await site.storage.delete(keys[0])
    result = json(await alices.get(task["poll_url"]))["result"]
    assert (len(result["data"]), result["metadata"]["partial"], result["metadata"]["credits"]) == (1, True, 2)
    assert result["metadata"]["reasons"] == ["its file is not in the storage any more"]
    await site.storage.delete(keys[1])
    lost = json(await alices.get(task["poll_url"]))
    assert (lost["http_status"], "result" in lost) == (404, False)
    assert "Only what was delivered was charged" in lost["error"]["message"]


async def test_several_pictures_are_written_one_after_the_other(alices, site, db, monkeypatch):
    """No process holds them all: ten large ones would be half a gigabyte."""
    pages = []

    async def wait() -> None:
        pages.append(await alices.order(n=3))

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await site.until("generation_changed", lambda: db.fetchval("select exists (select from job)"))
        for _ in range(3):
            await (await take_up(site)).deliver()
    (page,) = pages
    answer = json(page)
    assert [base64.b64decode(each["b64_json"])[:4] for each in answer["data"]] == [b"\x89PNG"] * 3
    assert {"x-request-id", "x-ratelimit-limit-requests"} <= {name.lower() for name in page.headers}
    assert (page.headers["Cache-Control"], "Content-Length" in page.headers) == ("no-store, no-transform", False)
    get, lost = site.storage.get, await db.fetchval("select storage_key from image order by created_at, id limit 1")

    async def read(key: str) -> bytes:
        return await get(key if key != lost else "gone/since")

    monkeypatch.setattr(site.app[STORAGE], "get", read)
    task = f"/v1/images/tasks/{answer['metadata']['generation']}"
    result = json(await alices.get(task))["result"]
    assert sorted(each["b64_json"] is None for each in result["data"]) == [False, False, True]


async def test_why_it_failed_is_not_hidden_by_an_attempt_that_was_let_go(alices, site, db):
    task = json(await alices.order(Prefer="respond-async"))
    easel = await take_up(site)
    for fault in ("moderation_input", "cancelled"):
        lease = await attempts.lease(
            db, easel.job.provider_id, easel.job.model_id, easel.job.id, tried=[], until=easel.job.deadline
        )
        assert isinstance(lease, Lease)
        await attempts.close(db, lease.attempt_id, fault=fault)
    await easel.fail("The painter refused this description")
    assert json(await alices.get(task["poll_url"]))["error"]["code"] == "moderation_blocked"


async def test_who_leaves_while_several_pictures_are_written_is_no_mistake_of_ours(alices, site, db):
    task = json(await alices.order(Prefer="respond-async", n=2))
    for _ in range(2):
        await (await take_up(site)).deliver()
    for row in await db.fetch("select storage_key from image"):
        (site.config.pictures_folder / row["storage_key"]).write_bytes(bytes(32 * 2**20))
    about = {"Authorization": f"Bearer {alices.token}"}
    with capture_logs() as said:
        async with alices.client.get(site.url + task["poll_url"], headers=about) as answer:
            await answer.content.read(10)
            answer.close()
        await happens(lambda: any(line["event"] == "answered" and "tasks" in line["path"] for line in said))
    assert [line for line in said if line["event"] in ("request_failed", "request_crashed")] == []
    assert [line["status"] for line in said if line["event"] == "answered"] == [200]
