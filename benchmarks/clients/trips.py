"""Counting round trips: one message at a time goes to an echo server and back, for so many seconds."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable

import uvloop

WARM_UP = 0.25
"""Of the seconds that count, how many go before them."""


class Trips:
    """The payload to send, and how many times it came back.

    Attributes:
        payload: what goes there and back.
        done: round trips so far; a client counts it up.
    """

    __slots__ = ("_seconds", "done", "payload")

    def __init__(self, size: int, seconds: float) -> None:
        self.payload = bytes(size)
        self.done = 0
        self._seconds = seconds

    async def rate(self) -> float:
        """Round trips a second, counted while a client that was started makes them."""
        await asyncio.sleep(WARM_UP * self._seconds)
        before, began = self.done, time.perf_counter()
        await asyncio.sleep(self._seconds)
        return (self.done - before) / (time.perf_counter() - began)


def measure(client: Callable[[str, Trips], Awaitable[float]]) -> None:
    """Run a client with what the command line says, and print its rate."""
    url, size, seconds = sys.argv[1:]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        rate = runner.run(_run(client, url, Trips(int(size), float(seconds))))
    print(json.dumps({"trips_per_s": round(rate, 1)}))


async def _run(client: Callable[[str, Trips], Awaitable[float]], url: str, trips: Trips) -> float:
    return await client(url, trips)
