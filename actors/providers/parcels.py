"""What an upstream hands over: its answer as it came, and the picture in it, inline or at an address."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
import anyio
import orjson
import pybase64

from limner.actors.providers import discretion, egress
from limner.actors.providers.base import Access, Fault, Picture, UpstreamError
from limner.actors.providers.egress import Wire
from limner.actors.providers.verdicts import Answer
from limner.runtime import raster
from limner.sql.usages import Usage

TRIES, PAUSE = 3, 0.5
"""A picture that is paid for already is asked for that often when its host stumbles, with seconds in between."""


async def answer(response: aiohttp.ClientResponse, access: Access) -> Answer:
    """The whole answer. Raises UpstreamError(NO_IMAGE) when it is longer than egress.BODY_LIMIT."""
    read = await egress.body(response)
    if read is None:
        detail = f"answer of more than {egress.BODY_LIMIT} bytes"
        raise UpstreamError(Fault.NO_IMAGE, detail, secrets=discretion.secrets(access))
    return Answer(response.status, headers(response), read)


def headers(response: aiohttp.ClientResponse) -> dict[str, str]:
    """By their names in lower case."""
    return {name.lower(): value for name, value in response.headers.items()}


def facts(body: bytes) -> dict[str, object]:
    """The JSON object that a body is; an empty one for anything else."""
    try:
        whole = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return whole if isinstance(whole, dict) else {}


@contextmanager
def costing(micros: int) -> Iterator[None]:
    """What fails inside, of an answer whose cost is told, has cost that: it is paid for all the same."""
    try:
        yield
    except UpstreamError as error:
        error.cost_micros = error.cost_micros or micros
        raise


def picture(data: bytes, upstream_id: str | None = None, cost_micros: int = 0, usage: Usage | None = None) -> Picture:
    """The picture that these bytes are, by what they begin with. Raises UpstreamError(NO_IMAGE)."""
    mime = raster.sniff(data)
    if mime is None or not mime.startswith("image/"):
        raise UpstreamError(Fault.NO_IMAGE, f"{len(data)} bytes that are no picture")
    return Picture(data, mime, upstream_id, cost_micros, usage)


def decoded(text: str, cost_micros: int = 0) -> bytes:
    """Bytes from base64. Raises UpstreamError(NO_IMAGE), with what they cost: broken ones are paid for all the same."""
    try:
        return pybase64.b64decode(text, validate=True)
    except ValueError as error:
        raise UpstreamError(Fault.NO_IMAGE, "a picture in broken base64", cost_micros=cost_micros) from error


def data_url(data: bytes) -> str:
    """These bytes as an address that carries them."""
    return f"data:{raster.sniff(data) or 'application/octet-stream'};base64,{pybase64.b64encode_as_string(data)}"


async def fetched(url: str, access: Access) -> bytes:
    """The bytes that a URL carries, or that lie there: fetched through the same proxy and without the key.

    Only from the upstream's own host or a public one, never along a redirect. Raises UpstreamError(NO_IMAGE), and
    whatever egress.translated translates.
    """
    if url.startswith("data:"):
        return decoded(url.partition(",")[2])
    if not egress.may_fetch(url, access.base_url):
        raise UpstreamError(Fault.NO_IMAGE, f"picture at a forbidden address {url}", secrets=discretion.secrets(access))
    guarded = not egress.is_own(url, access.base_url)
    why = ""
    async with egress.session(access, Wire(), guarded=guarded) as session:
        for left in reversed(range(TRIES)):
            try:
                async with session.get(url, allow_redirects=False) as response:
                    status, data = response.status, await egress.body(response)
            except (aiohttp.ClientError, OSError) as error:
                status, data, why = 0, None, f"{type(error).__name__}: {error}"
            if status == 200 and data is not None:
                return data
            why = f"HTTP {status}" if status else why
            if not left or 200 <= status < 500:
                break
            await anyio.sleep(PAUSE)
    raise UpstreamError(Fault.NO_IMAGE, f"picture's address gave no picture: {why}", secrets=discretion.secrets(access))
