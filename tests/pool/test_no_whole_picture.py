"""What a painter sends as a picture and is none, or not all of one: the next key paints it, and what it cost is booked."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from limner.actors.providers import waiting
from limner.sql import generations, keys
from limner.sql.generations import Order
from limner.sql.models import Size
from tests.upstreams.base import Script, Upstream, painted
from tests.upstreams.fal import FakeFal
from tests.upstreams.openai import FakeOpenAI
from tests.upstreams.openai import picture as answered
from tests.upstreams.relay import FakeRelay
from tests.upstreams.replicate import FakeReplicate

WHOLE = painted(1024, 1024, kilobytes=8)
TORN = WHOLE[:2000] + bytes(4) + WHOLE[2004:]
USAGE = {"input_tokens": 10, "output_tokens": 1000}


@dataclass(frozen=True)
class Painter:
    """``at``: the path of an answer whose body is the picture itself; empty: it comes as base64."""

    upstream: type[Upstream]
    model: str
    at: str = ""


PAINTERS = {
    "openai": Painter(FakeOpenAI, "gpt-image-2"),
    "relay": Painter(FakeRelay, "some/model"),
    "relay by address": Painter(FakeRelay, "some/model", "/files/"),
    "fal": Painter(FakeFal, "fal-ai/flux/dev", "/files/"),
    "replicate": Painter(FakeReplicate, "black-forest-labs/flux-dev", "/files/"),
}


@contextlib.asynccontextmanager
async def two_keys(stage, painter: Painter, kind: str) -> AsyncIterator[Upstream]:
    """Of one painter, whose model is "other"."""
    async with painter.upstream().serve() as fake:
        add = "insert into provider (code, kind, base_url, is_local) values ('other', $1, $2, true)"
        await stage.db.execute(add, kind, fake.base_url)
        model = "insert into model (id, provider_id, upstream_id, name) select 'other', id, $1, 'Other' from provider"
        await stage.db.execute(f"{model} where code = 'other'", painter.model)
        for name in ("first", "second"):
            await keys.add(stage.db, stage.vault, "other", name, f"{name}-0123456789", actor="test")
        yield fake


@pytest.mark.parametrize("sent", [
    WHOLE[:-500], TORN, painted(64, 64, form="GIF"),
], ids=["cut", "torn", "gif"])  # fmt: skip
@pytest.mark.parametrize("name", PAINTERS)
async def test_what_is_no_whole_picture_is_painted_by_the_next_key(audited, db, monkeypatch, name, sent):
    monkeypatch.setattr(waiting, "FIRST", 0.01)
    stage, painter = audited, PAINTERS[name]
    async with two_keys(stage, painter, name.partition(" ")[0]) as fake:
        if painter.at:
            fake.script("", Script(body=sent, headers={"Content-Type": "image/png"}, path=painter.at))
        else:
            fake.script("first-0123456789", Script(body=answered(sent, usage=USAGE)))
        asked = Order(stage.alice, "a fox", "other", Size(1024, 1024))
        generation = await generations.order(db, asked, deadline=60)
        await stage.painted()
        assert len(fake.asked) > 1
    assert await stage.ends(generation) == ["delivered"]
    assert await stage.faults() == ["no_image", None]
    assert (await stage.balance()).spent == 1
    if name == "openai":
        costs = await db.fetch("select cost_micros from attempt order by id")
        assert costs[0]["cost_micros"] > 0, "it is paid for all the same"
