"""How the crew is shown on a terminal: a tree of processes and a table of mailboxes, or both as plain data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from limner.sql.crew import MOST, Depth, Process

COUNTS = ("waiting", "in_hand", "later", "dead")


@dataclass(frozen=True)
class Traffic:
    """What all actors of a mailbox did since their start, ``rate`` in messages a second, ``pace`` in seconds a message.

    ``by_poll``: messages that a look found and no notification told of. None: no living actor says.
    """

    handled: int
    failed: int
    by_poll: int
    rate: float | None
    pace: float | None


def data(processes: Sequence[Process], depths: Sequence[Depth]) -> dict[str, Any]:
    """Fit for JSON. Where a count is more than 100,000 it says 100,000, and is named in ``more_than``."""
    return {
        "processes": [
            asdict(each) | {"id": str(each.id), "up": round(each.up, 1), "silent": round(each.silent, 1)}
            for each in processes
        ],
        "mailboxes": [_box(depth) | _rounded(traffic) for depth, traffic in _mailboxes(processes, depths)],
    }


def lines(processes: Sequence[Process], depths: Sequence[Depth]) -> list[str]:
    """The same for people."""
    shown = [line for each in processes for line in _process(each)] or ["no process is alive"]
    boxes = [_row(depth, traffic) for depth, traffic in _mailboxes(processes, depths)]
    head = (
        f"{'mailbox':<14}{'waiting':>10}{'in hand':>9}{'later':>10}{'oldest':>10}{'rate':>9}{'pace':>9}"
        f"{'handled':>10}{'failed':>8}{'by poll':>9}{'dead in 24 h':>14}"
    )
    return [*shown, "", head, *boxes] if boxes else [*shown, "", "every mailbox is empty"]


def _process(process: Process) -> Iterator[str]:
    state = "paused" if process.paused else process.state
    yield (
        f"{process.role:<8} {str(process.id)[:8]}  {process.host}:{process.pid}  {state} for {_span(process.up)},"
        f" heard {_span(process.silent)} ago"
    )
    yield from _branch(process.children, "  ")


def _branch(children: list[dict[str, Any]], indent: str) -> Iterator[str]:
    for child in children:
        since = _span(child["since"]) if "since" in child else ""
        parts = [f"{indent}{child['name']:<{16 - len(indent)}}{child.get('state', ''):<10}{since:>9}"]
        if "mailbox" in child:
            parts.append(f"in hand {child['in_hand']}, handled {child['handled']}, failed {child['failed']}")
        if child.get("hears_by") == "poll":
            parts.append("polls every second")
        if child.get("restarts"):
            parts.append(f"restarted {child['restarts']} times")
        if child.get("last_error"):
            parts.append(f"last error: {child['last_error']}")
        yield "  ".join(parts)
        yield from _branch(child.get("children", []), indent + "  ")


def _mailboxes(processes: Sequence[Process], depths: Sequence[Depth]) -> list[tuple[Depth, Traffic]]:
    """Those that hold something, and those that somebody works for."""
    actors = [actor for process in processes for actor in process.actors()]
    found = {each["mailbox"]: Depth(each["mailbox"], 0, 0, 0, 0.0, 0) for each in actors}
    found |= {depth.mailbox: depth for depth in depths}
    return [(found[name], _traffic([each for each in actors if each["mailbox"] == name])) for name in sorted(found)]


def _traffic(actors: list[dict[str, Any]]) -> Traffic:
    handled, failed, by_poll = (
        sum(each.get(name, 0) for each in actors) for name in ("handled", "failed", "found_by_poll")
    )
    rates = [each["rate"] for each in actors if "rate" in each]
    paces = [each["pace"] for each in actors if "pace" in each and each.get("handled")]
    rate = sum(rates) if rates else None
    return Traffic(handled, failed, by_poll, rate, sum(paces) / len(paces) if paces else None)


def _rounded(traffic: Traffic) -> dict[str, Any]:
    return {name: round(value, 4) if value is not None else None for name, value in asdict(traffic).items()}


def _box(depth: Depth) -> dict[str, Any]:
    shown = asdict(depth) | {name: min(getattr(depth, name), MOST) for name in COUNTS}
    return shown | {
        "oldest": round(depth.oldest, 1),
        "more_than": [name for name in COUNTS if getattr(depth, name) > MOST],
    }


def _row(depth: Depth, traffic: Traffic) -> str:
    waiting, in_hand, later, dead = (_count(getattr(depth, name)) for name in COUNTS)
    rate = "" if traffic.rate is None else f"{traffic.rate:.2f}/s"
    pace = "" if traffic.pace is None else f"{traffic.pace:.3f} s"
    return (
        f"{depth.mailbox:<14}{waiting:>10}{in_hand:>9}{later:>10}{_span(depth.oldest):>10}{rate:>9}{pace:>9}"
        f"{traffic.handled:>10}{traffic.failed:>8}{traffic.by_poll:>9}{dead:>14}"
    )


def _count(number: int) -> str:
    return f"{number:,}" if number <= MOST else f"{MOST:,}+"


def _span(seconds: float) -> str:
    """Seconds as an operator reads them: 40 s, 14 min, 3 h, 2 d."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
