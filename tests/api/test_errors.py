"""Every error in OpenAI's envelope, and as the exception that OpenAI's client makes of it."""

from __future__ import annotations

import anyio
import openai
import orjson
import pytest

from limner.runtime.vault import Vault
from limner.sql import keys
from tests.api.conftest import JSON, error, json, program, studio, switch
from tests.http.conftest import available


async def refused(client, kind, **asked):
    async with client:
        with pytest.raises(kind) as caught:
            await client.images.generate(**{"model": "simulator", "prompt": "a red boat", "size": "512x512"} | asked)
    return caught.value


async def test_a_wrong_key(alices):
    why = await refused(alices.openai(api_key="lim_" + "x" * 43), openai.AuthenticationError)
    assert (why.status_code, why.code, why.type) == (401, "invalid_api_key", "invalid_request_error")


@pytest.mark.parametrize(
    "sent",
    ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer lim_x", "lim_" + "x" * 43, "Bearer '; drop table account; --"],
)
async def test_no_key_at_all(alices, sent):
    page = await alices.send("GET", "/v1/models", headers={"Authorization": sent})
    assert (page.status, error(page)["code"], page.headers["WWW-Authenticate"]) == (401, "invalid_api_key", "Bearer")


async def test_a_session_is_no_key(alices, site, cast):
    browser = await site.browser(cast.alice)
    for path in ("/v1/models", "/v1/images/tasks/00000000-0000-0000-0000-000000000007"):
        assert (await browser.get(path)).status == 401
    assert "Set-Cookie" not in (await browser.get("/v1/models")).headers


async def test_an_unknown_model(alices):
    why = await refused(alices.openai(), openai.NotFoundError, model="dall-e-9")
    assert (why.code, why.param, "dall-e-9" in why.message) == ("model_not_found", "model", True)


@pytest.mark.parametrize(
    "asked, param, code",
    [
        ({"prompt": ""}, "prompt", "string_below_min_length"),
        ({"prompt": "x" * 4001}, "prompt", "string_above_max_length"),
        ({"prompt": "x" * 32_001}, "prompt", "string_above_max_length"),
        ({"n": 11}, "n", "integer_above_max_value"),
        ({"n": 0}, "n", "integer_below_min_value"),
        ({"size": "7x7"}, "size", "invalid_value"),
        ({"response_format": "png"}, "response_format", "invalid_value"),
        ({"quality": "high"}, "quality", "unsupported_parameter"),
        ({"style": "vivid"}, "style", "unsupported_parameter"),
        ({"extra_body": {"base_url": "http://127.0.0.1:1/"}}, "base_url", "unknown_parameter"),
        ({"extra_body": {"user_id": 1}}, "user_id", "unknown_parameter"),
    ],
)
async def test_a_wrong_parameter_is_named_with_its_value(alices, asked, param, code):
    why = await refused(alices.openai(), openai.BadRequestError, **asked)
    assert (why.status_code, why.type, why.param, why.code) == (400, "invalid_request_error", param, code)


@pytest.mark.parametrize("value", [-1, 0, 1_000_000_000, 1e9, 1.5, "1e3", "1", True, [], {}, 10**30])
async def test_a_strange_count_is_refused(alices, value):
    page = await alices.send("POST", "/v1/images/generations", data=_json({"prompt": "x", "n": value}), headers=JSON)
    assert (page.status, error(page)["param"]) == (400, "n") if value != 10**30 else page.status == 400


def _json(body) -> bytes:
    import json as plain

    return plain.dumps(body).encode()


@pytest.mark.parametrize(
    "body, headers, status",
    [
        (b"", JSON, 400),
        (b"[]", JSON, 400),
        (b"null", JSON, 400),
        (b'"x"', JSON, 400),
        (b"{", JSON, 400),
        (b'{"prompt": NaN}', JSON, 400),
        (b'{"prompt": "\\ud800"}', JSON, 400),
        (b'{"prompt": "a\\u0000b"}', JSON, 400),
        (b'{"prompt": "\xff"}', JSON, 400),
        (b"[" * 100_000 + b"]" * 100_000, JSON, 400),
        (b'{"prompt": {"a": ' * 10_000, JSON, 400),
        (b" " * 1_000_000, JSON, 413),
        (b"{}", {"Content-Type": "application/json; charset=klingon"}, 415),
        (b"{}", {"Content-Type": "text/plain"}, 415),
        (b"{}", {"Content-Type": ";;;=;"}, 415),
        (b"prompt=x", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        (b"x", JSON | {"Content-Encoding": "gzip"}, 400),
        (b"{}", JSON, 400),
    ],
)
async def test_no_body_is_more_than_a_refusal(alices, body, headers, status):
    page = await alices.send("POST", "/v1/images/generations", data=body, headers=headers)
    assert page.status == status
    assert error(page)["message"]


@pytest.mark.parametrize(
    "method, path, status, code",
    [
        ("GET", "/v1/nothing", 404, "unknown_url"),
        ("GET", "/v1", 404, "unknown_url"),
        ("GET", "/v1/", 404, "unknown_url"),
        ("POST", "/v1/chat/completions", 404, "unknown_url"),
        ("PUT", "/v1/models", 405, "method_not_allowed"),
        ("GET", "/v1/images/generations", 405, "method_not_allowed"),
        ("GET", "/v1/images/tasks/x", 404, "not_found"),
        ("GET", "/v1/images/tasks/%00", 404, "not_found"),
        ("GET", "/v1/models/nothing", 404, "model_not_found"),
        ("GET", "/v1/files/x", 404, "not_found"),
    ],
)
async def test_nothing_under_v1_is_a_page(alices, method, path, status, code):
    page = await alices.send(method, path, headers={"Accept": "text/html"})
    assert (page.status, error(page)["code"]) == (status, code)
    assert page.headers["X-Request-Id"]


async def test_a_crash_tells_nothing_of_what_is_inside(alices, db):
    await db.execute("alter table model rename to mislaid")
    page = await alices.get("/v1/models")
    assert (page.status, error(page)["type"]) == (500, "server_error")
    assert "mislaid" not in page.text
    assert "relation" not in page.text


async def test_what_the_painter_refuses_is_moderation_and_costs_nothing(working, at_work, db, cast):
    before = await available(db, cast.alice)
    await switch(at_work, "moderation_input")
    why = await refused(working.openai(max_retries=2), openai.BadRequestError)
    assert (why.code, why.type) == ("moderation_blocked", "image_generation_user_error")
    assert why.body["moderation_details"] == {"moderation_stage": "input", "categories": []}
    assert await available(db, cast.alice) == before
    assert await db.fetchval("select count(*) from generation") == 1


@pytest.mark.parametrize(
    "fault, kind, status",
    [
        ("moderation_output", openai.BadRequestError, 400),
        ("invalid_request", openai.BadRequestError, 400),
        ("no_image", openai.InternalServerError, 502),
    ],
)
async def test_what_failed_for_good_is_not_tried_again_by_the_client(working, at_work, db, fault, kind, status):
    await keys.add(db, Vault.from_config(at_work.config), "simulator", "second", "simulator-key-2", actor="test")
    await switch(at_work, fault)
    why = await refused(working.openai(max_retries=2), kind)
    assert why.status_code == status
    assert "Nothing was charged" in why.message
    assert await db.fetchval("select count(*) from generation") == 1


async def test_a_pool_that_rests_is_overloaded_and_nothing_is_ordered(alices, site, db):
    await db.execute("update provider_key set state = 'cooldown', rests_until = now() + interval '40 seconds'")
    why = await refused(alices.openai(), openai.InternalServerError)
    assert (why.status_code, why.code, why.type) == (503, "server_is_overloaded", "service_unavailable_error")
    assert 30 <= int(why.response.headers["retry-after"]) <= 40
    assert await db.fetchval("select count(*) from generation") == 0
    page = await alices.order(Prefer="respond-async")
    assert page.status == 202


async def test_no_credits_left_is_a_quota_that_the_client_does_not_retry(alices, db, cast):
    await db.execute("update balance set available = 0 where account_id = $1", cast.alice.id)
    seen = await _requests(db)
    why = await refused(alices.openai(max_retries=3), openai.RateLimitError)
    assert (why.code, why.type) == ("insufficient_quota", "insufficient_quota")
    assert await _requests(db) == seen + 1


async def _requests(db) -> int:
    """How many have counted against the minute."""
    left = await db.fetchval("select left_over from api_rate")
    return 0 if left is None else round(600 - left)


async def test_too_many_requests_are_slowed_down_and_the_client_comes_back_by_itself(dsn, tmp_path, db, cast):
    async with studio(dsn, tmp_path, db, api_rpm=60) as site:
        alices = await program(site, cast.alice)
        assert (await alices.order()).headers["x-ratelimit-remaining-requests"] == "59"
        await db.execute("update api_rate set left_over = -0.5, touched_at = now()")
        page = await alices.order()
        assert (page.status, error(page)["code"]) == (429, "rate_limit_exceeded")
        assert (page.headers["retry-after"], page.headers["x-ratelimit-limit-requests"]) == ("1", "60")
        assert page.headers["x-ratelimit-remaining-requests"] == "0"
        assert page.headers["x-ratelimit-reset-requests"].endswith("s")
        async with alices.openai(max_retries=2) as client:
            assert (await client.images.generate(model="simulator", prompt="x", size="512x512")).data


async def test_the_client_tries_a_breakdown_again_by_itself(alices, db):
    seen = []

    async def mend(response):
        seen.append(response.status_code)
        if response.status_code == 500:
            await db.execute("alter table mislaid rename to model")

    await db.execute("alter table model rename to mislaid")
    http = openai.DefaultAsyncHttpxClient(event_hooks={"response": [mend]})
    async with alices.openai(max_retries=2, http_client=http) as client:
        assert (await client.models.retrieve("simulator")).id == "simulator"
    assert seen == [500, 200]


async def test_a_full_queue_takes_no_more(dsn, tmp_path, db, cast):
    async with studio(dsn, tmp_path, db, work=False, api_queue=3) as site:
        alices = await program(site, cast.alice)
        assert (await alices.order(n=3, Prefer="respond-async")).status == 202
        page = await alices.order(Prefer="respond-async")
        assert (page.status, error(page)["code"]) == (429, "rate_limit_exceeded")
        assert json(await alices.get("/v1/models"))


async def test_a_name_that_was_used_for_something_else(alices):
    first = await alices.order(Idempotency_Key="k-1", Prefer="respond-async")
    assert first.status == 202
    async with alices.openai() as client:
        with pytest.raises(openai.UnprocessableEntityError) as caught:
            await client.images.generate(
                model="simulator", prompt="another", size="512x512", extra_headers={"Idempotency-Key": "k-1"}
            )
    assert caught.value.code == "idempotency_key_reused"


@pytest.mark.parametrize(
    "name", ["Authorization", "Idempotency-Key", "Prefer", "User-Agent", "X-Forwarded-For", "Accept"]
)
async def test_no_header_crashes_it(alices, name):
    for value in ("'; drop table api_token; --", "%s%n", "é", "x" * 4000, "\udcff"):
        page = await alices.send(
            "POST",
            "/v1/images/generations?async=true",
            data=orjson.dumps({"prompt": "x"}),
            headers={**JSON, name: value},
        )
        assert page.status < 500, (name, value)


async def test_orders_that_come_at_once_do_not_pass_the_queue_together(dsn, tmp_path, db, cast):
    pages = []

    async def order(alices):
        pages.append(await alices.order(Prefer="respond-async"))

    async with studio(dsn, tmp_path, db, work=False, api_queue=3) as site:
        alices = await program(site, cast.alice)
        async with anyio.create_task_group() as group:
            for _ in range(12):
                group.start_soon(order, alices)
    assert sorted(page.status for page in pages) == [202] * 3 + [429] * 9
    refused = next(page for page in pages if page.status == 429)
    assert (error(refused)["code"], refused.headers["Retry-After"]) == ("rate_limit_exceeded", "5")
    assert await db.fetchval("select count(*) from job") == 3


async def test_a_size_of_a_shape_that_is_not_painted_is_refused_and_not_dropped(alices):
    page = await alices.order(size=None, aspect_ratio="16:9", image_size="4K")
    assert (page.status, error(page)["param"]) == (400, "image_size")
    assert "1344x768" in error(page)["message"]


@pytest.mark.parametrize(
    "name, value",
    [
        ("api_base", "http://127.0.0.1:1"), ("base_url", "http://127.0.0.1:1"), ("proxy", "http://127.0.0.1:1"),
        ("api_key", "sk-another"), ("extra_headers", {"Authorization": "Bearer x"}), ("organization", "org-1"),
    ],
)  # fmt: skip
async def test_nobody_says_where_his_order_goes(alices, db, name, value):
    page = await alices.order(**{name: value})
    assert (page.status, error(page)["param"], error(page)["code"]) == (400, name, "unknown_parameter")
    page = await alices.order(model="http://127.0.0.1:1/v1")
    assert (page.status, error(page)["code"]) == (404, "model_not_found")
    assert await db.fetchval("select count(*) from generation") == 0
