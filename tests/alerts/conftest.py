"""A studio that is watched: a worker lives, Carol's phone is paired, mails could go out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from limner.actors import watchman
from limner.runtime.config import Config
from limner.runtime.database import Database
from limner.runtime.presence import Presence
from limner.runtime.vault import Vault
from limner.sql import alerts, pairings
from limner.sql.accounts import Account
from limner.sql.alerts import Alert
from tests.conftest import Cast, settings
from tests.upstreams.telegram import TOKEN

CAROL = 7


@pytest.fixture
def config(dsn: str, tmp_path: Path) -> Config:
    return settings(
        dsn, tmp_path, bot_token=TOKEN, telegram_url="http://127.0.0.1:1", public_url="https://art.example",
        smtp_host="127.0.0.1", smtp_port=9, mail_from="studio@art.example", docs_url="https://docs.example/limner",
    )  # fmt: skip


@dataclass
class Watched:
    """``worker``: the one that lives."""

    db: Database
    config: Config
    vault: Vault
    alice: Account
    carol: Account
    worker: Presence

    async def look(self) -> list[Alert]:
        """What is open after a look around, long enough after the last one for every rule."""
        await self.db.execute("delete from alert_reading where name like 'looked %'")
        await watchman.look(self.db, self.config)
        return await alerts.still_open(self.db)

    async def texts(self, channel: str = "telegram") -> list[str]:
        rows = await self.db.fetch("select body from notice where channel = $1 order by id", channel)
        return [row["body"] for row in rows]

    async def later(self, seconds: float) -> None:
        """So long afterwards: what the watchman noted of alerts has become older."""
        for column in ("began_at", "told_at", "gone_at", "ended_at", "snoozed_until"):
            await self.db.execute(f"update alert set {column} = {column} - make_interval(secs => $1)", float(seconds))
        await self.db.execute("update alert_pending set since = since - make_interval(secs => $1)", float(seconds))

    async def rule(self, code: str, **terms: object) -> None:
        for name, value in terms.items():
            await self.db.execute(f"update alert_rule set {name} = $2 where code = $1", code, value)

    async def pair(self, *telegram_ids: int) -> None:
        for each in telegram_ids:
            await self.db.execute("insert into telegram_admin (telegram_id, name) values ($1, 'admin')", each)


@pytest.fixture
async def watched(db: Database, config: Config, vault: Vault, cast: Cast) -> Watched:
    worker = Presence(db, "worker", lease=config.lease)
    await worker.beat()
    await pairings.confirm(db, await pairings.ask(db, CAROL, "Carol"), actor="cli")
    return Watched(db, config, vault, cast.alice, cast.carol, worker)


def causes(found: Sequence[Alert]) -> list[str]:
    return [alert.cause for alert in found]
