"""A picture that is passed on says nothing but what can be seen: every pixel stays, every word goes."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from limner.runtime.bare import Garbled, bare

SECRET = "a portrait of my neighbour at 52.5 N"


def picture(mode: str = "RGB") -> Image.Image:
    image = Image.linear_gradient("L").resize((60, 40)).convert(mode)
    if mode == "P":
        image.info["transparency"] = 3
    return image


def saved(form: str, mode: str = "RGB", **options: object) -> bytes:
    file = io.BytesIO()
    picture(mode).save(file, form, **options)
    return file.getvalue()


def exif() -> Image.Exif:
    tags = Image.Exif()
    tags[0x010E] = SECRET
    return tags


def texts() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", SECRET)
    info.add_text("parameters", SECRET, zip=True)
    info.add_itxt("XML:com.adobe.xmp", SECRET)
    info.add(b"prVt", SECRET.encode())
    return info


def pixels(data: bytes) -> tuple[str, bytes]:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return image.mode, image.convert("RGBA").tobytes()


COLOURS = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
FILES = {
    "png": ("image/png", saved("PNG", pnginfo=texts(), exif=exif(), icc_profile=COLOURS)),
    "png with holes": ("image/png", saved("PNG", "RGBA", pnginfo=texts())),
    "png with a palette": ("image/png", saved("PNG", "P", pnginfo=texts(), transparency=3)),
    "jpeg": ("image/jpeg", saved("JPEG", exif=exif(), comment=SECRET, icc_profile=COLOURS)),
    "progressive jpeg": ("image/jpeg", saved("JPEG", progressive=True, exif=exif(), comment=SECRET)),
    "jpeg of four inks": ("image/jpeg", saved("JPEG", "CMYK", exif=exif())),
    "webp": ("image/webp", saved("WEBP", exif=exif(), xmp=SECRET.encode(), icc_profile=COLOURS)),
    "webp without loss": ("image/webp", saved("WEBP", "RGBA", lossless=True, exif=exif())),
    "plain webp": ("image/webp", saved("WEBP")),
}


@pytest.mark.parametrize("mime, data", FILES.values(), ids=FILES)
def test_every_pixel_stays_and_every_word_goes(mime, data):
    left = bare(data + b"hidden behind the end " + SECRET.encode(), mime)
    assert pixels(left) == pixels(data)
    assert SECRET.encode() not in left
    assert b"Exif" not in left
    assert b"hidden" not in left
    with Image.open(io.BytesIO(left)) as image:
        assert not image.getexif()
        assert not {"parameters", "exif", "xmp", "comment", "XML:com.adobe.xmp"} & set(image.info)


@pytest.mark.parametrize("name", ["png", "jpeg", "webp"])
def test_the_colours_stay_right(name):
    mime, data = FILES[name]
    with Image.open(io.BytesIO(bare(data, mime))) as image:
        assert image.info["icc_profile"] == COLOURS


@pytest.mark.parametrize("mime, data", FILES.values(), ids=FILES)
def test_what_is_bare_stays_as_it_is(mime, data):
    once = bare(data, mime)
    assert bare(once, mime) == once


@pytest.mark.parametrize("mime, data", FILES.values(), ids=FILES)
def test_what_is_cut_short_is_told_or_has_no_words(mime, data):
    for end in range(0, len(data), 7):
        try:
            assert SECRET.encode() not in bare(data[:end], mime)
        except Garbled:
            continue


@given(st.binary(max_size=200), st.sampled_from(["image/png", "image/jpeg", "image/webp", "image/gif", "text/html"]))
def test_anything_at_all_is_garbled_or_bare(data, mime):
    for start in (b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\xff\0\0\0WEBP"):
        try:
            bare(start + data, mime)
        except Garbled:
            continue
