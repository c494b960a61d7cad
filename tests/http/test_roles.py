"""Roles: Carol makes Bob a supporter or an admin, in so many steps, and there is always an admin left."""

from __future__ import annotations

import anyio
import pytest

from limner.runtime.errors import Refused
from limner.sql import accounts, roles

WHY = {"role_reason": "he helps on weekends"}


def where(account):
    return f"/admin/users/{account.id}/role"


async def test_support_is_given_with_a_reason_and_bob_logs_in_anew(carol, bob, cast, db):
    assert (await carol.act(where(cast.bob), {"role": "support"}, reason="")).status == 400
    answer = await carol.act(where(cast.bob), WHY | {"role": "support"})
    assert (answer.status, answer.location) == (303, f"/admin/users/{cast.bob.id}")
    assert (await accounts.get(db, cast.bob.id)).role == "support"
    assert (await bob.get("/account")).location.startswith("/login")
    row = await db.fetchrow("select actor, subject, before, after from audit where action = 'account.role'")
    assert (row["actor"], row["subject"]) == (cast.carol.email, cast.bob.email)
    assert (row["before"], row["after"]) == ({"role": "user"}, {"role": "support", "reason": WHY["role_reason"]})


async def test_an_admin_is_made_in_two_steps(carol, cast, db):
    asked = await carol.act(where(cast.bob), WHY | {"role": "admin"})
    assert (asked.status, "Make an admin" in asked.text) == (200, True)
    assert asked.values("role_reason") == [WHY["role_reason"]]
    wrong = await carol.act(where(cast.bob), WHY | {"role": "admin", "confirmation": cast.alice.email})
    assert wrong.status == 400
    assert (await accounts.get(db, cast.bob.id)).role == "user"
    done = await carol.act(where(cast.bob), WHY | {"role": "admin", "confirmation": cast.bob.email})
    assert done.status == 303
    assert (await accounts.get(db, cast.bob.id)).role == "admin"


@pytest.mark.parametrize("role", ["user", "support"])
async def test_nobody_takes_their_own_role_away(carol, cast, db, role):
    await accounts.set_role(db, cast.bob, "admin", actor="test")
    answer = await carol.act(where(cast.carol), WHY | {"role": role})
    assert (answer.status, "another admin" in answer.text) == (400, True)
    assert (await accounts.get(db, cast.carol.id)).is_admin


@pytest.mark.parametrize("role", ["", "owner", "ADMIN", "user"])
async def test_what_is_no_change_is_refused(carol, cast, db, role):
    assert (await carol.act(where(cast.bob), WHY | {"role": role})).status == 400
    assert (await accounts.get(db, cast.bob.id)).role == "user"


async def test_who_is_banned_gets_no_role(carol, cast, db):
    await accounts.ban(db, cast.bob, "x", actor="test")
    answer = await carol.act(where(cast.bob), WHY | {"role": "support"})
    assert (answer.status, "Lift the ban" in answer.text) == (400, True)


async def test_two_admins_who_demote_each_other_at_once_leave_one(cast, db):
    await accounts.set_role(db, cast.bob, "admin", actor="test")
    bob = await accounts.get(db, cast.bob.id)
    refused = []

    async def demote(one, by):
        try:
            await roles.change(db, one, "user", "a quarrel", by=by)
        except Refused as why:
            refused.append(str(why))

    async with anyio.create_task_group() as group:
        group.start_soon(demote, bob, cast.carol)
        group.start_soon(demote, cast.carol, bob)
    assert len(refused) == 1
    assert await db.fetchval("select count(*) from account where role = 'admin'") == 1


async def test_support_may_change_no_role(site, cast, db):
    await accounts.set_role(db, cast.bob, "support", actor="test")
    support = await site.browser(cast.bob)
    assert (await support.post(where(cast.alice), WHY | {"role": "support"})).status == 403
    assert "/role" not in (await support.get(f"/admin/users/{cast.alice.id}")).text
