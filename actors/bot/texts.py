"""What the bot says, as HTML for Telegram: everything that somebody typed is escaped here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Any, Self

from limner.runtime.spans import duration
from limner.runtime.log import redact
from limner.sql.alerts import Alert
from limner.sql.overview import Numbers, Worker
from limner.sql.telegram import CODE_MINUTES

LIGHTS = {"active": "🟢", "cooldown": "🟡", "out_of_funds": "🔴", "manual_review": "🔴", "disabled": "⚪"}
STATES = {
    "active": "paints", "cooldown": "rests", "out_of_funds": "out of funds", "manual_review": "needs a look",
    "disabled": "disabled",
}  # fmt: skip
MOST_LINES = 8


@dataclass(frozen=True)
class Key:
    """A key as the bot shows it."""

    id: int
    provider: str
    label: str
    last_four: str
    state: str
    why: str
    rests: str
    rests_until: datetime | None
    in_use: int

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        """From a row of ``keys.listing``."""
        return cls(
            id=row["id"], provider=row["provider"], label=row["label"], last_four=row["last4"], state=row["state"],
            why=redact(row["why"]), rests=redact(row["rests"] or ""), rests_until=row["rests_until"],
            in_use=row["in_use"],
        )  # fmt: skip

    @property
    def light(self) -> str:
        return "🟡" if self.state == "active" and self.rests else LIGHTS[self.state]


def pairing(code: str) -> str:
    return (
        "This bot belongs to a Limner studio, and it does not know you yet.\n\n"
        f"If the studio is yours, type this on its server within {CODE_MINUTES} minutes:\n"
        f"<pre>limner pair {code}</pre>\n"
        "Each message you write here replaces the code."
    )


def dashboard(numbers: Numbers, workers: Sequence[Worker], alerts: Sequence[Alert]) -> str:
    n = numbers
    lines = [
        f"<b>Limner</b> · {datetime.now(UTC):%d %b %H:%M:%S} UTC",
        "",
        *(f"⚠️ {escape(alert.words[:300])} <i>({duration(alert.seconds)})</i>" for alert in alerts[:MOST_LINES]),
        *([""] if alerts else []),
        f"💰 <b>{money(n.revenue_today)}</b> today · {money(n.revenue_month)} in 30 days",
        f"👤 {n.accounts} accounts · {n.active_subscriptions} subscribed",
        f"🖼 <b>{n.delivered_today}</b> delivered · {n.failed_today} failed today",
        f"⏳ {n.waiting} waiting, the eldest for {duration(n.oldest_waiting)} · {n.running} running",
        f"🔑 {n.keys_active} ready · {n.keys_resting} resting · {n.keys_lost} lost",
        *_processes(workers),
    ]
    return "\n".join(lines)


def _processes(workers: Sequence[Worker]) -> list[str]:
    alive = [worker for worker in workers if worker.is_alive]
    lines = [f"⚙️ {escape(worker.role)} on {escape(worker.host)}: {worker.state}" for worker in alive[:MOST_LINES]]
    if not any(worker.role == "worker" for worker in alive):
        lines.append("⚙️ <b>no worker is alive</b>")
    return lines


def key_line(key: Key) -> str:
    """One line on a button: plain text, which Telegram does not parse."""
    return f"{key.light} {key.label[:24]} {key.last_four} · {STATES[key.state]}"


def keys(pool: Sequence[Key], page: int, pages: int) -> str:
    ready = sum(key.state == "active" for key in pool)
    return f"<b>Keys</b> · {ready} of {len(pool)} ready" + (f" · page {page} of {pages}" if pages > 1 else "")


def key(key: Key) -> str:
    lines = [
        f"{key.light} <b>{escape(key.label)}</b> {escape(key.last_four)} · {escape(key.provider)}",
        f"{STATES[key.state].capitalize()}, {key.in_use} in use",
    ]
    lines += [f"Why: {escape(key.why[:500])}"] if key.why else []
    lines += [f"Rests: {escape(key.rests[:500])}"] if key.rests else []
    lines += [f"Rests until {key.rests_until:%d %b %H:%M} UTC"] if key.rests_until else []
    return "\n".join(lines)


def sure(key: Key, act: str) -> str:
    name = f"<b>{escape(key.label)}</b> {escape(key.last_four)} ({escape(key.provider)})"
    return f"{act} {name}?\n\nAt present: {STATES[key.state]}."


def money(cents: int) -> str:
    """Cents as dollars: $1,234.50."""
    return f"${cents / 100:,.2f}"
