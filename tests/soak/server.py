"""The server under load: a process of its own, which tells what it holds whenever a line asks it to.

    python -m soak.server [LEAK...]

It writes one line of JSON where it listens, and one for each line that it reads: what it
holds, and before that it stops or starts one of its listeners where the line says so. With
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
from typing import Any

import wsmash
from fixtures.certificates import authority, server_context
from soak.usage import Usage

OPTIONS: dict[str, Any] = {
    "host": "127.0.0.1",
    "port": 0,
    "compression": wsmash.Deflate(threshold=512),
    "open_timeout": 4,
    "message_timeout": 3,
    "write_timeout": 4,
    "close_timeout": 1.5,
    "ping_interval": 2.5,
    "ping_timeout": 5,
    "shutdown_timeout": 5,
    "backlog": 128,
}
"""Short deadlines, so that each is met again and again; and long enough for an honest visitor on a busy machine."""

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
    server = wsmash.create_server(**OPTIONS | options)

    def connected(event: wsmash.ConnectionEvent) -> None:
        event.client.on("message", answer)
        kept.extend(LEAKS[leak]() for leak in leaks)

    server.on("connection", connected)
    server.endpoint("/later").on("connection", lambda event: event.client.on("message", answer_later))
    room = server.endpoint("/room")
    room.on("connection", lambda event: event.client.on("message", lambda message: room.broadcast(message.data)))
    return server


async def main(*leaks: str) -> None:
    """Serve plainly, over TLS and now and then, until the input ends."""
    context = server_context("localhost", "127.0.0.1")
    servers = [make_server(leaks), make_server(leaks, ssl=context), make_server(leaks)]
    for each in servers:
        await each.start()
    ports = [each.port for each in servers]
    ready = dict(zip(("plain", "secure", "flaky"), ports, strict=True)) | {"engine": wsmash.engine().name}
    say(ready | {"authority": authority().cert_pem.bytes().decode()})
    orders = await lines()
    while order := (await orders.readline()).strip():
        if order == b"stop":
            await servers[2].stop()
        elif order == b"start":
            servers[2] = make_server(leaks, port=ports[2])
            await servers[2].start()
        say(Usage.now(time.monotonic(), sum(each.get_client_count() for each in servers))._asdict())
    for each in servers:
        await each.stop()


async def lines() -> asyncio.StreamReader:
    """What is read."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def say(what: dict[str, Any]) -> None:
    """Write a line."""
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    asyncio.run(main(*sys.argv[1:]))
