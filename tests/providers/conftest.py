"""What the painters' tests share: orders, access, and steps that are kept."""

from __future__ import annotations

import io
import socket
from collections.abc import AsyncIterator
from typing import Any, TypeVar

import pytest
from PIL import Image

from limner.actors.providers.base import Order, Step
from tests.upstreams.base import Upstream
from tests.upstreams.openai import FakeOpenAI

U = TypeVar("U", bound=Upstream)


class Steps(list[Step]):
    """An on_step that keeps what it is told."""

    async def __call__(self, step: Step) -> None:
        self.append(step)


@pytest.fixture
def steps() -> Steps:
    return Steps()


@pytest.fixture
async def upstream() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI().serve() as running:
        yield running


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The world's names, which are outside: what is put in here leads to that address."""
    known: dict[str, str] = {}
    real = socket.getaddrinfo

    def look_up(host: Any, port: Any, *about: Any, **more: Any) -> Any:
        if host not in known:
            return real(host, port, *about, **more)
        kind, where = socket.AF_INET, (known[host], port)
        if ":" in known[host]:
            kind, where = socket.AF_INET6, (*where, 0, 0)
        return [(kind, socket.SOCK_STREAM, 6, "", where)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return known


def an_order(
    prompt: str = "a fox in the snow", width: int = 256, height: int = 256, seed: int = 7, **more: object
) -> Order:
    return Order(prompt=prompt, model="demo", width=width, height=height, seed=seed, **more)  # type: ignore[arg-type]


def seen(data: bytes) -> Image.Image:
    """A fully decoded picture."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def served(kind: type[U]) -> Any:
    """A fixture: this stand-in, listening."""

    @pytest.fixture
    async def running() -> AsyncIterator[U]:
        async with kind().serve() as listening:
            yield listening

    return running
