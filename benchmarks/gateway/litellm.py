"""The LiteLLM proxy as its pages say: two workers, a master key; without its database, which flatters it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.gateway.processes import ROOT, Failed, Started, answering, bare_environment, free_port

VENV = ROOT / "build" / "litellm"
MODEL = "gpt-image-1-mini"
KEY = "sk-benchmark-master-key"
WORKERS = 2


@dataclass
class LiteLLM:
    port: int
    tokens: list[str]
    processes: list[Started]


def install() -> str:
    """A virtual environment of its own with the newest one from the index, unless it is there. Returns the version."""
    if not (VENV / "bin" / "litellm").exists():
        print(f"installing litellm[proxy] into {VENV.relative_to(ROOT)}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
        subprocess.run([VENV / "bin" / "pip", "install", "--quiet", "--upgrade", "litellm[proxy]"], check=True)
    asked = [VENV / "bin" / "python", "-c", "import importlib.metadata; print(importlib.metadata.version('litellm'))"]
    found = subprocess.run(asked, capture_output=True, text=True)
    if found.returncode:
        raise Failed(f"{VENV} is broken, remove it: {found.stderr[-500:]}")
    return found.stdout.strip()


@contextlib.asynccontextmanager
async def running(upstream: int) -> AsyncIterator[LiteLLM]:
    """The proxy with the stand-in as its only deployment."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="limner-bench-", dir="/tmp") as name:
        folder = Path(name)
        settings = folder / "config.yaml"
        settings.write_text(yaml.safe_dump(_settings(upstream)), encoding="utf-8")
        command = [
            VENV / "bin" / "litellm", "--config", settings, "--host", "127.0.0.1", "--port", str(port),
            "--num_workers", str(WORKERS), "--telemetry", "False",
            "--timeout_worker_healthcheck", "60",  # on a busy machine its workers import for longer than the usual 5 s
        ]  # fmt: skip
        environment = bare_environment() | {
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it asks the network at its start
            "LITELLM_LOG": "ERROR",
            "LITELLM_MODE": "PRODUCTION",
        }
        url = f"http://127.0.0.1:{port}/health/liveliness"
        async with answering("litellm", [*map(str, command)], folder / "litellm.log", url, environment) as process:
            yield LiteLLM(port, [KEY], [process])


def _settings(upstream: int) -> dict[str, object]:
    way = {"model": f"openai/{MODEL}", "api_base": f"http://127.0.0.1:{upstream}/v1", "api_key": "sk-stand-in"}
    return {
        "model_list": [{"model_name": MODEL, "litellm_params": way}],
        "general_settings": {"master_key": KEY},
    }
