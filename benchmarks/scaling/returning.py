"""Clients of `wsmash.v1` that all come back at once, each with the position it had: raw sockets in one loop."""

from __future__ import annotations

import json
import selectors
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from benchmarks.processes import Failed
from benchmarks.topics.node import MARK
from fixtures.frames import text

HOST = "127.0.0.1"
LONGEST = 60.0
"""Seconds without anything new after which those that are missing do not come."""

RETRY = 1.0
"""Seconds until one that was not let in tries again."""

_REQUEST = (
    f"GET /v1 HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: wsmash.v1\r\n\r\n"
).encode()
_MARK = MARK.encode()


class Wish(NamedTuple):
    """What a client comes back for.

    Attributes:
        topic: its name.
        since: the position that the client has.
        missed: how many messages came after it.
    """

    topic: str
    since: Sequence[object]
    missed: int


class Returned(NamedTuple):
    """How they came back.

    Attributes:
        times: seconds until each had everything.
        again: how often one had to try again.
    """

    times: list[float]
    again: int


class _Client:
    def __init__(self, wish: Wish) -> None:
        epoch, offset = wish.since
        envelope = {"type": "subscribe", "id": 1, "topic": wish.topic, "since": {"epoch": epoch, "offset": offset}}
        self.subscribe = text(f"\x1e{json.dumps(envelope)}", masked=True)
        self.missed = wish.missed
        self.sock: socket.socket | None = None
        self.begin()

    def begin(self) -> None:
        """Nothing has come."""
        self.head = b""
        self.is_open = False
        self.got = 0
        self.sock = None

    def take(self, data: bytes, sock: socket.socket) -> bool:
        """What came; whether that is all."""
        if not self.is_open:
            self.head += data
            if b"\r\n\r\n" not in self.head:
                return False
            if not self.head.startswith(b"HTTP/1.1 101"):
                raise Failed(f"not upgraded: {self.head[:60]!r}")
            self.is_open, data = True, self.head.partition(b"\r\n\r\n")[2]
            sock.sendall(self.subscribe)
        self.got += data.count(_MARK)
        if b'"recovered":false' in data:
            raise Failed(f"not recovered: {data[:200]!r}")
        return self.got >= self.missed


def come_back(port: int, wishes: Sequence[Wish]) -> Returned:
    """All at once; who is not let in tries again a moment later.

    Raises:
        Failed: one does not get what it has missed.
    """
    selector = selectors.EpollSelector()
    waiting = [(0.0, _Client(wish)) for wish in wishes]
    clients = [client for _, client in waiting]
    begin, times, again = time.monotonic(), list[float](), 0

    def dial(client: _Client) -> None:
        client.begin()
        client.sock = sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex((HOST, port))
        selector.register(sock, selectors.EVENT_WRITE, client)

    try:
        while len(times) < len(wishes):
            now = time.monotonic()
            while waiting and waiting[0][0] <= now:
                dial(waiting.pop(0)[1])
            ready = selector.select(max(0.0, waiting[0][0] - now) if waiting else LONGEST)
            if not ready and not waiting:
                raise Failed(f"{len(wishes) - len(times)} did not come back")
            for key, events in ready:
                client: _Client = key.data
                sock: socket.socket = key.fileobj  # type: ignore[assignment]
                try:
                    if events & selectors.EVENT_WRITE:
                        sock.send(_REQUEST)
                        selector.modify(sock, selectors.EVENT_READ, client)
                        continue
                    data = sock.recv(1 << 16)
                except OSError:
                    data = b""
                if data and client.take(data, sock):
                    times.append(time.monotonic() - begin)
                    selector.unregister(sock)
                elif not data:
                    again += 1
                    selector.unregister(sock)
                    sock.close()
                    waiting.append((time.monotonic() + RETRY, client))
    finally:
        selector.close()
        for client in clients:
            if client.sock is not None:
                with suppress(OSError):
                    client.sock.close()
    return Returned(times, again)
