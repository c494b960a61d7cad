"""The world outside: which hosts the studio calls, and whether there is a way to any."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from urllib.parse import urlsplit

from limner.actors.doctor.patient import Patient, Skip
from limner.sql import painters as known

# Painters with a key that is not given up; an empty base is the one of the settings.
PAINTERS = """
select distinct p.kind, p.base_url from provider as p join provider_key as k on k.provider_id = p.id
where p.active and k.state in ('active', 'cooldown') and p.kind not in ('demo', 'simulator') order by p.kind, p.base_url
"""


async def painters(patient: Patient) -> list[str]:
    """The addresses of the painters in use. Raises Skip when the database does not answer."""
    config, db = patient.config, await patient.db()
    found = await db.fetch(PAINTERS)
    return sorted({known.base_url(row["kind"], row["base_url"], config.openai_url) for row in found})


async def hosts(patient: Patient) -> list[str]:
    """The beginning (scheme, host, port) of every address outside that this studio is set up to call."""
    config, addresses = patient.config, list[str]()
    with contextlib.suppress(Skip):
        addresses += await painters(patient)
    if config.bot_token is not None:
        addresses.append(config.telegram_url)
    if config.takes_btcpay_payments:
        addresses.append(str(config.btcpay_url))
    if config.takes_stripe_payments:
        addresses.append(config.stripe_url)
    if config.storage == "s3" and config.s3_endpoint:
        addresses.append(config.s3_endpoint)
    parts = [urlsplit(address) for address in addresses]
    return sorted({f"{each.scheme}://{each.netloc}/" for each in parts})


def is_cut_off(patient: Patient) -> bool:
    """Whether this machine has no default route: so it is with web in Compose, whose networks are internal."""
    tables: dict[str, Callable[[list[str]], bool]] = {
        "route": lambda row: row[1] == "00000000",
        "ipv6_route": lambda row: row[:2] == ["0" * 32, "00"],
    }
    seen = False
    for name, is_default in tables.items():
        with contextlib.suppress(OSError):
            rows = [line.split() for line in (patient.proc / "net" / name).read_text().splitlines()]
            seen = True
            if any(len(row) > 2 and is_default(row) and row[-1] != "lo" for row in rows):
                return False
    return seen
