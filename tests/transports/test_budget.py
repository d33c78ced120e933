"""What an idle connection of a server owns, object by object, and that all of it goes with its close event."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import wsmash
from fixtures.clock import real, turns

COUNT = 50

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)

CLOSE = b"\x88\x82\0\0\0\0\x03\xe8"
"""A masked close frame of 1000."""

OURS = ("ServerConnection", "Receiver", "Sender", "Context")
"""The connection, the two halves of its framing, and the context of its callbacks."""

THE_DRIVERS = {
    "native": ("Channel",),
    # Its channel and its socket, and what a loop of asyncio makes of one `add_reader`: it copies the context too.
    "portable": ("SocketChannel", "socket", "SelectorKey", "tuple", "Handle", "method", "Context"),
}


def hear(_: object) -> None:
    """A callback."""


def tracked() -> Counter[str]:
    """How many objects of each type the garbage collector knows."""
    return Counter(type(each).__name__ for each in gc.get_objects())


@contextmanager
def uncollected() -> Iterator[None]:
    """With nothing but reference counts to free what is no longer used."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Peers:
    """Clients that cost the process a socket each, and nothing else."""

    def __init__(self, server: wsmash.WebSocketServer) -> None:
        self._server = server
        self._sockets: list[socket.socket] = []

    async def connect(self) -> None:
        """Open all of them, and read their 101."""
        for _ in range(COUNT):
            sock = socket.create_connection(("127.0.0.1", self._server.port))
            sock.sendall(REQUEST)
            self._sockets.append(sock)
        while self._server.get_client_count() < COUNT:
            await asyncio.sleep(0)
        for sock in self._sockets:
            assert sock.recv(4096).startswith(b"HTTP/1.1 101")
        await turns(5)

    def say(self, data: bytes) -> None:
        """Each sends the same."""
        for sock in self._sockets:
            sock.sendall(data)

    def vanish(self) -> None:
        """Without a word."""
        while self._sockets:
            self._sockets.pop().close()

    async def leave(self) -> None:
        """With a close frame, up to the end of the server's."""
        self.say(CLOSE)
        for sock in self._sockets:
            sock.setblocking(False)
            while await asyncio.get_running_loop().sock_recv(sock, 4096):
                pass
        self.vanish()


async def _closed(server: wsmash.WebSocketServer) -> None:
    while server.get_client_count():
        await asyncio.sleep(0)
    await turns(20)


def plain(event: wsmash.ConnectionEvent) -> None:
    """What most servers do."""
    event.client.on("message", hear)
    event.client.on("close", hear)


def cyclic(event: wsmash.ConnectionEvent) -> None:
    """Callbacks that hold their connection, which holds them."""
    client = event.client
    client.on("message", lambda _: client.send("x"))
    client.on("close", lambda _: client.state)


async def coroutine(event: wsmash.ConnectionEvent) -> None:
    """A reader, which lives as long as its connection."""
    async for message in event.client:
        hear(message)


@real
async def test_an_idle_connection_owns_exactly_this() -> None:
    """No dict, deque, future, task, timer or weak reference; callbacks that are functions cost nothing more."""
    async with wsmash.create_server(host="127.0.0.1", port=0) as server:
        server.on("connection", plain)
        peers = Peers(server)
        for _ in range(2):  # the first time warms caches up
            with uncollected():
                known = {id(each) for each in gc.get_objects()}
                await peers.connect()
                gc.collect()  # which does not count what can be in no cycle, such as an address
                fresh = [each for each in gc.get_objects() if id(each) not in known]
            owned = Counter(type(each).__name__ for each in fresh)
            del fresh, known
            owned["socket"] -= COUNT  # the peers'
            peers.vanish()
            await _closed(server)
    each_has = {name: round(count / COUNT, 1) for name, count in owned.items() if count >= COUNT / 2}
    assert each_has == dict(Counter(OURS) + Counter(THE_DRIVERS[wsmash.engine().name]))


@pytest.mark.parametrize("leave", ["leave", "vanish"])
@pytest.mark.parametrize("callbacks", [plain, cyclic, coroutine])
@real
async def test_everything_goes_with_the_close_event(callbacks: Callable[[Any], object], leave: str) -> None:
    """By reference counting alone, however the connection ends and whatever its callbacks hold."""
    async with wsmash.create_server(host="127.0.0.1", port=0) as server:
        server.on("connection", callbacks)
        peers = Peers(server)
        for _ in range(2):
            with uncollected():
                before = tracked()
                await peers.connect()
                peers.say(b"\x81\x81\0\0\0\0x")
                await turns(5)
                if leave == "leave":
                    await peers.leave()
                else:
                    peers.vanish()
                await _closed(server)
                after = tracked()
    left = {name: after[name] - before[name] for name in after if after[name] - before[name] >= COUNT / 2}
    assert left == {}
