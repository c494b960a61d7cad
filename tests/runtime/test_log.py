"""Logs: no secret gets into them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from limner.runtime.log import redact


@pytest.mark.parametrize(("said", "shown"), [
    ("GET https://api.telegram.org/bot123456:AAF-canary_x/getMe", "GET https://api.telegram.org/bot***/getMe"),
    ("Authorization: Bearer sk-canarycanary", "Authorization: Bearer ***"),
    ("postgresql://limner:canary@host/db", "postgresql://limner:***@host/db"),
    ("Incorrect API key provided: sk-proj-canary1234", "Incorrect API key provided: sk-***"),
])  # fmt: skip
def test_what_looks_like_a_secret_is_cut_out(said, shown):
    assert redact(said) == shown


def test_not_from_exceptions_and_not_by_name():
    code = """
from limner.runtime import log
log.set_up("test", "json", "debug")
try:
    raise ValueError("postgresql://limner:canary@host/db")
except ValueError:
    log.logger("x").exception("failed", api_key="canary", nested="Bearer canarycanary")
import logging; logging.getLogger("aiohttp").warning("at https://api.telegram.org/bot1:canarycanary/x")
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert "canary" not in done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == 2
