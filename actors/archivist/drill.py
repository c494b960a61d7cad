"""`limner drill`: the operator's own backup into a scratch Postgres, to see that it would serve."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import tempfile
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio

from limner.actors.archivist import manifest, proof, restore, snapshot, tools
from limner.actors.archivist.inventory import Entry
from limner.actors.archivist.pictures import Shelf
from limner.actors.archivist.proof import Copy
from limner.actors.archivist.records import ROLE, noted, open_records
from limner.actors.archivist.target import Damaged, Target, checked, open_target
from limner.runtime import embedded, placement, raster
from limner.runtime.config import Config
from limner.runtime.database import Database
from limner.runtime.errors import Refused
from limner.runtime.opening import open_database
from limner.runtime.report import Line, Say
from limner.sql import backups

PREFIX = "limner-drill-"
"""Of the temporary folder; the process's number comes next."""
SAMPLE = 10
"""Pictures that are read from end to end."""


async def run(config: Config, name: str, say: Say) -> None:
    """Try a backup out, "latest" or by its name, and note the result. Raises LimnerError when it would not serve."""
    async with open_records(config) as db, snapshot.session(snapshot.direct(config)) as connection:
        await snapshot.lock(connection)
        await backups.end_cut_off(db, ("backup", "drill"))
        live = await snapshot.system_of(connection)
        async with noted(db, "drill", name) as note, open_target(config) as target:
            note.name = await manifest.resolve(target, name)
            copy = await _try_out(config, target, note.name, live, say)
            note.bytes = copy.manifest.size
    say(Line("drilled", "ok", f"{note.name} would serve: made {copy.manifest.made_at:%Y-%m-%d %H:%M} UTC"))


async def _try_out(config: Config, target: Target, name: str, live: str, say: Say) -> Copy:
    programs = tools.find(config)
    copy = await proof.read(config, target, name, programs, say)
    if copy.lacking:
        raise Damaged(f"{name}: {len(copy.lacking)} objects are gone from {target.called}, such as {copy.lacking[0]}")
    _sweep()
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-") as folder:
        async with _scratch(Path(folder)) as dsn:
            await _check_is_another(dsn, live, say)
            await restore.load(programs, target, copy, dsn)
            async with open_database(dsn, role=ROLE, pool=2) as db:
                await _look_over(config, db, target, copy, say)
    return copy


async def _look_over(config: Config, db: Database, target: Target, copy: Copy, say: Say) -> None:
    await proof.check_rows(db, copy, say)
    await proof.check_audit(db, copy, say)
    await proof.check_secrets(config, db, say)
    await proof.check_books(
        db, Shelf(target, copy.entries, copy.there), say, without_pictures=copy.manifest.pictures.missing > 0
    )
    await _check_pictures(target, copy, say)


async def _check_is_another(dsn: str, live: str, say: Say) -> None:
    """Raises Refused should the scratch server be the live one: nothing has been written to it by then."""
    async with snapshot.session(dsn) as connection:
        scratch = await snapshot.system_of(connection)
    if scratch == live:
        raise Refused(f"the scratch server is the live one (system identifier {live}): nothing was tried")
    say(Line("scratch", "ok", f"a Postgres of its own: system {scratch}, the live one is {live}"))


async def _check_pictures(target: Target, copy: Copy, say: Say) -> None:
    """Read a sample from end to end, and decode one. Raises Damaged."""
    kept = [entry for entry in copy.entries if entry.state == "kept"]
    if not kept:
        say(Line("pictures", "skip", "it holds no pictures"))
        return
    sample = random.SystemRandom().sample(kept, min(SAMPLE, len(kept)))
    for entry in sample[1:]:
        await _read(target, entry)
    try:
        shape, _ = await raster.proof(await _read(target, sample[0]))
    except raster.BadImage as why:
        raise Damaged(f"{sample[0].key} is no picture: {why}") from None
    say(Line("pictures", "ok", f"{len(kept)} objects are there; {len(sample)} read, of which one shows "
        f"{shape.width} x {shape.height} {shape.mime}"))  # fmt: skip


async def _read(target: Target, entry: Entry) -> bytes:
    return b"".join([chunk async for chunk in checked(target, entry.name, entry.bytes, entry.sha256)])


def _sweep() -> None:
    """Remove what drills left that were killed: it holds a copy of the database. Only for who holds the lock."""
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"):
        pid = left.name.removeprefix(PREFIX).partition("-")[0]
        if pid.isdecimal() and not _is_another(int(pid)):
            shutil.rmtree(left, ignore_errors=True)


def _is_another(pid: int) -> bool:
    """Whether a living process, other than this one, has the number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid != os.getpid()


@contextlib.asynccontextmanager
async def _scratch(folder: Path) -> AsyncIterator[str]:
    """A throw-away Postgres, kept by one thread: it dies with the thread that started it."""
    if owner := placement.owner_of(folder):
        os.chown(folder, owner.uid, owner.gid)
    loop, stack = asyncio.get_running_loop(), contextlib.ExitStack()
    with ThreadPoolExecutor(1, thread_name_prefix="scratch") as keeper:
        try:
            yield await loop.run_in_executor(keeper, stack.enter_context, embedded.throwaway(folder))
        finally:
            with anyio.CancelScope(shield=True):
                await loop.run_in_executor(keeper, stack.close)
