"""One deployment at a time: a lock in the folder and one in the database, and an entry in the audit of what became of it."""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import json
import os
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio

from limner.actors.shipwright.command import Talk
from limner.actors.shipwright.fleet import NOTES, Fleet, Images
from limner.runtime.errors import Refused
from limner.runtime.report import Line, Say

LOCK = "deploy.lock"
ANSWER_WITHIN = 90.0
"""Seconds for a container to start, and for the database to say whether somebody else deploys."""


@dataclass
class Deployment:
    """The right to replace roles. ``left_over``: what an earlier one left undone, killed or helpless; "" for nothing.

    ``is_settled``: all roles run what is pinned, so that there is nothing to tell the next one.
    """

    who: str
    left_over: str
    is_settled: bool = True
    talk: Talk | None = None

    async def record(self, action: str, before: dict[str, Any], after: dict[str, Any]) -> bool:
        """Write it into the audit; False when that was not possible."""
        if self.talk is None:
            return False
        await self.talk.tell(json.dumps({"action": action, "before": before, "after": after}))
        return _reply(await self.talk.hear(ANSWER_WITHIN)).get("recorded") is True


def me() -> str:
    """Who is at it, such as ann@art."""
    try:
        user = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


@contextlib.asynccontextmanager
async def deployment(fleet: Fleet, doing: str, guards: Sequence[Images], say: Say) -> AsyncIterator[Deployment]:
    """The only deployment there is, as long as the block lasts.

    ``guards``: sets that can ask the database, the most trusted first; when none of them can, the lock in the folder
    has to do. Raises Refused, which names whoever is at it already.
    """
    with _folder_lock(fleet.folder, me(), doing) as found:
        if found.left_over:
            say(Line("deploy.left_over", "warn", f"{found.left_over} was cut off: whatever it began is put right now"))
        try:
            found.talk = await _database_lock(fleet, guards, found.who, doing, say)
            yield found
        finally:
            if found.talk is not None:
                with anyio.CancelScope(shield=True):
                    await found.talk.close()


@contextlib.contextmanager
def _folder_lock(folder: Path, who: str, doing: str) -> Iterator[Deployment]:
    """The kernel gives the lock back, however we end; what stands in the file then tells the next one of it."""
    path = folder / NOTES / LOCK
    path.parent.mkdir(exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(f"{_words(path)} is under way; wait for its end", code="deploying") from None
        left_over = _words(path) if path.stat().st_size else ""
        since = datetime.now(UTC).isoformat(timespec="seconds")
        _overwrite(file, json.dumps({"who": who, "pid": os.getpid(), "since": since, "doing": doing}))
        found = Deployment(who, left_over)
        try:
            yield found
        finally:
            if found.is_settled:
                _overwrite(file, "")


def _overwrite(file: Any, text: str) -> None:
    file.seek(0)
    file.truncate()
    file.write(text)
    file.flush()
    os.fsync(file.fileno())


def _words(path: Path) -> str:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return f"{told['doing']} by {told['who']} since {told['since']} (process {told['pid']})"
    except (ValueError, KeyError, TypeError):
        return f"a deployment that has just begun, or {path} was tampered with: it"


async def _database_lock(fleet: Fleet, guards: Sequence[Images], who: str, doing: str, say: Say) -> Talk | None:
    trouble = ""
    for images in guards:
        talk = await fleet.talk(images, ["deploy-guard", "--who", who, "--doing", doing])
        try:
            answer = _reply(await talk.hear(ANSWER_WITHIN))
        except BaseException:
            await talk.close()
            raise
        if answer.get("held"):
            return talk
        trouble = await talk.close() or f"{images.app} did not answer"
        if "holder" in answer:
            raise Refused(f"somebody else deploys to this database: {answer['holder']}", code="deploying")
    words = f"the lock in the database cannot be had, the one in the folder has to do: {trouble.splitlines()[-1]}"
    say(Line("deploy.lock", "warn", words, "make sure that nobody deploys from another machine"))
    return None


def _reply(line: str) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        found = json.loads(line)
        return found if isinstance(found, dict) else {}
    return {}
