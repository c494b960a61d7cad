"""The demo painter: the same order gives the same bytes, of the asked size, with steps on the way."""

from __future__ import annotations

import anyio
import pytest
from PIL import ImageChops

from limner.actors.providers.base import PREVIEW_LIMIT, Access, Fault, UpstreamError
from limner.actors.providers.demo import Demo, digest, pace
from tests.providers.conftest import Steps, an_order, seen

ACCESS = Access("demo-key", "")


async def test_the_same_order_is_painted_to_the_same_bytes(steps: Steps) -> None:
    first = await Demo().paint(an_order(), ACCESS, steps)
    again = await Demo().paint(an_order(), ACCESS, Steps())
    assert first == again
    assert [step.preview for step in steps] != [None] * len(steps)


@pytest.mark.parametrize("change", [{"seed": 8}, {"prompt": "a fox in the rain"}, {"width": 272}])
async def test_another_order_is_another_picture(change: dict[str, object], steps: Steps) -> None:
    other = an_order(**change)  # type: ignore[arg-type]
    assert digest(other) != digest(an_order())
    assert (await Demo().paint(other, ACCESS, steps)).data != (await Demo().paint(an_order(), ACCESS, steps)).data


@pytest.mark.parametrize("size", [(256, 256), (512, 288), (257, 511), (2048, 256), (300, 2048), (1024, 1024)])
async def test_a_picture_has_exactly_the_asked_size(size: tuple[int, int], steps: Steps) -> None:
    picture = await Demo().paint(an_order(width=size[0], height=size[1]), ACCESS, steps)
    image = seen(picture.data)
    assert (image.format, image.size, picture.mime) == ("PNG", size, "image/png")
    assert len(image.convert("RGB").resize((32, 32)).getcolors(1024) or []) > 100  # a painting, not a blank
    assert len(picture.data) < 2_500_000


async def test_steps_come_in_order_and_grow_sharper(steps: Steps) -> None:
    await Demo().paint(an_order(width=512, height=512), ACCESS, steps)
    done = [step.done for step in steps]
    assert 4 <= len(steps) <= 6
    assert done == sorted(done)
    assert 0 < done[0] < done[-1] < 1
    previews = [step.preview or b"" for step in steps]
    assert all(0 < len(preview) <= PREVIEW_LIMIT for preview in previews)
    assert [seen(preview).format for preview in previews] == ["WEBP"] * len(previews)
    assert len(previews[0]) < len(previews[1]) < len(previews[-1])


async def test_a_step_is_told_before_the_picture_is_done(steps: Steps) -> None:
    seen_early = anyio.Event()

    async def on_step(step: object) -> None:
        seen_early.set()
        await anyio.sleep_forever()

    async with anyio.create_task_group() as group:
        group.start_soon(Demo().paint, an_order(), ACCESS, on_step)
        await seen_early.wait()
        group.cancel_scope.cancel()
    await Demo().paint(an_order(), ACCESS, steps)  # a canceled painting gives its place back
    assert steps


async def test_other_work_goes_on_while_it_paints(steps: Steps) -> None:
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            await anyio.sleep(0)
            beats += 1

    async with anyio.create_task_group() as group:
        group.start_soon(beat)
        await Demo().paint(an_order(width=512, height=512), ACCESS, steps)
        group.cancel_scope.cancel()
    assert beats > 100


async def test_the_picture_is_marked_as_a_demo(steps: Steps) -> None:
    """The mark darkens the lower right corner of an otherwise white picture."""
    from PIL import Image

    from limner.actors.providers.demo import sign

    blank = Image.new("RGB", (512, 512), "white")
    marked = ImageChops.difference(sign(blank.copy()), blank).getbbox()
    assert marked is not None
    assert marked[0] > 400
    assert marked[1] > 460


@pytest.mark.parametrize(("width", "height"), [(255, 512), (512, 2049), (0, 0)])
async def test_a_size_out_of_range_is_an_invalid_request(width: int, height: int, steps: Steps) -> None:
    with pytest.raises(UpstreamError) as caught:
        await Demo().paint(an_order(width=width, height=height), ACCESS, steps)
    assert caught.value.fault is Fault.INVALID_REQUEST


@pytest.mark.parametrize(
    ("switch", "seconds"), [("", 0), ("pace=2.5", 2.5), ("ok pace=3", 3), ("pace=x", 0), ("pace=9999", 600)]
)
def test_the_switch_sets_the_pace(switch: str, seconds: float) -> None:
    assert pace(switch) == seconds


async def test_a_pace_is_waited_between_the_steps(steps: Steps) -> None:
    quick = await Demo().paint(an_order(), ACCESS, Steps())
    started = anyio.current_time()
    slow = await Demo().paint(an_order(), Access("k", "", switch="pace=0.5"), steps)
    assert anyio.current_time() - started >= 0.5
    assert slow.data == quick.data


async def test_a_demo_key_is_always_good() -> None:
    await Demo().check(ACCESS)
