"""Upstreams that misbehave: each ends in one fault, in time, and no secret gets into it."""

from __future__ import annotations

import base64
import gzip
import zlib
from collections.abc import AsyncIterator
from urllib.parse import quote

import anyio
import pytest

from limner.actors.providers import egress
from limner.actors.providers.base import WORDS, Access, Fault, Order, Provider, UpstreamError, provider
from limner.actors.providers.details import LIMIT
from limner.runtime import outline, raster
from tests.providers.conftest import Steps
from tests.providers.troupe import TROUPE, Cast
from tests.upstreams.base import FLOOD, Script, Upstream, painted

PICTURE = painted(64, 64, kilobytes=8)
HTML = b"<!DOCTYPE html><html>Welcome to nginx!</html>"


@pytest.fixture(params=TROUPE)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def cast(kind: str) -> Cast:
    return TROUPE[kind]


@pytest.fixture
def painter(kind: str) -> Provider:
    return provider(kind)


@pytest.fixture
async def upstream(cast: Cast) -> AsyncIterator[Upstream]:
    async with cast.upstream().serve() as running:
        yield running


def order(cast: Cast) -> Order:
    return Order("a fox", cast.model, 512, 512, seed=1)


async def fault_of(
    painter: Provider, cast: Cast, upstream: Upstream, script: Script | None = None, timeout: float = 20
) -> UpstreamError:
    if script:
        upstream.script(cast.key, script)
    access = Access(cast.key, upstream.base_url, timeout=timeout, is_local=True)
    with pytest.raises(UpstreamError) as caught:
        await painter.paint(order(cast), access, Steps())
    return caught.value


async def test_a_whole_picture_of_any_usual_type_is_delivered(
    painter: Provider, cast: Cast, upstream: Upstream
) -> None:
    for form, mime in (("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp")):
        data = painted(64, 64, form=form)
        upstream.script(cast.key, Script(body=cast.success(data)))
        done = await painter.paint(order(cast), Access(cast.key, upstream.base_url, is_local=True), Steps())
        assert (done.data, done.mime) == (data, mime)


@pytest.mark.parametrize("data", [
    b"", b"\x00" * 100, HTML, PICTURE[:-500], painted(64, 64, form="JPEG")[:-100], painted(64, 64, form="WEBP")[:-9],
    painted(64, 64, form="GIF"), b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.7",
], ids=["empty", "zeros", "html", "cut-png", "cut-jpeg", "cut-webp", "gif", "svg", "pdf"])  # fmt: skip
async def test_a_success_with_anything_but_a_whole_picture_is_no_image(
    painter: Provider, cast: Cast, upstream: Upstream, data: bytes
) -> None:
    """Told by the painter, or by whoever keeps it: tests/pool/test_no_whole_picture.py goes all the way."""
    upstream.script(cast.key, Script(body=cast.success(data)))
    with pytest.raises((UpstreamError, raster.BadImage)) as caught:
        done = await painter.paint(order(cast), Access(cast.key, upstream.base_url, is_local=True), Steps())
        await outline.examine(done.data)
    assert isinstance(caught.value, raster.BadImage) or caught.value.fault is Fault.NO_IMAGE


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b"7", b'{"a": ', HTML, b"\xff\xfe\x00", b'"text"'])
async def test_a_success_that_makes_no_sense_is_no_image(
    painter: Provider, cast: Cast, upstream: Upstream, body: bytes
) -> None:
    assert (await fault_of(painter, cast, upstream, Script(body=body))).fault is Fault.NO_IMAGE


async def test_broken_base64_is_no_image(painter: Provider, cast: Cast, upstream: Upstream) -> None:
    body = str(cast.success(PICTURE)).replace(base64.b64encode(PICTURE).decode(), "%%%").replace("'", '"')
    assert (await fault_of(painter, cast, upstream, Script(body=body.encode()))).fault is Fault.NO_IMAGE


async def test_more_than_anybody_should_read_is_dropped_on_the_way(
    painter: Provider, cast: Cast, upstream: Upstream
) -> None:
    assert FLOOD > egress.BODY_LIMIT
    assert (await fault_of(painter, cast, upstream, Script(act="flood"))).fault is Fault.NO_IMAGE
    bomb = gzip.compress(bytes(egress.BODY_LIMIT + 1), compresslevel=1)
    script = Script(body=bomb, headers={"Content-Encoding": "gzip", "Content-Type": "application/json"})
    assert (await fault_of(painter, cast, upstream, script)).fault is Fault.NO_IMAGE


async def test_a_drip_ends_with_the_time_out(painter: Provider, cast: Cast, upstream: Upstream) -> None:
    drip = Script(body=(b"{",) + (b" ",) * 1000, pace=0.05, headers={"Content-Type": "application/json"})
    assert (await fault_of(painter, cast, upstream, drip, timeout=1.5)).fault is Fault.TIMEOUT_UNKNOWN


@pytest.mark.parametrize("act", ["hang", "drop", "cut"])
async def test_silence_after_the_order_was_sent_is_unknown(
    painter: Provider, cast: Cast, upstream: Upstream, act: str
) -> None:
    caught = await fault_of(painter, cast, upstream, Script(act=act), timeout=1.5)
    assert caught.fault is Fault.TIMEOUT_UNKNOWN


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_to_our_own_machine_is_not_followed(
    painter: Provider, cast: Cast, upstream: Upstream, status: int
) -> None:
    async with cast.upstream().serve() as canary:
        script = Script(status, b"", {"Location": f"{canary.base_url}/latest/meta-data"})
        assert (await fault_of(painter, cast, upstream, script)).fault is Fault.UPSTREAM_5XX
        assert canary.asked == []


async def test_nobody_at_the_door_is_an_upstream_fault(painter: Provider, cast: Cast, unused_tcp_port: int) -> None:
    access = Access(cast.key, f"http://127.0.0.1:{unused_tcp_port}", timeout=20, is_local=True)
    with pytest.raises(UpstreamError) as caught:
        await painter.paint(order(cast), access, Steps())
    assert caught.value.fault is Fault.UPSTREAM_5XX


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_a_dead_proxy_is_a_proxy_fault_and_nothing_goes_past_it(
    painter: Provider, cast: Cast, upstream: Upstream, unused_tcp_port: int, scheme: str
) -> None:
    proxy = f"{scheme}://user:hunter22@127.0.0.1:{unused_tcp_port}"
    with pytest.raises(UpstreamError) as caught:
        await painter.paint(order(cast), Access(cast.key, upstream.base_url, proxy=proxy, is_local=True), Steps())
    assert caught.value.fault is Fault.PROXY_FAILED
    assert "hunter22" not in repr(vars(caught.value))
    assert upstream.asked == []


async def test_cancellation_is_not_turned_into_a_fault(painter: Provider, cast: Cast, upstream: Upstream) -> None:
    upstream.script(cast.key, Script(act="hang"))
    access = Access(cast.key, upstream.base_url, is_local=True)
    async with anyio.create_task_group() as group:
        group.start_soon(painter.paint, order(cast), access, Steps())
        await upstream.arrived.wait()
        group.cancel_scope.cancel()
    assert group.cancel_scope.cancelled_caught


@pytest.mark.parametrize("status", [*range(300, 600, 7), 418, 599])
async def test_every_status_is_exactly_one_fault(
    painter: Provider, cast: Cast, upstream: Upstream, status: int
) -> None:
    caught = await fault_of(painter, cast, upstream, Script(status, b"" if status == 304 else HTML))
    assert caught.fault in Fault
    assert caught.words == WORDS[caught.fault]


SECRETS = [f"{start}{number:02d}Seed{zlib.crc32(bytes([number])):08x}Canary" for number, start in enumerate(
    ["AIzaSy", "AQ.Ab8", "sk-", "sk-proj-", "key-", "", "pass word ", "p@ss/", "tilde~", "a+b=", "0x", "Bearer ",
     "\"quoted\"", "back\\slash", "semi;colon", "eyJhbGciOi", "-----BEGIN ", "%41%42", "{json}", "'); --"]
)]  # fmt: skip


@pytest.mark.parametrize("secret", SECRETS)
async def test_a_secret_that_an_upstream_echoes_is_found_nowhere(
    painter: Provider, kind: str, cast: Cast, upstream: Upstream, secret: str
) -> None:
    given = f"limner:{secret}" if kind == "a1111" else secret
    echoes = [secret, given, base64.b64encode(given.encode()).decode(), f"{'x' * (LIMIT - 5)}{given}"]
    echoes = echoes if kind == "a1111" else [echoes[0], echoes[3]]
    bodies = [cast.refused(f"Incorrect key: {echo}!") for echo in echoes]
    bodies += [{"in": {"another": ["form", echo]}} for echo in echoes]
    raw = [f"<html>{echo}</html>".encode() for echo in echoes] + [
        b" " * 395 + echoes[0].encode(),
        b" " * 65530 + echoes[0].encode(),
    ]
    access = Access(given, upstream.base_url, timeout=20, is_local=True)
    for status in (403, 200):
        for body in (*bodies, *raw):
            upstream.script(given, Script(status, body))
            with pytest.raises(UpstreamError) as caught:
                await painter.paint(order(cast), access, Steps())
            assert "Canary" not in "".join([repr(vars(caught.value)), str(caught.value), repr(caught.value)])
            assert echoes[-1] not in repr(vars(caught.value))
            assert quote(secret) not in repr(vars(caught.value))


def test_there_are_twenty_secrets() -> None:
    assert len(set(SECRETS)) == 20


async def test_what_is_echoed_beside_a_secret_is_still_read(painter: Provider, cast: Cast, upstream: Upstream) -> None:
    caught = await fault_of(painter, cast, upstream, Script(401, cast.refused("the key is wrong, sorry")))
    assert "the key is wrong, sorry" in caught.detail
