"""Tickets: a link in a mail is used once, by whom it was made for, and for what it was made."""

from __future__ import annotations

import asyncio

import pytest

from limner.sql import accounts, notices, tickets
from limner.sql.tickets import LinkSpent

KEYS = ("k" * 40, "old" * 20)


@pytest.fixture
async def alice(db):
    return await accounts.find(db, "alice@example.com")


async def test_a_link_is_used_once_even_by_ten_at_a_time(db, alice):
    link = tickets.secret(await tickets.issue(db, alice.id, "reset", minutes=60, details={"why": "asked"}), KEYS)
    assert (await tickets.look(db, link, "reset", KEYS)).details == {"why": "asked"}
    ended = await asyncio.gather(*(tickets.use(db, link, "reset", KEYS) for _ in range(10)), return_exceptions=True)
    assert [each.account_id for each in ended if not isinstance(each, BaseException)] == [alice.id]
    assert sum(isinstance(each, LinkSpent) for each in ended) == 9


async def test_a_newer_request_ends_the_older_link(db, alice):
    old = tickets.secret(await tickets.issue(db, alice.id, "reset", minutes=60), KEYS)
    other = tickets.secret(await tickets.issue(db, alice.id, "verify", minutes=60), KEYS)
    new = tickets.secret(await tickets.issue(db, alice.id, "reset", minutes=60), KEYS)
    with pytest.raises(LinkSpent):
        await tickets.use(db, old, "reset", KEYS)
    assert await tickets.use(db, new, "reset", KEYS)
    assert await tickets.use(db, other, "verify", KEYS)


async def test_a_link_serves_its_purpose_alone_and_for_its_time(db, alice):
    link = tickets.secret(ticket_id := await tickets.issue(db, alice.id, "verify", minutes=60), KEYS)
    for wrong, purpose in ((link, "reset"), (link[:-2] + "AA", "verify"), ("", "verify"), ("ü" * 64, "verify")):
        with pytest.raises(LinkSpent):
            await tickets.use(db, wrong, purpose, KEYS)
    await db.execute("update ticket set expires_at = now() where id = $1", ticket_id)
    with pytest.raises(LinkSpent):
        await tickets.use(db, link, "verify", KEYS)


async def test_a_link_survives_the_next_secret_key_and_the_database_cannot_make_one(db, alice):
    ticket_id = await tickets.issue(db, alice.id, "reset", minutes=60)
    made_before = tickets.secret(ticket_id, KEYS[1:])
    with pytest.raises(LinkSpent):
        await tickets.use(db, tickets.secret(ticket_id, ("another" * 6,)), "reset", KEYS)
    assert await tickets.use(db, made_before, "reset", KEYS)


async def test_a_mail_waits_in_the_outbox_once(db, alice):
    for _ in range(2):
        await notices.mail(db, alice.email, "period_ends", details={"days": 7}, dedupe_key="period 7")
    row = await db.fetchrow("select count(*) as n, max(template) as template, max(details::text) as d from notice")
    assert (row["n"], row["template"], row["d"]) == (1, "period_ends", '{"days": 7}')
