"""The ledger as a pure model: what each act must answer, and what is left afterwards. It knows no database."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

PRICE = {"demo": 1, "simulator": 3}
"""Credits for a picture."""
CYCLE = 20
"""Credits of a paid month."""
OVER = ("delivered", "failed", "canceled")
Job = tuple[str, int]
"""The order's name, and the picture's number in it."""


@dataclass(frozen=True)
class Act:
    """Something that somebody does. ``fence``: which taking of the job a worker believes to be the last."""

    kind: str
    order: str = ""
    picture: int = 0
    number: int = 0
    model: str = "demo"
    key: str | None = None
    fence: int = 0

    @property
    def job(self) -> Job:
        return self.order, self.picture


@dataclass
class Picture:
    state: str = "queued"
    credits: int = 1
    fence: int | None = None
    refunded: bool = False
    unwanted: bool = False

    @property
    def is_over(self) -> bool:
        return self.state in OVER


@dataclass
class Model:
    """One account."""

    cap: int | None = None
    is_open: bool = True
    available: int = CYCLE
    held: int = 0
    spent: int = 0
    pictures: dict[Job, Picture] = field(default_factory=dict)
    keys: dict[str, tuple[str, int, str]] = field(default_factory=dict)
    paid: set[int] = field(default_factory=set)

    def copy(self) -> Model:
        pictures = {job: Picture(**vars(picture)) for job, picture in self.pictures.items()}
        return Model(
            self.cap, self.is_open, self.available, self.held, self.spent, pictures, dict(self.keys), set(self.paid)
        )

    def apply(self, act: Act) -> Any:
        return getattr(self, f"_{act.kind}")(act)

    @property
    def used(self) -> int:
        """What counts against the plan's cap."""
        return sum(
            each.credits
            for each in self.pictures.values()
            if each.state not in ("failed", "canceled") and not each.refunded
        )

    def seen(self) -> dict[str, Any]:
        """What can be compared with the database."""
        return {
            "balance": (self.available, self.held, self.spent),
            "is_open": self.is_open,
            "pictures": {job: (each.state, each.refunded) for job, each in self.pictures.items()},
        }

    def _order(self, act: Act) -> str:
        asked = (act.order, act.number, act.model)
        if act.key in self.keys:
            known = self.keys[act.key]
            return f"is {known[0]}" if known[1:] == asked[1:] else "KeyReused"
        cost = act.number * PRICE[act.model]
        if not self.is_open:
            return "NoSubscription"
        if cost > self.available:
            return "QuotaExhausted"
        if self.cap is not None and self.used + cost > self.cap:
            return "PlanCapReached"
        if act.key is not None:
            self.keys[act.key] = asked
        for number in range(act.number):
            self.pictures[act.order, number] = Picture(credits=PRICE[act.model])
        self.available -= cost
        self.held += cost
        return f"is {act.order}"

    def _take(self, act: Act) -> str:
        picture = self.pictures[act.job]
        if picture.is_over:
            return "gone"
        picture.state, picture.fence = "running", act.fence
        return "taken"

    def _deliver(self, act: Act) -> str:
        picture = self.pictures[act.job]
        if picture.state != "running" or picture.fence != act.fence:
            return "FenceLost"
        picture.state = "delivered"
        self.held -= picture.credits
        self.spent += picture.credits
        return "done"

    def _fail(self, act: Act) -> str:
        picture = self.pictures[act.job]
        if picture.state != "running" or picture.fence != act.fence:
            return "FenceLost"
        self._release(picture, "failed")
        return "done"

    def _postpone(self, act: Act) -> str:
        picture = self.pictures[act.job]
        if picture.state != "running" or picture.fence != act.fence:
            return "FenceLost"
        if picture.unwanted:
            self._release(picture, "canceled")
        else:
            picture.state, picture.fence = "queued", None
        return "done"

    def _cancel(self, act: Act) -> tuple[int, int]:
        mine = [picture for (order, _), picture in self.pictures.items() if order == act.order]
        waiting = [picture for picture in mine if picture.state == "queued"]
        running = [picture for picture in mine if picture.state == "running"]
        for picture in waiting:
            self._release(picture, "canceled")
        for picture in running:
            picture.unwanted = True
        return len(waiting), len(running)

    def _lose(self, act: Act) -> str:
        """Its deadline passes, and the janitor comes by."""
        if not self.pictures[act.job].is_over:
            self._release(self.pictures[act.job], "failed")
        return "done"

    def _refund(self, act: Act) -> str:
        picture = self.pictures[act.job]
        if picture.state != "delivered" or picture.refunded:
            return "refused"
        picture.refunded = True
        self.available += picture.credits
        self.spent -= picture.credits
        return "done"

    def _adjust(self, act: Act) -> str:
        if self.available + act.number < 0:
            return "QuotaExhausted"
        self.available += act.number
        return "done"

    def _pay(self, act: Act) -> bool:
        if act.number in self.paid:
            return False
        self.paid.add(act.number)
        self.available = CYCLE + (self.available if self.is_open else 0)
        self.is_open = True
        return True

    def _expire(self, act: Act) -> str:
        self.is_open = False
        return "done"

    def _release(self, picture: Picture, state: str) -> None:
        picture.state = state
        self.held -= picture.credits
        self.available += picture.credits
