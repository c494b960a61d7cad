"""The same twenty secrets, looked for in what programs get: answers at once, tasks, streams and errors of /v1."""

from __future__ import annotations

from uuid import UUID

import anyio
import pytest

from limner.http.api.catalogue import CATALOGUE
from limner.sql import generations
from tests.api.conftest import error, json, program
from tests.conftest import held
from tests.faults.crew import until
from tests.http.conftest import Page, serving
from tests.pool.test_secrets import FAULTS, KEYS, SECRETS, seed
from tests.upstreams.openai import FakeOpenAI, Script, event
from tests.upstreams.proxy import fake_proxy

ASKED = {"model": "gpt-image-2", "size": "1024x1024"}
ALONE = """
with rested as (delete from key_rest), settled as (delete from group_rest), opened as (delete from route_rest)
update provider_key set state = case when label = 'key ' || $1::int then 'active' else 'disabled' end
"""
TRIED = """
select exists (select from attempt as a join job as j on j.id = a.job_id join generation as g on g.id = j.generation_id
    where g.prompt = $1 and a.fault is not null)
"""
ORDER = "select id from generation where prompt = $1"
STATUSES = {400, 409, 502}
"""What programs make of all these faults: refused, canceled while the only key rested, and no picture."""


@pytest.fixture
async def upstream():
    async with held(FakeOpenAI().serve()) as fake:
        yield fake


@pytest.fixture
async def alices(dsn, tmp_path, db, cast, upstream):
    async with held(fake_proxy()) as way, held(serving(dsn, tmp_path, db, work=True)) as site:
        await seed(site, upstream, way)
        await db.execute("update plan set concurrency = 20")
        yield await program(site, cast.alice)


async def alone(alices, number: int) -> None:
    """From now on there is this key and no other, and it rests no more."""
    await alices.site.db.execute(ALONE, number)
    alices.site.app[CATALOGUE]._forget(None)


async def tried(alices, prompt: str) -> UUID:
    """When the key was asked for it: what is not over then will never be, for there is no other. Returns the order."""
    db = alices.site.db
    await until(db.dsn, TRIED, prompt)
    order: UUID = await db.fetchval(ORDER, prompt)
    account = await db.fetchval("select account_id from generation where id = $1", order)
    await generations.cancel(db, order, account)
    return order


async def streamed(alices, number: int) -> Page:
    pages, prompt = [], f"streamed {number}"
    await alone(alices, number)
    async with anyio.create_task_group() as group:

        async def ask() -> None:
            pages.append(await alices.order(**ASKED, prompt=prompt, stream=True, partial_images=2))

        group.start_soon(ask)
        await tried(alices, prompt)
    return pages[0]


async def as_task(alices, number: int) -> list[Page]:
    """Accepted, looked at when it is over, and asked for once more by whoever waits."""
    prompt, name = f"task {number}", {"Idempotency_Key": f"k-{number}"}
    await alone(alices, number)
    accepted = await alices.order(**ASKED, prompt=prompt, Prefer="respond-async", **name)
    order = await tried(alices, prompt)
    over = "select state not in ('queued', 'running') from generation where id = $1"
    await until(alices.site.db.dsn, over, order)
    return [
        accepted,
        await alices.get(f"/v1/images/tasks/{order}"),
        await alices.order(**ASKED, prompt=prompt, **name),
    ]


async def test_no_answer_of_the_api_tells_one(alices, upstream):
    pages, statuses = [], set()
    for number in range(len(FAULTS)):
        pages.append(await streamed(alices, number))
        pages += await as_task(alices, number)
        statuses.add(pages[-1].status)
        assert pages[-4].text.count("event: error") == 1, "the stream ended with a word about it"
        assert error(pages[-1])["param"] is None
        assert json(pages[-2])["http_status"] == pages[-1].status
    assert statuses == STATUSES
    assert {asked.key for asked in upstream.asked} == set(KEYS)
    found(pages)


async def test_no_stream_tells_what_an_upstream_says_in_mid_stream(alices, upstream):
    secret = KEYS[0]
    words = {"message": f"Bearer {secret} is no good", "type": "server_error", "code": secret, "param": secret}
    upstream.scripts[secret].clear()
    upstream.script(secret, Script(body=(event("error", error=words),), headers={"Content-Type": "text/event-stream"}))
    found([await streamed(alices, 0)])


def found(pages: list[Page]) -> None:
    for page in pages:
        told = f"{page.headers}\n{page.text}"
        for secret in SECRETS:
            assert secret not in told, f"{secret} in {told[:600]}"
