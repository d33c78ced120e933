"""The server of `wsmash serve benchmarks.scaling.app:server`, in one process or in several workers.

Whoever connects is subscribed to one topic. A message "COUNT WINDOW" has the worker that
got it publish so many messages there, so many under way at once.
"""

from __future__ import annotations

import asyncio

import wsmash
from benchmarks.scaling.node import SIZE
from benchmarks.topics.node import TOPIC, message

server = wsmash.create_server(host="127.0.0.1", compression=None, ping_interval=None)


@server.on("connection")
async def connected(event: wsmash.ConnectionEvent) -> None:
    """Subscribe it, and do what it says."""
    event.client.on("message", publish)
    await event.client.subscribe(TOPIC)


async def publish(event: wsmash.MessageEvent) -> None:
    """Publish as many as the message says."""
    count, window = map(int, str(event.data).split())
    for begin in range(0, count, window):
        some = range(min(window, count - begin))
        await asyncio.gather(*(server.publish(TOPIC, message(SIZE)) for _ in some))
