"""The audit after a fault: what must be true of money, jobs and pictures, whatever was killed (I1 to I8 of the design)."""

from __future__ import annotations

import hashlib
from pathlib import Path

from limner.actors.providers.simulator import seed_in
from limner.runtime.database import Db
from limner.sql.books import RULES

# Beside the product's own rules (I2, I4, I5, I7): what must not be there when all has come to rest.
FAULTS = {
    "credits that came or went by themselves (I1)": """
        select b.account_id::text from balance as b where b.available + b.held + b.spent <> (
            select coalesce(sum(case kind when 'cycle_reset' then -credits else credits end), 0) from ledger_entry
            where account_id = b.account_id and kind in ('grant', 'adjust', 'cycle_reset')
        )
    """,
    "a job that has not ended (I6)": """
        select id::text, state, line from job where state in ('queued', 'running')
    """,
    "a reservation that is still open (I6)": "select account_id::text, held from balance where held <> 0",
    "a message of a job that has ended": "select key, attempts from message where mailbox = 'painting'",
    "a message that was begun more often than it may be": """
        select kind, key, attempts from message where attempts > max_attempts
    """,
    "an attempt that is still open": "select job_id::text, number from attempt where finished_at is null",
    "a picture whose small copy nobody will make": """
        select id::text from image where thumbed_at is null and deleted_at is null
            and id::text not in (select payload ->> 'image_id' from message where mailbox = 'framing')
    """,
    "one order with two generations": """
        select account_id::text, idempotency_key from generation where idempotency_key is not null
        group by account_id, idempotency_key having count(*) > 1
    """,
    "a generation that its jobs contradict": """
        select g.id::text, g.state from generation as g where g.state <> (
            select case when bool_or(state = 'delivered') then 'delivered' when bool_or(state = 'failed') then 'failed'
                else 'canceled' end
            from job where generation_id = g.id
        ) or g.count <> (select count(*) from job where generation_id = g.id)
    """,
}


async def audit(db: Db, pictures: Path) -> None:
    """Raises AssertionError that names every rule that is broken. ``pictures`` is the storage's folder."""
    broken = []
    for what, sql in (RULES | FAULTS).items():
        broken += [f"{what}: {dict(row)}" for row in (await db.fetch(sql))[:5]]
    broken += await _unreadable(db, pictures)
    assert not broken, "\n".join(broken)


PICTURES = """
select i.storage_key, i.thumb_key, i.thumbed_at is not null as is_framed, i.sha256, i.bytes, j.seed, g.model_id
from image as i join job as j on j.id = i.job_id
join generation as g on g.id = j.generation_id
where i.wiped_at is null
"""


async def _unreadable(db: Db, pictures: Path) -> list[str]:
    """Each picture is whole, and the simulator's carry the seed of the very job they were painted for."""
    broken = []
    for row in await db.fetch(PICTURES):
        path = pictures / row["storage_key"]
        data = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(data).hexdigest() != row["sha256"] or len(data) != row["bytes"]:
            broken.append(f"a picture whose bytes are gone or others (I4): {row['storage_key']}")
        elif row["model_id"] == "simulator" and seed_in(data) != row["seed"]:
            broken.append(f"another job's picture: {row['storage_key']}")
        if row["is_framed"] and not (pictures / row["thumb_key"]).is_file():
            broken.append(f"a picture without its thumbnail: {row['thumb_key']}")
    return broken


# Waste: what painters were paid for and nobody got. A kill costs at most the pictures that were in work (I8).
WASTE = "select (select count(*) from attempt where fault is null and finished_at is not null) - (select count(*) from image)"


async def waste(db: Db) -> int:
    return int(await db.fetchval(WASTE))
