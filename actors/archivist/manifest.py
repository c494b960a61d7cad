"""The manifest of a backup: what pairs a dump with its pictures, written last. Without one there is no backup."""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, ValidationError

from limner.actors.archivist.target import Damaged, NotKept, Target, Written, in_pieces, read_small
from limner.runtime.errors import NotFound

FORMAT = 1
NAME = re.compile(r"(\d{8}-\d{6})-[0-9a-f]{6}")
CENTURY = "2"
"""How the names of all backups begin, and those of objects do not."""
DUMP, INVENTORY, MANIFEST = "database.dump", "inventory.jsonl", "manifest.json"
AUDIT_HEAD = "audit-head.txt"
"""The anchor of the audit's chain at that moment. A file of its own: images of before take no manifest with more in it."""


class Part(BaseModel):
    """A file of the backup."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bytes: int
    sha256: str

    @classmethod
    def of(cls, written: Written) -> Part:
        return cls(bytes=written.bytes, sha256=written.sha256)


class Pictures(Part):
    """The inventory, and what stands in it: ``kept`` objects of ``kept_bytes``; ``gone``: their owners deleted them
    while the copy was made; ``missing``: the storage had lost them already."""

    kept: int
    kept_bytes: int
    gone: int
    missing: int


class Limner(BaseModel):
    """What made it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    schema_head: int
    min_image_head: int


class Server(BaseModel):
    """What it was made of: ``lsn`` is where the server's log stood at the snapshot."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    system_identifier: str
    database: str
    lsn: str
    tools: str


class Keys(BaseModel):
    """Which vault keys open its secrets, told by fingerprints that say nothing else about them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    active: str
    used: list[str]
    fingerprints: dict[str, str]


class Manifest(BaseModel):
    """One backup. ``made_at`` is the moment of the snapshot, ``seconds`` how long all of it took."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int
    name: str
    made_at: datetime
    verified_at: datetime
    seconds: float
    limner: Limner
    server: Server
    vault: Keys
    tables: dict[str, int]
    dump: Part
    pictures: Pictures

    @property
    def size(self) -> int:
        """Bytes that a restore reads."""
        return self.dump.bytes + self.pictures.bytes + self.pictures.kept_bytes


def new_name(at: datetime) -> str:
    """Such as 20261123-120000-1a2b3c: in UTC, so that names sort by time."""
    return f"{at.astimezone(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def time_of(name: str) -> datetime:
    return datetime.strptime(name[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC)


async def write(target: Target, manifest: Manifest) -> None:
    text = manifest.model_dump_json(indent=2).encode() + b"\n"
    await target.write(f"{manifest.name}/{MANIFEST}", in_pieces(text))


async def read(target: Target, name: str) -> Manifest:
    """Raises NotFound when there is no such backup, Damaged when its manifest cannot be believed."""
    if not NAME.fullmatch(name):
        raise NotFound(f"{name!r} is no name of a backup; `limner backups` lists them")
    try:
        text = await read_small(target, f"{name}/{MANIFEST}")
    except NotKept:
        raise NotFound(f"there is no backup {name} in {target.called}; `limner backups` lists them") from None
    try:
        found = Manifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "all of it"
        raise Damaged(f"{name}/{MANIFEST} cannot be read: {where}: {first['msg']}") from None
    if found.name != name or found.format != FORMAT:
        raise Damaged(f"{name}/{MANIFEST} is of {found.name}, in format {found.format}; this image reads {FORMAT}")
    return found


async def names(target: Target) -> list[str]:
    """The backups in the target, the newest last: those with a manifest."""
    return sorted([name async for name, is_whole in folders(target) if is_whole])


async def folders(target: Target) -> AsyncIterator[tuple[str, bool]]:
    """Every folder that is named like a backup, and whether it has a manifest."""
    found: dict[str, bool] = {}
    async for path, _ in target.list(CENTURY):
        name, _, file = path.partition("/")
        if NAME.fullmatch(name):
            found[name] = found.get(name, False) or file == MANIFEST
    for each in found.items():
        yield each


async def resolve(target: Target, name: str) -> str:
    """The name itself, or that of the newest backup for "latest". Raises NotFound."""
    if name != "latest":
        return name
    found = await names(target)
    if not found:
        raise NotFound(f"there is no backup in {target.called}: `limner backup` makes one")
    return found[-1]
