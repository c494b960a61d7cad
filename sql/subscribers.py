"""Subscribers: somebody's subscription on the command line, in words, and the acts of an operator on it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

from limner.runtime.amounts import said
from limner.runtime.config import Config
from limner.runtime.database import Db
from limner.runtime.errors import NotFound
from limner.runtime.opening import open_briefly
from limner.sql import accounts, changes, pauses, subscriptions
from limner.sql.accounts import Account
from limner.sql.subscriptions import Subscription

ME = "cli"

PAID = """
select purpose, amount_cents, currency, paid_at, details ->> 'from' as since, details ->> 'until' as until
from invoice where account_id = $1 and state = 'paid' order by paid_at desc limit 10
"""
DONE = "select actor, action, after ->> 'reason' as reason, created_at from audit where subject = $1 order by id desc limit 10"


async def show(config: Config, email: str) -> list[str]:
    async with open_briefly(config) as db:
        account = await _account(db, email)
        held = await subscriptions.latest(db, account.id)
        if held is None:
            return [f"{account.email} has no plan and never had one"]
        paid, done = await db.fetch(PAID, account.id), await db.fetch(DONE, str(held.id))
        return [
            f"{account.email}: {held.plan.name}, {'paused' if held.paused_at else held.state}",
            *([f"  paid {_time(held.period_start)} to {_time(held.period_end)}"] if held.period_end else []),
            f"  {_next(held)}",
            *(
                f"  {_time(row['paid_at'])}  paid {said(row['amount_cents'], row['currency'])} ({row['purpose']})"
                + (f" for {row['since'][:10]} to {row['until'][:10]}" if row["until"] else "")
                for row in paid
            ),
            *(f"  {_time(row['created_at'])}  {row['action']} by {row['actor']}{_because(row['reason'])}" for row in done),
        ]  # fmt: skip


async def pause(config: Config, email: str, reason: str) -> str:
    return await _done(config, email, lambda db, who: pauses.pause(db, who.id, reason, actor=ME))


async def resume(config: Config, email: str, reason: str) -> str:
    return await _done(config, email, lambda db, who: pauses.resume(db, who.id, reason, actor=ME))


async def cancel(config: Config, email: str, reason: str) -> str:
    return await _done(config, email, lambda db, who: changes.cancel(db, who.id, reason=reason, actor=ME))


async def _done(config: Config, email: str, act: Callable[[Db, Account], Awaitable[None]]) -> str:
    """Do it, and say how the subscription stands then."""
    async with open_briefly(config) as db:
        account = await _account(db, email)
        await act(db, account)
        held = await subscriptions.alive(db, account.id)
        assert held is not None
        return f"{account.email}: {held.plan.name}, {_next(held)}"


def _next(held: Subscription) -> str:
    if held.state == "pending_activation":
        return "begins as soon as its invoice is paid"
    if held.state == "past_due":
        return f"ended {_time(held.period_end)}; a payment is being confirmed"
    if not held.runs:
        return f"ended {_time(held.period_end)}"
    if held.paused_at is not None:
        return f"paused since {_time(held.paused_at)}, {held.days_left} days are kept"
    if held.changes_at is not None and held.next_plan is not None:
        return f"changes to {held.next_plan.name} {_time(held.changes_at)}, ends {_time(held.period_end)}"
    if held.canceled_at is not None:
        return f"ends {_time(held.period_end)} for good"
    return f"ends {_time(held.period_end)} unless {held.renews_as.name} is paid for"


def _because(reason: str | None) -> str:
    return f": {reason}" if reason else ""


def _time(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment else "never"


async def _account(db: Db, email: str) -> Account:
    account = await accounts.find(db, email)
    if account is None:
        raise NotFound(f"There is no account {email!r}.")
    return account
