"""The Stability adapter over real HTTP: its forms, what it takes for the picture, what it books, what is left."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import pytest

from limner.actors.providers.base import Access, Fault, Order, Picture, TellsBalance, UpstreamError, provider
from limner.actors.providers.stability import FORMS, PARAMETERS, Stability, form, ratio
from tests.providers.conftest import Steps
from tests.upstreams.base import Script, painted
from tests.upstreams.stability import FakeStability, error, pixels

KEY = "sk-canary0123456789abcdefghijklmnop"
ORDER = Order("a fox", "core", 1344, 768, seed=7, user="hash-of-alice")
REFERENCE = painted(64, 64)


@pytest.fixture
async def api() -> AsyncIterator[FakeStability]:
    async with FakeStability().serve() as running:
        yield running


def access(api: FakeStability) -> Access:
    return Access(KEY, api.base_url, timeout=20, is_local=True)


async def paint(api: FakeStability, **changes: Any) -> Picture:
    return await Stability().paint(dataclasses.replace(ORDER, **changes), access(api), Steps())


async def test_core_is_sent_a_form_with_the_hash_of_the_user_beside_it(api: FakeStability) -> None:
    done = await paint(api)
    [asked] = api.asked
    assert asked.path == "/v2beta/stable-image/generate/core"
    assert asked.key == KEY
    assert asked.headers["content-type"].startswith("multipart/form-data")
    assert (asked.headers["accept"], asked.headers["stability-client-user-id"]) == ("application/json", "hash-of-alice")
    assert asked.fields == {"prompt": "a fox", "output_format": "png", "seed": "7", "aspect_ratio": "16:9"}
    assert done.data == painted(*pixels("16:9"))
    assert (done.mime, done.upstream_id, done.cost_micros) == ("image/png", "r1", 30_000)


@pytest.mark.parametrize(("model", "path", "fields", "micros"), [
    ("ultra", "ultra", {}, 80_000),
    ("stable-image-ultra", "ultra", {}, 80_000),
    ("sd3.5-large", "sd3", {"model": "sd3.5-large", "mode": "text-to-image"}, 65_000),
    ("sd3.5-medium", "sd3", {"model": "sd3.5-medium", "mode": "text-to-image"}, 35_000),
    ("sd3-large", "sd3", {"model": "sd3-large", "mode": "text-to-image"}, 0),
])  # fmt: skip
async def test_each_model_has_its_endpoint(
    api: FakeStability, model: str, path: str, fields: dict[str, str], micros: int
) -> None:
    done = await paint(api, model=model)
    assert api.asked[0].path.endswith(f"/generate/{path}")
    assert {name: api.asked[0].fields.get(name) for name in fields} == fields
    assert done.cost_micros == micros


@pytest.mark.parametrize(("model", "mode"), [("ultra", None), ("sd3.5-large", "image-to-image")])
async def test_a_reference_is_painted_over_by_so_much(api: FakeStability, model: str, mode: str | None) -> None:
    await paint(api, model=model, references=(REFERENCE,), parameters={"strength": 0.3})
    [asked] = api.asked
    assert asked.files == [("image", "image/png", REFERENCE)]
    assert (asked.fields["strength"], asked.fields.get("mode")) == ("0.3", mode)
    assert "aspect_ratio" not in asked.fields


async def test_every_parameter_is_sent_to_some_model(api: FakeStability) -> None:
    chosen: dict[str, dict[str, Any]] = {
        "core": {
            "negative_prompt": "cats", "aspect_ratio": "21:9", "output_format": "webp", "style_preset": "line-art",
        },
        "sd3.5-large": {"cfg_scale": 4.5, "negative_prompt": "cats", "output_format": "jpeg"},
        "ultra": {"strength": 0.5},
    }  # fmt: skip
    for model, parameters in chosen.items():
        references = (REFERENCE,) if "strength" in parameters else ()
        await paint(api, model=model, parameters=parameters, references=references)
        sent = api.asked[-1].fields
        assert {name: sent[name] for name in parameters} == {name: str(value) for name, value in parameters.items()}
    assert {name for parameters in chosen.values() for name in parameters} == set(PARAMETERS)


@pytest.mark.parametrize(("changes", "named"), [
    ({"parameters": {"quality": "high"}}, "quality"),
    ({"parameters": {"cfg_scale": 3}}, "cfg_scale"),
    ({"parameters": {"strength": 0.5}, "model": "ultra"}, "strength"),
    ({"parameters": {"negative_prompt": "cats"}, "model": "sd3.5-large-turbo"}, "negative_prompt"),
    ({"parameters": {"output_format": "webp"}, "model": "sd3.5-large"}, "output_format"),
    ({"parameters": {"aspect_ratio": "1:1"}, "model": "ultra", "references": (REFERENCE,)}, "aspect_ratio"),
    ({"references": (REFERENCE,)}, "reference"),
    ({"references": (REFERENCE, REFERENCE), "model": "ultra"}, "reference"),
    ({"mask": REFERENCE, "references": (REFERENCE,), "model": "ultra"}, "mask"),
])  # fmt: skip
async def test_what_a_model_does_not_know_is_refused_by_name(
    api: FakeStability, changes: dict[str, Any], named: str
) -> None:
    with pytest.raises(UpstreamError) as caught:
        await paint(api, **changes)
    assert caught.value.fault is Fault.INVALID_REQUEST
    assert named in caught.value.words
    assert api.asked == []


async def test_a_model_of_somebody_else_is_not_even_asked_for(api: FakeStability) -> None:
    with pytest.raises(UpstreamError) as caught:
        await paint(api, model="../../v1/user/balance")
    assert (caught.value.fault, api.asked) == (Fault.MODEL_UNAVAILABLE, [])
    assert form("Stable-Image-Core") is FORMS["core"]


@pytest.mark.parametrize(("seed", "sent"), [(7, "7"), (0, "4294967294"), (4294967295, "4294967294"), (2**32, "1")])
async def test_a_seed_never_means_any(api: FakeStability, seed: int, sent: str) -> None:
    await paint(api, seed=seed)
    assert api.asked[0].fields["seed"] == sent


async def test_a_picture_as_it_is_will_do_too(api: FakeStability) -> None:
    headers = {"Content-Type": "image/png", "finish-reason": "SUCCESS"}
    api.script(KEY, Script(body=REFERENCE, headers=headers))
    assert (await paint(api)).data == REFERENCE
    api.script(KEY, Script(body=REFERENCE, headers=headers | {"finish-reason": "CONTENT_FILTERED"}))
    with pytest.raises(UpstreamError) as caught:
        await paint(api)
    assert (caught.value.fault, caught.value.cost_micros) == (Fault.MODERATION_OUTPUT, 30_000)


async def test_credits_are_cents(api: FakeStability) -> None:
    api.credits = 12.345
    assert await Stability().balance(access(api)) == 123_450
    assert isinstance(provider("stability"), TellsBalance)


async def test_a_check_reads_the_balance_and_minds_it(api: FakeStability) -> None:
    await Stability().check(access(api))
    assert [asked.path for asked in api.asked] == ["/v1/user/balance"]
    api.credits = 0.079
    with pytest.raises(UpstreamError) as caught:
        await Stability().check(access(api))
    assert caught.value.fault is Fault.BALANCE_EXHAUSTED


async def test_a_check_tells_why_a_key_is_not_accepted(api: FakeStability) -> None:
    api.script(KEY, Script(401, error("unauthorized", f"invalid api key {KEY}")))
    with pytest.raises(UpstreamError) as caught:
        await Stability().check(access(api))
    assert caught.value.fault is Fault.AUTH_DEAD
    assert KEY not in repr(vars(caught.value))


@pytest.mark.parametrize(("width", "height", "nearest"), [
    (1024, 1024, "1:1"), (1536, 1024, "3:2"), (768, 1344, "9:16"), (1080, 2520, "9:21"), (1344, 768, "16:9"),
])  # fmt: skip
def test_the_ratio_is_the_nearest(width: int, height: int, nearest: str) -> None:
    assert ratio(width, height) == nearest
