"""The mailbox: sent with its transaction, owned by one, fair, and never lost."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid4

import anyio
import pytest

from limner.runtime import mailbox, upkeep
from limner.runtime.errors import FenceLost
from limner.runtime.mailbox import Mark, Message, backoff
from limner.runtime.presence import Presence


@dataclass(frozen=True)
class Polish(Message):
    """Polish a thing."""

    mailbox = "polishing"
    thing: UUID
    cloth: str = "linen"


@dataclass(frozen=True)
class Serve(Message):
    """Serve a guest: guests take turns."""

    mailbox = "serving"
    fair = True
    dish: str


@pytest.fixture
async def worker(db):
    presence = Presence(db, "test", lease=3)
    await presence.beat()
    return presence


async def test_a_message_comes_back_as_it_was_sent(db, worker):
    sent = Polish(uuid4(), "silk")
    await mailbox.send(db, sent)
    [claimed] = await mailbox.claim(db, "polishing", worker.id, 5)
    assert Polish.revive(claimed.payload, claimed.fence) == sent


async def test_a_message_is_sent_with_its_transaction_or_not_at_all(db, worker):
    with pytest.raises(RuntimeError):
        async with db.transaction() as tx:
            await mailbox.send(tx, Polish(uuid4()))
            raise RuntimeError("changed my mind")
    assert await mailbox.claim(db, "polishing", worker.id, 5) == []


async def test_a_key_is_unique_while_its_message_is_alive(db, worker):
    assert await mailbox.send(db, Polish(uuid4()), key="spoon") is not None
    assert await mailbox.send(db, Polish(uuid4()), key="spoon") is None
    [claimed] = await mailbox.claim(db, "polishing", worker.id, 5)
    await mailbox.ack(db, claimed.fence)
    assert await mailbox.send(db, Polish(uuid4()), key="spoon") is not None


async def test_two_workers_never_get_the_same_message(db, worker):
    other = Presence(db, "test", lease=3)
    await other.beat()
    for _ in range(40):
        await mailbox.send(db, Polish(uuid4()))
    got: list[int] = []

    async def grab(owner: UUID) -> None:
        while claimed := await mailbox.claim(db, "polishing", owner, 3):
            got.extend(item.fence.id for item in claimed)

    async with anyio.create_task_group() as group:
        for owner in (worker.id, other.id, worker.id, other.id):
            group.start_soon(grab, owner)
    assert len(got) == len(set(got)) == 40


async def test_partitions_take_turns(db, worker):
    for number in range(20):
        await mailbox.send(db, Serve(f"a{number}"), partition="alice")
    await mailbox.send(db, Serve("b0"), partition="bob")
    first = await mailbox.claim_fairly(db, "serving", worker.id, 2)
    assert sorted(item.payload["dish"] for item in first) == ["a0", "b0"]


async def test_a_partition_never_exceeds_its_limit_whoever_claims(db, worker):
    for number in range(10):
        await mailbox.send(db, Serve(f"a{number}"), partition="alice", partition_limit=2)
    claims: list[int] = []

    async def grab() -> None:
        claims.append(len(await mailbox.claim_fairly(db, "serving", worker.id, 5)))

    async with anyio.create_task_group() as group:
        for _ in range(6):
            group.start_soon(grab)
    assert sum(claims) == 2


async def test_whoever_claims_learns_whether_anybody_still_waits_for_a_turn(db, worker):
    for number in range(3):
        await mailbox.send(db, Serve(f"a{number}"), partition="alice", partition_limit=2)
    took, is_all = await mailbox.take_turns(db, "serving", worker.id, 5)
    assert (len(took), is_all) == (2, False)
    await mailbox.ack(db, took[0].fence)
    took, is_all = await mailbox.take_turns(db, "serving", worker.id, 5)
    assert (len(took), is_all) == (1, True)
    assert await mailbox.take_turns(db, "serving", worker.id, 5) == ([], True)


async def test_a_fair_message_goes_into_a_partition_and_no_other_does(db):
    with pytest.raises(ValueError, match="Polish is not a fair message"):
        await mailbox.send(db, Polish(uuid4()), partition="alice")
    with pytest.raises(ValueError, match="Serve is a fair message: it needs a partition"):
        await mailbox.send(db, Serve("soup"))


async def test_a_higher_priority_goes_first(db, worker):
    await mailbox.send(db, Polish(uuid4(), "later"))
    await mailbox.send(db, Polish(uuid4(), "first"), priority=5)
    [claimed] = await mailbox.claim(db, "polishing", worker.id, 1)
    assert claimed.payload["cloth"] == "first"


async def test_a_delayed_message_waits_for_its_time(db, worker):
    await mailbox.send(db, Polish(uuid4()), delay=60)
    assert await mailbox.claim(db, "polishing", worker.id, 1) == []
    look = (await upkeep.look(db, ["polishing"]))["polishing"]
    assert (look.promoted, look.is_waiting) == (0, False)
    assert 55 < look.next_in <= 60
    await db.execute("update message set ready_at = now()")
    look = (await upkeep.look(db, ["polishing"]))["polishing"]
    assert (look.promoted, look.next_in, look.waited, look.is_waiting) == (1, None, None, True)
    assert len(await mailbox.claim(db, "polishing", worker.id, 1)) == 1


async def test_a_message_that_nobody_took_before_its_deadline_is_buried(db, worker):
    await mailbox.send(db, Polish(uuid4()), deadline=60)
    assert (await upkeep.look(db, ["polishing"]))["polishing"].buried == 0
    await db.execute("update message set deadline = now() - interval '1 second'")
    assert (await upkeep.look(db, ["elsewhere", "polishing"]))["polishing"].buried == 1
    assert await db.fetchval("select reason from dead_letter") == "its deadline passed"


async def test_what_is_done_is_acknowledged_with_the_next_claim(db, worker):
    for _ in range(4):
        await mailbox.send(db, Polish(uuid4()))
    first = await mailbox.claim(db, "polishing", worker.id, 2)
    second = await mailbox.claim(db, "polishing", worker.id, 2, done=[item.fence for item in first])
    assert await db.fetchval("select array_agg(id order by id) from message") == [item.fence.id for item in second]


async def test_the_least_important_gets_its_turn(db, worker):
    for number in range(3):
        await mailbox.send(db, Polish(uuid4(), f"urgent {number}"), priority=9)
    await mailbox.send(db, Polish(uuid4(), "patient"))
    [humble] = await mailbox.claim(db, "polishing", worker.id, 1, humbly=True)
    assert humble.payload["cloth"] == "patient"


async def test_nothing_below_the_mark_is_taken_and_without_it_everything_is(db, worker):
    for number in range(3):
        await mailbox.send(db, Polish(uuid4(), str(number)))
    [first] = await mailbox.claim(db, "polishing", worker.id, 1)
    await upkeep.give_back(db, "polishing", worker.id, keep=[])
    rest = await mailbox.claim(db, "polishing", worker.id, 5, above=Mark(0, first.pos + 1))
    assert [item.payload["cloth"] for item in rest] == ["2", "0"]  # what went back stands at the end of the line
    assert [item.payload["cloth"] for item in await mailbox.claim(db, "polishing", worker.id, 5)] == ["1"]


async def test_a_message_that_is_taken_back_is_gone_and_its_fence_is_lost(db, worker):
    await mailbox.send(db, Polish(uuid4()), key="spoon")
    [claimed] = await mailbox.claim(db, "polishing", worker.id, 1)
    assert await mailbox.cancel(db, "polishing", "spoon")
    assert not await mailbox.cancel(db, "polishing", "spoon")
    with pytest.raises(FenceLost):
        await mailbox.ack(db, claimed.fence)


async def test_progress_is_kept_in_the_row_and_refused_from_an_old_owner(db, worker):
    await mailbox.send(db, Polish(uuid4()))
    [claimed] = await mailbox.claim(db, "polishing", worker.id, 1)
    await mailbox.report(db, claimed.fence, {"shine": 0.5})
    assert await db.fetchval("select progress from message") == {"shine": 0.5}
    await mailbox.retry(db, claimed.fence, after=0, error="again")
    with pytest.raises(FenceLost):
        await mailbox.report(db, claimed.fence, {"shine": 0.6})


async def test_a_retry_without_blame_costs_no_attempt(db, worker):
    await mailbox.send(db, Polish(uuid4()))
    for _ in range(3):
        [claimed] = await mailbox.claim(db, "polishing", worker.id, 1)
        assert claimed.fence.attempt == 1
        await mailbox.retry(db, claimed.fence, after=0, error="not yet", blame=False)


@pytest.mark.parametrize("act", ["ack", "retry", "bury", "hold"])
async def test_an_old_fence_changes_nothing(db, worker, act):
    await mailbox.send(db, Polish(uuid4()))
    [old] = await mailbox.claim(db, "polishing", worker.id, 1)
    await mailbox.retry(db, old.fence, after=0, error="again")
    [new] = await mailbox.claim(db, "polishing", worker.id, 1)
    assert (old.fence.attempt, new.fence.attempt) == (1, 2)
    acts = {
        "ack": lambda: mailbox.ack(db, old.fence), "hold": lambda: mailbox.hold(db, old.fence),
        "retry": lambda: mailbox.retry(db, old.fence, after=0, error=""), "bury": lambda: mailbox.bury(db, old.fence, ""),
    }  # fmt: skip
    with pytest.raises(FenceLost):
        await acts[act]()
    await mailbox.ack(db, new.fence)


async def test_a_dead_letter_keeps_its_reason_and_can_live_again(db, worker):
    await mailbox.send(db, Polish(uuid4(), "wool"))
    [claimed] = await mailbox.claim(db, "polishing", worker.id, 1)
    await mailbox.bury(db, claimed.fence, "moths")
    dead = await db.fetchrow("select id, reason from dead_letter")
    assert dead["reason"] == "moths"
    assert await upkeep.requeue(db, dead["id"])
    assert not await upkeep.requeue(db, dead["id"])
    [again] = await mailbox.claim(db, "polishing", worker.id, 1)
    assert (again.payload["cloth"], again.fence.attempt) == ("wool", 1)


async def test_the_messages_of_a_dead_worker_are_freed_and_the_attempt_counts(db, worker):
    dead = Presence(db, "test", lease=3)
    await dead.beat()
    await mailbox.send(db, Polish(uuid4()))
    [lost] = await mailbox.claim(db, "polishing", dead.id, 1)
    await db.execute("update worker set seen_at = now() - interval '4 seconds' where id = $1", dead.id)
    assert await upkeep.rescue(db, 3) == 1
    [saved] = await mailbox.claim(db, "polishing", worker.id, 1)
    assert (saved.fence.id, saved.fence.attempt) == (lost.fence.id, 2)
    with pytest.raises(FenceLost):
        await mailbox.ack(db, lost.fence)


async def test_a_message_that_kills_every_worker_becomes_a_dead_letter(db):
    await mailbox.send(db, Polish(uuid4()), max_attempts=2)
    for _ in range(2):
        victim = Presence(db, "test", lease=3)
        await victim.beat()
        assert len(await mailbox.claim(db, "polishing", victim.id, 1)) == 1
        await db.execute("update worker set seen_at = now() - interval '4 seconds' where id = $1", victim.id)
        assert await upkeep.rescue(db, 3) == 1
    assert await db.fetchval("select count(*) from message") == 0
    assert await db.fetchval("select reason from dead_letter") == "its worker died every time"


async def test_a_poisoned_message_takes_no_innocent_ones_along(db, worker):
    for _ in range(5):
        await mailbox.send(db, Polish(uuid4()), max_attempts=9)
    for _ in range(2):
        victim = Presence(db, "test", lease=3)
        await victim.beat()
        assert len(await mailbox.claim(db, "polishing", victim.id, 10)) == 5
        await db.execute("update worker set seen_at = now() - interval '4 seconds' where id = $1", victim.id)
        assert await upkeep.rescue(db, 3) == 5
    assert await mailbox.claim(db, "polishing", worker.id, 10) == [], "two workers died with each of them"
    assert (await upkeep.look(db, ["polishing"]))["polishing"].has_suspects
    assert len(await mailbox.claim_suspect(db, "polishing", worker.id)) == 1
    assert await mailbox.claim_suspect(db, "polishing", worker.id) == [], "one at a time"


async def test_the_messages_of_a_living_worker_are_left_alone(db, worker):
    await mailbox.send(db, Polish(uuid4()))
    await mailbox.claim(db, "polishing", worker.id, 1)
    assert await upkeep.rescue(db, 3) == 0


async def test_a_worker_that_leaves_frees_its_messages_at_once(db, worker):
    await mailbox.send(db, Polish(uuid4()))
    await mailbox.claim(db, "polishing", worker.id, 1)
    assert await upkeep.give_back(db, "polishing", worker.id, keep=[]) == 1
    [again] = await mailbox.claim(db, "polishing", worker.id, 1)
    assert again.fence.attempt == 1


def test_backoff_doubles_with_jitter_up_to_its_limit():
    assert 0.75 <= backoff(1) <= 1.25
    assert 6 <= backoff(4) <= 10
    assert backoff(40, most=300) <= 375
