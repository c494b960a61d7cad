"""The bot role: what `limner bot` runs. aiogram is imported only when there is a token."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import aiohttp
import anyio

from limner.actors import courier, watchman
from limner.runtime import metrics
from limner.runtime.config import Config
from limner.runtime.database import Database
from limner.runtime.errors import Busy, LimnerError
from limner.runtime.log import logger
from limner.runtime.opening import open_for
from limner.runtime.presence import Presence
from limner.runtime.supervisor import Child, CrashStorm, Supervisor, supervise
from limner.sql import pairings, vaults
from limner.sql import telegram as books

log = logger(__name__)

LOOK_EVERY = 10.0
DELIVER_EVERY = 2.0
TIDY_EVERY = 3600.0
UNREACHABLE_PAUSE = 10.0
"""Seconds between two tries to deliver while Telegram is away."""
NO_TOKEN = {"name": "poller", "state": "no token", "last_ok": None}


async def run(config: Config) -> int:
    """Work until told to stop. Returns the exit code: 0; 1 after too many crashes; 78 when the token is refused."""
    async with (
        open_for(config, "bot", pool=4) as db,
        aiohttp.ClientSession() as session,
    ):
        presence = await vaults.enlist(db, config, "bot")
        try:
            return await _work(db, config, presence, _common(db, config, presence, session))
        except* (CrashStorm, LimnerError) as storm:
            log.error("bot_gives_up", why=str(storm.exceptions[0]))
        finally:
            await presence.leave()
    return 1


def _common(db: Database, config: Config, presence: Presence, session: aiohttp.ClientSession) -> list[Child]:
    """What a bot does with or without a token. Alerts go out from here because no worker may be alive."""
    return [
        Child("presence", presence.run),
        Child("watch", _every(LOOK_EVERY, lambda: watchman.look(db, config), first=float(config.lease))),
        Child("deliver", _every(DELIVER_EVERY, lambda: courier.deliver(db, config, session))),
        Child("tidy", _every(TIDY_EVERY, lambda: _tidy(db))),
        Child("metrics", partial(metrics.serve, config, metrics.Metrics(lambda: presence.children()))),
    ]


async def _tidy(db: Database) -> None:
    await pairings.forget_old(db)
    await books.cleanup(db)


async def _work(db: Database, config: Config, presence: Presence, common: list[Child]) -> int:
    if config.bot_token is None:
        log.info("bot has no token: set LIMNER_BOT_TOKEN")
        await _supervise(presence, Supervisor(common), lambda: NO_TOKEN)
        return 0
    return await _talk(db, config, presence, common)


async def _talk(db: Database, config: Config, presence: Presence, common: list[Child]) -> int:
    from limner.actors.bot.poller import Poller
    from limner.actors.bot.reader import Reader
    from limner.actors.bot.telegram import TOKEN_REFUSED, Telegram, TokenRefused, report_refusal

    try:
        telegram = Telegram(config)
    except TokenRefused as why:
        report_refusal(why)
        return TOKEN_REFUSED
    reader = Reader(db, telegram, config)
    poller = Poller(db, presence, telegram, wake=reader.wake, stop=lambda: supervisor.stop())
    supervisor = Supervisor([
        *common,
        Child("reader", reader.run, drain=reader.drain, patience=2),
        Child("poller", poller.run),  # the last to start is the first to stop: the lease is free while the rest drains
    ])  # fmt: skip
    try:
        await _supervise(presence, supervisor, poller.report)
    finally:
        with anyio.move_on_after(1, shield=True):
            await telegram.close()
    return poller.exit_code


async def _supervise(presence: Presence, supervisor: Supervisor, poller: Callable[[], dict[str, Any]]) -> None:
    def children() -> list[dict[str, Any]]:
        return with_its_own_words(supervisor.report(), poller())

    presence.children = children
    await presence.beat()
    await supervise(supervisor, lambda: log.info("bot_ready", id=str(presence.id)))


def with_its_own_words(children: list[dict[str, Any]], own: dict[str, Any]) -> list[dict[str, Any]]:
    """The children, and what the poller says of itself; of one that has crashed, what it last said is no news."""
    report = {child["name"]: child for child in children}
    poller = report.get("poller", {})
    fallen = {} if poller.get("state", "running") == "running" else {"state": poller["state"]}
    report["poller"] = poller | own | fallen
    return list(report.values())


def _every(seconds: float, work: Callable[[], Awaitable[object]], *, first: float = 0) -> Callable[[], Awaitable[None]]:
    """A child that does ``work`` again and again. Busy is a reason to wait, ``after`` seconds if it says so."""

    async def rounds() -> None:
        await anyio.sleep(first)
        while True:
            pause = seconds
            try:
                await work()
            except Busy as later:
                log.warning("bot_waits", error=str(later))
                pause = UNREACHABLE_PAUSE if later.after is None else later.after
            await anyio.sleep(pause)

    return rounds
