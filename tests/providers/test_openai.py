"""The OpenAI adapter over real HTTP: what it sends, what it makes of the answer, what it books."""

from __future__ import annotations

import base64
import dataclasses
import io
from typing import Any

import pytest
from PIL import Image

from limner.actors.providers import egress
from limner.actors.providers.base import Access, Fault, Order, Picture, UpstreamError
from limner.actors.providers.openai import OpenAI, cost, size
from limner.sql.usages import Parts, Usage
from tests.providers.conftest import Steps
from tests.upstreams.openai import FakeOpenAI, Script, error, painted, picture

KEY = "sk-live-abcdefghijklmnopqrstuvwx"
ORDER = Order("a fox", "gpt-image-2", 1024, 768, seed=1, user="hash-of-alice")


async def paint(upstream: FakeOpenAI, order: Order = ORDER, **access: Any) -> Picture:
    return await OpenAI().paint(
        order, Access(KEY, upstream.base_url, **({"timeout": 20, "is_local": True} | access)), Steps()
    )


async def fault_of(upstream: FakeOpenAI, *scripts: Script, **access: Any) -> UpstreamError:
    upstream.script(KEY, *scripts)
    with pytest.raises(UpstreamError) as caught:
        await paint(upstream, **access)
    return caught.value


async def test_a_generation_is_sent_as_json_with_the_key_and_the_hash_of_the_user(upstream: FakeOpenAI) -> None:
    done = await paint(upstream)
    [asked] = upstream.asked
    assert asked.path == "/v1/images/generations"
    assert asked.key == KEY
    assert asked.fields == {
        "model": "gpt-image-2", "prompt": "a fox", "n": 1, "size": "1024x768", "safety_identifier": "hash-of-alice",
    }  # fmt: skip
    assert done.data == painted(1024, 768)
    assert (done.mime, done.upstream_id) == ("image/png", "req_5")
    assert done.cost_micros == 10 * 5 + 100 * 8 + 1000 * 30
    assert done.usage == Usage(110, Parts(10, 100), 1000, 1110)


async def test_nothing_is_said_about_a_user_without_a_hash(upstream: FakeOpenAI) -> None:
    await paint(upstream, dataclasses.replace(ORDER, user=""))
    assert "safety_identifier" not in upstream.asked[0].fields


async def test_an_edit_is_sent_as_a_form_with_references_in_order_and_the_mask(upstream: FakeOpenAI) -> None:
    first, second, mask = painted(64, 64, (1, 2, 3)), _jpeg(), painted(64, 64, (0, 0, 0))
    await paint(upstream, dataclasses.replace(ORDER, references=(first, second), mask=mask))
    [asked] = upstream.asked
    assert asked.path == "/v1/images/edits"
    assert asked.fields["prompt"] == "a fox"
    assert asked.fields["size"] == "1024x768"
    assert asked.files == [
        ("image[]", "image/png", first), ("image[]", "image/jpeg", second), ("mask", "image/png", mask),
    ]  # fmt: skip


async def test_the_real_type_is_sniffed_from_the_bytes(upstream: FakeOpenAI) -> None:
    upstream.script(KEY, Script(body=picture(_jpeg(), output_format="png")))
    assert (await paint(upstream)).mime == "image/jpeg"


async def test_steps_frame_the_call(upstream: FakeOpenAI) -> None:
    steps = Steps()
    await OpenAI().paint(ORDER, Access(KEY, upstream.base_url, is_local=True), steps)
    assert [step.done for step in steps] == [0.05, 0.95]


async def test_a_check_lists_the_models_and_paints_nothing(upstream: FakeOpenAI) -> None:
    await OpenAI().check(Access(KEY, upstream.base_url + "/", is_local=True))
    assert [asked.path for asked in upstream.asked] == ["/v1/models"]


async def test_a_check_tells_why_a_key_is_not_accepted(upstream: FakeOpenAI) -> None:
    upstream.script(KEY, Script(401, error("invalid_api_key", f"Incorrect API key provided: {KEY}.")))
    with pytest.raises(UpstreamError) as caught:
        await OpenAI().check(Access(KEY, upstream.base_url, is_local=True))
    assert caught.value.fault is Fault.AUTH_DEAD
    assert KEY not in repr(vars(caught.value))


@pytest.mark.parametrize("script", [
    Script(body={"created": 1, "data": [{"url": ""}]}),
    Script(body={"created": 1, "data": [{}]}),
    Script(body={"created": 1, "data": ["x"]}),
    Script(body={"created": 1, "data": [{"b64_json": "%%%"}]}),
    Script(body={"created": 1, "data": [{"b64_json": base64.b64encode(b"<html>").decode()}]}),
    Script(body=b"<html>welcome</html>"),
    Script(body=b""),
])  # fmt: skip
async def test_a_success_without_a_picture_is_no_image(upstream: FakeOpenAI, script: Script) -> None:
    assert (await fault_of(upstream, script)).fault is Fault.NO_IMAGE


async def test_a_broken_picture_is_paid_for_all_the_same(upstream: FakeOpenAI) -> None:
    usage = {"input_tokens": 0, "output_tokens": 1000}
    caught = await fault_of(upstream, Script(body={"data": [{"b64_json": "aGVsbG8="}], "usage": usage}))
    assert (caught.fault, caught.cost_micros) == (Fault.NO_IMAGE, cost(ORDER.model, usage))
    assert caught.cost_micros > 0


async def test_a_success_with_empty_data_is_silent_moderation(upstream: FakeOpenAI) -> None:
    assert (await fault_of(upstream, Script(body={"created": 1, "data": []}))).fault is Fault.MODERATION_OUTPUT


async def test_an_answer_beyond_the_cap_is_dropped_while_it_is_read(upstream: FakeOpenAI) -> None:
    import gzip

    bomb = gzip.compress(bytes(egress.BODY_LIMIT + 1), compresslevel=1)
    assert len(bomb) < 2**20
    caught = await fault_of(
        upstream, Script(body=bomb, headers={"Content-Encoding": "gzip", "Content-Type": "application/json"})
    )
    assert caught.fault is Fault.NO_IMAGE


async def test_a_redirect_is_not_followed(upstream: FakeOpenAI) -> None:
    caught = await fault_of(upstream, Script(307, {}, {"Location": upstream.base_url + "/elsewhere"}))
    assert caught.fault is Fault.UPSTREAM_5XX
    assert [asked.path for asked in upstream.asked] == ["/v1/images/generations"]


@pytest.mark.parametrize(("model", "asked", "sent"), [
    ("gpt-image-1.5", (1024, 1024), "1024x1024"), ("gpt-image-1.5", (1920, 1080), "1536x1024"),
    ("gpt-image-1-mini", (768, 1344), "1024x1536"), ("chatgpt-image-latest", (1100, 1000), "1024x1024"),
    ("gpt-image-2", (1000, 1000), "992x992"), ("gpt-image-2", (768, 1344), "768x1344"),
    ("gpt-image-2-2026-04-21", (2048, 256), "768x256"), ("gpt-image-2.5-flare", (4096, 4096), "3840x3840"),
    ("gpt-image-2.6-sunburst", (1536, 1024), "1536x1024"), ("some-relay-model", (1000, 700), "1000x700"),
])  # fmt: skip
def test_the_size_is_one_that_the_model_paints(model: str, asked: tuple[int, int], sent: str) -> None:
    assert size(model, *asked) == sent


@pytest.mark.parametrize(("model", "usage", "micros"), [
    ("gpt-image-2", {"input_tokens": 100, "output_tokens": 1000}, 100 * 5 + 1000 * 30),
    ("gpt-image-2-2026-04-21", {"output_tokens": 1}, 30),
    ("gpt-image-1-mini", {"input_tokens": 12, "input_tokens_details": {"image_tokens": 10}, "output_tokens": 0}, 29),
    ("gpt-image-2.6-flare", {"input_tokens": 100, "output_tokens": 1000}, 0),
    ("gpt-image-2", None, 0), ("gpt-image-2", {"output_tokens": "many"}, 0), ("gpt-image-2", {"output_tokens": -5}, 0),
])  # fmt: skip
def test_the_cost_follows_the_usage(model: str, usage: object, micros: int) -> None:
    assert cost(model, usage) == micros


def _jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (9, 9, 200)).save(buffer, "JPEG")
    return buffer.getvalue()
