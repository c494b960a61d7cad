"""Passwords: which ones will do, without asking anybody outside, and without making others wait."""

from __future__ import annotations

import subprocess
import sys

import anyio
import pytest

from limner.runtime import passwords
from limner.runtime.errors import Refused
from limner.runtime.passwords import CommonPassword

ABOUT = ("dora@example.com", "Limner")


@pytest.mark.parametrize(
    "password",
    [
        "1234567890", "qwertyuiop", "password123", "Password1234", "Passw0rd!!", "iloveyou123", "aaaaaaaaaaaaaa", "abcdefghij",
        "dora@example.com", "DORA@EXAMPLE.COM", "example.com", "limnerlimner", "limner2026", "p" * 256,
    ],
)  # fmt: skip
async def test_what_would_be_tried_first_is_refused_in_clear_words(password):
    with pytest.raises(CommonPassword, match="among the first that would be tried") as refused:
        await passwords.hash_new(password, ABOUT)
    assert refused.value.field == "password"
    assert password not in str(refused.value)


@pytest.mark.parametrize(
    "password",
    ["correct horse battery", "dora-likes-verdigris", "кошка-собака-луна", "x7#Qm2!vLp", " leading and trailing "],
)
async def test_a_good_one_is_kept_as_it_was_typed(password):
    known = await passwords.hash_new(password, ABOUT)
    assert known.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await passwords.matches(password, known)
    assert not await passwords.matches(password.strip() + " ", known)


async def test_every_character_of_a_long_one_counts():
    long = "a rather long sentence that nobody will guess, ever; " * 4 + "and its end"
    known = await passwords.hash_new(long, ABOUT)
    assert await passwords.matches(long, known)
    assert not await passwords.matches(long[:-1], known)


@pytest.mark.parametrize("password", ["", "short", "x" * 257])
async def test_the_length_has_bounds(password):
    with pytest.raises(Refused, match="10 to 256"):
        await passwords.hash_new(password, ABOUT)


async def test_an_account_without_a_password_is_opened_by_none():
    known = await passwords.hash_nothing()
    assert not await passwords.matches("", known)
    assert known != await passwords.hash_nothing()


def test_who_only_signs_in_never_loads_the_common_ones():
    code = "import sys, limner.http.app; sys.exit('zxcvbn' in sys.modules)"
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False).returncode == 0


async def test_the_loop_goes_on_while_a_password_is_looked_at():
    turned = 0

    async def turn() -> None:
        nonlocal turned
        while True:
            turned += 1
            await anyio.sleep(0)

    async with anyio.create_task_group() as group:
        group.start_soon(turn)
        before = turned
        await passwords.hash_new("correct horse battery", ABOUT)
        assert turned > before + 1
        group.cancel_scope.cancel()
