"""The Replicate adapter over real HTTP: what it sends, how it uploads, and what it reads for free."""

from __future__ import annotations

import random
from typing import Any

import pytest

from limner.actors.providers import waiting
from limner.actors.providers.base import Access, Fault, JobGone, Order, UpstreamError
from limner.actors.providers.replicate import SMALL, Replicate
from limner.runtime.errors import Refused
from limner.sql import painters
from tests.providers.conftest import Steps, served
from tests.upstreams.replicate import FakeReplicate, Script, painted

KEY = "r8_live_abcdefghijklmnopqrstuvwx"
FOX = painted(64, 64, (9, 9, 9))
DEV = "black-forest-labs/flux-dev"
VERSION = "39ed52f2a78e934b3ba6e2a89f5b1c712de7dfea535525255b1aa35c5565e08b"

replicate = served(FakeReplicate)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "FIRST", 0.01)
    monkeypatch.setattr(waiting, "MOST", 0.02)


async def paint(fake: FakeReplicate, model: str = DEV, settings: dict[str, Any] | None = None, **more: Any) -> Any:
    order = Order("a fox", model, 1344, 768, **({"seed": 7} | more))
    return await Replicate().paint(
        order, Access(KEY, fake.base_url, timeout=90, settings=settings or {}, is_local=True), Steps()
    )


async def test_an_official_model_is_asked_under_its_name(replicate: FakeReplicate) -> None:
    done = await paint(replicate, parameters={"output_format": "png"})
    create = replicate.asked[0]
    assert (create.method, create.path) == ("POST", f"/v1/models/{DEV}/predictions")
    assert create.key == KEY
    assert create.fields == {"input": {"prompt": "a fox", "aspect_ratio": "16:9", "seed": 7, "output_format": "png"}}
    assert create.headers["cancel-after"] == "90s"
    assert "prefer" not in create.headers
    assert (done.data, done.upstream_id) == (painted(1024, 1024), "gm3q0001")


@pytest.mark.parametrize("model", [f"stability-ai/sdxl:{VERSION}", VERSION])
async def test_a_version_is_asked_by_itself(replicate: FakeReplicate, model: str) -> None:
    await paint(replicate, model)
    assert replicate.asked[0].path == "/v1/predictions"
    assert replicate.asked[0].fields["version"] == VERSION


async def test_a_family_gets_the_size_in_its_own_way(replicate: FakeReplicate) -> None:
    done = await paint(replicate, f"stability-ai/sdxl:{VERSION}", references=(FOX,), mask=FOX)
    asked = replicate.asked[0].fields["input"]
    assert (asked["width"], asked["height"]) == (1344, 768)
    assert asked["image"] == asked["mask"]
    assert done.data == painted(1344, 768)


async def test_the_first_answer_may_be_held_back_until_the_picture_is_there(replicate: FakeReplicate) -> None:
    await paint(replicate, settings={"wait": 30})
    assert replicate.asked[0].headers["prefer"] == "wait=30"
    assert [asked.path for asked in replicate.asked[1:]] == ["/files/gm3q0001.png"]


async def test_an_output_may_be_one_address(replicate: FakeReplicate) -> None:
    replicate.lists = False
    assert (await paint(replicate)).data == painted(1024, 1024)


async def test_a_large_reference_is_uploaded_and_a_small_one_is_not(replicate: FakeReplicate) -> None:
    large = FOX + random.Random(1).randbytes(SMALL)
    await paint(replicate, "google/nano-banana", references=(large, FOX))
    upload, create = replicate.asked[:2]
    assert upload.path == "/v1/files"
    assert upload.files == [("content", "image/png", large)]
    first, second = create.fields["input"]["image_input"]
    assert first == "https://api.replicate.com/v1/files/f1"
    assert second.startswith("data:image/png;base64,")


async def test_an_output_that_is_deleted_by_now_is_gone(replicate: FakeReplicate) -> None:
    removed = {"id": "gm3q0001", "status": "succeeded", "output": None, "data_removed": True}
    replicate.script(KEY, Script(body=removed, path="/predictions/gm3q0001"))
    with pytest.raises(JobGone):
        await Replicate().resume(
            "gm3q0001", Order("a fox", DEV, 64, 64, 1), Access(KEY, replicate.base_url, is_local=True), Steps()
        )


async def test_account_and_models_are_read_for_free(replicate: FakeReplicate) -> None:
    access = Access(KEY, replicate.base_url, is_local=True)
    await Replicate().check(access)
    found = await Replicate().models(access)
    assert [(each.id, each.abilities) for each in found] == [
        (DEV, ("text", "image")), ("google/nano-banana", ("text", "image")),
    ]  # fmt: skip
    replicate.script(KEY, Script(401, {"title": "Unauthenticated", "detail": f"bad token {KEY}", "status": 401}))
    with pytest.raises(UpstreamError) as caught:
        await Replicate().check(access)
    assert caught.value.fault is Fault.AUTH_DEAD
    assert KEY not in repr(vars(caught.value))


@pytest.mark.parametrize(("settings", "name"), [
    ({"wait": 61}, "wait"), ({"wait": "long"}, "wait"), ({"wait": True}, "wait"), ({"modles": {}}, "modles"),
    ({"models": {"a/b": {"edit": 5}}}, "edit"), ({"models": {"a/b": {"fixed": []}}}, "fixed"),
])  # fmt: skip
def test_a_wrong_setting_is_refused_by_its_name(settings: dict[str, Any], name: str) -> None:
    with pytest.raises(Refused) as refused:
        painters.replicate(settings)
    assert refused.value.field == name
