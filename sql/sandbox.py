"""The sandbox processor's own books. It plays an outsider: nothing else of Limner reads them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from limner.runtime.database import Db
from limner.runtime.errors import NotFound, Refused


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
    received_cents: int
    is_late: bool
    refunded_cents: int

    @property
    def plan_name(self) -> str:
        return self.title

    @property
    def is_open(self) -> bool:
        return self.state in ("pending", "confirming", "expired")


# Its states are pending, confirming, settled, declined and expired; the column knows three, which an older release reads.
COLUMNS = """id, order_ref, amount_cents, currency, title, return_url, webhook_url, case
    when state = 'pending' and is_confirming then 'confirming'
    when state = 'pending' and expired_at is not null then 'expired' else state end as state,
    received_cents, is_late, refunded_cents"""

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


LIST = f"""
select {COLUMNS} from sandbox_payment
where ($1::text is null or order_ref = $1) and ($2::timestamptz is null or created_at >= $2)
order by created_at limit 1000
"""


async def listing(db: Db, *, order_ref: str | None = None, since: datetime | None = None) -> list[Payment]:
    return [Payment(**row) for row in await db.fetch(LIST, order_ref, since)]


# What comes after the end is late; what comes after a part adds up.
RECEIVE = """
update sandbox_payment set received_cents = received_cents + $2, is_late = expired_at is not null,
    is_confirming = $3, state = case when not $3 and received_cents + $2 >= amount_cents then 'settled' else state end
where id = $1 and state = 'pending' returning state
"""


async def receive(db: Db, payment_id: UUID, cents: int, *, is_confirming: bool = False) -> str | None:
    """So much money comes in. None when the payment was decided before."""
    return await db.fetchval(RECEIVE, payment_id, cents, is_confirming)  # type: ignore[no-any-return]


EXPIRE = """
update sandbox_payment set expired_at = now() where id = $1 and state = 'pending' and expired_at is null and not is_confirming
returning id
"""


async def expire(db: Db, payment_id: UUID) -> bool:
    """Its time is up; who pays now pays late."""
    return await db.fetchval(EXPIRE, payment_id) is not None


DECIDE = """
update sandbox_payment set state = $2, is_confirming = false, is_late = is_late or (expired_at is not null and $2 = 'settled'),
    received_cents = case when $2 = 'settled' then greatest(received_cents, amount_cents) else received_cents end
where id = $1 and state = 'pending' returning id
"""


async def decide(db: Db, payment_id: UUID, state: str) -> bool:
    """To settled or declined, once. False when it was decided before."""
    return await db.fetchval(DECIDE, payment_id, state) is not None


PAY_BACK = """
with paid as (
    select id from sandbox_payment where id = $1 and received_cents - refunded_cents >= $3
),
noted as (
    insert into sandbox_refund (ref, payment_id, amount_cents) select $2, id, $3 from paid on conflict (ref) do nothing
    returning payment_id
)
update sandbox_payment set refunded_cents = refunded_cents + $3 where id = (select payment_id from noted) returning id
"""


async def pay_back(db: Db, payment_id: UUID, ref: str, cents: int) -> None:
    """Under the same ``ref`` once. Raises Refused when less than that is there."""
    if await db.fetchval(PAY_BACK, payment_id, ref, cents) is not None:
        return
    if not await db.fetchval("select true from sandbox_refund where ref = $1 and payment_id = $2", ref, payment_id):
        raise Refused("There is less than that to give back.", field="amount_cents")


async def delivered(db: Db, payment_id: UUID) -> None:
    """Its webhook was taken."""
    await db.execute(
        "update sandbox_payment set delivered_at = now(), deliveries = deliveries + 1 where id = $1", payment_id
    )
