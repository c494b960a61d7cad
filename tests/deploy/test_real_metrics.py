"""Rules and dashboard against what the roles really say: nothing fires in a healthy studio, and every label is there."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.deploy.conftest import ROOT, free_port
from tests.faults.crew import crew_at

promql = pytest.importorskip("tests.deploy.promql", exc_type=ImportError)
ql = pytest.importorskip("promql_parser")

RULES = yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text())["groups"][0]["rules"]
PANELS = json.loads((ROOT / "deploy/grafana/limner.json").read_text())["panels"]
QUERIES = [rule["expr"] for rule in RULES] + [each["expr"] for panel in PANELS for each in panel.get("targets", [])]
ROLES = ("web", "worker", "bot")

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
async def said(dsn: str, tmp_path: Path) -> AsyncIterator[Any]:
    """Asks a running studio, as Prometheus would, what its metrics are now; a page and its readiness were asked for before."""
    ports = {role: free_port() for role in ROLES}
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with crew_at(dsn, tmp_path) as crew:
        for role in ROLES:
            crew.start(role, metrics_port=ports[role], http_port=port, public_url=url, lease=15)
        async with aiohttp.ClientSession() as session:
            for path in ("/plans", "/health/ready"):
                await answer(session, url + path)

            async def ask() -> Any:
                pages = {role: await answer(session, f"http://127.0.0.1:{ports[role]}/metrics") for role in ROLES}
                return {key: value for role, page in pages.items() for key, value in scraped(role, page).items()}

            yield ask


async def answer(session: aiohttp.ClientSession, url: str) -> str:
    """As soon as there is one that is good."""
    with anyio.fail_after(120):
        while True:
            try:
                async with session.get(url) as got:
                    if got.status == 200:
                        return await got.text()
            except aiohttp.ClientConnectionError:
                pass
            await anyio.sleep(0.1)


def scraped(role: str, page: str) -> Any:
    """With the labels that deploy/prometheus/prometheus.yml adds; nothing has changed since the look before."""
    target = {"job": "limner", "service": role, "instance": f"{role}:9300"}
    found = {("up", frozenset(target.items())): (1.0, 1.0)}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            found[sample.name, frozenset((sample.labels | target).items())] = (sample.value, sample.value)
    return found


async def test_nothing_fires_in_a_healthy_studio(said: Any) -> None:
    firing: list[str] = []
    with anyio.move_on_after(120):
        while True:
            data = await said()
            firing = [rule["alert"] for rule in RULES if promql.ask(rule["expr"], data)]
            if not firing:
                break
            await anyio.sleep(1)
    assert not firing


async def test_every_label_that_is_asked_for_is_there(said: Any) -> None:
    data = await said()
    there: dict[str, set[str]] = {}
    for name, labels in data:
        there.setdefault(name, set()).update(label for label, _ in labels)
    seen = 0
    for query in QUERIES:
        for selector in selectors(query):
            if selector.name in there:
                seen += 1
                assert {each.name for each in selector.matchers.matchers} <= there[selector.name], query
    assert seen > 50
    for exact in (
        'limner_http_answers_total{route="/health/ready",status="200"}',
        'limner_http_answer_seconds_bucket{le="3.0",route="/plans"}',
        'limner_processes{role="worker"}',
        'limner_jobs_oldest_seconds{state="queued"}',
        'limner_child_up{child="poller"}',
    ):
        assert promql.ask(exact, data), exact


def selectors(query: str) -> list[Any]:
    found: list[Any] = []

    def note(node: Any) -> None:
        if isinstance(node, ql.MatrixSelector):
            found.append(node.vector_selector)
        elif isinstance(node, ql.VectorSelector):
            found.append(node)

    ql.walk(ql.parse(query), note)
    return found
