"""No answer, however long, keeps a worker from its other pictures: reading it takes time in proportion to its length."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from limner.actors.providers import chat, discretion, fal_answers, gemini_answers, parcels, replicate, stability
from limner.actors.providers.base import Access, Fault, UpstreamError
from limner.actors.providers.relay import RELAYED
from limner.actors.providers.rules import holding
from limner.actors.providers.verdicts import Answer, verdict
from tests.upstreams.relay import chatted

ACCESS = Access("sk-live-abcdefghijklmnopqrstuvwx", "https://relay.example/v1", prompt="a fox")
MOST = 4.0
"""Seconds of processor time; all of these take a tenth, and many times as long where a length is squared."""


@contextlib.contextmanager
def swiftly(most: float = MOST) -> Iterator[None]:
    began = time.process_time()
    yield
    assert time.process_time() - began < most


def drawn(body: dict[str, Any]) -> str:
    return chat.picture(Answer(200, {}, orjson.dumps(body)), ACCESS, RELAYED)


LONG = ["![" * 100_000, "![](" * 100_000, "![fox](" + " " * 400_000, "data:image/" * 50_000, "cannot " * 1_000_000]


@pytest.mark.parametrize("text", LONG, ids=lambda text: text[:9])
def test_what_a_model_says_at_any_length_is_read_in_no_time(text: str) -> None:
    with swiftly(), pytest.raises(UpstreamError) as caught:
        drawn(chatted(text))
    assert caught.value.fault is Fault.NO_IMAGE


def test_a_picture_behind_a_long_text_is_found_and_the_text_beside_one_is_not_read() -> None:
    carried = f"data:image/png;base64,{'A' * 1_000_000}"
    with swiftly():
        assert drawn(chatted(f"{LONG[0]} ![a fox]({carried})")) == carried
        assert drawn(chatted(LONG[0], images=[carried])) == carried


async def test_base64_in_the_place_of_an_address_is_told_of_in_no_time() -> None:
    with swiftly(), pytest.raises(UpstreamError) as caught:
        await parcels.fetched("iVBORw0KGgo" * 5_000_000, ACCESS)
    assert caught.value.detail.startswith("picture at a forbidden address iVBORw0KGgo")


@pytest.mark.parametrize("error", ["out of memory\n" * 3_000_000, "Failing row contains (" * 100_000])
def test_so_is_the_error_of_a_prediction_that_was_canceled(error: str) -> None:
    with swiftly(), pytest.raises(UpstreamError) as caught:
        replicate._address({"status": "canceled", "error": error}, ACCESS)
    assert caught.value.detail.startswith(f"prediction canceled {error[:13]}")


WORDS = ["key", "keyb_", "ip<", "model<", "country ", "moderation_blocked ", "access models ", "version", "disabled "]
TABLES = [RELAYED, fal_answers.RULES, replicate.RULES, replicate.FAILURES, stability.RULES, gemini_answers.RULES]


@pytest.mark.parametrize("word", WORDS)
def test_one_word_of_a_caller_over_and_over_is_judged_in_no_time(word: str) -> None:
    """In a form of which nothing is cut out, it is all that is judged."""
    text, prompt = (word * discretion.JUDGED)[: discretion.JUDGED], "a" * 32_000 + f" {word}"
    with swiftly(1.0):
        for table in TABLES:
            for status in (400, 403, 404, 429, 503):
                holding(status, text, table, (prompt,))


def test_a_code_of_any_length_is_judged_in_no_time() -> None:
    body = {"error": {"code": "moderation_blocked " * 1_000_000, "message": "no"}}
    with swiftly():
        assert verdict(Answer(400, {}, orjson.dumps(body)), (), rules=RELAYED).fault is Fault.MODERATION_INPUT
