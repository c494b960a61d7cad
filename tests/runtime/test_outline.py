"""Pictures by their outline: what is all there passes, what was cut or garbled on its way does not, and nothing is decoded."""

from __future__ import annotations

import struct

import pytest
from PIL import Image

from limner.runtime.outline import INLINE, examine
from limner.runtime.raster import BadImage, Shape
from tests.runtime.test_raster import chunk, encoded, painting, png_that_claims, png_with

WHOLE = {
    "png": encoded(painting()),
    "png with a palette": encoded(painting().convert("P")),
    "png that moves": encoded(painting(), save_all=True, append_images=[painting().rotate(90)]),
    "jpeg": encoded(painting(), "JPEG"),
    "jpeg in scans": encoded(painting(), "JPEG", progressive=True),
    "jpeg with restarts": encoded(painting(), "JPEG", restart_marker_rows=1),
    "jpeg in grey": encoded(painting().convert("L"), "JPEG"),
    "webp": encoded(painting(), "WEBP"),
    "webp without loss": encoded(painting(), "WEBP", lossless=True),
    "webp with alpha": encoded(painting().convert("RGBA"), "WEBP", exif=b"Exif\0\0"),
    "webp that moves": encoded(painting(), "WEBP", save_all=True, append_images=[painting().rotate(90)]),
}


@pytest.mark.parametrize("kind", WHOLE)
async def test_whole_pictures_pass_with_their_shape(kind):
    mime = f"image/{kind.partition(' ')[0]}"
    assert await examine(WHOLE[kind]) == Shape(mime, 64, 48)
    assert await examine(WHOLE[kind] + b"a word behind it") == Shape(mime, 64, 48)


@pytest.mark.parametrize("kind", WHOLE)
async def test_wherever_it_is_cut_off_it_does_not_pass(kind):
    data = WHOLE[kind]
    for length in range(12, len(data)):
        with pytest.raises(BadImage):
            await examine(data[:length])


async def test_no_bit_of_a_png_changes_unseen():
    data = WHOLE["png"]
    for place in range(8, len(data)):
        with pytest.raises(BadImage):
            await examine(data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>busy</html>",
        encoded(painting(), "GIF"),
        png_that_claims(0, 10),
        png_that_claims(5001, 5000),
        WHOLE["png"][:33] + chunk(b"IEND", b""),
        b"\x89PNG\r\n\x1a\n" + chunk(b"IDAT", b"first") + chunk(b"IEND", b""),
        b"\xff\xd8\xff\xd9",
        b"\xff\xd8" + b"\xff\xe0\x00\x02" * 70_000,
        b"\xff\xd8\xff\xe0\x00\x00",
        b"RIFF" + struct.pack("<I", 4) + b"WEBP",
        b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8 " + struct.pack("<I", 10) + bytes(10),
    ],
)
async def test_what_is_no_picture_is_refused_in_words(data):
    with pytest.raises(BadImage, match=r"^(The|This) "):
        await examine(data)


async def test_a_picture_of_megabytes_passes_too():
    large = Image.effect_noise((1600, 1600), 90)
    for form in ("PNG", "JPEG"):
        data = encoded(large, form, **({"quality": 98} if form == "JPEG" else {}))
        assert len(data) > INLINE
        assert (await examine(data)).width == 1600
    with pytest.raises(BadImage, match="damaged"):
        await examine(png_with(bytes(INLINE)))
