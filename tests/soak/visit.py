"""One visit to the server: its draws, its addresses, its connections, raw or of the package."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import NamedTuple

import wsmash
from fixtures.raw import Wire, upgrade


class Place(NamedTuple):
    """Where the server listens."""

    plain: int
    secure: int
    flaky: int
    """The port where somebody listens now and then."""
    context: ssl.SSLContext


class Visit:
    """What one visitor draws and opens."""

    def __init__(self, place: Place, random: Random) -> None:
        self.place = place
        self.random = random
        self.tls = random.random() < 0.3

    def chance(self, share: float) -> bool:
        """True for so large a share of the draws."""
        return self.random.random() < share

    def url(self, path: str = "/") -> str:
        """The server's, plain or over TLS."""
        return f"wss://localhost:{self.place.secure}{path}" if self.tls else f"ws://127.0.0.1:{self.place.plain}{path}"

    def faithful_client(self) -> wsmash.WebSocketClient:
        """One that connects again, where the server listens now and then."""
        return wsmash.create_client(
            f"ws://127.0.0.1:{self.place.flaky}/",
            reconnect=wsmash.Reconnect(first_delay=0.2, max_delay=1),
            offline_queue=100,
            close_timeout=2,
        )

    def client(self, path: str = "/") -> wsmash.WebSocketClient:
        """One of the package's, not open."""
        return wsmash.create_client(
            self.url(path),
            ssl=self.place.context if self.tls else None,
            compression="deflate" if self.chance(0.4) else None,
            close_timeout=2,
        )

    @asynccontextmanager
    async def wire(self, *, resets: bool = False) -> AsyncIterator[Wire]:
        """A raw connection, with its TLS handshake done; it is closed afterwards, or reset."""
        port = self.place.secure if self.tls else self.place.plain
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=self.place.context if self.tls else None, limit=1 << 16,
            server_hostname="localhost" if self.tls else None,
        )  # fmt: skip
        try:
            yield Wire(reader, writer)
        finally:
            if resets:
                raw: socket.socket | None = writer.get_extra_info("socket")
                with suppress(OSError):
                    if raw is not None:  # the server was faster
                        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
            else:
                writer.close()
            with suppress(OSError, TimeoutError, ssl.SSLError):
                async with asyncio.timeout(3):
                    await writer.wait_closed()

    @asynccontextmanager
    async def opened(self, *extra: str, resets: bool = False) -> AsyncIterator[Wire]:
        """The same, after the opening handshake."""
        async with self.wire(resets=resets) as peer:
            await peer.send(upgrade("/", *extra))
            answer = await peer.answer()
            if answer.status != 101:
                raise AssertionError(f"an upgrade was answered with {answer}")
            yield peer
