"""Editing with OpenAI's own client: one picture, several, and a mask."""

from __future__ import annotations

import io

import openai
import pytest
from PIL import Image

from limner.runtime import raster
from tests.api.conftest import error, json, program, studio
from tests.http.conftest import drawn

FORM = {"prompt": "a red boat", "model": "simulator", "size": "512x512"}


def masked(width: int = 64, height: int = 48, hole: bool = True) -> bytes:
    file = io.BytesIO()
    image = Image.new("RGBA", (width, height), (0, 0, 0, 255))
    if hole:
        image.paste((0, 0, 0, 0), (8, 8, 24, 24))
    image.save(file, "PNG")
    return file.getvalue()


async def has(db, *abilities: str) -> None:
    await db.execute("update model set abilities = $1 where id = 'simulator'", list(abilities))


async def test_one_picture(working, db, at_work):
    async with working.openai() as client:
        answer = await client.images.edit(image=("boat.png", drawn(), "image/png"), **FORM)
    assert len(answer.data) == 1
    kept = await db.fetchrow("select u.storage_key, u.width from upload as u")
    assert raster.sniff(await at_work.storage.get(kept["storage_key"])) == "image/png"
    assert kept["width"] == 64


async def test_several_pictures_keep_their_order(working, db):
    async with working.openai() as client:
        pictures = [drawn(width=10 * number, height=20) for number in (1, 2, 3)]
        answer = await client.images.edit(image=[("a.png", each, "image/png") for each in pictures], n=2, **FORM)
    assert len(answer.data) == 2
    rows = await db.fetch(
        "select u.width from generation_reference as r join upload as u on u.id = r.upload_id order by r.position"
    )
    assert [row["width"] for row in rows] == [10, 20, 30]


async def test_a_mask(working, db, at_work):
    await has(db, "text", "image", "mask")
    async with working.openai() as client:
        await client.images.edit(image=("a.png", drawn(), "image/png"), mask=("m.png", masked(), "image/png"), **FORM)
    key = await db.fetchval("select u.storage_key from generation as g join upload as u on u.id = g.mask_upload_id")
    with Image.open(io.BytesIO(await at_work.storage.get(key))) as kept:
        assert (kept.mode, kept.getpixel((10, 10))[3], kept.getpixel((40, 40))[3]) == ("RGBA", 0, 255)


async def takes_markup(db) -> None:
    await db.execute("update model set options = $1 where id = 'simulator'", {"markup": [True]})


async def test_a_markup_is_kept_as_a_mask_is_and_known_as_what_it_is(working, db, at_work):
    await takes_markup(db)
    async with working.openai() as client:
        answer = await client.images.edit(
            image=("a.png", drawn(), "image/png"), markup=("m.png", masked(), "image/png"), **FORM
        )
    row = await db.fetchrow(
        "select u.storage_key, g.parameters from generation as g join upload as u on u.id = g.mask_upload_id"
    )
    assert row["parameters"] == {"markup": True}
    assert answer.metadata["requested"]["markup"] is True
    with Image.open(io.BytesIO(await at_work.storage.get(row["storage_key"]))) as kept:
        assert (kept.mode, kept.getpixel((10, 10))[3], kept.getpixel((40, 40))[3]) == ("RGBA", 0, 255)


@pytest.mark.parametrize(
    "files, words",
    [
        ([("markup", masked(10, 10))], "10x10"),
        ([("markup", masked(hole=False))], "transparent"),
        ([("markup", drawn("JPEG"))], "PNG"),
        ([("markup", b"no picture")], "PNG"),
        ([("markup", masked()), ("markup", masked())], "One markup"),
        ([("markup", masked()), ("mask", masked())], "not both"),
    ],
)
async def test_a_markup_that_will_not_do_is_named(alices, db, files, words):
    await has(db, "text", "image", "mask")
    await takes_markup(db)
    page = await edit(alices, FORM, [("image", drawn()), *files])
    assert (page.status, error(page)["param"], words in error(page)["message"]) == (400, "markup", True), page.text
    assert await db.fetchval("select count(*) from upload") == 0


async def test_a_markup_is_refused_by_a_model_without_it_and_never_a_field(alices, db):
    page = await edit(alices, FORM, [("image", drawn()), ("markup", masked())])
    assert (page.status, error(page)["code"], error(page)["param"]) == (400, "unsupported_parameter", "markup")
    await takes_markup(db)
    for asked in ({"markup": True}, {"markup": "true"}):
        page = await alices.order(**asked)
        assert (page.status, error(page)["code"], error(page)["param"]) == (400, "unknown_parameter", "markup")
    page = await edit(alices, FORM | {"markup": "true"}, [("image", drawn()), ("mask", masked())])
    assert (page.status, error(page)["param"]) == (400, "mask"), "the files come first"
    page = await edit(alices, FORM | {"markup": "true"}, [("image", drawn())])
    assert (page.status, error(page)["code"], error(page)["param"]) == (400, "unknown_parameter", "markup")


async def test_the_nearest_size_when_none_is_asked_for(alices, db):
    form = {"prompt": "x", "model": "simulator"}
    page = await edit(alices, form, [("image", drawn(width=150, height=100))], Prefer="respond-async")
    row = await db.fetchrow("select width, height from generation where id = $1::uuid", json(page)["id"])
    assert (row["width"], row["height"]) == (1536, 1024)


async def edit(program, fields, files, path="/v1/images/edits", **headers):
    import aiohttp

    form = aiohttp.FormData(list(fields.items()), default_to_multipart=True)
    for name, data in files:
        form.add_field(name, data, filename="a.png", content_type="image/png")
    return await program.send(
        "POST", path, data=form, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )


@pytest.mark.parametrize(
    "files, param",
    [
        ([], "image"),
        ([("image", b"no picture")], "image"),
        ([("image", b"")], "image"),
        ([("image", drawn()[:60])], "image"),
        ([("image[]", drawn())] * 5, "image"),
        ([("image", drawn()), ("mask", masked(10, 10))], "mask"),
        ([("image", drawn()), ("mask", masked(hole=False))], "mask"),
        ([("image", drawn()), ("mask", drawn("JPEG"))], "mask"),
        ([("image", drawn()), ("mask", masked()), ("mask", masked())], "mask"),
        ([("image", drawn()), ("other", drawn())], "other"),
    ],
)
async def test_pictures_that_will_not_do_are_named(alices, db, files, param):
    await has(db, "text", "image", "mask")
    page = await edit(alices, FORM, files)
    assert (page.status, error(page)["param"]) == (400, param), page.text
    assert await db.fetchval("select count(*) from upload") == 0


async def test_how_many_pictures_a_model_takes_is_its_own_data(alices, db):
    await db.execute("update model set options = $1 where id = 'simulator'", {"references": {"min": 0, "max": 40}})
    assert (await edit(alices, FORM, [("image[]", drawn())] * 16, Prefer="respond-async")).status == 202
    page = await edit(alices, FORM, [("image[]", drawn())] * 17)
    assert (page.status, "16" in error(page)["message"], "17" in error(page)["message"]) == (400, True, True)


async def test_a_model_without_eyes(alices, db):
    await has(db, "text")
    page = await edit(alices, FORM, [("image", drawn())])
    assert (page.status, error(page)["code"]) == (400, "unsupported_parameter")


async def test_numbers_and_truths_of_a_form_are_read_as_such(alices):
    for fields, param in (({"n": "1e3"}, "n"), ({"n": "11"}, "n"), ({"n": ""}, "n"), ({"stream": "maybe"}, "stream")):
        page = await edit(alices, FORM | fields, [("image", drawn())])
        assert (page.status, error(page)["param"]) == (400, param)
    assert (await edit(alices, FORM | {"n": "2"}, [("image", drawn())], Prefer="respond-async")).status == 202


async def test_the_same_pictures_under_the_same_name_are_the_same_order(alices, db):
    about = {"Idempotency_Key": "k", "Prefer": "respond-async"}
    first = json(await edit(alices, FORM, [("image", drawn())], **about))
    await has(db, "text")  # whatever has become of its model since
    assert json(await edit(alices, FORM, [("image", drawn())], **about))["id"] == first["id"]
    assert await db.fetchval("select count(*) from upload") == 1
    assert (await edit(alices, FORM, [("image", drawn(width=65))], **about)).status == 422


@pytest.mark.parametrize(
    "body, boundary, status",
    [
        (b"--x--", "", 400),
        (b'--x\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nhalf', "; boundary=x", 400),
        (b"--x\r\n\r\nx\r\n--x--\r\n", "; boundary=x", 400),
        (b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n' * 200_000 + b"--x--\r\n", "; boundary=x", 400),
        (
            b'--x\r\nContent-Disposition: form-data; name="image"; filename="a\x00b"\r\n\r\nx\r\n--x--\r\n',
            "; boundary=x",
            400,
        ),
        (
            b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n' + b"x" * (51 * 2**20),
            "; boundary=x",
            413,
        ),
    ],
)
async def test_a_malformed_form_is_a_plain_refusal(alices, body, boundary, status):
    page = await alices.send(
        "POST", "/v1/images/edits", data=body, headers={"Content-Type": f"multipart/form-data{boundary}"}
    )
    assert page.status in (status, 413)
    assert error(page)["message"]


async def test_json_is_not_how_pictures_are_sent(alices):
    page = await alices.order("/v1/images/edits")
    assert (page.status, error(page)["code"]) == (415, "unsupported_media_type")


async def test_bad_requests_are_the_clients_exception(alices):
    async with alices.openai() as client:
        with pytest.raises(openai.BadRequestError) as caught:
            await client.images.edit(image=("a.png", b"nothing", "image/png"), **FORM)
    assert caught.value.param == "image"


@pytest.mark.parametrize(
    ("form", "code"),
    [({"n": "4"}, "insufficient_quota"), ({"n": "3"}, "rate_limit_exceeded")],
    ids=["no credits", "no place in the queue"],
)
async def test_nothing_is_decoded_or_kept_for_whoever_may_not_order(dsn, tmp_path, db, cast, form, code):
    """A picture that is none would be refused as such, if anybody looked at it."""
    async with studio(dsn, tmp_path, db, work=False, api_queue=2 if code == "rate_limit_exceeded" else 200) as site:
        if code == "insufficient_quota":
            await db.execute("update model set credits = 100 where id = 'simulator'")
        page = await edit(await program(site, cast.alice), FORM | form, [("image", drawn()[:60])])
    assert (page.status, error(page)["code"]) == (429, code)
