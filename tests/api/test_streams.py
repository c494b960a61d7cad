"""Streams with OpenAI's own client: unfinished pictures, finished ones, errors, and signs of life."""

from __future__ import annotations

import base64
import contextlib

import aiohttp
import openai
import orjson
import pytest

from limner.http.api.waiting import WAITING
from limner.sql import progress, tokens
from tests.api.conftest import JSON, program, switch
from tests.http.conftest import Stream, drawn
from tests.http.painting import take_up

ASKED = {"model": "simulator", "prompt": "a red boat", "size": "512x512"}


async def test_partial_pictures_come_before_the_finished_one(alices, site):
    async with alices.openai() as client:
        stream = await client.images.generate(**ASKED, stream=True, partial_images=2)
        easel = await take_up(site)
        events, seen = aiter(stream), []
        for width in (10, 20):
            await progress.keep_partial(site.db, easel.job, "image/png", drawn(width=width))
            seen.append(await anext(events))
        await easel.deliver()
        seen += [event async for event in events]
    assert [event.type for event in seen] == [
        "image_generation.partial_image", "image_generation.partial_image", "image_generation.completed",
    ]  # fmt: skip
    assert [event.partial_image_index for event in seen[:2]] == [0, 1]
    assert base64.b64decode(seen[0].b64_json) == drawn(width=10)
    done = seen[2]
    assert (done.size, done.output_format, done.quality, done.usage.total_tokens) == ("512x512", "png", "auto", 0)
    assert base64.b64decode(done.b64_json) == drawn("PNG", 512, 512)


async def test_each_of_several_pictures_is_sent_when_it_is_delivered(working):
    async with working.openai() as client:
        stream = await client.images.generate(**ASKED, stream=True, n=3)
        events = [event async for event in stream]
    assert [event.type for event in events] == ["image_generation.completed"] * 3
    assert len({event.b64_json for event in events}) == 3
    assert events[-1].metadata["credits"] == 3


async def test_an_edit_has_its_own_names(working):
    async with working.openai() as client:
        stream = await client.images.edit(image=("a.png", drawn(), "image/png"), **ASKED, stream=True)
        assert [event.type async for event in stream] == ["image_edit.completed"]


async def test_what_fails_on_the_way_is_an_error_event(working, at_work):
    await switch(at_work, "moderation_input")
    async with working.openai() as client:
        stream = await client.images.generate(**ASKED, stream=True)
        with pytest.raises(openai.APIError) as caught:
            [event async for event in stream]
    assert caught.value.code == "moderation_blocked"
    assert caught.value.type == "image_generation_user_error"


async def test_what_is_wrong_before_it_begins_is_a_plain_refusal(alices):
    async with alices.openai() as client:
        with pytest.raises(openai.BadRequestError):
            await client.images.generate(**(ASKED | {"size": "7x7"}), stream=True)


async def test_of_a_partly_delivered_order_the_delivered_come_first(alices, site):
    async with alices.openai() as client:
        stream = await client.images.generate(**ASKED, stream=True, n=2)
        one, other = await take_up(site), await take_up(site)
        await one.fail("it broke")
        await other.deliver()
        seen = []
        with pytest.raises(openai.APIError) as caught:
            async for event in stream:
                seen += [event.type]
    assert seen == ["image_generation.completed"]
    assert "It broke" in caught.value.message
    assert caught.value.body["metadata"]["partial"] is True


async def test_a_file_that_is_lost_hides_none_of_the_others(alices, site, db):
    async with streamed(alices, n=3, key="k"):
        for _ in range(3):
            easel = await take_up(site)
            await easel.deliver()
    first = "select storage_key from image as i join job as j on j.id = i.job_id order by j.position limit 1"
    await site.storage.delete(await db.fetchval(first))
    async with streamed(alices, n=3, key="k") as answer:
        events = await Stream(answer).rest()
    assert [event.name for event in events] == ["image_generation.completed"] * 2 + ["error"]
    wrong = orjson.loads(events[-1].data)["error"]
    assert (wrong["code"], wrong["metadata"]["generation"]) == ("not_found", str(easel.job.generation_id))
    assert wrong["metadata"]["reasons"] == ["its file is not in the storage any more"]
    assert "goes on" not in wrong["message"]


@contextlib.asynccontextmanager
async def streamed(alices, *, key=None, **asked):
    named = {} if key is None else {"Idempotency-Key": key}
    async with alices.client.post(
        f"{alices.site.url}/v1/images/generations",
        data=orjson.dumps(ASKED | {"stream": True} | asked),
        headers={**JSON, **named, "Authorization": f"Bearer {alices.token}"},
        timeout=aiohttp.ClientTimeout(40),
    ) as answer:
        yield answer


async def test_silence_is_broken_every_fifteen_seconds(alices):
    async with streamed(alices) as answer:
        assert answer.headers["X-Accel-Buffering"] == "no"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.content_type == "text/event-stream"
        assert await answer.content.readline() == b": still here\n"


async def test_as_it_goes_over_the_wire(alices, site):
    async with streamed(alices, response_format="url") as answer:
        await (await take_up(site)).deliver()
        event = await Stream(answer).next()
    assert event.name == "image_generation.completed"
    data = orjson.loads(event.data)
    assert data["type"] == event.name
    assert "/v1/files/" in data["url"]
    assert "b64_json" not in data


async def test_whoever_leaves_in_the_middle_finds_it_in_the_gallery(alices, site, cast):
    async with streamed(alices):
        easel = await take_up(site)
    await easel.deliver()
    alice = await site.browser(cast.alice)
    assert "a red boat" in (await alice.get("/gallery")).text


async def test_streamed_and_asynchronous_at_once_is_refused(alices):
    page = await alices.order(stream=True, Prefer="respond-async")
    assert page.status == 400


async def test_nobody_streams_what_somebody_else_ordered(alices, site, cast):
    """The same name under another account is another order: there is no way to a stranger's."""
    await alices.order(Idempotency_Key="k", Prefer="respond-async")
    carols = await program(site, cast.carol)
    page = await carols.order(Idempotency_Key="k", stream=True)
    assert page.status == 429  # she has no plan: it would be an order of her own


async def test_a_revoked_token_hears_no_more(alices, site, db):
    async with streamed(alices) as answer:
        easel = await take_up(site)
        await tokens.revoke(db, await db.fetchval("select id from api_token"), owner=None, actor="test")
        await easel.deliver()
        event = await Stream(answer).next()
        assert (event.name, orjson.loads(event.data)["error"]["code"]) == ("error", "invalid_api_key")
        assert await Stream(answer).next() is None


async def test_a_stream_says_that_it_has_to_stop(alices, site):
    async with streamed(alices) as answer:
        await site.app[WAITING].close(site.app)
        event = await Stream(answer).next()
    told = orjson.loads(event.data)["error"]
    assert (event.name, told["code"]) == ("error", "answer_unavailable")
    assert "/v1/images/tasks/" in told["message"]
