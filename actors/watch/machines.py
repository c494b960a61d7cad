"""What is wrong with processes, machines, backups and mails: for each rule how that is read, one trouble for each cause."""

from __future__ import annotations

from collections.abc import AsyncIterator

from limner.actors.watch import certificate as certificates
from limner.actors.watch.circumstances import HEALTH, Circumstances, Seen
from limner.runtime.phrases import phrase
from limner.sql import backups, mails, sightings
from limner.sql.alert_rules import Rule

FRESH = 3 * 86400.0
"""Seconds for which what was read outside is believed."""
KEPT = 300.0
"""Seconds between two notes that a process of a role lives."""
WAITS = 120.0
"""Seconds since a process last said that it waits for the schema, after which it waits no more."""


async def no_worker(now: Circumstances, rule: Rule) -> AsyncIterator[Seen]:
    if not await sightings.has_worker(now.db, max(now.config.lease, rule.bound())):
        yield Seen("no_worker", phrase("No worker is alive: nothing is painted."), *HEALTH)


async def no_web(now: Circumstances, rule: Rule) -> AsyncIterator[Seen]:
    if await _is_gone(now, rule, "web"):
        yield Seen("no_web", phrase("No web is alive: nobody reaches the site."), *HEALTH)


async def no_bot(now: Circumstances, rule: Rule) -> AsyncIterator[Seen]:
    if now.config.bot_token is not None and await _is_gone(now, rule, "bot"):
        yield Seen("no_bot", phrase("No bot is alive: nobody answers on Telegram."), *HEALTH)


async def _is_gone(now: Circumstances, rule: Rule, role: str) -> bool:
    """Whether there was a process of this role within the last days, and is none now: a worker alone misses nobody."""
    if await sightings.is_alive(now.db, role, now.config.lease, rule.bound()):
        await sightings.is_time(now.db, f"seen {role}", KEPT)
        return False
    last = (await sightings.readings(now.db)).get(f"seen {role}")
    return rule.code in now.known or (last is not None and last.age < FRESH)


async def bot_deaf(now: Circumstances, rule: Rule) -> AsyncIterator[Seen]:
    """That it died meanwhile does not make it hear again."""
    if now.config.bot_token is None:
        return
    is_still = "bot_deaf" in now.known and not await sightings.is_alive(now.db, "bot", now.config.lease, 0)
    if is_still or await sightings.is_bot_deaf(now.db, now.config.lease):
        words = phrase("Telegram does not answer the bot: it hears nothing of what is written or pressed.")
        yield Seen("bot_deaf", words, *HEALTH)


async def disk_full(now: Circumstances, rule: Rule) -> AsyncIterator[Seen]:
    told = await sightings.machines(now.db, now.config.lease)
    full = [each for each in told if each.free is not None and each.bytes is not None]
    fullest = min(full, key=lambda each: each.free or 0, default=None)
    if fullest is not None and rule.is_bad(fullest.free or 0, is_open="disk_full" in now.known):
        left = (fullest.bytes or 0) * (fullest.free or 0) / 100 / 1e9
        words = phrase(
            "The disk is nearly full: {free:.0f} % is free, {left:.1f} GB, at {path} of {role}.",
            free=fullest.free, left=left, path=fullest.path, role=fullest.role,
        )  # fmt: skip
        yield Seen("disk_full", words, *HEALTH)


async def backup_old(now: Circumstances, rule: Rule) -> AsyncIterator[Seen]:
    """Only in production, or once somebody has begun to make backups: a studio on a developer's machine needs none."""
    longest = rule.bound() * 3600
    if now.config.env == "production" and (age := await backups.never_made(now.db, longest)) is not None:
        never = phrase("There was never a good backup, in {age:duration}: see `limner backups`.", age=age)
        yield Seen("backup_overdue", never, *HEALTH)
    elif (age := await backups.overdue(now.db, "backup", longest)) is not None:
        words = phrase("There has been no good backup for {age:duration}: see `limner backups`.", age=age)
        yield Seen("backup_overdue", words, *HEALTH)


async def drill_old(now: Circumstances, rule: Rule) -> AsyncIterator[Seen]:
    if (age := await backups.overdue(now.db, "drill", rule.bound() * 86400)) is not None:
        words = phrase("No backup has been proved for {age:duration}: run `limner drill`.", age=age)
        yield Seen("drill_overdue", words, *HEALTH)


async def certificate(now: Circumstances, rule: Rule) -> AsyncIterator[Seen]:
    """That nobody can read it any more does not make it a better one."""
    found, is_open = (await sightings.readings(now.db)).get("certificate"), "certificate" in now.known
    if found is None or found.value is None or (found.age > FRESH and not is_open):
        return
    days = found.value - found.age / 86400
    if rule.is_bad(days, is_open=is_open):
        ends = CERTIFICATES.get(found.words) or (CERTIFICATES[certificates.OVER] if days <= 0 else LASTS)
        yield Seen("certificate", phrase(ends, address=now.config.public_url, days=round(days)), *HEALTH)


LASTS = "The certificate of {address} has {days} {days:day|days} left."
CERTIFICATES = {
    certificates.OVER: "The certificate of {address} has run out.",
    certificates.NOT_OURS: "The certificate of {address} is for another name.",
}
"""By what was found wrong with it beside its days."""


async def clock_off(now: Circumstances, rule: Rule) -> AsyncIterator[Seen]:
    told = [each for each in await sightings.machines(now.db, now.config.lease) if each.clock is not None]
    worst = max(told, key=lambda each: abs(each.clock or 0), default=None)
    if worst is not None and rule.is_bad(abs(worst.clock or 0), is_open="clock_off" in now.known):
        seconds = worst.clock or 0
        off = AHEAD if seconds > 0 else BEHIND
        yield Seen("clock_off", phrase(off, role=worst.role, host=worst.host, seconds=abs(seconds)), *HEALTH)


AHEAD = "The clock under {role} on {host} is {seconds:.0f} s ahead of the database's."
BEHIND = "The clock under {role} on {host} is {seconds:.0f} s behind the database's."


async def schema_pending(now: Circumstances, rule: Rule) -> AsyncIterator[Seen]:
    found = (await sightings.readings(now.db)).get("schema")
    if found is not None and found.age < WAITS:
        yield Seen("schema_pending", phrase("{words}: run `limner migrate`.", words=found.words), *HEALTH)


async def bot_conflict(now: Circumstances, rule: Rule) -> AsyncIterator[Seen]:
    if await sightings.is_bot_contested(now.db, now.config.lease):
        words = phrase("Somebody else polls with the bot's token: one of the two must stop.")
        yield Seen("bot_conflict", words, *HEALTH)


async def mails_wait(now: Circumstances, rule: Rule) -> AsyncIterator[Seen]:
    """Only with a mail server: without one mails wait for an admin, and that is how it is meant."""
    if now.config.smtp_host and (jam := await mails.jam(now.db, rule.bound() * 60)).waiting:
        stuck = (
            "{n} {n:mail does|mails do} not get out, the oldest for {oldest:duration}: see `limner doctor --only mail`."
        )
        yield Seen("mails_wait", phrase(stuck, n=jam.waiting, oldest=jam.oldest), "/admin/mails")


async def mails_refused(now: Circumstances, rule: Rule) -> AsyncIterator[Seen]:
    if now.config.smtp_host and (jam := await mails.jam(now.db, 900)).refuses(rule.fewest()):
        words = phrase("{n} {n:mail was|mails were} refused within a day: see Mails in the admin.", n=jam.failed)
        yield Seen("mails_refused", words, "/admin/mails")
