"""The low-water marks of one mailbox: below them stand only dead rows, which no claim has to step over."""

from __future__ import annotations

from collections.abc import Sequence

from limner.runtime.mailbox import Claimed, Mark


class Marks:
    """One for the claims that begin with what matters most, and one for those that begin with what matters least.

    A mark counts only while batches come full, all of one priority: what waits then stands above it. Positions are
    drawn before they are committed, so below a mark may stand what committed late: it is forgotten once a second.
    """

    def __init__(self) -> None:
        self._marks: dict[bool, Mark] = {}
        self._is_doubted = False

    def doubt(self) -> None:
        """The next claim goes without a mark. Not the one that is on its way: it would set its mark again."""
        self._is_doubted = True

    def above(self, humbly: bool) -> Mark | None:
        """Where the next claim begins."""
        if self._is_doubted:
            self._marks.clear()
            self._is_doubted = False
        return self._marks.get(humbly)

    def learn(self, batch: Sequence[Claimed], humbly: bool, *, is_full: bool) -> bool:
        """What a claim took. Returns whether the mailbox is known to hold no more."""
        above = self._marks.pop(humbly, None)
        if is_full and len(batch) > 1 and batch[0].priority == batch[-1].priority:
            self._marks[humbly] = Mark(batch[-1].priority, batch[-1].pos)
        return not is_full and above is None and not humbly
