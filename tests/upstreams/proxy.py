"""A stand-in for a proxy: http, https or socks5; it tunnels, and can be told to hang, to refuse or to want a password."""

from __future__ import annotations

import asyncio
import atexit
import base64
import contextlib
import functools
import shutil
import ssl
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


@dataclass
class FakeProxy:
    """``asked``: what was asked for; ``carried``: the local ports of tunnels, as the upstream sees its peers."""

    act: str = "carry"
    login: str = ""
    scheme: str = "http"
    port: int = 0
    asked: list[str] = field(default_factory=list)
    carried: list[int] = field(default_factory=list)

    def url(self, login: str = "") -> str:
        return f"{self.scheme}://{login + '@' if login else ''}127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            if self.scheme == "socks5":
                return await self._serve_socks(reader, writer)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            self.asked.append(head.splitlines()[0])
            if self.act == "hang":
                await reader.read()
            elif self.login and base64.b64encode(self.login.encode()).decode() not in head:
                writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            elif self.act == "refuse":
                writer.write(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n")
            elif self.act == "reach nobody":
                writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            else:
                yes = b"HTTP/1.1 200 Connection established\r\n\r\n"
                await self._tunnel(head.split()[1], reader, writer, yes)
        with contextlib.suppress(ConnectionError):
            writer.close()

    async def _serve_socks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """RFC 1928 and 1929, as far as a client such as ours goes."""
        await reader.readexactly((await reader.readexactly(2))[1])
        if self.act == "hang":
            self.asked.append("socks5")
            await reader.read()
        writer.write(b"\x05\x02" if self.login else b"\x05\x00")
        if self.login:
            user = await reader.readexactly((await reader.readexactly(2))[1])
            password = await reader.readexactly((await reader.readexactly(1))[0])
            is_right = f"{user.decode()}:{password.decode()}" == self.login
            writer.write(b"\x01\x00" if is_right else b"\x01\x01")
            if not is_right:
                return writer.close()
        _, _, _, kind = await reader.readexactly(4)
        name = await reader.readexactly((await reader.readexactly(1))[0] if kind == 3 else 4)
        host = name.decode() if kind == 3 else ".".join(map(str, name))
        target = f"{host}:{int.from_bytes(await reader.readexactly(2), 'big')}"
        self.asked.append(f"CONNECT {target}")
        if self.act in ("refuse", "reach nobody"):
            writer.write((b"\x05\x01" if self.act == "refuse" else b"\x05\x04") + b"\x00\x01" + bytes(6))
            return writer.close()
        await self._tunnel(target, reader, writer, b"\x05\x00\x00\x01" + bytes(6))

    async def _tunnel(
        self, target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, yes: bytes
    ) -> None:
        host, _, port = target.rpartition(":")
        there, back = await asyncio.open_connection(host, int(port))
        self.carried.append(back.get_extra_info("sockname")[1])
        writer.write(yes)
        await asyncio.wait(
            [asyncio.ensure_future(_pump(reader, back)), asyncio.ensure_future(_pump(there, writer))],
            return_when=asyncio.FIRST_COMPLETED,
        )
        back.close()


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()


@contextlib.asynccontextmanager
async def fake_proxy(act: str = "carry", *, login: str = "", scheme: str = "http") -> AsyncIterator[FakeProxy]:
    """One of ``scheme`` "https" shows the certificate of ``tls()``."""
    proxy = FakeProxy(act, login, scheme)
    secure = _server_side() if scheme == "https" else None
    server = await asyncio.start_server(proxy._serve, "127.0.0.1", 0, ssl=secure)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()


def _server_side() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tls())
    return context


@functools.cache
def tls() -> Path:
    """A file with a certificate for 127.0.0.1, made for this run and signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a proxy")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True).sign(key, hashes.SHA256())
    )  # fmt: skip
    bare = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = Path(tempfile.mkdtemp(prefix="limner-test-")) / "proxy.pem"
    atexit.register(shutil.rmtree, path.parent, ignore_errors=True)
    path.write_bytes(made.public_bytes(Encoding.PEM) + bare)
    return path


@contextlib.asynccontextmanager
async def front_door(port: int, *, with_tls: bool = False) -> AsyncIterator[tuple[int, list[int]]]:
    """What stands before an upstream and writes down from which port each connection came: (its port, peers)."""
    secure = _server_side() if with_tls else None
    peers: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(writer.get_extra_info("peername")[1])
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.wait(
            [asyncio.ensure_future(_pump(reader, back)), asyncio.ensure_future(_pump(there, writer))],
            return_when=asyncio.FIRST_COMPLETED,
        )
        back.close()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=secure)
    try:
        yield server.sockets[0].getsockname()[1], peers
    finally:
        server.close()
