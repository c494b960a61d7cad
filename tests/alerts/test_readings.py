"""What processes find out for the watchman: a real certificate, the room on a real disk, a clock, and books read bit by bit."""

from __future__ import annotations

import asyncio
import ssl
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from limner.actors.inspector import CheckCertificate, Inspector
from limner.actors.watch import certificate
from limner.runtime.bus import Bus
from limner.runtime.machine import Machine
from limner.sql import books_checks, sightings
from tests.alerts.conftest import causes
from tests.alerts.drills import ordered, paid


def made(folder: Path, days: float, name: str = "localhost") -> Path:
    """A certificate that signs itself, with its key behind it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    end = datetime.now(UTC) + timedelta(days=days)
    signed = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(end - timedelta(days=90)).not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True).sign(key, hashes.SHA256())
    )  # fmt: skip
    file = folder / f"{name}-{days}.pem"
    plain = serialization.NoEncryption()
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    file.write_bytes(signed.public_bytes(serialization.Encoding.PEM) + secret)
    return file


async def looked_at(file: Path, *, known: bool = True) -> certificate.Certificate | None:
    """What a look at a server with this certificate says; ``known``: its authority is."""

    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(file)
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0, ssl=serving)
    trust = ssl.create_default_context(cafile=str(file) if known else None)
    async with server:
        return await certificate.look(f"https://localhost:{server.sockets[0].getsockname()[1]}", trust)


@pytest.mark.parametrize(("days", "name", "known", "expected"), [
    (5.5, "localhost", True, (5.5, "")), (-1, "localhost", True, (0, "has run out")),
    (30, "elsewhere.example", True, (0, "is for another name")),
])  # fmt: skip
async def test_a_certificate_is_read_as_a_browser_gets_it(tmp_path, days, name, known, expected):
    found = await looked_at(made(tmp_path, days, name), known=known)
    assert found is not None and found.words == expected[1] and abs(found.days - expected[0]) < 0.01


async def test_of_an_authority_of_ones_own_nothing_is_said(tmp_path):
    assert await looked_at(made(tmp_path, 5), known=False) is None


async def test_where_there_is_nothing_to_see_nothing_is_said():
    assert await certificate.look("http://localhost:8080") is None


async def test_a_certificate_that_nobody_can_read_any_more_is_not_fine_again(watched):
    """Closed to the outside, perhaps, and its days go by all the same."""
    config = watched.config.model_copy(update={"public_url": "https://127.0.0.1:1"})
    inspector = Inspector(watched.db, Bus(watched.db), watched.worker, config=config)
    await sightings.note(watched.db, "certificate", 5.4, "")
    assert causes(await watched.look()) == ["certificate"]
    await inspector.receive(CheckCertificate())
    await watched.db.execute("update alert_reading set read_at = now() - interval '4 days'")
    (alert,) = await watched.look()
    assert alert.words == "The certificate of https://art.example has 1 day left."
    inspector.config = config.model_copy(update={"public_url": "http://art.example"})
    await inspector.receive(CheckCertificate())
    assert await watched.look() == []


async def test_where_nobody_was_told_an_old_reading_is_not_believed(watched):
    await sightings.note(watched.db, "certificate", 5.4, "")
    await watched.db.execute("update alert_reading set read_at = now() - interval '4 days'")
    assert await watched.look() == []


async def test_a_process_tells_the_room_where_it_keeps_things_and_how_far_its_clock_is_off(watched, tmp_path):
    watched.worker.machine = Machine(tmp_path / "not there yet", clock=lambda: time.time() - 7)
    watched.worker.machine.compare(0, 0.5, 7.25)
    await watched.worker.beat()
    (told,) = await sightings.machines(watched.db, 15)
    assert told.path == str(tmp_path) and told.bytes and 0 <= (told.free or -1) <= 100
    assert told.clock == -7.0


def test_a_slow_answer_says_nothing_of_the_clock():
    machine = Machine()
    machine.compare(100, 130, 115)
    assert anyio.run(machine.report) is None


async def test_books_that_add_up_are_read_to_their_end_and_then_only_what_is_new(watched):
    await ordered(watched)
    first = await books_checks.look_at_recent(watched.db)
    newest = await watched.db.fetchval("select max(id) from ledger_entry")
    assert (first.broken, first.until_entry) == (0, newest)
    assert (await books_checks.look_at_all(watched.db)).broken == 0


@pytest.mark.parametrize(
    "rule, times", [(books_checks.OF_ACCOUNTS, 2), (books_checks.OF_JOBS, 3), (books_checks.OF_INVOICES, 1)]
)
def test_what_is_new_is_looked_at_by_the_rules_of_all_and_alone(rule, times):
    """Each part of a rule names its accounts, jobs or invoices: one that does not would read all of them each time."""
    assert rule.count("any($1::uuid[])") == times


async def test_what_is_broken_is_looked_at_until_it_is_mended(watched):
    await books_checks.look_at_recent(watched.db)
    await ordered(watched)
    job = await watched.db.fetchval("select id from job")
    await watched.db.execute("update job set state = 'delivered', finished_at = now() where id = $1", job)
    for _ in range(2):
        found = await books_checks.look_at_recent(watched.db)
        assert found.broken == 1 and found.cases[0].startswith(f"{job}: delivered, with 0 pictures")
    await watched.db.execute("update job set state = 'queued', finished_at = null where id = $1", job)
    assert (await books_checks.look_at_recent(watched.db)).broken == 0


async def test_what_nobody_mends_keeps_nobody_from_reading_on(watched):
    await books_checks.look_at_recent(watched.db)
    await ordered(watched)
    first = await watched.db.fetchval("select id from job")
    await watched.db.execute("update job set state = 'delivered', finished_at = now() where id = $1", first)
    assert (await books_checks.look_at_recent(watched.db)).broken == 1
    second = await ordered(watched)
    await watched.db.execute("update job set state = 'delivered', finished_at = now() where id = $1", second)
    found = await books_checks.look_at_recent(watched.db)
    newest = await watched.db.fetchval("select max(id) from ledger_entry")
    assert (found.broken, found.until_entry) == (2, newest)
    await watched.db.execute("update books_check set until_entry = until_entry + 100000")  # far behind them
    assert set(found.again["jobs"]) == {str(first), str(second)}
    assert (await books_checks.look_at_recent(watched.db)).broken == 2
    await watched.db.execute("update job set state = 'queued', finished_at = null")
    assert (await books_checks.look_at_recent(watched.db)).broken == 0


async def test_a_paid_invoice_without_its_credits_is_found(watched):
    await paid(watched)
    assert "paid, with 0 grants" in (await books_checks.look_at_recent(watched.db)).cases[0]
