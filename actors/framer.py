"""The Framer hangs small copies: it decodes each picture behind its delivery, and takes back what turns out to be none."""

from __future__ import annotations

from limner.runtime import raster
from limner.runtime.actor import Actor
from limner.runtime.bus import Bus
from limner.runtime.database import Database
from limner.runtime.errors import Hopeless
from limner.runtime.log import logger
from limner.runtime.lull import Lull
from limner.runtime.presence import Presence
from limner.runtime.storage import KeyTaken, Storage
from limner.sql import images
from limner.sql.images import FramePicture, Unframed

log = logger(__name__)

STILL, MOST = 0.1, 2.0
"""Seconds without an order or a delivery in this process before it takes a picture in hand; and the longest it waits for them."""
DAMAGED = "This picture turned out to be damaged. What it cost was given back."


class Framer(Actor):
    """One picture at a time, in a process that takes what other work leaves of the processors: nobody waits for it."""

    mailbox = "framing"
    messages = (FramePicture,)
    fetches_ahead = False

    def __init__(self, db: Database, bus: Bus, presence: Presence, *, storage: Storage, lull: Lull) -> None:
        super().__init__(db, bus, presence)
        self.storage = storage
        self.lull = lull

    async def receive(self, message: FramePicture) -> None:
        await self.lull.come(still=STILL, most=MOST)
        picture = await images.unframed(self.db, message.image_id)
        if picture is None:
            return
        data = await self.storage.get(picture.storage_key)
        try:
            _, thumb = await raster.proof(data, humbly=True)
        except raster.Undecoded as why:  # it may be this machine that has too little: no reason to take it back
            raise Hopeless(f"image {picture.id} stays without a small copy: {why}") from None
        except raster.BadImage as why:
            log.error("picture_withdrawn", image=str(picture.id), job=str(picture.job_id), why=str(why))
            await images.withdraw(self.db, picture, DAMAGED)
        else:
            await self._hang(picture, thumb)

    async def _hang(self, picture: Unframed, thumb: bytes) -> None:
        try:
            await self.storage.put(picture.thumb_key, thumb, "image/webp")
        except KeyTaken:
            log.info(
                "hung_before", image=str(picture.id)
            )  # by one who died before he could say so; his version differs
        if not await images.framed(self.db, picture.id):
            await self.storage.delete(picture.thumb_key)
