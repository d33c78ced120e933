"""The WebSockets of aiohttp's server."""

from __future__ import annotations

import asyncio

from aiohttp import WSMsgType, web

from benchmarks.servers.setting import HOST, Setting, announce, serve

sockets: set[web.WebSocketResponse] = set()


def handler_of(setting: Setting) -> web.Application:
    """An application whose root takes WebSockets."""
    tells_all = setting.work == "broadcast"

    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=setting.work == "deflate")
        await socket.prepare(request)
        sockets.add(socket)
        try:
            async for message in socket:
                for each in tuple(sockets) if tells_all else (socket,):
                    if message.type is WSMsgType.TEXT:
                        await each.send_str(message.data)
                    else:
                        await each.send_bytes(message.data)
        finally:
            sockets.discard(socket)
        return socket

    application = web.Application()
    application.router.add_get("/", handle)
    return application


async def main(setting: Setting) -> None:
    """Serve until ended."""
    runner = web.AppRunner(handler_of(setting), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0, ssl_context=setting.tls).start()
    announce(runner.addresses[0][1])
    await asyncio.Event().wait()


if __name__ == "__main__":
    serve(main)
