"""Orders a page at a time: where few are sought it looks through many, and goes on at the next press."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID

from limner.actors.bot.menus.paging import Page, Place, Turn, page, turn
from limner.actors.bot.menus.visit import Visit
from limner.sql import orders, studio
from limner.sql.orders import Order, Sought

MOST_LOOKS = 9
"""How often it looks as far as a list goes in one go, for one page."""
Go = Callable[[Place, int], Awaitable[tuple[list[Order], Place | None]]]


async def order_turn(visit: Visit, way: str, row: str) -> Turn:
    return await turn(visit, way, row, studio.generation, "generations.gone")


async def order_page(visit: Visit, sought: Sought, at: Turn) -> Page[Order]:
    async def older(place: Place, count: int) -> tuple[list[Order], UUID | None]:
        return await _looked(lambda edge, n: orders.listing(visit.db, sought, edge, n), place, count, is_upwards=False)

    async def newer(place: Place, count: int) -> tuple[list[Order], UUID | None]:
        return await _looked(lambda edge, n: orders.newer(visit.db, sought, edge, n), place, count, is_upwards=True)

    return await page(at, older, newer)


async def _looked(go: Go, place: Place, count: int, *, is_upwards: bool) -> tuple[list[Order], UUID | None]:
    found, edge = await go(place, count)
    for _ in range(MOST_LOOKS):
        if edge is None or len(found) >= count:
            break
        more, edge = await go(edge, count - len(found))
        found = [*more, *found] if is_upwards else [*found, *more]
    return found, edge[1] if edge and len(found) < count else None
