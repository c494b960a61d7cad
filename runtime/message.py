"""Messages: what a row of a mailbox is in the code, and the proof that whoever works on it owns it."""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass
from typing import Any, ClassVar, Self
from uuid import UUID


@dataclass(frozen=True)
class Fence:
    """Proof of ownership: this message, by this worker, at this attempt."""

    id: int
    owner: UUID
    attempt: int


@dataclass(frozen=True)
class Message:
    """Base of all messages: frozen dataclasses, named in the imperative, that live in one mailbox."""

    mailbox: ClassVar[str]
    fair: ClassVar[bool] = False
    """Whether its senders put it into partitions that take turns: all messages of a mailbox, or none."""
    fence: Fence = dataclasses.field(init=False, repr=False, compare=False, default=Fence(0, UUID(int=0), 0))

    def payload(self) -> dict[str, Any]:
        return {name: _plain(getattr(self, name)) for name in _shape(type(self))[0]}

    @classmethod
    def revive(cls, payload: dict[str, Any], fence: Fence) -> Self:
        ids = _shape(cls)[1]
        message = cls(
            **{name: UUID(payload[name]) if name in ids else payload[name] for name in payload} if ids else payload
        )
        object.__setattr__(message, "fence", fence)
        return message


def _shape(message: type) -> tuple[tuple[str, ...], frozenset[str]]:
    """The names of its fields, and which of them are UUIDs: JSON has only their text."""
    if message not in _SHAPES:
        names = tuple(field.name for field in dataclasses.fields(message) if field.name != "fence")
        hints = typing.get_type_hints(message)
        _SHAPES[message] = names, frozenset(name for name in names if hints[name] is UUID)
    return _SHAPES[message]


_SHAPES: dict[type, tuple[tuple[str, ...], frozenset[str]]] = {}


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, UUID) else value
