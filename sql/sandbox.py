"""The sandbox processor's own books. It plays an outsider: nothing else of Limner reads them."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from limner.runtime.database import Db
from limner.runtime.errors import NotFound


@dataclass(frozen=True)
class Payment:
    id: UUID
    order_ref: str
    amount_cents: int
    currency: str
    title: str
    return_url: str
    webhook_url: str
    state: str

    @property
    def plan_name(self) -> str:
        return self.title


COLUMNS = "id, order_ref, amount_cents, currency, title, return_url, webhook_url, state"

OPEN = f"""
insert into sandbox_payment (order_ref, amount_cents, currency, title, return_url, webhook_url)
values ($1, $2, $3, $4, $5, $6)
on conflict (order_ref) do update set order_ref = excluded.order_ref
returning {COLUMNS}
"""


async def open_payment(
    db: Db, order_ref: str, amount_cents: int, currency: str, title: str, *, return_url: str, webhook_url: str
) -> Payment:
    """The payment of an order; asked twice, it is the same one."""
    row = await db.fetchrow(OPEN, order_ref, amount_cents, currency, title, return_url, webhook_url)
    assert row is not None
    return Payment(**row)


GET = f"select {COLUMNS} from sandbox_payment where id = $1"


async def get(db: Db, payment_id: UUID) -> Payment:
    """Raises NotFound."""
    row = await db.fetchrow(GET, payment_id)
    if row is None:
        raise NotFound("There is no such payment.")
    return Payment(**row)


DECIDE = "update sandbox_payment set state = $2 where id = $1 and state = 'pending' returning id"


async def decide(db: Db, payment_id: UUID, state: str) -> bool:
    """To settled or declined, once. False when it was decided before."""
    return await db.fetchval(DECIDE, payment_id, state) is not None


async def delivered(db: Db, payment_id: UUID) -> None:
    """Its webhook was taken."""
    await db.execute(
        "update sandbox_payment set delivered_at = now(), deliveries = deliveries + 1 where id = $1", payment_id
    )
