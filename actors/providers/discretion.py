"""Discretion: what of a call is cut out of an upstream's words before they are judged, logged or shown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from limner.actors.providers.base import Access

SHORT = 8
"""Characters of a prompt below which it is cut out of an upstream's words only where it is quoted."""


def secrets(access: Access) -> tuple[str, ...]:
    """What must never be written down of an access, nor judged: its key, its proxy's password, what its extra headers carry,
    and the caller's own words, as an upstream may quote them."""
    proxy = access.proxy or ""
    headers = access.settings.get("extra_headers")
    carried = [str(value) for value in headers.values()] if isinstance(headers, Mapping) else []
    words = (*_quoted(access.prompt), *_texts(access))
    return tuple(filter(None, (access.secret, proxy, *_signed_in(proxy), *carried, *words)))


def _signed_in(proxy: str) -> list[str]:
    """A proxy's password, and a name that is no everyday word: as they stand in its address, and as they are meant."""
    parts = urlsplit(proxy) if "://" in proxy else urlsplit("")
    told = [parts.password or "", *(name for name in [parts.username or ""] if len(name) >= SHORT)]
    return [form for each in told for form in (each, unquote(each))]


def _texts(access: Access) -> list[str]:
    """One word alone could be a choice, such as transparent, and is cut out only where it is quoted."""
    return [form for text in access.texts for form in _quoted(text, SHORT if " " in text.strip() else len(text) + 1)]


def _quoted(prompt: str, short: int = SHORT) -> list[str]:
    """One of less than ``short`` characters in quotation marks alone: it could be part of any word."""
    folded = " ".join(prompt.split())
    forms = {
        prompt.strip(),
        folded,
        json.dumps(prompt.strip())[1:-1],
        json.dumps(prompt.strip(), ensure_ascii=False)[1:-1],
    }
    if len(folded) < short:
        forms = {f"{mark}{form}{mark}" for form in forms for mark in "'\"`"} if folded else set()
    return sorted(forms - {""}, key=len, reverse=True)
