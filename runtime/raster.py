"""Pictures as bytes: measured, verified, cleaned and made small in a confined process, never in this one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

import anyio
from anyio import BrokenWorkerProcess, CapacityLimiter, to_process

from limner.runtime import decoding
from limner.runtime.errors import Busy
from limner.runtime.sniffing import FORMATS, STILL, BadImage, Shape, Undecoded, refuse_others, sniff

__all__ = [
    "FORMATS", "MAX_PIXELS", "STILL", "BadImage", "Shape", "Undecoded", "clean", "has_holes", "measure", "proof", "refuse_others",
    "sniff", "stencil", "thumbnail", "verify",
]  # fmt: skip

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

MAX_PIXELS = 25_000_000
MAX_WAIT = 60.0
PROCESSES = 2

_turn = CapacityLimiter(PROCESSES)


async def measure(data: bytes, max_pixels: int = MAX_PIXELS) -> Shape:
    """The shape by the header alone, as stored: a camera's rotation is not applied. Raises BadImage, Busy."""
    refuse_others(data, FORMATS)
    return await _in_child(decoding.measure, data, max_pixels)


async def verify(data: bytes, max_pixels: int = MAX_PIXELS) -> Shape:
    """The shape of a still picture (PNG, JPEG, WebP) every pixel of which was decoded. Raises BadImage, Busy."""
    refuse_others(data, STILL)
    return await _in_child(decoding.verify, data, max_pixels)


async def clean(data: bytes, *, max_edge: int = 2048) -> tuple[bytes, Shape]:
    """A PNG of nothing but pixels, RGB or RGBA of 8 bits, upright, at most ``max_edge`` a side, and its shape.

    For what strangers send: metadata, colour profiles, later frames and whatever hides in the file are gone.
    Raises BadImage, Busy.
    """
    refuse_others(data, FORMATS)
    return await _in_child(decoding.clean, data, MAX_PIXELS, max_edge)


async def has_holes(data: bytes) -> bool:
    """Whether a picture that was cleaned has a pixel that is not wholly opaque. Raises BadImage, Busy."""
    return await _in_child(decoding.has_holes, data, MAX_PIXELS)


async def thumbnail(data: bytes, *, edge: int = 480) -> bytes:
    """A WebP of at most ``edge`` pixels a side. Raises BadImage, Busy."""
    return (await proof(data, edge=edge))[1]


async def proof(data: bytes, *, edge: int = 480, humbly: bool = False) -> tuple[Shape, bytes]:
    """``verify`` and ``thumbnail`` by one decode. Raises BadImage (Undecoded), Busy.

    ``humbly``: only with what other work leaves of the processors. The child that does so remains humble for all that it
    gets afterwards.
    """
    refuse_others(data, STILL)
    return await _in_child(decoding.proof_humbly if humbly else decoding.proof, data, MAX_PIXELS, edge)


async def stencil(data: bytes) -> bytes:
    """A PNG of a mask's size, white where it is transparent and black elsewhere. Raises BadImage, Busy."""
    refuse_others(data, STILL)
    return await _in_child(decoding.stencil, data, MAX_PIXELS)


async def _in_child(work: Callable[[bytes, *Ts], T], data: bytes, *args: *Ts) -> T:
    """Do the work in one of PROCESSES. A child that dies is blamed on the picture only when a second one dies too."""
    async with _turn:
        started = anyio.current_time()
        with contextlib.suppress(BrokenWorkerProcess):
            return await _run(work, data, *args)
        if anyio.current_time() - started >= decoding.MAX_CPU:
            raise Undecoded("The picture takes too long to decode.")
        await _meet_a_child()
        try:
            return await _run(work, data, *args)
        except BrokenWorkerProcess:
            raise Undecoded("The picture cannot be decoded.") from None


async def _meet_a_child() -> None:
    """Raises BrokenWorkerProcess when none can be started at all: that is our trouble, not the picture's."""
    for _ in range(PROCESSES - 1):  # the idle ones may have been killed as well
        with contextlib.suppress(BrokenWorkerProcess):
            await _run(decoding.confine)
    await _run(decoding.confine)


async def _run(work: Callable[[*Ts], T], *args: *Ts) -> T:
    try:
        with anyio.fail_after(MAX_WAIT):  # a limiter of its own: the wait for a turn must not count
            return await to_process.run_sync(work, *args, cancellable=True, limiter=CapacityLimiter(1))
    except TimeoutError:
        raise Busy("the picture could not be examined in time") from None
