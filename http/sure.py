"""The second step: what was, what will be, and why, asked on a page in between, before an act that weighs something."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from uuid import UUID, uuid4

from aiohttp import web
from multidict import MultiDict, MultiDictProxy

from limner.http import envelopes, forms, pages
from limner.http.middleware import SAFE, Handler
from limner.http.state import DB
from limner.runtime.database import Transaction
from limner.runtime.errors import Refused
from limner.sql import assents

OURS = ("csrf", "sure_form", "sure_seen", "sure_once", "sure_reason")
"""Fields of the second step: the rest is what the first one sent."""
LONGEST_REASON = 200
WAITS = "until you have said that you mean it"


@dataclass(frozen=True)
class Question:
    """``act`` is what the button says; ``changes``: what it is about, as it was, as it will be. ``effect``: what comes of it."""

    act: str
    changes: tuple[tuple[str, str, str], ...]
    effect: str
    back: str
    grave: bool

    @property
    def seen(self) -> str:
        """Another one as soon as anything else would be answered than was asked."""
        return hashlib.sha256(json.dumps([self.act, self.changes]).encode()).hexdigest()


class SureNeeded(Exception):
    """Somebody has to say that they mean it, and why."""

    def __init__(self, question: Question, reason: str, why: Refused | None = None) -> None:
        super().__init__(question.act)
        self.question = question
        self.reason = reason
        self.why = why


def asked(
    form: forms.Form,
    act: str,
    was: Mapping[str, object] | None = None,
    will: Mapping[str, object] | None = None,
    *,
    effect: str = "",
    back: str,
    grave: bool = False,
) -> str:
    """Why it is done, once somebody has said so on the page in between: the line of a handler before it acts.

    ``was`` and ``will``: what it changes, by name. What turns out to be different by the second step is asked again.

    Raises SureNeeded, which leads to that page and back.
    """
    question = Question(act, _changes(was or {}, will or {}), effect, back, grave)
    seen = form.get("sure_seen")
    if "sure_form" not in form:
        raise SureNeeded(question, _begun(form))
    typed = forms.kept(form, "sure_reason")["sure_reason"]
    if seen != question.seen or "sure_once" not in form:  # a page of before had no number for its yes
        raise SureNeeded(question, typed, Refused("That has changed meanwhile: please look again.", field="form"))
    try:
        return forms.text(form, "sure_reason", most=LONGEST_REASON, needed=True, label="The reason")
    except Refused as why:
        raise SureNeeded(question, typed, why) from None


@contextlib.asynccontextmanager
async def once(request: web.Request, form: forms.Form) -> AsyncIterator[Transaction]:
    """The transaction in which a handler acts: however often the same yes comes, by a second click or after a crash, it is
    done once. What the question is about may be read in it, too, so that nobody changes it in between.

    Raises DoneAlready.
    """
    async with request.app[DB].transaction() as tx:
        if "sure_form" in form and "sure_once" in form:
            await assents.give(tx, number(form))
        yield tx


def number(form: forms.Form) -> UUID:
    """Of the yes that this form says: no other one has it."""
    return UUID(str(form["sure_once"]))


def _begun(form: forms.Form) -> str:
    """The reason that the first step had a field for already."""
    name = next((name for name in form if name.endswith("reason") and name not in OURS), "reason")
    return forms.kept(form, name)[name]


def _changes(was: Mapping[str, object], will: Mapping[str, object]) -> tuple[tuple[str, str, str], ...]:
    return tuple(
        (name.replace("_", " "), said(was.get(name)), said(will.get(name)))
        for name in dict.fromkeys((*was, *will))
        if was.get(name) != will.get(name)
    )


def said(value: object) -> str:
    """A value as a person reads it."""
    match value:
        case None | "" | []:
            return "nothing"
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(map(str, value))
    return str(value)


@web.middleware
async def ask(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The form of the first step is kept on the page, sealed, and comes back with the second one."""
    if request.method in SAFE or not request.path.startswith("/admin/") or request.content_type not in forms.TYPES:
        return await handler(request)
    form = await forms.read(request)
    if "sure_form" in form:
        request[forms.MEANT] = form = _together(request, form)
    try:
        return await handler(request)
    except SureNeeded as needed:
        return _page(request, form, needed)


def _together(request: web.Request, form: forms.Form) -> forms.Form:
    """What the first step sent, and the reason. The envelope, too: a proof may be asked for in between, and keeps it all.

    Raises Refused for an envelope that this session did not get here.
    """
    sent = envelopes.opened(request, forms.text(form, "sure_form", most=2 * envelopes.LONGEST), purpose="sure")
    added = [(name, value) for name, value in form.items() if name in ("sure_form", "sure_reason")]
    return MultiDictProxy(MultiDict([*sent.items(), *added]))


def _page(request: web.Request, form: forms.Form, needed: SureNeeded) -> web.Response:
    also = {"sure_seen": needed.question.seen, "sure_once": str(uuid4())}
    kept = envelopes.seal(request, form, without=OURS, what=WAITS, purpose="sure", also=also)
    return pages.render(
        request,
        "admin/sure.html",
        needed.why,
        question=needed.question,
        kept=kept,
        form={"sure_reason": needed.reason},
    )
