"""Subscribers that do next to nothing: raw sockets, whose messages are counted by the mark that stands in each once."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Sequence

from benchmarks.processes import Failed
from benchmarks.topics.node import DIGITS, MARK

HOST = "127.0.0.1"
LONGEST = 60.0
"""Seconds without a message after which those that are missing do not come."""

SAMPLED = 10
"""Every so many connections of which one's delays are looked at."""

_MARK = MARK.encode()
_UPGRADE = (
    "GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
)
_SOCKET_IO_CONNECT = b"\x81\x82\0\0\0\x0040"  # a masked text, "40": connect to the default namespace


def plain(port: int, protocol: str = "", path: str = "/") -> socket.socket:
    """A WebSocket connection, that has perhaps agreed on a subprotocol."""
    more = f"Sec-WebSocket-Protocol: {protocol}\r\n" if protocol else ""
    return _opened(port, path, more)[0]


def socket_io(port: int) -> socket.socket:
    """A connection of Socket.IO over WebSocket alone (Engine.IO 4)."""
    sock, rest = _opened(port, "/socket.io/?EIO=4&transport=websocket", "")
    while b"sid" not in rest:  # its open packet
        rest += sock.recv(4096)
    sock.sendall(_SOCKET_IO_CONNECT)
    rest = b""
    while b"sid" not in rest:
        rest += sock.recv(4096)
    return sock


def _opened(port: int, path: str, more: str) -> tuple[socket.socket, bytes]:
    sock = socket.create_connection((HOST, port), 10)
    sock.sendall(_UPGRADE.format(path=path, host=HOST, port=port, more=more).encode())
    head = b""
    while b"\r\n\r\n" not in head:
        more_of_it = sock.recv(4096)
        if not more_of_it:
            raise Failed(f"not upgraded: {head[:60]!r}")
        head += more_of_it
    if not head.startswith(b"HTTP/1.1 101"):
        raise Failed(f"not upgraded: {head[:60]!r}")
    return sock, head.partition(b"\r\n\r\n")[2]


class Crowd:
    """All subscribers of a run.

    Attributes:
        delays: seconds from the publication of a message to its arrival, of some of the connections.
    """

    def __init__(self, sockets: Sequence[socket.socket]) -> None:
        self._selector = selectors.EpollSelector()
        self._sockets = sockets
        self.delays: list[float] = []
        for number, sock in enumerate(sockets):
            sock.setblocking(False)
            self._selector.register(sock, selectors.EVENT_READ, number % SAMPLED == 0)

    def __len__(self) -> int:
        return len(self._sockets)

    def close(self) -> None:
        """Leave."""
        self._selector.close()
        for sock in self._sockets:
            sock.close()

    def say(self, data: bytes, only: int | None = None) -> None:
        """Send the same by all connections, or by the first so many."""
        for sock in self._sockets[:only]:
            sock.send(data)

    def receive(self, count: int, longest: float = LONGEST) -> int:
        """Wait for so many messages in all, or until none has come for so long; how many have."""
        got = 0
        while got < count:
            ready = self._selector.select(longest)
            if not ready:
                break
            for key, _ in ready:
                sock: socket.socket = key.fileobj  # type: ignore[assignment]
                data = sock.recv(1 << 18)
                if not data:
                    raise Failed("a node has closed a connection")
                got += data.count(_MARK)
                if key.data:
                    self._look(data)
        return got

    def _look(self, data: bytes) -> None:
        now = time.monotonic_ns()
        at = data.find(_MARK)
        if at >= DIGITS and data[at - DIGITS : at].isdigit():
            self.delays.append((now - int(data[at - DIGITS : at])) / 1e9)
