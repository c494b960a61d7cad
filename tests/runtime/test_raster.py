"""Pictures as bytes: whatever strangers send is refused in plain words or comes out as nothing but pixels."""

from __future__ import annotations

import io
import os
import random
import signal
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from PIL import Image, ImageChops

from limner.runtime.raster import BadImage, Shape, clean, measure, proof, sniff, stencil, thumbnail, verify

pytestmark = pytest.mark.asyncio(loop_scope="module")

XSS = b"<script>alert(1)</script>"


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def painting(width: int = 64, height: int = 48) -> Image.Image:
    across = Image.linear_gradient("L").rotate(90).resize((width, height))
    return Image.merge("RGB", (across, Image.linear_gradient("L").resize((width, height)), ImageChops.invert(across)))


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_with(extra: bytes) -> bytes:
    """A small PNG with one more chunk, right after its header."""
    data = encoded(painting())
    return data[:33] + extra + data[33:]


def png_that_claims(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def webp_that_claims(width: int, height: int) -> bytes:
    canvas = bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + canvas + encoded(painting(), "WEBP")[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


def deflated_zeros(megabytes: int) -> bytes:
    squeeze = zlib.compressobj(9)
    return b"".join(squeeze.compress(bytes(2**20)) for _ in range(megabytes)) + squeeze.flush()


def photo_with_secrets() -> bytes:
    exif = Image.Exif()
    exif[0x010E] = XSS.decode()  # ImageDescription
    exif[0x0112] = 6  # Orientation: turn right
    exif[0x9286] = "x" * 60_000
    exif.get_ifd(0x8825)[2] = (48.0, 51.0, 29.0)  # GPSLatitude
    return encoded(painting(), "JPEG", exif=exif, comment=XSS, icc_profile=b"profile" * 100)


def gif_of(frames: int) -> bytes:
    data = encoded(painting(2, 2).convert("P"), "GIF")
    start = data.index(b"\x2c")
    return data[:start] + data[start:-1] * frames + b";"


def frames(form: str) -> bytes:
    rest = [Image.new("RGB", (64, 48), color) for color in ("red", "blue")]
    return encoded(painting(), form, save_all=True, append_images=rest, duration=50, lossless=True)


BOMBS: dict[str, Callable[[], bytes]] = {
    "a PNG of 13,000 squared": lambda: encoded(Image.new("1", (13_000, 13_000))),
    "a PNG that claims 2**31-1 squared": lambda: png_that_claims(2**31 - 1, 2**31 - 1),
    "a PNG that claims a little too much": lambda: png_that_claims(5000, 5001),
    "a WebP that claims 16,384 squared": lambda: webp_that_claims(16_384, 16_384),
    "a GIF that claims 65,535 squared": lambda: b"GIF89a\xff\xff\xff\xff" + gif_of(1)[10:],
    "a zTXt chunk of 256 MiB": lambda: png_with(chunk(b"zTXt", b"Comment\0\0" + deflated_zeros(256))),
    "an iCCP chunk of 256 MiB": lambda: png_with(chunk(b"iCCP", b"icc\0\0" + deflated_zeros(256))),
}

REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "0 bytes": (lambda: b"", "The file is empty: send a PNG, JPEG, WEBP or GIF picture instead."),
    "an SVG": (
        lambda: b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg">' + XSS,
        "This is an SVG drawing",
    ),
    "a web page": (lambda: b"\n <!DOCTYPE html><html>" + XSS, "This is a web page"),
    "a TIFF": (lambda: encoded(painting(), "TIFF", save_all=True, append_images=[painting()] * 9), "This is a TIFF"),
    "a BMP": (lambda: encoded(painting(), "BMP"), "This is a BMP picture"),
    "an EPS": (lambda: encoded(painting(), "EPS"), "This is a PostScript file"),
    "a PSD": (lambda: b"8BPS\0\1" + bytes(100), "This is a Photoshop file"),
    "an AVIF": (lambda: encoded(painting(), "AVIF"), "This is a picture of type AVIF"),
    "a HEIC": (lambda: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(50), "This is a HEIC photo"),
    "noise": (lambda: random.Random(1).randbytes(500), "This is not a picture"),
    "a PNG cut short": (lambda: encoded(painting())[:-80], "The PNG file is cut short"),
    "a JPEG cut short": (lambda: encoded(painting(), "JPEG")[:-80], "The JPEG file is cut short"),
    "a WebP cut short": (lambda: encoded(painting(), "WEBP")[:-80], "The WEBP file is damaged"),
    "a PNG of a header": (lambda: encoded(painting())[:20], "The PNG file is"),
    "a PNG of no size": (lambda: png_that_claims(0, 0), "The PNG file is damaged"),
}

CLEANED: dict[str, tuple[Callable[[], bytes], tuple[int, int]]] = {
    "a GIF of 10,000 frames": (lambda: gif_of(10_000), (2, 2)),
    "an APNG": (lambda: frames("PNG"), (64, 48)),
    "an animated WebP": (lambda: frames("WEBP"), (64, 48)),
    "an animated GIF": (lambda: frames("GIF"), (64, 48)),
    "a photo with GPS and a script, lying on its side": (photo_with_secrets, (48, 64)),
    "a JPEG that is a ZIP as well": (lambda: encoded(painting(), "JPEG") + b"PK\3\4" + XSS, (64, 48)),
    "a GIF that is JavaScript as well": (lambda: encoded(painting(), "GIF") + b"=1;" + XSS, (64, 48)),
    "a PNG with a script in its text": (lambda: png_with(chunk(b"tEXt", b"Comment\0" + XSS)), (64, 48)),
    "a PNG with a private chunk": (lambda: png_with(chunk(b"prVt", XSS)), (64, 48)),
    "one pixel": (lambda: encoded(painting(1, 1)), (1, 1)),
    "one row": (lambda: encoded(painting(30_000, 1)), (2048, 1)),
    "a large one": (lambda: encoded(painting(3000, 1500)), (2048, 1024)),
    "a CMYK JPEG": (lambda: encoded(painting().convert("CMYK"), "JPEG"), (64, 48)),
    "a palette": (lambda: encoded(painting().convert("P")), (64, 48)),
    "black and white": (lambda: encoded(painting().convert("1")), (64, 48)),
    "a gray JPEG": (lambda: encoded(painting().convert("L"), "JPEG"), (64, 48)),
    "16 bits of gray": (lambda: encoded(Image.new("I;16", (64, 48), 40_000)), (64, 48)),
    "gray with alpha": (lambda: encoded(painting().convert("LA")), (64, 48)),
}


@pytest.mark.parametrize("name", BOMBS)
async def test_a_bomb_is_refused_by_all_who_decode(name: str) -> None:
    data = BOMBS[name]()
    for work in (clean, verify, proof, thumbnail) if not name.startswith("a GIF") else (clean,):
        with pytest.raises(BadImage, match=r"too large: at most 25 megapixels|is damaged"):
            await work(data)


@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_refused_is_told_why(name: str) -> None:
    make, why = REFUSED[name]
    for work in (clean, verify, proof, thumbnail):
        with pytest.raises(BadImage, match=why.partition(":")[0]) as caught:
            await work(make())
    assert "\n" not in str(caught.value)
    assert caught.value.code == "bad_image"


@pytest.mark.parametrize("name", CLEANED)
async def test_what_is_cleaned_is_a_png_of_nothing_but_pixels(name: str) -> None:
    make, size = CLEANED[name]
    dirty = make()
    data, shape = await clean(dirty)
    result = opened(data)
    assert shape == Shape("image/png", *size)
    assert (result.format, result.size, result.info) == ("PNG", size, {})
    assert result.mode in ("RGB", "RGBA")
    assert getattr(result, "n_frames", 1) == 1
    assert XSS not in data
    assert not result.getexif()


async def test_a_cleaned_picture_looks_like_the_one_that_was_sent() -> None:
    for form, options in (("PNG", {}), ("WEBP", {"lossless": True}), ("JPEG", {"quality": 95})):
        result = opened((await clean(encoded(painting(), form, **options)))[0])
        worst = max(high for _, high in ImageChops.difference(result, painting()).getextrema())
        assert worst <= (0 if form != "JPEG" else 12), form


async def test_a_cleaned_picture_stands_upright() -> None:
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        turn = {3: 180, 6: -90, 8: 90}.get(orientation)
        result = opened((await clean(encoded(painting(), "PNG", exif=exif)))[0])
        assert result.size == ((64, 48) if orientation < 5 else (48, 64))
        if turn:
            assert result.tobytes() == painting().rotate(turn, expand=True).tobytes()


async def test_16_bits_are_scaled_and_not_clipped() -> None:
    deep = Image.new("I;16", (3, 1))
    for at, value in enumerate((0, 0x8080, 0xFFFF)):
        deep.putpixel((at, 0), value)
    result = opened((await clean(encoded(deep)))[0])
    assert [result.getpixel((at, 0)) for at in range(3)] == [(0,) * 3, (128,) * 3, (255,) * 3]


@pytest.mark.parametrize("mode", ["RGBA", "P", "L", "RGB", "LA"])
async def test_what_is_transparent_stays_so(mode: str) -> None:
    image = Image.new(mode, (4, 4))
    options = {} if mode in ("RGBA", "LA") else {"transparency": (0, 0, 0) if mode == "RGB" else 0}
    result = opened((await clean(encoded(image, "PNG", **options)))[0])
    assert (result.mode, result.getpixel((0, 0))) == ("RGBA", (0, 0, 0, 0))


async def test_an_animation_becomes_its_first_frame() -> None:
    for form in ("PNG", "WEBP"):
        assert opened((await clean(frames(form)))[0]).tobytes() == painting().tobytes(), form


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
async def test_a_proof_has_the_shape_and_a_small_webp(form: str) -> None:
    shape, small = await proof(encoded(painting(1536, 1024), form))
    assert shape == Shape(f"image/{form.lower()}", 1536, 1024)
    assert (opened(small).format, opened(small).size) == ("WEBP", (480, 320))
    assert len(small) < 20_000
    assert opened(await thumbnail(encoded(painting(100, 90), form))).size == (100, 90)
    assert opened(await thumbnail(encoded(painting(100, 90), form), edge=50)).size == (50, 45)


async def test_a_painted_png_must_be_whole_to_its_end() -> None:
    data = encoded(painting())
    for broken in (data[:-5], data[:-12], data[:-20], data[:90] + bytes([data[90] ^ 1]) + data[91:]):
        for work in (verify, proof):
            with pytest.raises(BadImage, match=r"The PNG file is (cut short|damaged)"):
                await work(broken)


async def test_a_measure_needs_the_header_only() -> None:
    assert await measure(encoded(painting(1000, 900), "JPEG")[:1000]) == Shape("image/jpeg", 1000, 900)
    assert await measure(encoded(painting(10, 9), "GIF")) == Shape("image/gif", 10, 9)
    with pytest.raises(BadImage, match="too large"):
        await measure(png_that_claims(13_000, 13_000))


async def test_the_limit_of_pixels_can_be_lower() -> None:
    data = encoded(painting(1000, 1001))
    assert await verify(data, 1_001_000) == Shape("image/png", 1000, 1001)
    for work in (measure, verify):
        with pytest.raises(BadImage, match="at most 1 megapixels"):
            await work(data, 1_000_000)


async def test_a_stencil_is_white_where_its_mask_is_transparent() -> None:
    mask = painting().convert("RGBA")
    mask.paste((255, 255, 255, 0), (0, 0, 32, 48))
    made = opened(await stencil(encoded(mask)))
    assert (made.mode, made.size, made.getpixel((3, 3)), made.getpixel((60, 3))) == ("L", (64, 48), 255, 0)
    assert opened(await stencil(encoded(painting()))).getextrema() == (0, 0)
    with pytest.raises(BadImage):
        await stencil(b"no picture")


async def test_a_gif_is_no_painted_picture() -> None:
    with pytest.raises(BadImage, match="GIF, which is not accepted: send a PNG, JPEG or WEBP picture"):
        await proof(encoded(painting(), "GIF"))


async def test_the_first_bytes_tell_the_type() -> None:
    for form in ("PNG", "JPEG", "WEBP", "GIF", "AVIF"):
        assert sniff(encoded(painting(), form)) == f"image/{form.lower()}"
    for data in (b"", b"GIF", b"RIFF\0\0\0\0WAVE", b"\0\0\0\x18ftypisom\0\0\0\0mp42", XSS):
        assert sniff(data) is None


async def test_a_damaged_file_is_refused_or_cleaned_and_nothing_else() -> None:
    dice = random.Random(20)
    originals = [make() for name, (make, _) in CLEANED.items() if "large" not in name and "10,000" not in name]
    results = {"refused": 0, "cleaned": 0}
    for _ in range(400):
        data = bytearray(dice.choice(originals))
        for _ in range(dice.randint(1, 12)):
            data[dice.randrange(8, len(data))] = dice.randrange(256)
        try:
            result, _ = await clean(bytes(data))
        except BadImage:
            results["refused"] += 1
        else:
            results["cleaned"] += sniff(result) == "image/png"
    assert sum(results.values()) == 400
    assert min(results.values()) > 20


async def test_many_at_once_take_turns() -> None:
    data = encoded(painting(256, 256))
    seen: set[int] = set()

    async def one() -> None:
        await proof(data)
        seen.update(children())

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(one)
    assert 1 <= len(seen) <= 2


async def test_a_killed_child_is_not_the_fault_of_the_picture() -> None:
    data = encoded(painting())
    await verify(data)
    for child in children():
        os.kill(child, signal.SIGKILL)
    assert await verify(data) == Shape("image/png", 64, 48)


@pytest.mark.asyncio(loop_scope="function")
async def test_no_bomb_takes_more_than_200_mib() -> None:
    before = set(children())
    await verify(encoded(painting()))
    (child,) = set(children()) - before
    start = peak(child)
    for make in BOMBS.values():
        with pytest.raises(BadImage):
            await clean(make())
    assert peak(child) - start < 200


async def test_the_calling_process_never_imports_pillow() -> None:
    script = (
        "import sys, anyio\nfrom limner.runtime.raster import proof\n"
        "if __name__ == '__main__':\n    print(anyio.run(proof, sys.stdin.buffer.read())[0], 'PIL' in sys.modules)"
    )
    said = await anyio.run_process([sys.executable, "-c", script], input=encoded(painting()))
    assert said.stdout.strip() == b"Shape(mime='image/png', width=64, height=48) False"


def children() -> list[int]:
    """The decoding processes of this process."""
    found = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    return [int(pid) for pid in found if b"anyio.to_process" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def peak(pid: int) -> int:
    """MiB of memory at the most, ever."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))
