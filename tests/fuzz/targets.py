"""What the fuzzer calls with any bytes: they make a schedule, on which native and pure code must do the same."""

from __future__ import annotations

from collections.abc import Callable

from fixtures import driver_twins, twins
from fixtures.codec import CODECS, Codec
from fixtures.driver import DRIVERS
from fixtures.driver_schedules import schedule
from fixtures.schedules import from_bytes, reading, writing


def receiver(data: bytes) -> str:
    """Both receivers are fed the same; the first thing that they do not do alike."""
    return twins.difference(reading(from_bytes(data)), *_both())


def sender(data: bytes) -> str:
    """Both senders are asked for the same."""
    return twins.difference(writing(from_bytes(data)), *_both())


def _both() -> tuple[Codec, Codec]:
    pure, native = CODECS["pure"], CODECS["native"]
    assert pure is not None and native is not None
    return pure, native


def engine(data: bytes) -> str:
    """The same happens to connections of both drivers."""
    return driver_twins.difference(schedule(from_bytes(data)), DRIVERS["portable"], DRIVERS["native"])


TARGETS: dict[str, Callable[[bytes], str]] = {"receiver": receiver, "sender": sender, "engine": engine}
