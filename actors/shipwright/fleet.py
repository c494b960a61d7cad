"""Fleet: the few things that an upgrade needs of whatever runs the roles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from limner.actors.shipwright.command import Done, Talk
from limner.runtime.errors import LimnerError, Refused

ORDER = ("web-b", "web", "worker", "bot", "archivist")
"""In which the roles are replaced. With two webs, one always answers."""
NOTES = ".limner"
"""The folder, beside what runs the roles, in which upgrades keep their notes."""


@dataclass(frozen=True)
class Images:
    """What the roles run: ``app`` for all of them, ``ops`` for the archivist. "" when there is no such image."""

    app: str
    ops: str = ""

    def __str__(self) -> str:
        return f"{self.app} and {self.ops}" if self.ops else self.app


class Broken(LimnerError):
    """Something of a release does not work. ``logs`` is what it said last; it may be long."""

    exit_code = 2

    def __init__(self, message: str, logs: str = "") -> None:
        super().__init__(message)
        self.logs = logs


class Fleet(Protocol):
    """Runs the roles. Deadlines are seconds; each call has one of its own where none is given."""

    folder: Path

    async def check(self) -> str:
        """What runs the roles, in words. Raises Refused when it cannot be worked with."""

    async def now(self) -> Images:
        """The set that is pinned: what a start from nothing would run."""

    async def roles(self) -> list[str]:
        """Those that this installation has, in ORDER."""

    async def resolve(self, images: Images) -> Images:
        """Fetch them, and name them so that each name means this very image for ever. Raises Refused."""

    async def head(self, images: Images) -> int | None:
        """The newest migration that the app image carries; None when that cannot be told."""

    async def run(self, images: Images, command: Sequence[str], within: float) -> Done:
        """`limner COMMAND` once, with this set, beside the roles, with their settings and secrets."""

    async def talk(self, images: Images, command: Sequence[str]) -> Talk:
        """The same for a command that stays, reads its standard input, and ends with it."""

    async def rehearse(self, role: str, images: Images, within: float) -> None:
        """Start the role beside the one that runs, wait until it is healthy, stop it again. Raises Broken."""

    async def replace(self, roles: Sequence[str], images: Images, within: float, grace: int | None = None) -> None:
        """Stop these roles, start them with this set, wait until all are healthy. Raises Broken, with their logs.

        ``grace``: seconds that running work may take to finish, instead of the usual.
        """

    async def knock(self, role: str, path: str) -> int:
        """The status with which this web answers, 0 for no answer."""

    async def health(self, role: str) -> Done:
        """`limner health` of a role, where it runs."""

    async def pin(self, images: Images) -> None:
        """Make this the set that a start from nothing runs. All of it, or nothing."""

    async def free_space(self, database_folder: str) -> int | None:
        """Bytes free where the database lies; None when that cannot be told."""

    def words(self, *command: str, images: Images | None = None) -> str:
        """How an operator types `limner COMMAND`, here; with a set of images when it has to be that one."""

    def stop_words(self, roles: Sequence[str]) -> str:
        """How an operator stops these roles, here."""


def open_fleet(folder: Path) -> Fleet:
    """What runs the roles of the installation in this folder. Raises Refused."""
    from limner.actors.shipwright.compose import ComposeFleet
    from limner.actors.shipwright.processes import MAP, ProcessFleet

    if (folder / NOTES / MAP).is_file():
        return ProcessFleet(folder)
    if (folder / "docker-compose.yml").is_file():
        return ComposeFleet(folder)
    raise Refused(
        f"--folder: {str(folder)!r} is no installation: there is neither docker-compose.yml nor {NOTES}/{MAP} in it",
        field="folder",
    )
