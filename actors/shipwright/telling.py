"""How a deployment is told: line by line, whether or not somebody still looks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from limner.actors.shipwright.fleet import Broken
from limner.runtime.report import Line, Say


@contextmanager
def told(say: Say, code: str) -> Iterator[Say]:
    """A release that is broken is told as a line, with its logs. A terminal that has gone away stops nothing."""

    def tell(line: Line) -> None:
        with suppress(OSError):
            say(line)

    try:
        yield tell
    except Broken as why:
        logs = "".join(f"\n        {line}" for line in why.logs.splitlines())
        tell(Line(code, "fail", f"{why}{logs}"))
