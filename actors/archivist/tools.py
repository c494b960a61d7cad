"""Postgres' own programs: found, compared with the server, and fed or read as streams."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

import anyio
from anyio.abc import Process

from limner.runtime.config import Config
from limner.runtime.errors import Hopeless, Refused, as_raised
from limner.runtime.placement import PACKAGE, SYSTEM

CHUNK = 1 << 20
SILENCE = 900.0
"""Seconds that a program may keep silent, or take nothing: pg_dump waits that long for a lock at the most."""
ENDS_WITHIN = 6 * 3600.0
"""Seconds from its last input or output to its end: pg_restore makes the indexes then."""
SAID_MOST = 1000


class ToolFailed(Hopeless):
    """A program of Postgres ended badly; the message is what it said last."""


class Heard:
    """What a program wrote, until it has closed that stream."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.ended = anyio.Event()

    async def listen(self, stream: AsyncIterator[bytes] | None) -> None:
        assert stream is not None
        async for chunk in stream:
            self.data += chunk
        self.ended.set()

    def lines(self) -> list[str]:
        return [line.strip() for line in self.data.decode(errors="replace").splitlines() if line.strip()]


@dataclass(frozen=True)
class Tools:
    """pg_dump and pg_restore of one version, such as (18, 6)."""

    folder: Path
    version: tuple[int, int]

    @property
    def words(self) -> str:
        return f"PostgreSQL {self.version[0]}.{self.version[1]}"

    @contextlib.asynccontextmanager
    async def dumping(self, dsn: str, *options: str) -> AsyncIterator[AsyncGenerator[bytes, None]]:
        """What pg_dump writes. Its last step raises ToolFailed when all that came before is worthless."""
        address, password = without_password(dsn)
        command = [self._program("pg_dump"), "--no-password", *options, "--dbname", address]
        said = Heard()
        with as_raised():
            async with _running(command, password) as process, anyio.create_task_group() as group:
                group.start_soon(said.listen, process.stderr)
                async with contextlib.aclosing(_read(process, command, said)) as chunks:
                    yield chunks
                group.cancel_scope.cancel()

    async def restore(self, dsn: str, dump: AsyncGenerator[bytes, None]) -> None:
        """All of the dump or nothing. Raises ToolFailed."""
        address, environment = without_password(dsn)
        options = ("--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges", "--no-password")
        await _feed([self._program("pg_restore"), *options, "--dbname", address], environment, dump)

    async def prove(self, dump: AsyncGenerator[bytes, None]) -> None:
        """Unpack all of it, to nowhere. Raises ToolFailed when it breaks off, and what ``dump`` raises at its end."""
        await _feed([self._program("pg_restore"), "--file=/dev/null"], {}, dump, to_the_end=True)

    async def tables(self, dump: AsyncGenerator[bytes, None]) -> set[str]:
        """The tables whose rows are in a dump, by its table of contents. Raises ToolFailed when it is no dump."""
        listed = await _feed([self._program("pg_restore"), "--list"], {}, dump)
        return set(re.findall(r"^\d+; \d+ \d+ TABLE DATA public (\S+) ", listed, re.M))

    async def base(self, dsn: str, into: Path, *options: str) -> None:
        """The server's files, with the log that they need. Raises ToolFailed."""
        address, password = without_password(dsn)
        how = ("--checkpoint=fast", "--wal-method=stream", "--manifest-checksums=SHA256", "--no-password")
        command = [self._program("pg_basebackup"), *how, *options, "--pgdata", str(into), "--dbname", address]
        await _feed(command, password, _nothing())

    async def run(self, program: str, *arguments: str) -> None:
        """Raises ToolFailed."""
        await _feed([self._program(program), *arguments], {}, _nothing())

    def _program(self, name: str) -> str:
        return str(self.folder / name)


def find(config: Config) -> Tools:
    """LIMNER_PG_BIN's programs, else the newest of the packaged, the system's and the PATH's. Raises Refused."""
    found = [Tools(folder, version) for folder in _folders(config) if (version := _version(folder)) is not None]
    if not found:
        where = f"in LIMNER_PG_BIN ({config.pg_bin})" if config.pg_bin else "here"
        raise Refused(f"there is no pg_dump and pg_restore {where}: install PostgreSQL's client programs")
    return max(found, key=lambda tools: tools.version)


def check_against(tools: Tools, server: int) -> None:
    """``server`` as in server_version_num. Raises Refused when the programs are older: their copies would be worthless."""
    version = (server // 10000, server % 10000)
    if tools.version < version:
        raise Refused(
            f"{tools.folder} has {tools.words}, the server is {version[0]}.{version[1]}: its copies could not be trusted."
            " Install client programs that are no older, or set LIMNER_PG_BIN to theirs"
        )


def without_password(dsn: str) -> tuple[str, dict[str, str]]:
    """The address without its password, which must not stand in the list of processes, and the environment with it."""
    parts = urlsplit(dsn)
    query = dict(parse_qsl(parts.query))
    password = query.pop("password", None) or (unquote(parts.password) if parts.password else None)
    user, host = quote(unquote(parts.username or ""), safe=""), parts.netloc.rpartition("@")[2]
    parts = parts._replace(netloc=f"{user}@{host}" if user else host, query=urlencode(query))
    return _join(parts), {"PGPASSWORD": password} if password else {}


def at_database(dsn: str, name: str) -> str:
    """The address of another database of the same server."""
    return _join(urlsplit(dsn)._replace(path=f"/{quote(name, safe='')}"))


def database_of(dsn: str) -> str:
    """The database's name. Raises Refused when the address has none."""
    name = unquote(urlsplit(dsn).path.removeprefix("/"))
    if not name:
        raise Refused("LIMNER_DATABASE_URL: it names no database, as in postgresql://user:password@host/limner")
    return name


def environment() -> dict[str, str]:
    """Ours for a child: without PGHOST and the like, which mean another Postgres, and without our settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LIMNER_"))}


def _join(parts: SplitResult) -> str:
    """As libpq reads it; urlunsplit drops the slashes of an address without a host."""
    return f"postgresql://{parts.netloc}{parts.path}" + (f"?{parts.query}" if parts.query else "")


def _folders(config: Config) -> list[Path]:
    if config.pg_bin:
        return [config.pg_bin]
    spec = importlib.util.find_spec(PACKAGE)
    packaged = [Path(each) / "pginstall" / "bin" for each in (spec.submodule_search_locations or ())] if spec else []
    on_path = shutil.which("pg_dump")
    return [*packaged, *SYSTEM.glob("*/bin"), *([Path(on_path).parent] if on_path else [])]


def _version(folder: Path) -> tuple[int, int] | None:
    """What pg_dump there says of itself; None when it, or pg_restore, is not there or does not run."""
    if not all(os.access(folder / program, os.X_OK) for program in ("pg_dump", "pg_restore")):
        return None
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        said = subprocess.run(  # noqa: S603
            [folder / "pg_dump", "--version"],
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
            env=environment(),
        ).stdout
        if found := re.search(r"\(PostgreSQL\) (\d+)\.(\d+)", said):
            return int(found[1]), int(found[2])
    return None


async def _read(process: Process, command: Sequence[str], said: Heard) -> AsyncGenerator[bytes, None]:
    assert process.stdout
    while True:
        try:
            with _patience(SILENCE, process):
                chunk = await process.stdout.receive(CHUNK)
        except anyio.EndOfStream:
            await _end(process, command, said)
            return
        yield chunk


async def _feed(
    command: Sequence[str], extra: dict[str, str], source: AsyncGenerator[bytes, None], *, to_the_end: bool = False
) -> str:
    """Write the source into the program; returns what it wrote. When it has had enough before the end, the rest is
    read all the same ``to_the_end``."""
    wrote, said = Heard(), Heard()
    with as_raised():
        async with _running(command, extra) as process, contextlib.aclosing(source):
            async with anyio.create_task_group() as group:
                group.start_soon(wrote.listen, process.stdout)
                group.start_soon(said.listen, process.stderr)
                await _pour(source, process)
                if to_the_end:
                    async for _ in source:
                        continue
            await _end(process, command, said)
    return wrote.data.decode(errors="replace")


async def _nothing() -> AsyncGenerator[bytes, None]:
    return
    yield


async def _pour(source: AsyncGenerator[bytes, None], process: Process) -> None:
    assert process.stdin
    async with process.stdin:
        with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            async for chunk in source:
                with _patience(SILENCE, process):
                    await process.stdin.send(chunk)


@contextlib.asynccontextmanager
async def _running(command: Sequence[str], extra: dict[str, str]) -> AsyncIterator[Process]:
    """The program; killed, should the block end before it does."""
    process = await anyio.open_process(
        command, env=environment() | extra, stdin=subprocess.PIPE, cwd="/", start_new_session=True
    )
    try:
        yield process
    finally:
        with anyio.CancelScope(shield=True), contextlib.suppress(ProcessLookupError):
            if process.returncode is None:
                process.kill()
            await process.wait()


async def _end(process: Process, command: Sequence[str], said: Heard) -> None:
    with _patience(ENDS_WITHIN, process):
        code = await process.wait()
        await said.ended.wait()
    if code:
        why = " / ".join(said.lines()[-3:]) or "it said nothing"
        raise ToolFailed(f"{Path(command[0]).name} failed ({code}): {why[-SAID_MOST:]}")


@contextlib.contextmanager
def _patience(seconds: float, process: Process) -> Iterator[None]:
    try:
        with anyio.fail_after(seconds):
            yield
    except TimeoutError:
        raise ToolFailed(f"process {process.pid} of PostgreSQL's programs did nothing for {seconds:.0f} s") from None
