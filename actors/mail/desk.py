"""The operator's desk for mails: what `limner mail` does."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from limner.actors.mail import letters, server
from limner.actors.mail.envelope import sealed
from limner.actors.mail.samples import SAMPLES
from limner.runtime.config import Config
from limner.runtime.errors import Refused
from limner.runtime.opening import open_briefly
from limner.sql import outbox
from limner.sql.outbox import Entry

ME = "cli"


async def test(config: Config, address: str, template: str, language: str) -> str:
    """Send one at once, past the outbox, with made-up details. Raises what the server says to it."""
    if not config.smtp_host:
        raise Refused("LIMNER_SMTP_HOST is not set: there is no server to send it with")
    letter = letters.write(
        template, language, SAMPLES.get(template, {}), public_url=config.public_url, link=config.public_url
    )
    envelope = sealed(letter, config.mail_from or "", address, secrets.randbits(48), datetime.now(UTC))
    async with server.connected(config) as connection:
        await connection.send(envelope)
    return f"{config.smtp_host} took it for {address}: {letter.subject}"


async def listing(config: Config, state: str, count: int) -> list[str]:
    async with open_briefly(config) as db:
        found = await outbox.listing(db, state=state, count=count)
        return [_row(entry) for entry in found] or ["no mails"]


def _row(entry: Entry) -> str:
    state = "under way" if entry.is_under_way else entry.state
    more = ", ".join(part for part in (entry.error, "has a link" if entry.has_link else "") if part)
    when = f"{entry.created_at.astimezone(UTC):%Y-%m-%d %H:%M}"
    return f"{entry.id:>6}  {when}  {state:<9}  {entry.name:<20}  {entry.recipient}" + (f"  ({more})" if more else "")


async def link(config: Config, mail_id: int) -> str:
    async with open_briefly(config) as db:
        return (await outbox.link(db, mail_id, config.public_url, config.secret_keys, actor=ME)).link


async def retry(config: Config, mail_id: int) -> str:
    async with open_briefly(config) as db:
        await outbox.retry(db, mail_id, actor=ME)
        return f"mail {mail_id} goes out in a moment" if config.smtp_host else f"mail {mail_id} waits for a mail server"


async def give_up(config: Config, mail_id: int) -> str:
    async with open_briefly(config) as db:
        await outbox.give_up(db, mail_id, actor=ME)
        return f"mail {mail_id} will not be sent"
