"""Failover: what follows from a fault. Pure: which key next, whom to blame, and for how long."""

from __future__ import annotations

import random
from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from limner.actors.providers.base import Fault

DAY_HITS = 3
"""So many failures in a row that name a quota of the day mean that the day is used up, however short the delays."""
VAGUE = 30.0
"""Seconds of a rest over a refusal that may be about the order: one order must not keep a model from everybody else."""
DOUBTERS = 3
"""So many accounts that a key refuses in unknown words, with no picture between them: then it is the key, not an order."""
SHORTEST, LONGEST = 1.0, 86_400.0
"""Seconds of a rest, whatever a provider says: below, trials follow each other; above, a moment was told as a span."""
MOST_WAYS = 3
"""By its proxy, by the backup, straight: so often may one request go to the same key, as long as none of them got through."""


class Blame(StrEnum):
    """Who rests for a fault."""

    NOBODY = "nobody"
    COUNTED = "counted"
    """Nobody rests, but it is held against the key: too many in a row, and somebody should look at it."""
    ORDER = "order"
    """Nobody rests, and the key has shown that it is good."""
    KEY_FOR_MODEL = "key_for_model"
    ROUTE = "route"
    PROXY = "proxy"
    ACCOUNT_GROUP = "account_group"
    KEY_FOR_EVER = "key_for_ever"


@dataclass(frozen=True)
class Reaction:
    """``another``: how many more keys to try after this fault, None for as many as there are.

    ``rest``: seconds for whom is blamed, when the provider does not say; ``least``: those that it rests whatever is said;
    ``grows``: doubled by each failure up to a minute. ``may_cost``: it may have been billed although nothing came.
    """

    blame: Blame
    another: int | None
    rest: float = 0.0
    least: float = SHORTEST
    grows: bool = False
    may_cost: bool = False


REACTIONS = {
    Fault.AUTH_DEAD: Reaction(Blame.KEY_FOR_EVER, None),
    Fault.BALANCE_EXHAUSTED: Reaction(Blame.ACCOUNT_GROUP, None),
    Fault.RATE_LIMITED: Reaction(Blame.KEY_FOR_MODEL, None, rest=30),
    Fault.DAILY_QUOTA: Reaction(Blame.KEY_FOR_MODEL, None),
    Fault.MODEL_UNAVAILABLE: Reaction(Blame.KEY_FOR_MODEL, None, rest=3600),
    Fault.REGION_BLOCKED: Reaction(Blame.ROUTE, None, rest=900),
    Fault.PROXY_FAILED: Reaction(Blame.PROXY, None, rest=5, grows=True),
    Fault.MODERATION_INPUT: Reaction(Blame.ORDER, 0),
    Fault.MODERATION_OUTPUT: Reaction(Blame.ORDER, 0, may_cost=True),
    Fault.NO_IMAGE: Reaction(Blame.ORDER, 1, may_cost=True),
    Fault.INVALID_REQUEST: Reaction(Blame.NOBODY, 0),
    Fault.UPSTREAM_5XX: Reaction(Blame.KEY_FOR_MODEL, None, rest=5, least=5, grows=True),
    Fault.TIMEOUT_UNKNOWN: Reaction(Blame.COUNTED, 1, may_cost=True),
    Fault.CANCELLED: Reaction(Blame.NOBODY, 0),
}


SPENDING = tuple(
    fault
    for fault, reaction in REACTIONS.items()
    if reaction.blame in (Blame.NOBODY, Blame.COUNTED, Blame.ORDER) and reaction.another
)
"""After these nobody rests, and the same order goes to another key: never to the same one again, however long it waits."""


def goes_on(faults: Sequence[str], final: Container[str] = ()) -> bool:
    """Whether the same order may go to another key after these faults, the last of which just happened.

    ``final``: those after which the operator wants no other key tried, since the first may have been billed.
    """
    if faults[-1] in final:
        return False
    another = REACTIONS[Fault(faults[-1])].another
    return another is None or faults.count(faults[-1]) <= another


def is_poison(fault: Fault, before: int, failures: int, *, elsewhere: bool) -> bool:
    """Whether it is the order that breaks them: the same key broke down over it ``before``, and has painted for others since.

    Twice could be a key that stumbles at times: it takes a third, or ``elsewhere``, another key that paints for others and
    broke down over it. ``failures``: how many of the key came in a row before this one. While nobody gets anything the
    order waits on. A refusal in words that nobody knows is such a breakdown, too: it takes pictures to know who paints.
    """
    return (
        fault in (Fault.UPSTREAM_5XX, Fault.MODEL_UNAVAILABLE) and failures == 0 and before >= (1 if elsewhere else 2)
    )


def may_go_another_way(fault: Fault) -> bool:
    """Whether the same key is worth another try by another way: this one was shut, and no picture was begun."""
    return REACTIONS[fault].blame in (Blame.PROXY, Blame.ROUTE)


def rest_seconds(fault: Fault, after: float | None, failures: int) -> float:
    """How long who is blamed rests: what the provider said, within reason, else our own measure; with a little jitter.

    ``failures``: how many came in a row before this one.
    """
    reaction = REACTIONS[fault]
    seconds = min(reaction.rest * 2 ** min(failures, 10), 60) if reaction.grows else reaction.rest
    told = seconds if after is None else min(max(after, reaction.least), LONGEST)
    return told * random.uniform(1.0, 1.1)  # noqa: S311


def until_tomorrow(now: datetime, zone: str) -> float:
    """Seconds until midnight in ``zone``, when quotas of the day begin anew."""
    here = now.astimezone(ZoneInfo(zone))
    midnight = datetime.combine(here.date() + timedelta(days=1), time(), ZoneInfo(zone))
    return midnight.timestamp() - now.timestamp()


def probe_in(every: float) -> float:
    """Seconds until a key that fell out is looked at: between one and two times the setting, so that they spread."""
    return every * random.uniform(1.0, 1.9)  # noqa: S311
