"""The Exporter packs what the all-in-one mode has into a folder from which an installation with Compose can begin."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import anyio

from limner.actors import luggage
from limner.runtime import allinone
from limner.runtime.config import Config
from limner.runtime.database import Database
from limner.runtime.errors import Refused
from limner.runtime.opening import open_database
from limner.runtime.report import Line, Say
from limner.runtime.storage import Missing, Storage, open_storage
from limner.sql import accounts, crew, images

CAST = ("alice@example.com", "bob@example.com", "carol@example.com")
"""Who is sown in development, with passwords that everybody knows."""


async def export(config: Config, folder: Path, say: Say, *, pictures: bool, online: bool) -> None:
    """Write ``folder``: the database, the secrets, the settings, perhaps the pictures, and what to do with them.

    It appears whole or not at all. The database is one consistent snapshot in any case. Raises Refused, when the folder
    is there already and when the studio runs and ``online`` is not said.
    """
    folder = _to_be_made(folder)
    async with _at_rest(config, online=online), _draft_of(folder) as draft:
        async with open_database(config.dsn, role="export", pool=2, patience=30) as db:
            if not (online or config.is_embedded):  # nobody reaches the embedded one but who has its data folder
                await _refuse_if_anyone_works(config, db)
            await luggage.dump(config, draft / "database.dump", say)
            if pictures:
                async with open_storage(config) as storage:
                    await _copy(db, storage, draft / "pictures", say)
            elif config.storage == "folder":
                say(Line("export.pictures", "skip", "the pictures stay where they are", "--pictures takes them along"))
            luggage.pack(config, draft, say)
            await _warn_of_the_cast(db, say)
        draft.rename(folder)
    words = f"{folder} is ready; it holds secrets, and only you can enter it"
    say(Line("export.done", "ok", words, f"{folder}/README.md says how to go on"))


def _to_be_made(folder: Path) -> Path:
    """With its whole path. Raises Refused when it is there."""
    folder = folder.absolute()
    if folder.exists() or folder.is_symlink():
        raise Refused(f"--to: {folder} is there already", field="to")
    return folder


@contextlib.asynccontextmanager
async def _at_rest(config: Config, *, online: bool) -> AsyncIterator[None]:
    """Nobody starts the studio meanwhile, and its database answers. Raises Refused."""
    data = config.data_dir.resolve()
    if not data.is_dir():
        raise Refused(f"LIMNER_DATA_DIR: there is no folder {data}", field="data_dir")
    async with contextlib.AsyncExitStack() as stack:
        runs = _claim(data, stack, online=online)
        if config.is_embedded and not runs:
            await stack.enter_async_context(luggage.embedded_postgres(config))
        yield


def _claim(data: Path, stack: contextlib.AsyncExitStack, *, online: bool) -> bool:
    """Whether the studio runs on this data folder; else it is ours until the stack is left."""
    try:
        stack.enter_context(allinone.claim(data))
    except Refused as runs:
        if not online:
            raise Refused(f"{runs}: stop it, or say --online") from None
        return True
    return False


async def _refuse_if_anyone_works(config: Config, db: Database) -> None:
    if living := await crew.processes(db, config.lease):
        who = ", ".join(f"{process.role} {process.pid} on {process.host}" for process in living)
        raise Refused(f"processes work on this database: {who}; stop them, or say --online")


@contextlib.asynccontextmanager
async def _draft_of(folder: Path) -> AsyncIterator[Path]:
    """A closed folder beside the one that is to be; gone when it was not renamed. What a killed run left is removed."""
    draft = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        draft.mkdir(mode=0o700)
    except OSError as error:
        raise Refused(f"--to: {draft.parent} cannot be written ({error.strerror})", field="to") from None
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


async def _copy(db: Database, storage: Storage, to: Path, say: Say) -> None:
    """Everything in the storage under its own name, then whether all is there that the database named before."""
    named, copied, size = [key async for key in images.named(db)], 0, 0
    await anyio.Path(to).mkdir(mode=0o700)
    async for key in storage.list(""):
        with contextlib.suppress(Missing):  # deleted meanwhile
            size += await _fetch(storage, key, to / key)
            copied += 1
    say(Line("export.pictures", "ok", f"{copied} files, {size / 1e6:.1f} MB"))
    if gone := [key for key in named if not (to / key).is_file()]:
        words = f"{len(gone)} that the database names are not there, such as {gone[0]}"
        say(Line("export.missing", "warn", words, "deleted while this ran, or lost before: limner ledger verify"))


async def _fetch(storage: Storage, key: str, path: Path) -> int:
    """Returns the size in bytes. Raises Missing."""
    for folder in reversed(path.parents):
        if not folder.exists():
            folder.mkdir(mode=0o700)  # by "parents" they would be open to all
    size = 0
    try:
        with path.open("xb") as file:
            os.fchmod(file.fileno(), 0o600)
            async for piece in storage.stream(key):
                size += file.write(piece)
    except Missing:
        await anyio.Path(path).unlink()
        raise
    return size


async def _warn_of_the_cast(db: Database, say: Say) -> None:
    """People of the development world must not come along unnoticed: one of them is an admin."""
    found = [email for email in CAST if (account := await accounts.find(db, email)) and account.banned_at is None]
    if found:
        words = f"{', '.join(found)} come along, whose passwords everybody knows"
        say(Line("export.cast", "warn", words, "shut them out, as README.md says, before you open the site"))
