"""A tour of the bot's menus, written down as one goes: what was pressed or typed, and the screen that came of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html import unescape

from tests.bot.conftest import CAROL, dashboard, say, tap, toast
from tests.bot.walker import shape
from tests.upstreams.telegram import Call, FakeTelegram

SETTLED = (
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}", "5b0e6e0c-7f0a-4d5e-9c1b-2a6d8f3e4c71"),
    (r"\d\d\.\d\d\.(\d{4})? \d\d:\d\d", r"28.11.\1 14:05"),
    (r"\b\d\d\.\d\d\.20\d\d\b", "28.11.2026"),
    (r"\b\d\d\.\d\d\. ·", "28.11. ·"),
    (r"limner pair [A-Z2-9]{8}", "limner pair K7WQ2MRT"),
    (r"(/(?:reset|password)[\w/?=-]*?[/=])[\w-]{16,}", r"\1…"),
    (r"\b\d+ s\b", "1 s"),
    (r"\b\d+ (с|秒)", r"1 \1"),
    (r"\b1[4-9] (min|мин|分钟)", r"14 \1"),
)


def settled(page: str) -> str:
    """With what is another each time as it stands on the page."""
    for pattern, instead in SETTLED:
        page = re.sub(pattern, instead, page)
    return page


def written(screen: Call) -> str:
    """The screen as one would type it."""
    text = unescape(re.sub(r"</?(b|i|pre|code)>", "", screen.text))
    rows = screen.args.get("reply_markup", {}).get("inline_keyboard", [])
    buttons = [" ".join(f"[ {button['text']} ]" for button in row) for row in rows]
    return "\n".join(["```", text, *(["", *buttons] if buttons else []), "```"])


@dataclass
class Tour:
    """``message``: the call that made the message under which one presses; ``screen``: what it shows by now."""

    fake: FakeTelegram
    page: list[str] = field(default_factory=list)
    pressed: set[str] = field(default_factory=set)
    _message: Call | None = None
    _screen: Call | None = None

    async def begin(self, title: str) -> None:
        """A chapter: from the dashboard, which is shown only in the first one."""
        self._message = self._screen = await dashboard(self.fake)
        self.page.append(f"## {title}")

    def show(self, words: str, screen: Call | None = None) -> None:
        self.page += [words] if words else []
        self.page.append(written(screen or self.screen))

    async def press(self, *begins: str) -> None:
        """One after the other the first button that carries this, or what begins so, whatever it says in these days."""
        for each in begins:
            words, said = await self._press(each)
            self.show(f"After `{words}`{f', which says “{said}” for a moment' if said else ''}:")

    async def pass_by(self, *begins: str) -> None:
        """The same, and nothing is written down."""
        for each in begins:
            await self._press(each)

    async def yes(self) -> None:
        await self.press("yes:")

    async def type(self, text: str) -> None:
        """What a menu asked for."""
        self._message = self._screen = await say(self.fake, text)
        self.show(
            f"After the message\n\n```\n{text}\n```\n\nit shows" if "\n" in text else f"After the message `{text}`:"
        )

    @property
    def screen(self) -> Call:
        assert self._screen is not None, "begin first"
        return self._screen

    async def _press(self, begins: str) -> tuple[str, str]:
        """What stood on the button, and what came up for a moment."""
        buttons = self.screen.buttons.items()
        found = [each for each in buttons if each[1] == begins] or [
            each for each in buttons if each[1].startswith(begins)
        ]
        assert found, f"no button carries {begins!r}…, only {self.screen.buttons}: has the menu another way now?"
        words, data = found[0]
        assert self._message is not None
        self.pressed.add(shape(data))
        self._screen = await tap(self.fake, self._message, data, person=CAROL)
        self._message = self._screen if "made" in self._screen.args else self._message
        return words, await toast(self.fake)
