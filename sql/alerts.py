"""Alerts: troubles that were seen, how often they came back, and when they ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from limner.runtime import phrases
from limner.runtime.database import Db
from limner.runtime.errors import NotFound
from limner.sql import lists

HOUR = "interval '1 hour'"
"""In which nobody is told twice of the same cause; what comes back within it is the same trouble."""


@dataclass(frozen=True)
class Trouble:
    """What is wrong at this moment. ``cause`` names it: the same trouble, the same cause.

    ``words``: a Phrase, where it is to be told in other languages than English. ``place``: the path of the page where it is
    mended; ``button``: what leads there in the bot.
    """

    cause: str
    words: str
    rule: str = ""
    severity: str = "normal"
    place: str = "/admin"
    button: str = "home"
    after_seconds: int = 0


@dataclass(frozen=True)
class Alert:
    """A trouble that was seen. ``seconds``: how long it lasts, or lasted."""

    id: int
    cause: str
    words: str
    began_at: datetime
    ended_at: datetime | None
    seconds: float
    rule: str = ""
    severity: str = "normal"
    place: str = "/admin"
    button: str = "home"
    returns: int = 0
    told: str = ""
    told_at: datetime | None = None
    told_returns: int = 0
    messages: int = 0
    is_held: bool = False
    snoozed_until: datetime | None = None
    is_snoozed: bool = False
    said: dict[str, Any] | None = None

    @property
    def phrase(self) -> str:
        """Its words as what can be told in every language; as mere text when a release before this one saw it last."""
        made = phrases.from_data(self.said) if self.said else self.words
        return made if made == self.words else self.words

    @property
    def news(self) -> int:
        """How often it came back since somebody was told."""
        return self.returns - self.told_returns


COLUMNS = """id, cause, words, began_at, ended_at,
    extract(epoch from coalesce(ended_at, now()) - began_at)::float as seconds, rule, severity,
    case when place = '' then '/admin' else place end as place, case when button = '' then 'home' else button end as button,
    returns, told, told_at, told_returns, messages, is_held, snoozed_until,
    coalesce(snoozed_until > now(), false) as is_snoozed, said"""
SEEN = """
select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::int[], $8::jsonb[])
    as t (cause, words, rule, severity, place, button, after_seconds, said)
"""
NOT_ANY_MORE = "delete from alert_pending where not cause = any($1::text[]) and not rule = any($2::text[])"
PEND = """
insert into alert_pending (cause, rule) select c, r from unnest($1::text[], $2::text[]) as t (c, r)
where not exists (select from alert where cause = c and ended_at is null)
on conflict do nothing
"""
# One that was gone for less than its calm has come back.
STILL = f"""
with seen as ({SEEN})
update alert as a set words = s.words, said = s.said, rule = s.rule, severity = s.severity, place = s.place, button = s.button,
    returns = a.returns + (a.gone_at is not null)::int, gone_at = null,
    told = case when a.rule = '' and a.told_at is not null then 'open' else a.told end
from seen as s
where a.cause = s.cause and a.ended_at is null and (a.gone_at is not null
    or (a.words, a.said, a.rule, a.severity, a.place, a.button)
        is distinct from (s.words, s.said, s.rule, s.severity, s.place, s.button))
"""
# What has lasted for long enough begins, or goes on where the same trouble was within the hour.
BEGIN = f"""
with seen as ({SEEN}),
ripe as (
    delete from alert_pending as p using seen as s
    where p.cause = s.cause and p.since <= now() - make_interval(secs => s.after_seconds)
    returning s.*, p.since
),
back as (
    update alert as a set ended_at = null, gone_at = null, returns = a.returns + 1, words = r.words, said = r.said,
        severity = r.severity, place = r.place, button = r.button, rule = r.rule
    from ripe as r
    where a.id = (select max(id) from alert where cause = r.cause) and a.rule <> ''
        and greatest(a.ended_at, a.told_at) > now() - {HOUR}
    returning a.cause
)
insert into alert (cause, words, said, rule, severity, place, button, began_at)
select cause, words, said, rule, severity, place, button, since from ripe where cause not in (select cause from back)
on conflict (cause) where ended_at is null do nothing
"""
GONE = """
update alert set gone_at = now()
where ended_at is null and gone_at is null and not cause = any($1::text[]) and not rule = any($2::text[])
"""
# A rule that was switched off ends its alerts, and says nothing, of those either that wait for the end of the quiet hours.
END = """
update alert as a set ended_at = a.gone_at,
    is_held = a.is_held and not exists (select from alert_rule as r where r.code = a.rule and not r.is_on),
    told = case when exists (select from alert_rule as r where r.code = a.rule and not r.is_on) then 'over' else a.told end
where a.ended_at is null and a.gone_at <= now()
    - make_interval(secs => coalesce((select calm_seconds from alert_rule as r where r.code = a.rule and r.is_on), 0))
    and not a.rule = any($1::text[])
"""


TOLD_OF = ("cause", "words", "rule", "severity", "place", "button", "after_seconds")


async def see(db: Db, troubles: Sequence[Trouble], unread: Sequence[str] = ()) -> None:
    """These are there at this moment, and no others: begin, go on, end. For whoever is alone, in a transaction.

    ``unread``: the rules of which nothing is known at this moment; theirs stay as they are.
    """
    causes = [each.cause for each in troubles]
    columns: list[list[Any]] = [[getattr(each, name) for each in troubles] for name in TOLD_OF]
    columns.append([phrases.as_data(each.words) for each in troubles])
    await db.execute(NOT_ANY_MORE, causes, unread)
    await db.execute(PEND, causes, [each.rule for each in troubles])
    await db.execute(STILL, *columns)
    await db.execute(BEGIN, *columns)
    await db.execute(GONE, causes, unread)
    await db.execute(END, unread)


OPEN = f"select {COLUMNS} from alert where ended_at is null order by began_at"


async def still_open(db: Db) -> list[Alert]:
    return [Alert(**row) for row in await db.fetch(OPEN)]


LIST = f"""
select {COLUMNS} from alert
where ($1 = '' or $1 = 'open' and ended_at is null or $1 = 'over' and ended_at is not null)
    and ($2 = '' or rule = $2) and ($3 = '' or lower(words) like lower($3) or lower(cause) like lower($3))
    and ($4::timestamptz is null or began_at >= $4) and ($5::timestamptz is null or began_at < $5)
    and ($6::bigint is null or id < $6)
order by id desc limit $7
"""


@dataclass(frozen=True)
class Sought:
    """Which to show; what is empty hides none. ``state``: open, over. ``text``: a part of its words, or of its cause."""

    state: str = ""
    rule: str = ""
    text: str = ""
    since: datetime | None = None
    until: datetime | None = None


async def listing(db: Db, sought: Sought, before: int | None = None, count: int = 50) -> list[Alert]:
    """The newest first."""
    asked = (sought.state, sought.rule, lists.part(sought.text), sought.since, sought.until)
    return [Alert(**row) for row in await lists.read(db, LIST, *asked, before, count)]


FIND = f"select {COLUMNS} from alert where id = $1"


async def get(db: Db, alert_id: int) -> Alert:
    """Raises NotFound."""
    row = await db.fetchrow(FIND, alert_id)
    if row is None:
        raise NotFound
    return Alert(**row)


OF_CAUSE = f"select {COLUMNS} from alert where cause = $1 order by id desc limit 20"


async def of_cause(db: Db, cause: str) -> list[Alert]:
    """The same trouble, whenever it was, the newest first."""
    return [Alert(**row) for row in await db.fetch(OF_CAUSE, cause)]


ACTS = "select created_at, actor, action, before, after from audit where subject = $1 order by id desc limit 20"


async def acts(db: Db, alert: Alert) -> list[dict[str, Any]]:
    """What somebody did about it, the newest first."""
    return [dict(row) for row in await db.fetch(ACTS, f"alert {alert.id}: {alert.cause}")]


LOOKING = "select pg_try_advisory_xact_lock(hashtextextended('watchman', 0))"


async def is_alone(db: Db) -> bool:
    """True for one watchman at a time, until its transaction ends; two would end each other's alerts."""
    return bool(await db.fetchval(LOOKING))
