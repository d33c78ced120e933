"""The product, used as its users use it: through its events, with its defaults."""

from __future__ import annotations

import wsmash
from benchmarks.servers.setting import HOST, Setting, announce, serve


def echo(event: wsmash.ConnectionEvent) -> None:
    """A plain callback, beside one that hears of the end."""
    client = event.client
    client.on("message", lambda event: client.send(event.data))
    client.on("close", closed)


def closed(event: wsmash.CloseEvent) -> None:
    """Nothing is left to do for a connection that has gone."""


def coroutine(event: wsmash.ConnectionEvent) -> None:
    """A coroutine callback."""
    client = event.client

    @client.on("message")
    async def received(event: wsmash.MessageEvent) -> None:
        await client.send(event.data)


async def iterate(event: wsmash.ConnectionEvent) -> None:
    """Pull style."""
    client = event.client
    async for message in client:
        await client.send(message)


def broadcast_by(server: wsmash.WebSocketServer) -> wsmash.WebSocketServer:
    """Send to all what one says."""
    @server.on("connection")
    def connected(event: wsmash.ConnectionEvent) -> None:
        event.client.on("message", lambda event: server.broadcast(event.data))

    return server


async def main(setting: Setting) -> None:
    """Serve until ended."""
    compression = wsmash.Deflate() if setting.work == "deflate" else None
    server = wsmash.create_server(port=0, host=HOST, ssl=setting.tls, compression=compression)
    if setting.work == "broadcast":
        broadcast_by(server)
    elif setting.work == "coroutine":
        server.on("connection", coroutine)
    elif setting.work == "iterate":
        server.on("connection", iterate)
    else:
        server.on("connection", echo)
    async with server:
        announce(server.port)
        await server.wait_closed()


if __name__ == "__main__":
    serve(main)
