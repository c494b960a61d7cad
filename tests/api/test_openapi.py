"""The document says of every route what it takes and answers, in the shapes that validate."""

from __future__ import annotations

import re

import orjson
from openai.types import images_response as openai_images

from limner.http.api.schemas import EVENTS, Edit, Generation, Usage
from limner.sql import progress
from tests.api.conftest import JSON, json
from tests.http.conftest import Stream, drawn
from tests.http.painting import take_up
from tests.http.sitemap import patterns


async def test_each_route_is_in_it(site, stranger):
    page = await stranger.get("/v1/openapi.json")
    described = {f"{method.upper()} {path}" for path, methods in json(page)["paths"].items() for method in methods}
    assert described == {f"{method} {path}" for method, path in patterns(site) if path.startswith("/v1")}
    assert len(described) > 8


async def test_every_reference_in_it_leads_somewhere(site, stranger):
    page = await stranger.get("/v1/openapi.json")
    document = json(page)
    assert document["openapi"] == "3.1.0"
    assert document["servers"] == [{"url": site.url}]
    named = set(re.findall(r'"#/components/schemas/(\w+)"', page.text))
    assert (
        {"Generation", "Edit", "Images", "Task", "Failure", "ModelList"}
        <= named
        <= set(document["components"]["schemas"])
    )
    ids = [told["operationId"] for methods in document["paths"].values() for told in methods.values()]
    assert len(ids) == len(set(ids))


async def test_it_lists_the_fields_that_are_read(stranger):
    document = json(await stranger.get("/v1/openapi.json"))
    for shape in (Generation, Edit):
        assert set(document["components"]["schemas"][shape.__name__]["properties"]) == set(shape.model_fields)
    sent = document["paths"]["/v1/images/edits"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert set(sent["schema"]["allOf"][1]["properties"]) == {"image", "mask", "markup"}


async def test_an_answer_has_the_fields_that_are_told(working):
    document = json(await working.get("/v1/openapi.json"))
    shapes = document["components"]["schemas"]
    answer = json(await working.order())
    for name, body in (
        ("Images", answer),
        ("Metadata", answer["metadata"]),
        ("OfferedModel", json(await working.get("/v1/models/simulator"))),
        ("Task", json(await working.order(Prefer="respond-async"))),
    ):
        assert set(shapes[name].get("required", [])) <= set(body) <= set(shapes[name]["properties"]), name


async def test_of_tokens_it_says_what_openai_says_and_of_an_answer_without_them_too(stranger):
    shapes = json(await stranger.get("/v1/openapi.json"))["components"]["schemas"]
    for ours, theirs in ((Usage, shapes["Usage"]), (openai_images.Usage, shapes["Usage"])):
        assert set(ours.model_fields) == set(theirs["properties"])
        assert {name for name, field in ours.model_fields.items() if field.is_required()} == set(theirs["required"])
    assert set(shapes["Tokens"]["required"]) == {"text_tokens", "image_tokens"}
    assert "usage" not in shapes["Images"]["required"]
    assert "usage" in shapes["FinishedPicture"]["required"]


async def test_it_says_both_that_a_503_can_mean(stranger):
    document = json(await stranger.get("/v1/openapi.json"))
    told = document["paths"]["/v1/images/generations"]["post"]["responses"]["503"]["description"]
    assert "nothing was ordered" in told
    assert "with an Idempotency-Key, your order goes on" in told


async def test_the_events_of_a_stream_have_the_fields_that_are_told(alices, site):
    shapes = json(await alices.get("/v1/openapi.json"))["components"]["schemas"]
    about = {"Authorization": f"Bearer {alices.token}", **JSON}
    asked = {
        "model": "simulator",
        "prompt": "a red boat",
        "size": "512x512",
        "n": 2,
        "stream": True,
        "partial_images": 1,
    }
    async with alices.client.post(
        f"{site.url}/v1/images/generations", data=orjson.dumps(asked), headers=about
    ) as answer:
        stream, easel = Stream(answer), await take_up(site)
        await progress.keep_partial(site.db, easel.job, "image/png", drawn())
        events = [await stream.next()]
        await easel.deliver()
        await (await take_up(site)).fail("it broke")
        events += await stream.rest()
    told = [orjson.loads(event.data) for event in events]
    assert [event.name for event in events] == [each["type"] for each in told]
    for shape, data in zip(EVENTS, told, strict=True):
        shape.model_validate(data)
        known = shapes[shape.__name__]
        assert data["type"] in known["properties"]["type"].get("enum", [known["properties"]["type"].get("const")])
        assert set(known.get("required", [])) <= set(data) <= set(known["properties"]), shape
    ref = json(await alices.get("/v1/openapi.json"))["paths"]["/v1/images/edits"]["post"]["responses"]["200"]["content"]
    schema = ref["text/event-stream"]["schema"]
    assert len(schema["anyOf"]) == len(EVENTS)
    mapping = schema["discriminator"]["mapping"]
    assert set(mapping.values()) == {each["$ref"] for each in schema["anyOf"]}
    named = [mapping[event["type"]].rpartition("/")[2] for event in told]
    assert named == [shape.__name__ for shape in EVENTS], "a reader finds the shape of each event by its type"
    assert "image_edit.completed" in mapping
