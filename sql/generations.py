"""Generations: what was asked for. One transaction takes the order, and each job of it ends exactly once."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from limner.runtime import mailbox, tracing
from limner.runtime.database import Database, Db, Transaction
from limner.runtime.errors import NotFound, Refused
from limner.runtime.log import logger, request_id
from limner.runtime.mailbox import Message
from limner.sql import ledger, terms
from limner.sql.channels import GENERATION_CHANGED, GENERATION_ENDED
from limner.sql.models import Size
from limner.sql.terms import Terms

log = logger(__name__)

MOST_REFERENCES = 4
"""What the studio's composer holds, and a model without a word about it in its options."""
UTMOST_REFERENCES = 16
MOST_PICTURES = 10
LONGEST_PROMPT = 32_000
"""Characters. Most models read fewer: see Model.longest_prompt."""

Value = str | int | float | bool


@dataclass(frozen=True)
class PaintPicture(Message):
    """See one picture to its end."""

    mailbox = "painting"
    fair = True
    job_id: UUID


@dataclass(frozen=True)
class Order:
    """What somebody asks for. ``uploads`` and ``pictures`` are references, in that order; ``mask`` is an upload.

    ``parameters`` are among the options of the model; with models.MARKUP among them the mask is none, but is drawn over
    the first reference. ``partial_images``: how many unfinished ones to see, from 0 to 3.
    ``most_unfinished``: pictures of the account, these included, beyond which nothing is taken; None: any number.
    ``request_hash``: 32 bytes that stand for all of it, where the caller knows better what makes two orders the same.
    """

    account_id: UUID
    prompt: str
    model_id: str
    size: Size
    count: int = 1
    thread_id: UUID | None = None
    uploads: tuple[UUID, ...] = ()
    pictures: tuple[UUID, ...] = ()
    mask: UUID | None = None
    parameters: Mapping[str, Value] = field(default_factory=dict)
    partial_images: int = 0
    idempotency_key: str | None = field(default=None, compare=False)
    request_hash: bytes | None = None
    api_token_id: UUID | None = None
    most_unfinished: int | None = field(default=None, compare=False)

    def check(self) -> None:
        """Raises Refused for what is wrong whoever asks."""
        if not self.prompt.strip():
            raise Refused("Please say what to paint.", field="prompt")
        if len(self.prompt) > LONGEST_PROMPT:
            raise Refused(f"A prompt has at most {LONGEST_PROMPT} characters, not {len(self.prompt)}.", field="prompt")
        if "\x00" in self.prompt or any("\ud800" <= char <= "\udfff" for char in self.prompt):
            raise Refused("The prompt has characters that are not text.", field="prompt")
        if not 1 <= self.count <= MOST_PICTURES:
            raise Refused(f"From 1 to {MOST_PICTURES} pictures at a time, not {self.count}.", field="count")
        if len(self.uploads) + len(self.pictures) > UTMOST_REFERENCES:
            raise Refused(f"At most {UTMOST_REFERENCES} reference pictures.", field="reference")

    @property
    def fingerprint(self) -> bytes:
        if self.request_hash is not None:
            return self.request_hash
        asked = (
            self.prompt,
            self.model_id,
            str(self.size),
            self.count,
            self.thread_id,
            self.pictures,
            len(self.uploads),
            *([sorted(self.parameters.items()), self.mask is not None] if self.parameters or self.mask else []),
        )
        return hashlib.sha256(repr(asked).encode()).digest()


class KeyReused(Refused):
    """The same idempotency key came with another order."""

    status = 422


async def order(db: Db, asked: Order, *, deadline: int, offer: terms.Offer | None = None, hardens: bool = True) -> UUID:
    """Reserve, write the jobs, send one message for each: in one transaction. Returns the generation's id, when it is durable.

    ``deadline``: seconds until an unfinished job fails, unless its plan's longest wait is shorter. ``offer``: the terms of
    this moment, when they are at hand. ``hardens`` False: it is durable a moment later, for whoever answers only when the
    order is over: what ends one waits for the disk, and for all that came before it. Raises Refused (NoSubscription,
    QuotaExhausted, PlanCapReached, NotFound …).
    The same idempotency key gives the same generation, charged once. The request that this task is about is kept
    with it, so that the log of whoever paints can be found by it.
    """
    asked.check()
    if asked.idempotency_key and (known := await _known(db, asked)):
        return await _hardened(db, known, hardens)
    if offer is None:
        agreed = await terms.agreed(db, asked.account_id, asked.model_id)
    else:
        agreed = await terms.settled(db, offer, asked.model_id)
    agreed.model.check(asked.size, len(asked.uploads) + len(asked.pictures), len(asked.prompt))
    generation_id = await _place(db, asked, agreed, deadline)
    if generation_id is None:  # somebody else was faster with the same key
        return await _hardened(db, await _known(db, asked) or generation_id_missing(asked), hardens)
    if not isinstance(db, Database):
        db.tell(mailbox.SENT, PaintPicture.mailbox)
    taken(db, asked, generation_id)
    return await _hardened(db, generation_id, hardens)


def taken(db: Db, asked: Order, generation_id: UUID) -> None:
    """An order is in the books: whoever watches is told, and the log says so."""
    db.tell(GENERATION_CHANGED, f"{asked.thread_id or generation_id} {generation_id}", can_wait=True)
    log.info("ordered", generation=str(generation_id), model=asked.model_id, pictures=asked.count)


async def _hardened(db: Db, generation_id: UUID, hardens: bool) -> UUID:
    """An order is answered when it is on the disk. Inside a transaction that is for the caller to see to."""
    if hardens and isinstance(db, Database):
        await db.harden()
    return generation_id


# A name is kept for a day; then it may name another order.
KNOWN = """
with forgotten as (
    update generation set idempotency_key = null
    where account_id = $1 and idempotency_key = $2 and created_at < now() - interval '24 hours'
)
select id, request_hash from generation
where account_id = $1 and idempotency_key = $2 and created_at >= now() - interval '24 hours'
"""


async def known(db: Db, account_id: UUID, key: str, fingerprint: bytes) -> UUID | None:
    """The generation of the last day that was ordered under this key. Raises KeyReused when it is another order's."""
    row = await db.fetchrow(KNOWN, account_id, key)
    if row is None:
        return None
    if row["request_hash"] != fingerprint:
        raise KeyReused("This idempotency key was used for another order.", field="idempotency_key")
    return row["id"]  # type: ignore[no-any-return]


async def _known(tx: Db, asked: Order) -> UUID | None:
    return await known(tx, asked.account_id, asked.idempotency_key or "", asked.fingerprint)


def generation_id_missing(asked: Order) -> UUID:
    raise AssertionError(f"idempotency key {asked.idempotency_key!r} conflicts, yet is not there")


# The locks on the balance and the token are let go before the order is on the disk; whoever asks waits for that afterwards
# (Database.harden), with all who ordered meanwhile. The painters may begin at once: what they write comes later in the log.
# They are woken by the statement itself: a commit that waits for no disk holds up no other that notifies.
# V0052 has the function.
PLACE = """
with quickly as materialized (
    select case when $2::boolean then pg_notify($3, $4) end,
        set_config('synchronous_commit', case when $2 then 'off' else current_setting('synchronous_commit') end, true)
)
select o.id, o.why from quickly cross join lateral orders_place($1) as o order by o.place
"""


async def _place(db: Db, asked: Order, agreed: Terms, deadline: int) -> UUID | None:
    """None when its idempotency key is taken. Raises NotFound, QuotaExhausted, PlanCapReached, NoSubscription."""
    with ledger.covered(), terms.kept(agreed.plan, asked.count, agreed.model.credits):
        row = await db.together(_placed, as_item(asked, deadline) | _by_terms(agreed, deadline))
    if row["why"] == "reference":
        raise NotFound("A reference picture is not there any more, or is not yours.")
    if row["why"] is not None:
        raise NotFound
    return row["id"]  # type: ignore[no-any-return]


def as_item(asked: Order, deadline: int) -> dict[str, Any]:
    """For orders_place, but for what only the terms of the moment tell: see ``_by_terms``."""
    generation_id, jobs = uuid4(), [uuid4() for _ in range(asked.count)]
    return {
        "id": str(generation_id),
        "account_id": str(asked.account_id),
        "thread_id": str(asked.thread_id or generation_id),
        "model_id": asked.model_id,
        "prompt": asked.prompt.strip(),
        "width": asked.size.width,
        "height": asked.size.height,
        "count": asked.count,
        "idempotency_key": asked.idempotency_key,
        "request_hash": asked.fingerprint.hex(),
        "request_id": request_id(),
        "traceparent": tracing.traceparent(),
        "parameters": dict(asked.parameters),
        "mask": asked.mask,
        "partial_images": asked.partial_images,
        "api_token_id": asked.api_token_id,
        "jobs": jobs,
        "seeds": [secrets.randbelow(2**31) for _ in jobs],
        "deadline": float(deadline),
        "uploads": [*asked.uploads, *[None] * len(asked.pictures)],
        "pictures": [*[None] * len(asked.uploads), *asked.pictures],
        "why": _title(asked.prompt),
        "most_unfinished": asked.most_unfinished,
    }


def _by_terms(agreed: Terms, deadline: int) -> dict[str, Any]:
    """``programs.ORDER`` says the same in SQL."""
    return {
        "model_id": agreed.model.id,
        "credits": agreed.model.credits,
        "deadline": float(min(deadline, agreed.plan.longest_wait_seconds)),
        "concurrency": agreed.plan.concurrency,
        "priority": agreed.plan.priority,
        "plan_id": agreed.plan.id,
        "plan_cents": agreed.plan.price_cents,
        "plan_currency": agreed.plan.price_currency,
        "plan_credits": agreed.plan.credits_per_cycle,
    }


async def _placed(db: Db, items: Sequence[dict[str, Any]]) -> list[Any]:
    """Balances are locked in the order of their accounts, whoever orders with whom."""
    order = sorted(range(len(items)), key=lambda place: items[place]["account_id"])
    wanted = [items[place] for place in order]
    rows = await db.fetch(PLACE, wanted, isinstance(db, Database), mailbox.SENT, PaintPicture.mailbox)
    return [row for _, row in sorted(zip(order, rows, strict=True), key=lambda each: each[0])]


OWNER = "select account_id from generation where id = $1"


async def must_own_thread(db: Db, thread_id: UUID, account_id: UUID) -> None:
    """Raises NotFound for a stranger's thread as for none."""
    if await db.fetchval(OWNER, thread_id) != account_id:
        raise NotFound


CANCEL_WAITING = """
update job set state = 'canceled', finished_at = now(), line = '', reason = 'canceled before it began'
where generation_id = $1 and state = 'queued' returning id
"""
ASK_RUNNING = """
update job set cancel_asked = true, line = 'asked to stop' where generation_id = $1 and state = 'running' returning id
"""


async def cancel(db: Db, generation_id: UUID, account_id: UUID) -> tuple[int, int]:
    """Before the start it is free; while it runs it is asked to stop. Returns (canceled, asked). Raises NotFound."""
    async with db.transaction() as tx:
        await lock(tx, generation_id, account_id)
        canceled = [row["id"] for row in await tx.fetch(CANCEL_WAITING, generation_id)]
        asked = await tx.fetch(ASK_RUNNING, generation_id)
        await release_all(tx, canceled, "canceled")
        await settle_state(tx, generation_id)
        return len(canceled), len(asked)


DROP_MESSAGES = "delete from message where mailbox = 'painting' and key = any($1::text[])"


async def release_all(tx: Transaction, jobs: Sequence[UUID], why: str) -> None:
    """Give back what these ended jobs held, and take their messages out of the mailbox, whoever works on them."""
    for job_id in jobs:
        await ledger.release(tx, job_id, why)
    await tx.execute(DROP_MESSAGES, [f"job {job_id}" for job_id in jobs])


LOCK = "select account_id, thread_id from generation where id = $1 for update"


async def lock(tx: Transaction, generation_id: UUID, account_id: UUID | None = None) -> None:
    """Jobs of one generation end one after another: else two that end together would each see the other running."""
    row = await tx.fetchrow(LOCK, generation_id)
    if row is None or (account_id is not None and row["account_id"] != account_id):
        raise NotFound


SETTLE_STATE = "select thread_id, is_over from generation_settle($1)"


async def settle_state(tx: Transaction, generation_id: UUID) -> None:
    """The generation's state follows from its jobs; whoever watches is told after the commit."""
    row = await tx.fetchrow(SETTLE_STATE, generation_id)
    assert row is not None
    tx.tell(GENERATION_CHANGED, f"{row['thread_id']} {generation_id}")
    if row["is_over"]:
        tx.tell(GENERATION_ENDED, str(generation_id))


def _title(prompt: str) -> str:
    words = " ".join(prompt.split())
    return words if len(words) <= 60 else words[:59] + "…"
