"""The synchronous client, unmodified, in a thread of its own: orders, edits, streams, and its exceptions."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import openai
import pytest
from anyio import to_thread

from limner.runtime.vault import Vault
from limner.sql import keys
from tests.api.conftest import program, studio
from tests.api.test_edits import masked
from tests.conftest import held
from tests.http.conftest import drawn
from tests.upstreams.openai import FakeOpenAI, Script
from tests.upstreams.openai import error as refusal

ASKED = {"model": "gpt-image-2", "prompt": "a red boat", "size": "1024x1024"}
SECRET = "sk-upstream-0123456789"
BLOCKED = Script(400, refusal("moderation_blocked", "No.", "image_generation_user_error"))


@pytest.fixture
async def fake():
    async with held(FakeOpenAI().serve()) as upstream:
        yield upstream


@pytest.fixture
async def ask(dsn, tmp_path, db, cast, fake):
    """What a program of Alice does with the client, beside the studio and a painter that speaks OpenAI's protocol."""
    await db.execute("update model set abilities = '{text,image,mask}' where id = 'gpt-image-2'")
    async with held(studio(dsn, tmp_path, db, openai_url=fake.base_url)) as site:
        await keys.add(db, Vault.from_config(site.config), "openai", "main", SECRET, actor="test", concurrency=8)
        alices = await program(site, cast.alice)

        async def run(work: Callable[[openai.OpenAI], Any], **options: Any) -> Any:
            def with_client() -> Any:
                given = {"base_url": f"{site.url}/v1", "api_key": alices.token, "max_retries": 2} | options
                with openai.OpenAI(**given) as client:
                    return work(client)

            return await to_thread.run_sync(with_client)

        yield run


@pytest.mark.parametrize("count", [1, 4])
async def test_pictures(ask, count):
    answer = await ask(lambda client: client.images.generate(**ASKED, n=count))
    assert len(answer.data) == count
    assert base64.b64decode(answer.data[0].b64_json).startswith(b"\x89PNG")


@pytest.mark.parametrize("pictures", [1, 2])
async def test_an_edit_with_pictures_and_a_mask(ask, fake, pictures):
    sent = [(f"{n}.png", drawn(width=64 + n), "image/png") for n in range(pictures)]
    image, mask = sent if pictures > 1 else sent[0], ("m.png", masked(), "image/png")
    answer = await ask(lambda client: client.images.edit(image=image, mask=mask, **ASKED))
    assert len(answer.data) == 1
    assert [name for name, _, _ in fake.asked[-1].files] == ["image[]"] * pictures + ["mask"]


async def test_a_stream_with_unfinished_pictures(ask):
    events = await ask(lambda client: list(client.images.generate(**ASKED, stream=True, partial_images=2)))
    assert [event.type.partition(".")[2] for event in events] == ["partial_image", "partial_image", "completed"]
    image = ("a.png", drawn(), "image/png")
    events = await ask(lambda client: list(client.images.edit(**ASKED, image=image, stream=True, partial_images=1)))
    assert [event.type for event in events] == ["image_edit.partial_image", "image_edit.completed"]


async def test_a_stream_that_fails_ends_in_its_exception(ask, fake):
    fake.script(SECRET, BLOCKED)
    with pytest.raises(openai.APIError) as caught:
        await ask(lambda client: list(client.images.generate(**ASKED, stream=True)))
    assert caught.value.code == "moderation_blocked"


@pytest.mark.parametrize(
    ("kind", "asked", "code"),
    [
        (openai.BadRequestError, {"n": 11}, "integer_above_max_value"),
        (openai.NotFoundError, {"model": "dall-e-9"}, "model_not_found"),
        (openai.BadRequestError, {"script": BLOCKED}, "moderation_blocked"),
        (openai.InternalServerError, {"script": Script(body={"data": [{}]})}, "no_image"),
        (openai.RateLimitError, {"broke": True}, "insufficient_quota"),
        (openai.AuthenticationError, {"api_key": "lim_x"}, "invalid_api_key"),
        (openai.UnprocessableEntityError, {"twice": True}, "idempotency_key_reused"),
    ],
)
async def test_its_exceptions(ask, fake, db, kind, asked, code):
    """With its own retries on; it orders nothing twice."""
    asked = dict(asked)
    if script := asked.pop("script", None):
        fake.script(SECRET, script)
    if asked.pop("broke", False):
        await db.execute("update balance set available = 0")
    if asked.pop("twice", False):
        asked["extra_headers"] = {"Idempotency-Key": "k"}
        await ask(lambda client: client.images.generate(**ASKED | asked | {"prompt": "another"}))
    options = {"api_key": asked.pop("api_key")} if "api_key" in asked else {}
    with pytest.raises(kind) as caught:
        await ask(lambda client: client.images.generate(**ASKED | asked), **options)
    assert (type(caught.value), caught.value.code) == (kind, code)
    assert await db.fetchval("select count(*) from generation") <= 1
