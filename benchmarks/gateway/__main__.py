"""Run the rounds, print the table, and end with one line of JSON."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks.gateway import limner, litellm, report
from benchmarks.gateway.limner import Limner
from benchmarks.gateway.processes import Failed, Started, answers, free_port, python, started
from benchmarks.gateway.report import DIRECT, OURS, THEIRS
from limner.runtime import log

CALLERS = (1, 16, 64)
PATH = "/v1/images/generations"
PATIENCE = 300.0
"""Seconds that the small copies of a phase may take before the next one."""


@dataclass(frozen=True)
class Target:
    """Where callers order."""

    name: str
    port: int
    model: str
    tokens: Sequence[str]
    processes: Sequence[Started]
    limner: Limner | None = None


def main() -> None:
    chosen = _options()
    log.set_up("bench", level="warning")
    limner.install()
    version = litellm.install()
    rounds = asyncio.run(_run(chosen.rounds, chosen.seconds, chosen.callers))
    print(report.table(rounds))
    moved = report.unsteady(rounds)
    if moved:
        print(f"\nNOT VALID: the direct call moved more than {report.STEADY:g}x between rounds: {', '.join(moved)}")
    versions = {"litellm": version, "python": platform.python_version(), "asyncpg": asyncpg.__version__}
    print(json.dumps(report.summary(rounds) | {"versions": versions, "machine": _machine()}), flush=True)
    sys.exit(1 if moved else 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway", description=__doc__)
    parser.add_argument("--rounds", type=_count, default=5)
    parser.add_argument("--seconds", type=_count, default=8, help="of each phase, after one to warm up")
    parser.add_argument("--callers", type=lambda text: [_count(part) for part in text.split(",")], default=CALLERS)
    return parser.parse_args()


def _count(text: str) -> int:
    if not text.strip().isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 up")
    return int(text)


def _machine() -> dict[str, Any]:
    load = [round(value, 1) for value in os.getloadavg()]
    return {"cpus": os.cpu_count(), "load": load, "system": platform.platform(terse=True)}


async def _run(rounds: int, seconds: float, crowds: Sequence[int]) -> list[dict[str, dict[int, dict[str, float]]]]:
    """One dictionary for each round. The gateways take turns in being the first."""
    done = []
    async with _targets() as (direct, *gateways):
        for target in (direct, *gateways):  # imports, caches, connections
            await _call(target, max(crowds), 3)
            await _caught_up(target)
        for number in range(rounds):
            found: dict[str, dict[int, dict[str, float]]] = {}
            for callers in crowds:
                turns = [direct, *gateways] if number % 2 else [direct, *reversed(gateways)]
                for target in turns:
                    measured = await _measured(target, callers, seconds)
                    if target is not direct:
                        measured = report.beyond(measured, found[DIRECT][callers])
                    found.setdefault(target.name, {})[callers] = measured
                    _say(number, target, callers, measured)
            done.append(found)
    return done


@contextlib.asynccontextmanager
async def _targets() -> AsyncIterator[tuple[Target, ...]]:
    """The stand-in itself, and both gateways before it. They run at the same time; one at a time is asked."""
    port = free_port()
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="limner-bench-", dir="/tmp")))
        command = python("benchmarks.gateway.upstream", port)
        upstream = stack.enter_context(started("upstream", command, folder / "upstream.log"))
        await answers(upstream, f"http://127.0.0.1:{port}/")
        ours = await stack.enter_async_context(limner.running(port))
        theirs = await stack.enter_async_context(litellm.running(port))
        yield (
            Target(DIRECT, port, limner.MODEL, ["sk-nobody-asks"], [upstream]),
            Target(OURS, ours.port, limner.MODEL, ours.tokens, ours.processes, ours),
            Target(THEIRS, theirs.port, litellm.MODEL, theirs.tokens, theirs.processes),
        )


async def _measured(target: Target, callers: int, seconds: float) -> dict[str, float]:
    """Raises Failed when one answer was not the upstream's picture."""
    spent = sum(each.cpu() for each in target.processes)
    answer = await _call(target, callers, seconds)
    if answer["wrong"] or not answer["waits"]:
        raise Failed(f"{target.name} answered {answer['wrong']} orders wrongly: {answer['first_wrong']}")
    found = report.measures(answer)
    found["cpu"] = (sum(each.cpu() for each in target.processes) - spent) * 1000 / answer["answered"]
    if target.name != DIRECT:
        sizes = [each.memory() for each in target.processes]
        found |= {"rss": sum(rss for rss, _ in sizes), "pss": sum(pss for _, pss in sizes)}
    return found | await _caught_up(target)


async def _call(target: Target, callers: int, seconds: float) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *python("benchmarks.gateway.callers", target.port, callers, seconds),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    asked = {"path": PATH, "model": target.model, "tokens": target.tokens}
    output, _ = await process.communicate(json.dumps(asked).encode())
    if process.returncode:
        raise Failed(f"the callers of {target.name} ended with {process.returncode}")
    return json.loads(output)  # type: ignore[no-any-return]


async def _caught_up(target: Target) -> dict[str, float]:
    """What follows behind is done before anybody else is measured; how much it was, and how long it took."""
    if target.limner is None:
        return {}
    began, behind = time.monotonic(), await target.limner.behind()
    while await target.limner.behind():
        if time.monotonic() - began > PATIENCE:
            raise Failed(f"small copies are still to come after {PATIENCE:.0f} s")
        await asyncio.sleep(0.2)
    return {"behind": behind, "behind_s": time.monotonic() - began}


def _say(number: int, target: Target, callers: int, found: dict[str, float]) -> None:
    load = os.getloadavg()[0]
    print(
        f"round {number + 1}  {callers:3} callers  {target.name:8} {found['rate']:7.1f}/s  p50 {found['p50']:7.1f} ms"
        f"  p99 {found['p99']:7.1f} ms  load {load:.1f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
