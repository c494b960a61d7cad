"""What upstreams tell of tokens comes out in one form, and what makes no sense is left out."""

from __future__ import annotations

import pytest

from limner.actors.providers import usages
from limner.sql.usages import NOTHING, Parts, Usage, kept, total

IMAGES = {
    "input_tokens": 110, "input_tokens_details": {"text_tokens": 10, "image_tokens": 100},
    "output_tokens": 1000, "total_tokens": 1110,
}  # fmt: skip
TOLD = Usage(110, Parts(10, 100), 1000, 1110)
CHAT = {"prompt_tokens": 20, "completion_tokens": 1290}
GEMINI = {
    "promptTokenCount": 278, "candidatesTokenCount": 1130, "thoughtsTokenCount": 200, "totalTokenCount": 1608,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 20}, {"modality": "IMAGE", "tokenCount": 258}],
    "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1120}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        (IMAGES, TOLD),
        (
            IMAGES | {"output_tokens_details": {"image_tokens": 990, "text_tokens": 10}},
            Usage(110, Parts(10, 100), 1000, 1110, Parts(10, 990)),
        ),
        (CHAT, Usage(20, Parts(20, 0), 1290, 1310)),
        (
            CHAT | {"completion_tokens_details": {"image_tokens": 1200, "reasoning_tokens": 0}},
            Usage(20, Parts(20, 0), 1290, 1310, Parts(90, 1200)),
        ),
        (CHAT | {"prompt_tokens_details": {"cached_tokens": 5}}, Usage(20, Parts(20, 0), 1290, 1310)),
        (IMAGES | {"total_tokens": 1300}, Usage(110, Parts(10, 100), 1000, 1300)),
    ],
)
def test_openais_words_and_a_chats_mean_the_same(told: object, meant: Usage) -> None:
    assert usages.openai(told) == meant


def test_thoughts_are_words_that_come_out() -> None:
    assert usages.gemini(GEMINI) == Usage(278, Parts(20, 258), 1330, 1608, Parts(210, 1120))
    bare = {"promptTokenCount": 20, "candidatesTokenCount": 1120}
    assert usages.gemini(bare) == Usage(20, Parts(20, 0), 1120, 1140)


@pytest.mark.parametrize(
    "odd",
    [
        None, "110", [], 7, {}, {"total_tokens": 1110}, {"input_tokens": 110}, {"output_tokens": 110},
        IMAGES | {"input_tokens": -1}, IMAGES | {"input_tokens": "110"}, IMAGES | {"output_tokens": True},
        IMAGES | {"output_tokens": 1000.5}, IMAGES | {"output_tokens": 10**12}, IMAGES | {"output_tokens": None},
        {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}, {"cost": 0.04},
    ],
)  # fmt: skip
def test_what_is_odd_is_no_usage_and_no_error(odd: object) -> None:
    assert usages.openai(odd) is None


@pytest.mark.parametrize(
    "odd",
    [
        None, [], {}, {"promptTokenCount": 20}, GEMINI | {"thoughtsTokenCount": -1}, GEMINI | {"promptTokenCount": "20"},
        {"promptTokenCount": 0, "candidatesTokenCount": 0},
    ],
)  # fmt: skip
def test_nor_of_gemini(odd: object) -> None:
    assert usages.gemini(odd) is None


@pytest.mark.parametrize(
    "details",
    [
        "x",
        [1],
        {"image_tokens": 111},
        {"image_tokens": -5},
        {"text_tokens": 60, "image_tokens": 60},
        {"text_tokens": 1e9},
    ],
)
def test_odd_details_spoil_only_themselves(details: object) -> None:
    told = usages.openai(
        IMAGES | {"input_tokens_details": details, "output_tokens_details": details, "output_tokens": 110}
    )
    assert told == Usage(110, Parts(110, 0), 110, 1110)
    spoiled = usages.gemini(GEMINI | {"promptTokensDetails": details, "candidatesTokensDetails": [details]})
    assert spoiled is not None
    assert spoiled.input_tokens_details == Parts(278, 0)


def test_several_together_are_those_that_were_told() -> None:
    apart = Usage(20, Parts(20, 0), 1000, 1020, Parts(0, 1000))
    assert total([TOLD, None, apart]) == Usage(130, Parts(30, 100), 2000, 2130)
    assert total([apart, apart]) == Usage(40, Parts(40, 0), 2000, 2040, Parts(0, 2000))
    assert total([None]) is None
    assert "output_tokens_details" not in NOTHING.fields


def test_nothing_is_kept_of_nothing() -> None:
    assert kept(None) is None
