"""Pauses and gifts of days: what an admin does to somebody's subscription, with a reason."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from limner.runtime.database import Db
from limner.sql import audit, subscriptions
from limner.sql.changes import CannotChange
from limner.sql.subscriptions import NoSubscription, Subscription

MOST_DAYS = 366

PAUSE = "update subscription set paused_at = now() where id = $1 and paused_at is null"


async def pause(db: Db, account_id: UUID, reason: str, *, actor: str, ip: str = "") -> None:
    """Nobody orders, and the clock of the period stands still. Pictures that are ordered already are painted.

    Raises NoSubscription, CannotChange.
    """
    async with db.transaction() as tx:
        held = await _held(tx, account_id)
        if held.paused_at is not None:
            raise CannotChange("It is paused already.", field="act")
        await tx.execute(PAUSE, held.id)
        before = {"ends_at": held.period.end.isoformat()}
        await audit.record(tx, actor, "subscription.pause", str(held.id), before, {"reason": reason}, ip=ip)


async def resume(db: Db, account_id: UUID, reason: str, *, actor: str, ip: str = "") -> None:
    """The rest of the period begins now: its end is as much later as the pause was long. Raises NoSubscription, CannotChange."""
    async with db.transaction() as tx:
        held = await _held(tx, account_id)
        if held.paused_at is None:
            raise CannotChange("It is not paused.", field="act")
        await _move(tx, held, held.now - held.paused_at, ("subscription.resume", reason, actor, ip))


async def extend(db: Db, account_id: UUID, days: int, reason: str, *, actor: str, ip: str = "") -> None:
    """So many days more, for nothing; a pause goes on. Raises NoSubscription."""
    async with db.transaction() as tx:
        held = await _held(tx, account_id)
        await _move(tx, held, timedelta(days=days), ("subscription.extend", reason, actor, ip), is_gift=True)


async def _move(
    tx: Db, held: Subscription, by: timedelta, about: tuple[str, str, str, str], *, is_gift: bool = False
) -> None:
    action, reason, actor, ip = about
    end = await subscriptions.move(tx, held, by, keeps_pause=is_gift)
    before = {"ends_at": held.period.end.isoformat()}
    after = {"ends_at": end.isoformat(), "reason": reason}
    await audit.record(tx, actor, action, str(held.id), before, after, ip=ip)


async def _held(tx: Db, account_id: UUID) -> Subscription:
    held = await subscriptions.locked(tx, account_id)
    if held is None or not held.runs:
        raise NoSubscription("There is no plan that runs: nothing to pause, to resume or to extend.")
    return held
