"""The seam between what moves bytes and what gives them meaning: Driver, Channel, and who listens to a channel.

A channel starts as a byte pipe, for the opening handshake and plain HTTP.
`upgrade` turns it, for good, into a message pipe. Nothing above this file sees a
frame or a socket, so that an engine which fuses socket, parser and callback fits
behind it as well as a few lines of asyncio do.

What every channel promises:

* Handlers are called from the event loop, never from inside a call of the user's
  to `send`, `close` or `abort`; `lost` is called once, last.
* Everything is written in the order it was given.
* What the peer sends comes in order, at most one read of it beyond a pause.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable
from socket import AF_INET, AF_INET6, IPPROTO_TCP, TCP_NODELAY, socket
from typing import Any, NamedTuple, Protocol

from ..constants import Role
from ..options import Limits
from ..sansio.deflate import Deflater, Inflater
from ..sansio.receiver import Compression
from ..sansio.sender import Payload, Prepared
from ..sansio.violations import Violation

Address = Any
"""What the system gives: `(host, port, ...)` for TCP, a path for Unix sockets."""

REFUSED = -1
"""What `send` returns where the message would not fit into `max_write_buffer`."""

READ_SIZE = 65536
"""Bytes of one read, and so what a paused channel may hold back at most."""

ITEMS_PER_TURN = 256
"""Messages and control frames of one connection before others have their turn."""

SECONDS_PER_TURN = 0.005
"""The longest turn, if no single message takes longer: then the loop has its own."""

SECONDS_PER_SHARE = 0.0002
"""What one connection may take of a turn: small frames may hold large messages, or take a callback long."""

ACCEPTS_PER_TURN = 64
"""Connections that one listener accepts before others have their turn."""


def named(address: Address) -> tuple[str, int] | str | None:
    """Host and port alone of what the system gives; a Unix socket's path; None for a peer without a name."""
    if isinstance(address, tuple):
        return address[0], address[1]
    return address if isinstance(address, str) and address else None


def prepare(sock: socket) -> None:
    """Set what every connected socket needs: it never blocks, and small writes leave at once."""
    sock.setblocking(False)
    if sock.family in (AF_INET, AF_INET6):
        with contextlib.suppress(OSError):  # some systems refuse it once the peer is gone, which a read will tell
            sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)


class ChannelInfo(NamedTuple):
    """A look at a channel; times are those of the loop's clock."""

    remote_address: Address
    local_address: Address
    tls: ssl.SSLObject | None
    buffered: int
    """Bytes that wait to be written; not 0 either where messages never will be."""
    received_at: float
    """When bytes last arrived."""
    written_at: float
    """When the peer last took bytes, or bytes began to wait for it."""
    unfinished: bool
    """Whether the peer has begun a message and not ended it."""
    message_at: float
    """When bytes of that message last came."""
    codecs: tuple[Deflater | None, Inflater | None]


class ByteHandler(Protocol):
    """Listens to a byte pipe."""

    def bytes_received(self, data: bytes) -> None: ...

    def lost(self, error: Exception | None) -> None:
        """The pipe has ended: with an error, or because either side closed it."""


class MessageHandler(Protocol):
    """Listens to a message pipe."""

    def message(self, opcode: int, data: str | bytes) -> None:
        """A whole message: str for text, bytes for binary."""

    def control(self, opcode: int, payload: bytes) -> None:
        """A ping, a pong, or a close frame, after which nothing comes but `lost`."""

    def violated(self, violation: Violation) -> None:
        """The peer broke the protocol; nothing comes after it but `lost`."""

    def drained(self) -> None:
        """What waited above high water has been written."""

    def lost(self, error: Exception | None) -> None: ...


class Channel(Protocol):
    """One connection's pipe, of bytes first and of messages then."""

    def write(self, data: bytes) -> None:
        """Write bytes, before `upgrade`."""

    def upgrade(
        self, handler: MessageHandler, role: Role, limits: Limits, compression: Compression | None, received: bytes
    ) -> None:
        """Become a message pipe; `received` are bytes read already that belong to it. A pause goes on."""

    def send(self, opcode: int, payload: Payload, *, final: bool = True, compress: bool = True) -> int:
        """Send a message, a fragment of one, or a control frame.

        Returns how many bytes wait to be written now. A whole message that finds
        others waiting and would take the buffer above `max_write_buffer` is not
        sent: `REFUSED`. A fragment is always taken: its sender waits for room
        between them. The payload may be changed as soon as this returns. Where the
        channel is broken, it returns more than high water, and is not drained.
        """

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None:
        """Write what waits, end our direction, and drain theirs until it ends too."""

    def abort(self) -> None:
        """Drop the connection as it is."""

    @property
    def broken(self) -> bool:
        """Whether nothing that is sent leaves any more; what the peer sent before that still comes."""

    def info(self) -> ChannelInfo: ...

    def held(self) -> int:
        """How many bytes are kept: output that waits, a message that is unfinished, input that is not delivered."""


class Group(Protocol):
    """Connections that are sent the same messages: the only way to fan out."""

    def add(self, channel: Channel) -> None: ...

    def discard(self, channel: Channel) -> None: ...

    def send(self, message: Prepared, skip: frozenset[Channel] = frozenset()) -> int:
        """Send to every member but `skip`; returns how many took it. Slow members are reported to the owner."""


class Listener(Protocol):
    """A listening socket under a driver."""

    def pause(self) -> None:
        """Accept no more for now; the system queues what comes."""

    def resume(self) -> None: ...

    def close(self) -> None: ...


class TLS(NamedTuple):
    """How to secure a connection."""

    context: ssl.SSLContext
    server_side: bool
    server_hostname: str | None = None


class Connected(Protocol):
    """A connected socket: one of Python's, or what a driver hands over that has accepted it by itself."""

    def fileno(self) -> int: ...

    def getpeername(self) -> Address:
        """Where it came from; OSError where the peer is gone already."""

    def detach(self) -> int:
        """Give the descriptor away, without closing it."""

    def close(self) -> None: ...


class Driver(Protocol):
    """Moves bytes for one event loop."""

    name: str

    def listen(
        self, sock: socket, on_socket: Callable[[Connected], None], on_failure: Callable[[OSError], None]
    ) -> Listener:
        """Accept connections, each handed over as a non-blocking socket; a failed accept is reported."""

    def attach(self, sock: Connected, handler: ByteHandler, tls: TLS | None = None, received: bytes = b"") -> Channel:
        """Carry a connected socket, which is the driver's from now on."""

    def group(self, on_slow: Callable[[Channel, bool], None]) -> Group:
        """A new, empty group.

        `on_slow` hears, after each `send`, of the members that are above high water
        (False) and of those that a message did not fit (True).
        """
