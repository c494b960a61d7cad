"""Failover: what follows from a fault. Pure: which key next, whom to blame, and for how long."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

from limner.actors.providers.base import Fault

MOST_FAILURES = 10
"""More retryable failures of a key in a row than this: somebody should look at it."""


class Blame(StrEnum):
    """Who rests for a fault."""

    NOBODY = "nobody"
    KEY_FOR_MODEL = "key_for_model"
    PROXY = "proxy"
    ACCOUNT_GROUP = "account_group"
    KEY_FOR_EVER = "key_for_ever"


@dataclass(frozen=True)
class Reaction:
    """``another``: how many more keys to try after this fault, None for as many as there are.

    ``rest``: seconds for whom is blamed, when the provider does not say; ``grows``: doubled by each failure up to a minute.
    """

    blame: Blame
    another: int | None
    rest: float = 0.0
    grows: bool = False


REACTIONS = {
    Fault.AUTH_DEAD: Reaction(Blame.KEY_FOR_EVER, None),
    Fault.BALANCE_EXHAUSTED: Reaction(Blame.ACCOUNT_GROUP, None),
    Fault.RATE_LIMITED: Reaction(Blame.KEY_FOR_MODEL, None, rest=30, grows=False),
    Fault.DAILY_QUOTA: Reaction(Blame.KEY_FOR_MODEL, None, rest=3600),
    Fault.MODEL_UNAVAILABLE: Reaction(Blame.KEY_FOR_MODEL, None, rest=3600),
    Fault.REGION_BLOCKED: Reaction(Blame.KEY_FOR_MODEL, None, rest=900),
    Fault.PROXY_FAILED: Reaction(Blame.PROXY, None),
    Fault.MODERATION_INPUT: Reaction(Blame.NOBODY, 0),
    Fault.MODERATION_OUTPUT: Reaction(Blame.NOBODY, 0),
    Fault.NO_IMAGE: Reaction(Blame.NOBODY, 1),
    Fault.INVALID_REQUEST: Reaction(Blame.NOBODY, 0),
    Fault.UPSTREAM_5XX: Reaction(Blame.KEY_FOR_MODEL, None, rest=5, grows=True),
    Fault.TIMEOUT_UNKNOWN: Reaction(Blame.NOBODY, 1),
    Fault.CANCELLED: Reaction(Blame.NOBODY, 0),
}


def goes_on(faults: list[Fault]) -> bool:
    """Whether the same order may go to another key after these faults, the last of which just happened."""
    another = REACTIONS[faults[-1]].another
    return another is None or faults.count(faults[-1]) <= another


def rest_seconds(fault: Fault, after: float | None, failures: int) -> float:
    """How long who is blamed rests: what the provider said, else our own measure, with a little jitter.

    ``failures``: how many came in a row before this one.
    """
    reaction = REACTIONS[fault]
    seconds = reaction.rest * 2**failures if reaction.grows else reaction.rest
    seconds = min(seconds, 60) if reaction.grows else seconds
    return (after if after is not None else seconds) * random.uniform(1.0, 1.1)  # noqa: S311
