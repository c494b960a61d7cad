"""The reception: what an operator does for people on the command line, each act in the audit."""

from __future__ import annotations

import zipfile

import pytest

from limner.runtime import passwords
from limner.runtime.errors import NotFound, Refused
from limner.runtime.passwords import CommonPassword
from limner.sql import accounts, confirmations, reception, sessions
from limner.sql.accounts import EmailTaken


async def acts(db) -> list[str]:
    return await db.fetchval(
        "select array_agg(actor || ' ' || action order by id) from audit where action like 'account.%'"
    )


async def test_the_first_admin_gets_a_link_and_no_password(db, config):
    said = await reception.create(config, "eve@example.com", "admin", None)
    assert said[0] == "eve@example.com is admin now"
    link = said[1].rpartition(" ")[2]
    assert link.startswith(f"{config.public_url}/reset/")
    eve = await accounts.find(db, "eve@example.com")
    assert (eve.role, eve.verified_at is not None) == ("admin", True)
    known = await passwords.hash_new("eve-likes-verdigris")
    await confirmations.reset(db, link.rpartition("/")[2], known, config.secret_keys)
    assert (await accounts.with_password(db, eve.email))[1] == known
    assert await acts(db) == ["cli account.create", "cli account.reset_link", "eve@example.com account.password"]


async def test_a_password_can_be_given_and_has_to_be_a_good_one(db, config):
    with pytest.raises(CommonPassword):
        await reception.create(config, "eve@example.com", "user", "password123456")
    assert await reception.create(config, "eve@example.com", "user", "eve-likes-verdigris") == [
        "eve@example.com is user now"
    ]
    known = (await accounts.with_password(db, "eve@example.com"))[1]
    assert await passwords.matches("eve-likes-verdigris", known)


async def test_nobody_is_made_twice_or_with_nonsense_for_an_address(config):
    with pytest.raises(EmailTaken):
        await reception.create(config, "ALICE@example.com", "user", None)
    with pytest.raises(Refused, match="does not look like"):
        await reception.create(config, "nonsense", "user", None)


async def test_somebody_is_made_an_admin_by_address(db, config, cast):
    bob = await accounts.find(db, "bob@example.com")
    await sessions.start(db, bob.id, ip="192.0.2.9", agent="a browser that was left somewhere")
    assert await reception.promote(config, "BOB@example.com", "user") == "bob@example.com is user now"
    assert await db.fetchval("select count(*) from session where account_id = $1", bob.id) == 1, "nothing changed"
    assert await reception.promote(config, "BOB@example.com", "admin") == "bob@example.com is admin now"
    assert await db.fetchval("select count(*) from session where account_id = $1", bob.id) == 0, "they log in anew"
    with pytest.raises(NotFound):
        await reception.promote(config, "nobody@example.com", "admin")


async def test_somebody_is_shut_out_and_let_in_again(db, config, cast):
    assert await reception.ban(config, cast.bob.email, "spam") == "bob@example.com is shut out"
    assert (await accounts.get(db, cast.bob.id)).ban_reason == "spam"
    assert await reception.unban(config, cast.bob.email, "a mistake") == "bob@example.com may come in again"
    assert (await accounts.get(db, cast.bob.id)).banned_at is None
    assert await acts(db) == ["cli account.ban", "cli account.unban"]


async def test_an_address_is_confirmed_by_hand_once(db, config, cast):
    await db.execute("update account set verified_at = null where id = $1", cast.bob.id)
    assert await reception.verify(config, cast.bob.email) == "bob@example.com is confirmed"
    assert await reception.verify(config, cast.bob.email) == "bob@example.com was confirmed already"
    assert await acts(db) == ["cli account.verify"]


async def test_people_are_listed_and_shown(config, cast):
    assert [line.split()[0] for line in await reception.listing(config, "B@", 10)] == ["bob@example.com"]
    text = "\n".join(await reception.show(config, cast.alice.email))
    assert "Monthly, active" in text
    assert "argon2" not in text


async def test_everything_of_somebody_is_written_into_a_new_file(db, config, cast, tmp_path):
    file = tmp_path / "alice.zip"
    assert "alice@example.com is in" in await reception.export(config, cast.alice.email, file)
    assert file.stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(file) as archive:
        assert "profile.json" in archive.namelist()
    with pytest.raises(FileExistsError):
        await reception.export(config, cast.alice.email, file)
    assert await acts(db) == ["cli account.export"]


async def test_somebody_is_deleted_but_no_admin(db, config, cast):
    assert "bob@example.com is deleted" in await reception.delete(config, cast.bob.email, "asked for")
    assert await accounts.find(db, cast.bob.email) is None
    with pytest.raises(Refused, match="take the role away first"):
        await reception.delete(config, cast.carol.email, "asked for")


async def test_an_invitation_is_made_listed_and_revoked(db, config):
    link = await reception.invite(config, 2, 7, "for the club", "they asked")
    code = link.rpartition("=")[2]
    listed = (await reception.list_invitations(config))[0]
    assert ("for the club" in listed, code in listed, code[:4] in listed) == (True, False, True)
    await reception.revoke_invitation(config, await db.fetchval("select id from invitation"), "it leaked")
    assert "revoked" in (await reception.list_invitations(config))[0]
    why = await db.fetch("select action, after ->> 'reason' from audit where actor = 'cli' order by id")
    assert [tuple(row) for row in why] == [("invitation.create", "they asked"), ("invitation.revoke", "it leaked")]
