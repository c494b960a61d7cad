"""A database elsewhere, its certificate checked: a wrong authority and a wrong name are refused, by roles and by migrations."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from limner.runtime.opening import open_database
from limner.sql import schema
from tests.conftest import address

SSL_REQUEST = 80877103
Way = Callable[..., str]
"""The address of the test's database by way of TLS; ``host`` as it is called, ``ca`` whom one believes."""


@pytest.fixture
async def way(dsn: str, tmp_path: Path) -> AsyncIterator[Way]:
    """Postgres behind a certificate for `localhost`, from an authority of its own."""
    (sockets,) = parse_qs(urlsplit(dsn).query)["host"]
    for name in ("ours", "stranger"):
        issue(tmp_path, name)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(tmp_path / "ours.pem", tmp_path / "ours.key")
    open_ones: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_ones.add(asyncio.current_task())  # type: ignore[arg-type]
        with contextlib.suppress(OSError, asyncio.IncompleteReadError), contextlib.closing(writer):
            while struct.unpack("!ii", await reader.readexactly(8))[1] != SSL_REQUEST:
                writer.write(b"N")  # it would have been GSSAPI
            writer.write(b"S")
            await writer.start_tls(server)
            inner_reader, inner_writer = await asyncio.open_unix_connection(f"{sockets}/.s.PGSQL.5432")
            with contextlib.closing(inner_writer):
                both = [asyncio.create_task(pump(*ends)) for ends in ((reader, inner_writer), (inner_reader, writer))]
                try:
                    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for each in both:
                        each.cancel()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]

    def by(database: str, *, host: str = "localhost", ca: str = "ours", mode: str = "verify-full") -> str:
        return f"postgresql://limner@{host}:{port}/{database}?sslmode={mode}&sslrootcert={tmp_path}/{ca}.pem"

    yield by
    listening.close()
    for task in open_ones:
        task.cancel()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(65536):
        writer.write(piece)
        await writer.drain()


def issue(folder: Path, name: str) -> None:
    """A certificate for `localhost` that is its own authority, as NAME.pem and NAME.key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def database_of(dsn: str) -> str:
    return urlsplit(dsn).path.lstrip("/")


async def test_a_role_reaches_a_database_whose_certificate_is_right(way: Way, dsn: str) -> None:
    async with open_database(way(database_of(dsn)), role="test", pool=2) as db:
        assert await schema.current(db) == schema.head()


WRONG = [{"ca": "stranger"}, {"host": "127.0.0.1"}]


@pytest.mark.parametrize("wrong", WRONG)
async def test_a_role_refuses_a_wrong_authority_and_a_wrong_name(way: Way, dsn: str, wrong: dict[str, str]) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        async with open_database(way(database_of(dsn), **wrong), role="test", pool=2):
            pass


@pytest.mark.parametrize("wrong", WRONG)
async def test_require_believes_anybody(way: Way, dsn: str, wrong: dict[str, str]) -> None:
    """Why the page asks for verify-full."""
    loose = way(database_of(dsn), **wrong, mode="require").partition("&sslrootcert")[0]
    async with open_database(loose, role="test", pool=2) as db:
        assert await db.fetchval("select 1") == 1


@pytest.mark.parametrize("wrong", WRONG)
async def test_migrations_refuse_them_too(way: Way, empty: str, wrong: dict[str, str]) -> None:
    with pytest.raises(schema.SchemaError, match="certificate"):
        await schema.migrate(way(empty, **wrong), patience=0.5)


async def test_migrations_go_all_the_way_through_tls(way: Way, empty: str) -> None:
    assert await schema.migrate(way(empty)) == (0, schema.head())


@pytest.fixture
async def empty(postgres: str, dsn: str) -> AsyncIterator[str]:
    """A database without anything in it; its name."""
    name = f"{database_of(dsn)}_empty"
    boss = await asyncpg.connect(address(postgres, "limner"))
    await boss.execute(f'create database "{name}"')
    yield name
    await boss.execute(f'drop database "{name}" with (force)')
    await boss.close()
