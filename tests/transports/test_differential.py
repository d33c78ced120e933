"""The portable and the native driver do the same, whatever happens; and a driver that does not is caught."""

from __future__ import annotations

from functools import cache
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.codec import NATIVE, existing
from fixtures.driver_sabotage import CHANNELS, GROUPS, driver_of
from fixtures.driver_schedules import Schedule, schedule
from fixtures.driver_twins import MakeDriver, difference, run
from fixtures.schedules import from_bytes
from wsmash.transports.native import NativeDriver
from wsmash.transports.portable import PortableDriver

CATCHES = 500
"""Schedules of which one must show that a driver is wrong."""


@pytest.fixture(scope="module")
def native() -> MakeDriver:
    """The native driver."""
    existing(NATIVE)
    return NativeDriver


def random_schedule(seed: int) -> Schedule:
    """One of random bytes."""
    return schedule(from_bytes(Random(seed).randbytes(900)))


@pytest.mark.case(128)
@settings(max_examples=250, deadline=None, derandomize=True)  # `make fuzz` looks for what nobody has seen
@given(data=st.binary(max_size=900))
def test_drivers_agree(native: MakeDriver, data: bytes) -> None:
    """Handlers hear the same, peers read the same, and channels know the same, whenever all is quiet."""
    assert difference(schedule(from_bytes(data)), PortableDriver, native) == ""


@pytest.mark.case(128)
@pytest.mark.parametrize("seed", range(0, 400, 50))
def test_random_schedules_agree(native: MakeDriver, seed: int) -> None:
    """So they do on schedules of random bytes, which are longer than those of hypothesis."""
    for each in range(seed, seed + 50):
        assert difference(random_schedule(each), PortableDriver, native) == "", each


@cache
def right(seed: int) -> list[object]:
    """What the portable driver does."""
    return run(random_schedule(seed), PortableDriver)


def caught(driver: MakeDriver) -> bool:
    """Whether some schedule tells it from the right one."""
    return any(run(random_schedule(seed), driver) != right(seed) for seed in range(CATCHES))


@pytest.mark.case(128)
@pytest.mark.parametrize("channel", CHANNELS, ids=lambda channel: channel.__name__)
def test_a_sabotaged_channel_is_caught(channel: type) -> None:
    """A channel that is wrong in one thing does something else than the right one on some schedule."""
    assert caught(driver_of(channel))


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.__name__)
def test_a_sabotaged_group_is_caught(group: type) -> None:
    """So does a group."""
    assert caught(driver_of(group=group))


def test_the_same_driver_twice() -> None:
    """What a comparison finds is no chance: a driver that is sound and compared with itself differs nowhere."""
    assert all(run(random_schedule(seed), driver_of()) == right(seed) for seed in range(100))
