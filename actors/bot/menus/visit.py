"""Who stands before a menu, what they may, and what a menu is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

from limner.actors.bot import words
from limner.actors.bot.menus.screen import Button, Screen, identity
from limner.actors.bot.words import Html
from limner.runtime import spans
from limner.runtime.config import Config
from limner.runtime.database import Db
from limner.runtime.errors import NotFound, Refused
from limner.sql import alert_rules, alerts, telegram
from limner.sql.alerts import Alert
from limner.sql.telegram import Admin

T = TypeVar("T")
Roles = frozenset[str]
EVERYBODY: Roles = frozenset({"owner", "operator", "viewer"})
STAFF: Roles = telegram.STAFF
"""Who may change keys and pictures, and silence an alert."""
OWNERS: Roles = frozenset({"owner"})
"""Who may change money, people and all the rest."""
BOOKKEEPERS: Roles = telegram.BOOKKEEPERS
"""Who sees money."""

LIGHTS = {
    "delivered": "🟢", "paid": "🟢", "active": "🟢", "done": "🟢", "failed": "🔴", "invalid": "🔴", "queued": "🟡",
    "running": "🟡", "pending": "🟡", "processing": "🟡", "in doubt": "🟡", "sending": "🟡", "draft": "📝", "stopped": "⛔",
}  # fmt: skip


@dataclass(frozen=True)
class Visit:
    """One tap or message: ``db`` is its transaction, ``admin`` as the books say now, ``locale`` what they read."""

    db: Db
    admin: Admin
    config: Config
    locale: str

    @property
    def actor(self) -> str:
        """What the audit calls them."""
        return f"bot {self.admin.telegram_id}"

    @property
    def reason(self) -> str:
        """Why, in the audit, where nobody is asked for a better one. Their name is nothing for users to read."""
        return f"{self.admin.name} said so by Telegram"

    def light(self, state: str) -> str:
        """The sign for what an order or an invoice has come to."""
        return LIGHTS.get(state, "⚪")

    def may(self, roles: Roles) -> bool:
        return self.admin.role in roles

    async def alerts(self) -> list[Alert]:
        """What is wrong just now, as far as it is for them."""
        found = await alerts.still_open(self.db)
        return [each for each in found if self.may(BOOKKEEPERS) or not alert_rules.is_money(each.rule)]

    def insist(self, roles: Roles) -> None:
        """Raises Refused."""
        if not self.may(roles):
            raise Refused(self.label("frame.may_not"))

    def stale(self) -> Refused:
        """To raise at what a button carries that makes no sense any more."""
        return Refused(self.label("frame.stale"))

    def say(self, key: str, **values: object) -> Html:
        """Words as HTML, every value escaped that is not Html itself."""
        return words.say(self.locale, key, **values)

    def label(self, key: str, **values: object) -> str:
        """Words as plain text: for a button or a toast."""
        return words.label(self.locale, key, **values)

    def told(self, english: str) -> str:
        """What was said, refused or noted elsewhere, in their language."""
        return words.told(self.locale, english)

    def button(self, key: str, data: str, **values: object) -> Button:
        return Button(self.label(key, **values), data)

    def back(self, data: str = "home") -> list[Button]:
        """The row that leads back."""
        return [self.button("frame.back", data)]

    def ago(self, seconds: float | None) -> str:
        """How long it is past; None: it never was."""
        if seconds is None:
            return self.label("frame.never")
        return self.label("frame.ago", time=self.duration(max(seconds, 0)))

    @staticmethod
    def moment(at: datetime) -> str:
        """A time, in one language for all."""
        return f"{at.astimezone(UTC):%d.%m. %H:%M} UTC"

    @staticmethod
    def stamp(at: datetime) -> str:
        """A time with its year, for what may be old."""
        return f"{at.astimezone(UTC):%d.%m.%Y %H:%M} UTC"

    async def find(self, text: str, get: Callable[[Db, UUID], Awaitable[T]], gone: str) -> T:
        """What a button carried the id of. Raises Refused, with the words ``gone`` when it is not there any more."""
        found = identity(text)
        if found is None:
            raise self.stale()
        try:
            return await get(self.db, found)
        except NotFound:
            raise NotFound(self.label(gone)) from None

    def duration(self, seconds: float) -> str:
        return spans.duration(seconds, self.locale)


Press = Callable[[Visit, list[str]], Awaitable[Screen]]
Do = Callable[[Visit, dict[str, Any]], Awaitable[Screen]]
Hear = Callable[[Visit, str, dict[str, Any]], Awaitable[Screen]]


@dataclass(frozen=True)
class Act:
    """What happens after a yes, if the person's role is then among ``by``."""

    do: Do
    by: Roles


@dataclass(frozen=True)
class Hearing:
    """What happens with a message that a menu asked for, if the person's role is then among ``by``."""

    hear: Hear
    by: Roles


@dataclass(frozen=True)
class Menu:
    """See the package. ``on_dashboard``: whether the dashboard has a button that opens it."""

    name: str
    press: Press
    looks: Roles
    acts: Mapping[str, Act] = field(default_factory=dict)
    hears: Mapping[str, Hearing] = field(default_factory=dict)
    on_dashboard: bool = True
