"""Money: who is told of it, and what of it is a trouble."""

from __future__ import annotations

from uuid import UUID

from limner.sql import invoices, keys, payments
from tests.alerts.conftest import causes
from tests.alerts.drills import paid
from tests.alerts.test_telling import NO_WORKER, away, key_ids, lose, mails, quiet_now


async def owners_and_operators(watched) -> None:
    """Carol, 7, is the owner; 8 is an operator, and 9 only looks."""
    for telegram_id, role in ((8, "operator"), (9, "viewer")):
        row = "insert into telegram_admin (telegram_id, name, role) values ($1, 'admin', $2)"
        await watched.db.execute(row, telegram_id, role)


async def told(watched) -> dict[str, list[str]]:
    """What each phone was told."""
    rows = await watched.db.fetch("select recipient, array_agg(body order by id) as texts from notice group by 1")
    return {row["recipient"]: row["texts"] for row in rows}


async def test_an_operator_is_told_nothing_of_money(watched):
    await owners_and_operators(watched)
    invoice = await paid(watched, state="expired")
    await payments.flag(watched.db, invoice, "partial", "2.00 of 9.99 USD came.", {}, actor="cashier")
    await away(watched)
    await watched.look()
    by_phone = await told(watched)
    assert by_phone["8"] == [f"⚠️ {NO_WORKER}"]
    assert len(by_phone["7"]) == len(by_phone["9"]) == 2 and any("2.00 of 9.99 USD" in text for text in by_phone["9"])


async def test_what_is_said_after_the_quiet_hours_and_in_the_morning_leaves_money_out_for_an_operator(watched):
    await owners_and_operators(watched)
    await watched.rule("model_cooled", is_on=False)
    await quiet_now(watched)
    invoice = await paid(watched, state="expired")
    await payments.flag(watched.db, invoice, "partial", "2.00 of 9.99 USD came.", {}, actor="cashier")
    await lose(watched, (await key_ids(watched))[0])
    await watched.look()
    await quiet_now(watched, on=False)
    await watched.db.execute("update alert_times set digest_on = current_date - 1, digest_at = '00:00'")
    await watched.look()
    by_phone = await told(watched)
    assert "9.99" not in str(by_phone["8"]) and "💰" not in str(by_phone["8"])
    night, morning = by_phone["8"]
    assert night.startswith("🌙 In the quiet hours:\n⚠️ Key Demo brush 1") and len(night.splitlines()) == 2
    assert morning.startswith("☀️ Yesterday, ") and "⚠️ Key Demo brush 1" in morning
    for phone in ("7", "9"):
        assert "9.99 USD came." in by_phone[phone][0] and "💰 0 from 0 payments" in by_phone[phone][1]


async def test_an_operators_buttons_and_runbook_are_of_what_they_are_told(watched):
    await owners_and_operators(watched)
    watched.config = watched.config.model_copy(update={"docs_url": None})
    await watched.rule("model_cooled", is_on=False)
    await quiet_now(watched)
    invoice = await paid(watched, state="expired")
    await payments.flag(watched.db, invoice, "partial", "2.00 of 9.99 USD came.", {}, actor="cashier")
    (key, *_) = await key_ids(watched)
    await lose(watched, key)
    lost = next(alert for alert in await watched.look() if alert.rule == "key_lost")
    await quiet_now(watched, on=False)
    await watched.look()
    told = {row["recipient"]: row for row in await watched.db.fetch("select recipient, body, buttons from notice")}
    assert told["8"]["body"].endswith("docs/how-to/alerts/keys-need-a-look.md")
    (door, snooze), (page,) = told["8"]["buttons"]
    assert (door["data"], snooze["data"]) == (f"keys:see:{key}", f"alerts:see:{lost.id}")
    assert page["url"] == f"https://art.example/admin/keys/{key}"
    (door, snooze), (page,) = told["7"]["buttons"]
    assert (door["data"], snooze["data"], page["url"]) == ("home", "alerts", "https://art.example/admin/alerts")


async def test_of_an_end_beside_what_is_for_others_an_operator_has_nothing_to_silence(watched):
    """Nor a runbook: that would be of the money."""
    await owners_and_operators(watched)
    await watched.rule("model_cooled", is_on=False)
    await quiet_now(watched)
    invoice = await paid(watched, state="expired")
    await payments.flag(watched.db, invoice, "partial", "2.00 of 9.99 USD came.", {}, actor="cashier")
    (key, *_) = await key_ids(watched)
    await lose(watched, key)
    await watched.look()
    await keys.set_state(watched.db, key, "active", "a new key", actor="carol@example.com")
    await watched.look()
    await quiet_now(watched, on=False)
    await watched.look()
    buttons = str(await watched.db.fetchval("select buttons from notice where recipient = '8'"))
    assert f"keys:see:{key}" in buttons and "Snooze" not in buttons and "payment" not in buttons
    assert "payment-to-decide" in str(await watched.db.fetchval("select buttons from notice where recipient = '7'"))


async def test_what_an_operator_is_not_told_of_is_no_reason_to_write_a_mail(watched):
    """Whoever sees money got all of it; that an operator's phone refuses the rest is no news."""
    await owners_and_operators(watched)
    await watched.db.execute("update alert_times set digest_on = current_date - 1, digest_at = '00:00'")
    await watched.look()
    await watched.db.execute("update notice set sent_at = now() where recipient in ('7', '9')")
    await watched.db.execute("update notice set failed_at = now() where recipient = '8'")
    await watched.look()
    assert await mails(watched) == []


REFUND = """
insert into refund (invoice_id, kind, amount_cents, currency, reason, actor, state, ended_at)
values ($1, 'whole', 999, 'USD', 'asked', 'test', $2, case when $2 = 'failed' then now() end)
"""


async def ordered_back(watched, invoice: UUID, state: str) -> None:
    await watched.db.execute(REFUND, invoice, state)


async def test_of_what_somebody_decided_about_or_paid_back_nobody_is_told_that_it_is_unpaid(watched):
    await watched.rule("unpaid_received", after_seconds=0)
    decided, back, failed = [await paid(watched, state="expired") for _ in range(3)]
    for invoice in (decided, back, failed):
        await payments.note(watched.db, invoice, 999)
    await payments.flag(watched.db, decided, "partial", "It came late.", {}, actor="cashier")
    await payments.dealt_with(
        watched.db, await invoices.get(watched.db, decided), "given back", actor="carol@example.com"
    )
    await ordered_back(watched, back, "asked")
    await ordered_back(watched, failed, "failed")
    assert causes(await watched.look()) == [f"received {failed}"]


async def test_the_newest_of_many_that_have_to_be_decided_about_is_told_too(watched):
    for _ in range(60):
        await payments.flag(watched.db, await paid(watched, state="expired"), "partial", "A part.", {}, actor="cashier")
    assert len(await watched.look()) == 60
