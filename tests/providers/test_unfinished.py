"""Who sends unfinished pictures, as the catalogue has it and as the painters do it."""

from __future__ import annotations

import contextlib
import dataclasses

import anyio
import pytest

from limner.actors.providers import waiting
from limner.actors.providers.base import KINDS, Access, Order, provider
from limner.sql import painters
from tests.providers.conftest import Steps
from tests.providers.troupe import TROUPE
from tests.upstreams.a1111 import FakeA1111
from tests.upstreams.base import Upstream, painted
from tests.upstreams.fal import FakeFal
from tests.upstreams.openai import FakeOpenAI
from tests.upstreams.replicate import FakeReplicate

ORDER = Order("a fox", "demo", 1024, 1024, seed=1, partial_images=2)
FAL, REPLICATE = "fal-ai/flux/dev", "black-forest-labs/flux-dev"
CHAT = {"has_streaming": True, "path": "chat"}

SAID: list[tuple[str, str, type[Upstream] | None, dict[str, object], bool]] = [
    ("openai", "gpt-image-2", FakeOpenAI, {}, True),
    ("relay", "some/model", FakeOpenAI, {}, False),
    ("relay", "some/model", FakeOpenAI, {"has_streaming": True}, True),
    ("relay", "some/model", TROUPE["relay"].upstream, CHAT, False),
    ("gemini", TROUPE["gemini"].model, TROUPE["gemini"].upstream, {}, False),
    ("stability", TROUPE["stability"].model, TROUPE["stability"].upstream, {}, False),
    ("fal", FAL, FakeFal, {}, False),
    ("replicate", REPLICATE, FakeReplicate, {}, False),
    ("demo", "demo", None, {}, False),
    ("simulator", "simulator", None, {}, False),
]


@pytest.mark.parametrize(("kind", "model", "upstream", "settings", "sends"), SAID)
async def test_a_painter_sends_what_the_catalogue_says(
    kind: str,
    model: str,
    upstream: type[Upstream] | None,
    settings: dict[str, object],
    sends: bool,
    steps: Steps,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waiting, "FIRST", 0.01)
    order = dataclasses.replace(ORDER, model=model)
    async with upstream().serve() if upstream else contextlib.nullcontext() as fake:
        access = Access("a-key-0123456789", fake.base_url if fake else "", settings=settings, is_local=True)
        picture = await provider(kind).paint(order, access, steps)
    assert picture.data
    assert len([step for step in steps if step.partial]) == (2 if sends else 0)
    assert painters.sends_unfinished(kind, settings) is sends


@pytest.mark.parametrize(("settings", "sends"), [({}, True), ({"previews": False}, False)])
async def test_a_node_sends_what_it_previews(settings: dict[str, object], sends: bool, steps: Steps) -> None:
    async with FakeA1111().serve() as node, anyio.create_task_group() as group:
        node.preview = painted(64, 64)
        node.gate.clear()
        access = Access("none", node.base_url, settings=settings | {"poll": 0.05}, is_local=True)
        order = dataclasses.replace(ORDER, model=TROUPE["a1111"].model)
        group.start_soon(provider("a1111").paint, order, access, steps)
        await node.started.wait()
        for _ in range(3):  # what it saw when it looked is told before it looks again
            node.looked.clear()
            await node.looked.wait()
        node.gate.set()
    assert [step.partial for step in steps if step.partial] == ([node.preview] if sends else [])
    assert painters.sends_unfinished("a1111", settings) is sends


def test_nobody_is_left_out() -> None:
    assert {kind for kind, *_ in SAID} | {"a1111"} == set(KINDS)
