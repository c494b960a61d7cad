"""The digest of each morning: what yesterday brought, and what is not over yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from limner.actors.watch.telling import News, send
from limner.actors.watch.tongues import told
from limner.actors.watch.words import gathered, say, times
from limner.runtime import amounts
from limner.runtime.config import Config
from limner.runtime.database import Db
from limner.sql import alert_times, alerts
from limner.sql.alert_rules import is_money
from limner.sql.alert_times import Yesterday
from limner.sql.alerts import Alert

MOST = 8
"""Open alerts that are named."""


async def say_good_morning(db: Db, config: Config) -> None:
    """Once a day, when it is time and nobody wants quiet; whoever comes late says it late."""
    now = await alert_times.get(db)
    if now.is_morning and not now.is_quiet and await alert_times.good_morning(db, now.today):
        day = await alert_times.yesterday(db)
        awake = [each for each in await alerts.still_open(db) if not each.is_snoozed]
        moneyless = [each for each in awake if not is_money(each.rule)]
        key = f"alert digest {now.today}"
        news = News(
            key, partial(digest, day, awake), template="digest", details=partial(_details, day, awake),
            moneyless=News(key, partial(digest, day, moneyless, with_money=False)),
        )  # fmt: skip
        await send(db, config, [news])


def _details(day: Yesterday, awake: Sequence[Alert], language: str) -> Mapping[str, object]:
    """The same for a mail."""
    said = " · ".join(told(language, alert.phrase) for alert in awake[:MOST])
    return {
        "day": day.day.isoformat(), "delivered": day.delivered, "failed": day.failed, "orders": day.orders,
        "revenue": _revenue(day), "paid": day.paid, "accounts": day.accounts, "alerts": said,
    }  # fmt: skip


def _revenue(day: Yesterday) -> str:
    return ", ".join(amounts.said(cents, currency) for currency, cents in sorted(day.revenue.items())) or "0"


def digest(day: Yesterday, awake: Sequence[Alert], language: str, *, with_money: bool = True) -> str:
    """What it says on Telegram."""
    lines = [
        say(language, "yesterday", day=day.day),
        say(language, "pictures", delivered=day.delivered, failed=day.failed, orders=day.orders),
        *([say(language, "money", sums=_revenue(day), paid=day.paid)] if with_money else []),
        say(language, "accounts", n=day.accounts),
    ]
    if day.faults:
        lines.append(say(language, "fault", fault=day.fault, times=times(language, day.faults)))
    troubles = [say(language, "open", words=told(language, each.phrase), lasted=each.seconds) for each in awake]
    return "\n".join([*lines, gathered(troubles, MOST, language) if awake else say(language, "all_well")])
