"""What is written down of an upstream's words: short, on one line, and without secrets."""

from __future__ import annotations

from limner.runtime.log import redact

LIMIT = 500
"""Characters of a detail."""
READ = 16 * LIMIT
"""Characters of a text that are looked at for it: what else there is costs time that other pictures wait."""


def clean(text: str, *secrets: str) -> str:
    """The text on one line without these secrets or anything that looks like one, cut to LIMIT characters."""
    known = sorted(filter(None, secrets), key=len, reverse=True)
    # Of a secret that is cut in two its beginning would not be known: so much is read more, and dropped at the end.
    spare = max([LIMIT, *map(len, known)])
    is_cut, text = len(text) > READ + spare, printable(text[: READ + spare])
    for secret in known:
        text = text.replace(secret, "***")
    text = redact(text)
    return (text[:-spare] if is_cut else text)[:LIMIT]


def printable(text: str) -> str:
    """On one line, without control characters and halves of characters: no database takes them all."""
    if not text.isprintable():
        text = "".join(char for char in text if char.isprintable() or char.isspace())
    return " ".join(text.split())
