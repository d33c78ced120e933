"""A channel through a proxy that is itself spoken to over TLS: what it carries, TLS among it, is encrypted once more.

It is the portable channel whose stream is a TLS session in place of the socket
itself, on either engine: the way leads through another machine anyway.
"""

from __future__ import annotations

import contextlib
import ssl
from asyncio import AbstractEventLoop
from socket import SHUT_WR, socket

from .base import READ_SIZE, TLS, ByteHandler, prepare
from .portable import SocketChannel
from .tls import TLSPump


class TunnelChannel(SocketChannel):
    """A stream channel over a TLS session with a proxy, whose handshake is done.

    What has been encrypted for the proxy and not been taken waits in `_sealed`, and
    nothing more is encrypted until it has gone.
    """

    __slots__ = ("_sealed", "_session")

    def __init__(
        self, loop: AbstractEventLoop, sock: socket, session: TLSPump, handler: ByteHandler, tls: TLS | None
    ) -> None:
        self._session = session
        self._sealed = bytearray()
        super().__init__(loop, sock, handler, tls, b"")

    # -- input

    def _readable(self) -> None:
        if not self._sealed:
            self._session.answered = 0  # it has gone out
        try:
            data = self._socket.recv(READ_SIZE)
            opened, ended = self._session.receive(data) if data else (b"", True)
        except (BlockingIOError, InterruptedError):
            return
        except ssl.SSLError as error:
            with contextlib.suppress(OSError):
                self._socket.send(self._session.output())  # the alert
            self._finish(error)
            return
        except OSError as error:
            self._finish(error)
            return
        self.received_at = self._loop.time()  # a record that is not complete is life, too
        self._sealed += self._session.output()  # such as the answer to an update of keys
        if self._sealed:
            self._flush()
        if opened and not self._gone:
            self._arrived(opened)
        if (ended or self._session.failure is not None) and not self._gone:
            self._arrived(b"")

    # -- output

    def _flush(self) -> None:
        try:
            self._spill()
        except OSError as error:
            self._sealed.clear()
            self._break(error)
            return
        if self._sealed:
            self._watch_output(True)
        else:
            super()._flush()

    def _push(self, data: bytearray) -> int:
        if self._sealed:
            return 0
        piece = bytes(data[:READ_SIZE])
        self._session.write(piece)
        self._sealed += self._session.output()
        self._spill()
        return len(piece)

    def _spill(self) -> None:
        """Write what is encrypted; after the last of it, where our direction has ended, say so."""
        if self._sealed:
            try:
                taken = self._socket.send(self._sealed)
            except (BlockingIOError, InterruptedError):
                return
            del self._sealed[:taken]
            self.written_at = self._loop.time()
        if self._shut and not self._sealed:
            self._socket.shutdown(SHUT_WR)

    def _watch_output(self, on: bool) -> None:
        super()._watch_output(on or bool(self._sealed))

    def _buffered(self) -> int:
        return super()._buffered() + len(self._sealed)

    # -- the end

    def _end(self) -> None:
        if not (self._closing and self._sealed):
            super()._end()

    def _shut_down(self) -> None:
        if not self._sealed:  # `_flush` comes here again
            super()._shut_down()

    def _end_output(self) -> None:
        self._session.close()
        self._sealed += self._session.output()
        self._spill()
        self._watch_output(bool(self._sealed))

    def _release(self) -> None:
        self._sealed.clear()
        super()._release()


class Tunnel:
    """A way to a server through a proxy that is spoken to over TLS, in place of a socket."""

    def __init__(self, sock: socket, session: TLSPump) -> None:
        self._socket = sock
        self._session = session

    def attach(self, loop: AbstractEventLoop, handler: ByteHandler, tls: TLS | None) -> TunnelChannel:
        """Carry it, as a driver carries a socket."""
        prepare(self._socket)
        return TunnelChannel(loop, self._socket, self._session, handler, tls)

    def close(self) -> None:
        """Let go of it unused."""
        self._socket.close()
