"""What servers of slow peers do with their connections; see `hostile.works`."""

from __future__ import annotations

import asyncio

import wsmash
from hostile.works import Seen


def pour(server: wsmash.WebSocketServer, seen: Seen) -> None:
    """Send single bytes without ever waiting for room, until that is refused."""

    @server.on("connection")
    def connected(event: wsmash.ConnectionEvent) -> None:
        seen.watch(event.client)

        @event.client.on("message")
        def received(event: wsmash.MessageEvent) -> None:
            try:
                while True:
                    event.client.send(b"x")
                    seen.messages += 1
            except wsmash.SlowConsumer as error:
                seen.last = str(error)


def dawdle(server: wsmash.WebSocketServer, seen: Seen) -> None:
    """Take a second for the first message of each connection."""

    @server.on("connection")
    def connected(event: wsmash.ConnectionEvent) -> None:
        seen.watch(event.client)

        @event.client.on("message")
        async def received(event: wsmash.MessageEvent) -> None:
            if not event.client.state:
                event.client.state["begun"] = True
                await asyncio.sleep(1)
            seen.message(event.data)


def burst(server: wsmash.WebSocketServer, seen: Seen) -> None:
    """Answer with more than a system holds."""

    @server.on("connection")
    def connected(event: wsmash.ConnectionEvent) -> None:
        seen.watch(event.client)
        event.client.on("message", lambda event: event.client.send(bytes(8 << 20)))


def fill(server: wsmash.WebSocketServer, seen: Seen) -> None:
    """Answer with as much as the system holds, and a little more."""

    @server.on("connection")
    def connected(event: wsmash.ConnectionEvent) -> None:
        seen.watch(event.client)

        @event.client.on("message")
        async def received(event: wsmash.MessageEvent) -> None:
            channel = event.client._channel
            assert channel is not None
            full = 0
            while full < 10:  # moments: a system's buffers grow
                if channel.info().buffered:
                    full += 1
                    await asyncio.sleep(0.01)
                else:
                    full = 0
                    event.client.send(bytes(32_768))
            seen.last = "full"
