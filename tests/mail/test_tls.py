"""TLS with the mail server: what the settings ask for, or nothing at all; and the password only over that."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from limner.actors import postman
from limner.actors.mail.server import Away
from limner.sql import notices
from tests.mail.conftest import sending
from tests.upstreams.smtp import PASSWORD, USER, mail_server


@pytest.fixture
def context(tmp_path: Path) -> ssl.SSLContext:
    """A server's side, with a certificate for localhost that signs itself; it stands in certificate.pem."""
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]),
    )
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = serialization.Encoding.PEM
    (tmp_path / "certificate.pem").write_bytes(certificate.public_bytes(pem))
    no_password = serialization.NoEncryption()
    (tmp_path / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, no_password))
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
    return made


def signed_in(dsn, folder, port, tls):
    return sending(
        dsn, folder, port, smtp_host="localhost", smtp_tls=tls, smtp_user=USER, smtp_password=SecretStr(PASSWORD)
    )


@pytest.mark.parametrize("tls", ["starttls", "tls"])
async def test_a_server_with_a_good_certificate_gets_mails_over_tls(db, dsn, tmp_path, context, monkeypatch, tls):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    await notices.queue(db, "mail", "alice@example.com", "hello")
    async with mail_server(tls, context=context, auth=True) as fake:
        assert await postman.deliver(db, signed_in(dsn, tmp_path, fake.port, tls)) == 1
        assert fake.got[0].was_tls and fake.got[0].user == USER


@pytest.mark.parametrize("tls", ["starttls", "tls"])
async def test_a_certificate_that_nobody_vouches_for_gets_neither_password_nor_mail(db, dsn, tmp_path, context, tls):
    await notices.queue(db, "mail", "alice@example.com", "hello")
    async with mail_server(tls, context=context, auth=True) as fake:
        with pytest.raises(Away, match=r"(?i)certificate"):
            await postman.deliver(db, signed_in(dsn, tmp_path, fake.port, tls))
        assert not [stage for stage, _ in fake.said if stage in ("AUTH", "MAIL", "RCPT")]


async def test_a_server_that_forgot_its_starttls_gets_neither_password_nor_mail(db, dsn, tmp_path):
    """So does whoever sits in between and takes the word STARTTLS away."""
    await notices.queue(db, "mail", "alice@example.com", "hello")
    async with mail_server(auth=True) as fake:
        with pytest.raises(Away, match=r"(?i)starttls"):
            await postman.deliver(db, signed_in(dsn, tmp_path, fake.port, "starttls"))
        assert not [stage for stage, _ in fake.said if stage in ("AUTH", "MAIL", "RCPT")]
