"""Segments of the server's log, as `limner pitr archive` keeps them: durable, never overwritten, without a gap."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import secrets
from collections.abc import Iterable
from pathlib import Path

from limner.runtime import durable
from limner.runtime.errors import Refused

FILE = re.compile(r"[0-9A-F]{24}(\.[0-9A-F]{8}\.backup|\.partial)?|[0-9A-F]{8}\.history")
SEGMENT = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})")
CHUNK = 1 << 20


def archive(source: Path, name: str, folder: Path) -> str:
    """What archive_command calls, with %p and %f: the file is durable under its name when this returns.

    The same bytes again are well; others are refused, as the log of another server would be. Raises Refused or OSError.
    """
    if not FILE.fullmatch(name):
        raise Refused(f"NAME: {name!r} is no file of Postgres' log")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept, draft = folder / name, folder / f".{name}.{secrets.token_hex(4)}"
    try:
        _copy(source, draft)
        kept.hardlink_to(draft)  # unlike rename, it refuses to replace
    except FileExistsError:
        if kept.read_bytes() != draft.read_bytes():
            raise Refused(f"{kept} is there with other bytes: does another server archive into this folder?") from None
        return f"{name} was there already"
    finally:
        draft.unlink(missing_ok=True)
    durable.flush(folder)
    return f"{name} is kept"


def segments(folder: Path) -> list[str]:
    """The whole segments in a folder, in order."""
    with contextlib.suppress(FileNotFoundError):
        return sorted(each.name for each in folder.iterdir() if SEGMENT.fullmatch(each.name))
    return []


def gaps(names: Iterable[str], first: str, size: int) -> list[str]:
    """The segments that are missing from ``first`` on, one for each gap. ``size``: bytes of a segment."""
    lines: dict[str, list[int]] = {}
    for name in (*names, ""):
        if found := SEGMENT.fullmatch(name):
            lines.setdefault(found[1], []).append(_number(name, size))
    start = _number(first, size)
    missing = [] if start in lines.get(first[:8], []) else [first]
    for line, numbers in lines.items():
        later = sorted(number for number in numbers if number >= start)
        missing += [_name(line, a + 1, size) for a, b in itertools.pairwise(later) if b != a + 1]
    return sorted(missing)


def prune(folder: Path, first: str) -> int:
    """Remove the segments before ``first``, of whatever timeline; returns how many."""
    doomed = [name for name in segments(folder) if name[8:] < first[8:]]
    for name in doomed:
        (folder / name).unlink()
    return len(doomed)


def write_durably(path: Path, data: bytes) -> None:
    """The file appears whole or not at all."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    durable.flush(path.parent)


def _number(name: str, size: int) -> int:
    return int(name[8:16], 16) * (2**32 // size) + int(name[16:24], 16)


def _name(line: str, number: int, size: int) -> str:
    high, low = divmod(number, 2**32 // size)
    return f"{line}{high:08X}{low:08X}"


def _copy(source: Path, draft: Path) -> None:
    with source.open("rb") as incoming, open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        while chunk := incoming.read(CHUNK):
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
