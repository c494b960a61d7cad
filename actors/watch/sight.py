"""One look by all the rules that are on, each for itself: what cannot be read by one keeps no other from being told."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

import asyncpg

from limner.actors.watch.circumstances import Circumstances
from limner.actors.watch.troubles import READERS
from limner.runtime.config import Config
from limner.runtime.database import Db
from limner.runtime.log import logger
from limner.sql import sightings
from limner.sql.alert_rules import Rule
from limner.sql.alerts import Trouble

log = logger(__name__)

PATIENCE = "set local statement_timeout = '3s'"
"""For each statement of a reader: one that is slow must not cost the others their turn."""
AS_USUAL = "set local statement_timeout to default"
SELDOM = {"balance_low": 60.0}
"""Seconds between two looks by rules that count a whole week."""


class Sight(NamedTuple):
    """``unread``: the rules by which nothing could be seen, or is to be: theirs are neither new nor over."""

    troubles: list[Trouble]
    unread: list[str]


async def read(db: Db, config: Config, rules: Mapping[str, Rule], known: Collection[str]) -> Sight:
    """Everything that the rules call a trouble. ``known``: the causes of open alerts, whose end may lie elsewhere."""
    now, found, unread = Circumstances(db, config, known), list[Trouble](), list[str]()
    await db.execute(PATIENCE)
    for rule in (rules[code] for code in READERS if rules[code].is_on):
        seen = await _read_one(now, rule)
        if seen is None:
            unread.append(rule.code)
        else:
            found += seen
    await db.execute(AS_USUAL)
    return Sight(found, unread)


async def _read_one(now: Circumstances, rule: Rule) -> list[Trouble] | None:
    """What one rule calls a trouble; None when that was not to be found out, or when it is not time yet."""
    try:
        async with now.db.transaction():
            if rule.code in SELDOM and not await sightings.is_time(now.db, f"looked {rule.code}", SELDOM[rule.code]):
                return None
            return [
                Trouble(seen.cause, seen.words, rule.code, rule.severity, seen.place, seen.button, rule.after_seconds)
                async for seen in READERS[rule.code](now, rule)
            ]
    except asyncpg.PostgresError as error:  # a connection that breaks ends the savepoint with another one
        log.error("rule_not_read", rule=rule.code, error=str(error) or type(error).__name__)
        return None
