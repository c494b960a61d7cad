"""The menu of orders: found, explained, painted again on the house once, taken down with a reason."""

from __future__ import annotations

from uuid import UUID, uuid4

import anyio
import pytest

from limner.runtime.errors import NotFound, Refused
from limner.sql import accounts, generations, ledger, retries, takedowns
from limner.sql.generations import Order
from limner.sql.models import Size
from tests.bot.phone import acts, paired


@pytest.fixture
async def owner(db, config):
    return await paired(db, config)


async def ordered(db, account, count: int = 2) -> UUID:
    asked = Order(account.id, "a <red> boat", "demo", Size(512, 512), count)
    return await generations.order(db, asked, deadline=900)


async def failed(db, account, count: int = 2, of: UUID | None = None) -> UUID:
    """An order whose pictures all failed; what was held for them is back."""
    order = of or await ordered(db, account, count)
    async with db.transaction() as tx:
        ids = [row["id"] for row in await tx.fetch("select id from job where generation_id = $1", order)]
        await tx.execute(
            "update job set state = 'failed', reason = 'every key is out of funds', finished_at = now() where generation_id = $1",
            order,
        )
        await generations.release_all(tx, ids, "failed")
        await generations.settle_state(tx, order)
    return order


PAINTED = """
insert into image (job_id, account_id, generation_id, storage_key, thumb_key, sha256, mime, width, height, bytes, thumbed_at)
select j.id, j.account_id, j.generation_id, $2, $2, repeat('0', 64), 'image/png', 512, 512, 9, now() from job as j
where j.generation_id = $1 returning id
"""


async def painted(db, account) -> tuple[UUID, UUID]:
    """An order with one picture; the order and the picture."""
    order = await ordered(db, account, 1)
    async with db.transaction() as tx:
        await tx.execute("update job set state = 'delivered', finished_at = now() where generation_id = $1", order)
        await tx.execute(
            "insert into ledger_entry (account_id, job_id, kind, credits, why)"
            " select account_id, id, 'settle', credits, 'painted' from job where generation_id = $1",
            order,
        )
        image = await tx.fetchval(PAINTED, order, f"pictures/{uuid4()}.png")
        await generations.settle_state(tx, order)
    return order, image


async def test_an_order_is_found_by_its_number_or_whose_it_is(owner, cast, db):
    order = await failed(db, cast.alice)
    await owner.press("generations")
    assert owner.data[0] == f"generations:see:{order}" and owner.words[0].startswith("🔴")
    for typed in (str(order), "alice@example.com", "ALICE"):
        await owner.press("generations:find")
        await owner.say(typed)
        assert f"generations:see:{order}" in owner.data or "alice@example.com" in owner.shown.text, typed
    for typed, said in (
        ("example.com", "More than one address"),
        ("%", "Nobody is called “%”"),
        (str(uuid4()), "no such order"),
    ):
        await owner.press("generations:find")
        await owner.say(typed)
        assert said in owner.shown.text, typed


async def test_it_says_why(owner, cast, db):
    order = await failed(db, cast.alice)
    await owner.press(f"generations:see:{order}")
    assert "a &lt;red&gt; boat" in owner.shown.text and "every key is out of funds" in owner.shown.text
    await owner.tap("Why")
    assert "<b>Picture 1</b>: failed" in owner.shown.text and "No key was asked." in owner.shown.text


async def test_a_retry_costs_its_owner_nothing_and_is_done_once(owner, cast, db):
    order = await failed(db, cast.alice)
    await owner.press(f"generations:see:{order}")
    await owner.tap("Paint again")
    assert "Pictures: 2, for <b>alice@example.com</b>" in owner.shown.text and await acts(db) == []
    await owner.yes()
    assert owner.shown.toast == "It is ordered again."
    balance = await ledger.balance(db, cast.alice.id)
    assert (balance.available, balance.held) == (100, 2)
    new = await db.fetchval("select retried_as from retry where generation_id = $1", order)
    row = await db.fetchrow("select prompt, model_id, count, thread_id from generation where id = $1", new)
    assert tuple(row)[:3] == ("a <red> boat", "demo", 2) and row["thread_id"] == order
    [act] = await acts(db)
    assert act == ("bot 7", "generation.retry")
    await owner.press(f"generations:see:{order}")
    assert "🎨 Paint again" not in owner.words
    await owner.press(f"generations:retry:{order}")
    await owner.yes()
    assert "painted again already" in owner.shown.toast and len(await acts(db)) == 1


async def test_a_retry_that_fails_leaves_the_credit_and_is_no_well_without_a_bottom(db, config, cast):
    order = await failed(db, cast.alice)
    new = await retries.retry(db, order, config, "sorry", actor="test")
    await failed(db, cast.alice, of=new)
    assert await ledger.balance(db, cast.alice.id) == ledger.Balance(102, 0, 0)
    with pytest.raises(Refused, match="painted again once"):
        await retries.retry(db, new, config, "again", actor="test")
    assert not await retries.is_offered(db, new)


async def test_two_admins_retry_it_once(db, config, cast):
    order, done = await failed(db, cast.alice), list[str]()

    async def one() -> None:
        try:
            done.append(str(await retries.retry(db, order, config, "sorry", actor="test")))
        except Refused as why:
            done.append(str(why))

    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(one)
    assert sum("already" in each for each in done) == 3
    assert await db.fetchval("select count(*) from generation") == 2
    assert (await ledger.balance(db, cast.alice.id)).available == 100


async def test_what_may_not_be_retried_changes_nothing(db, config, cast):
    running = await ordered(db, cast.alice, 1)
    over, _ = await painted(db, cast.alice)
    lapsed = await failed(db, cast.alice)
    before = await ledger.balance(db, cast.alice.id)
    for order, why in ((running, "not over yet"), (over, "Nothing of it failed")):
        with pytest.raises(Refused, match=why):
            await retries.retry(db, order, config, "x", actor="test")
    with pytest.raises(NotFound):
        await retries.retry(db, uuid4(), config, "x", actor="test")
    await db.execute("update subscription set period_start = now() - interval '2 months', period_end = now()")
    with pytest.raises(Refused, match="plan has ended"):
        await retries.retry(db, lapsed, config, "x", actor="test")
    await accounts.ban(db, cast.alice, "spam", actor="test")
    with pytest.raises(Refused, match="banned or gone"):
        await retries.retry(db, lapsed, config, "x", actor="test")
    assert await ledger.balance(db, cast.alice.id) == before
    assert await db.fetchval("select count(*) from retry") == 0


async def test_a_picture_is_taken_down_with_a_reason_and_given_back(owner, cast, db):
    order, image = await painted(db, cast.alice)
    await owner.press(f"generations:see:{order}")
    await owner.tap("Take down…")
    await owner.tap("Take down picture 1")
    await owner.say("x" * 501)
    assert "at most 500 characters, not 501" in owner.shown.text
    await owner.say("Somebody's <face>")
    assert "Why: Somebody&#x27;s &lt;face&gt;" in owner.shown.text
    assert (await takedowns.get(db, image)).state == "hung"
    await owner.yes()
    down = await takedowns.get(db, image)
    assert (down.state, down.reason) == ("taken_down", "Somebody's <face>")
    await owner.tap("Give back picture 1")
    await owner.say("It was a mistake")
    await owner.yes()
    assert (await takedowns.get(db, image)).state == "hung"
    assert await acts(db) == [("bot 7", "picture.take_down"), ("bot 7", "picture.restore")]


async def test_an_operator_has_it_painted_again_and_takes_down(db, config, cast):
    operator = await paired(db, config, "operator")
    _, image = await painted(db, cast.alice)
    lost = await failed(db, cast.alice)
    await operator.press(f"generations:see:{lost}")
    await operator.tap("Paint again")
    await operator.yes()
    assert operator.shown.toast == "It is ordered again."
    await operator.press(f"generations:down:{image}")
    await operator.say("Spam")
    await operator.yes()
    assert (await takedowns.get(db, image)).state == "taken_down"
    assert await acts(db) == [("bot 7", "generation.retry"), ("bot 7", "picture.take_down")]


async def test_a_viewer_looks_at_orders_and_leaves_them(db, config, cast):
    viewer = await paired(db, config, "viewer")
    order, image = await painted(db, cast.alice)
    await viewer.press(f"generations:see:{order}")
    assert viewer.words == ["❓ Why", "⬅ Back"]
    for data in (
        f"generations:retry:{order}",
        f"generations:pictures:{order}",
        f"generations:down:{image}",
        f"generations:back:{image}",
    ):
        await viewer.press(data)
        assert viewer.shown.toast == "You may look, not change.", data
    assert (await takedowns.get(db, image)).state == "hung"
