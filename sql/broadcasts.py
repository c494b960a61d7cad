"""Broadcasts: one message to many people, from its draft to the last of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from limner.runtime import prose
from limner.runtime.database import Db, affected
from limner.runtime.errors import NotFound, Refused
from limner.sql import lists, notices, segments
from limner.sql.accounts import LOCALES, Account

TEMPLATE = "broadcast"
"""How the outbox calls mails whose words stand here."""
LONGEST_SUBJECT = 120
LONGEST_BODY = 3500
"""Characters: with its subject and the last line it is to fit into one Telegram message."""
PER_MINUTE = 60
MOST_PER_MINUTE = 6000


@dataclass(frozen=True)
class Words:
    subject: str
    body: str


@dataclass(frozen=True)
class Draft:
    """What an admin decides about one. ``by_telegram``: who has linked Telegram gets it there, and a mail if that fails."""

    words: Mapping[str, Words]
    segment: str = "all"
    plan_id: int | None = None
    by_telegram: bool = False
    per_minute: int = PER_MINUTE


@dataclass(frozen=True)
class Broadcast:
    id: UUID
    state: str
    segment: str
    plan_id: int | None
    plan: str | None
    by_telegram: bool
    per_minute: int
    words: Mapping[str, Words]
    people: int
    created_by: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None

    @property
    def as_it_is(self) -> str:
        """The same as long as nobody rewrites it: what whoever agrees to it has seen."""
        said = {language: [words.subject, words.body] for language, words in sorted(self.words.items())}
        about = [said, self.segment, self.plan_id, self.by_telegram, self.per_minute]
        return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:32]

    @property
    def subject(self) -> str:
        return self.words["en"].subject

    @property
    def to_whom(self) -> str:
        return f"with the plan {self.plan}" if self.plan else segments.NAMES[self.segment]

    def in_language(self, language: str) -> Words:
        """English is always there."""
        return self.words.get(language, self.words["en"])


def check(draft: Draft) -> None:
    """Raises Refused with the field and the value at fault."""
    if draft.segment not in segments.NAMES:
        raise Refused(f"There is no segment {draft.segment!r}: {', '.join(segments.NAMES)}.", field="segment")
    if (draft.segment == "plan") != (draft.plan_id is not None):
        raise Refused("A plan is chosen for the segment of a certain plan, and only for that.", field="plan")
    if not 1 <= draft.per_minute <= MOST_PER_MINUTE:
        raise Refused(f"From 1 to {MOST_PER_MINUTE} a minute, not {draft.per_minute}.", field="per_minute")
    if "en" not in draft.words:
        raise Refused("The English text is missing: who has no other language gets it.", field="body_en")
    for language, words in draft.words.items():
        if language not in LOCALES:
            raise Refused(f"There is no language {language!r} here.", field="words")
        _check_words(words, language)


def _check_words(words: Words, language: str) -> None:
    for name, text, most in (("subject", words.subject, LONGEST_SUBJECT), ("body", words.body, LONGEST_BODY)):
        field = f"{name}_{language}"
        if not prose.clean(text).strip():
            raise Refused(f"The {name} in {LOCALES[language]} is missing.", field=field)
        if len(text) > most:
            raise Refused(f"The {name} has at most {most} characters, not {len(text)}.", field=field)
    if "\n" in words.subject:
        raise Refused("A subject is one line.", field=f"subject_{language}")


WRITE = """
insert into broadcast (segment, plan_id, by_telegram, per_minute, words, created_by) values ($1, $2, $3, $4, $5, $6)
returning id
"""


async def write(db: Db, draft: Draft, *, actor: str) -> UUID:
    """A draft: it goes to nobody yet. Raises Refused."""
    check(draft)
    made: UUID = await db.fetchval(WRITE, *_row(draft), actor)
    return made


REWRITE = """
update broadcast set segment = $2, plan_id = $3, by_telegram = $4, per_minute = $5, words = $6
where id = $1 and state = 'draft'
"""


async def rewrite(db: Db, broadcast_id: UUID, draft: Draft) -> None:
    """Raises Refused, also for one that was begun."""
    check(draft)
    if not affected(await db.execute(REWRITE, broadcast_id, *_row(draft))):
        raise await why_not(db, broadcast_id)


async def throw_away(db: Db, broadcast_id: UUID) -> None:
    """A draft. Raises Refused for one that was begun: it is part of what happened."""
    if not affected(await db.execute("delete from broadcast where id = $1 and state = 'draft'", broadcast_id)):
        raise await why_not(db, broadcast_id)


Place = tuple[datetime | None, UUID | None]
COLUMNS = """
b.id, b.state, b.segment, b.plan_id, (select p.name from plan as p where p.id = b.plan_id) as plan, b.by_telegram, b.per_minute,
b.words, b.people, b.created_by, b.created_at, b.started_at, b.ended_at
"""
GET = f"select {COLUMNS} from broadcast as b where b.id = $1"


async def get(db: Db, broadcast_id: UUID) -> Broadcast:
    """Raises NotFound."""
    row = await db.fetchrow(GET, broadcast_id)
    if row is None:
        raise NotFound("There is no such broadcast.")
    return from_row(row)


STATES = ("draft", "sending", "stopped", "done")
LIST = f"""
select {COLUMNS} from broadcast as b
where ($1 = '' or lower(b.words -> 'en' ->> 'subject') like lower($1)) and ($2 = '' or b.state = $2)
    and ($3::timestamptz is null or (b.created_at, b.id) < ($3, $4::uuid))
order by b.created_at desc, b.id desc limit $5
"""


async def listing(
    db: Db, *, text: str = "", state: str = "", before: Place = (None, None), count: int = 50
) -> list[Broadcast]:
    """The newest first. ``text``: a part of the subject in English."""
    return [from_row(row) for row in await lists.read(db, LIST, lists.part(text), state, *before, count)]


NEWER = LIST.replace("(b.created_at, b.id) < (", "(b.created_at, b.id) > (").replace(" desc", "")


async def newer(db: Db, than: Place, count: int) -> list[Broadcast]:
    """The next ones above this place, newest first."""
    return [from_row(row) for row in reversed(await lists.read(db, NEWER, "", "", *than, count))]


async def try_out(db: Db, broadcast_id: UUID, account: Account) -> None:
    """One mail of it to whoever wrote it, marked as a trial. Raises NotFound."""
    found = await get(db, broadcast_id)
    details = {"broadcast_id": str(found.id), "account_id": str(account.id), "is_trial": True}
    await notices.mail(db, account.email, TEMPLATE, locale=account.locale, details=details)


async def why_not(db: Db, broadcast_id: UUID) -> Refused:
    state = (await get(db, broadcast_id)).state
    words = {
        "draft": "It was not begun yet.", "sending": "It is being sent already.",
        "stopped": "It was stopped.", "done": "Everybody has it already.",
    }  # fmt: skip
    return Refused(words[state], field="form", code="wrong_state")


def _row(draft: Draft) -> tuple[Any, ...]:
    words = {language: {"subject": each.subject, "body": each.body} for language, each in draft.words.items()}
    return draft.segment, draft.plan_id, draft.by_telegram, draft.per_minute, words


def from_row(row: Any) -> Broadcast:
    fields = dict(row)
    words = {language: Words(**each) for language, each in fields.pop("words").items()}
    return Broadcast(words=words, **fields)
