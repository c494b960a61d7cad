"""The host's clock and its time zones: against the database, against the world, and whether zones have names."""

from __future__ import annotations

import contextlib
import statistics
from email.utils import parsedate_to_datetime
from zoneinfo import ZoneInfo

import aiohttp
import anyio

from limner.actors.doctor.check import Finding, check, trouble, warning, well
from limner.actors.doctor.outside import hosts, is_cut_off
from limner.actors.doctor.patient import Patient, Skip

SLOW, WRONG = 2.0, 30.0
"""Seconds of a clock's offset: from the first on it is worth a warning, from the second on it breaks things."""


@check(
    "host.clock", "fail", means="this clock and the database's agree",
    cause="One of the two machines does not keep its time.",
    fix="Switch time synchronisation on: `timedatectl set-ntp true`; `timedatectl` shows whether it works.",
)  # fmt: skip
async def clock(patient: Patient) -> Finding:
    db = await patient.db()
    before = patient.clock()
    theirs = await db.fetchval("select extract(epoch from clock_timestamp())::float8")
    return _offset(theirs - (before + patient.clock()) / 2, "the database")


@check(
    "host.clock_outside", "fail", means="this clock agrees with the hosts outside",
    cause="The machine does not keep its time: certificates and signatures are judged wrongly.",
    fix="Switch time synchronisation on: `timedatectl set-ntp true`; `timedatectl` shows whether it works.",
)  # fmt: skip
async def clock_outside(patient: Patient) -> Finding:
    addresses, offsets = await hosts(patient), list[float]()

    async def compare(address: str) -> None:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError, TypeError, ValueError):
            offsets.append(await _away(patient, address))

    async with anyio.create_task_group() as group:
        for address in addresses:
            group.start_soon(compare, address)
    if not offsets:
        raise Skip("there is no way out of here" if is_cut_off(patient) else "no host outside tells the time")
    # A Date has whole seconds: half of one is added. The middle of several hosts outvotes one that is wrong itself.
    return _offset(statistics.median_low(offsets), f"{len(offsets)} hosts outside")


async def _away(patient: Patient, address: str) -> float:
    session = await patient.web.get()
    before = patient.clock()
    async with session.head(address, allow_redirects=False) as answer:
        theirs = parsedate_to_datetime(answer.headers.get("Date", "")).timestamp() + 0.5
    return theirs - (before + patient.clock()) / 2


def _offset(seconds: float, what: str) -> Finding:
    words = f"{abs(seconds):.1f} s {'behind' if seconds > 0 else 'ahead of'} {what}"
    if abs(seconds) >= WRONG:
        return trouble(words)
    return warning(words) if abs(seconds) >= SLOW else well(words)


@check(
    "host.time_zone", "warn", means="time zones are known by their names",
    cause="TZ names no zone, or the time zone data is not installed.",
    fix="Set TZ to a name such as Europe/Rome or take it away, and install tzdata.",
)  # fmt: skip
async def time_zone(patient: Patient) -> Finding:
    name = patient.said.get("TZ", "").lstrip(":") or "UTC"
    try:
        ZoneInfo(name if name != "UTC" else "Europe/Rome")
    except (KeyError, ValueError, OSError):
        return trouble(f"there is no zone {name!r}" if name != "UTC" else "there is no time zone data")
    return well(name)


CHECKS = (clock, clock_outside, time_zone)
