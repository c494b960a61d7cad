"""What is answered holds against the types of OpenAI's own client, which it builds without looking when it reads an answer."""

from __future__ import annotations

import aiohttp
import orjson
import pytest
from openai.types import (
    ImageEditCompletedEvent,
    ImageEditPartialImageEvent,
    ImageGenCompletedEvent,
    ImageGenPartialImageEvent,
    ImagesResponse,
    Model,
)
from openai.types.shared import ErrorObject

from limner.http.api.errors import overloaded
from limner.sql import progress
from tests.api.conftest import JSON, error, json
from tests.http.conftest import Stream, drawn
from tests.http.painting import take_up

ASKED = {"model": "simulator", "prompt": "a red boat", "size": "512x512"}


async def test_an_answer_and_a_task_and_the_models(working):
    page = await working.order(n=2)
    whole = ImagesResponse.model_validate(json(page), strict=True)
    assert (whole.quality, whole.background, whole.output_format) == (None, None, "png")
    task = json(await working.get(f"/v1/images/tasks/{json(page)['metadata']['generation']}"))
    assert ImagesResponse.model_validate(task["result"], strict=True).usage is None
    for each in json(await working.get("/v1/models"))["data"]:
        Model.model_validate(each, strict=True)
    ErrorObject.model_validate(error(await working.order(n=11)), strict=True)


async def test_what_was_chosen_is_told(working, db):
    options = {"quality": ["low", "high"], "background": ["auto", "opaque"]}
    await db.execute("update model set options = $1 where id = 'simulator'", options)
    body = json(await working.order(quality="high", background="auto"))
    told = ImagesResponse.model_validate(body, strict=True)
    assert (told.quality, told.background) == ("high", None)
    assert body["metadata"]["requested"]["background"] == "auto"


@pytest.mark.parametrize("is_edit", [False, True])
async def test_each_event_of_a_stream(alices, site, is_edit):
    partial, completed = (
        (ImageEditPartialImageEvent, ImageEditCompletedEvent)
        if is_edit
        else (ImageGenPartialImageEvent, ImageGenCompletedEvent)
    )
    async with _streamed(alices, is_edit) as answer:
        stream, easel = Stream(answer), await take_up(site)
        await progress.keep_partial(site.db, easel.job, "image/png", drawn())
        unfinished = await stream.next()
        await easel.deliver()
        (finished,) = await stream.rest()
    partial.model_validate(orjson.loads(unfinished.data), strict=True)
    done = completed.model_validate(orjson.loads(finished.data), strict=True)
    assert (done.usage.total_tokens, done.quality, done.background) == (0, "auto", "auto")


def _streamed(alices, is_edit):
    about, asked = {"Authorization": f"Bearer {alices.token}"}, ASKED | {"stream": True, "partial_images": 1}
    if not is_edit:
        url = f"{alices.site.url}/v1/images/generations"
        return alices.client.post(url, data=orjson.dumps(asked), headers=about | JSON)
    form = aiohttp.FormData([(name, str(value).lower()) for name, value in asked.items()], default_to_multipart=True)
    form.add_field("image", drawn(), filename="a.png", content_type="image/png")
    return alices.client.post(f"{alices.site.url}/v1/images/edits", data=form, headers=about)


async def test_a_model_is_found_by_an_alias_with_a_stroke_in_it(working, db):
    await db.execute("update model set aliases = '{acme/simulator-1}' where id = 'simulator'")
    async with working.openai() as client:
        assert (await client.models.retrieve("acme/simulator-1")).id == "simulator"


@pytest.mark.parametrize("asked", [{"complexity": "low"}, {"frame_count": 4}, {"svg": {"model": "gpt-5"}}])
async def test_a_field_of_theirs_that_a_model_lacks_is_no_typing_error(alices, asked):
    page = await alices.order(**asked)
    (name,) = asked
    assert (page.status, error(page)["code"], error(page)["param"]) == (400, "unsupported_parameter", name)


@pytest.mark.parametrize(("after", "told"), [(0.2, "1"), (1.0, "1"), (1.2, "2"), (39.5, "40")])
def test_who_comes_back_when_it_was_told_to_is_not_too_early(after, told):
    assert overloaded("All painters rest.", after).headers["Retry-After"] == told
