"""A phone before the bot's menus, without the network between: each press and message in a transaction, as the reader does."""

from __future__ import annotations

from dataclasses import dataclass, field

from limner.actors.bot.menus import switchboard
from limner.actors.bot.menus.screen import MOST_TEXT, Screen, length
from limner.actors.bot.menus.visit import Visit
from limner.runtime.config import Config
from limner.runtime.database import Database
from limner.sql import pairings
from limner.sql import telegram as books

PHONE = 7


@dataclass
class Phone:
    """``shown``: what the last message became."""

    db: Database
    config: Config
    person: int = PHONE
    locale: str = "en"
    shown: Screen = field(default_factory=lambda: Screen(""))

    async def press(self, data: str) -> Screen:
        """What a button carries."""
        return await self._did(data, None)

    async def tap(self, words: str) -> Screen:
        """The one button whose words begin so, or have this in them."""
        found = [each.data for row in self.shown.rows for each in row if words in each.text]
        assert len(found) == 1, f"{words!r} is on {len(found)} of {self.words}"
        return await self.press(found[0])

    async def say(self, text: str) -> Screen:
        return await self._did("", text)

    async def yes(self) -> Screen:
        """The button that agrees."""
        [found] = [each.data for row in self.shown.rows for each in row if each.data.startswith("yes:")]
        return await self.press(found)

    @property
    def words(self) -> list[str]:
        return [each.text for row in self.shown.rows for each in row]

    @property
    def data(self) -> list[str]:
        return [each.data for row in self.shown.rows for each in row]

    async def _did(self, data: str, text: str | None) -> Screen:
        async with self.db.transaction() as tx:
            admin = await books.admin(tx, self.person)
            assert admin is not None
            visit = Visit(tx, admin, self.config, self.locale)
            self.shown = await (switchboard.pressed(visit, data) if text is None else switchboard.heard(visit, text))
        assert length(self.shown.text) <= MOST_TEXT, self.shown.text
        return self.shown


async def paired(db: Database, config: Config, role: str = "owner", person: int = PHONE) -> Phone:
    """Somebody on the allow-list, with this role."""
    await pairings.confirm(db, await pairings.ask(db, person, "Carol"), actor="cli")
    await db.execute("update telegram_admin set role = $2 where telegram_id = $1", person, role)
    return Phone(db, config, person)


async def acts(db: Database) -> list[tuple[str, str]]:
    """What the bot did, and for whom."""
    rows = await db.fetch("select actor, action from audit where actor like 'bot %' order by id")
    return [(row["actor"], row["action"]) for row in rows]
