"""The dashboard: it can be read, asks only for metrics that exist, and is provisioned where Grafana looks for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.deploy.conftest import ROOT, known_metrics

promql = pytest.importorskip("tests.deploy.promql", exc_type=ImportError)

DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy/grafana/limner.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
PROVISIONING = ROOT / "deploy/grafana/provisioning"


def expressions() -> Iterator[tuple[str, str]]:
    for panel in PANELS:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]


@pytest.mark.parametrize(("title", "expression"), list(expressions()))
def test_a_panel_asks_only_for_metrics_that_exist(title: str, expression: str) -> None:
    assert promql.metrics(expression), title
    assert promql.metrics(expression) <= known_metrics()


def test_every_metric_of_ours_is_on_it_or_in_a_rule() -> None:
    rules = yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text())["groups"][0]["rules"]
    seen = {name for _, expression in expressions() for name in promql.metrics(expression)}
    seen |= {name for rule in rules for name in promql.metrics(rule["expr"])}
    unseen = {name for name in known_metrics() - seen if name.startswith("limner_")}
    assert not {name for name in unseen if not name.startswith("limner_http_answer_seconds")}


def test_ids_and_titles_are_unique_and_nothing_lies_upon_another() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    assert len({panel["title"] for panel in PANELS}) == len(PANELS)
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


def test_its_data_come_from_the_prometheus_that_is_provisioned() -> None:
    source = yaml.safe_load((PROVISIONING / "datasources/prometheus.yml").read_text())["datasources"][0]
    assert source["url"] == "http://prometheus:9090"
    used = {target["datasource"]["uid"] for panel in PANELS for target in panel.get("targets", [])}
    assert used == {source["uid"]}


def test_compose_puts_it_where_grafana_looks_for_it() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    mounts = dict(mount.split(":")[:2] for mount in compose["services"]["grafana"]["volumes"])
    provider = yaml.safe_load((PROVISIONING / "dashboards/limner.yml").read_text())["providers"][0]
    assert mounts["./deploy/grafana/limner.json"] == f"{provider['options']['path']}/limner.json"
    assert mounts["./deploy/grafana/provisioning"] == "/etc/grafana/provisioning"
