"""From OpenAI's client through the studio to a painter that speaks OpenAI's protocol, and back."""

from __future__ import annotations

import base64

import openai
import orjson
import pytest

from limner.http.api.catalogue import CATALOGUE
from limner.runtime.vault import Vault
from limner.sql import erasure, keys
from tests.api.conftest import error, json, program, studio
from tests.api.test_edits import masked
from tests.conftest import held
from tests.http.conftest import drawn
from tests.upstreams.openai import FakeOpenAI, Script, painted, picture
from tests.upstreams.openai import error as refusal
from tests.upstreams.relay import chatted, data_url

ASKED = {"model": "gpt-image-2", "prompt": "a red boat", "size": "1024x1024"}


@pytest.fixture
async def fake():
    async with held(FakeOpenAI().serve()) as upstream:
        yield upstream


@pytest.fixture
async def through(dsn, tmp_path, db, cast, fake):
    """Alice's program at a studio whose painter is the stand-in."""
    options = {"quality": ["low", "high"], "output_compression": {"min": 0, "max": 100}}
    await db.execute("update model set options = $1, aliases = '{dall-e-3}' where id = 'gpt-image-2'", options)
    async with held(studio(dsn, tmp_path, db, openai_url=fake.base_url)) as site:
        secret = "sk-upstream-canary-1234567890"
        await keys.add(db, Vault.from_config(site.config), "openai", "main", secret, actor="test", concurrency=8)
        yield await program(site, cast.alice)


async def test_what_the_model_can_do_is_passed_on_and_answered(through, fake):
    async with through.openai() as client:
        answer = await client.images.generate(
            **ASKED, quality="high", output_compression=80, background="auto", user="me@x.org"
        )
    sent = fake.asked[-1].fields
    assert (sent["quality"], sent["output_compression"], sent["size"]) == ("high", 80, "1024x1024")
    assert "background" not in sent
    assert "me@x.org" not in str(sent)
    assert answer.quality == "high"
    assert answer.metadata["requested"] == {
        "model": "gpt-image-2", "size": "1024x1024", "n": 1, "quality": "high", "output_compression": 80,
    }  # fmt: skip


async def test_the_tokens_of_all_pictures_are_told_as_their_painter_told_them(through, db):
    async with through.openai() as client:
        answer = await client.images.generate(**ASKED, n=3)
        async with client.images.with_streaming_response.generate(**ASKED) as raw:
            told = orjson.loads(await raw.read())["usage"]
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.total_tokens) == (330, 3000, 3330)
    details = answer.usage.input_tokens_details
    assert (details.text_tokens, details.image_tokens) == (30, 300)
    assert answer.usage.output_tokens_details is None
    assert told == {
        "input_tokens": 110, "input_tokens_details": {"text_tokens": 10, "image_tokens": 100},
        "output_tokens": 1000, "total_tokens": 1110,
    }  # fmt: skip
    assert await db.fetchval("select count(*) from image where usage ->> 'total_tokens' = '1110'") == 4


async def test_an_edit_and_a_stream_and_a_task_tell_them_too(through):
    async with through.openai() as client:
        edited = await client.images.edit(image=("a.png", drawn(), "image/png"), **ASKED)
        stream = await client.images.generate(**ASKED, stream=True, n=2)
        events = [event async for event in stream]
        stream = await client.images.edit(image=("a.png", drawn(), "image/png"), **ASKED, stream=True)
        events += [event async for event in stream]
    assert edited.usage.total_tokens == 1110
    assert [event.usage.total_tokens for event in events] == [1110] * 3, "each event tells of its own picture"
    assert events[0].usage.input_tokens_details.image_tokens == 100
    found = json(await through.get(f"/v1/images/tasks/{edited.metadata['generation']}"))
    assert found["result"]["usage"]["total_tokens"] == 1110


async def test_what_came_out_is_told_apart_where_the_painter_does(through, fake):
    parts = {"text_tokens": 40, "image_tokens": 960}
    usage = {"input_tokens": 10, "output_tokens": 1000, "total_tokens": 1010, "output_tokens_details": parts}
    fake.script("sk-upstream-canary-1234567890", Script(body=picture(painted(1024, 1024), usage=usage)))
    async with through.openai() as client:
        answer = await client.images.generate(**ASKED)
    assert answer.usage.output_tokens_details.to_dict() == parts
    assert answer.usage.input_tokens_details.to_dict() == {"text_tokens": 10, "image_tokens": 0}


@pytest.mark.parametrize("odd", [None, "12", {"total_tokens": 7}, {"input_tokens": -1, "output_tokens": 5}, [1]])
async def test_tokens_that_make_no_sense_are_left_out_and_the_picture_comes(through, fake, odd):
    fake.script("sk-upstream-canary-1234567890", *[Script(body=picture(painted(1024, 1024), usage=odd))] * 2)
    async with through.openai() as client:
        answer = await client.images.generate(**ASKED)
        stream = await client.images.generate(**ASKED, stream=True)
        (event,) = [event async for event in stream]
    assert (len(answer.data), answer.usage) == (1, None)
    assert "usage" not in answer.to_dict()
    assert event.usage.total_tokens == 0, "the client's type has no event without it"


@pytest.mark.parametrize(
    "asked, param",
    [
        ({"quality": "medium"}, "quality"),
        ({"output_compression": 101}, "output_compression"),
        ({"output_compression": 1.5}, "output_compression"),
        ({"output_compression": True}, "output_compression"),
        ({"references": 3}, "references"),
    ],
)
async def test_what_it_cannot_do_is_refused_with_what_it_can(through, fake, asked, param):
    page = await through.order(**ASKED | asked)
    assert (page.status, error(page)["param"]) == (400, param)
    assert fake.asked == []


async def test_a_long_prompt_and_ten_pictures_come_all_the_way_where_the_model_reads_so_much(through, fake, db):
    long = "a boat, " * 3900 + "a harbour"
    refused = await through.order(**ASKED | {"prompt": long})
    assert (refused.status, error(refused)["param"], "at most 4000" in error(refused)["message"]) == (
        400,
        "prompt",
        True,
    )
    await db.execute(
        """update model set options = options || '{"prompt": {"min": 1, "max": 32000}}' where id = 'gpt-image-2'"""
    )
    async with through.openai() as client:
        answer = await client.images.generate(**ASKED | {"prompt": long}, n=10)
    assert len(answer.data) == 10
    assert {asked.fields["prompt"] for asked in fake.asked} == {long}


async def test_an_old_name_of_a_model_leads_to_the_living_one(through):
    async with through.openai() as client:
        answer = await client.images.generate(**ASKED | {"model": "dall-e-3"})
        assert (await client.models.retrieve("dall-e-3")).id == "gpt-image-2"
    assert answer.model == "gpt-image-2"


async def test_unfinished_pictures_come_all_the_way(through, fake):
    async with through.openai() as client:
        stream = await client.images.generate(**ASKED, stream=True, partial_images=2)
        events = [event async for event in stream]
    assert [event.type for event in events] == [
        "image_generation.partial_image", "image_generation.partial_image", "image_generation.completed",
    ]  # fmt: skip
    assert fake.asked[-1].fields["partial_images"] == 2
    assert events[-1].metadata["requested"]["partial_images"] == 2
    assert len({event.b64_json for event in events}) == 3
    assert base64.b64decode(events[0].b64_json).startswith(b"\x89PNG")


async def test_pictures_and_mask_come_all_the_way(through, fake, db):
    await db.execute("update model set abilities = '{text,image,mask}' where id = 'gpt-image-2'")
    pictures = [("a.png", drawn(width=64), "image/png"), ("b.png", drawn(width=65), "image/png")]
    async with through.openai() as client:
        answer = await client.images.edit(image=pictures, mask=("m.png", masked(), "image/png"), **ASKED)
    assert len(answer.data) == 1
    names = [name for name, _, _ in fake.asked[-1].files]
    assert names == ["image[]", "image[]", "mask"]


async def test_a_markup_comes_all_the_way_under_its_own_name(through, fake, db):
    await db.execute("""update model set options = options || '{"markup": [true]}' where id = 'gpt-image-2'""")
    async with through.openai() as client:
        answer = await client.images.edit(
            image=("a.png", drawn(), "image/png"), markup=("m.png", masked(), "image/png"), quality="high", **ASKED
        )
    assert len(answer.data) == 1
    assert [name for name, _, _ in fake.asked[-1].files] == ["image[]", "markup"]
    assert "markup" not in fake.asked[-1].fields
    assert fake.asked[-1].fields["quality"] == "high"


async def test_nothing_of_the_upstream_is_told(through, fake):
    leak = "sk-upstream-canary-1234567890 at account acme"
    fake.script("sk-upstream-canary-1234567890", Script(status=400, body=refusal("invalid_value", leak)))
    page = await through.order(**ASKED)
    assert page.status == 400
    assert "canary" not in page.text
    assert "acme" not in page.text


@pytest.mark.parametrize(
    "sent, param",
    [
        ({"background": "transparent", "output_format": "jpeg"}, "background"),
        ({"output_compression": 50}, "output_compression"),
        ({"output_compression": 50, "output_format": "png"}, "output_compression"),
        ({"partial_images": 2}, "partial_images"),
    ],
)
async def test_what_does_not_go_together_costs_no_call(through, fake, db, sent, param):
    options = {
        "background": ["transparent", "opaque"], "output_format": ["png", "jpeg", "webp"],
        "output_compression": {"min": 0, "max": 100},
    }  # fmt: skip
    await db.execute("update model set options = $1 where id = 'gpt-image-2'", options)
    page = await through.order(**ASKED | sent)
    assert (page.status, error(page)["param"]) == (400, param)
    assert fake.asked == []
    assert json(await through.order(**ASKED, output_compression=50, output_format="webp"))["data"]


@pytest.mark.parametrize(("asked", "meant"), [("standard", "medium"), ("hd", "high"), ("low", "low")])
async def test_a_program_that_was_written_for_dall_e_gets_the_quality_that_it_means(through, fake, db, asked, meant):
    await db.execute(
        """update model set options = options || '{"quality": ["low", "medium", "high"]}' where id = 'gpt-image-2'"""
    )
    async with through.openai() as client:
        answer = await client.images.generate(**ASKED | {"model": "dall-e-3"}, quality=asked)
    assert fake.asked[-1].fields["quality"] == meant
    assert (answer.quality, answer.metadata["requested"]["quality"]) == (meant, meant)
    other = await through.order(**ASKED, quality="hd")
    assert (other.status, error(other)["param"]) == (400, "quality"), "under its own name it has its own words"


@pytest.mark.parametrize("stage", ["input", "output"])
async def test_which_content_rules_the_painter_names_is_handed_on_until_the_account_is_erased(
    through, fake, db, cast, stage
):
    details = {"moderation_stage": stage, "categories": ["violence/graphic", "sexual", "internal: acct-991"]}
    wrong = refusal("moderation_blocked", "No.", "image_generation_user_error", moderation_details=details)
    fake.script("sk-upstream-canary-1234567890", *[Script(status=400, body=wrong)] * 3)
    async with through.openai(max_retries=2) as client:
        with pytest.raises(openai.BadRequestError) as caught:
            await client.images.generate(**ASKED)
    told = {"moderation_stage": stage, "categories": ["violence/graphic", "sexual"]}
    assert (caught.value.code, caught.value.body["moderation_details"]) == ("moderation_blocked", told)
    generation = await db.fetchval("select id from generation")
    assert json(await through.get(f"/v1/images/tasks/{generation}"))["error"]["moderation_details"] == told
    await erasure.erase(db, cast.alice.id, actor="cli", why="asked for")
    assert await db.fetchval("select count(*) from attempt where categories is not null") == 0


@pytest.mark.parametrize(
    ("code", "told", "param"),
    [
        ("invalid_value", "size", "size"),
        ("invalid_value", "quality", "quality"),
        ("moderation_blocked", "prompt", "prompt"),
        ("invalid_value", "our_relays_own_switch", None),
        ("invalid_value", None, None),
    ],
)
async def test_which_parameter_the_painter_blames_is_handed_on_where_it_is_the_callers(
    through, fake, code, told, param
):
    fake.script("sk-upstream-canary-1234567890", Script(status=400, body=refusal(code, "No.", param=told)))
    page = await through.order(**ASKED, quality="high")
    assert (page.status, error(page)["param"]) == (400, param)


@pytest.mark.parametrize(
    ("kind", "settings", "come"),
    [("relay", {"has_streaming": True}, 2), ("relay", {}, 0), ("relay", {"has_streaming": True, "path": "chat"}, 0)],
)
async def test_where_no_unfinished_pictures_come_it_is_said(through, fake, db, kind, settings, come):
    """A stream without any is as OpenAI allows; that none were asked for is told, and that the model has none to give."""
    if settings.get("path") == "chat":
        body = chatted(images=[data_url(drawn("PNG", 1024, 1024))])
        fake.script("sk-upstream-canary-1234567890", Script(body=body))
    row = (kind, settings, fake.base_url)
    await db.execute(
        "update provider set kind = $1, settings = $2, base_url = $3, is_local = true where code = 'openai'", *row
    )
    through.site.app[CATALOGUE]._forget(None)
    async with through.openai() as client:
        listed = (await client.models.retrieve("gpt-image-2")).options
        stream = await client.images.generate(**ASKED, stream=True, partial_images=2)
        events = [event async for event in stream]
    assert listed.get("partial_images") == ({"min": 0, "max": 3} if come else None)
    assert [event.type.partition(".")[2] for event in events] == ["partial_image"] * come + ["completed"]
    assert events[-1].metadata["requested"]["partial_images"] == come
    assert bool(fake.asked[-1].fields.get("stream")) == bool(come)


async def test_who_wants_no_unfinished_pictures_hears_nothing_of_them(through):
    async with through.openai() as client:
        events = [event async for event in await client.images.generate(**ASKED, stream=True)]
    assert "partial_images" not in events[-1].metadata["requested"]
