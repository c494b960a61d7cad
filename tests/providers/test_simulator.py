"""The simulator does what the switch says, for every fault there is."""

from __future__ import annotations

import anyio
import pytest

from limner.actors.providers.base import Access, Fault, UpstreamError
from limner.actors.providers.simulator import KEY_FAULTS, Simulator, seed_in
from tests.providers.conftest import Steps, an_order, seen


def access(switch: str, timeout: float = 600) -> Access:
    return Access("sim-key", "", switch=switch, timeout=timeout)


@pytest.mark.parametrize("fault", Fault)
async def test_every_fault_comes_on_demand(fault: Fault, steps: Steps) -> None:
    with pytest.raises(UpstreamError) as caught:
        await Simulator().paint(an_order(), access(f"{fault} after=1.5"), steps)
    assert (caught.value.fault, caught.value.after) == (fault, 1.5)


@pytest.mark.parametrize("seed", [0, 1, -5, 2**63 - 1, -(2**63), 2**64])
@pytest.mark.parametrize("switch", ["", "ok", "slow seconds=0"])
async def test_a_picture_carries_the_seed_of_its_order(seed: int, switch: str, steps: Steps) -> None:
    picture = await Simulator().paint(an_order(seed=seed, width=320, height=200), access(switch), steps)
    assert seen(picture.data).size == (320, 200)
    assert seed_in(picture.data) == seed
    assert [step.done for step in steps] == [0.1, 0.9]


async def test_a_slow_key_takes_its_seconds(steps: Steps) -> None:
    with anyio.move_on_after(0.05) as hurry:
        await Simulator().paint(an_order(), access("slow seconds=30"), steps)
    assert hurry.cancelled_caught


async def test_a_hanging_key_ends_with_the_time_out(steps: Steps) -> None:
    with pytest.raises(UpstreamError) as caught:
        await Simulator().paint(an_order(), access("hang", timeout=0.05), steps)
    assert caught.value.fault is Fault.TIMEOUT_UNKNOWN


async def test_a_truncated_picture_cannot_be_decoded(steps: Steps) -> None:
    picture = await Simulator().paint(an_order(), access("truncated"), steps)
    assert picture.data.startswith(b"\x89PNG")
    with pytest.raises(OSError, match=r"truncated|broken|incomplete|Truncated"):
        seen(picture.data)


async def test_what_is_no_picture_has_no_magic_number(steps: Steps) -> None:
    assert (await Simulator().paint(an_order(), access("not_an_image"), steps)).data.startswith(b"<html>")


async def test_the_wrong_size_is_wrong(steps: Steps) -> None:
    assert seen((await Simulator().paint(an_order(), access("wrong_size"), steps)).data).size == (64, 48)


@pytest.mark.parametrize("switch", ["explode", "rate_limited after=soon", "ok what=1", "ok 3"])
async def test_an_unknown_switch_is_an_invalid_request(switch: str, steps: Steps) -> None:
    with pytest.raises(UpstreamError, match="unknown switch"):
        await Simulator().paint(an_order(), access(switch), steps)


@pytest.mark.parametrize("fault", sorted(KEY_FAULTS))
async def test_a_check_sees_what_ails_the_key(fault: Fault) -> None:
    with pytest.raises(UpstreamError) as caught:
        await Simulator().check(access(str(fault)))
    assert caught.value.fault is fault


@pytest.mark.parametrize("switch", ["", "ok", "slow", "hang", "truncated", *sorted(frozenset(Fault) - KEY_FAULTS)])
async def test_a_check_passes_over_what_ails_single_orders(switch: str) -> None:
    await Simulator().check(access(str(switch)))
