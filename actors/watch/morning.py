"""The digest of each morning: what yesterday brought, and what is not over yet."""

from __future__ import annotations

from limner.actors.watch.telling import News, send
from limner.actors.watch.words import gathered
from limner.runtime.config import Config
from limner.runtime.database import Db
from limner.runtime.spans import duration
from limner.sql import alert_times, alerts
from limner.sql.alert_rules import is_money
from limner.sql.alert_times import Yesterday
from limner.sql.alerts import Alert

MOST = 8
"""Open alerts that are named."""


async def say_good_morning(db: Db, config: Config) -> None:
    """Once a day, when it is time and nobody wants quiet; whoever comes late says it late."""
    times = await alert_times.get(db)
    if times.is_morning and not times.is_quiet and await alert_times.good_morning(db, times.today):
        day, awake = (
            await alert_times.yesterday(db),
            [each for each in await alerts.still_open(db) if not each.is_snoozed],
        )
        moneyless = digest(day, [each for each in awake if not is_money(each.rule)], with_money=False)
        news = News(
            f"alert digest {times.today}", digest(day, awake), template="digest", details=_details(day, awake),
            moneyless=moneyless,
        )  # fmt: skip
        await send(db, config, [news])


def _details(day: Yesterday, awake: list[Alert]) -> dict[str, object]:
    """The same for a mail."""
    said = " · ".join(alert.words for alert in awake[:MOST])
    return {
        "day": day.day.isoformat(), "delivered": day.delivered, "failed": day.failed, "orders": day.orders,
        "revenue": _revenue(day), "paid": day.paid, "accounts": day.accounts, "alerts": said,
    }  # fmt: skip


def _revenue(day: Yesterday) -> str:
    return ", ".join(f"{cents / 100:,.2f} {currency}" for currency, cents in sorted(day.revenue.items())) or "0"


def digest(day: Yesterday, awake: list[Alert], *, with_money: bool = True) -> str:
    """What it says on Telegram."""
    lines = [
        f"☀️ Yesterday, {day.day:%A %-d %B}",
        f"🖼 {day.delivered} delivered, {day.failed} failed, of {day.orders} orders",
        *([f"💰 {_revenue(day)} from {day.paid} payments"] if with_money else []),
        f"👤 {day.accounts} new accounts",
    ]
    if day.faults:
        lines.append(f"🔧 Most frequent fault: {day.fault}, {day.faults} times")
    troubles = [f"⚠️ {alert.words} ({duration(alert.seconds)})" for alert in awake]
    return "\n".join([*lines, gathered(troubles, MOST) if awake else "✅ Nothing is wrong."])
