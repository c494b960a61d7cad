"""One-time passwords: the RFC's own figures, one step of drift and no more, and recovery codes that nobody misreads."""

from __future__ import annotations

import base64
import re

import pytest

from limner.runtime import otp

RFC = base64.b32encode(b"12345678901234567890").decode()
"""RFC 6238, appendix B, which shows eight digits: ours are the last six."""


@pytest.mark.parametrize(
    "now, code", [(59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (20000000000, "353130")]
)
def test_the_codes_are_those_of_the_rfc(now, code):
    assert otp.code_at(RFC, now // otp.STEP) == code
    assert otp.step_of(RFC, code, now) == now // otp.STEP


@pytest.mark.parametrize("off, fits", [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_clock_may_be_off_by_one_step(off, fits):
    step = 1111111109 // otp.STEP
    found = otp.step_of(RFC, otp.code_at(RFC, step + off), step * otp.STEP + 29.9)
    assert found == (step + off if fits else None)


@pytest.mark.parametrize("code", ["", "28708", "2870822", "２８７０８２", "\udcff"])
def test_what_is_no_code_fits_nowhere(code):
    assert otp.step_of(RFC, code, 59) is None


def test_a_secret_has_160_bits_and_an_app_can_read_it():
    secret = otp.fresh_secret()
    assert len(base64.b32decode(secret)) == 20
    address = otp.address(secret, "alice@example.com", "Limner")
    assert address == f"otpauth://totp/Limner:alice%40example.com?secret={secret}&issuer=Limner"


def test_recovery_codes_differ_and_have_no_signs_that_look_alike():
    codes = {otp.recovery_code() for _ in range(1000)}
    assert len(codes) == 1000
    assert all(re.fullmatch(r"[A-HJ-NP-Z2-9]{4}(-[A-HJ-NP-Z2-9]{4}){3}", code) for code in codes)
    assert len(otp.SIGNS) == 32, "16 signs are 80 bits"
