"""What painters share that do not speak OpenAI's dialect: one guarded call, and a table from an answer to its fault."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import aiohttp
import anyio
import orjson

from limner.actors.providers import egress, parcels
from limner.actors.providers.base import Access, Fault, Picture, UpstreamError
from limner.actors.providers.egress import Wire, translated
from limner.actors.providers.verdicts import Answer
from limner.runtime import raster

CHECK = 30.0
"""Seconds that a question may take which paints nothing."""
TAIL = 1024
"""Bytes at the end of a picture in which it must end; some writers put a little behind it."""
SHOWN = 2**16
"""Bytes of an answer that is no JSON which are looked at."""


async def call(
    access: Access,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | aiohttp.FormData | None = None,
    timeout: float | None = None,
) -> Answer:
    """One request and its whole answer, whatever it is. No redirect is followed; private addresses only where the
    access is local. Raises UpstreamError for what happens on the way."""
    wire = Wire()
    with translated(access, wire), anyio.fail_after(min(access.timeout, timeout or access.timeout)):
        async with egress.session(access, wire) as session:
            async with session.request(method, url, data=body, headers=headers, allow_redirects=False) as response:
                return await parcels.answer(response, access)


def picture(text: str, upstream_id: str | None, cost_micros: int) -> Picture:
    """The picture that this base64 is: of a type that is delivered, and with an end. Raises UpstreamError(NO_IMAGE),
    with the cost, for it is paid for all the same."""
    inline = text.partition(",")[2] if text.startswith("data:") else text
    return whole(parcels.decoded(inline, cost_micros), upstream_id, cost_micros)


def whole(data: bytes, upstream_id: str | None, cost_micros: int) -> Picture:
    """The same for bytes."""
    mime = raster.sniff(data)
    if mime not in raster.STILL:
        raise UpstreamError(Fault.NO_IMAGE, f"{len(data)} bytes that are no picture", cost_micros=cost_micros)
    if not _has_an_end(data, mime):
        raise UpstreamError(Fault.NO_IMAGE, f"a picture cut off at {len(data)} bytes", cost_micros=cost_micros)
    return Picture(data, mime, upstream_id, cost_micros)


def nearest_ratio(width: int, height: int, ratios: Sequence[str]) -> str:
    """The nearest of ratios such as "16:9"."""
    sides = {each: [int(side) for side in each.split(":")] for each in ratios}
    return min(ratios, key=lambda each: abs(math.log(sides[each][0] / sides[each][1] * height / width)))


def raw(answer: Answer) -> str:
    """The text of an answer that is not what it should be, such as a proxy's page, or JSON of another form.

    JSON is read as what it says: escaped, a secret in it would not be recognised; cut in half neither.
    """
    if len(answer.body) > SHOWN:
        return f"{len(answer.body)} bytes of {answer.headers.get('content-type', 'an unknown type')}"
    try:
        return " ".join(_leaves(orjson.loads(answer.body)))
    except orjson.JSONDecodeError:
        return answer.body.decode("utf-8", "replace")


def _leaves(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield str(name)
            yield from _leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)
    else:
        yield str(value)


def _has_an_end(data: bytes, mime: str) -> bool:
    """What is cut off is told here for nothing; whether it is whole inside, whoever delivers it finds out."""
    if mime == "image/webp":
        return len(data) >= int.from_bytes(data[4:8], "little") + 8
    return (b"IEND" if mime == "image/png" else b"\xff\xd9") in data[-TAIL:]
