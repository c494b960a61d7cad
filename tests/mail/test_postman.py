"""The postman: each mail once, what is refused fails, what is put off comes back, and nobody waits for another."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import anyio
import pytest
from pydantic import SecretStr

from limner.actors import postman
from limner.actors.mail.server import Away
from limner.runtime.errors import Busy, Hopeless
from limner.sql import deliveries, mails, notices, tickets
from tests.mail.conftest import sending
from tests.upstreams.smtp import PASSWORD, mail_server

AT = "2026-12-05T14:00:00+00:00"
ALICE, BOB = "alice@example.com", "bob@example.com"


async def queue(db, *recipients: str, template: str = "totp_on") -> None:
    for recipient in recipients:
        await notices.mail(db, recipient, template, details={"at": AT, "path": "/account"})


async def states(db) -> dict[str, str]:
    """What became of everybody's mail, and why."""
    rows = await db.fetch("select recipient, sent_at, failed_at, error, attempts from notice order by id")
    return {
        row["recipient"]: "sent" if row["sent_at"] else f"failed: {row['error']}" if row["failed_at"]
        else f"waits: {row['error']}" if row["error"] else "waits"
        for row in rows
    }  # fmt: skip


async def all_due(db) -> None:
    await db.execute("update notice set next_at = now()")


async def test_a_mail_goes_out_once_with_its_words_and_its_headers(server, db, config, cast):
    ticket = await tickets.issue(db, cast.alice.id, "reset", minutes=60)
    await notices.mail(db, ALICE, "reset_password", locale="ru", details={"minutes": 60}, ticket_id=ticket)
    assert await postman.deliver(db, config) == 1
    assert await postman.deliver(db, config) == 0
    [mail] = server.got
    link = f"https://art.example/reset/{tickets.secret(ticket, config.secret_keys)}"
    assert mail.sender == "studio@art.example" and mail.recipients == [ALICE]
    assert mail.message["From"] == "Limner <studio@art.example>" and mail.message["To"] == ALICE
    assert mail.message["Subject"] == "Выберите новый пароль" and mail.message["Auto-Submitted"] == "auto-generated"
    assert mail.message["Date"] and mail.message["Message-ID"].endswith("@art.example>")
    assert link in mail.part("plain") and f'href="{link}"' in mail.part("html")
    assert await states(db) == {ALICE: "sent"}


async def test_a_link_from_a_mail_works(server, db, config, cast):
    ticket = await tickets.issue(db, cast.alice.id, "verify", minutes=60)
    await notices.mail(db, ALICE, "verify_email", details={"hours": 24}, ticket_id=ticket)
    await postman.deliver(db, config)
    secret = server.got[0].part("plain").split("https://art.example/verify/")[1].split()[0]
    assert (await tickets.use(db, secret, "verify", config.secret_keys)).account_id == cast.alice.id


async def test_many_postmen_send_each_once(server, db, config):
    await queue(db, *[f"{number}@example.com" for number in range(30)])
    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(postman.deliver, db, config)
    recipients = [mail.recipients[0] for mail in server.got]
    assert len(recipients) == 30 == len(set(recipients)) and set((await states(db)).values()) == {"sent"}


async def test_one_connection_carries_many(server, db, config):
    await queue(db, ALICE, BOB, "carol@example.com")
    await postman.deliver(db, config)
    assert (server.connections, len(server.got)) == (1, 3)


@pytest.mark.parametrize("stage", ["RCPT", "DATA"])
async def test_what_is_refused_for_good_fails_with_its_reason_and_holds_up_nobody(server, db, config, stage):
    await queue(db, ALICE, BOB)
    server.refuse(stage, "550 5.1.1 nobody of that name", ALICE)
    assert await postman.deliver(db, config) == 1
    assert await states(db) == {ALICE: "failed: 550 5.1.1 nobody of that name", BOB: "sent"}
    await all_due(db)
    assert await postman.deliver(db, config) == 0 and len(server.of(ALICE)) == 0


@pytest.mark.parametrize("stage", ["RCPT", "DATA"])
async def test_what_is_put_off_comes_back_in_its_own_time_and_holds_up_nobody(server, db, config, stage):
    await queue(db, ALICE, BOB)
    server.refuse(stage, "451 4.7.1 greylisted", ALICE, times=2)
    assert await postman.deliver(db, config) == 1
    assert await states(db) == {ALICE: "waits: 451 4.7.1 greylisted", BOB: "sent"}
    assert await postman.deliver(db, config) == 0  # not yet
    due = await db.fetchval("select extract(epoch from next_at - now()) from notice where recipient = $1", ALICE)
    assert 50 < due <= 60
    await all_due(db)
    await postman.deliver(db, config)
    due = await db.fetchval("select extract(epoch from next_at - now()) from notice where recipient = $1", ALICE)
    assert 110 < due <= 120
    await all_due(db)
    assert await postman.deliver(db, config) == 1 and await states(db) == {ALICE: "sent", BOB: "sent"}


def test_pauses_grow_and_have_an_end():
    assert [postman.pause(attempt) for attempt in (1, 2, 3, 9, 10, 1000)] == [60, 120, 240, 14400, 14400, 14400]


async def test_what_is_put_off_for_days_is_given_up(server, db, config):
    await queue(db, ALICE, BOB)
    await db.execute("update notice set created_at = now() - interval '4 days'")
    await db.execute("update notice set attempts = 9 where recipient = $1", ALICE)
    server.refuse("RCPT", "452 4.2.2 mailbox full")
    await postman.deliver(db, config)
    assert await states(db) == {ALICE: "failed: 452 4.2.2 mailbox full", BOB: "waits: 452 4.2.2 mailbox full"}


@pytest.mark.parametrize(
    ("stage", "answer"),
    [
        ("connect", "554 5.3.2 closed"), ("connect", "drop"), ("MAIL", "553 5.7.1 not yours"),
        ("MAIL", "421 4.3.2 shutting down"), ("RCPT", "421 too many"), ("MAIL", "drop"), ("RCPT", "drop"), ("DATA", "drop"),
    ],
)  # fmt: skip
async def test_troubles_of_the_server_lose_no_mail(server, db, config, stage, answer):
    await queue(db, ALICE, BOB)
    server.refuse(stage, answer)
    with pytest.raises(Away):
        await postman.deliver(db, config)
    assert not [state for state in (await states(db)).values() if not state.startswith("waits")]
    assert server.got == []
    server.be_well()
    await all_due(db)
    assert await postman.deliver(db, config) == 2


async def test_a_mail_that_the_server_chokes_on_holds_up_nobody(server, db, config):
    await queue(db, ALICE, BOB)
    server.refuse("DATA", "drop", ALICE)
    with pytest.raises(Away):
        await postman.deliver(db, config)
    assert await postman.deliver(db, config) == 1
    assert (await states(db))[BOB] == "sent" and (await states(db))[ALICE].startswith("waits: ")


async def test_a_server_that_cannot_be_reached_costs_no_mail_an_attempt(db, config):
    await queue(db, ALICE)
    with pytest.raises(Busy, match="cannot be reached"):
        await postman.deliver(db, config.model_copy(update={"smtp_port": 1}))
    assert await db.fetchrow("select attempts, next_at from notice") == (0, None)


async def test_a_server_that_does_not_answer_is_left(server, db, config):
    await queue(db, ALICE)
    server.hold()
    with pytest.raises(Away):
        await postman.deliver(db, config.model_copy(update={"smtp_timeout": 0.2}))
    server.go_on()
    assert (await states(db))[ALICE].startswith("waits: the mail server cannot be reached")


async def test_nobody_takes_a_mail_that_is_on_its_way(server, db, config):
    await queue(db, ALICE)
    server.hold()
    async with anyio.create_task_group() as group:
        group.start_soon(postman.deliver, db, config)
        await server.reached.wait()
        assert await postman.deliver(db, config) == 0
        server.go_on()
    assert len(server.got) == 1


KILLED = """
import asyncio, sys
from limner.actors import postman
from limner.runtime.config import Config
from limner.runtime.opening import open_database

async def main():
    config = Config.load()
    async with open_database(config.dsn, role="test", pool=2) as db:
        await postman.deliver(db, config)

asyncio.run(main())
"""


async def test_a_postman_killed_after_the_servers_yes_sends_twice_and_both_say_that_they_are_one(
    server, db, config, tmp_path
):
    """The one window that is left: nobody can hold a mail server and a database to the same moment."""
    await queue(db, ALICE)
    env = {name: os.environ[name] for name in ("PATH",)} | {
        "LIMNER_DATABASE_URL": config.dsn, "LIMNER_DATA_DIR": str(tmp_path), "LIMNER_SMTP_HOST": "127.0.0.1",
        "LIMNER_SMTP_PORT": str(server.port), "LIMNER_SMTP_TLS": "none", "LIMNER_MAIL_FROM": "studio@art.example",
    }  # fmt: skip
    child = subprocess.Popen([sys.executable, "-P", "-c", KILLED], env=env, stderr=subprocess.PIPE)
    server.at_content = lambda: os.kill(child.pid, signal.SIGKILL)
    _, said = await anyio.to_thread.run_sync(child.communicate)
    assert child.returncode == -signal.SIGKILL, said
    assert await states(db) == {ALICE: "waits"}
    assert await postman.deliver(db, config) == 0  # it may still be on its way
    server.at_content = None
    await all_due(db)
    assert await postman.deliver(db, config) == 1
    first, second = server.got
    assert first.message["Message-ID"] == second.message["Message-ID"] and await states(db) == {ALICE: "sent"}


async def test_whoever_comes_late_changes_nothing(server, db, config):
    await queue(db, ALICE)
    slow = await mails.take(db, 0)
    quick = await mails.take(db, 60)
    assert slow and quick and slow.id == quick.id
    await deliveries.failed(db, slow, "late news")
    await mails.postpone(db, slow, 1, "late news")
    assert not await deliveries.sent(db, slow) and await states(db) == {ALICE: "waits"}
    assert await deliveries.sent(db, quick) and await states(db) == {ALICE: "sent"}


@pytest.mark.parametrize(
    ("ending", "why"),
    [
        ("update ticket set used_at = now()", "its link was used, or replaced by a newer one"),
        ("update ticket set expires_at = now()", "its link has expired"),
        ("delete from ticket", "its link is gone"),
    ],
)
async def test_a_mail_whose_link_is_of_no_use_any_more_is_not_sent(server, db, config, cast, ending, why):
    ticket = await tickets.issue(db, cast.alice.id, "reset", minutes=60)
    await notices.mail(db, ALICE, "reset_password", details={"minutes": 60}, ticket_id=ticket)
    await db.execute(ending)
    assert await postman.deliver(db, config) == 0
    assert await states(db) == {ALICE: f"failed: {why}"} and server.got == []


async def test_a_link_that_ends_while_others_go_out_is_not_sent_either(server, db, config, cast):
    ticket = await tickets.issue(db, cast.alice.id, "reset", minutes=60)
    await notices.mail(db, ALICE, "reset_password", details={"minutes": 60}, ticket_id=ticket)
    mail = await mails.take(db, 0)
    await db.execute("update ticket set used_at = now()")
    again = await mails.take(db, 0)
    assert mail and again and postman.written(mail, config).subject == "Choose a new password"
    with pytest.raises(Hopeless, match="used, or replaced by a newer one"):
        postman.written(again, config)


async def test_a_mail_that_cannot_be_written_fails_and_holds_up_nobody(server, db, config, cast):
    ticket = await tickets.issue(db, cast.alice.id, "nonsense", minutes=60)
    await notices.mail(db, ALICE, "nonsense")
    await notices.mail(db, "a@example.com", "verify_email", details={"hours": 1}, ticket_id=ticket)
    await queue(
        db, BOB, "two@example.com,eve@evil.example", "Eve\r\nBcc: x@y.z <a@b.c>", "no@\udcffdomain" * 0 + "no-at"
    )
    assert await postman.deliver(db, config) == 1
    found = await states(db)
    assert found[ALICE] == "failed: there is no mail called 'nonsense'" and found[BOB] == "sent"
    assert found["a@example.com"] == "failed: nobody knows where the link of a ticket for nonsense leads"
    others = {state for who, state in found.items() if who not in (ALICE, BOB, "a@example.com")}
    assert others == {"failed: this is not an e-mail address"}


async def test_addresses_of_every_script_are_written_to(server, db, config):
    await queue(db, "алиса@пример.example", "bob@bücher.example")
    assert await postman.deliver(db, config) == 2
    assert [mail.recipients for mail in server.got] == [
        ["алиса@xn--e1afmkfd.example"], ["bob@xn--bcher-kva.example"],
    ]  # fmt: skip


async def test_without_a_mail_server_mails_wait_and_telegram_goes_on(db, config):
    await queue(db, ALICE)
    assert await postman.deliver(db, config.model_copy(update={"smtp_host": None})) == 0
    assert await states(db) == {ALICE: "waits"}


async def test_the_password_is_nowhere_to_be_read(server, db, dsn, tmp_path, capsys):
    async with mail_server(auth=True) as strict:
        wrong = sending(dsn, tmp_path, strict.port, smtp_user="studio", smtp_password=SecretStr(PASSWORD + "-no"))
        await queue(db, ALICE)
        with pytest.raises(Away, match="535") as refused:
            await postman.deliver(db, wrong)
        right = wrong.model_copy(update={"smtp_password": SecretStr(PASSWORD)})
        assert await postman.deliver(db, right) == 1 and strict.got[0].user == "studio"
    said = capsys.readouterr()
    rows = str(await db.fetch("select * from notice"))
    assert PASSWORD not in f"{refused.value!r} {refused.value.__cause__!r} {said.out} {said.err} {rows} {wrong!r}"
