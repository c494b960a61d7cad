"""Measures a to g: how fast jobs go in and out, how long they wait, and what that costs."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.runtime import cost
from benchmarks.runtime.peer import CALLERS, Peer
from benchmarks.runtime.processes import Role, producing, working
from benchmarks.runtime.server import Server, connected

Measures = dict[str, float]
CAP = 16.0
"""Seconds that a drain may take; a slower peer is measured over what it has done by then."""
POLL = 0.002
RATE = 200


@dataclass(frozen=True)
class Size:
    """How much of everything: jobs in the drain, seconds of each storm and of the load, jobs of the idle latency."""

    drain: int = 20_000
    storm: float = 3.0
    idle: int = 300
    load: float = 10.0
    pinned: int = 5_000
    """Jobs in each of the eight cycles of the pinned horizon."""
    steady: float = 8.0
    """Seconds of load on either side of a fault."""
    beside: float = 2.0
    """Seconds of each slice of the writers beside."""


QUICK = Size(drain=20_000, storm=1.0, idle=60, load=3.0, pinned=5_000, steady=5.0, beside=1.0)


async def measure(server: Server, peer: Peer, size: Size, seed: int) -> Measures:
    """All phases of one peer in one round, each in a fresh database."""
    template = f"template_{peer.name}"
    async with server.fresh(template) as dsn:
        measures = await _bulk_and_drain(server, peer, dsn, size.drain)
    for name, callers in (("single_1", 1), (f"single_{CALLERS}", CALLERS)):
        async with server.fresh(template) as dsn:
            measures[name] = await _storm(peer, dsn, size.storm, callers)
    async with server.fresh(template) as dsn:
        measures |= await _idle(peer, dsn, size.idle, random.Random(seed))
    async with server.fresh(template) as dsn:
        measures |= await _load(server, peer, dsn, size.load)
    return measures


async def warm_up(producer: Role, worker: Role, jobs: int = 5) -> None:
    """Returns when the worker has started some jobs: it is listening, and its statements are prepared."""
    for number in range(-jobs, 0):
        await producer.ask("one", number)
        await worker.started(number)


async def _bulk_and_drain(server: Server, peer: Peer, dsn: str, jobs: int) -> Measures:
    async with connected(dsn) as connection:
        empty = await cost.now(connection, worker=0, postmaster=server.pid)
        async with producing(peer, dsn) as producer:
            bulk = await producer.ask("many", jobs, patience=120)
        full = await cost.now(connection, worker=0, postmaster=server.pid)
        drain = await _drain(server, peer, dsn, connection, jobs)
    wal_in = (full - empty).wal / jobs
    return {"bulk": jobs / bulk["seconds"], **drain, "wal": wal_in + drain["wal_out"], "wal_in": wal_in}


async def _drain(server: Server, peer: Peer, dsn: str, connection: Any, jobs: int) -> Measures:
    """From the start of the first handler until no job is unfinished."""
    async with working(peer, dsn, "--every", str(jobs)) as worker:
        began = int((await worker.line()).split()[1])
        before = await cost.now(connection, worker=worker.pid, postmaster=server.pid)
        try:
            await worker.line(CAP)
            while (left := await connection.fetchval(peer.unfinished)) > 0:
                if time.monotonic() - began / 1e9 > CAP:
                    break
                await asyncio.sleep(POLL)
        except TimeoutError:
            left = await connection.fetchval(peer.unfinished)
        seconds = (time.monotonic_ns() - began) / 1e9
        spent = await cost.now(connection, worker=worker.pid, postmaster=server.pid) - before
    done = max(jobs - int(left), 1)
    return {
        "drain": done / seconds,
        "cpu_worker": spent.worker / done * 1000,
        "cpu_postgres": spent.postgres / done * 1000,
        "cpu": (spent.worker + spent.postgres) / done * 1000,
        "wal_out": spent.wal / done,
        "left": float(left),
    }


async def _storm(peer: Peer, dsn: str, seconds: float, callers: int) -> float:
    async with producing(peer, dsn) as producer:
        for number in range(5):
            await producer.ask("one", number)
        done = await producer.ask("storm", seconds, callers, patience=seconds + 60)
    return float(done["count"] / done["seconds"])


async def _idle(peer: Peer, dsn: str, jobs: int, chance: random.Random) -> Measures:
    """One job at a time: from the call of enqueue until its handler starts."""
    waits = []
    async with producing(peer, dsn) as producer, working(peer, dsn) as worker:
        await warm_up(producer, worker)
        for number in range(jobs):
            await asyncio.sleep(chance.uniform(0.005, 0.050))
            asked = await producer.ask("one", number)
            waits.append(await worker.started(number) - asked["began"])
    return {"idle_p50": percentile(waits, 0.50), "idle_p99": percentile(waits, 0.99)}


async def _load(server: Server, peer: Peer, dsn: str, seconds: float) -> Measures:
    """An open loop of 200 jobs/s; what has not started ten seconds after its end counts as waiting until then."""
    async with connected(dsn) as connection, producing(peer, dsn) as producer, working(peer, dsn) as worker:
        await warm_up(producer, worker)
        before = await cost.now(connection, worker=worker.pid, postmaster=server.pid)
        producer.say("steady", RATE, seconds, 0)
        starts = await collect(worker, range(round(RATE * seconds)), seconds + 10)
        spent = await cost.now(connection, worker=worker.pid, postmaster=server.pid) - before
        ended = time.monotonic_ns()
        asked = (await producer.answer(120))["asked"]
    waits = [starts.get(number, ended) - moment for number, moment in enumerate(asked)]
    return {
        "load_p50": percentile(waits, 0.50),
        "load_p99": percentile(waits, 0.99),
        "load_cpu": (spent.worker + spent.postgres) / len(asked) * 1000,
        "load_missing": float(len(asked) - len(starts)),
    }


async def collect(worker: Role, numbers: range, patience: float) -> dict[int, int]:
    """The first start of each of these jobs, as far as they come within ``patience`` seconds."""
    starts: dict[int, int] = {}
    try:
        async with asyncio.timeout(patience):
            while len(starts) < len(numbers):
                number, moment = (await worker.line(patience)).split()
                if int(number) in numbers:
                    starts.setdefault(int(number), int(moment))
    except TimeoutError:
        pass
    return starts


def percentile(waits: list[int], share: float) -> float:
    """Of nanoseconds, in milliseconds."""
    ranked = sorted(waits)
    return ranked[min(len(ranked) - 1, int(len(ranked) * share))] / 1e6


def rates(measures: Mapping[str, float]) -> str:
    """One line for who watches."""
    shown = ("bulk", "single_1", f"single_{CALLERS}", "drain", "idle_p50", "idle_p99", "load_p50", "load_p99")
    return "  ".join(f"{name} {measures[name]:,.6g}" for name in shown if name in measures)
