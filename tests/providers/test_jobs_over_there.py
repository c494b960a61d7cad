"""Jobs that go on without us, at fal and at Replicate: told before they are waited for, resumed, canceled, never lost."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import anyio
import pytest

from limner.actors.providers import parcels, waiting
from limner.actors.providers.base import (
    Access,
    Fault,
    JobGone,
    Order,
    Picture,
    Resumable,
    Step,
    UpstreamError,
    provider,
)
from tests.providers.captured import Captured, captured
from tests.providers.conftest import Steps
from tests.upstreams.base import Script, painted
from tests.upstreams.fal import FakeFal
from tests.upstreams.replicate import FakeReplicate

KEY = "r8_live_abcdefghijklmnopqrstuvwx"
SSE = {"Content-Type": "application/json"}


@dataclass
class Market:
    """One of the two: its stand-in, and where its steps are in a path."""

    kind: str
    fake: Any
    model: str
    create: str
    poll: str
    result: str

    @property
    def painter(self) -> Any:
        return provider(self.kind)

    def access(self, **more: Any) -> Access:
        return Access(**{"secret": KEY, "base_url": self.fake.base_url, "timeout": 20, "is_local": True} | more)

    def order(self, **more: Any) -> Order:
        return Order(**{"prompt": "a fox", "model": self.model, "width": 1024, "height": 1024, "seed": 7} | more)

    async def paint(self, **more: Any) -> Picture:
        steps = more.pop("steps", Steps())
        order = more.pop("order", None) or self.order()
        return await self.painter.paint(order, self.access(**more), steps)  # type: ignore[no-any-return]

    async def fault_of(self, *scripts: Script, **more: Any) -> UpstreamError:
        self.script(*scripts, secret=more.get("secret", KEY))
        with pytest.raises(UpstreamError) as caught:
            await self.paint(**more)
        return caught.value

    def script(self, *scripts: Script, secret: str = KEY) -> None:
        for script in scripts:
            if self.kind == "fal" and script.path == self.result:
                self.fake.result = script
            else:
                self.fake.script(secret, script)

    @property
    def created(self) -> int:
        return len(self.fake.jobs if self.kind == "fal" else self.fake.predictions)

    @property
    def paths(self) -> list[str]:
        return [asked.path for asked in self.fake.asked]

    def pictured(self, url: object) -> tuple[Script, ...]:
        """What must be answered for a job whose picture lies at a URL."""
        if self.kind == "fal":
            return (Script(body={"images": [{"url": url}]}, path=self.result),)
        return (Script(body={"id": "gm3q0001", "status": "succeeded", "output": [url]}, path=self.poll),)


@pytest.fixture(params=["fal", "replicate"])
async def market(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Market]:
    monkeypatch.setattr(waiting, "FIRST", 0.01)
    monkeypatch.setattr(waiting, "MOST", 0.02)
    monkeypatch.setattr(parcels, "PAUSE", 0)
    async with (FakeFal() if request.param == "fal" else FakeReplicate()).serve() as fake:
        if isinstance(fake, FakeFal):
            yield Market("fal", fake, "fal-ai/flux/dev", "/fal-ai/flux/dev", "/status", "/requests/019a-0001")
        else:
            model = "black-forest-labs/flux-dev"
            yield Market(
                "replicate", fake, model, f"/models/{model}/predictions", "/predictions/gm3q", "/predictions/gm3q"
            )


async def test_a_job_is_told_before_it_is_waited_for(market: Market) -> None:
    looks: list[int] = []

    async def on_step(step: Step) -> None:
        if step.ref:
            looks.append(sum(market.poll in path for path in market.paths))

    done = await market.painter.paint(market.order(), market.access(), on_step)
    assert looks == [0]
    assert done.data == painted(1024, 1024)
    assert market.created == 1


async def test_steps_grow_until_the_picture_is_there(market: Market) -> None:
    steps = Steps()
    await market.paint(steps=steps)
    assert [step.done for step in steps] == [0.05, 0.1, 0.4, 0.9]
    assert [bool(step.ref) for step in steps] == [True, False, False, False]


async def test_another_process_finds_the_job_again(market: Market) -> None:
    market.fake.holds = True
    steps = Steps()
    with anyio.move_on_after(5):
        async with anyio.create_task_group() as group:

            async def paint() -> None:
                await market.paint(steps=steps)

            group.start_soon(paint)
            await market.fake.looked.wait()
            group.cancel_scope.cancel()
    market.fake.holds = False
    assert steps[0].ref
    assert isinstance(market.painter, Resumable)
    done = await market.painter.resume(steps[0].ref, market.order(), market.access(), Steps())
    assert done.data == painted(1024, 1024)
    assert market.created == 1


async def test_a_job_that_nobody_knows_is_gone(market: Market) -> None:
    ref = "019a-9 /fal-ai/flux/requests/019a-9/status /fal-ai/flux/requests/019a-9 /x/cancel"
    for name in (ref if market.kind == "fal" else "gm3q9999", "http://elsewhere/", "../account", "a //b/c /d /e"):
        with pytest.raises(JobGone):
            await market.painter.resume(name, market.order(), market.access(), Steps())
    assert market.created == 0
    assert len(market.fake.asked) == waiting.GONE


async def test_a_job_that_is_not_known_at_once_is_not_gone(market: Market) -> None:
    market.fake.script(KEY, *[Script(404, {"detail": "not found"}, path=market.poll)] * (waiting.GONE - 1))
    assert (await market.paint()).data == painted(1024, 1024)
    assert market.created == 1


async def test_a_job_is_canceled_over_there(market: Market) -> None:
    steps = Steps()
    await market.paint(steps=steps)
    await market.painter.cancel(steps[0].ref, market.access())
    [job] = (market.fake.jobs if market.kind == "fal" else market.fake.predictions).values()
    assert job.canceled
    assert market.fake.asked[-1].method == ("PUT" if market.kind == "fal" else "POST")
    await market.painter.cancel(steps[0].ref.replace("0001", "0009"), market.access())  # over and forgotten: no trouble


@pytest.mark.parametrize("bad", [
    Script(502, b"<html>Bad gateway</html>"), Script(503, b""), Script(429, {"detail": "slow down"}), Script(200, b"what?"),
    Script(200, {"status": "DREAMING"}), Script(act="drop"), Script(act="cut"), Script(504, b"<html>"), Script(302, b""),
])  # fmt: skip
async def test_a_look_that_fails_is_not_the_end_of_the_job(market: Market, bad: Script) -> None:
    market.fake.script(KEY, *[Script(bad.status, bad.body, act=bad.act, path=market.poll)] * 3)
    assert (await market.paint()).data == painted(1024, 1024)
    assert market.created == 1


async def test_a_look_that_hangs_is_not_the_end_of_the_job(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LOOK", 0.2)
    market.fake.script(KEY, Script(act="hang", path=market.poll))
    assert (await market.paint()).data == painted(1024, 1024)


async def test_a_job_that_never_ends_ends_with_the_time_out(market: Market) -> None:
    market.fake.holds = True
    assert (await market.fault_of(timeout=0.4)).fault is Fault.TIMEOUT_UNKNOWN
    assert market.created == 1


async def test_looks_that_all_fail_end_with_the_time_out(market: Market) -> None:
    market.fake.always(KEY, Script(502, b"", path=market.poll))
    assert (await market.fault_of(timeout=0.4)).fault is Fault.TIMEOUT_UNKNOWN


async def test_a_dead_key_ends_the_waiting(market: Market) -> None:
    caught = await market.fault_of(Script(401, {"detail": "Unauthenticated"}, path=market.poll))
    assert caught.fault is Fault.AUTH_DEAD


@pytest.mark.parametrize(("script", "fault"), [
    (Script(act="hang"), Fault.TIMEOUT_UNKNOWN), (Script(act="drop"), Fault.TIMEOUT_UNKNOWN),
    (Script(act="cut"), Fault.TIMEOUT_UNKNOWN), (Script(act="flood", headers=SSE), Fault.NO_IMAGE),
    (Script(body=(b" ",) * 200, headers=SSE, pace=0.05), Fault.TIMEOUT_UNKNOWN),
    (Script(307, b"", {"Location": "/elsewhere"}), Fault.UPSTREAM_5XX), (Script(200, b"<html>"), Fault.NO_IMAGE),
    (Script(201, {"id": "../../account", "request_id": ""}), Fault.NO_IMAGE),
])  # fmt: skip
async def test_a_create_that_goes_wrong_ends_in_its_class(market: Market, script: Script, fault: Fault) -> None:
    create = Script(script.status, script.body, script.headers, script.act, market.create, pace=script.pace)
    timeout = 0.5 if fault is Fault.TIMEOUT_UNKNOWN else 30  # a flood takes its time
    assert (await market.fault_of(create, timeout=timeout)).fault is fault


@pytest.mark.parametrize("url", [
    "http://127.0.0.1:1/x.png", "http://169.254.169.254/x", "http://[::1]/x", "file:///etc/passwd", "", 7, None,
])  # fmt: skip
async def test_a_picture_at_a_private_address_is_not_fetched(market: Market, url: object) -> None:
    assert (await market.fault_of(*market.pictured(url))).fault is Fault.NO_IMAGE
    assert not any("/files/" in path for path in market.paths)


async def test_a_picture_is_fetched_without_the_key_and_never_along_a_redirect(market: Market) -> None:
    await market.paint()
    assert market.fake.asked[-1].path.startswith("/files/")
    assert "authorization" not in market.fake.asked[-1].headers
    market.fake.script("", Script(302, b"", {"Location": "http://127.0.0.1:1/"}, path="/files/"))
    assert (await market.fault_of()).fault is Fault.NO_IMAGE


@pytest.mark.parametrize("file", [b"<html>no picture</html>", b"", b"\x00" * 100])
async def test_what_is_no_picture_is_no_image(market: Market, file: bytes) -> None:
    market.fake.script("", Script(body=file, headers={"Content-Type": "image/png"}, path="/files/"))
    assert (await market.fault_of()).fault is Fault.NO_IMAGE


async def test_a_picture_may_come_inside_the_answer(market: Market) -> None:
    data = painted(64, 64, (1, 2, 3))
    market.script(*market.pictured(f"data:image/png;base64,{base64.b64encode(data).decode()}"))
    assert (await market.paint()).data == data


async def test_unknown_parameters_are_named_before_anything_is_sent(market: Market) -> None:
    caught = await market.fault_of(order=market.order(parameters={"cfg": 7}))
    assert (caught.fault, caught.words) == (Fault.INVALID_REQUEST, "cfg is not known to this painter.")
    assert market.fake.asked == []


async def test_a_wrong_setting_is_named_before_anything_is_sent(market: Market) -> None:
    caught = await market.fault_of(settings={"models": {"x": {"size": "huge"}}})
    assert caught.fault is Fault.INVALID_REQUEST
    assert "'size'" in caught.detail
    assert market.fake.asked == []


async def test_trouble_of_whoever_is_told_is_no_fault_of_the_upstream(market: Market) -> None:
    async def on_step(step: Step) -> None:
        raise OSError("our own database is away")

    with pytest.raises(OSError, match="our own database"):
        await market.painter.paint(market.order(), market.access(), on_step)


@pytest.mark.parametrize("number", range(5))
async def test_an_echoed_secret_is_found_nowhere(market: Market, number: int) -> None:
    secret = f"canary{number}Zk9Qw7Xv3Lm5"
    said = f"bad key {secret}; Authorization: Key {secret}"
    failed = {"id": "gm3q0001", "status": "failed", "error": said}
    script = (
        Script(401, {"detail": said}, path=market.create), Script(500, said.encode(), path=market.create),
        Script(422, {"detail": [{"type": secret, "msg": said, "loc": ["body", secret]}]}, path=market.create),
        Script(403, {"title": said, "detail": secret}, path=market.poll),
        Script(422 if market.kind == "fal" else 200, failed | {"detail": said}, path=market.result),
    )[number]  # fmt: skip
    caught = await market.fault_of(script, secret=secret)
    assert secret not in repr(vars(caught)) + str(caught) + repr(caught.args)


@pytest.mark.parametrize(("market", "case"), [
    pytest.param(each.values[0].painter, *each.values, id=each.id) for each in captured("fal", "replicate")
], indirect=["market"])  # fmt: skip
async def test_a_captured_answer_is_exactly_one_fault(market: Market, case: Captured) -> None:
    path = {"create": market.create, "poll": market.poll, "result": market.result}[case.step]
    caught = await market.fault_of(Script(case.status, case.raw, case.headers, path=path), timeout=5)
    assert (caught.fault, caught.after) == (case.fault, case.after)
