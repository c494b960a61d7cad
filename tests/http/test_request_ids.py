"""One request id from the web to the worker and the bot, in events that tell neither secrets nor prompts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import orjson
import pytest

from limner.actors import courier
from limner.runtime.log import follow, following, request_id
from limner.sql import keys, lost_jobs, notices, pairings
from tests.conftest import settings
from tests.faults.crew import Crew, crew_at, free_port, happens, until
from tests.http.conftest import Browser
from tests.upstreams.openai import FakeOpenAI, Script
from tests.upstreams.telegram import TOKEN, telegram

ASKED = "order-of-the-12345"
PROMPT = "canary-prompt of a heron"
SECRETS = ("sk-canary-key", "s" * 40, "sandbox-secret-for-tests", "limner-test-key", "AACanary")
OURS = r"[0-9a-f]{16}"
CAROL = 7

Event = dict[str, Any]


@pytest.fixture
def crew(dsn, tmp_path) -> Iterator[Crew]:
    with crew_at(dsn, tmp_path) as started:
        yield started


async def serve(crew: Crew, db) -> str:
    """A web process of the crew that answers; its address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    crew.start("web", http_port=port, public_url=url, log_format="json", log_level="info")
    await happens(lambda: crew.said("web", "web_ready"))
    return url


def events(crew: Crew, role: str) -> list[Event]:
    """What a process said: each line is one event."""
    return [orjson.loads(line) for line in crew.log(role).read_text().splitlines()]


def about(crew: Crew, role: str, request: str) -> list[str]:
    """Which events of this role are about the request; each names the process that said it."""
    found = [event for event in events(crew, role) if event.get("request") == request]
    pids = {process.pid for process in crew.processes}
    assert all(event["role"] == role and event["pid"] in pids for event in found)
    return [event["event"] for event in found]


def everything(folder: Path) -> str:
    return "".join(path.read_text() for path in folder.glob("*.log"))


@pytest.mark.timeout(120)
async def test_the_id_of_an_order_is_in_the_lines_of_whoever_has_to_do_with_it(crew, dsn, db, vault, cast, tmp_path):
    async with FakeOpenAI().serve() as painter, aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as web:
        for label in ("first", "second"):
            await keys.add(db, vault, "openai", label, f"sk-canary-key-{label}", actor="test", concurrency=4)
        refusal = {"error": {"message": f"overloaded by {PROMPT!r} of sk-canary-key-first", "type": "server_error"}}
        painter.script("sk-canary-key-first", Script(500, refusal))
        painter.script("sk-canary-key-second", Script(500, refusal))
        url = await serve(crew, db)
        browser = Browser(SimpleNamespace(db=db, url=url, address=aiohttp.client.URL(url)), web)
        session = await browser.sign_in(cast.alice)
        csrf = await browser.csrf()
        crew.start("worker", openai_url=painter.base_url, log_format="json", log_level="info")
        first = await order(browser, {"X-Request-Id": ASKED})
        second = await order(browser, {"X-Request-Id": "a"})
        await until(dsn, "select count(*) = 2 from job where state = 'delivered'", within=60)
        await db.execute("alter table preview rename to mislaid")  # a bug: the handler crashes, and is tried again
        third = await order(browser, {})
        await happens(lambda: crew.said("worker", "handler_crashed"))
        await db.execute("alter table mislaid rename to preview")
        await happens(lambda: crew.log("worker").read_text().count('"delivered"') == 3)

    assert first == ASKED
    assert re.fullmatch(OURS, second)
    assert len({first, second, third}) == 3
    assert about(crew, "worker", third)[:2] == ["painted", "handler_crashed"]
    for request in (first, second, third):
        assert about(crew, "web", request) == ["ordered", "answered"]
        assert {"painted", "delivered"} <= set(about(crew, "worker", request))
    failed = [event for event in events(crew, "worker") if event["event"] == "attempt_failed"]
    assert failed
    assert {event["request"] for event in failed} <= {first, second}
    said = everything(tmp_path)
    assert [word for word in (PROMPT, "heron", session, csrf, *SECRETS) if word in said] == []


async def order(browser: Browser, headers: dict[str, str]) -> str:
    """Order a picture; the id that the answer carries."""
    asked = {"thread": "", "prompt": PROMPT, "model": "gpt-image-2", "size": "1024x1024", "count": "1"}
    page = await browser.post("/generations", asked, headers=headers)
    assert page.status == 303, page.text
    return page.headers["X-Request-Id"]


@pytest.mark.parametrize(
    "sent",
    [
        "short-7",
        "x" * 65,
        "with space in it",
        'quote"quote"quote',
        "under_score_1",
        "newline\\nnewline",
        "späße-späße",
        "<script>alert(1)</script>",
        "{jndi:ldap}12345",
        "telegram-1001",
        "",
    ],
)
async def test_a_name_that_is_none_is_replaced(stranger, sent):
    page = await stranger.send("GET", "/nothing", headers={"X-Request-Id": sent})
    assert re.fullmatch(OURS, page.headers["X-Request-Id"])
    assert page.headers["X-Request-Id"] in page.text
    assert not sent or sent not in page.text


async def test_two_names_are_none(stranger):
    page = await stranger.send("GET", "/", headers=[("X-Request-Id", ASKED), ("X-Request-Id", ASKED)])
    assert re.fullmatch(OURS, page.headers.getone("X-Request-Id"))


@pytest.mark.parametrize("sent", [ASKED, "a1B2-c3D", "A" * 64, "3f0e8ac2-4f41-4c35-8f0c-b3a9a3f0e0d1"])
async def test_a_callers_name_is_kept_on_pages_redirects_and_errors(alice, sent):
    for path, status in (("/", 200), ("/nothing", 404), ("/static/0123456789ab/nothing.css", 404)):
        page = await alice.get(path, X_Request_Id=sent)
        assert (page.status, page.headers["X-Request-Id"]) == (status, sent)
    assert sent in (await alice.get("/nothing", X_Request_Id=sent)).text
    answer = await alice.get("/nothing", X_Request_Id=sent, Accept="application/json")
    assert orjson.loads(answer.body)["error"]["request_id"] == sent


async def test_the_order_keeps_the_id_of_its_first_request(alice, db):
    first = await alice.order(idempotency_key="7f6f3c9e-0000-4000-8000-000000000007")
    again = await alice.order(idempotency_key="7f6f3c9e-0000-4000-8000-000000000007")
    assert first.location == again.location
    kept = await db.fetch("select request_id, traceparent from generation")
    assert len(kept) == 1
    assert kept[0]["request_id"] == first.headers["X-Request-Id"] != again.headers["X-Request-Id"]
    assert kept[0]["traceparent"] is None  # nobody traces here


async def test_a_job_that_ends_by_itself_is_found_by_its_order(alice, db, capsys):
    page = await alice.order()
    await db.execute("update job set deadline = now()")
    capsys.readouterr()
    assert len(await lost_jobs.end(db)) == 1
    (line,) = [line for line in plain(capsys.readouterr().out) if "not_delivered" in line]
    assert f"request={page.headers['X-Request-Id']}" in line
    assert "it took too long" in line


async def test_what_an_update_of_the_bot_causes_is_delivered_under_its_id(dsn, db, tmp_path, capsys):
    async with telegram() as fake, aiohttp.ClientSession() as session:
        with following("telegram-1001"):
            await notices.queue(db, "telegram", str(CAROL), "canary-notice")
        await notices.queue(db, "telegram", str(CAROL), "nobody asked")
        assert await db.fetchval("select array_agg(request_id order by id) from notice") == ["telegram-1001", None]
        config = settings(dsn, tmp_path, bot_token=TOKEN, telegram_url=fake.url)
        assert await courier.deliver(db, config, session) == 2
    asked, other = [line for line in plain(capsys.readouterr().out) if "notice_sent" in line]
    assert "request=telegram-1001" in asked
    assert "request" not in other
    assert "canary" not in asked + other


@pytest.mark.timeout(120)
async def test_each_update_of_the_bot_has_an_id_in_what_the_bot_says_about_it(crew, db):
    async with telegram() as fake:
        await pairings.confirm(db, await pairings.ask(db, CAROL, "Carol"), actor="cli")
        fake.refuse("sendPhoto", 400, "Bad Request: canary")
        process = crew.start("bot", bot_token=TOKEN, telegram_url=fake.url, log_format="json")
        update = await fake.say(CAROL, "/start canary-command")
        await happens(lambda: crew.said("bot", "answer_refused"), within=90)
        process.kill()  # else Telegram would wait for the end of its poll
    assert about(crew, "bot", f"telegram-{update}") == ["answer_refused"]
    said = crew.log("bot").read_text()
    assert "canary-command" not in said
    assert TOKEN not in said


def test_a_task_follows_one_request_at_a_time():
    follow("first-request")
    assert request_id() == "first-request"
    with following(None):
        assert request_id() == "first-request"
    with following("second-request"):
        assert request_id() == "second-request"
    assert request_id() == "first-request"
    follow(None)
    assert request_id() is None


def plain(text: str) -> list[str]:
    """Lines without colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()
