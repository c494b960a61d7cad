"""The image sets that have been in service here, newest last, so that the way back is known."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from limner.actors.shipwright import choices
from limner.actors.shipwright.fleet import NOTES, Images
from limner.runtime.errors import Refused

FILE = "sets.json"
KEPT = 5


@dataclass(frozen=True)
class Release:
    """One set. ``head``: its newest migration. ``backup``: what was saved before the set came; "" for none."""

    number: int
    images: Images
    head: int | None
    since: str
    by: str
    backup: str = ""

    def __str__(self) -> str:
        return f"set {self.number} ({self.images})"


@dataclass(frozen=True)
class Book:
    """The recorded sets. ``current``: the number of the one in service; 0 when nothing was recorded yet."""

    path: Path
    current: int
    releases: tuple[Release, ...]

    def __iter__(self) -> Iterator[Release]:
        return iter(self.releases)

    @property
    def in_service(self) -> Release | None:
        return next((each for each in self if each.number == self.current), None)

    @property
    def before(self) -> Release | None:
        """The set that served before the one that does."""
        return max((each for each in self if each.number < self.current), key=lambda each: each.number, default=None)

    def find(self, number: int) -> Release:
        """Raises Refused, which names those that there are."""
        found = next((each for each in self if each.number == number), None)
        if found is None:
            there = ", ".join(str(each.number) for each in self) or "none at all"
            raise Refused(f"--to: there is no set {number}; recorded are: {there}", field="to")
        return found

    def backup_after(self, release: Release) -> str:
        """The backup that was taken when this set was left; "" when there was none."""
        later = (each.backup for each in self if each.number > release.number and each.backup)
        return next(later, "")

    def take(self, images: Images, head: int | None, by: str, backup: str = "") -> Book:
        """A new set in service; the oldest beyond KEPT are forgotten."""
        number = max((each.number for each in self), default=0) + 1
        release = Release(number, images, head, datetime.now(UTC).isoformat(timespec="seconds"), by, backup)
        return self._write(number, (*self.releases, release)[-KEPT:])

    def put_back(self, release: Release) -> Book:
        """An earlier set in service again; what came after it stays known."""
        return self._write(release.number, self.releases)

    def _write(self, current: int, releases: tuple[Release, ...]) -> Book:
        choices.replace(
            self.path, json.dumps({"current": current, "sets": [asdict(each) for each in releases]}, indent=2)
        )
        return replace(self, current=current, releases=releases)


def read(folder: Path) -> Book:
    """What is recorded in this installation's folder. Raises Refused when the file was tampered with."""
    path = folder / NOTES / FILE
    if not path.exists():
        return Book(path, 0, ())
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        sets = tuple(Release(**(each | {"images": Images(**each["images"])})) for each in found["sets"])
        return Book(path, int(found["current"]), sets)
    except (ValueError, KeyError, TypeError) as error:
        raise Refused(f"{path} cannot be read ({error}): move it away to begin a new one") from None
