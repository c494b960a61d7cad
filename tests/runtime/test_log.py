"""Logs: no secret gets into them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from limner.runtime.log import redact


@pytest.mark.parametrize(("said", "shown"), [
    ("GET https://api.telegram.org/bot123456:AAF-canary_x/getMe", "GET https://api.telegram.org/bot***/getMe"),
    ("Authorization: Bearer sk-canarycanary", "Authorization: Bearer ***"),
    ("postgresql://limner:canary@host/db", "postgresql://limner:***@host/db"),
    ("Incorrect API key provided: sk-proj-canary1234", "Incorrect API key provided: sk-***"),
    ("it fails\nDETAIL:  Failing row contains (7, canary\n(two), 512).", "it fails\nDETAIL:  Failing row contains (***)."),
    (
        "invalid input for query argument $5: 'canary (of) 7' (expected str, got int)",
        "invalid input for query argument $5: *** (expected str, got int)",
    ),
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


def test_not_from_what_is_no_text_either_and_each_event_is_one_line_that_names_its_process():
    code = """
from limner.runtime import log
log.set_up("test", "json", "debug")
class Address:
    def __repr__(self): return "postgresql://limner:canary@host/db"
    __str__ = __repr__
log.logger("x").info("done", where=Address(), why=ValueError("Bearer canarycanary"), n=3, ok=True, none=None,
    deep={"token": "canary", "list": [("lines\\nof text", Address())], "fine": 1.5})
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert "canary" not in done.stdout + done.stderr
    (line,) = done.stdout.splitlines()
    said = json.loads(line)
    assert (said["event"], said["role"], said["n"], said["ok"], said["none"]) == ("done", "test", 3, True, None)
    assert isinstance(said["pid"], int)
    assert said["deep"] == {
        "token": "***",
        "list": [["lines\nof text", "postgresql://limner:***@host/db"]],
        "fine": 1.5,
    }
