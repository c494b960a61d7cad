"""The shared vocabulary keeps its promises: fault names, the registry, and silence about secrets."""

from __future__ import annotations

from dataclasses import replace

import pytest

from limner.actors.providers.base import KINDS, WORDS, Access, Fault, UpstreamError, provider
from limner.actors.providers.details import LIMIT, READ, clean
from limner.runtime.errors import LimnerError, NotFound
from limner.sql.models import MARKUP
from tests.providers.conftest import Steps, an_order
from tests.upstreams.base import painted

SECRET = "sk-very-secret-0123456789"


def test_the_faults_are_those_of_the_protocol_page() -> None:
    assert {str(fault) for fault in Fault} == {
        "auth_dead",
        "balance_exhausted",
        "rate_limited",
        "daily_quota",
        "model_unavailable",
        "region_blocked",
        "proxy_failed",
        "moderation_input",
        "moderation_output",
        "no_image",
        "invalid_request",
        "upstream_5xx",
        "timeout_unknown",
        "cancelled",
    }


def test_every_fault_has_words_for_the_user() -> None:
    assert set(WORDS) == set(Fault)
    assert UpstreamError(Fault.NO_IMAGE).words == WORDS[Fault.NO_IMAGE]


@pytest.mark.parametrize("kind", KINDS)
def test_a_painter_is_found_by_its_kind(kind: str) -> None:
    assert provider(kind).name == kind


@pytest.mark.parametrize(
    ("kind", "model", "settings"),
    [
        ("demo", "demo", {}), ("gemini", "gemini-nano-banana-2.1", {}), ("relay", "some", {"path": "chat"}),
        ("a1111", "", {}), ("fal", "fal-ai/flux/dev", {}), ("replicate", "black-forest-labs/flux-fill", {}),
        ("stability", "ultra", {}),
    ],
)  # fmt: skip
async def test_no_painter_takes_a_markup_for_a_mask(kind: str, model: str, settings: dict[str, object]) -> None:
    reference = painted(256, 256)
    about = {"references": (reference,), "mask": reference, "parameters": {MARKUP: True}}
    order = replace(an_order(**about), model=model)  # type: ignore[arg-type]
    access = Access(SECRET, "http://127.0.0.1:9", settings=settings, is_local=True)
    with pytest.raises(UpstreamError) as caught:
        await provider(kind).paint(order, access, Steps())
    assert (caught.value.fault, caught.value.words) == (
        Fault.INVALID_REQUEST, "markup is not known to this painter.",
    )  # fmt: skip


def test_an_unknown_painter_is_refused() -> None:
    with pytest.raises(NotFound):
        provider("os")


def test_access_shows_neither_key_nor_proxy() -> None:
    access = Access(SECRET, "https://api.openai.com/v1", proxy="socks5://user:hunter22@proxy:1080")
    assert "secret" not in repr(access).replace("secret=", "")
    assert "hunter22" not in repr(access)


def test_an_error_forgets_the_secrets_that_an_upstream_echoes() -> None:
    error = UpstreamError(
        Fault.AUTH_DEAD, f"Incorrect API key provided: {SECRET}. Bearer abcdefghijkl", secrets=(SECRET,)
    )
    for text in (error.detail, str(error), repr(error), repr(vars(error))):
        assert SECRET not in text
        assert "abcdefghijkl" not in text
    assert isinstance(error, LimnerError)


def test_details_are_short_and_on_one_line() -> None:
    assert clean("a\n b\t" + "x" * 900) == ("a b " + "x" * 900)[:LIMIT]


def test_a_secret_that_would_be_cut_in_half_is_gone_before_the_cut() -> None:
    assert "unusual" not in clean("x" * (LIMIT - 10) + "unusual+secret" * 3, "unusual+secret" * 3)


@pytest.mark.parametrize("secret", ["unusual+secret", "unusual+secret" * 200])
@pytest.mark.parametrize("filling", ["x", " ", "\x00", ""])
def test_nor_is_half_of_one_kept_that_stands_where_a_long_text_is_cut(secret: str, filling: str) -> None:
    """Whatever becomes short may bring that place into what is kept."""
    edge, filling = READ + max(LIMIT, len(secret)), filling or secret
    for shift in range(0, len(secret) * 2, max(1, len(secret) // 50)):
        before = " " * shift + filling * ((edge - len(secret)) // len(filling))
        assert "unusual" not in clean(before + secret * 3 + "." * READ, secret)


def test_a_password_of_an_address_in_a_long_text_is_not_cut_from_it() -> None:
    for length in range(READ - 60, READ + LIMIT + 60):
        assert "hunter22" not in clean(" " * length + "https://user:hunter22@proxy:1080" + "." * READ)
