"""Choices: what an order for a model may choose beyond prompt and size, as operators write it down, a line for each."""

from __future__ import annotations

import re
from collections.abc import Mapping

from limner.runtime.errors import Refused

Options = dict[str, object]

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
BOUNDS = re.compile(r"(-?\d{1,15}(?:\.\d{1,6})?) to (-?\d{1,15}(?:\.\d{1,6})?)")
MEANT_AS_BOUNDS = re.compile(r".* to .*|[-+]?\d[\d.]*\s*(?:-|–|—|\.\.+)\s*[-+]?\d[\d.]*", re.IGNORECASE)
"""What nobody would offer as the one value that there is."""
MOST, LONGEST = 40, 60
"""Names that a model may have, values of each; and characters of a value."""


def read(text: str) -> Options:
    """From lines such as "quality: low, high", "steps: 1 to 50" and "negative_prompt: text". Raises Refused."""
    found: Options = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, colon, value = (each.strip() for each in line.partition(":"))
        if not (colon and value and NAME.fullmatch(name)):
            raise _refused(f"A choice looks like quality: low, high, not {line[:80]!r}.")
        if name in found:
            raise _refused(f"{name} stands there twice.")
        found[name] = _values(name, value)
    if len(found) > MOST:
        raise _refused(f"A model has at most {MOST} choices, not {len(found)}.")
    return found


def written(options: Mapping[str, object]) -> str:
    """The same as lines."""
    return "\n".join(f"{name}: {_written(value)}" for name, value in options.items())


def _values(name: str, value: str) -> object:
    if value.lower() == "text":
        return "text"
    if bounds := BOUNDS.fullmatch(value):
        least, most = (float(each) if "." in each else int(each) for each in bounds.groups())
        if least > most:
            raise _refused(f"{name} goes from the smaller number to the larger one, not {value}.")
        return {"min": least, "max": most}
    if MEANT_AS_BOUNDS.fullmatch(value) and "," not in value:
        raise _refused(f"{name}: bounds look like 1 to 50 or 0 to 0.5, with at most 15 digits, not {value[:80]!r}.")
    words = list(dict.fromkeys(each.strip() for each in value.split(",") if each.strip()))
    if not words or len(words) > MOST or any(len(word) > LONGEST for word in words):
        raise _refused(f"{name} has 1 to {MOST} values of at most {LONGEST} characters.")
    return [word == "true" for word in words] if set(words) <= {"true", "false"} else words


def _written(value: object) -> str:
    if isinstance(value, Mapping):
        return f"{value.get('min')} to {value.get('max')}"
    if isinstance(value, list):
        return ", ".join(str(each).lower() if isinstance(each, bool) else str(each) for each in value)
    return str(value)


def _refused(words: str) -> Refused:
    return Refused(words, field="options")
