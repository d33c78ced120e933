"""The pure and the native codec do the same at every step; and a codec that does not is caught."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures import sabotage
from fixtures.codec import NATIVE, PURE, Codec, existing
from fixtures.schedules import Reading, Writing, from_bytes, reading, writing
from fixtures.twins import difference


@pytest.fixture(scope="module")
def native() -> Codec:
    """The native codec."""
    return existing(NATIVE)


@st.composite
def readings(draw: st.DrawFn) -> Reading:
    """What a receiver is fed."""
    return reading(lambda most: draw(st.integers(0, most)))


@st.composite
def writings(draw: st.DrawFn) -> Writing:
    """What a sender is called with."""
    return writing(lambda most: draw(st.integers(0, most)))


def random_bytes(seed: int) -> bytes:
    """Those of a schedule, as a fuzzer would give them."""
    return Random(seed).randbytes(600)


def test_the_native_codec_is_loaded(native: Codec) -> None:
    """What runs as the native codec is compiled, and no stand-in of the pure one."""
    for name in ("Receiver", "Sender"):
        twin = getattr(native, name)
        assert twin.__module__ == "wsmash._native.codec"
        assert not issubclass(twin, getattr(PURE, name))
    assert type(native.apply_mask).__name__ == "cython_function_or_method"


@pytest.mark.case(128)
@settings(max_examples=500, deadline=None)
@given(schedule=readings())
def test_receivers_agree(native: Codec, schedule: Reading) -> None:
    """Items, violations and what is unfinished are the same after each call, whatever is fed."""
    assert difference(schedule, PURE, native) == ""


@pytest.mark.case(128)
@settings(max_examples=300, deadline=None)
@given(schedule=writings())
def test_senders_agree(native: Codec, schedule: Writing) -> None:
    """The same calls give the same bytes, with the same keys, and hold back the same."""
    assert difference(schedule, PURE, native) == ""


@pytest.mark.case(128)
@pytest.mark.parametrize("seed", range(0, 3000, 100))
def test_random_schedules_agree(native: Codec, seed: int) -> None:
    """So do schedules made of random bytes, which are longer than those of hypothesis."""
    for each in range(seed, seed + 100):
        data = random_bytes(each)
        assert difference(reading(from_bytes(data)), PURE, native) == "", each
        assert difference(writing(from_bytes(data)), PURE, native) == "", each


@pytest.mark.case(128)
@pytest.mark.parametrize("broken", sabotage.RECEIVERS, ids=lambda broken: broken.__name__)
def test_a_sabotaged_receiver_is_caught(broken: type) -> None:
    """A receiver that is wrong in one rule is told from the right one by some schedule."""
    assert caught(PURE._replace(Receiver=broken), reading)


@pytest.mark.parametrize("broken", sabotage.SENDERS, ids=lambda broken: broken.__name__)
def test_a_sabotaged_sender_is_caught(broken: type) -> None:
    """So is a sender."""
    assert caught(PURE._replace(Sender=broken), writing)


def caught(codec: Codec, make: Callable[..., Reading | Writing]) -> bool:
    """Whether one of the random schedules shows a difference."""
    right = NATIVE or PURE
    return any(difference(make(from_bytes(random_bytes(seed))), right, codec) for seed in range(3000))
