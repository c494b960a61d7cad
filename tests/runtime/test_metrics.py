"""Metrics: what is shown is what was counted and found, and the page in the documents lists all of it."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import aiohttp
import anyio
import pytest
from prometheus_client.parser import text_string_to_metric_families

from limner.runtime import mailbox, metrics
from limner.runtime.metrics import Gauge, Metrics
from limner.runtime.presence import Presence
from limner.sql import gauges
from limner.sql.billing import CheckOpenInvoices
from tests.conftest import settings

CREW = [
    {"name": "poller", "state": "deaf", "restarts": 0, "last_ok": 1_790_000_000.5},
    {"name": "bus", "state": "degraded", "restarts": 2},
    {
        "name": "counter", "state": "running", "restarts": 0, "children": [
            {"name": "Cashier", "state": "running", "restarts": 0, "mailbox": "billing", "handled": 7, "failed": 2,
             "found_by_poll": 1, "in_hand": 3, "pace": 0.25},
        ],
    },
]  # fmt: skip


def samples(page: bytes) -> dict[str, float]:
    return {
        sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


async def test_what_a_supervisor_reports_is_shown_at_any_depth():
    found = samples(await Metrics(lambda: CREW).page())
    assert (found["limner_child_up bus"], found["limner_child_up Cashier"]) == (0, 1)
    assert found["limner_child_up poller"] == 0
    assert found["limner_child_last_ok_timestamp_seconds poller"] == 1_790_000_000.5
    assert found["limner_child_restarts_total bus"] == 2
    assert found["limner_messages_handled_total billing"] == 7
    assert found["limner_messages_in_hand billing"] == 3
    assert found["limner_message_seconds billing"] == 0.25
    assert found["process_resident_memory_bytes"] > 1e6


async def test_what_the_database_knows_is_read_and_told_again_for_a_while(db):
    reads = 0

    async def read():
        nonlocal reads
        reads += 1
        return await gauges.read(db, 15)

    worker = Presence(db, "worker", lease=15)
    await worker.beat()
    await mailbox.send(db, CheckOpenInvoices())
    shown = Metrics(list, read)
    found = samples(await shown.page())
    assert found["limner_processes worker"] == 1
    assert found["limner_processes bot"] == 0
    assert found["limner_mailbox_waiting billing"] == 1
    assert found["limner_provider_keys demo active"] == 3
    assert found["limner_proxies dead"] == 0
    assert found["limner_jobs queued"] == 0
    assert found["limner_database_up"] == 1
    assert samples(await shown.page())["limner_processes worker"] == 1
    assert reads == 1


async def test_when_the_database_is_away_old_numbers_are_not_told_as_news():
    answers = [[Gauge("jobs", "…", ("state",), {("queued",): 5.0})], OSError("no route")]

    async def read():
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    shown = Metrics(list, read, fresh=0)
    assert samples(await shown.page())["limner_jobs queued"] == 5
    later = samples(await shown.page())
    assert later["limner_database_up"] == 0
    assert "limner_jobs queued" not in later


async def test_the_page_is_served_on_its_own_port(dsn, tmp_path):
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port = trial.getsockname()[1]
    config = settings(dsn, tmp_path, metrics_port=port)
    async with anyio.create_task_group() as group, aiohttp.ClientSession() as session:
        group.start_soon(metrics.serve, config, Metrics(lambda: CREW))
        with anyio.fail_after(10):
            while True:
                try:
                    async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
                        assert answer.status == 200
                        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
                        assert samples(await answer.read())["limner_child_up bus"] == 0
                        break
                except aiohttp.ClientConnectorError:
                    await anyio.sleep(0.02)
            async with session.get(f"http://127.0.0.1:{port}/") as answer:
                assert answer.status == 404
        group.cancel_scope.cancel()


async def test_the_document_lists_every_metric_and_no_other(db):
    async def read():
        return await gauges.read(db, 15, sends_mail=True)

    await mailbox.send(db, CheckOpenInvoices())
    page = (await Metrics(lambda: CREW, read).page()).decode()
    found = set(re.findall(r"^# TYPE (limner_\w+) (?:counter|gauge|histogram)$", page, re.M))
    listed = set(re.findall(r"^\| `(limner_\w+)`", Path("docs/reference/metrics.md").read_text(), re.M))
    assert {name for name in found if not name.endswith("_created")} == listed


@pytest.mark.parametrize("port", ["-1", "65536"])
def test_a_port_that_cannot_be_is_refused(dsn, tmp_path, port):
    with pytest.raises(Exception, match="LIMNER_METRICS_PORT"):
        settings(dsn, tmp_path, metrics_port=port)
