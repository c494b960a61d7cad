"""The Chronicler: puts down the figures of days that are over, and sees each minute how full pool and queue are."""

from __future__ import annotations

from limner.runtime.actor import Actor
from limner.runtime.log import logger
from limner.sql import closings, samples
from limner.sql.closings import CloseDays
from limner.sql.samples import TakeSample

log = logger(__name__)


class Chronicler(Actor):
    mailbox = "chronicling"
    messages = (TakeSample, CloseDays)

    async def receive(self, message: TakeSample | CloseDays) -> None:
        match message:
            case TakeSample():
                await samples.take(self.db)
            case CloseDays():
                if closed := await closings.close(self.db):
                    log.info("days_closed", count=closed)
                await samples.forget_old(self.db)
