"""The books: sound ones are found sound, and each kind of damage breaks its own rule and no other."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from click.testing import CliRunner

from limner.runtime import mailbox
from limner.runtime.cli import commands as cli
from limner.runtime.folder import Folder
from limner.runtime.presence import Presence
from limner.sql import books, generations, images, jobs, keys, tokens
from limner.sql.generations import Order
from limner.sql.jobs import Painted
from limner.sql.models import Size
from limner.sql.tokens import Caps
from tests.conftest import VAULT_KEYS

BYTES = b"not really a picture"
SMALL = Size(512, 512)
INVOICE = """
with made as (
    insert into invoice (account_id, plan_id, processor, amount_cents, currency, credits, state, paid_at, expires_at)
    select $1, id, 'sandbox', price_cents, 'USDT', 40, $2, case $2 when 'paid' then now() end, now() from plan limit 1
    returning *
)
insert into ledger_entry (account_id, invoice_id, kind, credits) select account_id, id, 'grant', credits from made
where state = 'paid'
"""


@dataclass
class Studio:
    storage: Folder
    folder: Path
    picture: Path


@pytest.fixture
async def studio(db, cast, config, vault) -> Studio:
    """One picture delivered, one failed, one under way, one waiting and one of a program; an invoice paid and one not."""
    await keys.add(db, vault, "simulator", "brush", "simulated-1", actor="test")
    for state in ("paid", "pending"):
        await db.execute(INVOICE, cast.alice.id, state)
    await tokens.create(db, cast.alice, "a program", Caps(), actor="test")
    token = await db.fetchval("select id from api_token")
    storage = Folder(config.pictures_folder)
    await storage.prepare()
    for part in ("whole", "thumb"):
        await storage.put(f"pictures/{part}.webp", BYTES, "image/webp")
    await generations.order(db, Order(cast.alice.id, "a barn", "simulator", SMALL, count=4), deadline=120)
    await generations.order(db, Order(cast.alice.id, "a mill", "simulator", SMALL, api_token_id=token), deadline=120)
    presence = Presence(db, "worker", lease=3)
    await presence.beat()
    await db.execute("update message set partition_limit = null")  # three at once, whatever the plan says
    items = await mailbox.claim_fairly(db, "painting", presence.id, 3)
    begun = [await jobs.start(db, item.payload["job_id"], item.fence) for item in items]
    digest = hashlib.sha256(BYTES).hexdigest()
    await jobs.deliver(
        db, begun[0], Painted("pictures/whole.webp", "pictures/thumb.webp", digest, "image/webp", 512, 512, len(BYTES))
    )
    await images.framed(db, await db.fetchval("select id from image"))
    await jobs.fail(db, begun[1], "the brush broke")
    return Studio(storage, config.pictures_folder, config.pictures_folder / "pictures/whole.webp")


async def broken(db, studio: Studio, *, deep: bool = False) -> dict[str, int]:
    return {
        each.rule: each.broken for each in await books.verify(db, studio.storage, deep=deep, live=True) if each.broken
    }


async def test_sound_books_are_found_sound(db, studio):
    found = await books.verify(db, studio.storage, deep=True, live=True)
    assert [each.rule for each in found] == [*books.RULES, *books.LIVE_RULES, books.FILES]
    assert [(each.broken, list(each.cases)) for each in found] == [(0, [])] * len(found)


DAMAGE = {
    "a balance is the sum of its entries": "update balance set available = available + 1 where held > 0",
    "a paid invoice is credited once, an unpaid one never": (
        "update invoice set state = 'pending', paid_at = null where state = 'paid'"
    ),
    "a delivered picture is charged once, an undelivered one never": "delete from image",
    "a job that ended without a picture was released": (
        "update ledger_entry set kind = 'cycle_reset', job_id = null where kind = 'release';"
        " update balance set available = available - 2 * e.credits, held = held + e.credits"
        " from ledger_entry as e where e.kind = 'cycle_reset' and e.account_id = balance.account_id"
    ),
    "a job that has not ended holds its credits": (
        "update ledger_entry set kind = 'adjust', job_id = null, credits = -credits"
        " where id = (select min(id) from ledger_entry where kind = 'reserve' and job_id in"
        " (select id from job where state in ('queued', 'running')));"
        " update balance set held = held - e.amount from"
        " (select account_id, -credits as amount from ledger_entry where kind = 'adjust' and credits < 0) as e"
        " where e.account_id = balance.account_id"
    ),
    "a picture belongs to whom its job belongs": (
        "update image set account_id = (select id from account where email = 'bob@example.com')"
    ),
    "what was charged is the price of what was delivered": "update generation set credits = credits + 1",
    "the statement says what the entries come to": (
        "create or replace view statement as select account_id, id, created_at, kind, credits, why, job_id, invoice_id,"
        " credits as change, case kind when 'settle' then credits else 0 end as charged from ledger_entry"
    ),
    "nothing was reserved after the end of a period": (
        "update ledger_entry set created_at = now() + interval '70 days' where kind = 'reserve' and id ="
        " (select min(id) from ledger_entry where kind = 'reserve')"
    ),
    "a token has spent what its orders cost": "update api_token_use set credits = credits + 1",
    "whatever guards the ledger is in its place": "alter table ledger_entry disable trigger ledger_append_only",
    "nothing is held longer than its deadline and a quarter of an hour": (
        "update job set deadline = now() - interval '16 minutes' where state = 'running'"
    ),
    "a code, a trial and a referral give what they promise, once": (
        "insert into code (kind, word, word_key, gives, quantity, uses, made_by)"
        " values ('promo', 'X', 'X', 'credits', 5, 1, 'test')"
    ),
}


@pytest.mark.parametrize("rule", [*books.RULES, *books.LIVE_RULES])
async def test_each_damage_breaks_its_own_rule_and_no_other(db, dsn, studio, rule):
    vandal = await asyncpg.connect(dsn)
    await vandal.execute(f"set session_replication_role = replica; {DAMAGE[rule]}")  # no trigger stands in the way
    await vandal.close()
    assert await broken(db, studio) == {rule: 1}


GUARDS = {
    "ledger_append_only": "drop trigger ledger_append_only on ledger_entry",
    "ledger_never_truncated": "alter table ledger_entry disable trigger ledger_never_truncated",
    "ledger_apply": "alter table ledger_entry enable replica trigger ledger_apply",
    "reserve_allowed": "drop trigger reserve_allowed on ledger_entry",
    "api_token_spend": "drop trigger api_token_spend on ledger_entry",
    "ledger_entry_job_id_kind_key": "alter table ledger_entry drop constraint ledger_entry_job_id_kind_key",
    "ledger_settled_or_released": "drop index ledger_settled_or_released",
    "ledger_granted_once": (
        "drop index ledger_granted_once; create index ledger_granted_once on ledger_entry (invoice_id)"
    ),
    "generation_idempotency": "drop index generation_idempotency",
    "image_job_id_key": "alter table image drop constraint image_job_id_key",
    "balance_covers_it": "alter table balance drop constraint balance_covers_it",
}


@pytest.mark.parametrize("guard", GUARDS)
async def test_each_guard_that_is_gone_or_switched_off_is_named(db, dsn, studio, guard):
    vandal = await asyncpg.connect(dsn)
    await vandal.execute(GUARDS[guard])
    await vandal.close()
    found = [each for each in await books.verify(db, studio.storage) if each.broken]
    assert [each.rule for each in found] == ["whatever guards the ledger is in its place"]
    assert [case.partition(":")[0] for case in found[0].cases] == [guard]


async def test_a_backup_may_hold_what_is_overdue_meanwhile(db, dsn, studio):
    await db.execute("update job set deadline = now() - interval '1 day' where finished_at is null")
    assert not any(each.broken for each in await books.verify(db, studio.storage))


async def test_bytes_that_are_gone_or_cut_or_others_are_found(db, studio):
    studio.picture.write_bytes(BYTES[:-1] + b"X")
    assert await broken(db, studio) == {}
    assert await broken(db, studio, deep=True) == {books.FILES: 1}
    studio.picture.write_bytes(BYTES[:-1])
    assert await broken(db, studio) == {books.FILES: 1}
    studio.picture.unlink()
    assert await broken(db, studio) == {books.FILES: 1}
    studio.picture.write_bytes(BYTES)
    (studio.folder / "pictures/thumb.webp").unlink()
    assert await broken(db, studio) == {books.FILES: 1}
    await db.execute("update image set thumbed_at = null")
    assert await broken(db, studio) == {}, "a small copy that is still to come is not missing"
    studio.picture.unlink()
    await db.execute("update image set deleted_at = now()")
    assert await broken(db, studio) == {}, "what its owner deleted need not be there"


async def test_the_command_says_what_is_broken_and_ends_with_one(db, dsn, studio, config):
    environment = {
        "LIMNER_DATABASE_URL": dsn, "LIMNER_DATA_DIR": str(config.data_dir), "LIMNER_VAULT_KEYS": VAULT_KEYS,
        "LIMNER_SECRET_KEY": "s" * 40,
    }  # fmt: skip

    def run(*words: str):
        return CliRunner(env=environment).invoke(cli.main, ["ledger", "verify", *words])

    sound = await _apart(run)
    assert sound.exit_code == 0, sound.output
    assert sound.output.count("ok    ") == len(books.RULES) + 2
    studio.picture.unlink()
    torn = await _apart(run)
    assert torn.exit_code == 1
    assert f"BROKEN  {books.FILES}: 1" in torn.output
    assert "nothing is stored under pictures/whole.webp" in torn.output
    data = json.loads((await _apart(run, "--json")).output)
    assert [each["broken"] for each in data] == [0] * (len(books.RULES) + 1) + [1]


async def _apart(run, *words):
    """Commands bring an event loop of their own along."""
    return await asyncio.to_thread(run, *words)
