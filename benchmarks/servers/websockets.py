"""The package `websockets`: its asyncio server, with compression where the work is about it."""

from __future__ import annotations

from websockets.asyncio.server import ServerConnection, broadcast
from websockets.asyncio.server import serve as listen

from benchmarks.servers.setting import HOST, Setting, announce, serve


async def echo(connection: ServerConnection) -> None:
    """Send back what comes."""
    async for message in connection:
        await connection.send(message)


async def tell_all(connection: ServerConnection) -> None:
    """Send to all what one says."""
    async for message in connection:
        broadcast(connection.server.connections, message)


async def main(setting: Setting) -> None:
    """Serve until ended."""
    handler = tell_all if setting.work == "broadcast" else echo
    compression = "deflate" if setting.work == "deflate" else None
    async with listen(handler, HOST, 0, ssl=setting.tls, compression=compression) as server:
        announce(next(iter(server.sockets)).getsockname()[1])
        await server.wait_closed()


if __name__ == "__main__":
    serve(main)
