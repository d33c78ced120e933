"""Machines that were suspended: their connections may be dead without a sign, and their timers stood still.

The clock of the loop does not run while a machine sleeps, another one does. Where
the latter has got ahead, all who asked are told; one entry in the wheel looks for
all of a loop, and only while anybody has asked.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from .deadlines import Wheel

INTERVAL = 2.0
"""Seconds between two looks, and so how late a wake-up may be noticed."""

JUMP = 3.0
"""Seconds that the clocks must have come apart by: less is a clock that was set right, or a busy machine."""


class Sleeper(Protocol):
    """Who is told."""

    def woke(self) -> None:
        """The machine was suspended, or stood still."""


def _steady() -> Callable[[], float]:
    """A clock that runs while the machine is suspended: one that nobody sets, where there is one."""
    try:
        boottime: int = time.CLOCK_BOOTTIME
        time.clock_gettime(boottime)
    except (AttributeError, OSError):  # not every system has it, nor every kernel that says so
        return time.time
    return lambda: time.clock_gettime(boottime)


class Wakeups:
    """Tells those who asked when the machine has been suspended.

    Attributes:
        clock: runs while the machine is suspended.
        tick: as `deadlines.Entry` has it.
    """

    def __init__(self, wheel: Wheel) -> None:
        self._wheel = wheel
        self._sleepers: dict[Sleeper, None] = {}
        self._ahead = 0.0
        self.clock = _steady()
        self.tick = -1

    def add(self, sleeper: Sleeper) -> None:
        """Tell this one, and hold it until it is discarded."""
        if not self._sleepers:
            now = self._wheel.clock()
            self._ahead = self.clock() - now
            self._wheel.ask(self, now + INTERVAL)
        self._sleepers[sleeper] = None

    def discard(self, sleeper: Sleeper) -> None:
        """Tell it no more."""
        self._sleepers.pop(sleeper, None)
        if not self._sleepers:
            self._wheel.forget(self)

    def due(self, now: float) -> float | None:
        """Look whether the clocks came apart."""
        before, self._ahead = self._ahead, self.clock() - self._wheel.clock()
        if self._ahead - before >= JUMP:
            for each in tuple(self._sleepers):
                each.woke()
        return now + INTERVAL if self._sleepers else None
