"""The chain of the audit: every row, in the order of commits, bound to all that stood there before (V0031)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from limner.runtime.database import Database, Db
from limner.runtime.errors import Refused

SINCE = 31
"""The schema that brought it."""
CHUNK = 20_000
"""Links that are read at a time: nobody's statement takes long, and nobody is held up."""


@dataclass(frozen=True)
class Anchor:
    """A link as it was seen once: kept outside the database, it proves what came before."""

    seq: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash.hex()}"

    @classmethod
    def read(cls, words: str) -> Self:
        """Raises Refused."""
        if not re.fullmatch(r"0:|\d{1,18}:[0-9a-f]{64}", words):
            raise Refused(
                f"{words[:90]!r} is no anchor: it is the number of a link, a colon and 64 hexadecimal digits."
            )
        seq, _, digits = words.partition(":")
        return cls(int(seq), bytes.fromhex(digits))


START = Anchor(0, b"")
"""Before the first link."""


@dataclass(frozen=True)
class Verdict:
    """``head``: the last link that held. ``broken``: the first place that does not, in words; "" when all holds."""

    links: int
    rows: int
    head: Anchor
    broken: str
    erased: int = 0
    missing_guards: Sequence[str] = field(default=())

    @property
    def is_whole(self) -> bool:
        return not self.broken and not self.missing_guards

    @property
    def words(self) -> str:
        """What is wrong."""
        return "; ".join(filter(None, [self.broken, *self.missing_guards]))


HEAD = "select seq, hash from audit_link order by seq desc limit 1"


async def head(db: Db) -> Anchor:
    """The newest link."""
    row = await db.fetchrow(HEAD)
    return START if row is None else Anchor(row["seq"], row["hash"])


async def verify(db: Database, *, since: Anchor = START, expect: Sequence[Anchor] = ()) -> Verdict:
    """Walk the chain after ``since``, and compare it with what was seen before. Changes nothing, holds nobody up.

    ``expect``: anchors that the chain must go through; one of them tells when its end was cut off, or all of it made anew.
    """
    known = sorted({*expect, since} - {START}, key=lambda anchor: anchor.seq)
    at, links, erased, broken = since, 0, 0, ""
    while not broken:
        part = await _walk(db, at)
        at, links, erased, broken = part.head, links + part.links, erased + part.erased, part.broken
        if part.links < CHUNK:
            break
    rows, astray = await _rows(db)
    broken = _first([broken, await _astray(db, known, at, is_end=not broken), astray])
    guards = [f"{row['name']} {row['does']}: it is gone or switched off" for row in await db.fetch(GUARDS)]
    return Verdict(links, rows, at, broken, erased, guards)


# Nothing of it asks the functions of the migration: whoever could change rows could change those, too. Only erasure may replace
# a row: of somebody who stands in it, and whose deletion is the last thing that it writes.
WALK = """
with part as (
    select *, lag(seq, 1, $1) over w as seq_before, lag(hash, 1, $2) over w as hash_before,
        exists (select from audit_link as n where n.audit_id = l.audit_id and n.seq > l.seq) as is_replaced
    from (select * from audit_link where seq > $1 order by seq limit $3) as l window w as (order by seq)
), judged as (
    select p.seq, p.audit_id, p.hash, p.is_replaced, case
        when p.seq <> p.seq_before + 1
            then format('link %s is gone, and the row of the audit that it stands for may be, too', p.seq_before + 1)
        when p.hash <> sha256(p.hash_before || int8send(p.seq) || int8send(p.audit_id) || p.content)
            then format('link %s, of row %s, does not follow from the one before: changed, put in, or in another place',
                p.seq, p.audit_id)
        when a.id is null then format('row %s is gone (link %s)', p.audit_id, p.seq)
        when p.is_replaced and exists (
            select from regexp_matches(a::text, 'deleted-[0-9a-f-]{36}@invalid', 'g') as found (name)
            join audit as d on d.subject = name[1] and d.action = 'account.delete'
            join audit_link as dl on dl.audit_id = d.id
            where dl.seq > (select max(seq) from audit_link where audit_id = p.audit_id)
        ) then ''
        when p.is_replaced then format('row %s was replaced, and nobody who was deleted stands in it (link %s)',
            p.audit_id, p.seq)
        when p.salt is null or p.content <> sha256(p.salt || convert_to(jsonb_build_array(
            a.id, a.actor, a.action, a.subject, a.before, a.after, a.ip, (extract(epoch from a.created_at) * 1000000)::bigint
        )::text, 'UTF8')) then format('row %s was changed (link %s)', p.audit_id, p.seq)
        else '' end as why
    from part as p left join audit as a on a.id = p.audit_id
)
select count(*) as links, count(*) filter (where is_replaced) as erased,
    (array_agg(why order by seq) filter (where why <> ''))[1] as broken,
    max(seq) as last_seq, (array_agg(hash order by seq desc))[1] as last_hash
from judged
"""


async def _walk(db: Db, at: Anchor) -> Verdict:
    row = await db.fetchrow(WALK, at.seq, at.hash, CHUNK)
    assert row is not None
    if not row["links"]:
        return Verdict(0, 0, at, "")
    return Verdict(row["links"], 0, Anchor(row["last_seq"], row["last_hash"]), row["broken"] or "", row["erased"])


LINK = "select hash from audit_link where seq = $1"


async def _astray(db: Db, known: Sequence[Anchor], end: Anchor, *, is_end: bool) -> str:
    """The first anchor that the chain does not go through."""
    for anchor in known:
        found = await db.fetchval(LINK, anchor.seq)
        if found is None and is_end and anchor.seq > end.seq:
            return f"the chain ends at link {end.seq}, it went on to {anchor.seq}: its end was cut off"
        if found != anchor.hash:
            return f"link {anchor.seq} is another than the anchor says: what stands before it was made anew"
    return ""


UNCHAINED = """
with part as (select id from audit where id > $1 order by id limit $2)
select count(*) as rows, max(p.id) as last_id,
    min(p.id) filter (where not exists (select from audit_link as l where l.audit_id = p.id)) as astray
from part as p
"""


async def _rows(db: Db) -> tuple[int, str]:
    """How many rows there are, and the first one without a link, in words."""
    rows, after = 0, 0
    while True:
        part = await db.fetchrow(UNCHAINED, after, CHUNK)
        assert part is not None
        rows += part["rows"]
        if part["astray"] is not None:
            return rows, f"row {part['astray']} has no link: it was put in past the chain, or its link was cut off"
        if part["rows"] < CHUNK:
            return rows, ""
        after = part["last_id"]


# What chains the rows, and what refuses to change them: in place, and switched on.
GUARDS = """
select g.name, g.does from (values
    ('audit', 'audit_chained', 'binds each row to those before'),
    ('audit', 'audit_append_only', 'refuses to change or delete a row'),
    ('audit', 'audit_never_truncated', 'refuses to empty the audit'),
    ('audit_link', 'audit_link_append_only', 'refuses to change or delete a link'),
    ('audit_link', 'audit_link_never_truncated', 'refuses to empty the chain')
) as g (place, name, does)
where not exists (
    select from pg_trigger where tgname = g.name and tgrelid = g.place::regclass and tgenabled in ('O', 'A')
)
"""


def _first(troubles: Sequence[str]) -> str:
    return next((trouble for trouble in troubles if trouble), "")
