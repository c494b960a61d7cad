"""The Gemini adapter over real HTTP: what it sends, what it takes for the picture, what it books."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from limner.actors.providers import gemini
from limner.actors.providers.base import Access, Fault, Order, Picture, UpstreamError, quota_scope
from limner.actors.providers.gemini import DEFAULT_URL, FAMILIES, PARAMETERS, RATIOS, Gemini, image_size, ratio
from limner.actors.providers.gemini_answers import cost, until_reset
from limner.sql.usages import Parts, Usage
from tests.providers.conftest import Steps
from tests.upstreams.base import Script, painted
from tests.upstreams.gemini import FakeGemini, answer, pixels

KEY = "AIzaSyCanary-0123456789abcdefghijklmnop"
MODEL = "gemini-nano-banana-2.1"
ORDER = Order("a fox", MODEL, 1344, 768, seed=2**33 + 7, user="hash-of-alice")


@pytest.fixture
async def google() -> AsyncIterator[FakeGemini]:
    async with FakeGemini().serve() as running:
        yield running


async def paint(google: FakeGemini, order: Order = ORDER, **access: Any) -> Picture:
    access = {"timeout": 20, "is_local": True} | access
    return await Gemini().paint(order, Access(KEY, google.base_url, **access), Steps())


async def refused(google: FakeGemini, **changes: Any) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        await paint(google, dataclasses.replace(ORDER, **changes))
    assert google.asked == []
    assert caught.value.fault is Fault.INVALID_REQUEST
    return caught.value


def blob(data: bytes, mime: str = "image/png") -> dict[str, str]:
    return {"mimeType": mime, "data": base64.b64encode(data).decode()}


async def test_an_order_becomes_a_request_as_documented(google: FakeGemini) -> None:
    done = await paint(google)
    [asked] = google.asked
    assert asked.path == f"/v1beta/models/{MODEL}:generateContent"
    assert (asked.key, asked.query) == (KEY, {})
    assert asked.fields == {
        "contents": [{"role": "user", "parts": [{"text": "a fox"}]}],
        "generationConfig": {
            "responseModalities": ["TEXT", "IMAGE"],
            "imageConfig": {"aspectRatio": "16:9", "imageSize": "1K"},
            "seed": 7,
        },
    }
    assert done.data == painted(*pixels("16:9"))
    assert (done.mime, done.upstream_id) == ("image/png", "resp-1")
    assert done.cost_micros == round(20 * 0.25 + (10 + 200) * 1.5 + 1120 * 30)
    assert done.usage == Usage(20, Parts(20, 0), 1330, 1350, Parts(210, 1120))


async def test_references_go_along_inline_in_their_order(google: FakeGemini) -> None:
    first, second = painted(64, 64), painted(64, 64, form="JPEG")
    await paint(google, dataclasses.replace(ORDER, references=(first, second)))
    assert google.asked[0].fields["contents"][0]["parts"] == [
        {"text": "a fox"}, {"inlineData": blob(first)}, {"inlineData": blob(second, "image/jpeg")},
    ]  # fmt: skip


async def test_every_parameter_lands_in_its_place(google: FakeGemini) -> None:
    chosen = {
        "image_size": "2K", "aspect_ratio": "21:9", "temperature": 0.5, "top_p": 0.9, "thinking_level": "low",
    }  # fmt: skip
    assert set(chosen) == set(PARAMETERS)
    await paint(google, dataclasses.replace(ORDER, parameters=chosen))
    config = google.asked[0].fields["generationConfig"]
    assert config["imageConfig"] == {"aspectRatio": "21:9", "imageSize": "2K"}
    assert (config["temperature"], config["topP"], config["thinkingConfig"]) == (0.5, 0.9, {"thinkingLevel": "LOW"})


async def test_settings_of_the_provider_go_along(google: FakeGemini) -> None:
    await paint(google, settings={"safety": "BLOCK_ONLY_HIGH", "instruction": "Paint, do not talk."})
    fields = google.asked[0].fields
    assert fields["systemInstruction"] == {"parts": [{"text": "Paint, do not talk."}]}
    assert {each["threshold"] for each in fields["safetySettings"]} == {"BLOCK_ONLY_HIGH"}
    assert len(fields["safetySettings"]) == 4


@pytest.mark.parametrize(("changes", "named"), [
    ({"mask": painted(8, 8), "references": (painted(8, 8),)}, "mask"),
    ({"parameters": {"quality": "high"}}, "quality"),
    ({"parameters": {"image_size": "2K"}, "model": "gemini-2.5-flash-image"}, "image_size"),
    ({"references": (painted(8, 8),) * 15}, "14"),
])  # fmt: skip
async def test_what_gemini_does_not_know_is_refused_by_name(
    google: FakeGemini, changes: dict[str, Any], named: str
) -> None:
    assert named in (await refused(google, **changes)).words


@pytest.mark.parametrize(("model", "sent"), [
    ("gemini-2.5-flash-image", None), ("gemini-3.1-flash-lite-image", None), ("gemini-3.1-flash-image", "4K"),
    ("gemini-3-pro-image-2026-11", "4K"), ("gemini-9", None),
])  # fmt: skip
async def test_a_size_is_asked_of_those_that_know_sizes(google: FakeGemini, model: str, sent: str | None) -> None:
    await paint(google, dataclasses.replace(ORDER, model=model, width=4096, height=4096))
    assert google.asked[0].fields["generationConfig"]["imageConfig"].get("imageSize") == sent


async def test_sizes_of_a_model_that_came_later_are_a_setting(google: FakeGemini) -> None:
    order = dataclasses.replace(ORDER, model="gemini-9", width=2048, height=2048)
    await paint(google, order, settings={"image_sizes": {"gemini-9": ["1K", "2K"]}})
    assert google.asked[0].fields["generationConfig"]["imageConfig"]["imageSize"] == "2K"


async def test_a_draft_is_skipped_and_snake_case_is_read(google: FakeGemini) -> None:
    parts = [
        {"thought": True, "inlineData": blob(painted(8, 8, (1, 1, 1)))},
        {"text": "Here you go", "thoughtSignature": "x"},
        {"inline_data": {"mime_type": "image/png", "data": base64.b64encode(painted(16, 8)).decode()}},
    ]
    google.script(KEY, Script(body=answer(parts)))
    assert (await paint(google)).data == painted(16, 8)


async def test_the_real_type_is_sniffed_from_the_bytes(google: FakeGemini) -> None:
    google.script(KEY, Script(body=answer([{"inlineData": blob(painted(8, 8, form="WEBP"))}])))
    assert (await paint(google)).mime == "image/webp"


async def test_a_picture_that_never_came_is_booked_all_the_same(google: FakeGemini) -> None:
    google.script(KEY, Script(body=answer([{"text": "I would rather not"}], usageMetadata={"thoughtsTokenCount": 100})))
    with pytest.raises(UpstreamError) as caught:
        await paint(google)
    assert (caught.value.fault, caught.value.cost_micros) == (Fault.NO_IMAGE, 150)
    assert "rather not" in caught.value.detail
    assert "rather not" not in caught.value.words


async def test_a_check_lists_one_model_and_paints_nothing(google: FakeGemini) -> None:
    await Gemini().check(Access(KEY, google.base_url, is_local=True))
    assert [(asked.method, asked.path, asked.query) for asked in google.asked] == [
        ("GET", "/v1beta/models", {"pageSize": "1"})
    ]
    google.script(KEY, Script(200, b"<html>welcome</html>"))
    with pytest.raises(UpstreamError):
        await Gemini().check(Access(KEY, google.base_url, is_local=True))


async def test_models_are_listed_page_by_page_with_the_likely_painters_first(google: FakeGemini) -> None:
    google.page = 1
    found = await Gemini().models(Access(KEY, google.base_url, is_local=True))
    assert [each.id for each in found] == ["gemini-nano-banana-2.1", "gemini-2.5-pro"]
    assert (found[0].abilities, found[0].sizes) == (("text", "image"), ("1024x1024", "2048x2048", "4096x4096"))
    assert found[1].abilities == ("text",)
    assert len(google.asked) == 3


@pytest.mark.parametrize("base", ["", "/", "/v1beta", "/v1beta/", "/v1"])
async def test_a_base_without_a_version_means_v1beta(google: FakeGemini, base: str) -> None:
    host = google.base_url.removesuffix("/v1beta")
    await Gemini().paint(ORDER, Access(KEY, host + base, is_local=True), Steps())
    assert google.asked[0].path.startswith("/v1/" if base == "/v1" else "/v1beta/")
    assert DEFAULT_URL.endswith("/v1beta")


async def test_a_model_id_cannot_lead_the_key_elsewhere(google: FakeGemini) -> None:
    await paint(google, dataclasses.replace(ORDER, model="models/../../x?y=http://evil.example"))
    assert google.asked[0].headers["host"] in google.base_url
    assert google.asked[0].query == {}


def test_keys_of_a_project_rest_together() -> None:
    assert quota_scope("gemini") == "account_group"
    assert {quota_scope(kind) for kind in ("openai", "fal", "replicate", "stability")} == {"account_group"}
    assert quota_scope("relay") == "key"


@pytest.mark.parametrize(("width", "height", "nearest"), [
    (1024, 1024, "1:1"), (1536, 1024, "3:2"), (1024, 1536, "2:3"), (1344, 768, "16:9"), (768, 1344, "9:16"),
    (1000, 800, "5:4"), (2560, 1080, "21:9"), (4000, 500, "21:9"),
])  # fmt: skip
def test_the_ratio_is_the_nearest(width: int, height: int, nearest: str) -> None:
    assert ratio(width, height) == nearest
    assert nearest in RATIOS


def test_steep_ratios_are_for_those_that_know_them() -> None:
    assert ratio(4000, 500, FAMILIES[MODEL][1]) == "8:1"


@pytest.mark.parametrize(("width", "height", "nearest"), [
    (512, 512, "512"), (640, 640, "512"), (1024, 1024, "1K"), (1536, 1024, "1K"), (2048, 2048, "2K"), (2560, 1440, "2K"),
    (4096, 2304, "4K"), (64, 64, "512"),
])  # fmt: skip
def test_the_size_is_the_nearest(width: int, height: int, nearest: str) -> None:
    assert image_size(width, height, tuple(gemini.PIXELS)) == nearest


@pytest.mark.parametrize(("model", "usage", "micros"), [
    ("gemini-3-pro-image", {"promptTokenCount": 100, "candidatesTokenCount": 1120}, 200 + 1120 * 120),
    ("Gemini-3-Pro-Image-preview", {"candidatesTokenCount": 1}, 120),
    (MODEL, {"thoughtsTokenCount": 100}, 150),
    (MODEL, {"candidatesTokenCount": 100, "candidatesTokensDetails": [{"modality": "TEXT", "tokenCount": 100}]}, 150),
    (MODEL, {"candidatesTokenCount": "many", "promptTokenCount": -5}, 0), (MODEL, None, 0), ("gemini-9", {"a": 1}, 0),
])  # fmt: skip
def test_pictures_and_words_have_different_prices(model: str, usage: object, micros: int) -> None:
    assert cost(model, usage) == micros


@pytest.mark.parametrize(("now", "seconds"), [
    ("2026-11-28T07:59:00+00:00", 60), ("2026-11-28T08:00:00+00:00", 86400), ("2026-07-01T06:00:00+00:00", 3600),
    ("2026-11-01T07:00:00+00:00", 25 * 3600),  # the night in which clocks go back
])  # fmt: skip
def test_the_day_ends_at_midnight_in_california(now: str, seconds: int) -> None:
    assert until_reset(datetime.fromisoformat(now).astimezone(UTC)) == seconds
