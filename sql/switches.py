"""A provider's settings, read with their types: a wrong one is refused by its name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NoReturn

from limner.runtime.errors import Refused

Settings = Mapping[str, object]


def only(settings: Settings, known: Iterable[str]) -> None:
    """Raises Refused for a name that nobody reads."""
    names = sorted(known)
    for name in sorted(set(settings) - set(names)):
        refuse(name, f"is not among {', '.join(names)}")


def decimal(settings: Settings, name: str, least: float, most: float) -> float | None:
    """A number, or None where nothing is said."""
    value = settings.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        refuse(name, f"must be a number from {least:g} to {most:g}, not {value!r}")
    return value


def flag(settings: Settings, name: str, default: bool) -> bool:
    value = settings.get(name, default)
    return value if isinstance(value, bool) else refuse(name, f"must be true or false, not {value!r}")


def choice(settings: Settings, name: str, options: tuple[str, ...]) -> str:
    """One of the options; the first is the default."""
    value = settings.get(name, options[0])
    if value not in options:
        refuse(name, f"must be one of {', '.join(map(repr, options))}, not {value!r}")
    return str(value)


def number(settings: Settings, name: str, default: int, least: int, most: int) -> int:
    value = settings.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        refuse(name, f"must be a whole number from {least} to {most}, not {value!r}")
    return value


def text(settings: Settings, name: str) -> str:
    value = settings.get(name, "")
    return value if isinstance(value, str) else refuse(name, f"must be a text, not {value!r}")


def texts(settings: Settings, name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
    """A list of texts, none of them empty."""
    value = settings.get(name, list(default))
    if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
        refuse(name, f"must be a list of texts, not {value!r}")
    return tuple(value)


def sizes(settings: Settings, name: str) -> tuple[tuple[int, int], ...]:
    """A list like ["1024x1024", "1536x1024"]."""
    found = []
    for text in texts(settings, name):
        wide, _, tall = text.partition("x")
        if not (wide.isdecimal() and tall.isdecimal() and len(text) < 12 and int(wide) and int(tall)):
            refuse(name, f"must hold sizes like 1024x1024, not {text!r}")
        found.append((int(wide), int(tall)))
    return tuple(found)


def mapping(settings: Settings, name: str) -> dict[str, object]:
    """An object, as JSON has them."""
    value = settings.get(name, {})
    return (
        dict(value) if isinstance(value, Mapping) else refuse(name, "must be an object")
    )  # not repeated: headers stand in one


def address(settings: Settings, name: str, default: str) -> str:
    """An http or https URL without its last slash."""
    value = settings.get(name, default)
    if not isinstance(value, str) or not value.startswith(("http://", "https://")):
        refuse(name, f"must be an http or https address, not {value!r}")
    return value.rstrip("/")


def refuse(name: str, why: str) -> NoReturn:
    """Raises Refused about one setting."""
    raise Refused(f"The setting {name[:40]!r} {why[:200]}.", field=name)
