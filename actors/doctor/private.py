"""What must not leave in a support bundle, whoever wrote it down where: secrets, keys, prompts, names, addresses."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from limner.actors.doctor import discretion
from limner.runtime.config import Config
from limner.runtime.database import Db
from limner.runtime.vault import Vault, VaultError
from limner.sql import backups

MAIL = re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)+")

# An error may quote somebody's words: those of late are known, and taken out wherever they turn up.
PROMPTS = "select distinct prompt from (select prompt from generation order by created_at desc limit 5000) as g"
PEOPLE = "select name from telegram_admin union select name from telegram_pairing"


@dataclass
class Private:
    """What has to go: secrets and prompts wherever they stand, names where they stand as words."""

    texts: set[str]
    names: set[str] = field(default_factory=set)

    async def learn(self, db: Db, config: Config) -> None:
        """Prompts, names, and the painters' keys and proxies themselves."""
        try:
            self.texts |= {
                row["prompt"] for row in await db.fetch(PROMPTS) if len(row["prompt"]) >= discretion.SHORTEST
            }
            self.names |= {row["name"] for row in await db.fetch(PEOPLE) if row["name"]}
            self.texts |= await _opened(db, config)
        except asyncpg.PostgresError:  # a schema that is behind; whatever is read later has the same trouble
            return

    def cleaner(self) -> Callable[[Any], Any]:
        """Takes it out of every text in something. To be done before that becomes JSON, which writes some signs otherwise."""
        texts = discretion.longest_first(self.texts)
        names = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, self.names))})(?!\w)") if self.names else None

        def clean(value: Any) -> Any:
            if isinstance(value, dict):
                return {clean(name): clean(each) for name, each in value.items()}
            if isinstance(value, list | tuple):
                return [clean(each) for each in value]
            if not isinstance(value, str):
                return value
            value = MAIL.sub("***@***", discretion.hide(value, texts))
            return names.sub("***", value) if names else value

        return clean


async def _opened(db: Db, config: Config) -> set[str]:
    found = set()
    for place, sealed in (await backups.sealed(db)).items():
        try:
            found.add(Vault.from_config(config).open(sealed, bound_to=place))
        except VaultError:
            continue  # then nobody here can have written it anywhere
    return found
