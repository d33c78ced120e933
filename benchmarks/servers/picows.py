"""The core of picows: frames as they come to a listener, and the transport's own `send`.

It checks no UTF-8, joins no fragments and sends no pings unless told to.
"""

from __future__ import annotations

from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from benchmarks.servers.setting import HOST, Setting, announce, serve

transports: set[WSTransport] = set()


class Echo(WSListener):
    """Sends back what comes."""

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
        else:
            transport.send(frame.msg_type, frame.get_payload_as_bytes())


class TellAll(WSListener):
    """Sends to all what one says."""

    def on_ws_connected(self, transport: WSTransport) -> None:
        transports.add(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()
        else:
            message = frame.get_payload_as_bytes()
            for each in transports:
                each.send(frame.msg_type, message)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        transports.discard(transport)


async def main(setting: Setting) -> None:
    """Serve until ended."""
    listener = TellAll if setting.work == "broadcast" else Echo

    def accept(request: WSUpgradeRequest) -> WSListener:
        return listener()

    server = await ws_create_server(accept, HOST, 0, ssl=setting.tls)
    announce(server.sockets[0].getsockname()[1])
    await server.serve_forever()


if __name__ == "__main__":
    serve(main)
