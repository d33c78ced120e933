"""A server without other nodes that sends to all what one says, by `publish` or by `broadcast`: its one argument."""

from __future__ import annotations

import wsmash
from benchmarks.servers.setting import HOST, Setting, announce, serve
from benchmarks.topics.node import TOPIC


async def main(setting: Setting) -> None:
    """Serve until ended; all connections are subscribed, whether or not that is what they are sent by."""
    server = wsmash.create_server(port=0, host=HOST, compression=None)

    def publish(event: wsmash.MessageEvent) -> None:
        server.publish(TOPIC, event.data)

    def broadcast(event: wsmash.MessageEvent) -> None:
        server.broadcast(event.data)

    @server.on("connection")
    def connected(event: wsmash.ConnectionEvent) -> None:
        event.client.subscribe(TOPIC)
        event.client.on("message", publish if setting.work == "publish" else broadcast)

    async with server:
        announce(server.port)
        await server.wait_closed()


if __name__ == "__main__":
    serve(main)
