"""The server under load: a process of its own, which tells what it holds whenever a line asks it to.

    python -m soak.server [LEAK...]

It writes one line of JSON where it listens, and one for each line that it reads. With
names of leaks it keeps something of each connection, which the soak has to find.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import wsmash
from fixtures.certificates import authority, server_context
from soak.usage import Usage

OPTIONS: dict[str, Any] = {
    "host": "127.0.0.1",
    "port": 0,
    "compression": wsmash.Deflate(threshold=512),
    "open_timeout": 2,
    "message_timeout": 2,
    "write_timeout": 2,
    "close_timeout": 1,
    "ping_interval": 2,
    "ping_timeout": 2,
    "shutdown_timeout": 5,
    "backlog": 128,
}
"""Short deadlines, so that each is met again and again."""

BLOCK = os.urandom(64 * 1024)

kept: list[object] = []
"""What a planted leak keeps."""

LEAKS: dict[str, Callable[[], object]] = {
    "memory": lambda: bytearray(os.urandom(256 * 1024)),
    "descriptor": lambda: os.open(os.devnull, os.O_RDONLY),
    "task": lambda: asyncio.ensure_future(asyncio.sleep(3600)),
    "timer": lambda: asyncio.get_running_loop().call_later(3600, print),
}


def answer(event: wsmash.MessageEvent) -> None:
    """Echo; some messages ask for something else."""
    data = event.data
    if isinstance(data, str) and data.startswith("{"):
        event.client.send_json(event.json())
    elif data == "flood":
        for _ in range(32):
            event.client.send(BLOCK)
    else:
        event.client.send(data)


async def answer_later(event: wsmash.MessageEvent) -> None:
    """Echo from a coroutine, which waits for room."""
    await asyncio.sleep(0.005)
    await event.client.send(event.data)


def make_server(leaks: Sequence[str], **options: Any) -> wsmash.WebSocketServer:
    """An endpoint for each kind of callback."""
    server = wsmash.create_server(**OPTIONS, **options)

    def connected(event: wsmash.ConnectionEvent) -> None:
        event.client.on("message", answer)
        kept.extend(LEAKS[leak]() for leak in leaks)

    server.on("connection", connected)
    server.endpoint("/later").on("connection", lambda event: event.client.on("message", answer_later))
    room = server.endpoint("/room")
    room.on("connection", lambda event: event.client.on("message", lambda message: room.broadcast(message.data)))
    return server


async def main(*leaks: str) -> None:
    """Serve plainly and over TLS until the input ends."""
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        plain, secure = [
            await stack.enter_async_context(make_server(leaks, **options))
            for options in ({}, {"ssl": server_context("localhost", "127.0.0.1")})
        ]
        ready = {"plain": plain.port, "secure": secure.port, "authority": authority().cert_pem.bytes().decode()}
        print(json.dumps(ready | {"engine": wsmash.engine()[0]}), flush=True)
        over = loop.create_future()

        def asked() -> None:
            if not os.read(0, 100):
                loop.remove_reader(0)
                over.set_result(None)
                return
            count = plain.get_client_count() + secure.get_client_count()
            print(json.dumps(Usage.now(time.monotonic(), count)._asdict()), flush=True)

        loop.add_reader(0, asked)
        await over


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    asyncio.run(main(*sys.argv[1:]))
