"""What must not be told: every secret of the settings, whole or in parts, wherever it turns up in a text."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from limner.runtime.config import Config, secret_fields, setting_name
from limner.runtime.log import redact

SHORTEST = 6
"""Characters of a part of a secret that counts as one; a shorter one would black out ordinary words."""
NO_SECRET = frozenset({"limner", "postgres", "localhost"})
"""User names that people also take for passwords: to hide them would hide the name of everything."""


def secrets_of(config: Config | None, environ: Mapping[str, str], folder: Path | None = None) -> frozenset[str]:
    """All that is secret in the settings, in the files that they name, and in ``secrets/`` of a folder."""
    whole = list(_set(config))
    for name in map(setting_name, secret_fields()):
        whole += [environ.get(name, ""), _read(environ.get(f"{name}_FILE", ""))]
    if folder is not None:
        with contextlib.suppress(OSError):
            whole += [_read(str(path)) for path in sorted((folder / "secrets").iterdir()) if path.is_file()]
    return frozenset(part for value in whole for part in _parts(value) if _counts(part))


def longest_first(secrets: Iterable[str]) -> tuple[str, ...]:
    """In the order in which they have to go: one may be a part of another."""
    return tuple(sorted(secrets, key=len, reverse=True))


def hide(text: str, secrets: Sequence[str]) -> str:
    """The text without any of them, and without what looks like one. ``secrets``: the longest first."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return redact(text)


def _set(config: Config | None) -> Iterator[str]:
    for name in secret_fields() if config else ():
        value = getattr(config, name)
        if isinstance(value, SecretStr):
            yield value.get_secret_value()


def _read(path: str) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return Path(path).read_text(encoding="utf-8") if path else ""
    return ""


def _parts(value: str) -> Iterator[str]:
    """The secret itself, each key of a list of them, and the password of an address."""
    value = value.strip()
    if "://" in value:
        with contextlib.suppress(ValueError):
            password = urlsplit(value).password or ""
            yield from (password, unquote(password))
        yield value
        return
    yield value
    for part in value.split(","):
        yield from (part.strip(), part.partition(":")[2].strip())


def _counts(part: str) -> bool:
    return len(part) >= SHORTEST and part not in NO_SECRET
