"""Discretion: what of a call is cut out of an upstream's words before they are judged, logged or shown."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from urllib.parse import unquote, urlsplit

from limner.actors.providers.base import Access

SHORT = 8
"""Characters of a prompt below which it is cut out of an upstream's words only where it is quoted."""
SHORT_SIGNS = 2
"""The same where a sign is a word, as in Chinese."""
ELLIPSES = ("...", "…")
"""Where an upstream left something out of what it quotes."""
JUDGED = 2**14
"""Characters of what an upstream says that are judged."""


def secrets(access: Access) -> tuple[str, ...]:
    """What must never be written down of an access, nor judged: its key, its proxy's password, what its extra headers carry,
    and the caller's own words, as an upstream may quote them."""
    proxy = access.proxy or ""
    headers = access.settings.get("extra_headers")
    carried = [str(value) for value in headers.values()] if isinstance(headers, Mapping) else []
    words = (*_quoted(access.prompt), *_texts(access))
    kept = (access.secret, proxy, *_signed_in(proxy), *carried)
    return tuple(filter(None, (*kept, *map(_escaped, kept), *words)))


def _escaped(secret: str) -> str:
    """As it stands in JSON that is shown as it came: with a quotation mark or a backslash in it, it looks different there."""
    return json.dumps(secret)[1:-1]


def _signed_in(proxy: str) -> list[str]:
    """A proxy's password, and a name that is no everyday word: as they stand in its address, and as they are meant."""
    parts = urlsplit(proxy) if "://" in proxy else urlsplit("")
    told = [parts.password or "", *(name for name in [parts.username or ""] if len(name) >= SHORT)]
    return [form for each in told for form in (each, unquote(each))]


def _texts(access: Access) -> list[str]:
    """One everyday word alone could be a choice, such as transparent, and is cut out only where it is quoted."""
    return [form for text in access.texts for form in _quoted(text, len(text) + 1 if _is_word(text.strip()) else SHORT)]


def _is_word(text: str) -> bool:
    return text.isascii() and text.isalpha()


def _quoted(prompt: str, short: int = SHORT) -> list[str]:
    """One of less than ``short`` characters in quotation marks alone: it could be part of any word."""
    folded = " ".join(prompt.split())
    forms = {
        prompt.strip(),
        folded,
        json.dumps(prompt.strip())[1:-1],
        json.dumps(prompt.strip(), ensure_ascii=False)[1:-1],
        repr(prompt.strip())[1:-1],
    }
    if len(folded) < (short if folded.isascii() else SHORT_SIGNS):
        forms = {f"{mark}{form}{mark}" for form in forms for mark in "'\"`"} if folded else set()
    return sorted(forms - {""}, key=len, reverse=True)


def without(text: str, secrets: Sequence[str]) -> str:
    """What an upstream says by itself: a caller's words that it quotes, whole or cut short, are no judgement on the key that it
    was asked with."""
    text, known = " ".join(text[:JUDGED].split()), sorted(filter(None, secrets), key=len, reverse=True)
    for quoted in known:
        text = re.sub(re.escape(quoted), "***", text, flags=re.IGNORECASE)
    forms = [" ".join(each.split()).lower() for each in known]
    for mark in ELLIPSES:
        text = mark.join(_uncut(text.split(mark), forms))
    return text


def _uncut(parts: list[str], quoted: Sequence[str]) -> list[str]:
    """What stands around marks of omission, without the beginnings and ends of what is quoted."""
    for place in range(len(parts) - 1):
        before, after = parts[place].lower(), parts[place + 1].lower()
        begun = max((_shared(before, each) for each in quoted), default=0)
        ended = max((_shared(each, after) for each in quoted), default=0)
        parts[place], parts[place + 1] = parts[place][: len(before) - begun], parts[place + 1][ended:]
    return parts


def _shared(before: str, after: str) -> int:
    """Characters of the longest end of the one that the other begins with."""
    most = min(len(before), len(after))
    return next((size for size in range(most, 0, -1) if before.endswith(after[:size])), 0)
