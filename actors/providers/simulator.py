"""The simulator: a painter that does what its key's switch says, so that every fault can be had on demand."""

from __future__ import annotations

import io
from dataclasses import dataclass

import anyio
from anyio import to_thread
from PIL import Image

from limner.actors.providers.base import Access, Fault, OnStep, Order, Picture, Step, UpstreamError

TRICKS = ("ok", "slow", "hang", "truncated", "not_an_image", "wrong_size")
KEY_FAULTS = frozenset(Fault) - {
    Fault.MODERATION_INPUT, Fault.MODERATION_OUTPUT, Fault.NO_IMAGE, Fault.INVALID_REQUEST, Fault.CANCELLED,
}  # fmt: skip
"""Faults that a free check of the key sees as well; the others belong to single orders."""


@dataclass(frozen=True)
class Act:
    """A parsed switch: ``what`` is one of TRICKS or a fault; ``after`` and ``seconds`` are its options."""

    what: str
    after: float | None = None
    seconds: float = 1.0


class Simulator:
    """Keeps no state. Switches: any fault (``rate_limited after=1.5``), ``slow seconds=3``, ``hang``, ``truncated``,
    ``not_an_image``, ``wrong_size``, ``ok``; empty means ok."""

    name = "simulator"

    async def paint(self, order: Order, access: Access, on_step: OnStep) -> Picture:
        """A flat PNG of the asked size that carries the order's seed (``seed_in``), or the switch's fault."""
        act = parse(access.switch)
        _fail(act, frozenset(Fault))
        await on_step(Step(0.1))
        await _wait(act, min(access.timeout, access.silence))
        data = await to_thread.run_sync(_painted, order, act.what)
        await on_step(Step(0.9))
        return Picture(data, "image/png", upstream_id=f"simulated-{order.seed}")

    async def check(self, access: Access) -> None:
        """Raises the switch's fault where it is one of KEY_FAULTS."""
        _fail(parse(access.switch), KEY_FAULTS)


def parse(switch: str) -> Act:
    """The act that a switch names. Raises UpstreamError(INVALID_REQUEST) for one that nobody knows."""
    what, *options = switch.split() or ["ok"]
    given = dict(option.partition("=")[::2] for option in options)
    try:
        numbers = {name: float(value) for name, value in given.items()}
        act = Act(what, **numbers)
    except (TypeError, ValueError):
        act = Act("")
    if act.what not in (*TRICKS, *Fault):
        raise UpstreamError(Fault.INVALID_REQUEST, f"unknown switch {switch!r}")
    return act


def seed_in(data: bytes) -> int:
    """The seed of the order that a simulated PNG was painted for.

    It lies in the first three pixels of the first row: their nine channels are the seed, signed, big-endian.
    """
    image = Image.open(io.BytesIO(data)).convert("RGB")
    return int.from_bytes(image.crop((0, 0, 3, 1)).tobytes(), "big", signed=True)


def _fail(act: Act, faults: frozenset[Fault]) -> None:
    if act.what in faults:
        raise UpstreamError(Fault(act.what), f"simulated {act.what}", after=act.after)


async def _wait(act: Act, timeout: float) -> None:
    if act.what == "hang":
        await anyio.sleep(timeout)
        raise UpstreamError(Fault.TIMEOUT_UNKNOWN, f"no answer within {timeout:g} s")
    if act.what == "slow":
        await anyio.sleep(act.seconds)


def _painted(order: Order, what: str) -> bytes:
    if what == "not_an_image":
        return b"<html><body>502 Bad Gateway</body></html>"
    width, height = (64, 48) if what == "wrong_size" else (order.width, order.height)
    shade = order.seed * 2654435761 % 2**24
    image = Image.new("RGB", (width, height), (shade >> 16, shade >> 8 & 255, shade & 255))
    image.paste(Image.frombytes("RGB", (3, 1), order.seed.to_bytes(9, "big", signed=True)), (0, 0))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    data = buffer.getvalue()
    return data[: len(data) // 2] if what == "truncated" else data
