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
