"""The package `aiohttp`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, web

from interop.wire import Closed, Handler, Heard, Peer, Pong, Setting, Wire


class AiohttpWire(Wire):
    def __init__(self, connection: ClientWebSocketResponse | web.WebSocketResponse) -> None:
        super().__init__()
        self._connection = connection

    @property
    def subprotocol(self) -> str | None:
        if isinstance(self._connection, ClientWebSocketResponse):
            return self._connection.protocol
        return self._connection.ws_protocol

    @property
    def deflates(self) -> bool:
        return bool(self._connection.compress)

    async def send(self, message: str | bytes) -> None:
        if isinstance(message, str):
            await self._connection.send_str(message)
        else:
            await self._connection.send_bytes(message)

    async def send_fragments(self, parts: Sequence[str | bytes]) -> None:
        raise NotImplementedError("aiohttp sends no fragments")

    async def send_ping(self, payload: bytes) -> None:
        await self._connection.ping(payload)

    async def close(self, code: int, reason: str) -> None:
        await self._connection.close(code=code, message=reason.encode())

    async def hear(self) -> Heard:
        while True:
            message = await self._connection.receive()
            match message.type:
                case WSMsgType.TEXT | WSMsgType.BINARY:
                    return message.data  # type: ignore[no-any-return]
                case WSMsgType.PING:
                    await self._connection.pong(message.data)
                case WSMsgType.PONG:
                    return Pong(bytes(message.data))
                case WSMsgType.CLOSE:
                    closed = Closed(message.data, message.extra or "")
                    await self.close(*closed)
                    return closed
                case other:
                    raise AssertionError(f"no close frame came, but {other!r} {message.data!r}")


class AiohttpPeer(Peer):
    name = "aiohttp"
    can_fragment = False

    @asynccontextmanager
    async def connect(self, url: str, setting: Setting) -> AsyncIterator[Wire]:
        async with (
            ClientSession() as session,
            session.ws_connect(
                url,
                protocols=setting.offered,
                compress=15 if setting.deflate else 0,
                ssl=setting.tls.client if setting.tls else True,
                autoclose=False,  # it would answer every close frame with 1000
                autoping=False,
                max_msg_size=0,
            ) as connection,
        ):
            yield AiohttpWire(connection)

    @asynccontextmanager
    async def serve(self, handler: Handler, setting: Setting) -> AsyncIterator[int]:
        async def handle(request: web.Request) -> web.WebSocketResponse:
            connection = web.WebSocketResponse(
                protocols=setting.spoken, compress=setting.deflate, autoclose=False, autoping=False, max_msg_size=0
            )
            await connection.prepare(request)
            await handler(AiohttpWire(connection))
            return connection

        application = web.Application()
        application.router.add_get("/", handle)
        runner = web.AppRunner(application)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=setting.tls.server if setting.tls else None).start()
            yield runner.addresses[0][1]
        finally:
            await runner.cleanup()
