"""The package `wsproto`, which does no I/O, over asyncio's streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Request,
    TextMessage,
)
from wsproto.events import Pong as PongEvent
from wsproto.extensions import Extension, PerMessageDeflate

from interop.wire import Closed, Handler, Heard, Peer, Pong, Setting, Wire


class WsprotoWire(Wire):
    """A connection whose opening handshake is still to come."""

    def __init__(
        self, role: ConnectionType, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, setting: Setting
    ) -> None:
        super().__init__()
        self._is_client = role is ConnectionType.CLIENT
        self._wsproto = WSConnection(role)
        self._reader = reader
        self._writer = writer
        self._setting = setting
        self._events: list[Event] = []
        self._agreed: str | None = None
        self._extensions: list[Extension] = [PerMessageDeflate()] if setting.deflate else []

    @property
    def subprotocol(self) -> str | None:
        return self._agreed

    @property
    def deflates(self) -> bool:
        return any(extension.enabled() for extension in self._extensions)

    async def ask(self, url: str) -> None:
        """Open it as a client."""
        parts = urlsplit(url)
        await self._write(
            Request(
                host=parts.netloc,
                target=parts.path,
                subprotocols=list(self._setting.offered),
                extensions=self._extensions,
            )
        )
        accepted = await self._event()
        assert isinstance(accepted, AcceptConnection), accepted
        self._agreed = accepted.subprotocol

    async def answer(self) -> None:
        """Open it as a server."""
        request = await self._event()
        assert isinstance(request, Request), request
        self._agreed = next((name for name in self._setting.spoken if name in request.subprotocols), None)
        await self._write(AcceptConnection(subprotocol=self._agreed, extensions=self._extensions))

    async def send(self, message: str | bytes) -> None:
        await self.send_fragments([message])

    async def send_fragments(self, parts: Sequence[str | bytes]) -> None:
        for number, part in enumerate(parts, 1):
            is_last = number == len(parts)
            if isinstance(part, str):
                await self._write(TextMessage(data=part, message_finished=is_last))
            else:
                await self._write(BytesMessage(data=part, message_finished=is_last))

    async def send_ping(self, payload: bytes) -> None:
        await self._write(Ping(payload=payload))

    async def close(self, code: int, reason: str) -> None:
        await self._write(CloseConnection(code=code, reason=reason))
        while not isinstance(await self._event(), CloseConnection):
            pass
        await self._leave()

    async def hear(self) -> Heard:
        parts: list[str | bytes] = []
        while True:
            match event := await self._event():
                case TextMessage() | BytesMessage():
                    parts.append(event.data if isinstance(event, TextMessage) else bytes(event.data))
                    if event.message_finished:
                        return type(parts[0])().join(parts)  # type: ignore[arg-type]
                case Ping():
                    await self._write(event.response())
                case PongEvent():
                    return Pong(bytes(event.payload))
                case CloseConnection():
                    await self._write(event.response())
                    await self._leave()
                    return Closed(event.code, event.reason or "")
                case _:
                    raise AssertionError(f"unexpected: {event}")

    async def _event(self) -> Event:
        while not self._events:
            data = await self._reader.read(65536)
            assert data, "the connection ended without a close frame"
            self._wsproto.receive_data(data)
            self._events = list(self._wsproto.events())
        return self._events.pop(0)

    async def _write(self, event: Event) -> None:
        self._writer.write(self._wsproto.send(event))
        await self._writer.drain()

    async def _leave(self) -> None:
        """End the TCP connection, the server first (RFC 6455 7.1.1)."""
        if self._is_client:
            await self._reader.read()
        await self.end()

    async def end(self) -> None:
        """Close the socket."""
        self._writer.close()
        await asyncio.gather(self._writer.wait_closed(), return_exceptions=True)


class WsprotoPeer(Peer):
    name = "wsproto"

    @asynccontextmanager
    async def connect(self, url: str, setting: Setting) -> AsyncIterator[Wire]:
        port = urlsplit(url).port
        reader, writer = await asyncio.open_connection(
            "localhost", port, ssl=setting.tls.client if setting.tls else None
        )
        wire = WsprotoWire(ConnectionType.CLIENT, reader, writer, setting)
        try:
            await wire.ask(url)
            yield wire
        finally:
            await wire.end()

    @asynccontextmanager
    async def serve(self, handler: Handler, setting: Setting) -> AsyncIterator[int]:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            wire = WsprotoWire(ConnectionType.SERVER, reader, writer, setting)
            try:
                await wire.answer()
                await handler(wire)
            finally:
                await wire.end()

        server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=setting.tls.server if setting.tls else None)
        async with server:
            yield server.sockets[0].getsockname()[1]
