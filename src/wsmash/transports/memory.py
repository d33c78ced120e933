"""A connected pair of channels in memory, for tests and for peers in one process."""

from __future__ import annotations

from asyncio import AbstractEventLoop

from .base import READ_SIZE, TLS, Address, ByteHandler
from .stream import StreamChannel


class MemoryChannel(StreamChannel):
    """One end. What it pushes waits at the other end, up to `window` bytes, until that reads."""

    __slots__ = ("_ended_there", "_listening", "_peer", "_scheduled", "_waiting", "window")

    def __init__(self, loop: AbstractEventLoop, handler: ByteHandler, tls: TLS | None = None) -> None:
        super().__init__(loop, handler, tls)
        self.window = READ_SIZE
        self._peer: MemoryChannel | None = None
        self._waiting = bytearray()  # came from the peer and is not read yet
        self._ended_there = False  # the peer ended its direction
        self._listening = False
        self._scheduled = False

    def _push(self, data: bytearray) -> int:
        peer = self._peer
        if peer is None or peer._gone:
            raise BrokenPipeError("the other end is gone")
        room = max(peer.window - len(peer._waiting), 0)
        peer._waiting += data[:room]
        peer._schedule()
        return min(room, len(data))

    def _watch_input(self, on: bool) -> None:
        self._listening = on
        self._schedule()

    def _watch_output(self, on: bool) -> None:
        """The peer calls `_flush` by itself whenever it has read."""

    def _end_output(self) -> None:
        if self._peer is not None:
            self._peer._ended_there = True
            self._peer._schedule()

    def _release(self) -> None:
        self._listening = False
        if self._peer is not None:
            self._end_output()
            self._peer = None

    def _addresses(self) -> tuple[Address, Address]:
        return "memory", "memory"

    def _schedule(self) -> None:
        if self._listening and not self._scheduled and (self._waiting or self._ended_there):
            self._scheduled = True
            self._loop.call_soon(self._read)

    def _read(self) -> None:
        self._scheduled = False
        if not self._listening or self._gone:
            return
        data = bytes(self._waiting[:READ_SIZE])
        del self._waiting[: len(data)]
        if data or self._ended_there:
            self._arrived(data)
        if data and self._peer is not None:
            self._peer._flush()
        self._schedule()


def memory_pair(
    loop: AbstractEventLoop,
    left: ByteHandler,
    right: ByteHandler,
    left_tls: TLS | None = None,
    right_tls: TLS | None = None,
) -> tuple[MemoryChannel, MemoryChannel]:
    """Two channels, each the other's peer; what one handler writes the other receives."""
    one, other = MemoryChannel(loop, left, left_tls), MemoryChannel(loop, right, right_tls)
    one._peer, other._peer = other, one
    for each in (one, other):
        loop.call_soon(each._flush)
        each._watch_input(True)
    return one, other


