"""The audit after a fault: what must be true of money, jobs and pictures, whatever was killed (I1 to I8 of the design)."""

from __future__ import annotations

import hashlib
from pathlib import Path

from limner.actors.providers.simulator import seed_in
from limner.runtime.database import Db

# Each finds what must not exist, in words for the failure's message.
FAULTS = {
    "a balance that is not the sum of its entries (I1, I2)": """
        select b.account_id::text, b.available, b.held, b.spent from balance as b
        left join lateral (
            select coalesce(sum(case kind when 'reserve' then -credits when 'cycle_reset' then -credits when 'settle' then 0
                    else credits end), 0) as available,
                coalesce(sum(case kind when 'reserve' then credits when 'settle' then -credits when 'release' then -credits
                    else 0 end), 0) as held,
                coalesce(sum(case kind when 'settle' then credits when 'refund' then -credits else 0 end), 0) as spent
            from ledger_entry as e where e.account_id = b.account_id
        ) as e on true
        where (b.available, b.held, b.spent) is distinct from (e.available, e.held, e.spent)
            or least(b.available, b.held, b.spent) < 0
    """,
    "credits that came or went by themselves (I1)": """
        select b.account_id::text from balance as b where b.available + b.held + b.spent <> (
            select coalesce(sum(case kind when 'cycle_reset' then -credits else credits end), 0) from ledger_entry
            where account_id = b.account_id and kind in ('grant', 'adjust', 'cycle_reset')
        )
    """,
    "a charge without exactly one picture, or the reverse (I4, I7)": """
        select j.id::text, j.state from job as j
        where (j.state = 'delivered') <> (select count(*) = 1 from image where job_id = j.id)
            or (j.state = 'delivered') <> (
                select count(*) = 1 from ledger_entry where job_id = j.id and kind = 'settle' and credits = j.credits
            )
    """,
    "an end without a picture that was not released (I5)": """
        select j.id::text, j.state from job as j where j.state in ('failed', 'canceled')
            and (select array_agg(kind order by id) from ledger_entry where job_id = j.id) <> '{reserve,release}'
    """,
    "a job that has not ended (I6)": """
        select id::text, state, line from job where state in ('queued', 'running')
    """,
    "a reservation that is still open (I6)": "select account_id::text, held from balance where held <> 0",
    "a job without a reservation": """
        select id::text from job where not exists (select from ledger_entry where job_id = job.id and kind = 'reserve')
    """,
    "a message of a job that has ended": "select key, attempts from message where mailbox = 'painting'",
    "a message that was begun more often than it may be": """
        select kind, key, attempts from message where attempts > max_attempts
    """,
    "an attempt that is still open": "select job_id::text, number from attempt where finished_at is null",
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
    "somebody else's picture": """
        select i.id::text from image as i join job as j on j.id = i.job_id
        where (i.account_id, i.generation_id) is distinct from (j.account_id, j.generation_id)
    """,
}


async def audit(db: Db, pictures: Path) -> None:
    """Raises AssertionError that names every broken rule. ``pictures`` is the storage's folder."""
    broken = []
    for what, sql in FAULTS.items():
        broken += [f"{what}: {dict(row)}" for row in (await db.fetch(sql))[:5]]
    broken += await _unreadable(db, pictures)
    assert not broken, "\n".join(broken)


PICTURES = """
select i.storage_key, i.thumb_key, i.sha256, i.bytes, j.seed, g.model_id from image as i join job as j on j.id = i.job_id
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
        if not (pictures / row["thumb_key"]).is_file():
            broken.append(f"a picture without its thumbnail: {row['thumb_key']}")
    return broken


# Waste: what painters were paid for and nobody got. A kill costs at most the pictures that were in work (I8).
WASTE = "select (select count(*) from attempt where fault is null and finished_at is not null) - (select count(*) from image)"


async def waste(db: Db) -> int:
    return int(await db.fetchval(WASTE))
