"""Overview: how it goes, at a glance: money and pictures against the time before, small charts, alerts, health."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from aiohttp import web

from limner.http import pages
from limner.http.admin.drawings import OURS, Pen
from limner.http.admin.health import disks
from limner.http.plots import Chart, Unit, shown
from limner.http.state import CONFIG, DB, staff
from limner.runtime.database import Db
from limner.sql import alerts, backups, crew, doubts, figures, health, keys, overview, samples, schema
from limner.sql.doubts import Doubtful
from limner.sql.figures import Span, Totals
from limner.sql.overview import Lately, Present
from limner.sql.samples import Headroom

DAYS = 30


@dataclass(frozen=True)
class Tile:
    """A number, how it changed against the days before, and what more there is to say, such as the same of today, in pieces.

    ``better``: 1 when more is better, -1 when less is, 0 when it is neither.
    """

    words: str
    value: str
    more: tuple[str, ...] = ()
    change: str = ""
    better: int = 0
    place: str = ""


async def show(request: web.Request) -> web.Response:
    staff(request)
    db, config = request.app[DB], request.app[CONFIG]
    lately, doubtful = await overview.lately(db, DAYS), await doubts.now(db)
    now = await overview.present(db)
    return pages.render(
        request,
        "admin/overview.html",
        tiles=[
            *_tiles(lately.whole, lately.before, lately.today, doubtful),
            *_at_present(now, await samples.headroom(db)),
        ],
        charts=await _charts(db, lately, doubtful),
        alerts=await alerts.still_open(db),
        days=DAYS,
        roles=Counter(each.role for each in await health.processes(db, config.lease) if each.state in ALIVE),
        keys=dict(Counter(key["state"] for key in await keys.listing(db))),
        given_up=sum(each.dead for each in await crew.depths(db)),
        copies=[("backup", await backups.latest(db, "backup")), ("drill", await backups.latest(db, "drill"))],
        disks=list(disks(config)),
        pending=max(0, schema.head() - await schema.current(db)),
    )


ALIVE = ("running", "degraded", "draining")


def _tiles(month: Totals, before: Totals, day: Totals, doubtful: Sequence[Doubtful]) -> Iterator[Tile]:
    apart = {each.currency: f"{shown('money', each.cents, each.currency)} in doubt" for each in doubtful}
    currencies = month.revenue | before.revenue | apart
    for currency in sorted(currencies, key=lambda each: (each != OURS, each)) or [OURS]:
        yield _tile(
            f"Revenue{f' in {currency}' if len(currencies) > 1 else ''}",
            "money",
            *(each.revenue.get(currency, 0) for each in (month, before, day)),
            currency=currency,
            place="revenue",
            apart=apart.get(currency, ""),
        )
    yield _tile("Margin", "money", month.margin, before.margin, day.margin, currency=OURS, place="margin")
    yield _tile("Delivered", "pictures", month.delivered, before.delivered, day.delivered, place="delivered")
    yield _tile(
        "Could not be painted", "pictures", month.failed, before.failed, day.failed, better=-1, place="delivered"
    )
    for words, value, old, today in (
        ("Half within", month.p50, before.p50, day.p50),
        ("95 in 100 within", month.p95, before.p95, day.p95),
    ):
        yield _tile(words, "seconds", value, old, today, better=-1, place="latency")


def _tile(
    words: str,
    unit: Unit,
    value: float | None,
    before: float | None,
    today: float | None,
    *,
    better: int = 1,
    currency: str = "",
    place: str = "",
    apart: str = "",
) -> Tile:
    change = _change(value, before)
    tone = {"+": better, "−": -better}.get(change[:1], 0)
    more = (f"{shown(unit, today, currency)} today", *([apart] if apart else []))
    return Tile(words, shown(unit, value, currency), more, change, tone, place)


def _change(value: float | None, before: float | None) -> str:
    """Against the time before; nothing where a share of it says nothing."""
    if value is None or not before or before < 0 or value < 0:
        return ""
    share = round((value - before) * 100 / before)
    return f"{share:+,d} %".replace("-", "−") if share else "as before"


def _at_present(now: Present, room: Headroom) -> Iterator[Tile]:
    oldest = [f"the oldest for {shown('seconds', now.oldest_waiting)}"] if now.waiting else []
    yield Tile("Waiting", f"{now.waiting:,}", (f"{now.running:,} being painted", *oldest), place="queue")
    yield Tile("Free slots", f"{room.free:,}", (f"of {room.slots:,}",), place="pool")
    yield Tile("Active subscriptions", f"{now.active_subscriptions:,}", (f"{now.accounts:,} accounts",))


async def _charts(db: Db, lately: Lately, doubtful: Sequence[Doubtful]) -> list[Chart]:
    """Money and pictures by days, failures and queue by hours."""
    now: datetime = (await db.fetchval("select now()")).astimezone(UTC)
    hour = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    hours = Span(hour - timedelta(hours=24), hour, "hour")
    by_day, by_hour = Pen(lately.days, figures.ALL), Pen(hours, figures.ALL)
    return [
        by_day.revenue(lately.takings, doubtful)[0],
        by_day.delivered(lately.work),
        by_hour.failures(await figures.work(db, hours)),
        by_hour.queue(await samples.queue(db, hours)),
    ]
