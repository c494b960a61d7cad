"""Plans: what is sold."""

from __future__ import annotations

from dataclasses import dataclass

from limner.runtime.database import Db
from limner.runtime.errors import NotFound


@dataclass(frozen=True)
class Plan:
    """Prices are in cents; credits are per cycle, one for a standard picture."""

    id: int
    code: str
    name: str
    price_cents: int
    price_currency: str
    billing_currency: str
    credits_per_cycle: int
    concurrency: int
    priority: int
    allowed_models: list[str] | None
    retention_days: int | None
    longest_wait_seconds: int
    shows_exact_quota: bool
    active: bool
    credits_per_day: int | None
    credits_per_month: int | None

    @property
    def currency(self) -> str:
        return self.price_currency

    def allows(self, model_id: str) -> bool:
        return self.allowed_models is None or model_id in self.allowed_models


COLUMNS = (
    "id, code, name, price_cents, price_currency, billing_currency, credits_per_cycle, concurrency, priority, "
    "allowed_models, retention_days, longest_wait_seconds, shows_exact_quota, active, "
    "credits_per_day, credits_per_month"
)

SEED = """
insert into plan (code, name, price_cents, price_currency, billing_currency, credits_per_cycle)
values ('monthly', 'Monthly', 999, 'USD', 'USDT', 100) on conflict (code) do nothing
"""


async def ensure_default(db: Db) -> None:
    """The default plan exists; what an operator changed about it stays."""
    await db.execute(SEED)


ON_SALE = f"select {COLUMNS} from plan where active order by sort, price_cents, id"


async def on_sale(db: Db) -> list[Plan]:
    return [Plan(**row) for row in await db.fetch(ON_SALE)]


GET = f"select {COLUMNS} from plan where id = $1"


async def get(db: Db, plan_id: int) -> Plan:
    """Raises NotFound."""
    return _found(await db.fetchrow(GET, plan_id))


BY_CODE = f"select {COLUMNS} from plan where code = $1 and active"


async def by_code(db: Db, code: str) -> Plan:
    """A plan that is on sale. Raises NotFound."""
    return _found(await db.fetchrow(BY_CODE, code))


def _found(row: object) -> Plan:
    if row is None:
        raise NotFound("There is no such plan, or it is not sold any more.")
    return Plan(**row)  # type: ignore[arg-type]
