"""The kiosk: what the command line does to codes."""

from __future__ import annotations

from datetime import UTC, datetime, time
from uuid import UUID

from limner.runtime.config import Config
from limner.runtime.errors import Refused
from limner.runtime.opening import open_briefly
from limner.sql import codes, gifts, plans
from limner.sql.codes import Promo
from limner.sql.gifts import Batch

ME = "cli"


async def create(
    config: Config,
    word: str,
    gives: str,
    quantity: int,
    *,
    plan_codes: tuple[str, ...],
    until: datetime | None,
    **limits: object,
) -> str:
    async with open_briefly(config) as db:
        of_plans = tuple([await plans.by_code(db, each) for each in plan_codes])
        promo = Promo(word, gives, quantity, plans=of_plans, ends_at=_end_of(until), **limits)  # type: ignore[arg-type]
        code = await codes.create(db, promo, actor=ME)
        return f"{code.shown} gives {code.promise} from now on"


async def make_gifts(
    config: Config, count: int, plan_code: str | None, credits: int, *, until: datetime | None, note: str
) -> list[str]:
    """The codes, one a line: told this once."""
    async with open_briefly(config) as db:
        plan = await plans.by_code(db, plan_code) if plan_code else None
        return await gifts.make(db, Batch(count, plan, credits, _end_of(until), note), actor=ME)


async def listing(config: Config, kind: str, count: int) -> list[str]:
    async with open_briefly(config) as db:
        return [
            f"{code.id}  {code.kind:<6} {code.state:<8} {code.uses:>5}{f' of {code.most_uses}' if code.most_uses else '':<8} "
            f"{code.shown:<16} {code.promise}"
            + (f"  until {code.ends_at:%Y-%m-%d}" if code.ends_at else "")
            + (f"  {code.note}" if code.note else "")
            for code in await codes.listing(db, kind=kind, count=count)
        ] or ["there are no codes"]


async def stop(config: Config, named: str, reason: str) -> str:
    """``named``: a promo code as it is written, or the id of any code. Raises Refused, NoSuchCode."""
    async with open_briefly(config) as db:
        code = await codes.get(db, UUID(named)) if _is_id(named) else await codes.find(db, named)
        await codes.stop(db, code, reason, actor=ME)
        return f"{code.shown} is stopped"


def _is_id(named: str) -> bool:
    try:
        UUID(named)
    except ValueError:
        return False
    return True


def _end_of(day: datetime | None) -> datetime | None:
    """The end of that day, in UTC. Raises Refused for one that is over."""
    if day is None:
        return None
    end = datetime.combine(day.date(), time.max, UTC)
    if end < datetime.now(UTC):
        raise Refused(f"{day:%Y-%m-%d} is over.", field="until")
    return end
