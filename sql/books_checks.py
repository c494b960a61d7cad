"""Looks at the books that come round: cheap ones at what is new, and a whole one by night; the last of each is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from limner.runtime.database import Database, Db
from limner.sql import books

Scope = Literal["recent", "whole"]

BATCH = 2000
"""Entries that are looked at together."""
MOST_BATCHES = 20
OVERLAP = 500
"""Entries that are looked at again: one with a smaller number may have been committed later."""
KEPT = 5
"""Cases of a broken rule that are kept in words."""
MOST_AGAIN = 1000
"""Of each kind that are looked at again."""
OF = {"accounts": "account_id", "jobs": "job_id", "invoices": "invoice_id"}
"""What hangs on an entry, by which of its columns."""


@dataclass(frozen=True)
class Check:
    """The last look of its kind. ``until_entry``: the newest entry that was looked at.

    ``again``: what was found broken, as ids of accounts, jobs and invoices: the next look looks at it again.
    """

    scope: str
    checked_at: datetime
    until_entry: int
    broken: int
    cases: list[str]
    again: dict[str, list[str]]


LATEST = "select scope, checked_at, until_entry, broken, cases, again from books_check order by scope"


async def latest(db: Db) -> list[Check]:
    return [Check(**row) for row in await db.fetch(LATEST)]


NOTE = """
insert into books_check (scope, until_entry, broken, cases, again) values ($1, $2, $3, $4, $5)
on conflict (scope) do update set until_entry = excluded.until_entry, broken = excluded.broken, cases = excluded.cases,
    again = excluded.again, checked_at = now()
"""


async def note(
    db: Db, scope: Scope, until_entry: int, cases: Sequence[str], again: Mapping[str, Sequence[str]] | None = None
) -> None:
    await db.execute(NOTE, scope, until_entry, len(cases), list(cases[:KEPT]), dict(again or {}))


NEW = """
select id, account_id, job_id, invoice_id from ledger_entry where id > $1 order by id limit $2
"""
NEWEST = "select coalesce(max(id), 0) from ledger_entry"


async def look_at_recent(db: Database) -> Check:
    """What was entered since the last look, and what was broken then, with all that hangs on it."""
    known = next((check for check in await latest(db) if check.scope == "recent"), None)
    until = known.until_entry if known else max(0, await db.fetchval(NEWEST) - BATCH)
    found = await _broken(db, known.again if known else {})
    for _ in range(MOST_BATCHES):
        rows = await db.fetch(NEW, max(0, until - OVERLAP), BATCH)
        found |= await _broken(db, {name: list({str(row[of]) for row in rows if row[of]}) for name, of in OF.items()})
        if not rows or rows[-1]["id"] <= until:
            break
        until = rows[-1]["id"]
        if len(rows) < BATCH:
            break
    cases = [f"{row['what']}: {row['why']}" for row in await db.fetch(books.GUARDS_STAND)]
    again = {name: [what for of, what in found if of == name][:MOST_AGAIN] for name in OF}
    await note(db, "recent", until, [*cases, *(f"{what}: {why}" for (_, what), why in found.items())], again)
    return next(check for check in await latest(db) if check.scope == "recent")


# The rules of the books, of these accounts, jobs and invoices alone: what they say of all takes minutes.
OF_ACCOUNTS = books.BALANCE_IS_THE_SUM.replace(
    "from balance as b\nleft join", "from (select * from balance where account_id = any($1::uuid[])) as b\nleft join"
).replace("where not exists", "where e.account_id = any($1::uuid[]) and not exists")
OF_JOBS = "union all".join(
    rule.replace("from job as j", "from (select * from job where id = any($1::uuid[])) as j")
    for rule in (books.DELIVERED_IS_CHARGED_ONCE, books.UNDELIVERED_IS_RELEASED, books.UNFINISHED_IS_HELD)
)
OF_INVOICES = books.PAID_IS_CREDITED_ONCE.replace(
    "group by i.id", "where i.id = any($1::uuid[]) or i.paid_at > now() - interval '1 hour'\ngroup by i.id"
)


async def _broken(db: Db, ids: Mapping[str, Sequence[str]]) -> dict[tuple[str, str], str]:
    """What is wrong, by its kind and its id."""
    return {
        (name, row["what"]): row["why"]
        for name, rule in (("accounts", OF_ACCOUNTS), ("jobs", OF_JOBS), ("invoices", OF_INVOICES))
        for row in await db.fetch(rule, ids.get(name, []))
    }


async def look_at_all(db: Database) -> Check:
    """Every rule of the books, in one snapshot. Files are left to `limner ledger verify`."""
    newest = int(await db.fetchval(NEWEST))
    cases = [f"{finding.rule}: {case}" for finding in await books.rules(db, live=True) for case in finding.cases]
    await note(db, "whole", newest, cases)
    return next(check for check in await latest(db) if check.scope == "whole")
