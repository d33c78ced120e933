"""What a process holds at a moment, and how much of it grows (hostile case 73)."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from wsmash.runtime.environment import current_environment

MIB = 1024 * 1024


class Usage(NamedTuple):
    """One sample.

    Attributes:
        at: seconds, on any clock.
        resident: bytes of memory that the process has.
        deadlines: entries of the wheel.
        timers: of the loop, those that are cancelled not counted.
        objects: that the collector knows.
    """

    at: float
    resident: int
    descriptors: int
    tasks: int
    deadlines: int
    timers: int
    objects: int
    connections: int

    @classmethod
    def now(cls, at: float, connections: int) -> Usage:
        """Of this process, from inside its loop."""
        gc.collect()
        loop: Any = asyncio.get_running_loop()
        return cls(
            at,
            int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGESIZE"),
            len(list(Path("/proc/self/fd").iterdir())),
            len(asyncio.all_tasks()),
            len(current_environment("looking").wheel),
            sum(not each.cancelled() for each in getattr(loop, "_scheduled", ())),
            len(gc.get_objects()),
            connections,
        )


BACK = ("descriptors", "tasks", "deadlines", "timers", "connections")
"""What has to be as it was once everybody has left."""


def left(before: Usage, after: Usage) -> dict[str, int]:
    """What there is more of than at the start, by name."""
    found = {name: getattr(after, name) - getattr(before, name) for name in BACK}
    return {name: more for name, more in found.items() if more > 0}


def slope(samples: Sequence[Usage]) -> float:
    """MiB of resident memory that come with each minute: the line of least squares."""
    if len(samples) < 2:
        return 0.0
    times = [each.at / 60 for each in samples]
    sizes = [each.resident / MIB for each in samples]
    middle, mean = sum(times) / len(times), sum(sizes) / len(sizes)
    spread = sum((time - middle) ** 2 for time in times)
    return sum((time - middle) * (size - mean) for time, size in zip(times, sizes, strict=True)) / spread


def settled(samples: Sequence[Usage]) -> list[Usage]:
    """Those after the warm-up, a third of the time."""
    return [each for each in samples if each.at - samples[0].at >= (samples[-1].at - samples[0].at) / 3]
