"""The alert rules: each fires on its trouble alone, is quiet when all is well, and has a page that says what to do."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from limner.sql.alert_rules import KINDS
from tests.deploy.conftest import ROOT, known_metrics

promql = pytest.importorskip("tests.deploy.promql", exc_type=ImportError)

RULES: dict[str, dict[str, Any]] = {
    rule["alert"]: rule
    for group in yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text())["groups"]
    for rule in group["rules"]
}
PAGES = ROOT / "docs/how-to/alerts"

# Each series before and now. Two workers say the same of the database, and the first has just tried something twice.
HEALTHY = """
up{job="limner",service="web",instance="web:9300"} 1 1
up{job="limner",service="worker",instance="a:9300"} 1 1
limner_database_up{instance="a:9300"} 1 1
limner_database_up{instance="b:9300"} 1 1
limner_processes{role="web",instance="a:9300"} 1 1
limner_processes{role="web",instance="b:9300"} 1 1
limner_processes{role="worker",instance="a:9300"} 2 2
limner_processes{role="bot",instance="a:9300"} 1 1
limner_http_answers_total{method="GET",route="/",status="200",instance="web:9300"} 1000 5000
limner_http_answers_total{method="GET",route="/",status="500",instance="web:9300"} 3 5
limner_http_answers_total{method="GET",route="/health/ready",status="200",instance="web:9300"} 100 900
limner_http_answers_total{method="GET",route="/health/ready",status="503",instance="web:9300"} 2 2
limner_http_answer_seconds_bucket{route="/",le="0.1",instance="web:9300"} 900 4800
limner_http_answer_seconds_bucket{route="/",le="3.0",instance="web:9300"} 1000 4990
limner_http_answer_seconds_count{route="/",instance="web:9300"} 1003 5005
limner_jobs_oldest_seconds{state="queued",instance="a:9300"} 0 1
limner_jobs_oldest_seconds{state="running",instance="a:9300"} 0 40
limner_mailbox_oldest{mailbox="painting",instance="a:9300"} 0 1
limner_mailbox_dead{mailbox="painting",instance="a:9300"} 0 0
limner_messages_handled_total{mailbox="painting",instance="a:9300"} 10 200
limner_messages_failed_total{mailbox="painting",instance="a:9300"} 0 2
limner_messages_found_by_poll_total{mailbox="painting",instance="a:9300"} 4 5
limner_child_up{child="bus",instance="a:9300"} 1 1
limner_child_up{child="poller",instance="bot:9300"} 0 0
limner_child_restarts_total{child="bus",instance="a:9300"} 7 8
limner_invoices_open{instance="a:9300"} 3 60
limner_mails_waiting{instance="a:9300"} 0 2
limner_mails_oldest_seconds{instance="a:9300"} 0 70
limner_mails_ended{how="sent",instance="a:9300"} 100 120
limner_mails_ended{how="refused",instance="a:9300"} 4 6
limner_provider_keys{provider="openai",state="active",instance="a:9300"} 2 1
limner_provider_keys{provider="openai",state="out_of_funds",instance="a:9300"} 0 1
limner_provider_keys{provider="demo",state="cooldown",instance="a:9300"} 1 1
limner_provider_keys{provider="openai",state="manual_review",instance="a:9300"} 0 0
limner_proxies{state="dead",instance="a:9300"} 0 0
limner_proxies{state="cooldown",instance="a:9300"} 0 1
limner_fund_low{provider="openai",account="main",instance="a:9300"} 0 0
limner_alerts_open{instance="a:9300"} 0 0
limner_archivist_age_seconds{kind="backup",instance="a:9300"} 3600 40000
limner_archivist_age_seconds{kind="drill",instance="a:9300"} 3600 400000
process_resident_memory_bytes{job="limner",service="web",instance="web:9300"} 7e7 8e7
process_resident_memory_bytes{job="limner",service="worker",instance="a:9300"} 9e7 1e9
process_resident_memory_bytes{job="limner",service="bot",instance="bot:9300"} 4e7 5e7
process_open_fds{job="limner",service="web",instance="web:9300"} 20 90
process_max_fds{job="limner",service="web",instance="web:9300"} 1024 1024
"""

# What has to become of which series for an alert to fire; no value: it disappears.
TROUBLES = {
    "NoWorker": ["limner_database_up", "limner_processes", "limner_jobs_oldest_seconds", "limner_mailbox_oldest"],
    "NoWeb": ['limner_processes{role="web",instance="a:9300"} 1 0', 'limner_processes{role="web",instance="b:9300"} 1 0'],
    "NoBot": ['limner_processes{role="bot",instance="a:9300"} 1 0'],
    "DoesNotAnswer": ['up{job="limner",service="worker",instance="a:9300"} 1 0'],
    "DatabaseAway": ['limner_database_up{instance="b:9300"} 1 0'],
    "WebNotReady": [
        'limner_http_answers_total{method="GET",route="/health/ready",status="503",instance="web:9300"} 2 40'
    ],
    "PicturesWait": ['limner_jobs_oldest_seconds{state="queued",instance="a:9300"} 100 121'],
    "PicturesHang": ['limner_jobs_oldest_seconds{state="running",instance="a:9300"} 1100 1201'],
    "MailboxWaits": ['limner_mailbox_oldest{mailbox="painting",instance="a:9300"} 100 301'],
    "DeadLetters": ['limner_mailbox_dead{mailbox="painting",instance="a:9300"} 0 1'],
    "HandlersFail": ['limner_messages_failed_total{mailbox="painting",instance="a:9300"} 0 60'],
    "ChildRestarts": ['limner_child_restarts_total{child="bus",instance="a:9300"} 7 13'],
    "ChildDown": ['limner_child_up{child="bus",instance="a:9300"} 1 0'],
    "BusDeaf": ['limner_messages_found_by_poll_total{mailbox="painting",instance="a:9300"} 4 30'],
    "MailsWait": ['limner_mails_oldest_seconds{instance="a:9300"} 880 901'],
    "MailsRefused": [
        'limner_mails_ended{how="sent",instance="a:9300"} 100 40', 'limner_mails_ended{how="refused",instance="a:9300"} 4 5',
    ],
    "InvoicesPileUp": ["limner_invoices_open{instance=\"a:9300\"} 21 60"],
    "NoUsableKey": [
        'limner_provider_keys{provider="openai",state="active",instance="a:9300"} 1 0',
        'limner_provider_keys{provider="openai",state="disabled",instance="a:9300"} 1 1',
    ],
    "KeysNeedALook": ['limner_provider_keys{provider="openai",state="manual_review",instance="a:9300"} 0 1'],
    "ModelRests": ['limner_model_resting{model="gpt-image-2",instance="a:9300"} 1 1'],
    "FundsLow": ['limner_fund_low{provider="openai",account="main",instance="a:9300"} 0 1'],
    "ProxyDead": ['limner_proxies{state="dead",instance="a:9300"} 0 1'],
    "AlertsOpen": ['limner_alerts_open{instance="a:9300"} 0 1'],
    "BackupOld": ['limner_archivist_age_seconds{kind="backup",instance="a:9300"} 90000 93601'],
    "DrillOld": ['limner_archivist_age_seconds{kind="drill",instance="a:9300"} 690000 691201'],
    "ErrorsServed": ['limner_http_answers_total{method="GET",route="/",status="500",instance="web:9300"} 3 400'],
    "SlowAnswers": ['limner_http_answer_seconds_bucket{route="/",le="3.0",instance="web:9300"} 1000 4700'],
    "MemoryHigh": [
        'process_resident_memory_bytes{job="limner",service="web",instance="web:9300"} 7e7 9.2e8',
        'process_resident_memory_bytes{job="limner",service="worker",instance="a:9300"} 9e7 1.9e9',
        'process_resident_memory_bytes{job="limner",service="bot",instance="bot:9300"} 4e7 4.7e8',
    ],
    "FilesRunOut": ['process_open_fds{job="limner",service="web",instance="web:9300"} 20 900'],
}  # fmt: skip

each_alert = pytest.mark.parametrize("alert", RULES)


def troubled(alert: str) -> Any:
    data = promql.series(HEALTHY)
    for change in TROUBLES[alert]:
        if " " in change:
            data |= promql.series(change)
        else:
            data = {key: values for key, values in data.items() if key[0] != change}
    return data


def fires(alert: str, data: Any) -> bool:
    return bool(promql.ask(RULES[alert]["expr"], data))


@each_alert
def test_an_alert_is_quiet_when_all_is_well(alert: str) -> None:
    assert not fires(alert, promql.series(HEALTHY))


@each_alert
def test_a_trouble_fires_its_alert_and_no_other(alert: str) -> None:
    data = troubled(alert)
    assert {other for other in RULES if fires(other, data)} == {alert}


@pytest.mark.parametrize("role", ["web", "web-b", "worker", "bot", "archivist"])
def test_the_bounds_of_memory_are_those_of_the_compose_file(role: str) -> None:
    limit = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"][role]["mem_limit"]
    number, unit = re.findall(r"(\d+)([gm])", limit)[-1]
    for share, is_high in ((0.84, False), (0.86, True)):
        used = share * int(number) * 1024 ** {"m": 2, "g": 3}[unit]
        line = f'process_resident_memory_bytes{{job="limner",service="{role}",instance="x:9300"}} 1 {used}'
        assert fires("MemoryHigh", promql.series(line)) is is_high


def test_a_worker_that_is_there_but_not_alive_is_none() -> None:
    gone = 'limner_processes{role="worker",instance="a:9300"} 2 0'
    assert fires("NoWorker", promql.series(HEALTHY) | promql.series(gone))


@each_alert
def test_an_alert_says_how_bad_it_is_what_it_is_and_where_to_read_on(alert: str) -> None:
    rule = RULES[alert]
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"]["summary"].endswith(".")
    name = re.sub(r"(?<!^)(?=[A-Z])", "-", alert).lower()
    assert rule["annotations"]["runbook"] == f"docs/how-to/alerts/{name}.md"
    page = (PAGES / f"{name}.md").read_text()
    assert page.startswith(f"# {alert}\n")
    for part in ("**Means**", "**Look**", "**Do**"):
        assert part in page, f"{name}.md has no {part}"


def test_every_page_belongs_to_an_alert() -> None:
    named = {Path(rule["annotations"]["runbook"]).name for rule in RULES.values()}
    ours = {f"{kind.page}.md" for kind in KINDS.values()}  # tests/alerts/test_rules.py
    assert {path.name for path in PAGES.glob("*.md")} == named | ours | {"README.md"}
    assert f"{len(RULES)} rules" in (ROOT / "docs/how-to/watch-with-prometheus.md").read_text()


@each_alert
def test_an_alert_asks_only_for_metrics_that_exist(alert: str) -> None:
    assert promql.metrics(RULES[alert]["expr"]) <= known_metrics()


def test_the_healthy_studio_of_these_tests_has_only_metrics_that_exist() -> None:
    assert {name for name, _ in promql.series(HEALTHY)} <= known_metrics()


needs_promtool = pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")


@needs_promtool
def test_prometheus_itself_takes_the_rules_and_judges_alike(tmp_path: Path) -> None:
    """The same cases through promtool: every alert fires on its trouble alone, and none when all is well."""
    cases = [_case(None)] + [_case(alert) for alert in RULES]
    (tmp_path / "tests.yml").write_text(
        yaml.safe_dump({"rule_files": [str(ROOT / "deploy/prometheus/rules.yml")], "tests": cases})
    )
    done = subprocess.run(
        ["promtool", "test", "rules", tmp_path / "tests.yml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _case(alert: str | None) -> dict[str, Any]:
    """Two hours and a half at the value before, then up to the value now, minute by minute, for a quarter of an hour."""
    data = promql.series(HEALTHY) if alert is None else troubled(alert)
    return {
        "interval": "1m",
        "input_series": [
            {
                "series": name + "{" + ",".join(f'{k}="{v}"' for k, v in sorted(labels)) + "}",
                "values": f"{before}x150 {before}+{(now - before) / 15}x15"
                if name.endswith(("_total", "_bucket", "_count"))
                else f"{before}x150 {now}x30",
            }
            for (name, labels), (before, now) in data.items()
        ],
        "promql_expr_test": [
            {
                "expr": 'count by (alertname) (ALERTS{alertname!=""})',
                "eval_time": "2h45m",
                "exp_samples": []
                if alert is None
                else [{"labels": f'{{alertname="{alert}"}}', "value": _count(alert)}],
            }
        ],
    }


def _count(alert: str) -> int:
    return len(promql.ask(RULES[alert]["expr"], troubled(alert)))
