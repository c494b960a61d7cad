"""Envelopes: a form that waits on a page in between, sealed: unreadable there, and of use to this session and address alone."""

from __future__ import annotations

import json
from collections.abc import Mapping

from aiohttp import web
from multidict import MultiDict, MultiDictProxy

from limner.http import forms
from limner.http.state import VAULT, session_of
from limner.runtime.errors import Refused
from limner.runtime.vault import VaultError

LONGEST = 100_000


def seal(
    request: web.Request,
    form: forms.Form,
    *,
    without: tuple[str, ...],
    what: str,
    purpose: str = "",
    also: Mapping[str, str] | None = None,
) -> str:
    """``also``: what is sealed in beside what was sent. ``what`` ends the sentence of a refusal: what it waits for.

    Raises Refused for files, and for too much.
    """
    pairs = [(name, value) for name, value in form.items() if name not in without]
    pairs += (also or {}).items()
    if any(not isinstance(value, str) for _, value in pairs):
        raise Refused(f"Files cannot wait {what}.")
    text = json.dumps(pairs)
    if len(text) > LONGEST:
        raise Refused(f"That is too long to wait {what}.")
    return request.app[VAULT].seal(text, bound_to=_place(request, purpose))


def opened(request: web.Request, kept: str, *, purpose: str = "") -> forms.Form:
    """Raises Refused for what this session did not send here."""
    try:
        pairs = json.loads(request.app[VAULT].open(kept, bound_to=_place(request, purpose)))
    except VaultError:
        raise Refused("This form is out of date. Please go back and send it again.", field="form") from None
    return MultiDictProxy(MultiDict(pairs))


def _place(request: web.Request, purpose: str) -> str:
    session = session_of(request)
    if session is None:
        raise Refused("This form is out of date. Please go back and send it again.", field="form")
    return f"session/{session.id}{request.path}{purpose and ' ' + purpose}"
