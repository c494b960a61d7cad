"""Waiting for an order: what a request does when nothing is told, when it is shut out, and when its process has to stop."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace
from uuid import UUID, uuid4

import anyio
import openai
import orjson
import pytest
from aiohttp import FormData
from aiohttp.test_utils import make_mocked_request
from aiohttp.web import Application

from limner.http.api import tasks
from limner.http.api.waiting import WAITING, Waiting
from limner.http.state import DB, STORAGE
from limner.runtime.opening import open_database
from limner.sql import accounts, answers, jobs, programs
from limner.sql.channels import GENERATION_CHANGED
from limner.sql.tokens import Token
from tests.api.conftest import error, json, program, studio
from tests.faults.unwell import break_down
from tests.http.conftest import drawn
from tests.http.painting import take_up


def too_long(job, picture):
    """An answer of as many bytes as no notification has, though not as many signs."""
    return {"much": "ü" * 4000}


async def asked(alices, pages, **order):
    pages.append(await alices.order(**order))


async def test_an_order_that_was_over_before_anybody_waited(alices, site):
    """Its end is remembered: nobody waits for a notification that has come already."""
    task = json(await alices.order(Prefer="respond-async", Idempotency_Key="k"))
    await (await take_up(site)).deliver()
    assert json(await alices.order(Idempotency_Key="k"))["metadata"]["generation"] == task["id"]


async def test_an_end_that_nobody_told(alices, site, db):
    """A worker of an older image tells changes alone; a slow look finds what it did not tell."""
    pages = []
    async with anyio.create_task_group() as group:
        group.start_soon(asked, alices, pages)
        await site.until(GENERATION_CHANGED, partial(db.fetchval, "select exists (select from job)"))
        generation = await db.fetchval("select id from generation")
        await db.execute("update job set state = 'failed', reason = 'it broke', finished_at = now()")
        await db.execute("update generation set state = 'failed'")
        db.tell(GENERATION_CHANGED, f"{generation} {generation}")
    assert (pages[0].status, "It broke" in error(pages[0])["message"]) == (502, True)


async def test_what_is_told_of_an_end_need_not_be_looked_for_and_says_the_same(alices, site, db, cast, monkeypatch):
    found, pages, texts = [], [], []

    def remembering(text, token_id):
        texts.append(text)
        found.append(order := heard(text, token_id))
        return order

    heard = answers.heard
    monkeypatch.setattr(answers, "heard", remembering)
    looks = []
    monkeypatch.setattr(answers, "_orders", lambda *asked: looks.append(asked))
    async with anyio.create_task_group() as group:
        group.start_soon(asked, alices, pages)
        await site.until(GENERATION_CHANGED, partial(db.fetchval, "select exists (select from job)"))
        await (await take_up(site)).deliver()
    monkeypatch.undo()
    assert (pages[0].status, len(found), looks) == (200, 1, [])
    token_id = await db.fetchval("select api_token_id from generation")
    token = Token(token_id, cast.alice.id, cast.alice.email, [], None, None, 1.0, 0)
    assert found[0] == await answers.order(db, found[0].id, token)
    about = orjson.loads(texts[0])
    assert heard(texts[0], uuid4()) is None
    for otherwise in (about | {"changed_at": 5}, {"token_id": str(token_id)}, about | {"job_id": "1"}, [], "x"):
        assert heard(orjson.dumps(otherwise).decode(), token_id) is None, "as another release tells it"
    stood_still = about | {"changed_at": (datetime.now(UTC) - timedelta(seconds=6)).isoformat()}
    assert heard(orjson.dumps(stood_still).decode(), token_id) is None


@pytest.mark.parametrize("is_told", [True, False])
async def test_somebody_who_is_banned_gets_no_answer(alices, site, db, cast, monkeypatch, is_told):
    if not is_told:
        monkeypatch.setattr(jobs, "_answer", too_long)
    pages = []
    async with anyio.create_task_group() as group:
        group.start_soon(asked, alices, pages)
        await site.until(GENERATION_CHANGED, partial(db.fetchval, "select exists (select from job)"))
        easel = await take_up(site)
        await accounts.ban(db, cast.alice, "spam", actor="test")
        await easel.deliver()
    assert (pages[0].status, error(pages[0])["code"]) == (401, "invalid_api_key")


async def test_a_process_that_has_to_stop_invites_no_second_order(alices, site, db):
    pages = []
    async with anyio.create_task_group() as group:
        group.start_soon(asked, alices, pages)
        group.start_soon(partial(asked, alices, pages, Idempotency_Key="k"))
        await site.until(GENERATION_CHANGED, partial(db.fetchval, "select count(*) = 2 from job"))
        await site.app[WAITING].close(site.app)
    told = {page.status: page for page in pages}
    assert set(told) == {500, 503}
    assert (error(told[500])["code"], told[500].headers["x-should-retry"]) == ("answer_unavailable", "false")
    assert (error(told[503])["code"], told[503].headers["Retry-After"]) == ("server_is_overloaded", "1")
    assert await db.fetchval("select count(*) from job where state = 'queued'") == 2


async def test_nothing_of_a_wait_is_left(working, at_work):
    waiting: Waiting = at_work.app[WAITING]
    json(await working.order())
    assert waiting._watches == {}


UNREADABLE = """
alter table partial rename to elsewhere;
create function unreadable() returns setof elsewhere language plpgsql as $body$
begin
    raise exception 'the database is not well' using errcode = '57P03';
end
$body$;
create view partial as select * from unreadable()
"""


async def test_an_order_of_which_nobody_knows_whether_it_was_taken_invites_no_second_one(alices, db):
    await break_down(db, "insert on generation", "57P01", at_commit=True)
    page = await alices.order(Prefer="respond-async")
    assert (page.status, error(page)["code"]) == (500, "order_unknown")
    assert (page.headers["x-should-retry"], "Retry-After" in page.headers) == ("false", False)
    named = await alices.order(Prefer="respond-async", Idempotency_Key="k")
    assert (named.status, error(named)["code"], named.headers["Retry-After"]) == (503, "server_is_overloaded", "2")


async def test_an_order_whose_answer_is_lost_on_its_way_is_not_ordered_again(alices, db, monkeypatch):
    order = programs.order

    async def cut_off(*asked, **options):
        await order(*asked, **options)
        raise ConnectionResetError("the connection broke")

    monkeypatch.setattr(programs, "order", cut_off)
    pages = []
    with anyio.move_on_after(5):
        await asked(alices, pages)
    assert await db.fetchval("select count(*) from generation") == 1
    assert (pages[0].status, error(pages[0])["code"]) == (500, "order_unknown")
    assert pages[0].headers["x-should-retry"] == "false"


async def refused():
    raise ConnectionRefusedError("no database")


@pytest.mark.parametrize("connect", [refused, anyio.sleep_forever])
async def test_an_order_that_reached_no_database_may_be_sent_again(alices, site, db, monkeypatch, connect):
    await alices.order(Prefer="respond-async")  # what is on offer is known by now
    await site.app[DB].pool.cool()
    monkeypatch.setattr("limner.runtime.pool.PATIENCE", 0.2)
    monkeypatch.setattr(site.app[DB].pool, "behind", SimpleNamespace(acquire=connect))
    page = await alices.order()
    monkeypatch.undo()
    assert (page.status, error(page)["code"], page.headers["Retry-After"]) == (503, "server_is_overloaded", "2")
    assert await db.fetchval("select count(*) from generation") == 1


async def test_a_long_prompt_goes_nowhere_before_it_is_known_whose_it_is(alices, site, db, monkeypatch):
    monkeypatch.setattr("limner.http.api.ordering.MOST_OF_A_STRANGER", 5)
    monkeypatch.setattr(programs, "order", None)
    pages = []
    async with anyio.create_task_group() as group:
        group.start_soon(asked, alices, pages)
        await site.until(GENERATION_CHANGED, partial(db.fetchval, "select exists (select from job)"))
        await (await take_up(site)).deliver()
    assert pages[0].status == 200


@pytest.mark.parametrize("how", ["away", "57014", "53100"])
async def test_a_task_is_accepted_while_nobody_can_look_how_it_stands(alices, site, db, dsn, cast, how):
    """The database is away, breaks the statement off, or its disk is full."""
    generation = UUID(json(await alices.order(Prefer="respond-async"))["id"])
    app = Application()
    async with open_database(dsn, role="test", pool=1) as gone:
        app[DB] = gone if how == "away" else db
    if how != "away":
        await db.execute(UNREADABLE.replace("partial", "generation_reference").replace("57P03", how))
    request = make_mocked_request("POST", "/v1/images/generations", app=app)
    token = Token(uuid4(), cast.alice.id, cast.alice.email, [], None, None, 1.0, 0)
    answer = await tasks.accepted(request, generation, token, "b64_json")
    about = orjson.loads(answer.body)
    assert (answer.status, about["id"], about["poll_url"]) == (202, str(generation), f"/v1/images/tasks/{generation}")


async def test_a_stream_goes_on_when_its_unfinished_pictures_cannot_be_read(alices, site, db):
    pages = []
    async with anyio.create_task_group() as group:
        group.start_soon(partial(asked, alices, pages, stream=True, partial_images=2))
        await site.until(GENERATION_CHANGED, partial(db.fetchval, "select exists (select from job)"))
        easel = await take_up(site)
        await db.execute(UNREADABLE)
        await easel.deliver()
    assert "event: image_generation.completed" in pages[0].body.decode()


async def test_a_program_is_told_before_it_gives_up_and_orders_again(dsn, tmp_path, db, cast):
    """OpenAI's client waits for 600 seconds, and then sends the order twice more, without a name."""
    async with studio(dsn, tmp_path, db, work=False, api_wait=1) as site:
        alices = await program(site, cast.alice)
        async with alices.openai(max_retries=2) as client:
            with pytest.raises(openai.InternalServerError) as caught:
                await client.images.generate(model="simulator", prompt="a red boat", size="512x512")
        generation = await db.fetchval("select id from generation")
        assert caught.value.code == "answer_unavailable"
        assert f"/v1/images/tasks/{generation}" in caught.value.message
        assert await db.fetchval("select count(*) from generation") == 1
        await (await take_up(site)).deliver()
        assert json(await alices.get(f"/v1/images/tasks/{generation}"))["status"] == "completed"


@pytest.fixture
def untold(monkeypatch):
    """What an order came to is too long to be told, so it has to be looked for."""
    monkeypatch.setattr(jobs, "_answer", too_long)


async def test_an_order_whose_end_cannot_be_read_invites_no_second_one(alices, site, db, untold):
    pages = []
    async with anyio.create_task_group() as group:
        group.start_soon(asked, alices, pages)
        await site.until(GENERATION_CHANGED, partial(db.fetchval, "select exists (select from job)"))
        easel = await take_up(site)
        await db.execute(UNREADABLE.replace("partial", "generation_reference").replace("57P03", "57014"))
        await easel.deliver()
    assert (pages[0].status, error(pages[0])["code"]) == (500, "answer_unavailable")
    assert pages[0].headers["x-should-retry"] == "false"


@pytest.mark.parametrize("named", [False, True])
async def test_what_nobody_foresaw_invites_no_second_order_either(alices, site, db, named, untold):
    pages = []
    async with anyio.create_task_group() as group:
        group.start_soon(partial(asked, alices, pages, **({"Idempotency_Key": "k"} if named else {})))
        await site.until(GENERATION_CHANGED, partial(db.fetchval, "select exists (select from job)"))
        easel = await take_up(site)
        await db.execute(UNREADABLE.replace("partial", "generation_reference").replace("57P03", "XX001"))
        await easel.deliver()
    assert pages[0].status == 500
    if named:  # to send it again is to wait for the same order
        assert "x-should-retry" not in pages[0].headers
    else:
        assert (error(pages[0])["code"], pages[0].headers["x-should-retry"]) == ("order_unknown", "false")
        assert "Nothing was charged" not in error(pages[0])["message"]


async def test_the_time_that_an_edit_takes_to_be_stored_is_part_of_the_wait(dsn, tmp_path, db, cast, monkeypatch):
    """The program has waited since it sent its pictures."""
    async with studio(dsn, tmp_path, db, work=False, api_wait=1) as site:
        alices = await program(site, cast.alice)
        put, sent = site.app[STORAGE].put, FormData({"model": "simulator", "prompt": "a red boat"})
        sent.add_field("image", drawn(), filename="a.png", content_type="image/png")
        await db.execute("update model set abilities = '{text,image}' where id = 'simulator'")

        async def slowly(*what):
            await anyio.sleep(1.2)
            return await put(*what)

        monkeypatch.setattr(site.app[STORAGE], "put", slowly)
        pages = []

        async def edit() -> None:
            pages.append(await alices.send("POST", "/v1/images/edits", data=sent))

        async with anyio.create_task_group() as group:
            group.start_soon(edit)
            await site.until(GENERATION_CHANGED, partial(db.fetchval, "select exists (select from job)"))
            monkeypatch.undo()
            await (await take_up(site)).deliver()
    assert (pages[0].status, error(pages[0])["code"]) == (500, "answer_unavailable")


async def test_an_order_that_a_crash_of_the_database_took_along_may_be_sent_again(alices, site, db):
    pages = []
    async with anyio.create_task_group() as group:
        group.start_soon(asked, alices, pages)
        await site.until(GENERATION_CHANGED, partial(db.fetchval, "select exists (select from job)"))
        await site.until(GENERATION_CHANGED, partial(forgotten, db))
        site.app[WAITING]._ends(None)
    assert (pages[0].status, error(pages[0])["code"]) == (503, "server_is_overloaded")
    assert "Nothing was charged" in error(pages[0])["message"]


async def forgotten(db) -> bool:
    """As if Postgres had crashed before the order was on its disk."""
    async with db.transaction() as tx:
        await tx.execute("set local session_replication_role = replica")
        for table in ("message", "job", "generation"):
            await tx.execute(f"delete from {table}")
    return True
