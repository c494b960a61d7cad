"""Discretion: what of a call is cut out of an upstream's words before they are judged, logged or shown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import urlsplit

from limner.actors.providers.base import Access

SHORT = 8
"""Characters of a prompt below which it is cut out of an upstream's words only where it is quoted."""


def secrets(access: Access) -> tuple[str, ...]:
    """What must never be written down of an access, nor judged: its key, its proxy's password, what its extra headers carry,
    and the caller's own words, as an upstream may quote them."""
    proxy = access.proxy or ""
    headers = access.settings.get("extra_headers")
    carried = [str(value) for value in headers.values()] if isinstance(headers, Mapping) else []
    password = urlsplit(proxy).password if "://" in proxy else ""
    return tuple(filter(None, (access.secret, proxy, password, *carried, *_quoted(access.prompt))))


def _quoted(prompt: str) -> list[str]:
    """A short one in quotation marks alone: it could be part of any word."""
    folded = " ".join(prompt.split())
    forms = {
        prompt.strip(),
        folded,
        json.dumps(prompt.strip())[1:-1],
        json.dumps(prompt.strip(), ensure_ascii=False)[1:-1],
    }
    if len(folded) < SHORT:
        forms = {f"{mark}{form}{mark}" for form in forms for mark in "'\"`"} if folded else set()
    return sorted(forms - {""}, key=len, reverse=True)
