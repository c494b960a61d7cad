"""The test kit: deliver what waits at once, deliver twice as after a crash, travel in time, wait for signals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from uuid import uuid4

import anyio

from limner.runtime import mailbox, upkeep
from limner.runtime.actor import Actor
from limner.runtime.bus import Bus
from limner.runtime.database import Database, Db
from limner.runtime.mailbox import Claimed, Fence, Message
from limner.runtime.presence import Presence

A = TypeVar("A", bound=Actor)


def alone(db: Database, occupation: Callable[..., A], **means: Any) -> A:
    """An actor for a test, with a presence and a bus of its own that do nothing by themselves."""
    return occupation(db, Bus(db), Presence(db, "test", lease=15), **means)


async def deliver_all(actor: Actor, *, most: int = 1000) -> int:
    """Handle all that waits in the actor's mailbox, one message after another, in this task; returns how many.

    What handlers send to this mailbox is handled, too; what they put back for later waits for ``travel``.
    Raises RuntimeError when something still waits after ``most`` messages.
    """
    handled = 0
    while (item := await _take(actor)) is not None:
        if handled == most:
            await upkeep.give_back(actor.db, actor.mailbox, actor.presence.id, keep=[])
            raise RuntimeError(f"{actor.mailbox} still holds messages after {most}: does a handler send to itself?")
        await actor._handle(item)
        await actor._receipts.flush()
        handled += 1
    return handled


async def runs_once(actor: Actor, *, witness: Callable[[], object] | None = None) -> bool:
    """Whether the next message has its effect once, though it is handled twice.

    It is handled, and handed to an heir as if the worker had died just before the acknowledgement: the second time must
    change no row but those of the mailboxes, and nothing that ``witness`` returns. A handler that ended the message in
    its own transaction leaves nothing to hand on. Raises LookupError when no message waits, and what the handler raises.
    """
    item = await _take(actor)
    if item is None:
        raise LookupError(f"no message waits in {actor.mailbox}")
    await actor.receive(_revived(actor, item, item.fence))
    before = await _effects(actor.db, witness)
    heir = uuid4()
    attempt = await actor.db.fetchval(INHERIT, item.fence.id, item.fence.owner, item.fence.attempt, heir)
    if attempt is None:
        return True
    fence = Fence(item.fence.id, heir, attempt)
    await actor.receive(_revived(actor, item, fence))
    await mailbox.ack_many(actor.db, heir, [fence])
    return before == await _effects(actor.db, witness)


TRAVEL = """
update message set created_at = created_at - later, ready_at = ready_at - later, deadline = deadline - later
from make_interval(secs => $1) as later
"""


async def travel(db: Db, seconds: float) -> None:
    """Virtual time: for every message it is ``seconds`` later now. Delays and pauses before a retry end, deadlines pass."""
    await db.execute(TRAVEL, float(seconds))


class Signals:
    """What has happened, in order. A test waits for it and never for time.

    ``give`` can be called by a handler, and listens to a bus: ``await bus.on(mailbox.PROGRESSED, signals.give)``.
    """

    def __init__(self) -> None:
        self.given: list[Any] = []
        self._more = anyio.Event()

    def give(self, signal: Any = None) -> None:
        self.given.append(signal)
        self._more.set()

    async def until(self, count: int = 1, *, within: float = 10) -> list[Any]:
        """All that was given, as soon as it is ``count`` or more. Raises TimeoutError after ``within`` seconds."""
        with anyio.fail_after(within):
            while len(self.given) < count:
                self._more = anyio.Event()
                await self._more.wait()
        return self.given


INHERIT = """
update message set owner = $4, attempts = attempts + 1, claimed_at = now()
where id = $1 and owner = $2 and attempts = $3 returning attempts
"""
# Postgres writes the statements that take the digest of each table but the runtime's own.
DIGESTS = """
select format($$select md5(coalesce(string_agg(t::text, ';' order by t::text), '')) from %s as t$$, c.oid::regclass)
from pg_class as c
where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace
    and c.relname not in ('message', 'dead_letter', 'worker', 'lease', 'schedule')
order by c.relname
"""


async def _take(actor: Actor) -> Claimed | None:
    """Claim the next message. Not ahead and never humbly, so that a test sees priority and age alone."""
    await actor.presence.beat()
    await upkeep.look(actor.db, [actor.mailbox])
    is_fair = any(kind.fair for kind in actor.messages)
    claim = mailbox.claim_fairly if is_fair else mailbox.claim
    found = await claim(actor.db, actor.mailbox, actor.presence.id, 1)
    return found[0] if found else None


def _revived(actor: Actor, item: Claimed, fence: Fence) -> Message:
    kinds = {kind.__name__: kind for kind in actor.messages}
    return kinds[item.kind].revive(item.payload, fence)


async def _effects(db: Db, witness: Callable[[], object] | None) -> list[object]:
    """A picture of all that a handler can change: each table's digest, and what the witness says."""
    digests = [await db.fetchval(digest) for (digest,) in await db.fetch(DIGESTS)]
    return [*digests, repr(witness()) if witness is not None else None]
