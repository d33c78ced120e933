"""A node of python-socketio, with its Redis manager and under uvicorn; its argument is the URL of Redis."""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Any

import socketio
import uvicorn
import uvloop

from benchmarks.topics.node import TOPIC, obey


async def main(redis: str) -> None:
    """Let whoever connects enter the room, and emit to it when told to."""
    server = socketio.AsyncServer(
        async_mode="asgi", client_manager=socketio.AsyncRedisManager(redis), transports=["websocket"],
        ping_interval=3600, ping_timeout=3600, cors_allowed_origins="*", max_http_buffer_size=1 << 20,
    )  # fmt: skip

    @server.event  # type: ignore[untyped-decorator]
    async def connect(sid: str, environ: dict[str, Any]) -> None:
        await server.enter_room(sid, TOPIC)

    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    config = uvicorn.Config(socketio.ASGIApp(server), log_level="error", ws_ping_interval=None, lifespan="off")
    serving = asyncio.ensure_future(uvicorn.Server(config).serve([listening]))
    await obey(lambda text: server.emit("m", text, room=TOPIC), listening.getsockname()[1])
    serving.cancel()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(*sys.argv[1:]))
