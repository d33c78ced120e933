"""What the nodes of both sides have in common: they say where they listen, and publish when they are told to.

A line `burst COUNT SIZE` on the standard input has a node publish so many messages, with
so many under way at once as `WINDOW` says; `steady COUNT SIZE RATE` so many in a second.
It answers `done` once all of them are acknowledged.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable

TOPIC = "news"
WINDOW = 64
MARK = "^"
"""Stands in each message once, behind the time at which it was published."""

DIGITS = 19
"""Of that time: nanoseconds of the monotonic clock, which is the same for all processes of a machine."""

Publish = Callable[[str], Awaitable[object]]


def message(size: int) -> str:
    """A text of so many bytes that says when it was published."""
    return f"{time.monotonic_ns():0{DIGITS}}{MARK}".ljust(size, "x")


async def burst(publish: Publish, count: int, size: int) -> None:
    """As many as can be, so many at a time."""
    for begin in range(0, count, WINDOW):
        await asyncio.gather(*(publish(message(size)) for _ in range(min(WINDOW, count - begin))))


async def steady(publish: Publish, count: int, size: int, rate: float) -> None:
    """One after another, at even intervals, whether or not those before are acknowledged."""
    clock = asyncio.get_running_loop().time
    begin, under_way = clock(), set[asyncio.Future[object]]()
    for number in range(count):
        await asyncio.sleep(max(0.0, begin + number / rate - clock()))
        under_way.add(asyncio.ensure_future(publish(message(size))))
    await asyncio.gather(*under_way)


async def obey(publish: Publish, port: int) -> None:
    """Say where this node listens, and do what the lines say, until there are none."""
    print(port, flush=True)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := (await lines.readline()).decode().split():
        work, count, size, *rate = line
        if work == "burst":
            await burst(publish, int(count), int(size))
        else:
            await steady(publish, int(count), int(size), float(rate[0]))
        print("done", flush=True)
