"""One connection, seen from both of its ends: ours, and that of a foreign implementation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import wsmash
from interop.wire import Peer, Setting, Wire

LONGEST = 30
"""Seconds that a test may take."""

CLOSE_TIMEOUT = 2 * LONGEST
"""Longer than the test, so that an end for which the peer does nothing fails it, and doesn't just come late."""

Ours = Literal["client", "server"]
Pair = tuple[wsmash.WebSocketConnection, Wire]


@asynccontextmanager
async def pair(peer: Peer, ours: Ours, setting: Setting) -> AsyncIterator[Pair]:
    """Connect our client to the peer's server, or the peer's client to our server."""
    async with asyncio.timeout(LONGEST):
        async with (our_client if ours == "client" else our_server)(peer, setting) as both:
            yield both


@asynccontextmanager
async def our_client(peer: Peer, setting: Setting) -> AsyncIterator[Pair]:
    """Our client, and what the peer's server makes of it."""
    accepted: asyncio.Future[Wire] = asyncio.get_running_loop().create_future()
    done = asyncio.Event()

    async def handle(wire: Wire) -> None:
        accepted.set_result(wire)
        await done.wait()

    async with peer.serve(handle, setting) as port:
        client = wsmash.connect(
            f"{setting.scheme}://localhost:{port}/",
            setting.offered,
            compression="deflate" if setting.deflate else None,
            close_timeout=CLOSE_TIMEOUT,
            ssl=setting.tls.client if setting.tls else None,
        )
        try:
            async with client as connection:
                yield connection, await accepted
                done.set()
        finally:
            done.set()


@asynccontextmanager
async def our_server(peer: Peer, setting: Setting) -> AsyncIterator[Pair]:
    """What our server makes of it, and the peer's client."""
    accepted: asyncio.Future[wsmash.WebSocketConnection] = asyncio.get_running_loop().create_future()
    done = asyncio.Event()

    async def connected(event: wsmash.ConnectionEvent) -> None:
        accepted.set_result(event.client)
        await done.wait()

    async with wsmash.create_server(
        port=0,
        protocols=setting.spoken,
        compression="deflate" if setting.deflate else None,
        close_timeout=CLOSE_TIMEOUT,
        ssl=setting.tls.server if setting.tls else None,
    ) as server:
        server.on("connection", connected)
        try:
            async with peer.connect(f"{setting.scheme}://localhost:{server.port}/", setting) as wire:
                yield await accepted, wire
        finally:
            done.set()
