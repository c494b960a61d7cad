"""The Steward ends subscriptions whose time is over."""

from __future__ import annotations

from dataclasses import dataclass

from limner.runtime.actor import Actor
from limner.runtime.mailbox import Message
from limner.sql import audit, subscriptions


@dataclass(frozen=True)
class CloseEndedPeriods(Message):
    """Close the subscriptions whose paid period has ended."""

    mailbox = "stewardship"


class Steward(Actor):
    """Access ends by the clock, whether or not this runs; it keeps the books in step."""

    mailbox = "stewardship"
    messages = (CloseEndedPeriods,)

    async def receive(self, message: CloseEndedPeriods) -> None:
        async with self.db.transaction() as tx:
            for subscription_id, _ in await subscriptions.expire_ended(tx):
                await audit.record(tx, "steward", "subscription.expired", str(subscription_id), None, None)
