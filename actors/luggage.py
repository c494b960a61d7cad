"""What an export is made of: a dump of the database, the secrets and settings, and a page that says how to go on."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import anyio
import anyio.to_thread
import asyncpg

from limner.runtime import embedded, placement
from limner.runtime.config import Config, secret_fields, setting_name
from limner.runtime.database import TROUBLE
from limner.runtime.errors import Refused
from limner.runtime.report import Line, Say

LONGEST = 6 * 3600.0
"""Seconds that a dump may take."""
START_WITHIN = 60.0
CARRIED = ("secret_key", "vault_keys", "sandbox_secret", "bot_token", "smtp_password", "s3_access_key", "s3_secret_key")
STAYS = {
    "env", "data_dir", "pg_bin", "database_pooled", "http_host", "http_port", "public_url", "trusted_proxies",
    "metrics_host", "metrics_port", "storage_folder", "sandbox_url", "drain", "log_format",
}  # fmt: skip
"""Settings that belong to this machine, or that docker-compose.yml makes itself."""
PAGE = """\
# From one machine's all-in-one to Compose

Made by `limner export`. `secrets` and `database.dump` open everything that your studio keeps: let nobody else have them,
and delete this folder when the new studio works.

In a fresh clone of Limner on the server, with your own site and address (`EXPORT` is this folder):

```sh
EXPORT={folder}
install -d -m 700 secrets
install -m 444 "$EXPORT"/secrets/* secrets/
docker build -t limner:local .
docker run --rm -u "$(id -u):$(id -g)" -v "$PWD:/srv" -w /srv limner:local init art.example.com --tls you@example.com
cat "$EXPORT/settings.env" >> .env
docker compose up -d --wait postgres
docker compose exec -T postgres pg_restore -U limner -d limner \\
  --no-owner --single-transaction --exit-on-error < "$EXPORT/database.dump"
{pictures}docker compose exec -T postgres psql -U limner -d limner -c "
  update account set role = 'user', banned_at = now(), ban_reason = 'everybody knows the password'
  where email_key in ('alice@example.com', 'bob@example.com', 'carol@example.com')"
docker compose up -d --build --wait
docker compose exec -T web limner ledger verify
```

The last but two shuts out the cast of the development world, whose passwords everybody knows. The last one must say `ok`
everywhere. Then make an account of your own the admin: `docker compose exec web limner user promote you@example.com`.
"""
PICTURES = """\
tar -C "$EXPORT/pictures" -c . |
  docker compose run --rm --no-deps -T --entrypoint tar web -C /var/lib/limner/pictures -x
"""


async def dump(config: Config, to: Path, say: Say) -> None:
    """One consistent snapshot of the database in pg_dump's own format, proved to be readable. Raises Refused."""
    _write(to, "")
    address, environment = _without_password(config.direct_dsn or config.dsn)
    options = ("-Fc", "--no-owner", "--no-acl", "--lock-wait-timeout=60000", f"--file={to}", f"--dbname={address}")
    await _run(config, "pg_dump", *options, environment=environment)
    listing = await _run(config, "pg_restore", "--list", str(to))
    if " TABLE DATA public account " not in listing:
        raise Refused("pg_dump left no accounts behind: is this the database of a studio?")
    size, digest = await anyio.to_thread.run_sync(_measure, to)
    say(Line("export.database", "ok", f"{to.name}, {size / 1e6:.1f} MB, sha256 {digest}"))


def pack(config: Config, to: Path, say: Say) -> None:
    """Write secrets, settings and the page into the folder."""
    closed = to / "secrets"
    closed.mkdir(mode=0o700)
    carried = [name for name in CARRIED if _secret(config, name)]
    for name in carried:
        _write(closed / name, _secret(config, name))
    say(Line("export.secrets", "ok", f"{', '.join(carried)}; the database gets a new password"))
    _write(to / "settings.env", "".join(f"{name}={value}\n" for name, value in _settings(config).items()))
    has_pictures = (to / "pictures").is_dir()
    final = to.with_name(to.name.removeprefix(".").removesuffix(".unfinished"))
    _write(to / "README.md", PAGE.format(folder=_quoted(final), pictures=PICTURES if has_pictures else ""))


@contextlib.asynccontextmanager
async def embedded_postgres(config: Config) -> AsyncIterator[None]:
    """The embedded Postgres of a studio that does not run, for as long as the block. Raises Refused."""
    place = embedded.locate(config)
    if not (place.cluster / "PG_VERSION").exists():
        raise Refused(f"LIMNER_DATA_DIR: there is no database in {config.data_dir.resolve()}", field="data_dir")
    log = config.data_dir.resolve() / "logs" / "export.log"
    server = await anyio.to_thread.run_sync(_start_postgres, config, log)
    try:
        await _until_it_answers(config, server, log)
        yield
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(embedded.stop, place)
            await anyio.to_thread.run_sync(server.wait)


def _start_postgres(config: Config, log: Path) -> subprocess.Popen[bytes]:
    """In a session of its own, so that Ctrl-C reaches us alone: we end it."""
    log.parent.mkdir(exist_ok=True)
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "limner.runtime.cli", "postgres"], stdout=output, stderr=output,
            env=os.environ | {"LIMNER_DATA_DIR": str(config.data_dir.resolve()), "PYTHONSAFEPATH": "1"},
            start_new_session=True,
        )  # fmt: skip


async def _until_it_answers(config: Config, server: subprocess.Popen[bytes], log: Path) -> None:
    with anyio.move_on_after(START_WITHIN):
        while server.poll() is None:
            try:
                connection = await asyncpg.connect(config.dsn, timeout=5)
                return await connection.close(timeout=5)
            except TROUBLE:
                await anyio.sleep(0.1)
    raise Refused(f"the embedded Postgres does not start: {_last_line(log)}")


def _last_line(log: Path) -> str:
    return (log.read_text(errors="replace").strip().splitlines() or ["it said nothing"])[-1]


def _measure(path: Path) -> tuple[int, str]:
    """Bytes and SHA-256."""
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()


async def _run(config: Config, program: str, *arguments: str, environment: dict[str, str] | None = None) -> str:
    """What it said. Raises Refused with its last line."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LIMNER_"))}
    command = [_program(config, program), *arguments]
    try:
        with anyio.fail_after(LONGEST):
            done = await anyio.run_process(
                command, check=False, env=clean | {"PGCONNECT_TIMEOUT": "10"} | (environment or {})
            )
    except TimeoutError:
        raise Refused(f"{program} has not ended after {LONGEST / 3600:.0f} h") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise Refused(f"{program} failed: {said[-1]}")
    return done.stdout.decode(errors="replace")


def _program(config: Config, name: str) -> str:
    """pg_dump and the like beside the postgres that the settings find, else on the PATH. Raises Refused."""
    with contextlib.suppress(Refused):
        beside = placement.find_binaries(config.pg_bin) / name
        if os.access(beside, os.X_OK):
            return str(beside)
    if found := shutil.which(name):
        return found
    raise Refused(f"there is no {name} here: install Postgres's client programs, or set LIMNER_PG_BIN", field="pg_bin")


def _settings(config: Config) -> dict[str, str]:
    """What was chosen here and goes along, as lines of .env."""
    chosen = {
        name: value
        for name in type(config).model_fields
        if name not in {*STAYS, *secret_fields()}
        and (value := getattr(config, name)) != type(config).model_fields[name].default
    }
    implied = {"sandbox_payments": config.takes_sandbox_payments, "demo_painter": config.has_demo_painter}
    return {setting_name(name): _text(value) for name, value in (implied | chosen).items() if value is not None}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _secret(config: Config, name: str) -> str:
    found = getattr(config, name)
    return found.get_secret_value() if found else ""


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "'\\''") + "'"


def _without_password(dsn: str) -> tuple[str, dict[str, str]]:
    """The address without its password, which must not stand in the list of processes, and the environment with it."""
    parts = urlsplit(dsn)
    if not parts.password:
        return dsn, {}
    bare = f"{quote(parts.username or '', safe='%')}@{parts.netloc.rpartition('@')[2]}"
    return urlunsplit(parts._replace(netloc=bare)), {"PGPASSWORD": unquote(parts.password)}
