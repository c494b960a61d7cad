"""A studio in good health, with everything that stands around it: for the doctor's tests to make ill, one thing at a time."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from limner.actors.doctor import examination
from limner.actors.doctor.compose import Compose
from limner.actors.doctor.patient import Patient
from limner.actors.generator import Generator
from limner.runtime import embedded, installation
from limner.runtime.config import Config
from limner.runtime.lull import Lull
from limner.runtime.opening import open_database
from limner.runtime.report import Line
from limner.runtime.storage import open_storage
from limner.runtime.testing import alone, deliver_all
from limner.runtime.vault import Vault
from limner.sql import accounts, generations, keys, schema, seeds, vaults
from limner.sql.generations import Order
from limner.sql.models import Size
from tests.conftest import VAULT_KEYS, settings
from tests.upstreams.smtp import PASSWORD, USER, FakeMailServer, mail_server
from tests.upstreams.telegram import TOKEN, FakeTelegram

ROOT = Path(__file__).parents[2]
DIGEST = "@sha256:" + "0123456789abcdef" * 4
SECRET_KEY = "kJ8vQ2mZ5rT1xW4yB7nC3pL6sD9fG0hA-session"
PROMPT = "a walrus that plays the canary-yellow tuba"
PAINTERS_KEY = "canary-of-the-painter-0123456789abcdef"
PROC = {
    "meminfo": "MemTotal: 4000000 kB\nMemAvailable: 2000000 kB\nSwapFree: 1000000 kB\n",
    "loadavg": "0.50 0.60 0.70 1/200 4711\n",
    "vmstat": "pgfault 12\noom_kill 0\n",
    "sys/kernel/osrelease": "6.1.0-test\n",
    "sys/kernel/random/entropy_avail": "256\n",
    "net/route": "Iface\tDestination\tGateway\neth0\t00000000\t0100000A\n",
}
CGROUP = {
    "cgroup.controllers": "cpu memory pids\n",
    "memory.events": "oom 0\noom_kill 0\n",
    "memory.max": "1000000000\n",
    "memory.current": "950000000\n",
    "memory.stat": "anon 400000000\ninactive_file 500000000\n",
    "pids.max": "256\n",
    "pids.current": "40\n",
}


# The database: a durable one, as the all-in-one has it.


@dataclass(frozen=True)
class Clinic:
    """What all studios share: a database with one painted picture, and certificates."""

    dsn: str
    data: Path
    authority: Authority


@contextlib.contextmanager
def postgres(data: Path, prepare: Callable[[Path], None] | None = None) -> Iterator[str]:
    """A durable embedded Postgres in a data folder; ``prepare`` is given its cluster before the start."""
    config = Config(data_dir=data)
    place = embedded.prepare(config)
    if prepare is not None:
        prepare(place.cluster)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LIMNER_")}
    environment |= {"PYTHONSAFEPATH": "1", "LIMNER_DATA_DIR": str(data)}
    if "LIMNER_PG_BIN" in os.environ:
        environment["LIMNER_PG_BIN"] = os.environ["LIMNER_PG_BIN"]
    with (data / "postgres.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "limner.runtime.cli", "postgres"], env=environment, stdout=log, stderr=log,
            preexec_fn=embedded.die_with_parent(signal.SIGQUIT),
        )  # fmt: skip
    try:
        asyncio.run(_answering(config.dsn, server, data / "postgres.log"))
        yield config.dsn
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)


async def _answering(dsn: str, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and server.poll() is None:
        with contextlib.suppress(OSError, asyncpg.PostgresError):
            await (await asyncpg.connect(dsn, timeout=5)).close()
            return
        await asyncio.sleep(0.05)
    raise AssertionError(log.read_text(errors="replace")[-2000:])


@contextlib.contextmanager
def reachable() -> Iterator[Path]:
    """A data folder that the unprivileged user of Postgres can enter."""
    with tempfile.TemporaryDirectory(prefix="limner-test-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        data = Path(folder) / "var"
        data.mkdir()
        yield data


CLINIC = pytest.StashKey["Clinic"]()


@pytest.fixture(scope="session")
def clinic(request: pytest.FixtureRequest) -> Clinic:
    """One for all modules of this test process, though each of them imports the fixture."""
    if CLINIC not in request.config.stash:
        stack = contextlib.ExitStack()
        request.config.add_cleanup(stack.close)
        data = stack.enter_context(reachable())
        dsn = stack.enter_context(postgres(data))
        asyncio.run(furnish(dsn, data))
        request.config.stash[CLINIC] = Clinic(dsn, data, Authority())
    return request.config.stash[CLINIC]


async def furnish(dsn: str, data: Path) -> None:
    """A schema, the cast, a painted picture, a key of a painter outside, and what a running studio leaves behind."""
    await schema.migrate(dsn)
    config = settings(dsn, data)
    async with open_database(dsn, role="test", pool=4) as db:
        await seeds.sow(db, config)
        await vaults.admit(db, config)
        await keys.add(db, Vault.from_config(config), "simulator", "brush", "simulated-1", actor="test", switch="ok")
        await keys.add(db, Vault.from_config(config), "openai", "first", PAINTERS_KEY, actor="test")
        alice = await accounts.find(db, "alice@example.com")
        assert alice is not None
        await generations.order(db, Order(alice.id, PROMPT, "simulator", Size(512, 512), 1), deadline=120)
        async with open_storage(config) as storage:
            painter = alone(db, Generator, config=config, storage=storage, vault=Vault.from_config(config), lull=Lull())
            assert await deliver_all(painter) == 1
        await db.execute(ALIVE, json.dumps([{"name": "Generator", "state": "running"}]))
        for statement in LEFT_BEHIND:
            await db.execute(statement)


ALIVE = """
insert into worker (id, role, host, pid, children)
select gen_random_uuid(), role, 'test', 1, $1::text::jsonb from unnest(array['web', 'worker']) as role
"""
LEFT_BEHIND = (
    "delete from worker where role = 'test'",
    """
    insert into worker (id, role, host, pid, children) values (gen_random_uuid(), 'bot', 'test', 1,
        jsonb_build_array(jsonb_build_object('name', 'poller', 'state', 'polling', 'last_ok', extract(epoch from now()))))
    """,
    "insert into schedule (name, last_at) values ('look around', now())",
    "insert into telegram_admin (telegram_id, name) values (7, 'Carol')",
    """
    insert into backup_run (kind, state, name, bytes, ended_at)
    select kind, 'done', '2026-11-23T0400Z-abcd', 1000000, now() from unnest(array['backup', 'drill']) as kind
    """,
)
FRESH = (
    "update worker set seen_at = now()",
    "update worker set children = jsonb_set(children, '{0,last_ok}', to_jsonb(extract(epoch from now()))) where role = 'bot'",
    "update schedule set last_at = now()",
    "update backup_run set ended_at = now()",
)


# What stands outside.


class Authority:
    """A certificate authority of our own."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "The tests' authority")])
        self.certificate = self._sign(self._name, self._key, days=30, is_authority=True)

    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, folder: Path, *, days: float = 60, host: str = "localhost") -> ssl.SSLContext:
        """A server's context with a certificate for a host."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        certificate = self._sign(name, key, days=days, host=host)
        path = folder / f"{host}-{days}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _sign(
        self,
        name: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        *,
        days: float,
        host: str = "",
        is_authority: bool = False,
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        built = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=40))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        )
        if host:
            names: list[x509.GeneralName] = [x509.DNSName(host), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            built = built.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return built.sign(self._key, hashes.SHA256())


@dataclass
class World:
    """The site behind Caddy, the door for plain http, a painter, two processors, a mail server, and Telegram.

    The fields are what they do.
    """

    hides: bool = True
    redirects: bool = True
    hsts: str = "max-age=31536000; includeSubDomains"
    skew: float = 0.0
    """Seconds that the painter's and Telegram's clocks are ahead."""
    telegram: FakeTelegram = field(default_factory=lambda: Telegram())
    mail: FakeMailServer = field(default_factory=FakeMailServer)
    site: str = ""
    plain: int = 0
    painter: str = ""
    till: str = ""
    """Where both processors are."""
    refuses: str = ""
    """In the path of whom our key is not taken."""

    async def behind_caddy(self, request: web.Request) -> web.Response:
        status = 404 if self.hides and request.path != "/" else 200
        return web.Response(status=status, headers={"Strict-Transport-Security": self.hsts} if self.hsts else {})

    async def by_http(self, _: web.Request) -> web.Response:
        return web.Response(status=308, headers={"Location": self.site}) if self.redirects else web.Response()

    async def paints(self, _: web.Request) -> web.Response:
        return web.Response(status=401)

    async def takes_keys(self, request: web.Request) -> web.Response:
        if not request.headers.get("Authorization") or (self.refuses and self.refuses in request.path):
            return web.Response(status=401)
        return web.json_response([] if "stores" in request.path else {"data": []})

    async def tells_time(self, _: web.Request, answer: web.StreamResponse) -> None:
        answer.headers["Date"] = formatdate(time.time() + self.skew, usegmt=True)


class Telegram(FakeTelegram):
    async def _getWebhookInfo(self, _: object) -> dict[str, Any]:
        return {"url": self.webhook, "pending_update_count": 0}


@contextlib.asynccontextmanager
async def around(authority: Authority, folder: Path, *, days: float = 60) -> AsyncIterator[World]:
    world = World()
    async with contextlib.AsyncExitStack() as stack:
        context = authority.issue(folder, days=days)
        world.site = f"https://localhost:{await _serve(stack, world, '/{path:.*}', world.behind_caddy, context)}"
        world.plain = await _serve(stack, world, "/{path:.*}", world.by_http)
        world.painter = f"http://127.0.0.1:{await _serve(stack, world, '/{path:.*}', world.paints)}/v1"
        world.mail = await stack.enter_async_context(mail_server("tls", context=context, auth=True))
        world.till = f"http://127.0.0.1:{await _serve(stack, world, '/{path:.*}', world.takes_keys)}"
        world.telegram.url = (
            f"http://127.0.0.1:{await _serve(stack, world, '/bot{token}/{method}', world.telegram.answer)}"
        )
        yield world


async def _serve(
    stack: contextlib.AsyncExitStack, world: World, path: str, handler: Any, context: ssl.SSLContext | None = None
) -> int:
    app = web.Application()
    app.router.add_route("*", path, handler)
    app.on_response_prepare.append(world.tells_time)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    return int(runner.addresses[0][1])


# The studio.


@dataclass
class Studio:
    """One installation. Change what you like, then let the doctor look: ``settings`` and ``inputs`` are overrides."""

    folder: Path
    clinic: Clinic
    world: World
    db: asyncpg.Connection[asyncpg.Record]
    stack: contextlib.AsyncExitStack
    settings: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, Any] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def compose(self) -> Path:
        return self.folder / "docker-compose.yml"

    def env(self, **changes: str) -> None:
        """Change lines of .env, and what Compose made of them in the process's environment."""
        path = self.folder / ".env"
        kept = [line for line in path.read_text().splitlines() if line.partition("=")[0].lstrip("#") not in changes]
        path.write_text("\n".join([*kept, *(f"{name}={value}" for name, value in changes.items())]) + "\n")
        path.chmod(0o600)
        self.environ |= {name: value for name, value in changes.items() if name.startswith("LIMNER_")}

    def write(self, path: str, text: str) -> None:
        """A file of /proc or the cgroup."""
        (self.folder.parent / path).write_text(text)

    def edit(self, old: str, new: str) -> None:
        text = self.compose.read_text()
        assert old in text
        self.compose.write_text(text.replace(old, new))

    async def run(self, statement: str, undo: str = "") -> None:
        """Do something in the database, and ``undo`` it after the test."""
        await self.db.execute(statement)
        if undo:
            self.stack.push_async_callback(self.db.execute, undo)

    def config(self) -> Config:
        return settings(self.clinic.dsn, self.clinic.data, **(self._chosen() | self.settings))

    def patient(self) -> Patient:
        root = self.folder.parent
        chosen: dict[str, Any] = {
            "proc": root / "proc", "cgroup": root / "cgroup", "temp": root, "cores": 2, "machine": "x86_64",
            "open_files": 65536, "docker": str(root / "docker"), "authorities": root / "authority.pem",
            "http_port": self.world.plain, "least_disk": 0.0001, "least_inodes": 0.0001, "least_temp": 1024,
        }  # fmt: skip
        chosen |= {"settings": self.config, "folder": self.folder, "environ": self.environ} | self.inputs
        chosen["settings"] = chosen["settings"]() if callable(chosen["settings"]) else chosen["settings"]
        return Patient(**chosen)

    async def examined(self, only: str | None = None) -> dict[str, Line]:
        """What the doctor says, by code."""
        lines: list[Line] = []
        patient = self.patient()
        async with patient.opened():
            await examination.run(patient, examination.choose(only), lines.append)
        return {line.code: line for line in lines}

    def _chosen(self) -> dict[str, Any]:
        return {
            "env": "production", "public_url": self.world.site, "secret_key": SECRET_KEY, "lease": 600,
            "bot_token": TOKEN, "telegram_url": self.world.telegram.url, "openai_url": self.world.painter, "drain": 100,
            "smtp_host": "localhost", "smtp_port": self.world.mail.port, "smtp_tls": "tls",
            "smtp_user": USER, "smtp_password": PASSWORD, "mail_from": "studio@localhost.test",
            "storage_folder": self.clinic.data / "pictures",
            "btcpay_url": self.world.till, "btcpay_store": "store", "btcpay_api_key": "greenfield-key-0123456789",
            "btcpay_webhook_secret": "Hk3vQ9wZr5tXb7mN", "stripe_url": self.world.till, "stripe_api_key": "rk_test_0123456789",
            "stripe_webhook_secret": "whsec_Lp8sD2fGh4jK6",
        }  # fmt: skip


@pytest.fixture
async def studio(clinic: Clinic, tmp_path: Path) -> AsyncIterator[Studio]:
    async with contextlib.AsyncExitStack() as stack:
        world = await stack.enter_async_context(around(clinic.authority, tmp_path))
        db = await asyncpg.connect(clinic.dsn)
        stack.push_async_callback(db.close)
        for statement in FRESH:
            await db.execute(statement)
        folder = tmp_path / "studio"
        _install(folder, world)
        (tmp_path / "authority.pem").write_bytes(clinic.authority.pem())
        for place, files in (("proc", PROC), ("cgroup", CGROUP)):
            for name, text in files.items():
                (tmp_path / place / name).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / place / name).write_text(text)
        found = Studio(folder, clinic, world, db, stack)
        found.environ |= {"DOMAIN": "localhost", "LIMNER_SANDBOX_PAYMENTS": "false", "LIMNER_DEMO_PAINTER": "false"}
        docker(found)
        yield found


def _install(folder: Path, world: World) -> None:
    """A clone in which somebody ran `limner init` and filled the rest in."""
    (folder / "deploy").mkdir(parents=True)
    for name in ("docker-compose.yml", "deploy/compose.env.example"):
        shutil.copy(ROOT / name, folder / name)
    installation.init(folder, "localhost", "operator@studio.test")
    pinned = {f"{name}_IMAGE": f"registry.test/{name.lower()}:1{DIGEST}" for name in ("POSTGRES", "CADDY", "MINIO")}
    chosen = {"LIMNER_SANDBOX_PAYMENTS": "false", "LIMNER_DEMO_PAINTER": "false", "LIMNER_PUBLIC_URL": world.site}
    env = folder / ".env"
    kept = [line for line in env.read_text().splitlines() if line.partition("=")[0] not in {*pinned, *chosen}]
    env.write_text("\n".join([*kept, *(f"{name}={value}" for name, value in (pinned | chosen).items())]) + "\n")
    env.chmod(0o600)


def docker(studio: Studio, *, engine: str = "28.1.0", compose: str = "2.39.1", **states: str) -> None:
    """A program that answers as Docker would; ``states`` are those of services that are not well."""
    studio.environ.setdefault("LIMNER_PUBLIC_URL", studio.world.site)
    patient = studio.patient()
    rows = [
        {"Service": name, "State": "running", "Health": states.get(name, "healthy"), "ExitCode": 0}
        for name in Compose.read(studio.compose, patient.said).lasting()
    ]
    root = studio.folder.parent
    (root / "containers.json").write_text("\n".join(map(json.dumps, rows)))
    program = root / "docker"
    program.write_text(
        f'#!/bin/sh\ncase "$*" in\n"version"*) echo {engine};;\n"compose version"*) echo {compose};;\n'
        f'"compose ps"*) cat {root}/containers.json;;\n*) exit 1;;\nesac\n'
    )
    program.chmod(0o755)


def closed_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


def limner(*words: str, folder: Path, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, with these settings alone, named without their prefix."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LIMNER_")}
    environment |= {f"LIMNER_{name.upper()}": str(value) for name, value in settings.items()} | {"PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-m", "limner.runtime.cli", *words]
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def limner_at(clinic: Clinic, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command on the clinic's studio, as in development."""
    return limner(*words, folder=clinic.data, data_dir=clinic.data, vault_keys=VAULT_KEYS, secret_key=SECRET_KEY)


def as_role(dsn: str, role: str) -> str:
    """The same database as another role."""
    parts = urlsplit(dsn)
    return dsn.replace(f"{parts.username}@", f"{role}@", 1)
