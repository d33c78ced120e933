"""What an idle connection costs a server in memory: `python -m benchmarks.holder HOST PORT PID CONNECTIONS SIZE [tls]`.

Opens connections that echo one message each and are then left alone, and prints
how much the resident memory of the server's process grew, for each of them. The
first ones are not counted: a process grows once for what all connections share.
"""

from __future__ import annotations

import json
import resource
import socket
import ssl
import sys
import time
from collections.abc import Callable
from pathlib import Path

UNCOUNTED = 200
REST = 0.5
"""Seconds after the last echo, in which the server lets go of what it held for it."""

REQUEST = (
    "GET / HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def resident(process: int) -> int:
    """Bytes of memory that a process holds."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def frame(size: int) -> bytes:
    """A binary message with a mask of zeros, which leaves it as it is (RFC 6455 5.2, 5.3)."""
    if size < 126:
        head = bytes([0x82, 0x80 | size])
    elif size < 0x10000:
        head = b"\x82\xfe" + size.to_bytes(2, "big")
    else:
        head = b"\x82\xff" + size.to_bytes(8, "big")
    return head + bytes(4) + bytes(size)


def hold(host: str, port: int, message: bytes, context: ssl.SSLContext | None) -> socket.socket:
    """Open a connection, wait for one echo, and leave it."""
    held = socket.create_connection((host, port))
    held.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if context is not None:
        held = context.wrap_socket(held)
    held.sendall(REQUEST.format(host=host, port=port).encode())
    head = b""
    while b"\r\n\r\n" not in head:
        head += receive(held)
    if not head.startswith(b"HTTP/1.1 101"):
        raise SystemExit(f"not upgraded: {head[:60]!r}")
    held.sendall(message)
    # An echo is not masked, so it is as much shorter as a mask is long (RFC 6455 5.1).
    left = len(message) - 4 - len(head.partition(b"\r\n\r\n")[2])
    while left > 0:
        left -= len(receive(held))
    return held


def receive(held: socket.socket) -> bytes:
    """Some bytes that the server sent."""
    data = held.recv(1 << 16)
    if not data:
        raise SystemExit("connection closed by server")
    return data


def trusting() -> ssl.SSLContext:
    """A context that takes the certificate of a server under test as it is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def growth(process: int, connections: int, opened: Callable[[], socket.socket]) -> float:
    """Bytes of the server's memory for each connection."""
    held = [opened() for _ in range(UNCOUNTED)]
    time.sleep(REST)
    before = resident(process)
    held += [opened() for _ in range(connections)]
    time.sleep(REST)
    return (resident(process) - before) / (len(held) - UNCOUNTED)


def main() -> None:
    host, port, process, connections, size, *tls = sys.argv[1:]
    context = trusting() if tls else None
    message = frame(int(size))
    grown = growth(int(process), int(connections), lambda: hold(host, int(port), message, context))
    print(json.dumps({"bytes_per_connection": round(grown)}))


if __name__ == "__main__":
    main()
