"""The inventory of a backup: every object of the storage that the database names, with its SHA-256."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Literal

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from limner.actors.archivist.manifest import INVENTORY, Manifest
from limner.actors.archivist.target import CHUNK, Damaged, Target, checked

OBJECTS = "objects/"
"""Where the target keeps them, shared by all backups: they never change, so each is copied once."""


class Entry(BaseModel):
    """One object. ``gone``: its owner deleted it while the copy was made; ``missing``: the storage had lost it already."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    mime: str
    bytes: int
    sha256: str
    state: Literal["kept", "gone", "missing"] = "kept"

    @property
    def name(self) -> str:
        """What the target calls it."""
        return OBJECTS + self.key


async def encode(entries: Iterable[Entry]) -> AsyncIterator[bytes]:
    """One JSON object a line, in pieces."""
    held = bytearray()
    for entry in entries:
        held += orjson.dumps(entry.model_dump()) + b"\n"
        if len(held) >= CHUNK:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)


async def read(target: Target, manifest: Manifest) -> list[Entry]:
    """Raises Damaged when it is not what was written."""
    part, data = manifest.pictures, bytearray()
    async for chunk in checked(target, f"{manifest.name}/{INVENTORY}", part.bytes, part.sha256):
        data += chunk
    try:
        return [Entry.model_validate_json(line) for line in data.splitlines()]
    except ValidationError as error:
        raise Damaged(f"{manifest.name}/{INVENTORY} cannot be read: {error.errors()[0]['msg']}") from None


async def sizes(target: Target) -> dict[str, int]:
    """Every object that the target has, by its key."""
    return {name.removeprefix(OBJECTS): size async for name, size in target.list(OBJECTS)}
