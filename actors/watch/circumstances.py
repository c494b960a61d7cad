"""What the readers of troubles go by, and what they see."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass
from typing import NamedTuple

from limner.runtime.config import Config
from limner.runtime.database import Db
from limner.runtime.phrases import Phrase
from limner.sql.alert_rules import Rule

HEALTH = ("/admin/health", "system")
"""Where processes, machines and backups are seen: in the admin, and in the bot."""


@dataclass(frozen=True)
class Circumstances:
    """What the readers go by. ``known``: the causes of the alerts that are open."""

    db: Db
    config: Config
    known: Collection[str]


class Seen(NamedTuple):
    """A trouble without its rule."""

    cause: str
    words: Phrase
    place: str = "/admin"
    button: str = "home"


Reader = Callable[[Circumstances, Rule], AsyncIterator[Seen]]
