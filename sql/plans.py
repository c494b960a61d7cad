"""Plans: what is sold. An edit holds for orders and purchases to come; invoices and running periods keep what they say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import asyncpg

from limner.runtime.database import Db
from limner.runtime.errors import NotFound, Refused
from limner.sql import audit


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


# ISO 4217: in whole units or thousandths. A card processor would take a hundred times, or a tenth, of what is meant.
NOT_IN_HUNDREDTHS = (
    *("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF"),
    *("XOF", "XPF", "BHD", "CLF", "IQD", "JOD", "KWD", "LYD", "OMR", "TND", "UYW"),
)


@dataclass(frozen=True)
class Entry:
    """A plan as an operator edits it. None is no cap, every model, for ever."""

    name: str
    price_cents: int
    price_currency: str = "USD"
    billing_currency: str = "USDT"
    credits_per_cycle: int = 100
    concurrency: int = 2
    priority: int = 0
    allowed_models: list[str] | None = None
    retention_days: int | None = None
    longest_wait_seconds: int = 900
    shows_exact_quota: bool = False
    active: bool = True
    sort: int = 0
    credits_per_day: int | None = None
    credits_per_month: int | None = None

    def check(self) -> None:
        """Raises Refused that names the field and the value."""
        if not 1 <= len(self.name.strip()) <= 80:
            raise Refused(f"A name has 1 to 80 characters, not {len(self.name.strip())}.", field="name")
        for name in ("price_currency", "billing_currency"):
            if not re.fullmatch(r"[A-Z]{3,5}", getattr(self, name)):
                raise Refused(f"A currency looks like USD or USDT, not {getattr(self, name)[:20]!r}.", field=name)
        if self.price_currency in NOT_IN_HUNDREDTHS:
            raise Refused(
                f"Prices are counted in hundredths, and {self.price_currency} has none: choose another currency.",
                field="price_currency",
            )
        for name, (least, most) in BOUNDS.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise Refused(f"{name} is from {least:,} to {most:,}, not {value:,}.", field=name)
        if self.allowed_models is not None and not self.allowed_models:
            raise Refused("A plan without models paints nothing.", field="allowed_models")


BOUNDS = {
    "price_cents": (0, 10**9),
    "credits_per_cycle": (1, 10**9),
    "concurrency": (1, 100),
    "priority": (-10, 10),
    "retention_days": (1, 36500),
    "longest_wait_seconds": (5, 86400),
    "sort": (-1000, 1000),
    "credits_per_day": (1, 10**9),
    "credits_per_month": (1, 10**9),
}
EDITED = (
    "name, price_cents, price_currency, billing_currency, credits_per_cycle, concurrency, priority, allowed_models, "
    "retention_days, longest_wait_seconds, shows_exact_quota, active, sort, credits_per_day, credits_per_month"
)
ENTRY = f"select {EDITED} from plan where code = $1 for update"


async def entry(db: Db, code: str) -> Entry:
    """As it stands, sold or not. Raises NotFound."""
    row = await db.fetchrow(ENTRY, code)
    if row is None:
        raise NotFound(f"There is no plan {code[:40]!r}.")
    return Entry(**row)


ADD = (
    f"insert into plan (code, {EDITED}) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)"
)


async def add(db: Db, code: str, new: Entry, *, actor: str, reason: str = "", ip: str = "") -> None:
    """One plan more. Raises Refused for what cannot be, or a code that is taken."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", code):
        raise Refused(
            f"A code has 1 to 40 small letters, digits and dashes, no dash first, unlike {code[:60]!r}.", field="code"
        )
    new.check()
    await _exist(db, new)
    try:
        async with db.transaction() as tx:
            await tx.execute(ADD, code, *vars(new).values())
            await audit.record(tx, actor, "plan.add", code, None, vars(new), reason=reason, ip=ip)
    except asyncpg.UniqueViolationError as error:
        raise Refused(f"There is a plan {code!r} already.", field="code") from error


CHANGE = f"""
update plan set ({EDITED}, updated_at) = ($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, now())
where code = $1
"""


async def change(db: Db, code: str, to: Entry, *, reason: str = "", actor: str, ip: str = "") -> None:
    """From now on it is sold so, and who has it orders by these caps. Raises NotFound, Refused."""
    to.check()
    await _exist(db, to)
    async with db.transaction() as tx:
        before = await entry(tx, code)
        await tx.execute(CHANGE, code, *vars(to).values())
        changed = [name for name, value in vars(to).items() if value != getattr(before, name)]
        shown = [{name: getattr(each, name) for name in changed} for each in (before, to)]
        await audit.record(tx, actor, "plan.change", code, *shown, reason=reason, ip=ip)


async def _exist(db: Db, entry: Entry) -> None:
    wanted = entry.allowed_models or []
    known = {row["id"] for row in await db.fetch("select id from model where id = any($1::text[])", wanted)}
    for model in wanted:
        if model not in known:
            raise Refused(f"There is no model {model[:80]!r}.", field="allowed_models")


LIST = f"""
select p.id, p.code, {", ".join("p." + name for name in EDITED.split(", "))}, (
    select count(*) from subscription as s where s.plan_id = p.id and s.state = 'active' and s.period_end > now()
) as subscribers
from plan as p order by p.active desc, p.sort, p.price_cents, p.id
"""


async def listing(db: Db) -> list[dict[str, Any]]:
    """All of them, those on sale first, with how many have each right now."""
    return [dict(row) for row in await db.fetch(LIST)]


async def listed(db: Db, code: str) -> dict[str, Any]:
    """One of them. Raises NotFound."""
    found = next((each for each in await listing(db) if each["code"] == code), None)
    if found is None:
        raise NotFound(f"There is no plan {code[:40]!r}.")
    return found


ACTS = """
select id, actor, action, subject, before, after, ip, created_at from audit
where subject = $1 and action in ('plan.add', 'plan.change') order by id desc limit 50
"""


async def acts(db: Db, code: str) -> list[audit.Entry]:
    """How it was edited, newest first."""
    return [audit.Entry(**row) for row in await db.fetch(ACTS, code)]
