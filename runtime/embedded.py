"""The embedded Postgres of the all-in-one mode: made, started, stopped, and thrown away by tests."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

from limner.runtime import placement
from limner.runtime.config import Config
from limner.runtime.errors import Refused
from limner.runtime.placement import Owner, Place, socket_folder

__all__ = [
    "binaries",
    "die_with_parent",
    "locate",
    "main",
    "open_folder",
    "prepare",
    "socket_folder",
    "stop",
    "throwaway",
]

NAME = "limner"
"""The superuser and the database."""
SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",
    "fsync": "on",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "max_connections": "60",
    "jit": "off",
    "max_logical_replication_workers": "0",  # one process less that does nothing here
}
SINCE_18 = {"io_method": "sync"}  # instead of three processes that read ahead: this database fits into memory
NO_DURABILITY = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "max_connections": "200"}
READY_WITHIN = 30.0


def binaries(config: Config) -> Path:
    """The folder with postgres and initdb: LIMNER_PG_BIN, the packaged ones, the system's newest. Raises Refused."""
    return placement.find_binaries(config.pg_bin)


def locate(config: Config) -> Place:
    """Where the data folder's Postgres lives; touches nothing. Raises Refused when it cannot run there."""
    place = placement.locate(config.data_dir, config.pg_bin)
    try:
        made_by = (place.cluster / "PG_VERSION").read_text().strip()
    except PermissionError:
        raise Refused(
            f"the database in {place.cluster} belongs to another user: start as that one, or as root"
        ) from None
    except OSError:
        return place  # it has yet to be made
    if made_by != (here := _version(place.found)):
        raise Refused(f"PostgreSQL {made_by} made {place.cluster}, {here} is here: set LIMNER_PG_BIN to the former's")
    return place


def prepare(config: Config) -> Place:
    """Make what is missing: reachable binaries, the cluster with the database ``limner``, the socket folder.

    Raises Refused with one line, or OSError when the disk refuses.
    """
    place = locate(config)
    link = config.data_dir.resolve() / "postgres"
    if elsewhere := place.cluster != link:
        placement.make_public(place.cluster.parent)
        if not link.is_symlink() and place.cluster.exists():
            # Its data folder was deleted since, and with it the keys to its secrets: it must not serve the new one.
            place.cluster.rename(place.cluster.with_name(f"postgres-{time.time_ns()}"))
    placement.copy_binaries(place)
    open_folder(place.sockets, place.owner)
    if not (place.cluster / "PG_VERSION").exists():
        _initialise(place)
    if elsewhere and not link.is_symlink():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(place.cluster)
    return place


def open_folder(folder: Path, owner: Owner | None) -> None:
    """Make a folder of sockets, for its owner alone. Raises Refused when somebody else was there first."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (os.geteuid(), owner.uid if owner else -1):
        raise Refused(f"{folder} belongs to somebody else: remove it, or set LIMNER_DATA_DIR to a shorter path")
    folder.chmod(0o700)
    _give(folder, owner)


def stop(place: Place) -> None:
    """Stop the postmaster of this cluster, if one runs: first kindly, at last by force. Raises Refused if it stays."""
    for how, seconds in ((signal.SIGINT, 5.0), (signal.SIGQUIT, 3.0), (signal.SIGKILL, 2.0)):
        pid = _postmaster(place.cluster)
        if pid is None or _end(pid, how, place.cluster, seconds):
            return
    raise Refused(f"the Postgres of an earlier start does not stop: process {_postmaster(place.cluster)}")


def main(config: Config | None = None) -> int:
    """What supervisor runs: prepare, stop a left-over Postgres, become the new one. Returns only when it does not."""
    config = config or Config.load()
    if not config.is_embedded:
        print("LIMNER_DATABASE_URL is set: the embedded Postgres is not needed")
        return 0
    try:
        place = prepare(config)
        for line in place.notes(config.data_dir):
            print(line, flush=True)
        stop(place)
        _become(place)
    except (Refused, OSError) as error:
        print(f"limner postgres: {error}", file=sys.stderr, flush=True)
        return 1


@contextlib.contextmanager
def throwaway(folder: Path) -> Iterator[str]:
    """A Postgres for tests, without durability: yields the DSN of its database ``limner``, stops at the end.

    It lives in ``folder``, or in a temporary one when the user who must run it cannot enter that. Raises Refused.
    """
    with contextlib.ExitStack() as stack:
        owner = placement.owner_of(folder)
        if owner and not placement.reaches(owner, folder):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="limner-", dir="/tmp")))
            _give(folder, owner)
        chosen = os.environ.get("LIMNER_PG_BIN")
        found = placement.find_binaries(Path(chosen) if chosen else None)
        sockets = placement.short(folder.resolve() / "run", folder)
        place = Place(found, placement.runnable(found, owner), folder.resolve() / "postgres", sockets, owner)
        placement.copy_binaries(place)
        open_folder(place.sockets, place.owner)
        for made in (sockets, place.cluster):
            stack.callback(shutil.rmtree, made, ignore_errors=True)
        _initialise(place, "--no-sync")
        stack.enter_context(_serving(place))
        yield f"postgresql://{NAME}@/{NAME}?host={quote(str(sockets), safe='')}"


def die_with_parent(how: signal.Signals) -> Callable[[], None] | None:
    """A ``preexec_fn`` by which Linux sends this signal to the child when we die, however we die; None elsewhere."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    set_parent_death_signal = 1
    return lambda: prctl(set_parent_death_signal, int(how), 0, 0, 0)


@contextlib.contextmanager
def _serving(place: Place) -> Iterator[None]:
    log = place.cluster.with_name("postgres.log")
    with log.open("wb") as output:
        server = subprocess.Popen(  # noqa: S603
            _command_line(place, SETTINGS | NO_DURABILITY), cwd="/", env=_environment(), stdout=output,
            stderr=subprocess.STDOUT, preexec_fn=die_with_parent(signal.SIGQUIT), **_as(place.owner),
        )  # fmt: skip
    try:
        if not _wait(lambda: server.poll() is not None or _is_ready(place.cluster), READY_WITHIN) or server.poll():
            raise Refused(f"Postgres did not start: {log.read_text(errors='replace')[-1000:]}")
        yield
    finally:
        server.send_signal(signal.SIGQUIT)
        try:
            server.wait(5)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _initialise(place: Place, *options: str) -> None:
    """Make the cluster beside its place, then move it there: it is whole, or it is not there."""
    fresh = place.cluster.with_name("postgres.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700, parents=True)
    _give(fresh, place.owner)
    locale = "C.UTF-8" if sys.platform == "linux" else "en_US.UTF-8"
    _run(place, "initdb", "-D", str(fresh), "-U", NAME, "--encoding=UTF8", f"--locale={locale}", "--data-checksums",
         "-A", "trust", *options)  # fmt: skip
    _run(place, "postgres", "--single", "-D", str(fresh), "postgres", feed=f"create database {NAME}\n")
    fresh.rename(place.cluster)


def _run(place: Place, program: str, *arguments: str, feed: str = "") -> None:
    done = subprocess.run(  # noqa: S603
        [place.binaries / program, *arguments], input=feed, capture_output=True, text=True, cwd="/",
        env=_environment(), check=False, **_as(place.owner),
    )  # fmt: skip
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()
        raise Refused(
            f"{program} failed: {next((line for line in said if 'error' in line or 'FATAL' in line), said[-1])}"
        )


def _give(folder: Path, owner: Owner | None) -> None:
    if owner:
        os.chown(folder, owner.uid, owner.gid)


def _as(owner: Owner | None) -> dict[str, Any]:
    return {"user": owner.uid, "group": owner.gid, "extra_groups": []} if owner else {}


def _become(place: Place) -> NoReturn:
    if place.owner:
        os.setgroups([])
        os.setgid(place.owner.gid)
        os.setuid(place.owner.uid)
    os.chdir("/")
    os.execve(place.binaries / "postgres", _command_line(place, SETTINGS), _environment())  # noqa: S606


def _command_line(place: Place, settings: dict[str, str]) -> list[str]:
    line = [str(place.binaries / "postgres"), "-D", str(place.cluster), "-k", str(place.sockets)]
    if int(_version(place.binaries)) >= 18:
        settings = SINCE_18 | settings
    return line + [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def _environment() -> dict[str, str]:
    """Ours without PGPORT and the like, which mean somebody else's Postgres."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LIMNER_"))}


def _version(folder: Path) -> str:
    """The major version, such as 18, as "postgres (PostgreSQL) 18.6" says it."""
    command: list[str | Path] = [folder / "postgres", "--version"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603
    return said.split(")")[1].split(".")[0].strip()


def _is_ready(cluster: Path) -> bool:
    with contextlib.suppress(OSError, IndexError):
        return (cluster / "postmaster.pid").read_text().splitlines()[7].strip() == "ready"
    return False


def _postmaster(cluster: Path) -> int | None:
    """The process that serves this cluster. A stale pid file, even one whose number was given away, names nobody."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        pid = int((cluster / "postmaster.pid").read_text().splitlines()[0])
        return pid if _serves(pid, cluster) else None
    return None


def _serves(pid: int, cluster: Path) -> bool:
    if Path("/proc/self").exists():
        with contextlib.suppress(OSError):
            return os.fsencode(cluster) in Path(f"/proc/{pid}/cmdline").read_bytes()
        return False
    command = ["/bin/ps", "-o", "command=", "-p", str(pid)]
    return str(cluster) in subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603


def _end(pid: int, how: signal.Signals, cluster: Path, seconds: float) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, how)
    return _wait(lambda: not _serves(pid, cluster), seconds)


def _wait(happened: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
