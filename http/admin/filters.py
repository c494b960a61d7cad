"""Filters: what an admin may ask of a list, each of which says what is wrong with a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from limner.http import forms
from limner.runtime.errors import Refused

LONGEST = 254


@dataclass(frozen=True)
class Words:
    """Anything typed, taken literally. ``aside``: it stands among the filters."""

    label: str = "Search"
    name: str = "q"
    aside: bool = False
    kind: str = "words"

    def check(self, text: str) -> str:
        """Raises Refused."""
        if len(text) > LONGEST:
            raise Refused(f"{self.label} has at most {LONGEST} characters, not {len(text)}.", field=self.name)
        return text


@dataclass(frozen=True)
class Choice:
    """One of these. ``words`` say what a value is called; ``sort``: it orders the list and hides nothing."""

    name: str
    label: str
    values: Sequence[str]
    words: Mapping[str, str] = field(default_factory=dict)
    sort: bool = False
    kind: str = "choice"

    def check(self, text: str) -> str:
        """Raises Refused."""
        if text not in self.values:
            known = ", ".join(self.values) if len(self.values) <= 20 else "what the page offers"
            raise Refused(f"{self.label} is one of {known}, not {text[:60]!r}.", field=self.name)
        return text

    def called(self, value: str) -> str:
        return self.words.get(value, value.replace("_", " "))


@dataclass(frozen=True)
class Day:
    """A day in UTC."""

    name: str
    label: str
    kind: str = "day"

    def check(self, text: str) -> str:
        """Raises Refused."""
        forms.day(text, self.name, self.label)
        return text


@dataclass(frozen=True)
class Number:
    """The number of a row elsewhere, such as a key's; it comes with a link, and is not typed."""

    name: str
    label: str
    kind: str = "number"

    def check(self, text: str) -> str:
        """Raises Refused."""
        if not (text.isascii() and text.isdigit() and len(text) < 18):
            raise Refused(f"{self.label} is a number, not {text[:60]!r}.", field=self.name)
        return text


@dataclass(frozen=True)
class Name:
    """The id of a row elsewhere, such as an account's; it comes with a link, and is not typed."""

    name: str
    label: str
    kind: str = "id"

    def check(self, text: str) -> str:
        """Raises Refused."""
        try:
            return str(UUID(text))
        except ValueError:
            raise Refused(f"{self.label} is an id, not {text[:60]!r}.", field=self.name) from None


Filter = Words | Choice | Day | Number | Name
SINCE, UNTIL = Day("since", "Since"), Day("until", "Until")
"""Both days belong to what is shown."""
