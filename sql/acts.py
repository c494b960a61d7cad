"""Acts: the audit as admins look through it, by who, what, whom and when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from limner.runtime.database import Db
from limner.sql import lists
from limner.sql.audit import Entry

LIST = """
select id, actor, action, subject, before, after, ip, created_at from audit
where ($1 = '' or lower(subject collate "C") like lower($1)) and ($2 = '' or lower(actor collate "C") like lower($2))
    and ($3 = '' or action like $3)
    and ($4::timestamptz is null or created_at >= $4) and ($5::timestamptz is null or created_at < $5)
    and ($6::bigint is null or id < $6)
order by id desc limit $7
"""


@dataclass(frozen=True)
class Sought:
    """Which to show; what is empty hides none. ``action``: one, or the first word of many, such as "key"."""

    subject: str = ""
    actor: str = ""
    action: str = ""
    since: datetime | None = None
    until: datetime | None = None


async def listing(db: Db, sought: Sought, before: int | None = None, count: int = 50) -> list[Entry]:
    """Newest first."""
    action = lists.part(sought.action).removeprefix("%")
    asked = (lists.part(sought.subject), lists.part(sought.actor), action, sought.since, sought.until)
    return [Entry(**row) for row in await lists.read(db, LIST, *asked, before, count)]
