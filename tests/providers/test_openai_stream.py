"""The OpenAI adapter while a picture comes about: unfinished pictures, errors on the way, and what may be asked for."""

from __future__ import annotations

import dataclasses
from typing import Any

import orjson
import pytest

from limner.actors.providers import images
from limner.actors.providers.base import Access, Fault, Order, Picture, UpstreamError
from limner.actors.providers.openai import OpenAI
from tests.providers.captured import Captured, captured
from tests.providers.conftest import Steps
from tests.upstreams.openai import FakeOpenAI, Script, error, event, painted, picture, stream

KEY = "sk-live-abcdefghijklmnopqrstuvwx"
ORDER = Order("a fox", "gpt-image-2", 1024, 1024, seed=1, partial_images=2)
FIRST, SECOND, FINAL = painted(64, 64, (1, 1, 1)), painted(64, 64, (2, 2, 2)), painted(64, 64, (3, 3, 3))
SSE = {"Content-Type": "text/event-stream"}


async def paint(upstream: FakeOpenAI, steps: Steps, order: Order = ORDER, timeout: float = 20) -> Picture:
    return await OpenAI().paint(order, Access(KEY, upstream.base_url, timeout=timeout, is_local=True), steps)


async def fault_of(upstream: FakeOpenAI, order: Order = ORDER, **access: Any) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        await paint(upstream, Steps(), order, **access)
    return caught.value


def partials(steps: Steps) -> list[bytes]:
    return [step.partial for step in steps if step.partial]


async def test_unfinished_pictures_are_told_as_they_come(upstream: FakeOpenAI, steps: Steps) -> None:
    upstream.script(
        KEY, stream(FIRST, SECOND, final=FINAL, usage={"output_tokens": 10}, headers={"x-request-id": "r1"})
    )
    done = await paint(upstream, steps)
    assert partials(steps) == [FIRST, SECOND]
    assert (done.data, done.upstream_id, done.cost_micros) == (FINAL, "r1", 300)
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    asked = upstream.asked[0].fields
    assert (asked["stream"], asked["partial_images"]) == (True, 2)


async def test_an_order_that_wants_none_does_not_stream(upstream: FakeOpenAI, steps: Steps) -> None:
    await paint(upstream, steps, dataclasses.replace(ORDER, partial_images=0))
    assert "stream" not in upstream.asked[0].fields
    assert partials(steps) == []


async def test_an_edit_streams_under_its_own_names(upstream: FakeOpenAI, steps: Steps) -> None:
    await paint(upstream, steps, dataclasses.replace(ORDER, references=(FIRST,)))
    assert upstream.asked[0].path == "/v1/images/edits"
    assert (upstream.asked[0].fields["stream"], upstream.asked[0].fields["partial_images"]) == ("true", "2")
    assert len(partials(steps)) == 2


async def test_the_finished_picture_may_come_before_the_last_unfinished_one(upstream: FakeOpenAI, steps: Steps) -> None:
    first, second, final = stream(FIRST, SECOND, final=FINAL).body or ()
    upstream.script(KEY, Script(body=(first, final, second), headers=SSE))
    assert (await paint(upstream, steps)).data == FINAL
    assert partials(steps) == [FIRST, SECOND]


async def test_a_stream_that_stays_open_behind_the_picture_is_left(
    upstream: FakeOpenAI, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "LINGER", 0.1)
    first, final = stream(FIRST, final=FINAL).body or ()
    upstream.script(KEY, Script(body=(first, final, b": ping\n\n"), headers=SSE, pace=0.4))
    assert (await paint(upstream, steps)).data == FINAL


async def test_events_may_be_cut_anywhere_and_commented(upstream: FakeOpenAI, steps: Steps) -> None:
    whole = b": hello\r\n\r\n" + b"".join(stream(FIRST, final=FINAL).body or ()).replace(b"\n", b"\r\n")
    upstream.script(KEY, Script(body=tuple(whole[at : at + 97] for at in range(0, len(whole), 97)), headers=SSE))
    assert (await paint(upstream, steps)).data == FINAL
    assert partials(steps) == [FIRST]


async def test_a_broken_unfinished_picture_is_left_out(upstream: FakeOpenAI, steps: Steps) -> None:
    broken = event("image_generation.partial_image", b64_json="%%%")
    upstream.script(KEY, Script(body=(broken, *(stream(FIRST, final=FINAL).body or ())), headers=SSE))
    assert (await paint(upstream, steps)).data == FINAL
    assert partials(steps) == [FIRST]


async def test_an_upstream_that_does_not_stream_after_all_is_understood(upstream: FakeOpenAI, steps: Steps) -> None:
    upstream.script(KEY, Script(body=picture(FINAL)))
    assert (await paint(upstream, steps)).data == FINAL


BLOCKED = error("moderation_blocked", "safety system", "image_generation_user_error")


@pytest.mark.parametrize(("said", "fault"), [
    (BLOCKED, Fault.MODERATION_INPUT),
    (error("rate_limit_exceeded", "Rate limit reached. Please try again in 7s.", "rate_limit_error"), Fault.RATE_LIMITED),
    (error("insufficient_quota", "You exceeded your current quota", "insufficient_quota"), Fault.BALANCE_EXHAUSTED),
    (error("server_is_overloaded", "overloaded", "service_unavailable_error"), Fault.UPSTREAM_5XX),
    (error(None, "The server had an error", "server_error"), Fault.UPSTREAM_5XX),
    (error(None, "Invalid value: 'quality'", "invalid_request_error"), Fault.INVALID_REQUEST),
    (error("model_not_found", "The model does not exist"), Fault.MODEL_UNAVAILABLE),
    ({"error": {"code": 429, "message": "slow down, please"}}, Fault.RATE_LIMITED),
])  # fmt: skip
@pytest.mark.parametrize("name", [b"event: error\n", b""])
async def test_an_error_in_mid_stream_is_in_its_class(
    upstream: FakeOpenAI, said: dict[str, Any], fault: Fault, name: bytes
) -> None:
    first = (stream(FIRST, final=FINAL).body or ())[0]
    upstream.script(KEY, Script(body=(first, name + b"data: %s\n\n" % orjson.dumps(said)), headers=SSE))
    caught = await fault_of(upstream)
    assert caught.fault is fault
    assert caught.after == (7.0 if "7s" in str(said) else None)


async def test_a_stream_that_ends_without_the_picture_is_no_image(upstream: FakeOpenAI) -> None:
    upstream.script(KEY, Script(body=(stream(FIRST, final=FINAL).body or ())[:1], headers=SSE))
    assert (await fault_of(upstream)).fault is Fault.NO_IMAGE


async def test_a_flood_of_events_is_dropped_while_it_is_read(upstream: FakeOpenAI) -> None:
    upstream.script(KEY, Script(act="flood", headers=SSE))
    assert (await fault_of(upstream)).fault is Fault.NO_IMAGE


async def test_a_stream_that_drips_ends_with_the_time_out(upstream: FakeOpenAI) -> None:
    upstream.script(KEY, Script(body=(b":",) * 100, headers=SSE, pace=0.05))
    assert (await fault_of(upstream, timeout=0.3)).fault is Fault.TIMEOUT_UNKNOWN


PARAMETERS = {
    "quality": "high", "background": "transparent", "output_format": "webp", "output_compression": 80,
    "moderation": "low", "complexity": "low", "style": "vivid",
}  # fmt: skip


async def test_every_parameter_is_sent_under_its_name(upstream: FakeOpenAI, steps: Steps) -> None:
    await paint(upstream, steps, Order("a fox", "gpt-image-2", 1024, 1024, 1, parameters=PARAMETERS))
    assert {name: upstream.asked[0].fields[name] for name in PARAMETERS} == PARAMETERS


async def test_an_edit_sends_them_as_text(upstream: FakeOpenAI, steps: Steps) -> None:
    parameters = PARAMETERS | {"input_fidelity": "high"}
    await paint(upstream, steps, Order("a fox", "gpt-image-1.5", 1024, 1024, 1, (FIRST,), parameters=parameters))
    assert upstream.asked[0].fields["output_compression"] == "80"
    assert upstream.asked[0].fields["input_fidelity"] == "high"


@pytest.mark.parametrize(("more", "words"), [
    ({"parameters": {"steps": 30}}, "steps is not known to this painter."),
    ({"parameters": {"steps": 30, "cfg": 7, "quality": "high"}}, "cfg, steps are not known to this painter."),
    ({"parameters": {"input_fidelity": "high"}}, "input_fidelity needs a reference picture."),
    ({"mask": FIRST}, "mask needs a reference picture."),
])  # fmt: skip
async def test_what_cannot_be_sent_is_refused_by_name_before_anything_is(
    upstream: FakeOpenAI, more: dict[str, Any], words: str
) -> None:
    caught = await fault_of(upstream, dataclasses.replace(ORDER, **more))
    assert (caught.fault, caught.words) == (Fault.INVALID_REQUEST, words)
    assert upstream.asked == []


async def test_the_models_are_those_that_paint(upstream: FakeOpenAI) -> None:
    listed = {"data": [{"id": "gpt-5"}, {"id": "gpt-image-2"}, {"id": "chatgpt-image-latest"}, {"id": "whisper-1"}]}
    upstream.script(KEY, Script(body=listed))
    found = await OpenAI().models(Access(KEY, upstream.base_url, is_local=True))
    assert [each.id for each in found] == ["chatgpt-image-latest", "gpt-image-2"]
    assert found[1].abilities == ("text", "image", "mask")


@pytest.mark.parametrize("case", captured("openai"))
async def test_a_captured_answer_is_exactly_one_fault(upstream: FakeOpenAI, case: Captured) -> None:
    upstream.script(KEY, Script(case.status, case.raw, case.headers))
    caught = await fault_of(upstream)
    assert (caught.fault, caught.after) == (case.fault, case.after)
