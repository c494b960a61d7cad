"""The fenced blocks of the documentation, and the commands in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMMANDS = {"sh", "console", "sql", "python"}
"""Languages of blocks that somebody is to run or to paste."""
DATA = {"ini", "yaml", "nginx", "json", ""}
"""Languages of blocks that are only looked at, or copied into a file; those of no language are drawings."""
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """``page`` is relative to the root; ``text`` has lost the indentation of its list."""

    page: str
    line: int
    language: str
    text: str

    @property
    def script(self) -> str:
        """What is typed: of a transcript only the lines after a prompt."""
        if self.language != "console":
            return self.text
        return "".join(line[2:] + "\n" for line in self.text.splitlines() if line.startswith("$ "))

    @property
    def first(self) -> str:
        return self.script.splitlines()[0]

    @property
    def commands(self) -> list[str]:
        """What is typed at one go: a line of a transcript, or a whole script."""
        return self.script.splitlines() if self.language == "console" else [self.script]

    def changed(self, swaps: dict[str, str]) -> Block:
        """The same with other words, all of which it must have."""
        text = self.text
        for words, others in swaps.items():
            assert words in text, f"{self}: there is no {words!r}"
            text = text.replace(words, others)
        return replace(self, text=text)

    def __str__(self) -> str:
        return f"{self.page}:{self.line} ({self.language}: {self.first})"


def pages() -> list[Path]:
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def blocks() -> Iterator[Block]:
    """Every fenced block of every page, in order."""
    for path in pages():
        text = path.read_text(encoding="utf-8")
        for found in FENCE.finditer(text):
            indent, language, body = found.groups()
            plain = "".join(line.removeprefix(indent) for line in body.splitlines(keepends=True))
            yield Block(str(path.relative_to(ROOT)), text[: found.start()].count("\n") + 1, language, plain)
