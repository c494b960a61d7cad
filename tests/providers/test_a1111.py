"""The AUTOMATIC1111 adapter over real HTTP: what it sends, what it shows on the way, when it tells the node to stop."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from PIL import Image

from limner.actors.providers.a1111 import A1111, PARAMETERS
from limner.actors.providers.base import PREVIEW_LIMIT, Access, Fault, Order, Picture, Step, UpstreamError
from limner.runtime import raster
from limner.sql import painters
from tests.providers.conftest import Steps
from tests.upstreams.a1111 import FakeA1111
from tests.upstreams.base import Script, painted

KEY = "limner:correct-horse"
MODEL = "dreamshaper_8.safetensors [879db523c3]"
ORDER = Order("a fox", MODEL, 1000, 768, seed=7)
REFERENCE = painted(64, 64)
QUICK = {"poll": 0.05}


@pytest.fixture
async def node() -> AsyncIterator[FakeA1111]:
    async with FakeA1111().serve() as running:
        yield running


def access(node: FakeA1111, secret: str = KEY, **more: Any) -> Access:
    return Access(secret, node.base_url, **{"timeout": 20, "is_local": True} | more)


async def paint(node: FakeA1111, changes: dict[str, Any] | None = None, **more: Any) -> Picture:
    return await A1111().paint(dataclasses.replace(ORDER, **changes or {}), access(node, **more), Steps())


def sent(node: FakeA1111) -> dict[str, Any]:
    [asked] = [each for each in node.asked if each.path.endswith("2img")]
    return asked.fields


async def test_an_order_becomes_a_request_that_leaves_nothing_behind(node: FakeA1111) -> None:
    done = await paint(node)
    fields = sent(node)
    task = fields.pop("force_task_id")
    assert node.asked[0].path == "/sdapi/v1/txt2img"
    assert node.asked[0].key == KEY
    assert fields == {
        "prompt": "a fox", "width": 1000, "height": 768, "seed": 7, "batch_size": 1, "n_iter": 1,
        "send_images": True, "save_images": False,
        "override_settings": {"sd_model_checkpoint": MODEL, "enable_pnginfo": False, "samples_format": "png"},
    }  # fmt: skip
    assert task.startswith("task(")
    assert done == Picture(painted(1000, 768), "image/png", "seed-7", 0)


async def test_parameters_come_before_settings_and_both_are_sent(node: FakeA1111) -> None:
    settings = {"steps": 30, "sampler": "DDIM", "negative_prompt": "blurry", "checkpoint": "ignored"}
    chosen = {"steps": 12, "cfg_scale": 6.5, "scheduler": "Karras"}
    await paint(node, {"parameters": chosen}, settings=settings)
    fields = sent(node)
    assert (fields["steps"], fields["cfg_scale"], fields["scheduler"]) == (12, 6.5, "Karras")
    assert (fields["sampler_name"], fields["negative_prompt"]) == ("DDIM", "blurry")
    assert fields["override_settings"]["sd_model_checkpoint"] == MODEL


@pytest.mark.parametrize(("model", "parameters", "settings", "checkpoint"), [
    ("default", {}, {}, None),
    ("default", {}, {"checkpoint": MODEL}, MODEL),
    (MODEL, {"checkpoint": "juggernaut"}, {}, "juggernaut"),
])  # fmt: skip
async def test_the_checkpoint_is_the_callers_the_models_or_the_settings(
    node: FakeA1111, model: str, parameters: dict[str, Any], settings: dict[str, Any], checkpoint: str | None
) -> None:
    node.script(KEY, Script(body={"images": [base64.b64encode(REFERENCE).decode()], "info": "{}"}))
    await paint(node, {"model": model, "parameters": parameters}, settings=settings)
    assert sent(node)["override_settings"].get("sd_model_checkpoint") == checkpoint


async def test_a_reference_and_its_mask_are_painted_over_where_the_mask_is_transparent(node: FakeA1111) -> None:
    mask = Image.new("RGBA", (64, 64), (255, 255, 255, 255))
    mask.paste((0, 0, 0, 0), (0, 0, 32, 64))
    buffer = io.BytesIO()
    mask.save(buffer, "PNG")
    chosen = {"denoising_strength": 0.4, "mask_blur": 8}
    await paint(node, {"references": (REFERENCE,), "mask": buffer.getvalue(), "parameters": chosen})
    fields = sent(node)
    assert node.asked[0].path == "/sdapi/v1/img2img"
    assert base64.b64decode(fields["init_images"][0]) == REFERENCE
    assert (fields["denoising_strength"], fields["mask_blur"], fields["inpainting_fill"]) == (0.4, 8, 1)
    stencil = Image.open(io.BytesIO(base64.b64decode(fields["mask"])))
    assert (stencil.mode, stencil.size, stencil.getpixel((5, 5)), stencil.getpixel((60, 5))) == ("L", (64, 64), 255, 0)


@pytest.mark.parametrize(("changes", "named"), [
    ({"parameters": {"quality": "high"}}, "quality"),
    ({"parameters": {"denoising_strength": 0.5}}, "denoising_strength"),
    ({"parameters": {"mask_blur": 4}, "references": (REFERENCE,)}, "mask_blur"),
    ({"references": (REFERENCE, REFERENCE)}, "reference"),
    ({"mask": REFERENCE}, "mask"),
    ({"mask": b"nonsense", "references": (REFERENCE,)}, ""),
])  # fmt: skip
async def test_what_a_node_does_not_know_is_refused_by_name(
    node: FakeA1111, changes: dict[str, Any], named: str
) -> None:
    with pytest.raises(UpstreamError) as caught:
        await paint(node, changes)
    assert caught.value.fault is Fault.INVALID_REQUEST
    assert named in caught.value.words
    assert node.asked == []


def test_every_parameter_may_be_a_setting() -> None:
    chosen = {name: kind["min"] if isinstance(kind, dict) else "Euler a" for name, kind in PARAMETERS.items()}
    painters.check_settings("a1111", chosen | {"previews": False, "poll": 0.5})


async def test_progress_and_previews_are_told_while_it_paints(node: FakeA1111) -> None:
    node.preview = painted(1024, 1024, kilobytes=900)
    node.gate.clear()
    seen: list[Step] = []

    async def on_step(step: Step) -> None:
        seen.append(step)
        if step.preview:
            node.gate.set()

    await A1111().paint(ORDER, access(node, settings=QUICK), on_step)
    shown = [step for step in seen if step.preview]
    assert [step.done for step in seen] == sorted(step.done for step in seen)
    assert shown[0].done == pytest.approx(0.02 + 0.5 * 0.95)
    assert len(shown[0].preview or b"") <= PREVIEW_LIMIT
    assert raster.sniff(shown[0].preview or b"") == "image/webp"
    assert all(step.partial is None for step in seen)


async def test_a_caller_that_streams_gets_the_unfinished_picture_whole(node: FakeA1111) -> None:
    node.preview = painted(128, 128)
    node.gate.clear()
    partials: list[bytes] = []

    async def on_step(step: Step) -> None:
        if step.partial:
            partials.append(step.partial)
            node.gate.set()

    await A1111().paint(dataclasses.replace(ORDER, partial_images=1), access(node, settings=QUICK), on_step)
    assert partials == [node.preview]


async def test_previews_can_be_switched_off(node: FakeA1111) -> None:
    node.gate.clear()
    node.preview = painted(64, 64)
    steps = Steps()
    async with anyio.create_task_group() as group:
        off = access(node, settings=QUICK | {"previews": False})
        group.start_soon(A1111().paint, ORDER, off, steps)
        await node.looked.wait()
        node.gate.set()
    assert {asked.fields["live_preview"] for asked in node.asked if asked.path == "/internal/progress"} == {False}
    assert not any(step.preview for step in steps)


async def test_nobody_sees_a_picture_of_somebody_else_on_the_same_node(node: FakeA1111) -> None:
    node.preview = painted(64, 64)
    node.gate.clear()
    steps = Steps()
    async with anyio.create_task_group() as group:
        group.start_soon(A1111().paint, ORDER, access(node), Steps())
        await node.started.wait()
        group.start_soon(A1111().paint, ORDER, access(node, settings=QUICK), steps)  # waits for its turn
        for _ in range(3):
            node.looked.clear()
            await node.looked.wait()
        assert [step.done for step in steps] == [0.02]
        node.gate.set()


async def test_a_node_whose_progress_is_broken_still_paints(node: FakeA1111) -> None:
    node.always(KEY, Script(500, b"oops", path="/progress"))
    node.gate.clear()
    async with anyio.create_task_group() as group:
        group.start_soon(A1111().paint, ORDER, access(node, settings=QUICK), Steps())
        while not any(asked.path.endswith("/progress") for asked in node.asked):
            node.arrived.clear()
            await node.arrived.wait()
        node.gate.set()


async def test_a_canceled_picture_is_interrupted_on_its_node(node: FakeA1111) -> None:
    node.gate.clear()
    async with anyio.create_task_group() as group:
        group.start_soon(A1111().paint, ORDER, access(node), Steps())
        await node.started.wait()
        group.cancel_scope.cancel()
    assert group.cancel_scope.cancelled_caught
    assert node.interrupted.is_set()


async def test_a_picture_that_takes_too_long_is_interrupted_too(node: FakeA1111) -> None:
    node.gate.clear()
    with pytest.raises(UpstreamError) as caught:
        await paint(node, timeout=2)
    assert caught.value.fault is Fault.TIMEOUT_UNKNOWN
    assert node.interrupted.is_set()


async def test_the_picture_of_somebody_else_is_not_interrupted(node: FakeA1111) -> None:
    node.gate.clear()
    async with anyio.create_task_group() as group:
        group.start_soon(A1111().paint, ORDER, access(node), Steps())
        await node.started.wait()
        with pytest.raises(UpstreamError):
            await paint(node, timeout=0.5)
        assert not node.interrupted.is_set()
        node.gate.set()


async def test_an_old_node_that_knows_no_tasks_is_watched_and_interrupted(node: FakeA1111) -> None:
    node.is_old = True
    node.preview = painted(64, 64)
    node.gate.clear()
    seen = anyio.Event()

    async def on_step(step: Step) -> None:
        if step.preview:
            seen.set()

    async with anyio.create_task_group() as group:
        group.start_soon(A1111().paint, ORDER, access(node, settings=QUICK), on_step)
        await seen.wait()
        group.cancel_scope.cancel()
    assert node.interrupted.is_set()


@pytest.mark.parametrize(("images", "info"), [
    ([painted(8, 8), REFERENCE, painted(9, 9)], {"all_seeds": [1, 2], "index_of_first_image": 1}),
    ([painted(8, 8), REFERENCE, painted(9, 9)], {"all_seeds": [1, 2]}),
    ([REFERENCE, painted(9, 9)], {"all_seeds": [1]}),
    ([REFERENCE], {"all_seeds": [1, 2], "index_of_first_image": 9}),
])  # fmt: skip
async def test_a_grid_before_the_pictures_is_skipped(
    node: FakeA1111, images: list[bytes], info: dict[str, Any]
) -> None:
    encoded = [base64.b64encode(image).decode() for image in images]
    node.script(KEY, Script(body={"images": encoded, "info": json.dumps(info)}))
    done = await paint(node)
    assert (done.data, done.upstream_id) == (REFERENCE, "seed-1")


async def test_a_checkpoint_that_is_not_there_is_not_replaced_in_silence(node: FakeA1111) -> None:
    with pytest.raises(UpstreamError) as caught:
        await paint(node, {"model": "retired.safetensors"})
    assert caught.value.fault is Fault.MODEL_UNAVAILABLE
    await paint(node, {"model": "dreamshaper_8"})
    await paint(node, {"model": "879db523c3"})


async def test_a_node_without_a_password_gets_none(node: FakeA1111) -> None:
    await paint(node, secret="none")
    assert "authorization" not in node.asked[0].headers


async def test_a_secret_that_is_no_user_and_password_is_a_dead_key(node: FakeA1111) -> None:
    with pytest.raises(UpstreamError) as caught:
        await paint(node, secret="just-a-word")
    assert (caught.value.fault, node.asked) == (Fault.AUTH_DEAD, [])
    assert "just-a-word" not in repr(vars(caught.value))


async def test_checkpoints_are_listed_by_their_titles(node: FakeA1111) -> None:
    found = await A1111().models(access(node))
    assert (found[0].id, found[0].name, found[0].abilities) == (MODEL, "dreamshaper_8", ("text", "image", "mask"))
    await A1111().check(access(node))
    node.script(KEY, Script(body=b"<html>Gradio</html>"))
    with pytest.raises(UpstreamError):
        await A1111().check(access(node))


async def test_a_private_address_is_for_local_providers_alone(node: FakeA1111) -> None:
    for base in (node.base_url, node.base_url.replace("127.0.0.1", "localhost")):
        for attempt in (A1111().paint(ORDER, Access(KEY, base), Steps()), A1111().check(Access(KEY, base))):
            with pytest.raises(UpstreamError) as caught:
                await attempt
            assert caught.value.fault is Fault.UPSTREAM_5XX
    assert node.asked == []
