"""The Postman gives mails to the mail server: each once, as far as two machines can agree on that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

import anyio

from limner.actors.mail import bulletins, letters, server
from limner.actors.mail.envelope import sealed
from limner.actors.mail.letters import Letter
from limner.actors.mail.server import Away, Server
from limner.runtime import mailbox, tracing
from limner.runtime.actor import Actor
from limner.runtime.bus import Bus
from limner.runtime.config import Config
from limner.runtime.database import TROUBLE, Database
from limner.runtime.errors import Busy, Hopeless, as_raised
from limner.runtime.log import following, logger
from limner.runtime.mailbox import Message
from limner.runtime.presence import Presence
from limner.sql import broadcasts, deliveries, gifts, mails, tickets
from limner.sql.channels import NOTICE_QUEUED
from limner.sql.mails import Mail

log = logger(__name__)

FIRST_PAUSE = 60.0
LONGEST_PAUSE = 4 * 3600.0
"""Seconds until a mail that was put off is tried again: twice as long each time."""


@dataclass(frozen=True)
class DeliverMails(Message):
    """Send what is due."""

    mailbox: ClassVar[str] = "mailing"


class Postman(Actor):
    """Sends when a notice was queued, and whenever the schedule says so: some come back in their own time."""

    mailbox = "mailing"
    messages = (DeliverMails,)

    def __init__(self, db: Database, bus: Bus, presence: Presence, *, config: Config) -> None:
        super().__init__(db, bus, presence)
        self.config = config
        self._queued = anyio.Event()

    async def run(self) -> None:
        await self.bus.on(NOTICE_QUEUED, self._heard_of_one)
        try:
            with as_raised():
                async with anyio.create_task_group() as group:
                    group.start_soon(self._send_soon)
                    await super().run()
                    group.cancel_scope.cancel()
        finally:
            self.bus.off(NOTICE_QUEUED, self._heard_of_one)

    def _heard_of_one(self, payload: str | None) -> None:
        self._queued.set()

    async def _send_soon(self) -> None:
        while self.config.smtp_host:
            await self._queued.wait()
            self._queued = anyio.Event()
            try:
                if await mails.is_any_due(self.db):
                    await mailbox.send(self.db, DeliverMails(), key="soon")
            except TROUBLE:
                continue  # the schedule sends anyway

    async def receive(self, message: DeliverMails) -> None:
        await deliver(self.db, self.config)


async def deliver(db: Database, config: Config) -> int:
    """Send all mails that are due; returns how many went out. Any number of processes may do it at once.

    Raises Busy when the server cannot be reached: they stay where they are.
    """
    if not config.smtp_host or not await mails.is_any_due(db):
        return 0
    count = 0
    await mails.drop_spent(db)
    async with server.connected(config) as connection:
        while (mail := await mails.take(db, server.longest(config) + 30)) is not None:
            about = {"limner.channel": "mail"}
            with following(mail.request_id), tracing.span("notice", "producer", about, parent=mail.traceparent):
                count += await _deliver_one(db, config, connection, mail)
    return count


async def _deliver_one(db: Database, config: Config, connection: Server, mail: Mail) -> bool:
    """Whether it went out. Raises Away.

    Between the server's "yes" and our own note of it a power cut makes the mail go out twice, with the same Message-ID: no
    transaction holds both. Nothing is done in between.
    """
    try:
        letter = await _letter(db, mail, config)
        envelope = sealed(letter, config.mail_from or "", mail.recipient, mail.id, mail.created_at)
        await connection.send(envelope)
    except Hopeless as why:
        log.warning("mail_failed", notice=mail.id, template=mail.template)
        tracing.here().failed(type(why).__name__)
        await deliveries.failed(db, mail, str(why))
        return False
    except Busy as later:
        log.warning("mail_postponed", notice=mail.id, attempt=mail.attempts)
        await mails.postpone(db, mail, pause(mail.attempts), str(later))
        if isinstance(later, Away):
            raise
        return False
    went = await deliveries.sent(db, mail)
    log.info("mail_sent", notice=mail.id, template=mail.template, attempt=mail.attempts, late=not went)
    return went


def pause(attempts: int) -> float:
    """Seconds: 1, 2, 4 … minutes, at most four hours."""
    return min(FIRST_PAUSE * 2.0 ** (min(attempts, 20) - 1), LONGEST_PAUSE)


async def _letter(db: Database, mail: Mail, config: Config) -> Letter:
    """What it says. Raises Hopeless when that is of no use any more, Busy when it is to wait."""
    if mail.template == broadcasts.TEMPLATE:
        return await bulletins.letter(db, mail, config)
    return written(mail, config, await _secrets(db, mail, config))


async def _secrets(db: Database, mail: Mail, config: Config) -> dict[str, str]:
    """What a mail says and the outbox does not hold: the code of a gift. Raises Hopeless when it is of no use any more."""
    if mail.template != "gift_code" or not mail.details or "invoice_id" not in mail.details:
        return {}
    invoice_id = UUID(mail.details["invoice_id"])
    code = await gifts.bought_with(db, invoice_id, config.secret_keys)
    if code is None or await gifts.is_redeemed(db, invoice_id):
        raise Hopeless("the gift was withdrawn or used, or its code cannot be made any more", blame="request")
    return {"code": code}


def written(mail: Mail, config: Config, secrets: Mapping[str, str] | None = None) -> Letter:
    """What it says, with its link and its ``secrets`` in it. Raises Hopeless, also when that link is of no use any more."""
    if mail.spent:
        raise Hopeless(mail.spent, blame="request")
    if mail.template is None:
        return Letter(mail.subject, mail.body, "")
    try:
        link = mail.ticket_id and tickets.link(
            mail.ticket_id, mail.purpose or "", config.public_url, config.secret_keys
        )
    except KeyError:
        raise Hopeless(f"nobody knows where the link of a ticket for {mail.purpose} leads") from None
    details = {**(mail.details or {}), **(secrets or {})}
    return letters.write(mail.template, mail.locale or "en", details, public_url=config.public_url, link=link or None)
