"""Passwords: which ones will do, and argon2id, in a few threads of their own, so that sign-ins never starve the pages."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from functools import cache

import anyio
from anyio import to_thread
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from limner.runtime.errors import Refused

# OWASP's minimum: 19 MiB, 2 passes, 1 lane; about 50 ms. argon2-cffi's own default would let a flood take 64 MiB each.
HASHER = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
SHORTEST, LONGEST = 10, 256
LOOKED_AT = 100
"""Characters: 50 random ones take zxcvbn 25 ms already, and twice as many four times as long."""
WEAKEST = 2
"""Of zxcvbn's 0 to 4: about a million guesses. Below are the common ones, and what differs from them by a digit."""


class CommonPassword(Refused):
    """This password is among the first that would be tried. Please take another: a few unrelated words work well."""

    def __init__(self) -> None:
        super().__init__(self.__doc__ or "", field="password", code="common_password")


@cache
def _lane() -> anyio.CapacityLimiter:
    return anyio.CapacityLimiter(2)


@cache
def _nobody() -> str:
    return HASHER.hash("the password of nobody at all")


async def hash_new(password: str, about: Sequence[str] = ()) -> str:
    """The hash of a password that somebody chose. ``about``: words that must not be all of it, such as the address.

    Raises Refused for a wrong length, CommonPassword.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise Refused(f"A password has {SHORTEST} to {LONGEST} characters, not {len(password)}.", field="password")
    if await to_thread.run_sync(_is_common, password, about, limiter=_lane()):
        raise CommonPassword
    return await hash_password(password)


async def hash_nothing() -> str:
    """The hash for an account that has no password yet: of one that nobody knows."""
    return await hash_password(secrets.token_urlsafe(32))


async def hash_password(password: str) -> str:
    return await to_thread.run_sync(HASHER.hash, password, limiter=_lane())


async def matches(password: str, known: str | None) -> bool:
    """Whether the password is the one of this hash. An unknown account (None) takes as long as a wrong password."""
    return await to_thread.run_sync(_matches, password, known, limiter=_lane())


def is_outdated(known: str) -> bool:
    """Whether the hash was made with other parameters than today's."""
    return HASHER.check_needs_rehash(known)


def _is_common(password: str, about: Sequence[str]) -> bool:
    from zxcvbn import zxcvbn  # 2 MB of common words: only for who chooses a password

    known = {part for words in about for part in (words, *words.replace("@", " ").split()) if part}
    found = zxcvbn(password[:LOOKED_AT], sorted(known), max_length=LOOKED_AT)
    return password.lower() in {words.lower() for words in known} or bool(found["score"] < WEAKEST)


def _matches(password: str, known: str | None) -> bool:
    try:
        return HASHER.verify(known or _nobody(), password) and known is not None
    except (VerificationError, InvalidHashError):
        return False
