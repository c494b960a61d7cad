"""The Watchman sees troubles before users do: alerts, and the news that they are over."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar

import anyio

from limner.runtime import mailbox
from limner.runtime.actor import Actor
from limner.runtime.bus import Bus
from limner.runtime.config import Config
from limner.runtime.database import TROUBLE, Database, Db
from limner.runtime.errors import as_raised
from limner.runtime.log import logger, redact
from limner.runtime.mailbox import Message
from limner.runtime.presence import Presence
from limner.sql import alerts, backups, funds, mails, notices, payments, telegram, worries
from limner.sql.alerts import Alert, LostKey
from limner.sql.channels import KEY_CHANGED

log = logger(__name__)

LONG_WAIT = 120.0
"""Seconds that a picture may wait before somebody is told."""
CALM_WAIT = 60.0
"""Seconds below which the alert ends: less than what begins it, so that it does not flutter."""
MAIL_WAITS = 900.0
"""Seconds after which a mail that has not gone out is a trouble."""
SOON = 3.0
"""Seconds from a key's change to a look around: a storm of them is one look."""
OLDEST_BACKUP = 26 * 3600.0
OLDEST_DRILL = 8 * 86400.0
"""Seconds: a day, or a week, and what a late one may take."""
STATES = {"out_of_funds": "is out of funds", "manual_review": "needs a look", "disabled": "was disabled"}


@dataclass(frozen=True)
class LookAround(Message):
    """See what is wrong, tell what is new."""

    mailbox: ClassVar[str] = "watching"


class Watchman(Actor):
    """Looks around whenever the schedule says so."""

    mailbox = "watching"
    messages = (LookAround,)

    def __init__(self, db: Database, bus: Bus, presence: Presence, *, config: Config) -> None:
        super().__init__(db, bus, presence)
        self.config = config
        self._changed = anyio.Event()

    async def run(self) -> None:
        """Look around as well when a key has changed, at most every few seconds."""
        await self.bus.on(KEY_CHANGED, self._key_changed)
        try:
            with as_raised():
                async with anyio.create_task_group() as group:
                    group.start_soon(self._look_soon)
                    await super().run()
                    group.cancel_scope.cancel()
        finally:
            self.bus.off(KEY_CHANGED, self._key_changed)

    def _key_changed(self, payload: str | None) -> None:
        if payload is not None:
            self._changed.set()

    async def _look_soon(self) -> None:
        while True:
            await self._changed.wait()
            await anyio.sleep(SOON)
            self._changed = anyio.Event()
            try:
                await mailbox.send(self.db, LookAround(), key="soon")
            except TROUBLE:
                continue  # the schedule looks anyway

    async def receive(self, message: LookAround) -> None:
        await look(self.db, self.config)


async def look(db: Db, config: Config) -> None:
    """Compare what is wrong with the open alerts: begin, end, and queue one notice each for every Telegram admin.

    Any number of processes may do it: one at a time does, the others find nothing new.
    """
    async with db.transaction() as tx:
        if not await alerts.is_alone(tx):
            return
        lost = await alerts.lost_keys(tx)
        troubles = await _troubles(tx, config.lease) | {cause(key): words(key) for key in lost if not key.by_hand}
        if config.smtp_host:
            troubles |= await _mails(tx)
        for what, said in troubles.items():
            await alerts.begin(tx, what, said)
        begun = await alerts.take_untold(tx)
        ended = await alerts.end_others(tx, list(troubles))
        put_aside = {cause(key) for key in lost if key.by_hand}
        await tell(tx, config, [(f"alert {alert.id}", f"⚠️ {alert.words}") for alert in begun])
        await tell(tx, config, [(f"alert {alert.id} over", recovery(alert, put_aside)) for alert in ended])


def cause(key: LostKey) -> str:
    return f"key {key.id}"


def words(key: LostKey) -> str:
    why = redact(key.why)[:300] or "nobody knows why"
    return f"Key {key.label} {key.last_four} ({key.provider}) {STATES[key.state]}: {why}."


def recovery(alert: Alert, put_aside: Iterable[str] = ()) -> str:
    """The news that it is over, such as "✅ Fine again after 14 min: no worker is alive"."""
    how = "Settled by hand" if alert.cause in put_aside else "Fine again"
    return f"✅ {how} after {duration(alert.seconds)}. It was: {alert.words}"


def duration(seconds: float) -> str:
    """Seconds as people say them: 40 s, 14 min, 3 h 5 min, 2 days 4 h."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes < 90:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // 1440} days {minutes % 1440 // 60} h"


async def _troubles(db: Db, lease: float) -> dict[str, str]:
    """What is wrong, by cause, the keys aside."""
    troubles = {}
    if not await alerts.has_worker(db, lease):
        troubles["no_worker"] = "No worker is alive: nothing is painted."
    if await alerts.is_bot_contested(db, lease):
        troubles["bot_conflict"] = "Somebody else polls with the bot's token: one of the two must stop."
    waited = await alerts.longest_wait(db)
    begun = any(alert.cause == "queue_waits" for alert in await alerts.still_open(db))
    if waited > (CALM_WAIT if begun else LONG_WAIT):
        troubles["queue_waits"] = f"Pictures have been waiting for {duration(waited)}."
    return troubles | await _overdue_copies(db) | await _pool(db) | await _money(db)


async def _money(db: Db) -> dict[str, str]:
    """Payments about which somebody has to decide."""
    return {
        f"invoice {invoice.id}": f"Invoice {invoice.id}: {invoice.trouble_words}"
        for invoice in await payments.troubled(db)
    }


async def _pool(db: Db) -> dict[str, str]:
    """What ails the pool beyond single keys."""
    troubles = {}
    for model in await worries.cooled(db):
        back = f"the first is back at {model.back:%H:%M} UTC" if model.back else "none comes back by itself"
        troubles[f"model {model.id}"] = f"No key can paint {model.name} ({model.provider}): {back}."
    for proxy in await worries.dead_proxies(db):
        why = redact(proxy.why)[:200]
        troubles[f"proxy {proxy.id}"] = f"Proxy {proxy.label} is dead, and {proxy.keys} keys count on it: {why}."
    for old in await worries.retiring(db):
        then = f"{old.replacement} takes over" if old.replacement else "nothing takes its place yet"
        troubles[f"retiring {old.id}"] = f"{old.name} retires on {old.retires_at:%d %B}: {then}."
    for fund in await funds.listing(db):
        if fund.is_low:
            lasts = f", which lasts {fund.days_left:.1f} days" if fund.days_left is not None else ""
            troubles[f"fund {fund.id}"] = (
                f"{fund.left / 1_000_000:,.2f} USD is left on {fund.name} of {fund.provider}{lasts}."
            )
    return troubles


async def _mails(db: Db) -> dict[str, str]:
    """Only with a mail server: without one mails wait for an admin, and that is how it is meant."""
    troubles, jam = {}, await mails.jam(db, MAIL_WAITS)
    if jam.waiting:
        troubles["mails_wait"] = (
            f"{jam.waiting} mails do not get out, the oldest for {duration(jam.oldest)}: see `limner doctor --only mail`."
        )
    if jam.is_refused:
        troubles["mails_refused"] = f"{jam.failed} mails were refused within a day: see Mails in the admin."
    return troubles


async def _overdue_copies(db: Db) -> dict[str, str]:
    """Only once somebody has begun to make backups: a studio on a developer's machine needs none."""
    troubles = {}
    if (age := await backups.overdue(db, "backup", OLDEST_BACKUP)) is not None:
        troubles["backup_overdue"] = f"There has been no good backup for {duration(age)}: see `limner backups`."
    if (age := await backups.overdue(db, "drill", OLDEST_DRILL)) is not None:
        troubles["drill_overdue"] = f"No backup has been proved for {duration(age)}: run `limner drill`."
    return troubles


async def tell(db: Db, config: Config, news: list[tuple[str, str]]) -> None:
    """One notice for each admin and each of the (dedupe key, text): by Telegram, or by mail where nobody is paired."""
    paired = await telegram.admins(db) if news and config.bot_token is not None else []
    for key, text in news:
        log.warning("alert", key=key, text=text)
        for admin in paired:
            await notices.queue(db, "telegram", str(admin.telegram_id), text, dedupe_key=key)
        if config.smtp_host and not paired:
            await _tell_by_mail(db, key, text)


async def _tell_by_mail(db: Db, key: str, text: str) -> None:
    for who in await alerts.readers(db):
        details = {"words": text, "at": datetime.now(UTC).isoformat(), "path": "/admin"}
        await notices.mail(db, who.email, "alert", locale=who.locale, details=details, dedupe_key=key)
