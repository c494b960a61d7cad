"""Traces for OpenTelemetry: a seam that imports nothing and costs nothing as long as LIMNER_OTLP_URL is empty.

Spans carry routes, kinds, counts and the names of faults: no addresses, no prompts, no words of exceptions.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from limner.runtime.log import logger

log = logger(__name__)

PATIENCE = 5.0
"""Seconds that the collector may take for a batch, in a thread of its own; spans that find the queue full are dropped."""
LAST_WORD = 2.0
"""Seconds that the end of a process may wait for the last spans."""
COMPLAIN_EVERY = 300.0
"""Seconds between two complaints about a collector that takes nothing."""

Attributes = Mapping[str, str | int | float | bool]

_tracer: Any = None


class Span:
    """A step on the way: this one is not traced, so it takes no notes."""

    def note(self, attributes: Attributes) -> None:
        """Add what became known."""

    def failed(self, why: str) -> None:
        """It went wrong: ``why`` is the name of a fault. The first word counts."""


class _Traced(Span):
    def __init__(self, span: Any) -> None:
        self._span = span
        self._has_failed = False

    def note(self, attributes: Attributes) -> None:
        self._span.set_attributes(attributes)

    def failed(self, why: str) -> None:
        from opentelemetry.trace import StatusCode

        if not self._has_failed:
            self._has_failed = True
            self._span.set_attribute("error.type", why)
            self._span.set_status(StatusCode.ERROR, why)


_NOTHING = Span()
UNTRACED = contextlib.nullcontext(_NOTHING)


def is_on() -> bool:
    return _tracer is not None


def span(
    name: str, kind: str = "internal", attributes: Attributes | None = None, *, parent: str | None = None
) -> AbstractContextManager[Span]:
    """A step that lasts as long as the block. ``kind``: internal, server, client, producer, consumer.

    ``parent``: the traceparent of another process, whose trace it belongs to; the step it happens in here is linked.
    """
    return UNTRACED if _tracer is None else _span(name, kind, attributes, parent)


def here() -> Span:
    """The step that is going on, to take notes on."""
    if _tracer is None:
        return _NOTHING
    from opentelemetry import trace

    return _Traced(trace.get_current_span())


def traceparent() -> str | None:
    """The step that is going on, as W3C Trace Context writes it, to be kept beside what it causes; None: not traced."""
    if _tracer is None:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent")


@contextlib.contextmanager
def on(role: str, url: str | None) -> Iterator[None]:
    """Trace this process as long as the block lasts, when there is a collector's ``url`` and the extra is installed."""
    if url is None:
        yield
        return
    try:
        provider = _provider(role, url)
    except ImportError as missing:
        log.warning("tracing_off", why="the extra is not installed: pip install 'limner[otel]'", missing=missing.name)
        yield
        return
    global _tracer
    _tracer = provider.get_tracer("limner")
    try:
        yield
    finally:
        _tracer = None
        _stop(provider)


@contextlib.contextmanager
def _span(name: str, kind: str, attributes: Attributes | None, parent: str | None) -> Iterator[Span]:
    from opentelemetry import trace

    context, links = None, []
    if parent is not None:
        context, links = _context_of(parent), _link_of_here()
    with _tracer.start_as_current_span(
        name, context, trace.SpanKind[kind.upper()], attributes, links, record_exception=False,
        set_status_on_exception=False,
    ) as started:  # fmt: skip
        traced = _Traced(started)
        try:
            yield traced
        except BaseException as error:
            traced.failed(type(error).__name__)
            raise


def _context_of(parent: str) -> Any:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": parent})


def _link_of_here() -> list[Any]:
    from opentelemetry import trace

    about = trace.get_current_span().get_span_context()
    return [trace.Link(about)] if about.is_valid else []


def _provider(role: str, url: str) -> Any:
    """Sends batches from a thread of its own. Raises ImportError without the extra."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # it complains of every batch
    resource = Resource.create({"service.name": f"limner-{role}", "service.namespace": "limner"})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter: Any = _Exporter(OTLPSpanExporter(endpoint=address(url), timeout=PATIENCE))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def address(url: str) -> str:
    """Where traces go, from the collector's base: OTLP/HTTP puts them under /v1/traces."""
    return url if url.endswith("/v1/traces") else f"{url.rstrip('/')}/v1/traces"


class _Exporter:
    """An exporter whose failures are one line every few minutes."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self._lost = 0
        self._quiet_until = 0.0

    def export(self, spans: Sequence[Any]) -> Any:
        result = self._real.export(spans)
        if result.name != "SUCCESS":
            self._complain(len(spans))
        return result

    def _complain(self, lost: int) -> None:
        self._lost += lost
        if time.monotonic() >= self._quiet_until:
            log.warning("traces_lost", spans=self._lost, why="the collector at LIMNER_OTLP_URL does not take them")
            self._lost, self._quiet_until = 0, time.monotonic() + COMPLAIN_EVERY

    def shutdown(self) -> None:
        self._real.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return bool(self._real.force_flush(timeout_millis))


def _stop(provider: Any) -> None:
    """Send what waits, and wait no longer than LAST_WORD: a collector that is down must not hold up a restart."""
    ending = threading.Thread(target=provider.shutdown, name="last traces", daemon=True)
    ending.start()
    ending.join(LAST_WORD)
