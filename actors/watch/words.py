"""How alerts are said: one line for what is to be told of each."""

from __future__ import annotations

from collections.abc import Container, Sequence

from limner.runtime.spans import duration
from limner.sql.alerts import Alert

ROOM = 3400
"""Characters for the lines of one message: Telegram takes 4096, and some stand around them."""
LONGEST_LINE = 1000


def line(alert: Alert, put_aside: Container[str] = ()) -> str:
    """What is to be told of it now. ``put_aside``: the causes that somebody settled by hand."""
    if alert.ended_at is not None:
        return f"✅ {_over(alert, put_aside)}"
    if alert.told == "":
        return f"⚠️ {alert.words}"
    if alert.news:
        return f"⚠️ Came back {times(alert.news)}: {alert.words}"
    return f"⚠️ Still so after {duration(alert.seconds)}: {alert.words}"


def _over(alert: Alert, put_aside: Container[str]) -> str:
    lasted = duration(alert.seconds)
    if alert.told == "open":
        how = "Settled by hand" if alert.cause in put_aside else "Fine again"
        back = f" It came back {times(alert.news)}." if alert.news else ""
        return f"{how} after {lasted}.{back} It was: {alert.words}"
    if alert.told == "over":
        return f"Came back {times(alert.news)}, and is fine again. It was: {alert.words}"
    back = f" and came back {times(alert.returns)}" if alert.returns else ""
    return f"Lasted {lasted}{back}, and is fine again. It was: {alert.words}"


def gathered(lines: Sequence[str], most: int) -> str:
    """As many of these lines as one message takes, and how many more there are."""
    shown, room = list[str](), ROOM
    for each in lines[:most]:
        clipped = each if len(each) <= LONGEST_LINE else f"{each[: LONGEST_LINE - 1]}…"
        room -= len(clipped) + 1
        if room < 0:
            break
        shown.append(clipped)
    left_out = len(lines) - len(shown)
    return "\n".join([*shown, *([f"… and {left_out} more."] if left_out else [])])


def times(count: int) -> str:
    """Once, twice, 3 times."""
    return {1: "once", 2: "twice"}.get(count, f"{count} times")
