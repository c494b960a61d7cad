"""Run the rounds, print the table, and end with one line of JSON."""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import json
import os
import platform
import sys
from typing import Any

from benchmarks.runtime import faults, phases, report
from benchmarks.runtime.peer import Peer, load
from benchmarks.runtime.peers import NAMES
from benchmarks.runtime.phases import QUICK, Measures, Size
from benchmarks.runtime.processes import Failed
from benchmarks.runtime.server import Server, running

OWN = ("bare", "limner")
"""Whose behaviour under faults is measured, too."""


def main() -> None:
    chosen = _options()
    peers = _peers(chosen.only)
    rounds, postgres = asyncio.run(_run(peers, chosen.rounds, chosen.fault_rounds, QUICK if chosen.quick else Size()))
    print(report.table(rounds))
    moved = report.unsteady(rounds)
    if moved:
        print(f"\nNOT VALID: `bare` moved more than {report.STEADY:g}x between rounds: {', '.join(moved)}")
    print(
        json.dumps(report.summary(rounds) | {"versions": _versions(peers, postgres), "machine": _machine()}), flush=True
    )
    sys.exit(1 if moved else 0)


def _versions(peers: list[Peer], postgres: str) -> dict[str, str]:
    drivers = {name: importlib.metadata.version(name) for name in ("asyncpg", "uvloop")}
    return {"postgres": postgres, "python": platform.python_version(), **drivers} | {
        peer.name: peer.version() for peer in peers
    }


def _machine() -> dict[str, Any]:
    return {"cpus": os.cpu_count(), "load": round(os.getloadavg()[0], 1), "system": platform.platform(terse=True)}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.runtime", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--fault-rounds", type=int, default=3, help="of them with pinned xmin, kill -9, restarts, other writers"
    )
    parser.add_argument("--only", default=",".join(NAMES), help="peers, by commas")
    parser.add_argument("--quick", action="store_true", help="shorter phases, for a look")
    return parser.parse_args()


def _peers(only: str) -> list[Peer]:
    peers = []
    for name in only.split(","):
        if name not in NAMES:
            sys.exit(f"there is no peer {name}: {', '.join(NAMES)}")
        try:
            peer = load(name)
            why = peer.absent()
        except ModuleNotFoundError as missing:
            why = f"{missing.name} is not installed: it is in the extra `bench`"
        if why:
            print(f"left out: {name}: {why}", flush=True)
        else:
            peers.append(peer)
    return peers


async def _run(peers: list[Peer], rounds: int, fault_rounds: int, size: Size) -> tuple[list[dict[str, Measures]], str]:
    """One dictionary for each round: the measures of each peer, which take turns in being the first."""
    done: list[dict[str, Measures]] = []
    async with running() as server:
        for peer in peers:
            await server.execute(f"create database template_{peer.name}")
            await peer.install(server.dsn(f"template_{peer.name}"))
        for number in range(rounds):
            turn = number % len(peers)
            done.append(
                {
                    peer.name: await _measure(server, peer, size, number, number < fault_rounds)
                    for peer in [*peers[turn:], *peers[:turn]]
                }
            )
        return done, await server.version()


async def _measure(server: Server, peer: Peer, size: Size, number: int, with_faults: bool) -> Measures:
    """Nothing of a round in which the peer failed counts; it is said aloud."""
    try:
        measures = await phases.measure(server, peer, size, number)
        if with_faults and peer.name in OWN:
            measures |= await faults.measure(server, peer, size)
    except (Failed, TimeoutError) as why:
        print(f"round {number + 1}  {peer.name:14}FAILED: {why or 'no answer in time'}", flush=True)
        return {}
    print(f"round {number + 1}  {peer.name:14}{phases.rates(measures)}", flush=True)
    return measures


if __name__ == "__main__":
    main()
