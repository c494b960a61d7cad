"""The worker role: the table of occupations, and what comes round for them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import aiohttp

from limner.actors.cashier import Cashier
from limner.actors.chronicler import Chronicler
from limner.actors.courier import Courier, DeliverNotices
from limner.actors.framer import Framer
from limner.actors.generator import Generator
from limner.actors.herald import Herald
from limner.actors.inspector import CheckAllBooks, CheckCertificate, CheckRecentBooks, Inspector
from limner.actors.janitor import AnchorAudit, Janitor, Tidy
from limner.actors.locksmith import Locksmith
from limner.actors.pool import Pool
from limner.actors.postman import DeliverMails, Postman
from limner.actors.providers import egress
from limner.actors.steward import CloseEndedPeriods, Steward
from limner.actors.timekeeper import EndOverdueJobs, Timekeeper
from limner.actors.watchman import LookAround, Watchman
from limner.runtime import metrics
from limner.runtime.actor import Actor
from limner.runtime.bus import Bus
from limner.runtime.config import Config
from limner.runtime.database import Database
from limner.runtime.log import logger
from limner.runtime.lull import Lull
from limner.runtime.opening import open_for
from limner.runtime.presence import Presence
from limner.runtime.schedule import Cron, Every, Schedule
from limner.runtime.storage import Storage, open_storage
from limner.runtime.supervisor import Child, CrashStorm, Supervisor, supervise
from limner.runtime.vault import Vault
from limner.sql import gauges, vaults
from limner.sql.billing import CheckOpenInvoices, Reconcile
from limner.sql.closings import CloseDays
from limner.sql.keys import LookAfterKeys
from limner.sql.samples import TakeSample
from limner.sql.spreading import SpreadBroadcasts

log = logger(__name__)

SCHEDULE = (
    Every("end lost jobs", 5, EndOverdueJobs()),
    Every("tidy", 600, Tidy()),
    Every("check open invoices", 30, CheckOpenInvoices()),
    Every("close ended periods", 60, CloseEndedPeriods()),
    Every("look after keys", 15, LookAfterKeys()),
    Every("look around", 60, LookAround()),  # the bot looks more often
    Every("check recent books", 300, CheckRecentBooks()),
    Cron("check all books", "23 2 * * *", CheckAllBooks()),
    Every("check the certificate", 3600, CheckCertificate()),
    Every("deliver notices", 30, DeliverNotices()),
    Every("spread broadcasts", 15, SpreadBroadcasts()),
    Every("deliver mails", 30, DeliverMails()),  # and as soon as one is queued
    Cron("anchor the audit", "23 4 * * *", AnchorAudit()),
    Every("look how full it is", 60, TakeSample()),
    Every("close days", 300, CloseDays()),
    Cron("reconcile payments", "41 2 * * *", Reconcile()),
)


def occupations(
    db: Database, bus: Bus, presence: Presence, *, config: Config, storage: Storage, session: aiohttp.ClientSession
) -> Sequence[Actor]:
    """One of each; a new actor is a line here."""
    lull = Lull()
    return (
        Generator(db, bus, presence, config=config, storage=storage, vault=Vault.from_config(config), lull=lull),
        Framer(db, bus, presence, storage=storage, lull=lull),
        Cashier(db, bus, presence, config=config, session=session),
        Courier(db, bus, presence, config=config, session=session),
        Postman(db, bus, presence, config=config),
        Herald(db, bus, presence, config=config),
        Watchman(db, bus, presence, config=config),
        Inspector(db, bus, presence, config=config),
        Steward(db, bus, presence, config=config),
        Locksmith(db, bus, presence, config=config, vault=Vault.from_config(config)),
        Chronicler(db, bus, presence),
        Janitor(db, bus, presence, storage=storage, pool=Pool(db, config, Vault.from_config(config))),
        Timekeeper(db, bus, presence, pool=Pool(db, config, Vault.from_config(config))),
    )


async def run(config: Config) -> int:
    """Work until told to stop. Returns the exit code."""
    async with (
        open_for(config, "worker") as db,
        open_storage(config) as storage,
        aiohttp.ClientSession() as session,
        egress.kept_open(),
    ):
        presence, bus = await vaults.enlist(db, config, "worker"), Bus(db)
        await presence.beat()
        actors = occupations(db, bus, presence, config=config, storage=storage, session=session)
        read = partial(gauges.read, db, config.lease, sends_mail=config.smtp_host is not None)
        supervisor = Supervisor(
            [
                Child("presence", presence.run),
                Child("bus", bus.run, about=bus.about),
                Child("metrics", partial(metrics.serve, config, metrics.Metrics(lambda: supervisor.report(), read))),
                Child("schedule", Schedule(db, presence, SCHEDULE).run),
                *(
                    Child(type(actor).__name__, actor.run, drain=actor.drain, patience=config.drain, about=actor.about)
                    for actor in actors
                ),
            ]
        )
        presence.children = supervisor.report
        try:
            await supervise(
                supervisor, lambda: log.info("worker_ready", id=str(presence.id), slots=config.worker_slots)
            )
        except CrashStorm as storm:
            log.error("worker_gives_up", why=str(storm))
            return 1
        finally:
            await presence.leave()
        return 0
