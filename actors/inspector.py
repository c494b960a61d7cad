"""The Inspector goes to see what nobody would notice by looking at rows: the books, and the certificate as browsers get it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from limner.actors.watch import certificate
from limner.runtime.actor import Actor
from limner.runtime.bus import Bus
from limner.runtime.config import Config
from limner.runtime.database import Database
from limner.runtime.errors import Busy
from limner.runtime.log import logger
from limner.runtime.mailbox import Message
from limner.runtime.presence import Presence
from limner.sql import books_checks, sightings
from limner.sql.books_checks import Check

log = logger(__name__)


@dataclass(frozen=True)
class CheckRecentBooks(Message):
    """See whether what was entered lately adds up."""

    mailbox: ClassVar[str] = "inspecting"


@dataclass(frozen=True)
class CheckAllBooks(Message):
    """See whether everything adds up, which may take minutes."""

    mailbox: ClassVar[str] = "inspecting"


@dataclass(frozen=True)
class CheckCertificate(Message):
    """See how long the certificate of the public address lasts."""

    mailbox: ClassVar[str] = "inspecting"


class Inspector(Actor):
    """Writes down what it found; the watchman reads that, and tells."""

    mailbox = "inspecting"
    messages = (CheckRecentBooks, CheckAllBooks, CheckCertificate)

    def __init__(self, db: Database, bus: Bus, presence: Presence, *, config: Config) -> None:
        super().__init__(db, bus, presence)
        self.config = config

    async def receive(self, message: CheckRecentBooks | CheckAllBooks | CheckCertificate) -> None:
        match message:
            case CheckRecentBooks():
                _report(await books_checks.look_at_recent(self.db))
            case CheckAllBooks():
                _report(await books_checks.look_at_all(self.db))
            case CheckCertificate():
                await self.look_at_certificate()

    async def look_at_certificate(self) -> None:
        """Where nobody answers, which others tell, what was read last still stands."""
        try:
            found = await certificate.look(self.config.public_url)
        except Busy as why:
            log.info("certificate_not_read", why=str(why))
            return
        if found is None:
            await sightings.forget(self.db, "certificate")
        else:
            await sightings.note(self.db, "certificate", found.days, found.words)


def _report(check: Check) -> None:
    if check.broken:
        log.error("books_do_not_add_up", scope=check.scope, broken=check.broken, first=check.cases[0])
