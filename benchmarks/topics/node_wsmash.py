"""A node of the product: `python -m benchmarks.topics.node_wsmash BROKER [PROTOCOL [HISTORY]]`."""

from __future__ import annotations

import asyncio
import sys

import uvloop

import wsmash
from benchmarks.topics.node import TOPIC, obey


async def main(broker: str, protocol: str = "", history: str = "") -> None:
    """Subscribe whoever connects, and publish when told to."""
    server = wsmash.create_server(
        port=0, host="127.0.0.1", broker=broker, protocols=protocol or (), compression=None, ping_interval=None
    )
    if history:
        server.topic(TOPIC, history_size=int(history), history_ttl=60)
    server.on("connection", lambda event: event.client.subscribe(TOPIC))
    async with server:
        await obey(lambda text: server.publish(TOPIC, text), server.port)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(*sys.argv[1:]))
