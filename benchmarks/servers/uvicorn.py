"""An ASGI application on uvicorn, with the newer of its WebSocket implementations."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn

from benchmarks.servers.setting import HOST, Setting, announce, setting

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

sends: set[Send] = set()


async def converse(receive: Receive, send: Send, tells_all: bool) -> None:
    """Take one connection, and answer its messages until it ends."""
    await receive()
    await send({"type": "websocket.accept"})
    sends.add(send)
    try:
        while (event := await receive())["type"] == "websocket.receive":
            answer = {"type": "websocket.send", "text": event.get("text"), "bytes": event.get("bytes")}
            for each in tuple(sends) if tells_all else (send,):
                await each(answer)
    finally:
        sends.discard(send)


def serve(wanted: Setting) -> None:
    """Serve until ended."""
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await converse(receive, send, wanted.work == "broadcast")

    config = uvicorn.Config(
        application,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_per_message_deflate=wanted.work == "deflate",
        lifespan="off",
        access_log=False,
        log_level="warning",
        ssl_certfile=wanted.certificate,
        ssl_keyfile=wanted.key,
    )
    with socket.create_server((HOST, 0), backlog=1024) as listening:
        announce(listening.getsockname()[1])
        uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    serve(setting())
