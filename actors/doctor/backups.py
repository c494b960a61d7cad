"""The backups: how old the last good one is, and when one was last tried out."""

from __future__ import annotations

from limner.actors.doctor.check import Finding, check, trouble, warning, well
from limner.actors.doctor.patient import Patient
from limner.sql import backups

HOUR, DAY = 3600.0, 86400.0


@check(
    "backups.backup", "fail", means="the last good backup is not older than a day",
    cause="Nobody makes them, or the last ones failed.",
    fix="`limner backup` makes one now and says what is wrong; COMPOSE_PROFILES=backup in .env makes one every day.",
)  # fmt: skip
async def backup(patient: Patient) -> Finding:
    db = await patient.db()
    found = await backups.latest(db, "backup")
    if found is None:
        last = await backups.last(db, "backup")
        words = f"none yet, the last one failed: {last.why}" if last and last.why else "none yet"
        return warning(words) if patient.config.env == "development" else trouble(words)
    words = f"{found.name}, {found.age / HOUR:.1f} h old, {found.bytes / 2**20:,.0f} MB"
    return trouble(words) if found.age > patient.longest_backup_age else well(words)


@check(
    "backups.drill", "warn", means="a backup was tried out within the last eight days",
    cause="Nobody does it, or the last one failed.", fix="`limner drill` tries the newest backup out, beside the running studio.",
)  # fmt: skip
async def drill(patient: Patient) -> Finding:
    db = await patient.db()
    found = await backups.latest(db, "drill")
    if found is None:
        last = await backups.last(db, "drill")
        return trouble(f"none yet, the last one failed: {last.why}" if last and last.why else "none yet")
    words = f"{found.name}, {found.age / DAY:.1f} days ago"
    return trouble(words) if found.age > patient.longest_drill_age else well(words)


CHECKS = (backup, drill)
