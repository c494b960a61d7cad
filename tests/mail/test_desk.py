"""`limner mail`: a test that really arrives, the outbox as lines, and a link whose showing is written down."""

from __future__ import annotations

import anyio
import pytest
from click.testing import CliRunner

from limner.actors import postman
from limner.runtime.cli import commands as cli
from limner.sql import audit, mails, notices, tickets

ALICE = "alice@example.com"


@pytest.fixture
def limner(config, tmp_path, monkeypatch):
    """Runs a command with this studio's settings; returns its exit code and what it said."""
    chosen = {
        "DATABASE_URL": config.dsn, "DATA_DIR": tmp_path, "SMTP_HOST": config.smtp_host, "SMTP_PORT": config.smtp_port,
        "SMTP_TLS": "none", "MAIL_FROM": config.mail_from, "PUBLIC_URL": config.public_url, "SECRET_KEY": "s" * 40,
    }  # fmt: skip

    async def run(*words: str, **settings: str) -> tuple[int, str]:
        environment = {f"LIMNER_{name}": str(value) for name, value in (chosen | settings).items()}
        done = await anyio.to_thread.run_sync(lambda: CliRunner(env=environment).invoke(cli.main, ["mail", *words]))
        return done.exit_code, done.output

    return run


async def test_a_test_mail_arrives(server, db, limner):
    assert await limner("test", ALICE) == (0, f"127.0.0.1 took it for {ALICE}: Mails from Limner arrive\n")
    assert server.got[0].recipients == [ALICE] and "mails go out" in server.got[0].part("plain")
    code, _ = await limner("test", ALICE, "--template", "renewal_invoice", "--language", "zh")
    assert code == 0 and "账单" in server.subjects[1]


async def test_what_the_server_says_to_a_test_mail_is_said(server, db, limner):
    server.refuse("RCPT", "550 5.1.1 nobody of that name")
    code, said = await limner("test", ALICE)
    assert (code, said) == (1, "limner: 550 5.1.1 nobody of that name\n")
    assert (await limner("test", "no address"))[1] == "limner: this is not an e-mail address\n"
    assert "no mail called 'nonsense'" in (await limner("test", ALICE, "--template", "nonsense"))[1]
    assert "LIMNER_SMTP_HOST is not set" in (await limner("test", ALICE, SMTP_HOST=""))[1]


async def test_the_outbox_and_its_links(server, db, config, cast, limner):
    ticket = await tickets.issue(db, cast.alice.id, "reset", minutes=60)
    await notices.mail(db, ALICE, "reset_password", details={"minutes": 60}, ticket_id=ticket)
    number = str(await db.fetchval("select id from notice"))
    code, said = await limner("list", SMTP_HOST="")
    assert code == 0 and "waiting" in said and "reset_password" in said and "(has a link)" in said
    secret = tickets.secret(ticket, config.secret_keys)
    assert secret not in said
    assert await limner("link", number) == (0, f"https://art.example/reset/{secret}\n")
    entry = (await audit.listing(db, count=1))[0]
    assert (entry.actor, entry.action, entry.subject) == ("cli", "mail.link_shown", ALICE)
    assert await limner("give-up", number) == (0, f"mail {number} will not be sent\n")
    assert "given up by cli" in (await limner("list", "--state", "failed"))[1]
    assert await limner("retry", number) == (0, f"mail {number} goes out in a moment\n")
    assert await postman.deliver(db, config) == 1
    assert await limner("link", number) == (1, "limner: This mail went out: its link is with whom it is for.\n")
    assert (await limner("retry", "12345"))[0] == 1
    assert (await limner("list", "--state", "waiting")) == (0, "no mails\n")


async def test_a_jam_counts_what_does_not_get_through(db):
    for number in range(7):
        await notices.mail(db, f"{number}@example.com", "test")
    await db.execute("update notice set created_at = now() - interval '16 minutes' where recipient < '2'")
    found = await mails.jam(db, 900)
    assert (found.waiting, found.failed, found.sent, found.is_refused) == (2, 0, 0, False) and 950 < found.oldest < 970
    await db.execute("update notice set failed_at = now(), attempts = 1 where recipient < '5'")
    assert (await mails.jam(db, 900)).is_refused
    await db.execute("update notice set attempts = 0")
    assert not (await mails.jam(db, 900)).is_refused  # nobody tried
