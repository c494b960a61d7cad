"""The relay adapter over real HTTP: what its switches change, where its pictures hide, and what its errors mean."""

from __future__ import annotations

import base64
import dataclasses
from typing import Any

import pytest

from limner.actors.providers import egress, parcels
from limner.actors.providers.base import Access, Fault, ListsModels, Order, Picture, TellsBalance, UpstreamError
from limner.actors.providers.chat import ratio
from limner.actors.providers.relay import Relay
from limner.runtime.errors import Refused
from limner.sql import painters
from limner.sql.usages import Parts, Usage
from tests.providers.captured import Captured, captured
from tests.providers.conftest import Steps, served
from tests.upstreams.openai import picture, stream
from tests.upstreams.relay import FakeRelay, Script, chatted, data_url, error, painted

KEY = "sk-or-v1-abcdefghijklmnopqrstuvwx"
ORDER = Order("a fox", "google/gemini-nano-banana-2.1", 1344, 768, seed=1, user="hash-of-alice")
CHAT = {"path": "chat"}
FOX = painted(64, 64, (9, 9, 9))

relay = served(FakeRelay)


async def paint(relay: FakeRelay, settings: dict[str, Any] | None = None, order: Order = ORDER, **more: Any) -> Picture:
    access = Access(KEY, relay.base_url, settings=settings or {}, **({"timeout": 20, "is_local": True} | more))
    return await Relay().paint(order, access, Steps())


async def fault_of(
    relay: FakeRelay, *scripts: Script, settings: dict[str, Any] | None = None, **more: Any
) -> UpstreamError:
    relay.script(KEY, *scripts)
    with pytest.raises(UpstreamError) as caught:
        await paint(relay, settings, **more)
    return caught.value


async def test_a_picture_at_an_address_is_fetched_at_once_and_without_the_key(relay: FakeRelay) -> None:
    done = await paint(relay)
    generation, fetch = relay.asked
    assert generation.fields == {
        "model": ORDER.model, "prompt": "a fox", "n": 1, "size": "1344x768", "user": "hash-of-alice",
    }  # fmt: skip
    assert (fetch.path, fetch.key) == ("/files/1344x768.png", "")
    assert done.data == painted(1344, 768)


async def test_switches_bend_the_request(relay: FakeRelay) -> None:
    settings = {
        "sizes": ["1024x1024", "1792x1024"], "honours_n": False, "response_format": "b64_json",
        "extra_headers": {"HTTP-Referer": "https://studio.example"}, "extra_json": {"watermark": False},
        "parameters": ["negative_prompt"],
    }  # fmt: skip
    await paint(relay, settings, dataclasses.replace(ORDER, parameters={"negative_prompt": "rain", "quality": "low"}))
    [asked] = relay.asked
    assert asked.fields == {
        "model": ORDER.model, "prompt": "a fox", "size": "1792x1024", "user": "hash-of-alice", "watermark": False,
        "response_format": "b64_json", "negative_prompt": "rain", "quality": "low",
    }  # fmt: skip
    assert asked.headers["http-referer"] == "https://studio.example"


async def test_a_relay_without_edits_refuses_references(relay: FakeRelay) -> None:
    caught = await fault_of(relay, settings={"has_edits": False}, order=dataclasses.replace(ORDER, references=(FOX,)))
    assert (caught.fault, caught.words) == (Fault.INVALID_REQUEST, "reference is not taken by this painter.")
    assert relay.asked == []


NOWHERE = [
    Script(status=404, body=error(404, "Invalid URL (POST /v1/images/edits)")),
    Script(status=404, body=b"404 page not found"),
    Script(status=405, body={"detail": "Method Not Allowed"}),
]


@pytest.mark.parametrize("script", NOWHERE)
async def test_a_relay_that_knows_no_edits_loses_no_model_over_one(relay: FakeRelay, script: Script) -> None:
    edit = dataclasses.replace(ORDER, references=(FOX,))
    assert (await fault_of(relay, script, order=edit)).fault is Fault.INVALID_REQUEST


async def test_a_model_that_is_gone_is_gone_for_edits_too(relay: FakeRelay) -> None:
    gone = Script(status=404, body=error(404, "model_not_found: there is none of that name"))
    nowhere = Script(status=404, body=b"404 page not found")
    edit = dataclasses.replace(ORDER, references=(FOX,))
    assert (await fault_of(relay, gone, order=edit)).fault is Fault.MODEL_UNAVAILABLE
    assert (await fault_of(relay, nowhere)).fault is Fault.MODEL_UNAVAILABLE, "without references nothing else is wrong"


async def test_no_model_is_said_to_take_pictures_where_nobody_said_so(relay: FakeRelay) -> None:
    relay.script(
        KEY, Script(body={"data": [{"id": "flux"}, {"id": "sees", "architecture": {"input_modalities": ["image"]}}]})
    )
    found = await Relay().models(Access(KEY, relay.base_url, is_local=True))
    assert [(each.id, each.abilities) for each in found] == [("flux", ("text",)), ("sees", ("text", "image"))]


@pytest.mark.parametrize("entry", [{"b64_json": "&&&"}, {"url": "http://127.0.0.1:9/x.png"}, {"b64_json": "aGVsbG8="}])
async def test_what_was_told_to_cost_is_booked_although_no_picture_came(
    relay: FakeRelay, entry: dict[str, Any]
) -> None:
    caught = await fault_of(relay, Script(body={"data": [entry], "usage": {"cost": 0.04}}))
    assert (caught.fault, caught.cost_micros) == (Fault.NO_IMAGE, 40_000)


async def test_edits_go_as_a_form(relay: FakeRelay) -> None:
    await paint(relay, {"response_format": "b64_json"}, dataclasses.replace(ORDER, references=(FOX,), mask=FOX))
    assert [name for name, _, _ in relay.asked[0].files] == ["image[]", "mask"]


async def test_a_markup_goes_under_its_own_name_and_needs_a_reference(relay: FakeRelay) -> None:
    drawn = dataclasses.replace(ORDER, references=(FOX,), mask=FOX, parameters={"markup": True, "quality": "low"})
    await paint(relay, {"response_format": "b64_json"}, drawn)
    assert [name for name, _, _ in relay.asked[0].files] == ["image[]", "markup"]
    assert (relay.asked[0].fields["quality"], "markup" in relay.asked[0].fields) == ("low", False)
    caught = await fault_of(relay, order=dataclasses.replace(drawn, references=()))
    assert (caught.fault, caught.words) == (Fault.INVALID_REQUEST, "markup needs a reference picture.")


async def test_a_relay_streams_only_where_its_row_says_so(relay: FakeRelay) -> None:
    order = dataclasses.replace(ORDER, partial_images=1)
    await paint(relay, {"response_format": "b64_json"}, order)
    assert "stream" not in relay.asked[0].fields
    relay.script(KEY, stream(FOX, final=FOX))
    steps = Steps()
    await Relay().paint(order, Access(KEY, relay.base_url, settings={"has_streaming": True}, is_local=True), steps)
    assert [step.partial for step in steps if step.partial] == [FOX]


async def test_a_chat_asks_for_a_picture_of_the_nearest_ratio(relay: FakeRelay) -> None:
    done = await paint(relay, CHAT, dataclasses.replace(ORDER, references=(FOX,), parameters={"image_size": "2K"}))
    [asked] = relay.asked
    assert asked.path == "/api/v1/chat/completions"
    assert asked.fields["modalities"] == ["image", "text"]
    assert asked.fields["image_config"] == {"aspect_ratio": "16:9", "image_size": "2K"}
    [message] = asked.fields["messages"]
    assert message["content"][0] == {"type": "text", "text": "a fox"}
    assert message["content"][1]["image_url"]["url"] == data_url(FOX)
    assert (done.data, done.upstream_id, done.cost_micros) == (painted(1024, 1024), "gen-1794800000-abc", 39_000)
    assert done.usage == Usage(20, Parts(20, 0), 1290, 1310)


async def test_a_relay_that_tells_tokens_is_believed_and_one_that_does_not_is_none_the_worse(relay: FakeRelay) -> None:
    assert (await paint(relay)).usage is None
    told = {"prompt_tokens": 7, "completion_tokens": 1000, "total_tokens": 1007}
    relay.script(KEY, Script(body=picture(FOX, usage=told)), Script(body=picture(FOX, usage="0.04 $")))
    assert [(await paint(relay)).usage for _ in range(2)] == [Usage(7, Parts(7, 0), 1000, 1007), None]


CARRIED = data_url(FOX)
IN_MESSAGES: list[dict[str, Any]] = [
    chatted(images=[CARRIED]),
    chatted(images=[f"data:image/jpeg;base64,{base64.b64encode(FOX).decode()}"]),
    chatted(f"Here it is: ![a fox]({CARRIED}) Enjoy!"),
    chatted(f"![]( {CARRIED})"),
    chatted(CARRIED),
    chatted([{"type": "text", "text": "so"}, {"type": "image_url", "image_url": {"url": CARRIED}}]),
    chatted([{"type": "image_url", "image_url": CARRIED}]),
    chatted([{"inlineData": {"mimeType": "image/png", "data": base64.b64encode(FOX).decode()}}]),
    chatted([{"type": "output_image", "b64_json": base64.b64encode(FOX).decode()}]),
    chatted(None, images=[CARRIED], finish="content_filter"),
]


@pytest.mark.parametrize("body", IN_MESSAGES)
async def test_a_picture_is_found_wherever_a_message_hides_it(relay: FakeRelay, body: dict[str, Any]) -> None:
    relay.script(KEY, Script(body=body))
    assert (await paint(relay, CHAT)).data == FOX


async def test_a_picture_in_a_message_may_lie_at_an_address(relay: FakeRelay) -> None:
    relay.pictures["fox.png"] = FOX
    url = relay.base_url.removesuffix("/api/v1") + "/files/fox.png"
    relay.script(KEY, Script(body=chatted(f"done ![fox]({url})")), Script(body=chatted(images=[url])))
    assert (await paint(relay, CHAT)).data == (await paint(relay, CHAT)).data == FOX


@pytest.mark.parametrize(("body", "fault"), [
    (chatted(finish="content_filter"), Fault.MODERATION_OUTPUT),
    (chatted("", native="IMAGE_SAFETY"), Fault.MODERATION_OUTPUT),
    (chatted("", native="PROHIBITED_CONTENT"), Fault.MODERATION_OUTPUT),
    (chatted(None, refusal="I can't help with that."), Fault.MODERATION_OUTPUT),
    (chatted("I cannot create images that violate our content guidelines."), Fault.MODERATION_OUTPUT),
    (chatted("I can't generate images right now."), Fault.NO_IMAGE),
    (chatted("A fox is an animal. Our policy is to be kind."), Fault.NO_IMAGE),
    (chatted(""), Fault.NO_IMAGE),
    (chatted("![fox](data:image/png;base64,AAAA)"), Fault.NO_IMAGE),
    (chatted("![fox](file:///etc/passwd)"), Fault.NO_IMAGE),
    ({"choices": [{"error": {"code": 429, "message": "slow"}, "message": {}}]}, Fault.RATE_LIMITED),
    ({"choices": [{"message": "what?"}]}, Fault.NO_IMAGE),
    ({"choices": []}, Fault.NO_IMAGE),
    ({}, Fault.NO_IMAGE),
])  # fmt: skip
async def test_a_message_without_a_picture_says_why(relay: FakeRelay, body: dict[str, Any], fault: Fault) -> None:
    assert (await fault_of(relay, Script(body=body), settings=CHAT)).fault is fault


async def test_a_mask_is_not_for_a_chat(relay: FakeRelay) -> None:
    caught = await fault_of(relay, settings=CHAT, order=dataclasses.replace(ORDER, references=(FOX,), mask=FOX))
    assert caught.words == "mask is not known to this painter."


@pytest.mark.parametrize("settings", [{}, CHAT])
async def test_unknown_parameters_are_named(relay: FakeRelay, settings: dict[str, Any]) -> None:
    order = dataclasses.replace(ORDER, parameters={"cfg": 7, "seed": 1})
    caught = await fault_of(relay, settings=settings, order=order)
    assert caught.words == "cfg, seed are not known to this painter."


@pytest.mark.parametrize("settings", [{}, CHAT])
@pytest.mark.parametrize("case", captured("relay"))
async def test_a_captured_answer_is_exactly_one_fault(
    relay: FakeRelay, case: Captured, settings: dict[str, Any]
) -> None:
    caught = await fault_of(relay, Script(case.status, case.raw, case.headers), settings=settings)
    assert (caught.fault, caught.after) == (case.fault, case.after)


@pytest.mark.parametrize("url", [
    "http://127.0.0.1:1/x.png", "http://169.254.169.254/latest", "http://[::ffff:7f00:1]/x", "http://localhost/x.png",
    "http://2130706433/x.png", "ftp://example.com/x.png", "http://user@example.com/x.png", "https://10.0.0.1/x.png",
])  # fmt: skip
@pytest.mark.parametrize("settings", [{}, CHAT])
async def test_a_picture_at_a_private_address_is_not_fetched(
    relay: FakeRelay, url: str, settings: dict[str, Any]
) -> None:
    body = chatted(images=[url]) if settings else {"data": [{"url": url}]}
    assert (await fault_of(relay, Script(body=body), settings=settings)).fault is Fault.NO_IMAGE
    assert len(relay.asked) == 1


async def test_a_name_that_leads_to_a_private_address_is_not_fetched(
    relay: FakeRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parcels, "PAUSE", 0)
    caught = await fault_of(relay, Script(body={"data": [{"url": "http://localhost.localdomain/x.png"}]}))
    assert caught.fault is Fault.NO_IMAGE


async def test_a_redirect_of_a_picture_to_loopback_is_not_followed(relay: FakeRelay) -> None:
    root = relay.base_url.removesuffix("/api/v1")
    relay.script("", Script(302, b"", {"Location": f"{root}/canary"}, path="/files/"))
    caught = await fault_of(relay, Script(body={"data": [{"url": f"{root}/files/fox.png"}]}))
    assert caught.fault is Fault.NO_IMAGE
    assert [asked.path for asked in relay.asked][-1] == "/files/fox.png"


async def test_a_picture_that_is_gone_is_no_image(relay: FakeRelay) -> None:
    root = relay.base_url.removesuffix("/api/v1")
    assert (await fault_of(relay, Script(body={"data": [{"url": f"{root}/files/gone.png"}]}))).fault is Fault.NO_IMAGE


async def test_a_host_of_pictures_that_stumbles_is_asked_again(
    relay: FakeRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parcels, "PAUSE", 0)
    relay.script("", Script(502, b"", path="/files/"), Script(503, b"", path="/files/"))
    assert (await paint(relay)).data == painted(1344, 768)


@pytest.mark.parametrize("script", [
    Script(body={"data": [{"b64_json": base64.b64encode(b"<html>").decode()}]}),
    Script(body={"data": [{"b64_json": "%%%"}]}),
    Script(body=b"\x89PNG", headers={"Content-Type": "image/png"}),
    Script(act="flood", headers={"Content-Type": "application/json"}),
])  # fmt: skip
@pytest.mark.parametrize("settings", [{}, CHAT])
async def test_what_is_no_picture_is_no_image(relay: FakeRelay, script: Script, settings: dict[str, Any]) -> None:
    assert (await fault_of(relay, script, settings=settings)).fault is Fault.NO_IMAGE


async def test_a_success_with_empty_data_is_silent_moderation(relay: FakeRelay) -> None:
    assert (await fault_of(relay, Script(body={"created": 1, "data": []}))).fault is Fault.MODERATION_OUTPUT


@pytest.mark.parametrize("script", [
    Script(act="hang"), Script(act="drop"), Script(act="cut"),
    Script(body=(b" ",) * 200, headers={"Content-Type": "application/json"}, pace=0.05),
])  # fmt: skip
@pytest.mark.parametrize("settings", [{}, CHAT])
async def test_what_never_ends_is_unknown_within_the_deadline(
    relay: FakeRelay, script: Script, settings: dict[str, Any]
) -> None:
    assert (await fault_of(relay, script, settings=settings, timeout=0.4)).fault is Fault.TIMEOUT_UNKNOWN


@pytest.mark.parametrize(("settings", "name"), [
    ({"path": "video"}, "path"), ({"path": 1}, "path"), ({"has_edits": "yes"}, "has_edits"), ({"honours_n": 1}, "honours_n"),
    ({"sizes": "1024x1024"}, "sizes"), ({"sizes": ["big"]}, "sizes"), ({"sizes": ["0x1"]}, "sizes"),
    ({"response_format": "png"}, "response_format"), ({"modalities": [1]}, "modalities"), ({"balance": "yes"}, "balance"),
    ({"extra_headers": []}, "extra_headers"), ({"extra_headers": {"Authorization": "x"}}, "extra_headers"),
    ({"extra_headers": {"X-A": "a\r\nX-B: b"}}, "extra_headers"), ({"extra_headers": {"bad name": "x"}}, "extra_headers"),
    ({"extra_json": {"model": "other"}}, "extra_json"), ({"extra_json": 5}, "extra_json"), ({"pat": "chat"}, "pat"),
])  # fmt: skip
async def test_a_wrong_switch_is_refused_by_its_name(relay: FakeRelay, settings: dict[str, Any], name: str) -> None:
    with pytest.raises(Refused) as refused:
        painters.relay(settings)
    assert refused.value.field == name
    assert name in str(refused.value)
    assert (await fault_of(relay, settings=settings)).fault is Fault.INVALID_REQUEST
    assert relay.asked == []


async def test_models_are_those_that_paint(relay: FakeRelay) -> None:
    assert isinstance(Relay(), ListsModels)
    found = await Relay().models(Access(KEY, relay.base_url, settings=CHAT, is_local=True))
    assert [(each.id, each.abilities) for each in found] == [
        ("black-forest-labs/flux.2-pro", ("text",)), ("google/gemini-nano-banana-2.1", ("text", "image")),
    ]  # fmt: skip
    assert relay.asked[0].query == {"output_modalities": "image"}


async def test_the_balance_is_the_keys_own_limit_or_the_accounts(relay: FakeRelay) -> None:
    assert isinstance(Relay(), TellsBalance)
    access = Access(KEY, relay.base_url, settings={"balance": "openrouter"}, is_local=True)
    assert await Relay().balance(access) == 74_500_000
    relay.script(KEY, Script(body={"data": {"limit": None, "limit_remaining": None}}))
    assert await Relay().balance(access) == 6_250_000


async def test_a_key_that_may_not_see_the_account_is_not_dead(relay: FakeRelay) -> None:
    access = Access(KEY, relay.base_url, settings={"balance": "openrouter"}, is_local=True)
    relay.script(KEY, Script(body={"data": {"limit_remaining": None}}), Script(403, error(403, "Only management keys")))
    with pytest.raises(UpstreamError) as caught:
        await Relay().balance(access)
    assert caught.value.fault is Fault.INVALID_REQUEST
    with pytest.raises(UpstreamError) as caught:
        await Relay().balance(Access(KEY, relay.base_url, is_local=True))
    assert caught.value.fault is Fault.INVALID_REQUEST


async def test_a_check_asks_for_the_key_where_the_list_of_models_is_public(relay: FakeRelay) -> None:
    await Relay().check(Access(KEY, relay.base_url, is_local=True))
    await Relay().check(Access(KEY, relay.base_url, settings={"balance": "openrouter"}, is_local=True))
    assert [asked.path for asked in relay.asked] == ["/api/v1/models", "/api/v1/key"]


@pytest.mark.parametrize("settings", [{}, CHAT])
@pytest.mark.parametrize("number", range(5))
async def test_an_echoed_secret_is_found_nowhere(relay: FakeRelay, number: int, settings: dict[str, Any]) -> None:
    secret, header = f"canary{number}Zk9Qw7Xv3Lm5", f"header{number}Pq8Rt6Yn2"
    proxyless = Access(
        secret, relay.base_url, settings=settings | {"extra_headers": {"X-Account": header}}, is_local=True
    )
    said = f"bad key {secret} of {header}; Authorization: Bearer {secret}"
    body = (error(401, said), {"error": said}, said.encode(), {"detail": said}, error(400, "x", raw=said))[number]
    relay.script(secret, Script((401, 500, 502, 422, 400)[number], body))
    with pytest.raises(UpstreamError) as caught:
        await Relay().paint(ORDER, proxyless, Steps())
    found = repr(vars(caught.value)) + str(caught.value) + repr(caught.value.args)
    assert secret not in found
    assert header not in found


@pytest.mark.parametrize(("width", "height", "name"), [
    (1024, 1024, "1:1"), (1536, 1024, "3:2"), (1344, 768, "16:9"), (768, 1344, "9:16"), (2100, 900, "21:9"), (1000, 800, "5:4"),
])  # fmt: skip
def test_the_ratio_is_the_nearest(width: int, height: int, name: str) -> None:
    assert ratio(width, height) == name


def test_the_cap_is_what_the_flood_exceeds() -> None:
    from tests.upstreams.base import FLOOD

    assert FLOOD > egress.BODY_LIMIT
