"""The driver for every platform and interpreter: plain sockets under the loop's own readiness calls."""

from __future__ import annotations

import socket
from asyncio import AbstractEventLoop
from collections.abc import Callable

from . import base
from .base import ACCEPTS_PER_TURN, READ_SIZE, TLS, Address, ByteHandler, Channel, Connected, prepare
from .group import PlainGroup
from .stream import StreamChannel, Turns


class SocketChannel(StreamChannel):
    """A stream channel over a connected, non-blocking socket."""

    __slots__ = ("_reading", "_remote", "_socket", "_writing")

    def __init__(
        self,
        loop: AbstractEventLoop,
        sock: socket.socket,
        handler: ByteHandler,
        tls: TLS | None,
        received: bytes,
        turns: Turns | None = None,
    ) -> None:
        super().__init__(loop, handler, tls, turns)
        self._socket = sock
        self._remote = _address(sock.getpeername)
        self._reading = self._writing = False
        # Not from inside this call: the caller does not have the channel yet.
        loop.call_soon(self._start, received)

    def _start(self, received: bytes) -> None:
        self._flush()
        if received:
            self._arrived(received)
        if not (self._paused or self._gone):
            self._watch_input(True)

    def _readable(self) -> None:
        if self._receiver is None and not self._closing:
            # An opening takes its turn: a crowd at the door does not keep those inside waiting.
            self._watch_input(False)
            self._turns.wait(self._read_opening)
        else:
            self._read()

    def _read_opening(self) -> None:
        if self._delivers():
            self._watch_input(True)
            self._read()

    def _read(self) -> None:
        try:
            data = self._socket.recv(READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except (OSError, MemoryError) as error:
            self._finish(error)
            return
        try:
            self._arrived(data)
        except MemoryError as error:  # somewhere between here and the handler: what it has missed nobody knows
            self._finish(error)

    def _push(self, data: bytearray) -> int:
        try:
            return self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            return 0

    def _watch_input(self, on: bool) -> None:
        if on is not self._reading:
            try:
                if on:
                    self._loop.add_reader(self._socket.fileno(), self._readable)
                else:
                    self._loop.remove_reader(self._socket.fileno())
                self._reading = on  # and not before: the end tries again what did not come to pass
            except OSError as error:  # the system has no memory to watch one more
                self._finish(error)

    def _watch_output(self, on: bool) -> None:
        if on is not self._writing:
            try:
                if on:
                    self._loop.add_writer(self._socket.fileno(), self._flush)
                else:
                    self._loop.remove_writer(self._socket.fileno())
                self._writing = on
            except OSError as error:
                self._finish(error)

    def _end_output(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)

    def _release(self) -> None:
        if not self._loop.is_closed():
            self._watch_input(False)
            self._watch_output(False)
        self._socket.close()

    def _addresses(self) -> tuple[Address, Address]:
        return self._remote, None if self._gone else _address(self._socket.getsockname)


class PortableListener:
    """A listening socket whose connections are accepted as they come, some at a time."""

    __slots__ = ("_accepting", "_loop", "_on_failure", "_on_socket", "_socket", "_turns")

    def __init__(
        self,
        loop: AbstractEventLoop,
        sock: socket.socket,
        on_socket: Callable[[Connected], None],
        on_failure: Callable[[OSError], None],
        turns: Turns,
    ) -> None:
        self._turns = turns
        self._loop = loop
        self._socket = sock
        self._on_socket = on_socket
        self._on_failure = on_failure
        self._accepting = False
        self._watch()

    def pause(self) -> None:
        if self._accepting:
            self._accepting = False
            self._loop.remove_reader(self._socket.fileno())

    def resume(self) -> None:
        if not self._accepting and self._socket.fileno() >= 0:
            try:
                self._watch()
            except OSError as error:
                self._on_failure(error)

    def _watch(self) -> None:
        self._loop.add_reader(self._socket.fileno(), self._accept)
        self._accepting = True

    def close(self) -> None:
        if not self._loop.is_closed():
            self.pause()
        self._socket.close()

    def _accept(self) -> None:
        until = self._loop.time() + base.SECONDS_PER_SHARE
        for count in range(ACCEPTS_PER_TURN):
            if not self._accepting or len(self._turns) >= ACCEPTS_PER_TURN or (count and self._loop.time() > until):
                return
            try:
                sock, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._on_failure(error)
                return
            sock.setblocking(False)
            self._on_socket(sock)


class PortableDriver:
    """See `base.Driver`."""

    name = "portable"

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._turns = Turns(loop)

    def listen(
        self,
        sock: socket.socket,
        on_socket: Callable[[Connected], None],
        on_failure: Callable[[OSError], None],
    ) -> PortableListener:
        sock.setblocking(False)
        return PortableListener(self._loop, sock, on_socket, on_failure, self._turns)

    def attach(
        self, sock: Connected, handler: ByteHandler, tls: TLS | None = None, received: bytes = b""
    ) -> SocketChannel:
        if not isinstance(sock, socket.socket):
            sock = socket.socket(fileno=sock.detach())
        prepare(sock)
        return SocketChannel(self._loop, sock, handler, tls, received, self._turns)

    def group(self, on_slow: Callable[[Channel, bool], None]) -> PlainGroup:
        return PlainGroup(on_slow)


def _address(ask: Callable[[], Address]) -> Address:
    """What the socket says, or None where the peer is gone already."""
    try:
        return ask()
    except OSError:
        return None
