"""A bot beside a Telegram that stands outside: Carol's phone has the id 7, a stranger's 13."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from limner.actors.bot.menus.screen import PAGE
from limner.actors.bot.poller import Poller
from limner.actors.bot.reader import Reader
from limner.actors.bot.telegram import Telegram
from limner.runtime.config import Config
from limner.runtime.database import Database
from limner.runtime.presence import Presence
from limner.sql import accounts, alerts, broadcasts, codes, funds, generations, invoices, pairings, payments, plans
from limner.sql import telegram as books
from limner.sql.accounts import LOCALES
from limner.sql.alerts import Trouble
from limner.sql.generations import Order
from limner.sql.models import Size
from tests.conftest import settings
from tests.upstreams.telegram import TOKEN, Call, FakeTelegram, telegram

CAROL = 7
STRANGER = 13


@pytest.fixture
async def fake() -> AsyncIterator[FakeTelegram]:
    async with telegram() as served:
        yield served


@pytest.fixture
def config(dsn: str, tmp_path: Path, fake: FakeTelegram) -> Config:
    return settings(dsn, tmp_path, bot_token=TOKEN, telegram_url=fake.url)


@pytest.fixture
async def carol(db: Database) -> books.Admin:
    """Carol's phone, paired."""
    return await pairings.confirm(db, await pairings.ask(db, CAROL, "Carol"), actor="cli")


@pytest.fixture
async def busy_studio(db, cast):
    """One of each thing that a menu shows: alerts, keys in every state, a fund, processes, a backup that failed, orders,
    invoices, codes, broadcasts, somebody who is banned."""
    rules = enumerate(("no_worker", "queue_waits", "disk_full", "key_lost", "balance_low"))
    await alerts.see(db, [Trouble(rule, f"Trouble <{number}> " + "x" * 300, rule) for number, rule in rules])
    first = await db.fetchval("select min(id) from provider_key")
    await db.execute("""
        insert into provider_key (provider_id, label, fingerprint, last_four, state, why, returns_by_probe)
        select provider_id, 'Key <' || state || '>', 'f' || state, '…0' || length(state), state, 'because & why', true
        from unnest(array['active', 'cooldown', 'out_of_funds', 'manual_review', 'disabled']) as state,
            (select provider_id from provider_key limit 1) as p
    """)
    await db.execute("""
        insert into provider_key (provider_id, label, fingerprint)
        select provider_id, 'Key ' || n, 'g' || n from generate_series(1, 6) as n,
            (select provider_id from provider_key limit 1) as p
    """)
    await funds.set_left(db, first, 12_500_000, "", actor="cli")
    await db.execute("""
        insert into worker (id, role, host, pid, children, seen_at) values
        (gen_random_uuid(), 'worker', 'brush-1', 1, '[]', now() + interval '1 hour'),
        (gen_random_uuid(), 'archivist', 'vault-1', 1, '[{"name": "x", "state": "crashed"}]', now() + interval '1 hour')
    """)
    await db.execute(
        "insert into backup_run (kind, state, why, ended_at) values ('backup', 'failed', 'no <room>', now())"
    )
    await _with_orders(db, cast)
    await _with_money(db, cast)
    await _with_words(db, cast)


JOBS = """
update job set state = $2, reason = $3, finished_at = now() where generation_id = $1
"""
PICTURE = """
insert into image (job_id, account_id, generation_id, storage_key, thumb_key, sha256, mime, width, height, bytes, thumbed_at)
select j.id, j.account_id, j.generation_id, j.id, j.id, repeat('0', 64), 'image/png', 512, 512, 9, now() from job as j
where j.generation_id = $1
"""
SETTLED = """
insert into ledger_entry (account_id, job_id, kind, credits, why)
select account_id, id, 'settle', credits, 'painted' from job where generation_id = $1
"""


async def _with_orders(db, cast) -> None:
    """One that failed, one that came, one that waits."""
    made = [
        await generations.order(db, Order(cast.alice.id, "a <red> boat", "demo", Size(512, 512), 1), deadline=900)
        for _ in range(3)
    ]
    async with db.transaction() as tx:
        await tx.execute(JOBS, made[0], "failed", "every key is out of funds")
        jobs = [row["id"] for row in await tx.fetch("select id from job where generation_id = $1", made[0])]
        await generations.release_all(tx, jobs, "failed")
        await generations.settle_state(tx, made[0])
        await tx.execute(JOBS, made[1], "delivered", "")
        await tx.execute(SETTLED, made[1])
        await tx.execute(PICTURE, made[1])
        await generations.settle_state(tx, made[1])


async def _with_money(db, cast) -> None:
    """To decide: too little came, and a payment in doubt whose credits are frozen; one with a surplus; one open."""
    plan = await plans.by_code(db, "monthly")
    partial, doubted, over, _ = [
        await invoices.make(db, account.id, plan, "sandbox")
        for account in (cast.bob, cast.alice, cast.carol, cast.carol)
    ]
    await payments.flag(db, partial.id, "partial", "Only half of it came.", {}, actor="cashier")
    for invoice in (doubted, over):
        await invoices.settle(db, invoice.id, actor="cashier")
    await payments.doubt(db, await invoices.get(db, doubted.id), {}, actor="cashier")
    await db.execute("update invoice set received_cents = 1200 where id = $1", over.id)


async def _with_words(db, cast) -> None:
    """Codes that still work and one that does not, a draft in three languages and one that was sent, a ban."""
    for number in range(PAGE + 1):
        await codes.create(db, codes.Promo(f"SUMMER{number}", "percent", 20, note="for <friends>"), actor="cli")
    await codes.stop(db, (await codes.listing(db))[-1], "enough", actor="cli")
    words = {locale: broadcasts.Words(f"News {locale}", "<Hello>. " * 380) for locale in LOCALES}
    await broadcasts.write(db, broadcasts.Draft(words), actor="cli")
    sent = await broadcasts.write(db, broadcasts.Draft({"en": words["en"]}, segment="lapsed"), actor="cli")
    await db.execute("update broadcast set state = 'stopped', started_at = now() where id = $1", sent)
    await accounts.ban(db, cast.bob, "Sold <pictures>", actor="cli")


@dataclass
class Bot:
    poller: Poller
    reader: Reader
    presence: Presence
    group: anyio.abc.TaskGroup
    stopped: anyio.Event


@contextlib.asynccontextmanager
async def running(db: Database, config: Config, *, calm: float = 0, deaf: float = 90) -> AsyncIterator[Bot]:
    """A bot's two halves, until the block ends."""
    client = Telegram(config)
    presence = Presence(db, "bot", lease=config.lease)
    await presence.beat()
    reader, stopped = Reader(db, client, config), anyio.Event()
    poller = Poller(db, presence, client, wake=reader.wake, stop=stopped.set, calm=calm, deaf=deaf)
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(poller.run)
            group.start_soon(reader.run)
            yield Bot(poller, reader, presence, group, stopped)
            group.cancel_scope.cancel()
    finally:
        await client.close()


async def dashboard(fake: FakeTelegram, person: int = CAROL) -> Call:
    """Write to the bot; returns the message that it answers with."""
    await fake.say(person, "/start")
    return await fake.next("message")


async def tap(fake: FakeTelegram, shown: Call, data: str, *, person: int = CAROL) -> Call:
    """Press a button under a message of the bot; returns what it became, or the message that was sent in its place."""
    await fake.press(person, data, fake.shown(shown))
    return await fake.next("screen")


async def say(fake: FakeTelegram, text: str, *, person: int = CAROL) -> Call:
    """Write what a menu asked for; returns the answer."""
    await fake.say(person, text)
    return await fake.next("message")


async def toast(fake: FakeTelegram) -> str:
    """What the last press brought up for a moment; waits for it."""
    return str((await fake.next("answerCallbackQuery")).args.get("text", ""))
