"""How many days the certificate of the public address lasts, asked as a browser would."""

from __future__ import annotations

import asyncio
import ssl
import time
from typing import NamedTuple
from urllib.parse import urlsplit

import anyio

from limner.runtime.errors import Busy

PATIENCE = 8.0
HAS_RUN_OUT = 10
IS_FOR_ANOTHER_NAME = 62
"""What OpenSSL calls them (X509_V_ERR_…)."""
DAY = 86400.0
OVER, NOT_OURS = "has run out", "is for another name"
"""What is wrong with a certificate beside its days."""


class Certificate(NamedTuple):
    """``words``: what is wrong with it, where that is not the days alone."""

    days: float
    words: str = ""


async def look(public_url: str, context: ssl.SSLContext | None = None) -> Certificate | None:
    """None where there is nothing to be said: no https, or an authority that nobody here knows. Raises Busy: nobody answers."""
    parts = urlsplit(public_url)
    if parts.scheme != "https" or not parts.hostname:
        return None
    try:
        with anyio.fail_after(PATIENCE):
            ends = await _ends(parts.hostname, parts.port or 443, context or ssl.create_default_context())
    except ssl.SSLCertVerificationError as error:
        return _refused(error)
    except (OSError, TimeoutError) as error:
        raise Busy(f"{parts.hostname} shows no certificate: {error}") from None
    return Certificate((ends - time.time()) / DAY)


async def _ends(host: str, port: int, context: ssl.SSLContext) -> float:
    """Raises OSError, of which SSLError is one."""
    _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host)
    try:
        return float(ssl.cert_time_to_seconds(writer.get_extra_info("peercert")["notAfter"]))
    finally:
        writer.close()


def _refused(error: ssl.SSLCertVerificationError) -> Certificate | None:
    """An authority of one's own, such as Caddy's in a trial, renews by itself, and only its own browsers know it."""
    if error.verify_code == HAS_RUN_OUT:
        return Certificate(0.0, OVER)
    if error.verify_code == IS_FOR_ANOTHER_NAME:
        return Certificate(0.0, NOT_OURS)
    return None
