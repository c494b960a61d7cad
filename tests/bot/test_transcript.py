"""docs/reference/bot.md is made of the real menus: `TRANSCRIBE=1 .venv/bin/python -m pytest tests/bot/test_transcript.py`."""

from __future__ import annotations

import os
import re
import socket
from datetime import date, timedelta
from html import unescape
from pathlib import Path

import pytest

from limner.actors.bot import chart, words
from limner.runtime.phrases import phrase
from limner.sql import alerts, funds, keys, schema
from limner.sql.alerts import Trouble
from limner.sql.glance import Day
from tests.bot.conftest import dashboard, running, tap
from tests.bot.walker import Seen, Walk
from tests.upstreams.telegram import Call

pytestmark = pytest.mark.timeout(300)

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "reference/bot.md"
CHART = DOCS / "images/bot-chart.png"
OWN_HEADING = "## What the bot takes"
INTRODUCTION = """# The bot's menus

What an owner sees who presses every button of a small studio, as text: this page is made from the real menus by
`TRANSCRIBE=1 .venv/bin/python -m pytest tests/bot/test_transcript.py`. Menus change in their place; a button stands in
brackets. How to [pair the bot](../how-to/pair-the-bot.md).

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
costs about 4 seconds of processor time, nearly all of it for aiogram: the other replica polls meanwhile.
"""


def written(screen: Call) -> str:
    """The screen as one would type it."""
    text = unescape(re.sub(r"</?(b|i|pre|code)>", "", screen.text))
    text = re.sub(r"\d\d\.\d\d\. \d\d:\d\d UTC", "28.11. 14:05 UTC", text)
    rows = screen.args.get("reply_markup", {}).get("inline_keyboard", [])
    buttons = [" ".join(f"[ {button['text']} ]" for button in row) for row in rows]
    return "\n".join(["```", text, "", *buttons, "```"]).replace(socket.gethostname(), "desk-1")


def heading(seen: Seen) -> str:
    return "## " + (" → ".join(seen.trail) or "The dashboard")


def leads_on(seen: Seen) -> bool:
    """Ways back, and what a yes leads to, would only say the same again."""
    last = seen.trail[-1] if seen.trail else ""
    return not last.startswith(("⬅", "✅", "🔄", "✖", "No"))


@pytest.fixture
async def fair_studio(db, cast):
    """Three days old, with a key that rests, an account that somebody looked up, and one trouble."""
    dead = "Proxy {label} is dead, and {n} {n:key counts|keys count} on it: {why}."
    frankfurt = phrase(dead, label="Frankfurt", n=2, why="no answer")
    await alerts.see(db, [Trouble("proxy 1", frankfurt, "proxy_dead", place="/admin/proxies", button="keys")])
    await db.execute("update alert set began_at = now() - interval '14 minutes'")
    first, last = await db.fetchrow("select min(id), max(id) from provider_key")
    await funds.set_left(db, first, 41_500_000, "", actor="cli")
    await keys.rest_by_hand(db, last, 60, "Carol said so by Telegram", actor="cli")
    await db.execute(
        """
        insert into worker (id, role, host, pid, children, about, started_at, seen_at)
        select gen_random_uuid(), role, host, 1, '[]', $1, now() - interval '3 days', now() + interval '1 hour'
        from (values ('archivist', 'vault-1'), ('web', 'gate-1'), ('worker', 'brush-1')) as w (role, host)
        """,
        {"version": "0.1.0", "schema": schema.head(), "memory": 120},
    )
    await db.execute("""
        update account as a set created_at = now() - r.place * interval '1 day'
        from (select id, row_number() over (order by email desc) as place from account) as r where r.id = a.id
    """)
    await db.execute("""
        insert into backup_run (kind, state, started_at, ended_at)
        select kind, 'done', now() - ago, now() - ago
        from (values ('backup', interval '3 hours'), ('drill', interval '2 days')) as run (kind, ago)
    """)


async def test_the_page_shows_menus_as_they_are(fake, config, db, carol, fair_studio):
    async with running(db, config):
        seen = [each for each in await Walk(fake, most=1).all() if leads_on(each)]
        others = []
        for locale in words.ORDER[1:]:
            shown = await dashboard(fake)
            await tap(fake, shown, f"language:{locale}")
            others.append(await tap(fake, shown, "home"))
    if os.environ.get("TRANSCRIBE") == "1":
        sections = [f"{heading(each)}\n\n{written(each.screen)}" for each in seen]
        sections += [
            f"## The dashboard in {name}\n\n{written(screen)}"
            for name, screen in zip(("Russian", "Chinese"), others, strict=True)
        ]
        PAGE.write_text("\n\n".join([INTRODUCTION.rstrip(), *sections]) + "\n")
        CHART.write_bytes(chart.png(a_fortnight(), with_money=True))
    there = {heading(each) for each in seen} | {"## The dashboard in Russian", "## The dashboard in Chinese"}
    shown = [line for line in PAGE.read_text().splitlines() if line.startswith("## ") and line != OWN_HEADING]
    assert len(shown) > 10 and set(shown) <= there


def a_fortnight() -> list[Day]:
    first = date(2026, 11, 15)
    return [
        Day(first + timedelta(n), 20 + n * 37 % 83, n * 5 % 7, {"USD": 999 * (n * 3 % 11)}) for n in range(chart.DAYS)
    ]
