"""Answers as they were captured or documented, over real HTTP: each is exactly one fault, with its delay."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from limner.actors.providers import gemini_answers
from limner.actors.providers.base import WORDS, Access, Fault, Order, UpstreamError, provider
from tests.providers.captured import FOLDER, Captured, captured
from tests.providers.conftest import Steps
from tests.providers.troupe import TROUPE
from tests.upstreams.base import Script, Upstream


@pytest.fixture
async def upstream(request: pytest.FixtureRequest) -> AsyncIterator[Upstream]:
    async with TROUPE[request.node.callspec.params["answer"].painter].upstream().serve() as running:
        yield running


@pytest.mark.parametrize("answer", captured(*TROUPE))
async def test_a_captured_answer_is_exactly_one_fault(answer: Captured, upstream: Upstream) -> None:
    model, key = TROUPE[answer.painter].model, TROUPE[answer.painter].key
    upstream.script(key, Script(answer.status, answer.raw, answer.headers))
    access = Access(key, upstream.base_url, timeout=20, is_local=True)
    with pytest.raises(UpstreamError) as caught:
        await provider(answer.painter).paint(Order("a fox", model, 1024, 1024, seed=1), access, Steps())
    assert caught.value.fault == Fault(answer.fault), caught.value.detail
    assert caught.value.is_daily is answer.daily
    told = re.sub(r" \([a-z, ]+\)\.$", ".", caught.value.words)  # the categories of a refusal
    assert told == WORDS[caught.value.fault], "a user never reads an upstream's text"
    assert key not in repr(vars(caught.value))
    if answer.after == "reset":
        assert caught.value.after == pytest.approx(gemini_answers.until_reset(datetime.now(UTC)), abs=5)
    else:
        assert caught.value.after == answer.after


def test_there_are_enough_of_them() -> None:
    """Those of the two markets are played in test_jobs_over_there.py, each at its step."""
    painters = {folder.name for folder in FOLDER.iterdir()}
    assert painters == {*TROUPE, "fal", "replicate"}
    assert len(captured(*painters)) >= 150
