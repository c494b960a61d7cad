"""References: checked before they are decoded, kept as nothing but pixels, refused in plain words."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

import pytest
from PIL import Image

from tests.http.conftest import Browser, Page, available, drawn

ORDER = {"prompt": "as this one", "model": "demo", "size": "512x512"}


async def send(browser: Browser, *files: tuple[str, bytes, str]) -> Page:
    return await browser.post("/generations", ORDER, files=[("reference", *file) for file in files])


def photo() -> bytes:
    """A JPEG as a camera makes it: with a place, a script in its description, and lying on its side."""
    exif = Image.Exif()
    exif[0x010E] = "<script>alert('canary')</script>"
    exif[0x0112] = 6
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)
    return drawn("JPEG", 64, 48, exif=exif, quality=90)


def bomb(side: int = 13_000) -> bytes:
    """A small PNG of very many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compressobj(9)
    data = b"".join(rows.compress(b"\0" * (side // 8 + 1)) for _ in range(side)) + rows.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def with_an_archive(picture: bytes) -> bytes:
    hidden = io.BytesIO()
    with zipfile.ZipFile(hidden, "w") as archive:
        archive.writestr("canary.txt", "hidden")
    return picture + hidden.getvalue()


async def test_a_photograph_is_kept_upright_and_without_what_it_tells(alice, site, db):
    answer = await send(alice, ("holiday.jpg", photo(), "image/jpeg"))
    assert answer.status == 303
    upload = await db.fetchval("select id from upload")
    page = await alice.get(f"/uploads/{upload}")
    assert (page.status, page.headers["Content-Type"]) == (200, "image/png")
    assert page.headers["Content-Security-Policy"].startswith("sandbox")
    picture = Image.open(io.BytesIO(page.body))
    assert (picture.format, picture.size, dict(picture.getexif()), picture.info) == ("PNG", (48, 64), {}, {})
    assert b"canary" not in page.body
    assert f"/uploads/{upload}" in (await alice.get(answer.location.partition("#")[0])).text


async def test_what_hides_behind_a_picture_is_gone(alice, db):
    assert (await send(alice, ("a.jpg", with_an_archive(photo()), "image/jpeg"))).status == 303
    page = await alice.get(f"/uploads/{await db.fetchval('select id from upload')}")
    assert not zipfile.is_zipfile(io.BytesIO(page.body))
    assert b"hidden" not in page.body


@pytest.mark.parametrize(
    "name, data, words",
    [
        ("drawing.svg", b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>', "SVG drawing"),
        ("drawing.png", b'<?xml version="1.0"?><svg><script>alert(1)</script></svg>', "SVG drawing"),
        ("page.png", b"<!doctype html><script>alert(1)</script>", "a web page"),
        ("nothing.png", b"nothing like a picture", "not a picture"),
        ("paper.pdf", b"%PDF-1.7 ...", "a PDF document"),
        ("scan.tif", drawn("TIFF"), "a TIFF picture"),
        ("bomb.png", bomb(), "too large"),
        ("cut.png", drawn("PNG", 200, 200)[:120], "PNG file"),
        ("cut.jpg", photo()[:300], "JPEG file"),
        ("huge.png", b"\x89PNG\r\n\x1a\n" + bytes(12 * 1024 * 1024), "at most 12 MB"),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value else "",
)
async def test_what_is_no_good_picture_is_refused_in_plain_words(alice, db, cast, name, data, words):
    page = await send(alice, (name, data, "image/png"))
    assert page.status == 400
    assert words in page.text
    assert "as this one</textarea>" in page.text
    assert await db.fetchval("select count(*) from upload") == 0
    assert await available(db, cast.alice) == 100


async def test_four_references_are_taken_and_five_are_not(alice, db):
    four = [(f"{number}.png", drawn(), "image/png") for number in range(4)]
    assert (await send(alice, *four)).status == 303
    page = await send(alice, *four, ("5.png", drawn(), "image/png"))
    assert (page.status, "At most 4 reference pictures" in page.text) == (400, True)
    assert await db.fetchval("select count(*) from upload") == 4


async def test_an_empty_file_field_is_no_reference(alice, db):
    answer = await send(alice, ("", b"", "application/octet-stream"))
    assert answer.status == 303
    assert await db.fetchval("select count(*) from upload") == 0


@pytest.mark.parametrize("name", ["../../etc/passwd", "x" * 300, "\u202egnp.exe", "a'; drop table upload; --"])
async def test_a_file_name_means_nothing(alice, db, name):
    assert (await send(alice, (name, drawn(), "image/png"))).status == 303
    key = await db.fetchval("select storage_key from upload")
    assert key == f"uploads/{await db.fetchval('select id from upload')}.png"


async def test_without_a_plan_nothing_is_decoded_or_kept(bob, db):
    page = await send(bob, ("a.png", b"not even looked at", "image/png"))
    assert (page.status, "not a picture" in page.text) == (402, False)


async def test_more_than_fifty_megabytes_are_not_read(alice):
    page = await send(alice, ("a.png", bytes(51 * 1024 * 1024), "image/png"))
    assert page.status == 413


async def test_a_file_where_text_belongs_is_refused(alice):
    page = await alice.post("/generations", ORDER, files=[("prompt", "a.png", drawn(), "image/png")])
    assert page.status in (303, 400)
    only = {"model": "demo", "size": "512x512"}
    page = await alice.post("/generations", only, files=[("prompt", "a.png", drawn(), "image/png")])
    assert (page.status, "must be text" in page.text, "FileField" in page.text) == (400, True, False)
