"""Traces: nothing without a collector; with one, a trace from the order to the painter; and none that can do harm."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import aiohttp
import anyio
import pytest
from aiohttp import web

from limner.runtime import tracing
from limner.runtime.config import Config, ConfigError
from tests.faults.crew import crew_at, death_of, free_port, happens, until
from tests.http.conftest import Browser

PROMPT = "canary-prompt of a heron"
needs_extra = pytest.mark.skipif(
    importlib.util.find_spec("opentelemetry") is None or importlib.util.find_spec("opentelemetry.sdk") is None,
    reason="LOUD: the extra is not installed, so nobody looked at traces; pip install 'limner[otel]'",
)


@dataclass
class Collector:
    """Takes OTLP over HTTP, as protobuf. ``answers``: after so many seconds; None: never."""

    url: str = ""
    answers: float | None = 0.0
    status: int = 200
    bodies: list[bytes] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.read())
        self.came.set()
        if self.answers is None:
            await anyio.sleep_forever()
        return web.Response(status=self.status, content_type="application/x-protobuf")

    def spans(self) -> list[Any]:
        """What came, each with its service and its attributes as a dict."""
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        found = []
        for body in self.bodies:
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                service = _plain(resource.resource.attributes)["service.name"]
                for scope in resource.scope_spans:
                    found += [_span(service, span) for span in scope.spans]
        return found

    def named(self, name: str) -> list[Any]:
        return [span for span in self.spans() if span.name == name]


def _span(service: str, span: Any) -> Any:
    return SimpleNamespace(
        service=service, name=span.name, trace=span.trace_id.hex(), id=span.span_id.hex(), kind=span.kind,
        parent=span.parent_span_id.hex(), links=[link.span_id.hex() for link in span.links],
        about=_plain(span.attributes), failed=span.status.code == 2, events=list(span.events), why=span.status.message,
    )  # fmt: skip


def _plain(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


@contextlib.asynccontextmanager
async def collecting(**options: Any) -> AsyncIterator[Collector]:
    collector = Collector(**options)
    app = web.Application()
    app.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    collector.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield collector
    finally:
        await runner.cleanup()


def test_without_a_collector_nothing_is_imported_and_a_span_is_always_the_same_nothing():
    code = """
import sys
from limner.runtime import tracing
import limner.http.app, limner.actors.worker
with tracing.on("web", None):
    with tracing.span("one") as one, tracing.span("two", "server", {"a": 1}, parent="x") as two:
        one.note({"b": 2}); two.failed("why"); tracing.here().failed("why")
    assert one is two is tracing.here() and tracing.traceparent() is None and not tracing.is_on()
sys.exit(any(name.startswith("opentelemetry") for name in sys.modules))
"""
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False).returncode == 0


def test_with_a_collector_and_without_the_extra_it_says_so_and_works_on():
    code = """
import sys
sys.modules["opentelemetry"] = None  # as if it were not installed
from limner.runtime import log, tracing
log.set_up("web", "json")
with tracing.on("web", "http://127.0.0.1:9"):
    with tracing.span("one"):
        print("worked", tracing.is_on())
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert "tracing_off" in done.stdout and "pip install 'limner[otel]'" in done.stdout
    assert "worked False" in done.stdout


@pytest.mark.parametrize("wrong", ["collector:4318", "ftp://collector", "http://collector/?a=b"])
def test_an_address_that_is_none_is_refused_by_its_name(monkeypatch, wrong):
    monkeypatch.setenv("LIMNER_OTLP_URL", wrong)
    with pytest.raises(ConfigError, match=r"LIMNER_OTLP_URL: must .*" + re.escape(repr(wrong))):
        Config.load()


def test_spans_go_where_otlp_over_http_wants_them():
    assert tracing.address("http://c:4318") == "http://c:4318/v1/traces"
    assert tracing.address("http://c/otlp/") == "http://c/otlp/v1/traces"
    assert tracing.address("https://c/v1/traces") == "https://c/v1/traces"


@needs_extra
async def test_what_fails_is_named_by_its_kind_and_tells_none_of_its_words():
    def work() -> None:
        with contextlib.suppress(ValueError), tracing.span("crashes", "client", {"limner.attempt": 2}):
            raise ValueError("canary-words")
        with tracing.span("is named") as span:
            span.note({"http.response.status_code": 503})
            span.failed("rate_limited")
            span.failed("canary-words")
        with tracing.span("is well"):
            tracing.here().note({"limner.kind": "Probe"})
        assert tracing.traceparent() is None

    async with collecting() as collector:
        await traced(collector, work)
    (crashes,), (named,), (well,) = (collector.named(name) for name in ("crashes", "is named", "is well"))
    assert (crashes.failed, crashes.about) == (True, {"limner.attempt": 2, "error.type": "ValueError"})
    assert (named.failed, named.about) == (True, {"http.response.status_code": 503, "error.type": "rate_limited"})
    assert (well.failed, well.about) == (False, {"limner.kind": "Probe"})
    assert crashes.events == named.events == []
    assert b"canary" not in b"".join(collector.bodies)
    assert not tracing.is_on()


@needs_extra
async def test_what_another_process_began_goes_on_in_its_trace_and_is_linked_to_the_step_here():
    kept: list[str | None] = []

    def work() -> None:
        with tracing.span("order", "server"):
            kept.append(tracing.traceparent())
        with tracing.span("message", "consumer"):
            with tracing.span("paint", parent=kept[0]), tracing.span("attempt", "client"):
                pass
            with tracing.span("another", parent="nonsense"):
                pass

    async with collecting() as collector:
        await traced(collector, work)
    names = ("order", "message", "paint", "attempt", "another")
    order, message, paint, attempt, another = (collector.named(name)[0] for name in names)
    assert re.fullmatch(rf"00-{order.trace}-{order.id}-0[13]", str(kept[0]))
    assert (paint.trace, paint.parent, paint.links) == (order.trace, order.id, [message.id])
    assert (attempt.trace, attempt.parent) == (order.trace, paint.id)
    assert len({order.trace, message.trace}) == 2
    assert another.trace != order.trace


async def traced(collector: Collector, work: Callable[[], None]) -> None:
    """Work in a thread, as its end waits for the collector, which this loop plays."""

    def run() -> None:
        with tracing.on("test", collector.url):
            work()

    await asyncio.to_thread(run)


@needs_extra
@pytest.mark.timeout(120)
async def test_an_order_is_one_trace_from_the_site_to_the_painter(dsn, db, cast, tmp_path, monkeypatch):
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    async with collecting() as collector, aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as client:
        with crew_at(dsn, tmp_path) as crew:
            port = free_port()
            url = f"http://127.0.0.1:{port}"
            crew.start("web", http_port=port, public_url=url, otlp_url=collector.url)
            crew.start("worker", otlp_url=collector.url)
            await happens(lambda: crew.said("web", "web_ready") and crew.said("worker", "worker_ready"))
            browser = Browser(SimpleNamespace(db=db, url=url, address=aiohttp.client.URL(url)), client)
            session = await browser.sign_in(cast.alice)
            page = await browser.order(prompt=PROMPT)
            await browser.get("/health/live")
            await until(dsn, "select true from job where state = 'delivered'", within=60)
            await happens(lambda: bool(collector.named("paint")))
            await happens(lambda: bool(collector.named("painting PaintPicture")))
    (order,), (paint,), (attempt,) = (collector.named(name) for name in ("POST /generations", "paint", "attempt"))
    (message,) = collector.named("painting PaintPicture")
    assert (order.service, paint.service) == ("limner-web", "limner-worker")
    assert {order.trace} == {paint.trace, attempt.trace}
    assert (paint.parent, attempt.parent, paint.links) == (order.id, paint.id, [message.id])
    assert order.about == {
        "http.request.method": "POST",
        "http.route": "/generations",
        "http.response.status_code": 303,
        "limner.request": page.headers["X-Request-Id"],
    }
    assert attempt.about == {"limner.provider": "demo", "limner.model": "demo", "limner.attempt": 1}
    assert (message.about["limner.kind"], message.about["limner.attempt"]) == ("PaintPicture", 1)
    assert not collector.named("GET /health/live")
    everything = b"".join(collector.bodies)
    secrets = (PROMPT, session, await browser.csrf(), cast.alice.email, "s" * 40, page.location.rpartition("/")[2])
    assert [word for word in secrets if word.encode() in everything] == []


@needs_extra
@pytest.mark.timeout(120)
@pytest.mark.parametrize("trouble", ["hangs", *(["down", "refuses"] if os.environ.get("FAULT_FULL") else [])])
async def test_a_collector_in_trouble_neither_slows_nor_breaks_the_site(dsn, tmp_path, trouble, monkeypatch):
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    options = {"hangs": {"answers": None}, "refuses": {"status": 400}}.get(trouble, {})
    async with collecting(**options) as collector, aiohttp.ClientSession() as client:
        where = f"http://127.0.0.1:{free_port()}" if trouble == "down" else collector.url
        with crew_at(dsn, tmp_path) as crew:
            port = free_port()
            url = f"http://127.0.0.1:{port}"
            process = crew.start("web", http_port=port, public_url=url, otlp_url=where, drain=1)
            await happens(lambda: crew.said("web", "web_ready"))
            slowest = 0.0
            for number in range(100):
                if number == 50 and trouble != "down":
                    with anyio.fail_after(30):
                        await collector.came.wait()  # from here on, something is stuck in the collector
                began = time.monotonic()
                async with client.get(f"{url}/login") as page:
                    assert page.status == 200
                slowest = max(slowest, time.monotonic() - began)
            await happens(lambda: crew.said("web", "traces_lost"))
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert await death_of(process) == 0
            took = time.monotonic() - began
            assert crew.log("web").read_text().count("traces_lost") <= 1
    assert slowest < 3  # its patience with the collector is 5
    assert took < 12  # 1 to drain, 2 for the last traces, and the noise of a busy machine
