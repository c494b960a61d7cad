"""The bot: whether Telegram knows it, whether it hears, and whether it is the only one who listens."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
from aiohttp_socks import ProxyConnector, ProxyError

from limner.actors.doctor.check import Finding, check, trouble, well
from limner.actors.doctor.outside import is_cut_off
from limner.actors.doctor.patient import Patient, Skip
from limner.runtime.database import Db
from limner.sql import telegram


class Silent(Skip):
    """Telegram gives no answer."""


STALE = 60.0
"""Seconds without a good getUpdates, each of which takes up to 25."""


@check(
    "bot.token", "fail", means="Telegram knows the token",
    cause="It was revoked, mistyped, or LIMNER_TELEGRAM_URL leads to another server.",
    fix="Ask @BotFather for a new one, put it into secrets/bot_token, and `docker compose up -d --force-recreate bot`.",
)  # fmt: skip
async def token(patient: Patient) -> Finding:
    try:
        said = await _ask(patient, "getMe")
    except Silent as why:
        return trouble(str(why))
    if not said.get("ok"):
        return trouble(f"Telegram says: {said.get('description') or 'nothing'}")
    return well(f"@{said['result'].get('username')}")


@check(
    "bot.webhook", "fail", means="no webhook takes the updates away",
    cause="Another program has set one for this bot.",
    fix="Stop that program; the bot takes the webhook away at its next start: `docker compose restart bot`.",
)  # fmt: skip
async def webhook(patient: Patient) -> Finding:
    said = await _ask(patient, "getWebhookInfo")
    if not said.get("ok"):
        raise Skip("Telegram does not say")
    url = str(said["result"].get("url") or "")
    return trouble(f"updates go to {url.partition('?')[0]}") if url else well("none is set")


# When the last getUpdates of a living bot succeeded, and what its poller says.
POLLERS = """
select child ->> 'state' as state, extract(epoch from now())::float8 - (child ->> 'last_ok')::float8 as age
from worker, jsonb_array_elements(children) as child
where role = 'bot' and worker.state <> 'stopped' and seen_at > now() - make_interval(secs => $1)
    and child ->> 'name' = 'poller'
"""


@check(
    "bot.poller", "fail", means="a bot asked Telegram for news within the last minute",
    cause="The bot is down, or does not reach Telegram.",
    fix="`docker compose ps bot`, `docker compose logs bot`; behind a shut network set LIMNER_TELEGRAM_PROXY.",
)  # fmt: skip
async def poller(patient: Patient) -> Finding:
    found = await pollers(patient)
    if not found:
        return trouble("no bot is alive")
    ages = [each["age"] for each in found if each["age"] is not None]
    if not ages or min(ages) > STALE:
        return trouble(f"the last good answer was {min(ages):.0f} s ago" if ages else "Telegram has not answered yet")
    return well(f"{min(ages):.0f} s ago")


@check(
    "bot.alone", "fail", means="nobody else listens with this token",
    cause="The same token is in use on another machine: a copy for tests, an old server.",
    fix="Stop the other one, or ask @BotFather for a token of its own.",
)  # fmt: skip
async def alone(patient: Patient) -> Finding:
    states = [each["state"] for each in await pollers(patient)]
    if not states:
        raise Skip("no bot is alive")
    return trouble("Telegram reports a conflict") if "conflict" in states else well(", ".join(states))


@check(
    "bot.paired", "warn", means="somebody is told of alerts",
    cause="Nobody was paired yet.", fix="Write to the bot; it answers with a code; then `limner pair CODE`.",
)  # fmt: skip
async def paired(patient: Patient) -> Finding:
    _token(patient)
    found = await telegram.admins(await patient.db())
    return well(f"{len(found)} people") if found else trouble("nobody")


CHECKS = (token, webhook, poller, alone, paired)


async def pollers(patient: Patient) -> list[dict[str, Any]]:
    """State and age of the last good answer, of each living bot. Raises Skip without a token or a database."""
    _token(patient)
    db: Db = await patient.db()
    return [dict(row) for row in await db.fetch(POLLERS, float(patient.config.lease))]


def _token(patient: Patient) -> str:
    if patient.config.bot_token is None:
        raise Skip("no token: the bot waits quietly")
    return patient.config.bot_token.get_secret_value()


async def _ask(patient: Patient, method: str) -> dict[str, Any]:
    """What Telegram answers. Raises Silent when nothing sensible comes; the token stands in no error."""
    address = f"{patient.config.telegram_url}/bot{_token(patient)}/{method}"
    try:
        async with _way(patient) as session, session.get(address, allow_redirects=False) as answer:
            said = json.loads(await answer.text())
    except (aiohttp.ClientError, ProxyError, TimeoutError, OSError, ValueError) as error:
        if is_cut_off(patient):
            raise Skip("there is no way out of here: ask the bot") from None
        raise Silent(f"{patient.config.telegram_url} does not answer: {type(error).__name__}") from None
    return said if isinstance(said, dict) else {}


def _way(patient: Patient) -> aiohttp.ClientSession:
    """A session of its own, through the proxy that is for Telegram alone where one is set."""
    limits = aiohttp.ClientTimeout(total=8)
    proxy = patient.config.telegram_proxy
    if proxy is None:
        return aiohttp.ClientSession(timeout=limits, connector=aiohttp.TCPConnector(ssl=patient.tls))
    return aiohttp.ClientSession(timeout=limits, connector=ProxyConnector.from_url(proxy.get_secret_value()))
