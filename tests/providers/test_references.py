"""Image to image: the reference gives its colours and its composition, and a mask says what stays."""

from __future__ import annotations

import io

import pytest
from PIL import Image, ImageDraw, ImageStat

from limner.actors.providers.base import Access, Fault, UpstreamError
from limner.actors.providers.demo import Demo
from tests.providers.conftest import Steps, an_order, seen

ACCESS = Access("demo-key", "", is_local=True)


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def landscape(dark: str, light: str) -> bytes:
    """A light half above a dark one, with some structure in both."""
    image = Image.new("RGB", (320, 320), light)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 160, 320, 320), fill=dark)
    draw.ellipse((60, 40, 140, 120), fill=dark)
    return png(image)


RED, BLUE = landscape("#5a0d08", "#ff8a70"), landscape("#081a5a", "#70a8ff")


async def painted(prompt: str, *references: bytes, mask: bytes | None = None) -> Image.Image:
    order = an_order(prompt, references=references, mask=mask)
    return seen((await Demo().paint(order, ACCESS, Steps())).data).convert("RGB")


def means(image: Image.Image) -> list[float]:
    return ImageStat.Stat(image).mean


async def test_another_reference_gives_another_picture() -> None:
    plain, red, blue = [await painted("mountains", *refs) for refs in ((), (RED,), (BLUE,))]
    assert len({image.tobytes() for image in (plain, red, blue)}) == 3


async def test_a_scene_takes_the_palette_of_its_reference() -> None:
    red, blue = means(await painted("mountains at noon", RED)), means(await painted("mountains at noon", BLUE))
    assert red[0] > red[2] + 40
    assert blue[2] > blue[0] + 40


async def test_without_a_scene_the_reference_itself_is_painted() -> None:
    image = await painted("paint this for me", BLUE)
    top, bottom = means(image.crop((150, 10, 250, 110))), means(image.crop((10, 150, 200, 240)))
    assert sum(top) > sum(bottom) + 150
    assert top[2] > top[0]


async def test_colour_words_bend_a_reference() -> None:
    plain, golden = means(await painted("paint this", BLUE)), means(await painted("paint this in gold", BLUE))
    assert golden[0] - golden[2] > plain[0] - plain[2] + 20


async def test_a_mask_keeps_what_it_covers() -> None:
    mask = Image.new("RGBA", (320, 320), (0, 0, 0, 255))
    mask.paste((0, 0, 0, 0), (0, 0, 160, 320))  # clear on the left: paint there
    image = await painted("a whale in the sea", RED, mask=png(mask))
    kept = means(image.crop((150, 10, 240, 110)))
    assert [round(part) for part in kept] == pytest.approx([255, 138, 112], abs=3)
    assert means(image.crop((10, 10, 100, 110))) != pytest.approx(kept, abs=3)


@pytest.mark.parametrize("data", [b"", b"not a picture", RED[: len(RED) // 2]])
async def test_a_broken_reference_is_an_invalid_request(data: bytes) -> None:
    with pytest.raises(UpstreamError) as caught:
        await painted("mountains", data)
    assert caught.value.fault is Fault.INVALID_REQUEST
