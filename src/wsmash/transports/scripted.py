"""A channel that a test plays the peer of: it records what it is told, and says what the script tells it to."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from typing import NamedTuple

from ..constants import Opcode, Role
from ..options import Limits
from ..sansio.frames import encode_close
from ..sansio.receiver import Compression
from ..sansio.sender import Payload, Prepared
from ..sansio.violations import Violation
from .base import REFUSED, ByteHandler, ChannelInfo, MessageHandler


class Sent(NamedTuple):
    """One call of `send`."""

    opcode: int
    payload: bytes
    final: bool = True
    compress: bool = True


class ScriptedChannel:
    """See `base.Channel`. What is sent goes to `sent`, and waits there while `stuck` is set.

    Attributes:
        written: the bytes before `upgrade`.
        sent: everything sent after it.
        stuck: whether the peer reads nothing.
        paused, closed, aborted: what the handler asked for.
    """

    def __init__(self, loop: AbstractEventLoop, handler: ByteHandler | MessageHandler) -> None:
        self._loop = loop
        self.handler = handler
        self.limits = Limits(None, None, 65536, None)
        self.written = b""
        self.sent: list[Sent] = []
        self.stuck = self.refused = False
        self.waiting = 0
        self.refused = False
        self.paused = self.closed = self.aborted = self.gone = False
        self.unfinished = False
        self.message_at: float | None = None  # when bytes of the unfinished message came, where not at received_at
        self.received = b""
        self.received_at = self.written_at = loop.time()

    # -- the script

    def message(self, *messages: str | bytes) -> None:
        """The peer sends messages."""
        self.received_at = self._loop.time()
        for data in messages:
            self.handler.message(Opcode.TEXT if isinstance(data, str) else Opcode.BINARY, data)  # type: ignore[union-attr]

    def control(self, opcode: Opcode, payload: bytes = b"") -> None:
        """The peer sends a control frame."""
        self.received_at = self._loop.time()
        self.handler.control(opcode, payload)  # type: ignore[union-attr]

    def close_frame(self, code: int | None = 1000, reason: str = "") -> None:
        """The peer sends a close frame."""
        self.control(Opcode.CLOSE, encode_close(code, reason))

    def violate(self, violation: Violation) -> None:
        """The peer breaks the protocol."""
        self.handler.violated(violation)  # type: ignore[union-attr]

    def drain(self) -> None:
        """The peer reads everything."""
        self.stuck = self.refused = False
        self.waiting = 0
        self.written_at = self._loop.time()
        self.handler.drained()  # type: ignore[union-attr]

    def lose(self, error: Exception | None = None) -> None:
        """The transport ends."""
        if not self.gone:
            self.gone = True
            self._loop.call_soon(self.handler.lost, error)

    # -- the seam

    def write(self, data: bytes) -> None:
        self.written += data

    def upgrade(
        self, handler: MessageHandler, role: Role, limits: Limits, compression: Compression | None, received: bytes
    ) -> None:
        self.handler = handler
        self.limits = limits
        self.received = received

    def send(self, opcode: int, payload: Payload, *, final: bool = True, compress: bool = True) -> int:
        if self.gone or self.closed:
            return 0
        most = self.limits.max_write_buffer
        whole = opcode in (Opcode.TEXT, Opcode.BINARY) and final
        if whole and most is not None and self.waiting and self.waiting + len(payload) > most:
            self.refused = True
            return REFUSED
        self.sent.append(Sent(int(opcode), bytes(payload), final, compress))
        if self.stuck:
            self.waiting += len(payload)
        return self.waiting

    @property
    def above_high_water(self) -> bool:
        """Looked at by a group, after `send_prepared`."""
        return self.refused or self.waiting > self.limits.high_water

    def send_prepared(self, message: Prepared) -> int:
        return self.send(message.opcode, message.payload)

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True
        self.lose()

    @property
    def broken(self) -> bool:
        return False

    def held(self) -> int:
        return self.waiting

    def info(self) -> ChannelInfo:
        return ChannelInfo(
            ("203.0.113.1", 40000, 0, 0),
            ("127.0.0.1", 8080),
            None,
            self.waiting,
            self.received_at,
            self.written_at,
            self.unfinished,
            self.received_at if self.message_at is None else self.message_at,
            (None, None),
        )
