"""A database that is unwell in one place: it refuses some of what is written, until the trigger ``breaks`` is gone."""

from __future__ import annotations

from limner.runtime.database import Db

REFUSES = """
create function breaks() returns trigger language plpgsql as $body$
begin
    raise exception 'the database is not well' using errcode = '{code}';
end
$body$
"""
BREAKS = "create trigger breaks before {what} for each row when ({when}) execute function breaks()"
BREAKS_AT_COMMIT = """
create constraint trigger breaks after {what} deferrable initially deferred for each row when ({when})
execute function breaks()
"""


async def break_down(db: Db, what: str, code: str, *, when: str = "true", at_commit: bool = False) -> None:
    """``what``: such as "insert on image"; ``code``: the SQLSTATE that whoever writes it gets, there or at the commit."""
    await db.execute(REFUSES.format(code=code))
    await db.execute((BREAKS_AT_COMMIT if at_commit else BREAKS).format(what=what, when=when))
