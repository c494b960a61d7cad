"""The courier: each notice once, pauses kept, hopeless ones put aside, and the token nowhere to be read."""

from __future__ import annotations

import asyncio

import aiohttp
import anyio
import pytest
from pydantic import SecretStr

from limner.actors import courier
from limner.runtime.errors import Busy
from limner.sql import deliveries, notices
from tests.bot.conftest import CAROL
from tests.upstreams.telegram import TOKEN


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as opened:
        yield opened


async def queue(db, *bodies: str, recipient: str = str(CAROL)) -> None:
    for body in bodies:
        await notices.queue(db, "telegram", recipient, body)


async def waiting(db) -> int:
    return await db.fetchval("select count(*) from notice where sent_at is null and failed_at is null")


async def test_notices_go_out_in_order_and_once(fake, db, config, session):
    await queue(db, "one <b>", "two")
    assert await courier.deliver(db, config, session) == 2
    assert await courier.deliver(db, config, session) == 0
    assert [call.args["text"] for call in fake.of("sendMessage")] == ["one <b>", "two"]
    assert fake.of("sendMessage")[0].args["chat_id"] == str(CAROL)
    assert "parse_mode" not in fake.of("sendMessage")[0].args


async def test_many_couriers_deliver_each_once(fake, db, config, session):
    await queue(db, *[f"number {number}" for number in range(30)])
    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(courier.deliver, db, config, session)
    texts = [call.text for call in fake.of("sendMessage")]
    assert len(texts) == 30 == len(set(texts)) and await waiting(db) == 0


async def test_a_pause_that_telegram_asks_for_postpones_all(fake, db, config, session):
    await queue(db, "one", "two")
    fake.refuse("sendMessage", 429, retry_after=17)
    with pytest.raises(Busy) as later:
        await courier.deliver(db, config, session)
    assert later.value.after == 17.0
    assert await waiting(db) == 2 and len(fake.of("sendMessage")) == 1
    assert await courier.deliver(db, config, session) == 2


@pytest.mark.parametrize(
    ("status", "why"), [(403, "Forbidden: bot was blocked by the user"), (400, "Bad Request: chat not found")]
)
async def test_one_that_nobody_can_get_fails_with_its_reason_and_holds_up_nobody(
    fake, db, config, session, status, why
):
    await queue(db, "one", "two")
    fake.refuse("sendMessage", status, why)
    assert await courier.deliver(db, config, session) == 1
    row = await db.fetchrow("select error from notice where failed_at is not null")
    assert row["error"] == why and await waiting(db) == 0


@pytest.mark.parametrize("status", [401, 404, 500, 502])
async def test_troubles_of_the_whole_bot_lose_no_notice(fake, db, config, session, status):
    await queue(db, "one")
    fake.refuse("sendMessage", status)
    with pytest.raises(Busy):
        await courier.deliver(db, config, session)
    assert await courier.deliver(db, config, session) == 1


async def test_an_unreachable_telegram_loses_no_notice_and_tells_no_token(db, config, session):
    await queue(db, "one")
    for address in ("http://127.0.0.1:1", "http://127.0.0.1:99999"):
        with pytest.raises(Busy) as later:
            await courier.deliver(db, config.model_copy(update={"telegram_url": address}), session)
        assert TOKEN.split(":")[1] not in f"{later.value!r} {later.value.__cause__!r}"
    assert await waiting(db) == 1


async def test_nothing_is_locked_while_a_notice_is_on_its_way(fake, db, config, session):
    """Postgres ends a transaction that idles for some seconds; Telegram may take longer than that."""
    await queue(db, "one")
    fake.stall("sendMessage")
    async with anyio.create_task_group() as group:
        group.start_soon(courier.deliver, db, config, session)
        with anyio.fail_after(30):
            await fake.stalled.wait()
        idle = "select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'"
        assert await db.fetchval(idle) == 0
        assert await courier.deliver(db, config, session) == 0, "somebody has set out with it"
        fake.go_on()
    assert await waiting(db) == 0 and len(fake.of("sendMessage")) == 1


async def test_a_notice_whose_courier_was_killed_comes_back_and_the_killed_one_says_nothing_more(
    fake, db, config, session
):
    await queue(db, "one")
    killed = await notices.take(db, "telegram", 30)
    assert killed is not None and await courier.deliver(db, config, session) == 0
    await db.execute("update notice set next_at = now()")
    again = await notices.take(db, "telegram", 30)
    assert again is not None
    await deliveries.failed(db, killed, "late")
    assert not await deliveries.sent(db, killed) and await deliveries.sent(db, again)


async def test_a_long_notice_is_cut_to_what_telegram_takes(fake, db, config, session):
    await notices.queue(db, "telegram", str(CAROL), "x" * 9000, subject="Subject")
    await courier.deliver(db, config, session)
    assert fake.of("sendMessage")[0].text.startswith("Subject\n\nxxx") and len(fake.of("sendMessage")[0].text) == 4096


async def test_without_a_token_notices_wait(fake, db, config, session):
    await queue(db, "one")
    assert await courier.deliver(db, config.model_copy(update={"bot_token": None}), session) == 0
    assert await waiting(db) == 1


async def test_mail_is_not_the_telegram_couriers_business(fake, db, config, session):
    await notices.queue(db, "mail", "carol@example.com", "one")
    assert await courier.deliver(db, config, session) == 0
    assert fake.calls == []


async def test_a_proxy_for_telegram_alone_is_used(fake, db, config, session):
    came_through = []

    async def relay(reader, writer) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        came_through.append(head.split(b"\r\n")[0])
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    proxy = await asyncio.start_server(relay, "127.0.0.1", 0)
    port = proxy.sockets[0].getsockname()[1]
    await queue(db, "one")
    async with proxy:
        through = config.model_copy(update={"telegram_proxy": SecretStr(f"http://carol:hunter2@127.0.0.1:{port}")})
        with pytest.raises(Busy) as later:
            await courier.deliver(db, through, session)
    assert came_through[0].startswith(b"CONNECT 127.0.0.1:")
    assert "hunter2" not in repr(later.value) and fake.calls == [] and await waiting(db) == 1
