"""What a process counts and what it finds, in Prometheus' text format, on a port of its own."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import anyio
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from limner.runtime.config import Config
from limner.runtime.database import TROUBLE
from limner.runtime.log import logger

log = logger(__name__)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FRESH = 5.0
"""Seconds for which what was read from the database is told again; who scrapes more often costs no more."""
PATIENCE = 3.0
"""Seconds that reading it may take."""

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
ANSWERS = Counter("limner_http_answers", "Answers of the site.", ["method", "route", "status"], registry=REGISTRY)
ANSWER_SECONDS = Histogram(
    "limner_http_answer_seconds", "From the request to the end of the answer; live streams are left out.", ["route"],
    buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10), registry=REGISTRY,
)  # fmt: skip


@dataclass(frozen=True)
class Gauge:
    """A number that was found: ``name`` without the prefix, and one value for each set of labels."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    values: dict[tuple[str, ...], float] = field(default_factory=dict)


Report = Callable[[], list[dict[str, Any]]]
"""What a supervisor says of its children."""
Read = Callable[[], Awaitable[Iterable[Gauge]]]
"""Looks up what only the database knows. May raise one of TROUBLE."""


class Metrics(Collector):
    """Turns the supervisor's report, and what ``read`` finds, into metrics at the moment they are asked for."""

    def __init__(self, report: Report, read: Read | None = None, *, fresh: float = FRESH) -> None:
        self._report = report
        self._read = read
        self._fresh = fresh
        self._found: list[Gauge] = []
        self._read_at = -fresh
        self._is_reached = True

    async def page(self) -> bytes:
        await self._refresh()
        return generate_latest(REGISTRY) + _text(self)

    async def _refresh(self) -> None:
        if self._read is None or time.monotonic() - self._read_at < self._fresh:
            return
        self._read_at = time.monotonic()
        try:
            with anyio.fail_after(PATIENCE):
                self._found = list(await self._read())
            self._is_reached = True
        except TROUBLE as error:  # old numbers would look like news
            log.warning("metrics_without_database", error=str(error) or type(error).__name__)
            self._found, self._is_reached = [], False

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("limner_database_up", "1: the database answered.", float(self._is_reached))
        children = list(_flat(self._report()))
        yield _gauge("child_up", "1: this child of the supervisor runs.", "child",
            {child["name"]: float(child.get("state") in ("running", "polling")) for child in children})  # fmt: skip
        yield _counter("child_restarts", "Restarts of this child.", "child",
            {child["name"]: child.get("restarts", 0) for child in children})  # fmt: skip
        yield _gauge("child_last_ok_timestamp_seconds", "When this child last heard from outside, since the epoch.", "child",
            {child["name"]: child["last_ok"] for child in children if child.get("last_ok")})  # fmt: skip
        actors = [child for child in children if "mailbox" in child]
        for key, words in COUNTED.items():
            yield _counter(f"messages_{key}", words, "mailbox", {actor["mailbox"]: actor[key] for actor in actors})
        for key, (name, words) in SEEN.items():
            yield _gauge(name, words, "mailbox", {actor["mailbox"]: actor[key] for actor in actors})
        for found in self._found:
            family = GaugeMetricFamily(f"limner_{found.name}", found.help, labels=found.labels)
            for labels, value in found.values.items():
                family.add_metric(labels, value)
            yield family


COUNTED = {
    "handled": "Messages that this process has handled.",
    "failed": "Messages whose handler failed here; they may have been tried again.",
    "found_by_poll": "Messages that a look found though no notification had come: the bus is deaf when it grows.",
}
SEEN = {
    "in_hand": ("messages_in_hand", "Messages that this process works on."),
    "pace": ("message_seconds", "Seconds that a message takes here, a moving average."),
}


def _gauge(name: str, words: str, label: str, values: dict[str, float]) -> Metric:
    family = GaugeMetricFamily(f"limner_{name}", words, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _counter(name: str, words: str, label: str, values: dict[str, float]) -> Metric:
    family = CounterMetricFamily(f"limner_{name}", words, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _flat(children: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for child in children:
        yield child
        yield from _flat(child.get("children", []))


def _text(collector: Collector) -> bytes:
    own = CollectorRegistry()
    own.register(collector)
    return generate_latest(own)


async def serve(config: Config, metrics: Metrics) -> None:
    """Answer /metrics on its port until cancelled; sleep when there is none. Raises OSError when the port is taken."""
    if not config.metrics_port:
        await anyio.sleep_forever()

    async def show(_: web.Request) -> web.Response:
        return web.Response(body=await metrics.page(), headers={"Content-Type": CONTENT_TYPE})

    app = web.Application()
    app.router.add_get("/metrics", show)
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    try:
        await web.TCPSite(runner, config.metrics_host, config.metrics_port).start()
        log.info("metrics_ready", address=f"http://{config.metrics_host}:{config.metrics_port}/metrics")
        await anyio.sleep_forever()
    finally:
        with anyio.move_on_after(2, shield=True):
            await runner.cleanup()
