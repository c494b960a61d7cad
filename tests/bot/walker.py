"""The walker: presses every button that it can reach from the dashboard, two of a kind, and notes what it saw."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field

from limner.actors.bot import words
from tests.bot.conftest import dashboard, tap, toast
from tests.upstreams.telegram import Call, FakeTelegram

MOST_STEPS = 600
STALE = {words.label(locale, "frame.stale") for locale in words.ORDER}
MAY_NOT = {words.label(locale, "frame.may_not") for locale in words.ORDER}


@dataclass
class Seen:
    """``trail``: the words of the buttons that led here from the dashboard; ``toast``: what came up meanwhile."""

    screen: Call
    trail: tuple[str, ...] = ()
    toast: str = ""
    data: str = ""


@dataclass
class Walk:
    fake: FakeTelegram
    most: int = 2
    """Buttons of one kind that are pressed."""
    seen: list[Seen] = field(default_factory=list)
    _times: dict[str, int] = field(default_factory=dict)

    async def all(self) -> list[Seen]:
        """Every screen, in the order in which they were found."""
        shown = await dashboard(self.fake)
        waiting = deque([Seen(shown)])
        self.seen.append(waiting[0])
        while waiting:
            here = waiting.popleft()
            for text, data in here.screen.buttons.items():
                if not self._is_new(data):
                    continue
                screen = await tap(self.fake, shown, data)
                shown = screen if "made" in screen.args else shown
                found = Seen(screen, (*here.trail, text), await toast(self.fake), data)
                self._check(found)
                self.seen.append(found)
                (waiting.appendleft if _asks(screen) else waiting.append)(found)  # a yes is pressed while it stands
        return self.seen

    def _is_new(self, data: str) -> bool:
        """A choice of language would change how the walk goes on."""
        kind = shape(data)
        self._times[kind] = self._times.get(kind, 0) + 1
        return self._times[kind] <= self.most and not data.startswith("language:")

    def _check(self, found: Seen) -> None:
        assert found.toast not in STALE, f"{found.trail} is dead: {found.data}"
        assert found.toast not in MAY_NOT, f"{found.trail} is offered, and refused: {found.data}"
        assert found.screen.text and "{" not in found.screen.text, found.trail
        assert all(text.strip() and "{" not in text for text in found.screen.buttons), found.trail
        assert len(self.seen) < MOST_STEPS


def _asks(screen: Call) -> bool:
    return any(data.startswith("yes:") for data in screen.buttons.values())


def shape(data: str) -> str:
    """What is alike: "keys:see:7" and "keys:see:8". Each yes is one of its own."""
    return (
        data
        if data.startswith("yes:")
        else re.sub(r"\b[0-9a-f]{8}-[0-9a-f-]{27}|(?<=:)[\w-]{21}[AQgw](?=:|$)|\b\d+\b", "#", data)
    )
