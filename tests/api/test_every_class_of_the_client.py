"""Each error that there is, as OpenAI's own client makes it, with its own retries on: nothing is ordered a second time."""

from __future__ import annotations

from functools import partial

import anyio
import openai
import pytest
from openai import APIStatusError

from limner.http import forms
from limner.sql import takedowns
from tests.api.conftest import json, program, studio, switch
from tests.http.conftest import drawn
from tests.http.painting import take_up

ASKED = {"model": "simulator", "prompt": "a red boat", "size": "512x512"}
ORDERED = "select exists (select from job)"


async def told(client, kind=APIStatusError, **asked) -> APIStatusError:
    """What the client raises; whatever it is, it is closed."""
    async with client:
        with pytest.raises(kind) as caught:
            await client.images.generate(**ASKED | asked)
    assert type(caught.value) is kind
    return caught.value


async def test_403_of_a_key_that_may_not(site, cast):
    reads = await program(site, cast.alice, scopes=("images:read",))
    why = await told(reads.openai(max_retries=2), openai.PermissionDeniedError)
    assert (why.status_code, why.code) == (403, "missing_scope")
    narrow = await program(site, cast.alice, models=("demo",))
    why = await told(narrow.openai(max_retries=2), openai.PermissionDeniedError)
    assert (why.status_code, why.code, why.param) == (403, "model_not_found", "model")


async def test_409_of_an_order_that_was_canceled(alices, site, db):
    async def cancel() -> None:
        await site.until("generation_changed", partial(db.fetchval, ORDERED))
        await alices.send("DELETE", f"/v1/images/tasks/{await db.fetchval('select id from generation')}")

    async with anyio.create_task_group() as group:
        group.start_soon(cancel)
        why = await told(alices.openai(max_retries=2), openai.ConflictError)
    assert (why.status_code, why.code, why.response.headers["x-should-retry"]) == (409, "canceled", "false")
    assert await db.fetchval("select count(*) from generation") == 1, "a client tries each 409 again of itself"


async def test_410_of_a_picture_that_was_taken_down(alices, site, db):
    json(await alices.order(Prefer="respond-async", Idempotency_Key="one"))
    picture = await (await take_up(site)).deliver()
    await takedowns.take_down(db, picture, "It shows somebody.", actor="test")
    why = await told(alices.openai(max_retries=2), extra_headers={"Idempotency-Key": "one"})
    assert (why.status_code, why.code) == (410, "picture_taken_down")


async def test_413_of_what_is_too_large(alices, db):
    why = await told(alices.openai(max_retries=2), prompt="x" * 1_100_000)
    assert (why.status_code, why.code) == (413, "request_too_large")
    async with alices.openai(max_retries=2) as client:
        with pytest.raises(APIStatusError) as caught:
            large = ("a.png", drawn() + bytes(forms.LARGEST_FILE), "image/png")
            await client.images.edit(**ASKED, image=large)
    assert (caught.value.status_code, caught.value.code, caught.value.param) == (413, "request_too_large", "image")
    assert await db.fetchval("select count(*) from generation") == 0


async def test_415_of_another_type(alices, db):
    why = await told(alices.openai(max_retries=2), extra_headers={"Content-Type": "text/plain"})
    assert (why.status_code, why.code) == (415, "unsupported_media_type")


@pytest.mark.parametrize("how", ["timeout_unknown", "hang"])
async def test_504_of_a_painter_who_says_nothing(dsn, tmp_path, db, cast, how):
    async with studio(dsn, tmp_path, db, painter_silence=1) as site:
        await switch(site, how)
        alices = await program(site, cast.alice)
        why = await told(alices.openai(max_retries=2), openai.InternalServerError)
    assert (why.status_code, why.code, why.type) == (504, "timeout", "server_error")
    assert (why.response.headers["x-should-retry"], "Nothing was charged" in why.message) == ("false", True)
    assert await db.fetchval("select count(*) from generation") == 1, "a client tries each 504 again of itself"


@pytest.mark.parametrize("words", ["it took too long", "no painter was free in time"])
async def test_504_of_a_picture_whose_time_is_over(alices, site, db, words):
    async def give_up() -> None:
        await site.until("generation_changed", partial(db.fetchval, ORDERED))
        await (await take_up(site)).fail(words)

    async with anyio.create_task_group() as group:
        group.start_soon(give_up)
        why = await told(alices.openai(max_retries=2), openai.InternalServerError)
    assert (why.status_code, why.code, words in why.message.lower()) == (504, "timeout", True)
    assert await db.fetchval("select count(*) from generation") == 1


async def test_the_document_promises_no_status_beyond_these_and_those_of_test_errors(alices):
    document = json(await alices.get("/v1/openapi.json"))
    promised = set(document["paths"]["/v1/images/generations"]["post"]["responses"]) - {"200", "202"}
    assert promised == {
        str(status) for status in (400, 401, 403, 404, 409, 410, 413, 415, 422, 429, 500, 502, 503, 504)
    }
