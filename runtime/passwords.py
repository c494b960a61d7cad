"""Password hashing: argon2id in a few threads of its own, so that sign-ins never starve the pages."""

from __future__ import annotations

from functools import cache

import anyio
from anyio import to_thread
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

# OWASP's minimum: 19 MiB, 2 passes, 1 lane; about 50 ms. argon2-cffi's own default would let a flood take 64 MiB each.
HASHER = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
SHORTEST, LONGEST = 10, 256


@cache
def _lane() -> anyio.CapacityLimiter:
    return anyio.CapacityLimiter(2)


@cache
def _nobody() -> str:
    return HASHER.hash("the password of nobody at all")


async def hash_password(password: str) -> str:
    return await to_thread.run_sync(HASHER.hash, password, limiter=_lane())


async def matches(password: str, known: str | None) -> bool:
    """Whether the password is the one of this hash. An unknown account (None) takes as long as a wrong password."""
    return await to_thread.run_sync(_matches, password, known, limiter=_lane())


def is_outdated(known: str) -> bool:
    """Whether the hash was made with other parameters than today's."""
    return HASHER.check_needs_rehash(known)


def _matches(password: str, known: str | None) -> bool:
    try:
        return HASHER.verify(known or _nobody(), password) and known is not None
    except (VerificationError, InvalidHashError):
        return False
