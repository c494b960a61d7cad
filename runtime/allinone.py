"""The all-in-one mode: checks, makes the secrets, starts supervisord, waits until all is ready, stops all of it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import anyio
import anyio.to_thread

from limner.runtime import embedded, placement, vault
from limner.runtime.config import Config, ConfigError
from limner.runtime.daemon import Daemon
from limner.runtime.errors import Hopeless, Refused, as_raised

MAP = Path(__file__).resolve().parents[1] / "supervisor.conf"
READY_WITHIN = 60.0
"""Seconds from the start of supervisord until /health/ready answers 200."""
PORT_PATIENCE = 3.0
"""Seconds that a predecessor which is just ending may hold the port."""
SECRETS: dict[str, Callable[[], str]] = {
    "secret_key": lambda: secrets.token_urlsafe(48),
    "vault_keys": vault.generate_key,
    "sandbox_secret": lambda: secrets.token_urlsafe(32),
}


@dataclass
class Running:
    """A Limner that runs: ``address`` of web, ``control`` socket of supervisord, the signal that ``interrupted`` it."""

    address: str
    control: Path
    interrupted: int | None = None


def run_up(config: Config, *, greeting: str = "", conf: Path = MAP) -> int:
    """Run until Ctrl-C or SIGTERM; returns the exit status. Standard error tells why it cannot start, a line each."""
    try:
        anyio.run(_stay_up, config, greeting, conf)
    except (Refused, Hopeless) as why:
        print(*(f"limner: {line}" for line in str(why).splitlines()), sep="\n", file=sys.stderr, flush=True)
        return 1
    return 0


@contextlib.asynccontextmanager
async def running(config: Config, *, conf: Path = MAP) -> AsyncIterator[Running]:
    """Everything runs and is ready inside the block; nothing is left after it.

    SIGINT, SIGTERM and SIGHUP cancel the block and set ``interrupted``; before the block began they raise SystemExit.
    The children read their settings from the environment. Raises Refused, one line per obstacle, when something has to
    change before a start, and Hopeless, with the end of a log, when a program gives up.
    """
    limner = Running(address_of(config), _control(config))
    begun = False
    with as_raised():
        async with anyio.create_task_group() as group, contextlib.AsyncExitStack() as stack:
            await group.start(_cancel_on_signal, limner, group.cancel_scope)
            await _clear_the_way(config, limner.control, stack)
            _make_secrets(config)
            daemon = await stack.enter_async_context(_supervisord(config, limner.control, conf))
            await _until_ready(daemon, limner.address)
            group.start_soon(_watch, daemon)
            begun = True
            yield limner
            group.cancel_scope.cancel()
    if not begun:
        raise SystemExit(128 + (limner.interrupted or signal.SIGINT))


def check_environment() -> None:
    """Raises ConfigError in production: everything in one place is for development and for a look."""
    if os.environ.get("LIMNER_ENV") == "production":
        raise ConfigError(
            ["LIMNER_ENV is production, and `limner up` is for development: use docker-compose.yml, or unset it"]
        )


def address_of(config: Config) -> str:
    """Where web answers on this machine, such as http://127.0.0.1:8080."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.http_host, config.http_host)  # noqa: S104
    return f"http://[{host}]:{config.http_port}" if ":" in host else f"http://{host}:{config.http_port}"


@contextlib.contextmanager
def claim(folder: Path) -> Iterator[None]:
    """Be the only one in this data folder. The kernel gives the claim back, however we end. Raises Refused."""
    with (folder / "claimed").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise Refused(
                f"Limner already runs on the data folder {folder}, as process {file.read().strip()}"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


async def _stay_up(config: Config, greeting: str, conf: Path) -> None:
    print(f"limner: starting; the logs are in {config.data_dir / 'logs'}", flush=True)
    async with running(config, conf=conf) as limner:
        print(f"limner: ready at {limner.address}   (Ctrl-C stops it; supervisorctl -s unix://{limner.control} status)")
        print(greeting, end="\n" if greeting else "", flush=True)
        await anyio.sleep_forever()


async def _cancel_on_signal(
    limner: Running, scope: anyio.CancelScope, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED
) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        task_status.started()
        async for number in signals:
            limner.interrupted = number
            scope.cancel()


async def _clear_the_way(config: Config, control: Path, stack: contextlib.AsyncExitStack) -> None:
    folder = config.data_dir.resolve()
    lines = _folder_obstacles(folder)
    if not lines:
        stack.enter_context(claim(folder))
        await Daemon.end_predecessor(control)
    lines += _postgres_obstacles(config) + await _port_obstacles(config)
    if lines:
        raise Refused("\n".join(lines))


def _folder_obstacles(folder: Path) -> list[str]:
    try:
        (folder / "logs").mkdir(parents=True, exist_ok=True)
        trial = folder / f"trial-{os.getpid()}"
        trial.write_text("may this folder be written?")
        trial.unlink()
    except OSError as error:
        return [f"the data folder {folder} cannot be written ({error.strerror}): set LIMNER_DATA_DIR to one that can"]
    return []


def _postgres_obstacles(config: Config) -> list[str]:
    if not config.is_embedded:
        return []
    try:
        place = embedded.locate(config)
    except Refused as why:
        return [str(why)]
    for line in place.notes(config.data_dir):
        print(f"limner: {line}", flush=True)
    return []


async def _port_obstacles(config: Config) -> list[str]:
    for _ in range(int(PORT_PATIENCE / 0.1)):
        if _bind(config) != errno.EADDRINUSE:
            break
        await anyio.sleep(0.1)
    where = f"{config.http_host}:{config.http_port}"
    match _bind(config):
        case 0:
            return []
        case errno.EADDRINUSE:
            return [f"another program listens on {where}: stop it, or set LIMNER_HTTP_PORT to a free port"]
        case number:
            return [f"cannot listen on {where} ({os.strerror(number)}): set LIMNER_HTTP_HOST or LIMNER_HTTP_PORT"]


def _bind(config: Config) -> int:
    """Listen for a moment: 0, or the error's number."""
    try:
        family, kind, _, _, where = socket.getaddrinfo(config.http_host, config.http_port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(where)
            trial.listen()
    except socket.gaierror:
        return errno.EADDRNOTAVAIL
    except OSError as error:
        return error.errno or errno.EADDRNOTAVAIL
    return 0


def _make_secrets(config: Config) -> None:
    """Make, once, the secrets that were not set; every role reads them from the data folder by itself."""
    folder = config.data_dir / "secrets"
    folder.mkdir(mode=0o700, exist_ok=True)
    for name, make in SECRETS.items():
        if not getattr(config, name).get_secret_value() and not (folder / name).exists():
            half_made = folder / f".{name}"
            half_made.unlink(missing_ok=True)
            half_made.touch(mode=0o600)
            half_made.write_text(make() + "\n")
            half_made.rename(folder / name)


def _control(config: Config) -> Path:
    """The socket of supervisord, beside that of the embedded Postgres."""
    if config.is_embedded:
        return embedded.socket_folder(config.data_dir) / "supervisor.sock"
    return placement.short(config.data_dir.resolve() / "run", config.data_dir) / "supervisor.sock"


@contextlib.asynccontextmanager
async def _supervisord(config: Config, control: Path, conf: Path) -> AsyncIterator[Daemon]:
    """supervisord with its programs. However the block ends, nothing of them is left, Postgres included."""
    embedded.open_folder(control.parent, placement.owner_of(config.data_dir) if config.is_embedded else None)
    daemon = Daemon.start(conf, control, config.data_dir.resolve(), embedded_postgres=config.is_embedded)
    try:
        yield daemon
    finally:
        with anyio.CancelScope(shield=True):
            await daemon.stop()
            if config.is_embedded:
                await anyio.to_thread.run_sync(embedded.stop, embedded.locate(config))


async def _until_ready(daemon: Daemon, address: str) -> None:
    with anyio.move_on_after(READY_WITHIN):
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
            while not await _is_ready(session, address):
                await daemon.check()
                await anyio.sleep(0.1)
            return
    raise Hopeless(f"not ready after {READY_WITHIN:.0f} s:\n{await daemon.describe()}")


async def _is_ready(session: aiohttp.ClientSession, address: str) -> bool:
    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
        async with session.get(f"{address}/health/ready") as answer:
            return answer.status == 200
    return False


async def _watch(daemon: Daemon) -> None:
    while True:
        await daemon.check()
        await anyio.sleep(1)
