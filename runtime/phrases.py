"""English sentences that keep their parts, so that they can be said in other languages."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any

from limner.runtime.spans import duration

LANGUAGES = ("en", "ru", "zh")
MONTHS = {
    "en": (
        "January", "February", "March", "April", "May", "June",
        "July", "August", "September", "October", "November", "December",
    ),
    "ru": (
        "января", "февраля", "марта", "апреля", "мая", "июня",
        "июля", "августа", "сентября", "октября", "ноября", "декабря",
    ),
}  # fmt: skip
WEEKDAYS = {
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "ru": ("понедельник", "вторник", "среда", "четверг", "пятница", "суббота", "воскресенье"),
    "zh": ("星期一", "星期二", "星期三", "星期四", "星期五", "星期六", "星期日"),
}
LONGEST = 1000
"""Characters of a text that is looked at: no sentence of ours is longer."""
SAID = frozenset({"kind", "line", "part", "state", "unit", "why", "words"})
"""The places where words of ours stand, which are told in their turn; what stands in others somebody has named or typed."""
Table = Mapping[str, tuple[str, str]]
"""An English sentence with its {places}, and the same in Russian and in Chinese."""


class Phrase(str):
    """English text, made of ``template`` and ``values``; anything that takes text takes it."""

    template: str
    values: Mapping[str, Any]


def phrase(template: str, /, **values: Any) -> Phrase:
    """``template`` filled in. A place may say how: {n:day|days}, {waited:duration}, {back:clock}, {ends:day}, {left:.1f}."""
    made = Phrase(filled("en", template, values))
    made.template, made.values = template, values
    return made


def as_data(words: str) -> dict[str, Any] | None:
    """A phrase as JSON holds it; None for mere text."""
    if not isinstance(words, Phrase):
        return None
    return {"say": words.template, "with": {name: _plain(value) for name, value in words.values.items()}}


def _plain(value: Any) -> Any:
    if isinstance(value, Phrase):
        return as_data(value)
    return value.isoformat() if isinstance(value, datetime) else value


def from_data(data: Mapping[str, Any]) -> Phrase:
    """What ``as_data`` made."""
    values = {name: from_data(each) if isinstance(each, Mapping) else each for name, each in data["with"].items()}
    return phrase(data["say"], **values)


def told(language: str, words: str, table: Table) -> str:
    """Words in this language, as far as the table knows them: a phrase by its template, mere text by its look."""
    if language == "en":
        return words
    made = words if isinstance(words, Phrase) else recognized(words, table)
    if made is None or made.template not in table:
        return words
    values = {name: told(language, each, table) if _is_said(name, each) else each for name, each in made.values.items()}
    return filled(language, table[made.template][LANGUAGES.index(language) - 1], values)


def _is_said(name: str, value: Any) -> bool:
    return isinstance(value, Phrase) or (isinstance(value, str) and name in SAID)


def recognized(words: str, table: Table) -> Phrase | None:
    """The sentence of the table that these words are, with what stands in its places; the one with the most of its own."""
    if words in table:
        return _made(words, words, {})
    if len(words) > LONGEST:
        return None
    for template, look in _looks(tuple(table)):
        if found := look.fullmatch(words):
            return _made(words, template, found.groupdict())
    return None


def _made(words: str, template: str, values: Mapping[str, str]) -> Phrase:
    made = Phrase(words)
    made.template, made.values = template, values
    return made


@lru_cache(maxsize=8)
def _looks(templates: tuple[str, ...]) -> list[tuple[str, re.Pattern[str]]]:
    """How each that has places looks; nothing where a place says how it is filled, since that cannot be read back."""
    found = list[tuple[int, str, re.Pattern[str]]]()
    for template in templates:
        parts = [(own, name, how) for own, name, how, _ in string.Formatter().parse(template)]
        names = [name for _, name, _ in parts if name is not None]
        if names and len(set(names)) == len(names) and not any(how for _, _, how in parts):
            look = "".join(re.escape(own) + (f"(?P<{name}>.+?)" if name else "") for own, name, _ in parts)
            found.append((sum(len(own) for own, _, _ in parts), template, re.compile(look, re.DOTALL)))
    return [(template, look) for _, template, look in sorted(found, key=lambda each: -each[0])]


def filled(language: str, template: str, values: Mapping[str, Any]) -> str:
    return _Filler(language).vformat(template, (), values)


class _Filler(string.Formatter):
    def __init__(self, language: str) -> None:
        self.language = language

    def format_field(self, value: Any, format_spec: str) -> str:
        if "|" in format_spec:
            return format_spec.split("|")[form(self.language, int(value))]
        if format_spec == "duration":
            return duration(float(value), self.language)
        if format_spec in ("clock", "day", "weekday"):
            return _time(self.language, value, format_spec)
        return str(super().format_field(value, format_spec))


def _time(language: str, value: Any, how: str) -> str:
    at = value if isinstance(value, date) else datetime.fromisoformat(value)
    if how == "clock" and isinstance(at, datetime):
        return f"{at.astimezone(UTC):%H:%M} UTC"
    day = f"{at.month}月{at.day}日" if language == "zh" else f"{at.day} {MONTHS[language][at.month - 1]}"
    if how == "day":
        return day
    name = WEEKDAYS[language][at.weekday()]
    return f"{name} {day}" if language == "en" else f"{day}{name}" if language == "zh" else f"{name}, {day}"


def form(language: str, number: int) -> int:
    """Which form of a word goes with a number: English has two, Russian three, Chinese one."""
    if language == "en":
        return 0 if number == 1 else 1
    if language == "zh":
        return 0
    if number % 10 == 1 and number % 100 != 11:
        return 0
    return 1 if 2 <= number % 10 <= 4 and not 12 <= number % 100 <= 14 else 2


def places(template: str) -> frozenset[str]:
    """The names of what is filled in."""
    return frozenset(name for _, name, _, _ in string.Formatter().parse(template) if name)
