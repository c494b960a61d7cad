"""One-time passwords by the clock (RFC 6238): 6 digits, 30 seconds, SHA-1, as every authenticator app has them."""

from __future__ import annotations

import hmac
import secrets

import pyotp

STEP = 30
"""Seconds."""
DRIFT = 1
"""Steps that a telephone's clock may be ahead or behind."""
SIGNS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""Of recovery codes: none looks like another."""


def fresh_secret() -> str:
    """160 bits in base32, as an authenticator app takes them."""
    return pyotp.random_base32()


def address(secret: str, name: str, issuer: str) -> str:
    """The otpauth:// address of a QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=issuer)


def code_at(secret: str, step: int) -> str:
    return pyotp.TOTP(secret).generate_otp(step)


def step_of(secret: str, code: str, now: float) -> int | None:
    """The time step whose code this is, of those that count at ``now`` (seconds from 1970); None: of none."""
    current = int(now) // STEP
    fits = [step for step in range(current - DRIFT, current + DRIFT + 1) if _same(code_at(secret, step), code)]
    return max(fits, default=None)


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode(errors="replace"))


def recovery_code() -> str:
    """80 bits in four groups: ABCD-EFGH-JKLM-NPQR."""
    signs = [secrets.choice(SIGNS) for _ in range(16)]
    return "-".join("".join(signs[start : start + 4]) for start in range(0, 16, 4))
