"""The other ways to stand Caddy up: with your own certificate, and behind another proxy."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.deploy.conftest import SITE, in_front, unverified

BEHIND = "deploy/caddy/behind-a-proxy.caddy"


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A folder with fullchain.pem and privkey.pem, made for this test."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ours alone")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(SITE)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path / "certificates"
    folder.mkdir()
    (folder / "fullchain.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "privkey.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder


async def test_your_own_certificate_is_the_one_that_visitors_see(tmp_path: Path, certificate: Path) -> None:
    tls = f"{certificate}/fullchain.pem {certificate}/privkey.pem"
    async with in_front(tmp_path, TLS=tls) as front:
        _, writer = await asyncio.open_connection("127.0.0.1", front.https, ssl=unverified(), server_hostname=SITE)
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
    assert shown == ssl.PEM_cert_to_DER_cert((certificate / "fullchain.pem").read_text())


async def test_behind_a_proxy_it_is_plain_http_and_still_guarded(tmp_path: Path) -> None:
    async with in_front(tmp_path, is_secure=False, FRONT=BEHIND, PROXIES="private_ranges") as front:
        async with front.ask("GET", "/metrics") as answer:
            assert answer.status == 404
            assert answer.headers["X-Frame-Options"] == "DENY"
        async with front.session.get(f"http://127.0.0.1:{front.http}/", headers={"Host": "evil.example"}) as answer:
            assert answer.status == 421
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", front.https)


@pytest.mark.parametrize(
    ("proxies", "said", "seen"),
    [
        ("private_ranges", "203.0.113.9", "203.0.113.9"),
        ("private_ranges", "6.6.6.6, 203.0.113.9", "203.0.113.9"),  # the first is what the visitor made up
        ("private_ranges", "203.0.113.9, 10.1.2.3", "203.0.113.9"),  # two proxies of ours in a row
        ("192.0.2.1", "203.0.113.9", "127.0.0.1"),  # who asks is no proxy of ours
    ],
)
async def test_behind_a_proxy_the_visitor_is_who_the_proxy_says(
    tmp_path: Path, proxies: str, said: str, seen: str
) -> None:
    async with in_front(tmp_path, is_secure=False, FRONT=BEHIND, PROXIES=proxies) as front:
        async with front.ask("GET", "/", headers={"X-Forwarded-For": said}) as answer:
            headers = (await answer.json())["headers"]
    assert headers["x-forwarded-for"] == seen  # all of it: the studio believes the last entry
    assert "x-real-ip" not in headers
