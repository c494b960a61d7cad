"""The fal adapter over real HTTP: what it sends, which addresses it believes, what it reads for free."""

from __future__ import annotations

from typing import Any

import pytest

from limner.actors.providers import waiting
from limner.actors.providers.base import Access, Fault, Order, UpstreamError
from limner.actors.providers.fal import Fal
from limner.runtime.errors import Refused
from limner.sql import painters
from tests.providers.conftest import Steps, served
from tests.upstreams.fal import FakeFal, Script, painted

KEY = "fal-key-id:fal-key-secret-0123456789"
FOX = painted(64, 64, (9, 9, 9))

fal = served(FakeFal)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "FIRST", 0.01)
    monkeypatch.setattr(waiting, "MOST", 0.02)


async def paint(
    fal: FakeFal, model: str = "fal-ai/flux/schnell", settings: dict[str, Any] | None = None, **more: Any
) -> Any:
    order = Order("a fox", model, 1344, 768, **({"seed": 7} | more))
    return await Fal().paint(
        order, Access(KEY, fal.base_url, timeout=5, settings=settings or {}, is_local=True), Steps()
    )


async def test_a_job_is_created_under_the_whole_name_and_without_retries_of_theirs(fal: FakeFal) -> None:
    done = await paint(fal, parameters={"num_inference_steps": 4})
    create = fal.asked[0]
    assert (create.method, create.path) == ("POST", "/fal-ai/flux/schnell")
    assert create.headers["authorization"] == f"Key {KEY}"
    assert create.headers["x-fal-no-retry"] == "1"
    assert create.fields == {
        "prompt": "a fox", "image_size": {"width": 1344, "height": 768}, "seed": 7, "num_inference_steps": 4,
    }  # fmt: skip
    assert fal.asked[1].path == "/fal-ai/flux/requests/019a-0001/status"
    assert (done.data, done.upstream_id) == (painted(1344, 768), "019a-0001")


async def test_references_go_to_the_model_that_takes_them(fal: FakeFal) -> None:
    await paint(fal, "fal-ai/nano-banana", references=(FOX, FOX))
    assert fal.asked[0].path == "/fal-ai/nano-banana/edit"
    assert len(fal.asked[0].fields["image_urls"]) == 2
    assert fal.asked[0].fields["image_urls"][0].startswith("data:image/png;base64,")
    assert fal.asked[0].fields["aspect_ratio"] == "16:9"


@pytest.mark.parametrize(("more", "words"), [
    ({"references": (FOX,)}, "reference is not taken by this model."),
    ({"model": "fal-ai/flux/dev", "references": (FOX, FOX)}, "reference is taken only once by this model."),
    ({"mask": FOX}, "mask is not taken by this model."),
])  # fmt: skip
async def test_what_a_model_does_not_take_is_refused_by_name(fal: FakeFal, more: dict[str, Any], words: str) -> None:
    with pytest.raises(UpstreamError) as caught:
        await paint(fal, **more)
    assert (caught.value.fault, caught.value.words) == (Fault.INVALID_REQUEST, words)
    assert fal.asked == []


async def test_an_operator_says_how_a_model_wants_its_input(fal: FakeFal) -> None:
    shape = {
        "size": "size", "references": "images", "many": True, "mask": "mask_url", "seed": False, "edit": "acme/brush/edit",
        "fixed": {"enable_safety_checker": True}, "parameters": ["mood"],
    }  # fmt: skip
    settings = {"models": {"acme/brush": shape}}
    await paint(fal, "acme/brush/v2", settings, references=(FOX,), mask=FOX, parameters={"mood": "calm"})
    assert fal.asked[0].path == "/acme/brush/edit"
    fields = fal.asked[0].fields
    assert set(fields) == {"prompt", "size", "images", "mask_url", "mood", "enable_safety_checker"}
    assert fields["size"] == "1344x768"


@pytest.mark.parametrize("url", [
    "http://169.254.169.254/status", "http://127.0.0.1:1/status", "https://queue.fal.run.evil.example/x", "/status", "", None,
    "//127.0.0.1/x", "http://[", 7,
])  # fmt: skip
@pytest.mark.parametrize("name", ["status_url", "response_url", "cancel_url"])
async def test_the_key_goes_to_no_foreign_address_that_an_answer_names(fal: FakeFal, name: str, url: object) -> None:
    own = {each: f"{fal.base_url}/x/{each}" for each in ("status_url", "response_url", "cancel_url")}
    fal.script(KEY, Script(body={"request_id": "019a", **own, name: url}))
    with pytest.raises(UpstreamError) as caught:
        await paint(fal)
    assert caught.value.fault is Fault.UPSTREAM_5XX
    assert len(fal.asked) == 1


async def test_prices_models_and_credits_are_read_from_the_platform(fal: FakeFal) -> None:
    access = Access(KEY, "http://127.0.0.1:1", settings={"platform_url": f"{fal.base_url}/v1"}, is_local=True)
    await Fal().check(access)
    found = await Fal().models(access)
    assert [(each.id, each.name, each.abilities) for each in found] == [
        ("fal-ai/aura-flow", "fal-ai/aura-flow", ("text",)), ("fal-ai/flux/dev", "FLUX.1 [dev]", ("text", "image")),
    ]  # fmt: skip
    assert await Fal().balance(access) == 24_500_000
    assert {asked.headers["authorization"] for asked in fal.asked} == {f"Key {KEY}"}


async def test_a_key_that_is_no_admins_tells_no_balance_and_is_not_dead(fal: FakeFal) -> None:
    fal.script(KEY, Script(403, {"error": {"type": "authorization_error", "message": "Admin API key required"}}))
    with pytest.raises(UpstreamError) as caught:
        await Fal().balance(Access(KEY, "", settings={"platform_url": f"{fal.base_url}/v1"}, is_local=True))
    assert caught.value.fault is Fault.INVALID_REQUEST


@pytest.mark.parametrize(("settings", "name"), [
    ({"platform_url": "api.fal.ai"}, "platform_url"), ({"models": []}, "models"), ({"models": {"a/b": 5}}, "a/b"),
    ({"models": {"a/b": {"many": 1}}}, "many"), ({"models": {"a/b": {"sizes": "x"}}}, "sizes"), ({"url": ""}, "url"),
])  # fmt: skip
def test_a_wrong_setting_is_refused_by_its_name(settings: dict[str, Any], name: str) -> None:
    with pytest.raises(Refused) as refused:
        painters.fal(settings)
    assert refused.value.field == name
