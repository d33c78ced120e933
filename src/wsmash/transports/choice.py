"""Which driver carries the sockets of a loop: the native engine wherever it runs, the portable one elsewhere."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from typing import NamedTuple

from .base import Driver
from .native import NativeDriver, missing, why_not
from .portable import PortableDriver


class Engine(NamedTuple):
    """What moves the bytes of connections.

    Attributes:
        name: "native" or "portable".
        reason: why it is the portable one; empty where it is native.
    """

    name: str
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.reason})" if self.reason else self.name


def engine() -> Engine:
    """Which engine new connections get: the native one, or the portable one and why.

    The environment variable `WSMASH_ENGINE` chooses when the package is imported:
    `native` makes it an ImportError where that cannot run, `portable` does without
    it, and `auto`, the default, takes it wherever it was built and runs.
    """
    return Engine("portable", missing) if missing else Engine("native")


def make_driver(loop: AbstractEventLoop) -> Driver:
    """The driver for the sockets of a loop."""
    return PortableDriver(loop) if why_not(loop) else NativeDriver(loop)
