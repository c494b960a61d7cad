"""Prose: what somebody typed for others to read, with lists, **bold** and [links](https://…), and nothing else."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup, escape

PIECES = re.compile(r"\*\*(?P<strong>[^*\n]+)\*\*|\[(?P<words>[^\[\]\n]+)\]\((?P<address>https?://[^\s()<>\"']+)\)")
TURNS = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
"""Characters that turn what follows around, so that it reads like something else."""


@dataclass(frozen=True)
class Span:
    """Words that look alike. ``address``: where they lead, if anywhere."""

    words: str
    is_strong: bool = False
    address: str = ""


@dataclass(frozen=True)
class Block:
    """A paragraph line by line, or a list item by item."""

    kind: Literal["words", "list"]
    lines: tuple[tuple[Span, ...], ...]


def read(text: str) -> tuple[Block, ...]:
    """Blank lines part the paragraphs; one whose lines all begin with "- " is a list."""
    paragraphs = re.split(r"\n\s*\n", clean(text).strip())
    return tuple(_block(lines) for paragraph in paragraphs if (lines := paragraph.strip().splitlines()))


def clean(text: str) -> str:
    """The lines of a text, without characters that are none or that turn the writing around."""
    lines = text.replace("\r\n", "\n").replace("\t", " ")
    return "".join(sign for sign in lines if sign == "\n" or not moves(sign))


def plain(blocks: Sequence[Block]) -> str:
    """As text: an address stands behind its words."""
    return "\n\n".join(_plain(block) for block in blocks)


def rendered(blocks: Sequence[Block]) -> Markup:
    """As HTML; whatever was typed is escaped."""
    return Markup("\n").join(_rendered(block) for block in blocks)


def plain_line(line: Sequence[Span]) -> str:
    return "".join(f"{span.words} ({span.address})" if span.address else span.words for span in line)


def rendered_line(line: Sequence[Span]) -> Markup:
    return Markup("").join(_marked(span) for span in line)


def _block(lines: list[str]) -> Block:
    if all(line.startswith("- ") for line in lines):
        return Block("list", tuple(_spans(line[2:].strip()) for line in lines))
    return Block("words", tuple(_spans(line.strip()) for line in lines))


def _spans(line: str) -> tuple[Span, ...]:
    spans, done = list[Span](), 0
    for found in PIECES.finditer(line):
        if found.start() > done:
            spans.append(Span(line[done : found.start()]))
        strong = found["strong"]
        spans.append(Span(strong, True) if strong else Span(found["words"], address=found["address"]))
        done = found.end()
    return (*spans, Span(line[done:])) if done < len(line) else tuple(spans)


def _plain(block: Block) -> str:
    mark = "- " if block.kind == "list" else ""
    return "\n".join(mark + plain_line(line) for line in block.lines)


def _rendered(block: Block) -> Markup:
    lines = [rendered_line(line) for line in block.lines]
    if block.kind == "list":
        return Markup("<ul>{}</ul>").format(Markup("").join(Markup("<li>{}</li>").format(line) for line in lines))
    return Markup("<p>{}</p>").format(Markup("<br>").join(lines))


def _marked(span: Span) -> Markup:
    if span.address:
        return Markup('<a href="{}">{}</a>').format(span.address, span.words)
    return Markup("<strong>{}</strong>").format(span.words) if span.is_strong else escape(span.words)


def moves(sign: str) -> bool:
    """Whether it is no character that one sees, or turns around what follows."""
    return unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") or unicodedata.bidirectional(sign) in TURNS
