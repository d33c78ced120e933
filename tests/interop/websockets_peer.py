"""The package `websockets`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from websockets.asyncio.client import connect
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from interop.wire import Closed, Handler, Heard, Peer, Setting, Wire


class WebsocketsWire(Wire):
    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection

    @property
    def subprotocol(self) -> str | None:
        return self._connection.subprotocol

    @property
    def deflates(self) -> bool:
        return bool(self._connection.protocol.extensions)

    async def send(self, message: str | bytes) -> None:
        await self._connection.send(message)

    async def send_fragments(self, parts: Sequence[str | bytes]) -> None:
        await self._connection.send(list(parts))

    async def send_ping(self, payload: bytes) -> None:
        await self._connection.ping(payload)

    async def ping(self, payload: bytes) -> None:
        await (await self._connection.ping(payload))

    async def close(self, code: int, reason: str) -> None:
        await self._connection.close(code, reason)

    async def hear(self) -> Heard:
        try:
            return await self._connection.recv()
        except ConnectionClosed as closed:
            if closed.rcvd is None:
                raise
            return Closed(closed.rcvd.code, closed.rcvd.reason)


class WebsocketsPeer(Peer):
    name = "websockets"

    @asynccontextmanager
    async def connect(self, url: str, setting: Setting) -> AsyncIterator[Wire]:
        async with connect(
            url,
            subprotocols=subprotocols(setting.offered),
            compression="deflate" if setting.deflate else None,
            ssl=setting.tls.client if setting.tls else None,
            max_size=None,
        ) as connection:
            yield WebsocketsWire(connection)

    @asynccontextmanager
    async def serve(self, handler: Handler, setting: Setting) -> AsyncIterator[int]:
        async def handle(connection: ServerConnection) -> None:
            await handler(WebsocketsWire(connection))

        async with serve(
            handle,
            "localhost",
            0,
            subprotocols=subprotocols(setting.spoken),
            compression="deflate" if setting.deflate else None,
            ssl=setting.tls.server if setting.tls else None,
            max_size=None,
        ) as server:
            yield next(iter(server.sockets)).getsockname()[1]


def subprotocols(names: Sequence[str]) -> list[Subprotocol] | None:
    """The names as websockets takes them."""
    return [Subprotocol(name) for name in names] or None
