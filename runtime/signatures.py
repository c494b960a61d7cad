"""Webhook signatures: HMAC-SHA256 over the raw bytes, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac


def sign(secret: str, body: bytes) -> str:
    """As BTCPay and others write it: ``sha256=<hex>``."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def is_signed(secret: str, body: bytes, given: str) -> bool:
    """Whether ``given`` signs these bytes. An empty secret signs nothing: it never holds."""
    return bool(secret) and hmac.compare_digest(sign(secret, body).encode(), given.encode(errors="replace"))


def sign_at(secret: str, body: bytes, moment: int) -> str:
    """As Stripe writes it: ``t=<unix seconds>,v1=<hex>`` over the moment, a dot and the body."""
    return f"t={moment},v1=" + hmac.new(secret.encode(), b"%d." % moment + body, hashlib.sha256).hexdigest()


def is_signed_lately(secret: str, body: bytes, given: str, now: float, tolerance: int = 300) -> bool:
    """Whether ``given`` signs these bytes and is at most ``tolerance`` seconds old.

    It may hold several v1, while a secret is replaced: one that fits is enough. An empty secret signs nothing.
    """
    parts = [part.strip().partition("=") for part in given.split(",")]
    moments = [value for name, _, value in parts if name == "t"]
    if not secret or len(moments) != 1 or not (moments[0].isascii() and moments[0].isdigit() and len(moments[0]) < 13):
        return False
    moment = int(moments[0])
    right = sign_at(secret, body, moment).partition("v1=")[2].encode()
    holds = [hmac.compare_digest(right, value.encode(errors="replace")) for name, _, value in parts if name == "v1"]
    return any(holds) and abs(now - moment) <= tolerance
