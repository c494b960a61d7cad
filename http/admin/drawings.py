"""Drawings: each chart of the admin from the figures, every hour or day of its time in place, also those without anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from limner.http.plots import Chart, Series, Unit
from limner.runtime import amounts
from limner.runtime.database import Db
from limner.sql import doubts, figures, samples
from limner.sql.doubts import Doubtful
from limner.sql.figures import Choice, Span, Work

CLASSES = 6
"""Classes of failures with a line of their own; the rest is one."""
OURS = "USD"
"""In this currency providers bill us."""

Row = TypeVar("Row")


@dataclass(frozen=True)
class Kind:
    """A chart that there is. ``by``: what it can be narrowed down to."""

    code: str
    title: str
    words: str
    unit: Unit
    by: tuple[str, ...]


KINDS = (
    Kind("revenue", "Revenue", "What was paid, less what was sent back and what is in doubt.", "money", ("plan",)),
    Kind("margin", "Margin", "What delivered pictures earned, less what attempts cost.", "money", ("plan", "model", "key")),
    Kind("delivered", "Pictures", "What was delivered, and what could not be painted.", "pictures", ("plan", "model", "key")),
    Kind("failures", "Failures", "Attempts that failed, by class.", "attempts", ("plan", "model", "key")),
    Kind("latency", "Time to picture", "From order to picture: half arrive within the lower line, 95 in a hundred within the "
         "upper one.", "seconds", ("plan", "model", "key")),
    Kind("pool", "Room in the pool", "Pictures that the keys could take at once.", "slots", ("model", "key")),
    Kind("queue", "Queue", "Pictures that wait, and that are being painted.", "pictures", ()),
)  # fmt: skip
BY_CODE = {kind.code: kind for kind in KINDS}


async def everything(db: Db, span: Span, choice: Choice) -> list[Chart]:
    """All charts of a time; what several are drawn from is read once."""
    pen = Pen(span, choice)
    lines = await figures.work(db, span, choice)
    return [
        *pen.revenue(await figures.takings(db, span, choice.plan), await doubts.now(db, choice.plan)),
        pen.margin(lines),
        pen.delivered(lines),
        pen.failures(lines),
        pen.latency(await figures.waits(db, span, choice)),
        pen.pool(await samples.room(db, span, choice)),
        pen.queue(await samples.queue(db, span)),
    ]


async def one(db: Db, code: str, span: Span, choice: Choice) -> list[Chart]:
    """One chart; of revenue one for each currency."""
    pen = Pen(span, choice)
    match code:
        case "revenue":
            return pen.revenue(await figures.takings(db, span, choice.plan), await doubts.now(db, choice.plan))
        case "margin":
            return [pen.margin(await figures.work(db, span, choice))]
        case "delivered":
            return [pen.delivered(await figures.work(db, span, choice))]
        case "failures":
            return [pen.failures(await figures.work(db, span, choice))]
        case "latency":
            return [pen.latency(await figures.waits(db, span, choice))]
        case "pool":
            return [pen.pool(await samples.room(db, span, choice))]
        case _:
            return [pen.queue(await samples.queue(db, span))]


class Pen:
    """Draws the charts of one time, for one choice."""

    def __init__(self, span: Span, choice: Choice) -> None:
        self.choice = choice
        self.is_hourly = span.unit == "hour"
        step = timedelta(hours=1) if self.is_hourly else timedelta(days=1)
        self.at = list(_moments(span.start, span.end, step))

    def revenue(self, takings: Sequence[figures.Takings], doubtful: Sequence[Doubtful] = ()) -> list[Chart]:
        """One for each currency. ``doubtful``: what is in doubt now, and counts in none of them."""
        totals = Counter[str]()
        for each in takings:
            totals[each.currency] += each.paid
        totals.update({each.currency: 0 for each in doubtful})
        currencies = [currency for currency, _ in totals.most_common()] or [OURS]
        apart = {each.currency: each for each in doubtful}
        return [
            self._revenue([each for each in takings if each.currency == one], one, apart.get(one)) for one in currencies
        ]

    def _revenue(self, takings: Sequence[figures.Takings], currency: str, doubtful: Doubtful | None) -> Chart:
        column = self._filler(takings, 0)
        return self._chart(
            "revenue",
            Series("Revenue", column(lambda each: each.revenue), "good"),
            Series("Paid", column(lambda each: each.paid), is_drawn=False),
            Series("Sent back", column(lambda each: each.refunded), "bad"),
            Series("Invoices", column(lambda each: each.invoices), is_drawn=False, unit="pictures"),
            currency=currency,
            note=_in_doubt(doubtful) if doubtful else "",
        )

    def margin(self, lines: Sequence[Work]) -> Chart:
        earned = self._added(lines, lambda each: each.earned if each.currency == OURS else 0)
        cost = self._added(lines, lambda each: each.cost)
        others = sorted({line.currency for line in lines if line.currency and line.currency != OURS and line.earned})
        note = (
            f"Pictures of plans priced in {' and '.join(others)} earned nothing here: there is no rate."
            if others
            else ""
        )
        return self._chart(
            "margin",
            Series("Margin", [_cents(a - b) for a, b in zip(earned, cost, strict=True)], "good"),
            Series("Earned", [_cents(each) for each in earned], "plain"),
            Series("Cost", [_cents(each) for each in cost], "bad"),
            Series("Perhaps more", [_cents(n) for n in self._added(lines, lambda each: each.possible)], is_drawn=False),
            currency=OURS,
            note=note,
        )

    def delivered(self, lines: Sequence[Work]) -> Chart:
        return self._chart(
            "delivered",
            Series("Delivered", self._added(lines, lambda each: each.delivered), "good"),
            Series("Could not be painted", self._added(lines, lambda each: each.failed), "bad"),
        )

    def failures(self, lines: Sequence[Work]) -> Chart:
        counted = Counter[str]()
        for line in lines:
            if line.fault:
                counted[line.fault] += line.attempts
        first = [fault for fault, times in counted.most_common(CLASSES) if times]
        series = [
            Series(fault.replace("_", " "), self._added([line for line in lines if line.fault == fault], _attempts))
            for fault in first
        ]
        rest = [line for line in lines if line.fault not in ("", *first)]
        if any(line.attempts for line in rest):
            series.append(Series("all others", self._added(rest, _attempts)))
        every = Series("All attempts", self._added(lines, _attempts), is_drawn=False)
        return self._chart("failures", *(series or [Series("Failed", [0] * len(self.at))]), every)

    def latency(self, waits: Sequence[figures.Wait]) -> Chart:
        column = self._filler(waits, None)
        return self._chart(
            "latency",
            Series("Half", column(lambda each: each.p50), "good"),
            Series("95 in a hundred", column(lambda each: each.p95), "wait"),
            Series("Pictures", self._filler(waits, 0)(lambda each: each.pictures), is_drawn=False, unit="pictures"),
        )

    def pool(self, room: Sequence[samples.Room]) -> Chart:
        column = self._filler(room, None)
        return self._chart(
            "pool",
            Series("Free", column(lambda each: each.free), "good"),
            Series("Free at the least", column(lambda each: each.least_free), "bad"),
            Series("In use", column(lambda each: each.busy), "wait"),
            Series("In all", column(lambda each: each.slots), "plain"),
        )

    def queue(self, line: Sequence[samples.Queue]) -> Chart:
        column = self._filler(line, None)
        return self._chart(
            "queue",
            Series("Waiting", column(lambda each: each.waiting), "wait"),
            Series("Waiting at the most", column(lambda each: each.most_waiting), "bad"),
            Series("Being painted", column(lambda each: each.running), "good"),
            Series("Longest wait", column(lambda each: each.longest), is_drawn=False, unit="seconds"),
        )

    def _chart(self, code: str, *series: Series, currency: str = "", note: str = "") -> Chart:
        kind = BY_CODE[code]
        asked = {name: value for name, value in vars(self.choice).items() if value is not None}
        unheard = [name for name in asked if name not in kind.by]
        if unheard:
            note = f"Not by {' or '.join(unheard)}: this is of all. {note}".strip()
        return Chart(code, kind.title, kind.words, kind.unit, self.at, series, self.is_hourly, currency, note)

    def _filler(self, rows: Sequence[Any], nothing: Any) -> Callable[[Callable[[Any], Any]], list[Any]]:
        """A column of the rows, with ``nothing`` where there is no row."""
        by_moment = {row.at: row for row in rows}
        return lambda of: [nothing if (row := by_moment.get(at)) is None else of(row) for at in self.at]

    def _added(self, rows: Iterable[Row], of: Callable[[Row], int]) -> list[int]:
        """A column of sums over all rows of a moment."""
        sums = Counter[datetime]()
        for row in rows:
            sums[row.at] += of(row)  # type: ignore[attr-defined]
        return [sums[at] for at in self.at]


def _in_doubt(found: Doubtful) -> str:
    several = f"{found.payments} payments" if found.payments > 1 else "one payment"
    return f"{amounts.said(found.cents, found.currency)} of {several} is in doubt now, and not counted."


def _moments(start: datetime, end: datetime, step: timedelta) -> Iterator[datetime]:
    while start < end:
        yield start
        start += step


def _attempts(line: Work) -> int:
    return line.attempts


def _cents(micros: int) -> int:
    return (micros + 5_000) // 10_000
