"""Ordering pictures with OpenAI's own client: shapes, sizes, links, and what is charged."""

from __future__ import annotations

import base64

import aiohttp
import anyio
import openai
import pytest

from limner.runtime import raster
from tests.api.conftest import error, json, program, switch
from tests.http.conftest import available


async def test_one_picture(working, db, cast):
    before = await available(db, cast.alice)
    async with working.openai() as client:
        answer = await client.images.generate(model="simulator", prompt="a red boat", size="512x512")
    picture = base64.b64decode(answer.data[0].b64_json)
    shape = await raster.verify(picture)
    assert (shape.mime, shape.width, shape.height) == ("image/png", 512, 512)
    assert (answer.size, answer.output_format, len(answer.data)) == ("512x512", "png", 1)
    assert answer.usage is None, "the simulator counts no tokens"
    assert answer.metadata["credits"] == 1
    assert await available(db, cast.alice) == before - 1


async def test_four_pictures_are_four_jobs_each_charged(working, db, cast):
    before = await available(db, cast.alice)
    async with working.openai() as client:
        answer = await client.images.generate(model="simulator", prompt="a red boat", size="512x512", n=4)
    assert len({picture.b64_json for picture in answer.data}) == 4
    assert [job["state"] for job in answer.metadata["jobs"]] == ["delivered"] * 4
    assert answer.metadata["partial"] is False
    assert await available(db, cast.alice) == before - 4


async def test_the_synchronous_client_works_too(working):
    def ask():
        with openai.OpenAI(base_url=f"{working.site.url}/v1", api_key=working.token, max_retries=0) as client:
            assert "simulator" in {model.id for model in client.models.list()}
            return client.images.generate(model="simulator", prompt="a red boat", size="512x512", n=2)

    assert len((await anyio.to_thread.run_sync(ask)).data) == 2


async def test_a_link_instead_of_bytes(working, at_work):
    async with working.openai() as client:
        linked = await client.images.generate(
            model="simulator", prompt="a red boat", size="512x512", response_format="url"
        )
    assert linked.data[0].b64_json is None
    async with aiohttp.ClientSession() as anybody, anybody.get(linked.data[0].url) as answer:
        assert (answer.status, answer.content_type) == (200, "image/png")
        assert (await raster.verify(await answer.read())).width == 512


async def test_the_models_are_listed_with_what_they_can_do(alices):
    async with alices.openai() as client:
        listed = {model.id: model async for model in client.models.list()}
        one = await client.models.retrieve("simulator")
    assert set(listed) == {"demo", "simulator"}
    assert (one.object, one.owned_by, one.credits) == ("model", "limner", 1)
    assert "512x512" in one.sizes
    assert one.created > 1_700_000_000


async def test_a_picture_is_shown_in_the_gallery(working, at_work, cast):
    asked = json(await working.order())
    alice = await at_work.browser(cast.alice)
    assert "a red boat" in (await alice.get("/gallery")).text
    assert asked["metadata"]["requested"] == {"model": "simulator", "size": "512x512", "n": 1}


@pytest.mark.parametrize(
    "asked, size",
    [
        ({}, "1024x1024"),
        ({"size": "auto"}, "1024x1024"),
        ({"size": None}, "1024x1024"),
        ({"size": "1536x1024"}, "1536x1024"),
        ({"aspect_ratio": "3:2"}, "1536x1024"),
        ({"aspect_ratio": "16:9", "image_size": "1K"}, "1344x768"),
        ({"aspect_ratio": "1:1", "image_size": "1K"}, "1024x1024"),
    ],
)
async def test_a_size_by_name_or_by_shape(alices, asked, size):
    body = json(await alices.order(**{"size": None, **asked}, Prefer="respond-async"))
    generation = await alices.site.db.fetchrow("select width, height from generation where id = $1::uuid", body["id"])
    assert f"{generation['width']}x{generation['height']}" == size


async def test_a_partly_delivered_order_says_so(working, at_work, db, cast):
    """The second of two is canceled before it begins."""
    before = await available(db, cast.alice)
    await db.execute("update plan set concurrency = 1")
    await switch(at_work, "slow seconds=1")
    task = json(await working.order(n=2, Prefer="respond-async"))
    await at_work.until("generation_changed", lambda: _running(db))
    await working.send("DELETE", task["poll_url"])
    await at_work.until("generation_ended", lambda: _over(db, task["id"]))
    found = json(await working.get(task["poll_url"]))
    assert [job["state"] for job in found["result"]["metadata"]["jobs"]] == ["delivered", "canceled"]
    assert found["result"]["metadata"]["partial"] is True
    assert found["result"]["metadata"]["reasons"] == ["canceled before it began"]
    assert found["result"]["metadata"]["credits"] == 1
    assert await available(db, cast.alice) == before - 1


async def _running(db):
    return await db.fetchval("select exists (select from job where state = 'running')")


async def _over(db, generation):
    states = ("delivered", "failed", "canceled")
    return await db.fetchval(
        "select state = any($2::text[]) from generation where id = $1::uuid", generation, list(states)
    )


async def test_no_subscription_is_a_quota_that_nobody_retries(at_work, cast):
    bobs = await program(at_work, cast.bob)
    page = await bobs.order()
    assert (page.status, error(page)["code"], page.headers["x-should-retry"]) == (429, "insufficient_quota", "false")


async def test_the_name_of_a_retired_model_stands_for_the_one_that_took_over(working, db):
    seed = "insert into model (id, provider_id, upstream_id, name, retires_at, replacement) select "
    await db.execute(
        seed + "'old-brush', id, 'old', 'Old brush', now(), 'simulator' from provider where code = 'simulator'"
    )
    async with working.openai() as client:
        answer = await client.images.generate(model="Old-Brush", prompt="a red boat", size="512x512")
        assert answer.model == "simulator"
        assert (await client.models.retrieve("old-brush")).id == "simulator"
