"""Retries: pictures that failed are ordered again for their owner, once, on the house (docs/decisions/0006)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from limner.runtime.config import Config
from limner.runtime.database import Db
from limner.runtime.errors import Refused
from limner.sql import audit, generations, ledger, takedowns, terms
from limner.sql.generations import Order
from limner.sql.models import Size

ORDERED = """
select g.account_id, g.thread_id, g.model_id, g.prompt, g.width, g.height, g.parameters, g.mask_upload_id, g.partial_images,
    g.state, a.email, a.banned_at is not null as is_banned,
    (select count(*)::int from job as j where j.generation_id = g.id and j.state = 'failed') as failed,
    exists (select from retry as r where r.generation_id = g.id) as was_retried,
    exists (select from retry as r where r.retried_as = g.id) as is_retry
from generation as g join account as a on a.id = g.account_id where g.id = $1
"""
REFERENCES = """
select upload_id, image_id from generation_reference where generation_id = $1 order by position
"""
REMEMBER = "insert into retry (generation_id, retried_as, credits) values ($1, $2, $3)"


async def retry(db: Db, generation_id: UUID, config: Config, reason: str, *, actor: str, ip: str = "") -> UUID:
    """Order its failed pictures again; returns the new order's id. The owner's own credits are left as they are.

    They get the price first, in the transaction that reserves it: a picture that comes costs them nothing, one that fails
    again leaves them the credit. Raises NotFound, and Refused: nothing failed, done before, no plan, its caps.
    """
    async with db.transaction() as tx:
        await generations.lock(tx, generation_id)  # two who retry it come one after another
        row: Any = await tx.fetchrow(ORDERED, generation_id)
        _check(row)
        asked = await _order(tx, generation_id, row)
        agreed = await terms.agreed(tx, asked.account_id, asked.model_id)
        credits = agreed.model.credits * asked.count
        await ledger.adjust(tx, asked.account_id, credits, "A picture that failed is painted again, on the house")
        new = await generations.order(tx, asked, deadline=config.job_deadline)
        await tx.execute(REMEMBER, generation_id, new, credits)
        before = {"state": row["state"], "failed": row["failed"]}
        after = {"retried_as": str(new), "pictures": asked.count, "credits": credits, "reason": reason}
        await audit.record(tx, actor, "generation.retry", f"generation {generation_id}", before, after, ip=ip)
        return new


def _check(row: Any) -> None:
    if row["state"] in ("queued", "running"):
        raise Refused("It is not over yet: wait for its end.")
    if row["is_banned"]:
        raise Refused("Its owner is banned or gone.")
    if row["failed"] == 0:
        raise Refused("Nothing of it failed.")
    if row["was_retried"]:
        raise Refused("It was painted again already.")
    if row["is_retry"]:
        raise Refused("This was painted again once. Its owner has the credits, and can order it.")


async def _order(db: Db, generation_id: UUID, row: Any) -> Order:
    """The same again, as many as failed."""
    found = await db.fetch(REFERENCES, generation_id)
    pictures = tuple(each["image_id"] for each in found if each["image_id"])
    await takedowns.refuse_among(db, pictures, row["account_id"])
    return Order(
        account_id=row["account_id"],
        prompt=row["prompt"],
        model_id=row["model_id"],
        size=Size(row["width"], row["height"]),
        count=row["failed"],
        thread_id=row["thread_id"],
        uploads=tuple(each["upload_id"] for each in found if each["upload_id"]),
        pictures=pictures,
        mask=row["mask_upload_id"],
        parameters=row["parameters"],
        partial_images=row["partial_images"],
    )


STANDING = """
select exists (select from retry where generation_id = $1 or retried_as = $1)
    or not exists (select from job where generation_id = $1 and state = 'failed')
    or exists (select from job where generation_id = $1 and state in ('queued', 'running'))
"""


async def is_offered(db: Db, generation_id: UUID) -> bool:
    """Whether it is worth a button."""
    return not await db.fetchval(STANDING, generation_id)
