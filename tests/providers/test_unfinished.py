"""Who sends unfinished pictures, as the catalogue has it and as the painters do it."""

from __future__ import annotations

import dataclasses

import pytest

from limner.actors.providers.base import KINDS, Access, Order, provider
from limner.sql import painters
from tests.providers.conftest import Steps
from tests.providers.troupe import TROUPE
from tests.upstreams.openai import FakeOpenAI

SAID = [
    ("openai", {}, True), ("relay", {}, False), ("relay", {"has_streaming": True}, True), ("gemini", {}, False),
    ("stability", {}, False),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "settings", "sends"), SAID)
async def test_a_painter_sends_what_the_catalogue_says(kind: str, settings: dict[str, object], sends: bool) -> None:
    cast, steps = TROUPE[kind], Steps()
    order = dataclasses.replace(Order("a fox", cast.model, 1024, 1024, seed=1), partial_images=2)
    async with (FakeOpenAI() if sends else cast.upstream()).serve() as fake:
        access = Access(cast.key, fake.base_url, settings=settings, is_local=True)
        await provider(kind).paint(order, access, steps)
    assert painters.sends_unfinished(kind, settings) is sends
    assert len([step for step in steps if step.partial]) == (2 if sends else 0)


def test_a_node_sends_what_it_previews() -> None:
    """Seen in test_a1111.py."""
    assert painters.sends_unfinished("a1111", {})
    assert not painters.sends_unfinished("a1111", {"previews": False})


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"openai", "relay", "a1111"}))
def test_nobody_else_does(kind: str) -> None:
    assert not painters.sends_unfinished(kind, {})
