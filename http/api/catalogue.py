"""The catalogue, remembered for a moment: what is on offer, and whether anybody could paint it now."""

from __future__ import annotations

import time

import anyio
from aiohttp import web

from limner.http.api.errors import ApiError, overloaded
from limner.http.api.reading import shown
from limner.runtime.bus import Bus
from limner.runtime.database import Database
from limner.runtime.errors import Refused
from limner.sql import attempts, models
from limner.sql.channels import KEY_CHANGED
from limner.sql.models import Offered

MOMENT = 1.0
"""Seconds that an answer holds. The order itself asks the rows: this only spares each request the same questions."""
BUSY = 1.0
"""Seconds of rest of the whole pool that are not worth a refusal."""
NOBODY = 30.0
"""Seconds to wait when no key comes back by itself."""


class Catalogue:
    """One per process."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self._offer: tuple[float, list[Offered]] = (0.0, [])
        self._rests: dict[str, tuple[float, float | None]] = {}
        self._turn = anyio.Lock()

    async def listen(self, bus: Bus) -> None:
        await bus.on(KEY_CHANGED, self._forget)

    def _forget(self, _: str | None) -> None:
        self._rests.clear()
        self._offer = (0.0, [])

    async def offer(self) -> list[Offered]:
        if self._offer[0] < time.monotonic():
            async with self._turn:
                if self._offer[0] < time.monotonic():
                    self._offer = (time.monotonic() + MOMENT, await models.on_offer(self.db))
        return self._offer[1]

    async def at_hand(self, name: str | None) -> Offered | None:
        """The model on offer that a name stands for; the first for none."""
        offer = await self.offer()
        wanted = models.normal(name or "")
        return next((each for each in offer if name is None or wanted == each.id or wanted in each.aliases), None)

    async def find(self, name: str | None) -> Offered:
        """The same, also when it took over from a retired one: that is asked each time. Raises ApiError."""
        if (found := await self.at_hand(name)) is not None:
            return found
        try:
            return await models.offered(self.db, models.normal(name or ""))
        except Refused as error:
            words = f"The model {shown(name or '')} does not exist."
            raise ApiError(404, "model_not_found", words, param="model") from error

    async def must_be_awake(self, model: Offered) -> None:
        """Raises ApiError while every key that could paint it rests: nothing is ordered, nothing waits."""
        until, back = self._rests.get(model.id, (0.0, None))
        if until < time.monotonic():
            back = await attempts.free_in(self.db, model.provider_id, model.id)
            self._rests[model.id] = time.monotonic() + MOMENT, back
        if back is None or back > BUSY:
            words = f"All painters of {model.id} are resting. Nothing was ordered or charged; please try again later."
            raise overloaded(words, back or NOBODY)


CATALOGUE = web.AppKey("api_catalogue", Catalogue)
