"""Letters: a template's words with the details in them, as text and as HTML that says the same."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import jinja2
from markupsafe import Markup

from limner.actors.mail.samples import SAMPLES
from limner.actors.mail.wording import filters, language_of
from limner.runtime import prose
from limner.runtime.errors import Hopeless

HERE = Path(__file__).parent
STUDIO = "Limner"
LONGEST_SUBJECT = 150
TAGS = re.compile(r"^(\{%.*?%\})+")


@dataclass(frozen=True)
class Letter:
    """``stop``: where mails of its kind can be ended, for the mail program's own button."""

    subject: str
    text: str
    html: str
    stop: str = ""


@dataclass(frozen=True)
class Block:
    """A paragraph of a letter, line by line."""

    kind: Literal["words", "list", "code", "button"]
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Page:
    """A file of words: what stands in its head, and its paragraphs."""

    head: Mapping[str, str]
    blocks: tuple[Block, ...]


def write(template: str, locale: str, details: Mapping[str, object], *, public_url: str, link: str | None) -> Letter:
    """The letter in the locale's language. ``link``: where its button leads; None: to the page that ``path`` names.

    Raises Hopeless for a template that is not there, or a detail that it lacks or cannot say.
    """
    if template not in SAMPLES:
        raise Hopeless(f"there is no mail called {template!r}")
    if lacking := SAMPLES[template].keys() - details.keys() - ({"path"} if link else set()):
        raise Hopeless(f"the mail {template} lacks {', '.join(sorted(lacking))}")
    language = language_of(locale)
    values = {**details, "studio": STUDIO, "site": urlsplit(public_url).netloc}
    values["link"] = link or _within(public_url, details.get("path"))
    try:
        return _written(read(language, template), read(language, "_frame"), language, values)
    except (ValueError, TypeError, ArithmeticError, jinja2.TemplateError) as error:
        raise Hopeless(f"the mail {template} cannot be written: {error}") from None


def framed(
    language: str,
    subject: str,
    frame: str,
    stop: str,
    public_url: str,
    *,
    text: Sequence[Block],
    marked: Sequence[Block],
) -> Letter:
    """A letter of words that come from elsewhere, as text and as HTML, in one of the frames. ``stop``: where they end."""
    page, values = read(language, frame), {"studio": STUDIO, "site": urlsplit(public_url).netloc}
    small = _blocks(page, language, values | {"stop": stop}, escape=False)
    link = Markup('<a href="{}">{}</a>').format(stop, stop)
    html = environment(language, escape=True).get_template("frame.html").render(
        language=language, subject=subject, copy=page.head["Copy"], link=None, studio=STUDIO, blocks=marked,
        small=_blocks(page, language, values | {"stop": link}, escape=True),
    )  # fmt: skip
    return Letter(subject[:LONGEST_SUBJECT], _plain(list(text), small, None), html, stop)


def _within(public_url: str, path: object) -> str | None:
    """A page of this site, never of another. Raises Hopeless."""
    if path is None:
        return None
    if not isinstance(path, str) or not re.fullmatch(r"/(?!/)[\w./?=&%~-]*", path, re.ASCII):
        raise Hopeless(f"a mail leads to a path of this site, not to {path!r}")
    return public_url + path


def _written(page: Page, frame: Page, language: str, values: Mapping[str, object]) -> Letter:
    subject = _said(page.head["Subject"], language, values, escape=False)[:LONGEST_SUBJECT]
    text = _blocks(page, language, values, escape=False)
    small = _blocks(frame, language, values, escape=False)
    html = environment(language, escape=True).get_template("frame.html").render(
        language=language, subject=subject, copy=frame.head["Copy"], link=values["link"],
        studio=STUDIO, blocks=_blocks(page, language, values, escape=True),
        small=_blocks(frame, language, values, escape=True),
    )  # fmt: skip
    return Letter(subject, _plain(text, small, values["link"]), html)


def _blocks(page: Page, language: str, values: Mapping[str, object], *, escape: bool) -> list[Block]:
    """The paragraphs with their values in them; what says nothing is left out."""
    said = []
    for block in page.blocks:
        lines = (_said(line, language, values, escape=escape) for line in block.lines)
        if kept := tuple(line for line in lines if line):
            said.append(Block(block.kind, kept))
    return said


def _said(words: str, language: str, values: Mapping[str, object], *, escape: bool) -> str:
    rendered = _compiled(words, language, escape).render(values).strip()
    return Markup(rendered) if escape else rendered  # noqa: S704 - autoescape made it


def _plain(blocks: list[Block], small: list[Block], link: object) -> str:
    parts = [_plain_block(block, link) for block in blocks]
    return "\n\n".join([*parts, "-- \n" + "\n\n".join(_plain_block(block, link) for block in small)]) + "\n"


def _plain_block(block: Block, link: object) -> str:
    match block.kind:
        case "button":
            return f"{block.lines[0]}\n{link}"
        case "list":
            return "\n".join(f"- {line}" for line in block.lines)
        case "code":
            return "\n".join(f"    {line}" for line in block.lines)
        case _:
            return "\n".join(block.lines)


@lru_cache
def read(language: str, name: str) -> Page:
    """The file of words. Its paragraphs are told apart before a value stands in them, so that no value can make one."""
    head, *paragraphs = re.split(r"\n\n+", (HERE / language / f"{name}.txt").read_text(encoding="utf-8").strip())
    fields = dict(line.split(": ", 1) for line in head.splitlines())
    return Page(fields, tuple(_block(paragraph.splitlines()) for paragraph in paragraphs))


def _block(lines: list[str]) -> Block:
    if len(lines) == 1 and lines[0].startswith("[") and lines[0].endswith("]"):
        return Block("button", (lines[0][1:-1],))
    for kind, mark in (("list", "- "), ("code", "> ")):
        if all(TAGS.sub("", line).startswith(mark) for line in lines):
            return Block(kind, tuple(line.replace(mark, "", 1) for line in lines))  # type: ignore[arg-type]
    return Block("words", tuple(lines))


@lru_cache
def environment(language: str, *, escape: bool) -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=escape,  # noqa: S701 - the text is no HTML
        undefined=jinja2.StrictUndefined,
        finalize=_one_line,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= filters(language)
    return made


@lru_cache(maxsize=4096)
def _compiled(words: str, language: str, escape: bool) -> jinja2.Template:
    return environment(language, escape=escape).from_string(words)


def _one_line(value: object) -> object:
    """A value breaks no line and turns none around: it cannot leave its place, not even in a header."""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return "".join(" " if prose.moves(char) else char for char in value)
