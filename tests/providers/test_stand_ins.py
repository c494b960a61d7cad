"""The stand-ins as an operator starts them: from the command line, with answers from a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from limner.actors.providers.base import Access, Fault, Order, UpstreamError, provider
from tests.providers.conftest import Steps
from tests.providers.troupe import TROUPE

ROOT = Path(__file__).parents[2]


@contextmanager
def started(kind: str, *arguments: str) -> Iterator[str]:
    """The base URL at which it listens; it is stopped in the end."""
    command = [sys.executable, "-m", f"tests.upstreams.{kind}", *arguments]
    here = os.environ | {"PYTHONPATH": str(ROOT)}  # the tests' own folder is no installed package
    with subprocess.Popen(command, cwd=ROOT, env=here, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


@pytest.mark.parametrize("kind", TROUPE)
async def test_a_stand_in_paints_for_any_key_and_plays_what_its_file_says(kind: str, tmp_path: Path) -> None:
    scripts = tmp_path / "scripts.json"
    cast, order = TROUPE[kind], Order("a fox", TROUPE[kind].model, 1024, 1024, seed=1)
    once, always = {"status": 429, "headers": {"Retry-After": "7"}}, {"always": {"status": 500}}
    scripts.write_text(json.dumps({"a:tired-key": [once, always]}))
    with started(kind, "--port", "0", "--kilobytes", "60", "--scripts", str(scripts)) as url:
        done = await provider(kind).paint(order, Access(cast.key, url, is_local=True), Steps())
        assert 60_000 < len(done.data) < 90_000
        faults = []
        for _ in range(3):
            with pytest.raises(UpstreamError) as caught:
                await provider(kind).paint(order, Access("a:tired-key", url, is_local=True), Steps())
            faults.append(caught.value.fault)
    assert faults == [Fault.RATE_LIMITED, Fault.UPSTREAM_5XX, Fault.UPSTREAM_5XX]
