"""Fault drills: each makes a real trouble, knows how it ends, and what an admin should read."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from uuid import NAMESPACE_DNS, UUID, uuid4, uuid5

from limner.actors.janitor import AnchorAudit, Janitor
from limner.runtime.bus import Bus
from limner.runtime.machine import Machine
from limner.runtime.presence import Presence
from limner.sql import (
    backups,
    books_checks,
    funds,
    generations,
    inquiries,
    invoices,
    keys,
    notices,
    payments,
    proxies,
    rests,
    schema,
    sightings,
)
from limner.sql.generations import Order
from limner.sql.models import Size
from tests.alerts.conftest import Watched

PART = "2.00 of 9.99 USD came before it ran out: give it back, or mark it paid when the rest has come."
Trouble = Callable[[Watched], contextlib.AbstractAsyncContextManager[None]]


@dataclass(frozen=True)
class Drill:
    """``trouble``: there inside of it, and over after it. ``after`` and ``calm``: seconds until it counts, and is over."""

    rule: str
    words: str
    trouble: Trouble
    after: float = 0
    calm: float = 0


@contextlib.asynccontextmanager
async def no_sign_of_life(at: Watched) -> AsyncIterator[None]:
    await at.db.execute("update worker set seen_at = now() - interval '1 hour'")
    yield
    await at.worker.beat()


@contextlib.asynccontextmanager
async def a_web_that_went(at: Watched) -> AsyncIterator[None]:
    await lived_for_an_hour(at, "web", 5)
    await at.look()
    await lived_for_an_hour(at, "web", 61)
    yield
    await lived_for_an_hour(at, "web", 0)


@contextlib.asynccontextmanager
async def a_bot_that_went(at: Watched) -> AsyncIterator[None]:
    await lived_for_an_hour(at, "bot", 5)
    await at.look()
    await lived_for_an_hour(at, "bot", 61)
    yield
    await lived_for_an_hour(at, "bot", 0)


@contextlib.asynccontextmanager
async def a_telegram_that_is_silent(at: Watched) -> AsyncIterator[None]:
    bot = Presence(at.db, "bot", lease=at.config.lease)
    for state in ("deaf", "polling"):
        bot.children = lambda: [{"name": "poller", "state": state, "last_ok": None}]  # noqa: B023
        await bot.beat()
        if state == "deaf":
            yield


@contextlib.asynccontextmanager
async def a_long_line(at: Watched) -> AsyncIterator[None]:
    await ordered(at)
    await at.db.execute("update job set created_at = now() - interval '125 seconds'")
    yield
    await at.db.execute("update job set created_at = now() - interval '59 seconds'")


@contextlib.asynccontextmanager
async def a_painter_out_of_order(at: Watched) -> AsyncIterator[None]:
    job = await ordered(at)
    await attempted(at, job, 30, None)
    await attempted(at, job, 20, "upstream_5xx")
    yield
    await attempted(at, job, 150, None)


@contextlib.asynccontextmanager
async def all_keys_resting(at: Watched) -> AsyncIterator[None]:
    for row in await at.db.fetch("select id from provider_key"):
        await rests.rest(at.db, row["id"], "demo", 600, "rate_limited")
    yield
    await at.db.execute("update key_rest set until = now()")


@contextlib.asynccontextmanager
async def a_fund_below_its_bound(at: Watched) -> AsyncIterator[None]:
    await at.db.execute("update provider_key set account_group = 'main'")
    await funds.top_up(at.db, "demo", "main", 5_000_000, "", actor="test")
    await funds.alert_below(at.db, "demo", "main", 6_000_000, actor="test")
    yield
    await funds.top_up(at.db, "demo", "main", 5_000_000, "", actor="test")


@contextlib.asynccontextmanager
async def a_fund_for_two_days(at: Watched) -> AsyncIterator[None]:
    await at.db.execute("update provider_key set account_group = 'main'")
    await funds.top_up(at.db, "demo", "main", 9_000_000, "", actor="test")
    await attempted(at, await ordered(at), 7, None, cost=1_000_000)
    await at.db.execute("update fund set counted_to = now() - interval '8 days'")
    yield
    await funds.top_up(at.db, "demo", "main", 50_000_000, "", actor="test")


@contextlib.asynccontextmanager
async def a_refused_key(at: Watched) -> AsyncIterator[None]:
    key = await at.db.fetchval("select min(id) from provider_key")
    await rests.die(at.db, key, "401: no such key")
    yield
    await keys.set_state(at.db, key, "active", "a new key", actor="carol@example.com")


@contextlib.asynccontextmanager
async def a_silent_proxy(at: Watched) -> AsyncIterator[None]:
    proxy = await proxies.add(at.db, at.vault, "Lisbon", "socks5://me:hunter22@192.0.2.1:1080", actor="test")
    for _ in range(3):
        await at.db.execute("update proxy set rests_until = now()")
        await proxies.rest(at.db, proxy, "proxy_failed: no answer")
    yield
    await proxies.wake(at.db, proxy, "a test came through")


@contextlib.asynccontextmanager
async def no_webhooks(at: Watched) -> AsyncIterator[None]:
    for _ in range(3):
        await paid(at)
    yield
    heard = await paid(at)
    await inquiries.note_event(at.db, "sandbox", "e1", heard, "payment.settled")


@contextlib.asynccontextmanager
async def money_without_a_payment(at: Watched) -> AsyncIterator[None]:
    invoice = await paid(at, state="processing")
    await payments.note(at.db, invoice, 999)
    yield
    await invoices.settle(at.db, invoice, actor="test")


@contextlib.asynccontextmanager
async def a_part_of_the_money(at: Watched) -> AsyncIterator[None]:
    invoice = await paid(at, state="expired")
    await payments.flag(at.db, invoice, "partial", PART, {}, actor="cashier")
    yield
    await payments.dealt_with(at.db, await invoices.get(at.db, invoice), "sent back", actor="carol@example.com")


@contextlib.asynccontextmanager
async def a_balance_that_is_wrong(at: Watched) -> AsyncIterator[None]:
    await ordered(at)
    await at.db.execute("update balance set spent = spent + 1 where account_id = $1", at.alice.id)
    await books_checks.look_at_recent(at.db)
    yield
    await at.db.execute("update balance set spent = spent - 1 where account_id = $1", at.alice.id)
    await books_checks.look_at_recent(at.db)


@contextlib.asynccontextmanager
async def a_guard_switched_off(at: Watched) -> AsyncIterator[None]:
    await at.db.execute("alter table ledger_entry disable trigger ledger_append_only")
    await books_checks.look_at_all(at.db)
    yield
    await at.db.execute("alter table ledger_entry enable trigger ledger_append_only")
    await books_checks.look_at_all(at.db)


@contextlib.asynccontextmanager
async def an_audit_that_was_tampered_with(at: Watched) -> AsyncIterator[None]:
    janitor = Janitor(at.db, Bus(at.db), at.worker, storage=None, pool=None)  # type: ignore[arg-type]
    await at.db.execute("alter table audit disable trigger audit_append_only")
    await janitor.receive(AnchorAudit())
    yield
    await at.db.execute("alter table audit enable trigger audit_append_only")
    await janitor.receive(AnchorAudit())


@contextlib.asynccontextmanager
async def a_full_disk(at: Watched) -> AsyncIterator[None]:
    for free in (4.2, 60.0):
        machine = f'{{"path": "/data", "bytes": 40000000000, "free": {free}}}'
        await at.db.execute("update worker set machine = $1::text::jsonb, seen_at = now()", machine)
        if free < 10:
            yield


@contextlib.asynccontextmanager
async def an_old_backup(at: Watched) -> AsyncIterator[None]:
    await copied(at, "backup", 27)
    yield
    await copied(at, "backup", 0)


@contextlib.asynccontextmanager
async def no_backup_ever(at: Watched) -> AsyncIterator[None]:
    await at.look()
    at.config = at.config.model_copy(update={"env": "production"})
    await at.db.execute("update account set created_at = now() - interval '27 hours'")
    yield
    await copied(at, "backup", 0)


@contextlib.asynccontextmanager
async def an_old_drill(at: Watched) -> AsyncIterator[None]:
    await copied(at, "backup", 1)
    await copied(at, "drill", 9 * 24)
    yield
    await copied(at, "drill", 0)


@contextlib.asynccontextmanager
async def a_certificate_for_five_days(at: Watched) -> AsyncIterator[None]:
    await sightings.note(at.db, "certificate", 5.4, "")
    yield
    await sightings.note(at.db, "certificate", 89.9, "")


@contextlib.asynccontextmanager
async def a_clock_that_runs_ahead(at: Watched) -> AsyncIterator[None]:
    await reported(at, Machine(clock=lambda: time.time() + 12))
    yield
    await reported(at, Machine())


@contextlib.asynccontextmanager
async def an_image_that_is_newer(at: Watched) -> AsyncIterator[None]:
    with contextlib.suppress(schema.SchemaError):
        await schema.wait_for(at.db, schema.head() + 1, patience=0.3)
    yield
    await at.db.execute("update alert_reading set read_at = now() - interval '3 minutes'")


@contextlib.asynccontextmanager
async def a_foreign_poller(at: Watched) -> AsyncIterator[None]:
    bot = Presence(at.db, "bot", lease=at.config.lease)
    bot.children = lambda: [{"name": "poller", "state": "conflict", "last_ok": None}]
    await bot.beat()
    yield
    bot.children = lambda: [{"name": "poller", "state": "polling", "last_ok": 1.0}]
    await bot.beat()


@contextlib.asynccontextmanager
async def the_end_of_a_model(at: Watched) -> AsyncIterator[None]:
    await at.db.execute("update model set retires_at = now() + interval '10 days' where id = 'demo'")
    yield
    await at.db.execute("update model set retires_at = null where id = 'demo'")


@contextlib.asynccontextmanager
async def a_mail_server_that_is_away(at: Watched) -> AsyncIterator[None]:
    await notices.mail(at.db, "alice@example.com", "test")
    await at.db.execute("update notice set created_at = now() - interval '20 minutes' where channel = 'mail'")
    yield
    await at.db.execute("update notice set sent_at = now() where channel = 'mail'")


@contextlib.asynccontextmanager
async def a_mail_server_that_refuses(at: Watched) -> AsyncIterator[None]:
    for number in range(5):
        await notices.mail(at.db, f"{number}@example.com", "test")
    await at.db.execute("update notice set attempts = 1, failed_at = now(), error = '550' where channel = 'mail'")
    yield
    await at.db.execute("update notice set failed_at = now() - interval '25 hours' where channel = 'mail'")


DRILLS = {
    drill.trouble.__name__: drill
    for drill in (
        Drill("no_worker", "No worker is alive: nothing is painted.", no_sign_of_life),
        Drill("no_web", "No web is alive: nobody reaches the site.", a_web_that_went, after=15, calm=60),
        Drill("no_bot", "No bot is alive: nobody answers on Telegram.", a_bot_that_went, after=15, calm=60),
        Drill("bot_deaf", "Telegram does not answer the bot: it hears nothing", a_telegram_that_is_silent, calm=60),
        Drill("queue_waits", "Pictures have been waiting for 2 min.", a_long_line),
        Drill(
            "failure_rate", "40 % of the attempts of the last 15 min failed with upstream_5xx: 20 of 50.",
            a_painter_out_of_order, calm=120,
        ),
        Drill("model_cooled", "No key can paint Demo painter (demo): the first is back at ", all_keys_resting),
        Drill("balance_low", "5.00 USD is left on main of demo.", a_fund_below_its_bound),
        Drill("balance_low", "2.00 USD is left on main of demo, which lasts 2.0 days.", a_fund_for_two_days),
        Drill("key_lost", "Key Demo brush 1 …sh-1 (demo) was disabled: 401: no such key.", a_refused_key),
        Drill("proxy_dead", "Proxy Lisbon is dead, and 0 keys count on it: proxy_failed: no answer.", a_silent_proxy),
        Drill("webhook_silence", "No webhook of sandbox comes: its last 3 payments were found by asking", no_webhooks),
        Drill(
            "unpaid_received", ": 9.99 of 9.99 USD was received, and it is still processing.",
            money_without_a_payment, after=7200,
        ),
        Drill("payment_to_decide", f": {PART}", a_part_of_the_money),
        Drill("ledger_wrong", "The books do not add up, in 1 case: ", a_balance_that_is_wrong),
        Drill("ledger_wrong", "ledger_append_only: refuses to change or delete an entry", a_guard_switched_off),
        Drill(
            "audit_broken", "The audit's chain does not hold: audit_append_only refuses to change or delete a row",
            an_audit_that_was_tampered_with,
        ),
        Drill(
            "disk_full", "The disk is nearly full: 4 % is free, 1.7 GB, at /data of worker.", a_full_disk,
            after=60, calm=60,
        ),
        Drill("backup_old", "There has been no good backup for 27 h: see `limner backups`.", an_old_backup),
        Drill("backup_old", "There was never a good backup, in 27 h: see `limner backups`.", no_backup_ever),
        Drill("drill_old", "No backup has been proved for 9 days: run `limner drill`.", an_old_drill),
        Drill("certificate", "The certificate of https://art.example has 5 days left.", a_certificate_for_five_days),
        Drill(
            "clock_off", " is 12 s ahead of the database's.", a_clock_that_runs_ahead, after=60, calm=60,
        ),
        Drill(
            "schema_pending", f" waits for schema {schema.head() + 1}, and the database is at {schema.head()}",
            an_image_that_is_newer, after=300,
        ),
        Drill("bot_conflict", "Somebody else polls with the bot's token: one of the two must stop.", a_foreign_poller),
        Drill("model_retiring", ": nothing takes its place yet.", the_end_of_a_model),
        Drill("mails_wait", "1 mail does not get out, the oldest for 20 min", a_mail_server_that_is_away),
        Drill("mails_refused", "5 mails were refused within a day", a_mail_server_that_refuses),
    )
}  # fmt: skip


async def ordered(at: Watched) -> UUID:
    """A picture that nobody paints; its job."""
    wanted = Order(at.alice.id, "a red boat", model_id="demo", size=Size(512, 512))
    await generations.order(at.db, wanted, deadline=900)
    return UUID(str(await at.db.fetchval("select id from job order by created_at desc limit 1")))


ATTEMPT = """
insert into attempt (job_id, number, key_id, model_id, fault, cost_micros, expires_at, finished_at)
select $1, (select coalesce(max(number), 0) from attempt where job_id = $1) + n,
    (select min(id) from provider_key), 'demo', $3, $4, now(), now()
from generate_series(1, $2) as n
"""


async def attempted(at: Watched, job: UUID, count: int, fault: str | None, cost: int = 0) -> None:
    await at.db.execute(ATTEMPT, job, count, fault, cost)


INVOICE = """
insert into invoice (
    account_id, plan_id, processor, processor_ref, amount_cents, currency, credits, state, expires_at, paid_at
)
select $1, (select id from plan where code = 'monthly'), 'sandbox', $2, 999, 'USD', 100, $3, now() + interval '1 hour',
    case when $3 = 'paid' then clock_timestamp() end
returning id
"""


async def paid(at: Watched, state: str = "paid") -> UUID:
    """An invoice of the sandbox, as the cashier leaves it."""
    return UUID(str(await at.db.fetchval(INVOICE, at.alice.id, str(uuid4()), state)))


ROLE = """
insert into worker (id, role, host, pid, started_at, seen_at)
values ($1, $2, 'here', 1, now() - interval '1 hour', now() - make_interval(secs => $3))
on conflict (id) do update set seen_at = excluded.seen_at
"""


async def lived_for_an_hour(at: Watched, role: str, seconds: float) -> None:
    """A process of this role, whose last sign of life is so old."""
    await at.db.execute(ROLE, uuid5(NAMESPACE_DNS, role), role, float(seconds))


async def copied(at: Watched, kind: backups.Kind, hours_ago: float) -> None:
    run = await backups.begin(at.db, kind, "b1")
    await backups.end(at.db, run, "b1")
    moved = (
        "update backup_run set started_at = started_at - $2::interval, ended_at = ended_at - $2::interval where id = $1"
    )
    await at.db.execute(moved, run, timedelta(hours=hours_ago))


async def reported(at: Watched, machine: Machine) -> None:
    """The worker's next report, two heartbeats later: the first one has to compare."""
    at.worker.machine = machine
    await at.worker.beat()
    await at.worker.beat()
