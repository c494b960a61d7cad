"""docs/reference/bot.md is made of the real menus, on a tour of a busy studio: `make bot-page`."""

from __future__ import annotations

import os
import re
from datetime import date, timedelta
from pathlib import Path

import aiohttp
import pytest

from limner.actors import courier, herald, watchman
from limner.actors.bot import chart, words
from limner.runtime.phrases import phrase
from limner.runtime.presence import Presence
from limner.sql import alerts, funds, invoices, keys, plans, schema
from limner.sql.alerts import Trouble
from limner.sql.glance import Day
from tests.bot.conftest import STRANGER, running
from tests.bot.test_menu_generations import failed, painted
from tests.bot.test_menu_payments import bought, paid
from tests.bot.tour import Tour, settled, written
from tests.bot.walker import Seen, Walk, shape

pytestmark = pytest.mark.timeout(300)

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "reference/bot.md"
CHART = DOCS / "images/bot-chart.png"
AGAIN = "make bot-page"
INTRODUCTION = f"""# The bot's menus

What an owner sees on a tour of a small, busy studio, as text: this page is made from the real menus by `{AGAIN}`, and a
test compares it with them. Menus change in their place; a button stands in brackets. How to
[pair the bot](../how-to/pair-the-bot.md).

| role | sees | may |
|---|---|---|
| `owner` | all | all |
| `operator` | all but money | keys, pictures, and silencing alerts |
| `viewer` | all | nothing: no button that changes anything is shown |

Above the dashboard stands a chart of two weeks: delivered, failed, and the line of what came in.

![The chart of the dashboard](../images/bot-chart.png)

## What the bot takes

An idle bot with a token takes about 190 MB of memory (`grep VmRSS /proc/PID/status`), of which the models of aiogram are
120; without a token aiogram is not imported, and it takes about 65. The first dashboard with its chart adds 11. Its start
costs about 4 seconds of processor time, nearly all of it for aiogram: the other replica polls meanwhile."""
NEWS = """We paint faster now
Hello,

since this morning there are **two more keys**.

- Large pictures, too
- [The plans](https://art.example/plans)"""
ATTEMPT = """
insert into attempt (job_id, number, key_id, model_id, fault, detail, considered, started_at, expires_at, finished_at)
select j.id, 1, k.first, 'demo', 'rate_limited', '429: too many requests in this minute',
    jsonb_build_object('chosen', jsonb_build_array(k.first, null, 1, null), 'of', 3,
        'passed', jsonb_build_array(jsonb_build_array(k.last, 'rests', null))), now(), now(), now()
from job as j, (select min(id) as first, max(id) as last from provider_key) as k where j.generation_id = $1
"""
PROCESSES = """
insert into worker (id, role, host, pid, children, about, started_at, seen_at)
select gen_random_uuid(), role, host, 1, '[]', $1, now() - interval '3 days', now() + interval '1 hour'
from (values ('archivist', 'vault-1'), ('web', 'gate-1'), ('worker', 'brush-1')) as w (role, host)
"""
AGES = """
update account as a set created_at = now() - r.place * interval '1 day'
from (select id, row_number() over (order by email desc) as place from account) as r where r.id = a.id
"""
COPIES = """
insert into backup_run (kind, state, started_at, ended_at)
select kind, 'done', now() - ago, now() - ago
from (values ('backup', interval '3 hours'), ('drill', interval '2 days')) as run (kind, ago)
"""
HALF = "update invoice set trouble = 'partial', trouble_words = '5.00 USD of 9.99 came.', received_cents = 500 where id = $1"


@pytest.fixture
def config(config):
    """With a mail server, which nobody asks here."""
    return config.model_copy(update={"smtp_host": "127.0.0.1", "smtp_port": 1, "lease": 600})


@pytest.fixture
async def studio(db, cast):
    """Three days old, with one of each thing that a menu shows."""
    dead = "Proxy {label} is dead, and {n} {n:key counts|keys count} on it: {why}."
    frankfurt = phrase(dead, label="Frankfurt", n=2, why="no answer")
    await alerts.see(db, [Trouble("proxy 1", frankfurt, "proxy_dead", place="/admin/proxies", button="keys")])
    await db.execute("update alert set began_at = now() - interval '14 minutes'")
    first, last = await db.fetchrow("select min(id), max(id) from provider_key")
    await funds.set_left(db, first, 41_500_000, "", actor="cli")
    await keys.rest_by_hand(db, last, 60, "Carol said so by Telegram", actor="cli")
    await db.execute(PROCESSES, {"version": "0.1.0", "schema": schema.head(), "memory": 120})
    await db.execute(AGES)
    await db.execute(COPIES)
    await painted(db, cast.alice)
    await db.execute(ATTEMPT, await failed(db, cast.alice))
    await paid(db, cast.bob)
    await bought(db, cast.carol)
    await db.execute(HALF, (await invoices.create(db, cast.bob.id, await plans.by_code(db, "monthly"), "sandbox")).id)


async def test_the_page_shows_the_menus_as_they_are(fake, config, db, carol, studio):
    async with running(db, config):
        await db.execute("update worker set host = 'desk-1' where role = 'bot'")
        tour = Tour(fake)
        await see_the_dashboard(tour)
        await see_alerts(tour)
        await see_keys(tour)
        await see_orders(tour)
        await see_people(tour)
        await see_payments(tour)
        await see_codes(tour)
        await write_to_everybody(tour, db, config)
        await see_the_system(tour)
        await hear_of_trouble(tour, db, config)
        await come_as_a_stranger(tour)
        rest = [each for each in await Walk(fake, most=1).all() if is_new(tour, each)]
    others = [f"### {' → '.join(each.trail)}\n\n{written(each.screen)}" for each in rest]
    page = settled("\n\n".join([INTRODUCTION, *tour.page, "## All other buttons", *others]) + "\n")
    if os.environ.get("TRANSCRIBE") == "1":
        PAGE.write_text(page)
        CHART.write_bytes(chart.png(a_fortnight(), with_money=True))
    then = PAGE.read_text(encoding="utf-8")
    assert without_numbers(page) == without_numbers(then), f"Other menus than on the page: make it again by `{AGAIN}`."


def without_numbers(page: str) -> list[str]:
    """Its lines, without what changes with every migration."""
    return re.sub(r"(Schema|/) \d+(, this bot knows \d+)?", r"\1 …", page).splitlines()


def is_new(tour: Tour, seen: Seen) -> bool:
    """Ways back, and what a yes leads to, would only say the same again."""
    last = seen.trail[-1] if seen.trail else ""
    was_seen = not last or shape(seen.data) in tour.pressed or seen.data.startswith("yes:")
    return not was_seen and not last.startswith(("⬅", "🔄", "✖", "No"))


async def see_the_dashboard(tour: Tour) -> None:
    await tour.begin("The dashboard")
    tour.show("")
    await tour.press("language")
    for locale, name in zip(words.ORDER[1:], ("Russian", "Chinese"), strict=True):
        await tour.pass_by(f"language:{locale}", "home")
        tour.show(f"The dashboard in {name}:")
        await tour.pass_by("language")
    await tour.pass_by("language:en")


async def see_alerts(tour: Tour) -> None:
    await tour.begin("Alerts")
    await tour.press("alerts", "alerts:see:", "alerts:sleep:", "alerts:wake:", "alerts:morning:")


async def see_keys(tour: Tour) -> None:
    await tour.begin("Keys")
    await tour.press("keys", "keys:see:", "keys:rest:", "keys:rest:")
    await tour.yes()
    await tour.press("keys:wake:")
    await tour.yes()
    await tour.press("keys:balance:")
    await tour.type("12.50")
    await tour.yes()


async def see_orders(tour: Tour) -> None:
    await tour.begin("Orders")
    await tour.press("generations", "generations:see:", "generations:why:", "generations:see:", "generations:retry:")
    await tour.yes()
    await tour.pass_by("generations")
    await tour.press("generations:find")
    await tour.type("alice@example.com")
    delivered = next(data for words, data in tour.screen.buttons.items() if words.startswith("🟢"))
    await tour.press(delivered, "generations:pictures:", "generations:down:")
    await tour.type("It shows somebody who did not agree to it.")
    await tour.yes()
    await tour.press("generations:back:")
    await tour.type("She agreed after all.")
    await tour.yes()


async def see_people(tour: Tour) -> None:
    await tour.begin("People")
    await tour.press("users", "users:find")
    await tour.type("bob")
    await tour.press("users:see:", "users:grant:")
    await tour.type("25")
    await tour.yes()
    for act in ("logout", "reset", "ban", "unban"):
        await tour.press(f"users:{act}:")
        await tour.yes()


async def see_payments(tour: Tour) -> None:
    await tour.begin("Payments")
    await tour.press("payments", "payments:see:", "payments:decided:")
    await tour.yes()
    await tour.pass_by("payments")
    await tour.press("payments:open", "payments:see:", "payments:check:", "payments:paid:")
    await tour.yes()
    await tour.pass_by("payments")
    await tour.press("payments:find")
    await tour.type("bob@example.com")
    given = next(data for words, data in tour.screen.buttons.items() if words.startswith("🟢"))
    await tour.press(given, "payments:surplus:")
    await tour.type("You paid more than it costs.")
    await tour.yes()
    await tour.press("payments:whole:")
    await tour.type("You paid twice.")
    await tour.yes()


async def see_codes(tour: Tour) -> None:
    await tour.begin("Codes")
    await tour.press("codes", "codes:make")
    await tour.type("SUMMER 20% x100")
    await tour.yes()
    await tour.press("codes:stop:")
    await tour.yes()
    await tour.press("codes")


async def write_to_everybody(tour: Tour, db, config) -> None:
    await tour.begin("Broadcasts")
    await tour.press("broadcasts", "broadcasts:new", "broadcasts:to:all")
    await tour.type(NEWS)
    await tour.press("broadcasts:way:", "broadcasts:pace:")
    await tour.type("120")
    await tour.press("broadcasts:send:")
    await tour.yes()
    await herald.spread(db, config)
    await tour.press("broadcasts:see:", "broadcasts:stop:")
    await tour.yes()


async def see_the_system(tour: Tour) -> None:
    await tour.begin("The system")
    await tour.press("system", "system:processes:")
    brush = next(data for words, data in tour.screen.buttons.items() if "brush-1" in words)
    await tour.press(brush, "system:drain:")
    await tour.yes()
    await tour.press("system:resume:")
    await tour.yes()
    await tour.begin("A backup")
    await tour.pass_by("system")
    await tour.press("system:backup")
    await tour.yes()


async def hear_of_trouble(tour: Tour, db, config) -> None:
    """The only worker is gone, and comes back."""
    worker = Presence(db, "worker", lease=config.lease)
    await worker.beat()
    await watchman.look(db, config)
    await db.execute("delete from notice where channel = 'telegram'")
    tour.page.append("## An alert, and its recovery")
    await db.execute("update worker set seen_at = now() - interval '1 hour' where role = 'worker'")
    await watchman.look(db, config)
    tour.show("The last worker is gone; the bot writes:", await news(tour, db, config))
    await db.execute("update alert set began_at = now() - interval '14 minutes' where rule = 'no_worker'")
    await worker.beat()
    await watchman.look(db, config)
    tour.show("A worker is back:", await news(tour, db, config))


OTHERS = """
delete from notice where dedupe_key not like 'alert ' || (select max(id) from alert where rule = 'no_worker') || ' %'
"""


async def news(tour: Tour, db, config):
    await db.execute(OTHERS)
    async with aiohttp.ClientSession() as session:
        await courier.deliver(db, config, session)
    return await tour.fake.next("message")


async def come_as_a_stranger(tour: Tour) -> None:
    tour.page.append("## Somebody who is not paired")
    await tour.fake.say(STRANGER, "hello", name="Eve")
    tour.show("They write “hello”:", await tour.fake.next("message"))


def a_fortnight() -> list[Day]:
    first = date(2026, 11, 15)
    return [
        Day(first + timedelta(n), 20 + n * 37 % 83, n * 5 % 7, {"USD": 999 * (n * 3 % 11)}) for n in range(chart.DAYS)
    ]
