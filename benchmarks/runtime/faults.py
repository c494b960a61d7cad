"""Goals 9 to 12: a pinned xmin, a killed worker, a lost listener, a restart of Postgres, and writers beside."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from benchmarks.runtime.peer import CALLERS, Peer, load
from benchmarks.runtime.phases import Measures, Size, collect, warm_up
from benchmarks.runtime.processes import Failed, Role, producing, working
from benchmarks.runtime.server import Server, connected

CYCLES = 8
RATE = 300
"""Jobs a second while Postgres is restarted or listeners are killed."""
SECOND = 1_000_000_000
KILLED = 40.0
"""Seconds to wait for another worker to take over; longer than any lease here."""
PRODUCERS = 16
BESIDE = 400
"""Jobs a second of all those producers together: far below what they could do, so that commits and not CPU are measured."""
WRITERS = 4
SLICES = 7


async def measure(server: Server, peer: Peer, size: Size) -> Measures:
    """All of them for one peer, each in a fresh database."""
    template = f"template_{peer.name}"
    measures: Measures = {}
    for name, pinned in (("unpinned", False), ("pinned", True)):
        async with server.fresh(template) as dsn:
            measures[name] = await _claim_rate(peer, dsn, size.pinned, pinned)
    async with server.fresh(template) as dsn:
        measures["killed"] = await _killed(peer, dsn)
    for name, fault in (("listener", _end_listeners), ("restart", _restart)):
        async with server.fresh(template) as dsn:
            measures |= {
                f"{name}_{key}": value for key, value in (await _recovery(server, peer, dsn, size, fault)).items()
            }
    async with server.fresh(template) as dsn:
        measures |= await _beside(peer, dsn, size.beside)
    return measures


async def _claim_rate(peer: Peer, dsn: str, jobs: int, pinned: bool) -> float:
    """Jobs/s of the last quarter of eight backlogs; the worker is frozen while each is laid down."""
    seconds = []
    async with contextlib.AsyncExitStack() as stack:
        producer = await stack.enter_async_context(producing(peer, dsn))
        worker = await stack.enter_async_context(working(peer, dsn, "--every", str(jobs)))
        await warm_up(producer, worker)
        if pinned:
            await stack.enter_async_context(_pinning(dsn))
        for _ in range(CYCLES):
            worker.process.send_signal(signal.SIGSTOP)
            await producer.ask("many", jobs)
            worker.process.send_signal(signal.SIGCONT)
            first, last = [int((await worker.line()).split()[1]) for _ in range(2)]
            seconds.append((last - first) / SECOND)
    last_quarter = seconds[-CYCLES // 4 :]
    return jobs * len(last_quarter) / sum(last_quarter)


@contextlib.asynccontextmanager
async def _pinning(dsn: str) -> AsyncIterator[None]:
    """What a forgotten session or a long dump does: no dead row may go while its snapshot is held."""
    async with connected(dsn) as connection, connection.transaction(isolation="repeatable_read"):
        await connection.execute("create temporary table pin ()")  # a transaction id of its own, besides the snapshot
        yield


async def _killed(peer: Peer, dsn: str) -> float:
    """Seconds from the kill -9 of a worker until another one starts the job that it had in hand."""
    async with producing(peer, dsn) as producer, working(peer, dsn, "--hold") as victim:
        await producer.ask("one", 1)
        await victim.started(1)
        async with working(peer, dsn) as heir:
            await _until_heard(producer, heir)
            killed = time.monotonic_ns()
            await victim.kill()
            return (await heir.started(1, KILLED) - killed) / SECOND


async def _until_heard(producer: Role, heir: Role) -> None:
    for number in itertools.count(2):
        await producer.ask("one", number)
        with contextlib.suppress(TimeoutError):
            await heir.line(0.2)
            return
        if number > 200:
            raise Failed("the second worker takes no job")


Fault = Callable[[Server, str], Awaitable[None]]


async def _end_listeners(server: Server, dsn: str) -> None:
    async with connected(dsn) as connection:
        ended = await connection.fetch(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid() and query ~* '^\\s*listen'"
        )
    if not ended:
        raise Failed("no session is listening")


async def _restart(server: Server, dsn: str) -> None:
    await server.restart()


async def _recovery(server: Server, peer: Peer, dsn: str, size: Size, fault: Fault) -> Measures:
    """Under 300 jobs/s: seconds from the fault until two seconds in a row have 0.95 of the rate before it."""
    seconds = 3 * size.steady
    async with producing(peer, dsn) as producer, working(peer, dsn) as worker:
        await warm_up(producer, worker)
        producer.say("steady", RATE, seconds, 0)
        collecting = asyncio.create_task(collect(worker, range(round(RATE * seconds)), seconds + KILLED))
        await asyncio.sleep(size.steady)
        struck = time.monotonic_ns()
        await fault(server, dsn)
        over = time.monotonic_ns()
        starts = await collecting
        asked = (await producer.answer(120))["asked"]
        restarted = worker.process.returncode is not None
    return {
        "recovery": _recovered(sorted(starts.values()), struck, size.steady),
        "outage": (over - struck) / SECOND,
        "lost": float(len(asked) - len(starts)),
        "process_ended": float(restarted),
    }


def _recovered(starts: list[int], struck: int, steady: float) -> float:
    """Until the rate is back, and no silence follows; infinity when it did not come back while it was watched."""
    before = _rate(starts, struck - int(steady * SECOND * 3 / 4), steady * 3 / 4)
    silent = [(end - struck) / SECOND for begin, end in itertools.pairwise(starts) if _is_silence(begin, end, struck)]
    for tenth in range(round((2 * steady - 2) * 10)):
        moment = struck + tenth * SECOND // 10
        if all(_rate(starts, begin, 1.0) >= 0.95 * before for begin in (moment, moment + SECOND)):
            return max(tenth / 10, *silent, 0.0)
    return float("inf")


def _is_silence(begin: int, end: int, struck: int) -> bool:
    """A pause of a quarter of a second that the fault may have caused: it began within five seconds of it."""
    return end > struck and begin < struck + 5 * SECOND and end - begin > SECOND // 4


def _rate(starts: list[int], begin: int, seconds: float) -> float:
    return sum(begin <= moment < begin + seconds * SECOND for moment in starts) / seconds


async def _beside(peer: Peer, dsn: str, seconds: float) -> Measures:
    """What ordinary writers do beside 16 enqueueing processes, against beside 16 that insert the same into a plain table."""
    plain = load("plain")
    await plain.install(dsn)
    async with contextlib.AsyncExitStack() as stack:
        writers = await stack.enter_async_context(producing(plain, dsn))
        queue = [await stack.enter_async_context(producing(peer, dsn)) for _ in range(PRODUCERS)]
        control = [await stack.enter_async_context(producing(plain, dsn)) for _ in range(PRODUCERS)]
        kept, sent = [], []
        for _ in range(SLICES):
            without, _rate_of_control = await _slice(writers, control, seconds)
            with_queue, rate = await _slice(writers, queue, seconds)
            kept.append(with_queue / without)
            sent.append(rate)
    return {"beside_kept": statistics.median(kept), "beside_rate": statistics.median(sent)}


async def _slice(writers: Role, others: list[Role], seconds: float) -> tuple[float, float]:
    """Commits/s of the writers, and jobs/s of the others."""
    for other in others:
        other.say("pace", BESIDE / PRODUCERS, seconds, CALLERS)
    written = await writers.ask("storm", seconds, WRITERS)
    sent = [await other.answer() for other in others]
    return written["count"] / written["seconds"], sum(each["count"] / each["seconds"] for each in sent)
