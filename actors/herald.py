"""The Herald hands broadcasts to the outbox, portion by portion, at the pace that each was given."""

from __future__ import annotations

from limner.actors.mail import bulletins
from limner.runtime.actor import Actor
from limner.runtime.bus import Bus
from limner.runtime.config import Config
from limner.runtime.database import Database
from limner.runtime.log import logger
from limner.runtime.presence import Presence
from limner.sql import broadcasts, portions
from limner.sql.spreading import SpreadBroadcasts, Ways

log = logger(__name__)


class Herald(Actor):
    """Works when a broadcast is begun, and whenever the schedule says so. How far it got stands in the database alone."""

    mailbox = "heralding"
    messages = (SpreadBroadcasts,)

    def __init__(self, db: Database, bus: Bus, presence: Presence, *, config: Config) -> None:
        super().__init__(db, bus, presence)
        self.config = config

    async def receive(self, message: SpreadBroadcasts) -> None:
        await spread(self.db, self.config)


async def spread(db: Database, config: Config) -> int:
    """The next portion of each; returns how many people that were. Any number of processes may do it at once."""
    count = 0
    for broadcast_id in await portions.under_way(db):
        found = await broadcasts.get(db, broadcast_id)
        while await portions.enlist(db, found.id):
            pass
        texts = bulletins.as_telegrams(found, config.public_url)
        portion = await portions.spread(db, found.id, Ways.of(config), texts)
        if portion:
            log.info("broadcast_spreads", broadcast=str(found.id), people=portion)
        count += portion
    return count
