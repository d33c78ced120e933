"""A Channel over any stream of bytes, built from the pure receiver and sender.

What differs between streams is six small methods at the end of `StreamChannel`;
sockets are in `portable.py`, a pair in memory is in `memory.py`. The rest is here
once: TLS, the message pipe, the write buffer and its marks, pauses, fairness, and
how a connection ends.

What callbacks send while one read is worked off is written together at its end,
with one system call; it leaves earlier when it grows above high water.

A channel that has more to deliver than its share goes on when its turn comes: in
each turn of the loop such channels have one share, beside all that have less to do.
"""

from __future__ import annotations

import os
import ssl
from abc import ABC, abstractmethod
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable
from typing import Any, cast

from ..constants import Opcode, Role
from ..options import Limits
from ..sansio.receiver import NOTHING, VIOLATION, Compression, Receiver
from ..sansio.sender import Payload, Prepared, Sender
from ..sansio.violations import Violation
from . import base
from .base import ITEMS_PER_TURN, READ_SIZE, REFUSED, TLS, Address, ByteHandler, ChannelInfo, MessageHandler
from .tls import TLSPump

NOT_OPEN = -2
"""What `send_prepared` returns where nobody could take the message."""

STEPS = 64
"""Frames and parts of frames that are read before the clock is looked at again."""

BYTE_PIPE = Limits(None, None, 65536, None)
"""The limits of a channel that does not carry messages yet."""


class Turns:
    """Whose turn it is, of the channels that have more to deliver than their share."""

    __slots__ = ("_asked", "_loop", "_waiting")

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._asked = False  # the loop will call `_next`, or does
        self._waiting: deque[Callable[[], None]] = deque()

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def wait(self, go_on: Callable[[], None]) -> None:
        """Go on in another turn of the loop, behind those that wait."""
        self._waiting.append(go_on)
        if not self._asked:
            self._asked = True
            self._loop.call_soon(self._next)

    def _next(self) -> None:
        """One of those that wait goes on at least, and others until a share of time is over."""
        until = self._loop.time() + base.SECONDS_PER_SHARE
        try:
            for _ in range(len(self._waiting)):
                go_on = self._waiting.popleft()
                go_on()
                if self._loop.time() > until:
                    break
        finally:
            self._asked = bool(self._waiting)
            if self._asked:
                self._loop.call_soon(self._next)


class StreamChannel(ABC):
    """The parts that all streams share; see `base.Channel` for what the public methods promise."""

    __slots__ = (
        "_broken",
        "_closing",
        "_corked",
        "_ended",
        "_gone",
        "_handler",
        "_limits",
        "_loop",
        "_message_at",
        "_more",
        "_out",
        "_paused",
        "_receiver",
        "_sender",
        "_shut",
        "_tls",
        "_turns",
        "above_high_water",
        "received_at",
        "written_at",
    )

    def __init__(
        self, loop: AbstractEventLoop, handler: ByteHandler, tls: TLS | None = None, turns: Turns | None = None
    ) -> None:
        self._loop = loop
        self._turns = Turns(loop) if turns is None else turns
        self._handler: Any = handler
        self._limits = BYTE_PIPE
        self._receiver: Receiver | None = None
        self._sender: Sender | None = None
        self._tls = None if tls is None else TLSPump(tls)
        self._out: bytearray | None = None
        self._corked = False  # output is gathered until the read is worked off
        self.above_high_water = False  # output went above high water and has not drained
        self._paused = False  # by the handler
        self._more = False  # the turn's budget ended before the bytes did
        self._closing = False  # nothing is sent or delivered any more
        self._broken = False  # the stream takes no more output
        self._shut = False  # our direction is ended
        self._ended = False  # their direction is ended, which is acted on when what came before it has been delivered
        self._gone = False
        self.received_at = self.written_at = self._message_at = loop.time()
        if self._tls is not None:
            self._queue(self._tls.output())

    # -- the seam

    def write(self, data: bytes) -> None:
        if not (self._closing or self._gone):
            self._transmit(data)

    def upgrade(
        self, handler: MessageHandler, role: Role, limits: Limits, compression: Compression | None, received: bytes
    ) -> None:
        self._handler = handler
        self._limits = limits
        self._receiver = Receiver(role, limits, compression)
        self._sender = Sender(role, compression, os.urandom)
        if received:
            self._receiver.feed(received)
            self._more = True
            if not self._paused:
                self._loop.call_soon(self._continue)

    def send(self, opcode: int, payload: Payload, *, final: bool = True, compress: bool = True) -> int:
        sender = self._sender
        if sender is None or self._closing or self._gone:
            return 0
        try:
            return self._send(sender, opcode, payload, final=final, compress=compress)
        except MemoryError as error:
            self._finish(error)  # its compressor may hold what the peer never gets
            raise

    def _send(self, sender: Sender, opcode: int, payload: Payload, *, final: bool, compress: bool) -> int:
        if opcode >= Opcode.CLOSE:
            self._transmit(sender.control(Opcode(opcode), bytes(payload)))
        elif not (final and opcode):
            self._transmit(sender.fragment(opcode, payload, final=final, compress=compress))
        elif self._is_full(len(payload)):
            return REFUSED
        else:
            self._transmit(sender.message(opcode, payload, compress=compress))
        return self._measure()

    def send_prepared(self, message: Prepared) -> int:
        """What a group calls; as `send`, but `NOT_OPEN` where this carries no messages, yet or any more."""
        if self._sender is None or self._closing or self._gone:
            return NOT_OPEN
        if self._is_full(len(message.payload)):
            return REFUSED
        try:
            self._transmit(self._sender.prepared(message))
        except MemoryError as error:
            self._finish(error)  # the other members of the group get it
            return NOT_OPEN
        return self._measure()

    def pause_reading(self) -> None:
        if not (self._paused or self._closing or self._gone):
            self._paused = True
            self._watch_input(False)

    def resume_reading(self) -> None:
        if self._paused and not self._gone:
            self._paused = False
            # Never from inside this call: the caller may be in the middle of something.
            self._loop.call_soon(self._continue)

    def close(self) -> None:
        if self._closing or self._gone:
            return
        self._closing = True
        if self._tls is not None:
            self._tls.close()
            self._queue(self._tls.output())
        self._paused = self._more = False
        self._flush()
        if not (self._ended or self._gone):
            self._watch_input(True)

    def abort(self) -> None:
        self._finish(None)

    @property
    def broken(self) -> bool:
        return self._broken

    def info(self) -> ChannelInfo:
        remote, local = self._addresses()
        return ChannelInfo(
            remote,
            local,
            None if self._tls is None else self._tls.session,
            self._buffered() or int(self._broken and self._receiver is not None),
            self.received_at,
            self.written_at,
            self._receiver is not None and self._receiver.unfinished,
            self._message_at,
            (
                None if self._sender is None else self._sender.deflater,
                None if self._receiver is None else self._receiver.inflater,
            ),
        )

    def held(self) -> int:
        held = self._buffered()
        if self._receiver is not None and self._sender is not None:
            held += self._receiver.held + self._sender.held
        return held

    # -- input

    def _arrived(self, data: bytes) -> None:
        """The stream brought bytes, or its end as no bytes."""
        self.received_at = self._loop.time()
        ended = not data
        self._corked = True
        try:
            if data and self._tls is not None:
                data, ended = self._decrypt(data)
            if data and not (self._closing or self._gone):
                if self._receiver is None:
                    self._handler.bytes_received(data)
                else:
                    self._receiver.feed(data)
                    self._deliver()
        finally:
            self._corked = False
            if self._out is not None:
                self._flush()
        if ended and not self._gone:
            self._ended = True
            self._watch_input(False)
            if self._closing or not (self._paused or self._more):
                self._end()

    def _decrypt(self, data: bytes) -> tuple[bytes, bool]:
        tls = cast(TLSPump, self._tls)
        if self._out is None:
            tls.answered = 0  # it has gone out
        try:
            plaintext, ended = tls.receive(data)
        except ssl.SSLError as error:
            if self._closing and not tls.shaking_hands:
                return b"", False  # nothing is listened to any more, sound or not
            self._queue(tls.output())
            self._flush()  # the alert
            self._finish(error)
            return b"", False
        self._queue(tls.output())
        return plaintext, ended or tls.failure is not None

    def _deliver(self) -> None:
        """Work off what has been received, and note when the message that is unfinished last went on."""
        receiver = cast(Receiver, self._receiver)
        pieces = receiver.pieces
        self._deliver_items(receiver, self._handler)
        if receiver.pieces != pieces or not receiver.in_message:
            self._message_at = self.received_at

    def _deliver_items(self, receiver: Receiver, handler: Any) -> None:
        """Hand what has been received to the handler, until a pause stops it or it had its share of the turn."""
        self._more = False
        limit, inflated = self._loop.time() + base.SECONDS_PER_SHARE, receiver.inflated
        for count in range(ITEMS_PER_TURN):
            if not self._delivers() or (
                count and (self._loop.time() > limit or receiver.inflated - inflated > READ_SIZE)
            ):
                break
            item = receiver.receive(STEPS)
            if item is None:
                return
            if item is NOTHING:
                continue
            opcode, data = item
            if opcode == VIOLATION:
                handler.violated(cast(Violation, data))
            elif opcode < Opcode.CLOSE:
                handler.message(opcode, data)
            else:
                handler.control(opcode, data)
        self._more = True
        if self._delivers():
            self._watch_input(False)
            self._turns.wait(self._continue)

    def _continue(self) -> None:
        """Go on after a pause, or where the last turn's budget ended."""
        if not self._delivers():
            return
        if self._more:
            self._corked = True
            try:
                self._deliver()
            finally:
                self._corked = False
                if self._out is not None:
                    self._flush()
        if self._delivers() and not self._more:
            if self._ended:
                self._end()
            else:
                self._watch_input(True)

    def _delivers(self) -> bool:
        """Whether the handler is to hear of anything."""
        return not (self._paused or self._closing or self._gone)

    def _end(self) -> None:
        """The peer ended its direction; what we still write in closing may go out first."""
        if not (self._closing and self._out):
            self._finish(None if self._tls is None else self._tls.failure)

    # -- output

    def _transmit(self, data: bytes) -> None:
        if self._tls is not None:
            self._tls.write(data)
            data = self._tls.output()
        self._queue(data)
        if not self._corked or (self._out is not None and len(self._out) > self._limits.high_water):
            self._flush()

    def _queue(self, data: bytes) -> None:
        if data and not (self._broken or self._gone):
            if self._out is None:
                self._out = bytearray(data)
                self.written_at = self._loop.time()
            else:
                self._out += data

    def _flush(self) -> None:
        out = self._out
        if out and not self._gone:
            try:
                taken = self._push(out)
            except OSError as error:
                self._break(error)
                return
            if taken:
                del out[:taken]
                self.written_at = self._loop.time()
            self._watch_output(bool(out))
        if out is not None and not out:
            self._out = None
        if self._closing and not self._out and not (self._tls is not None and self._tls.shaking_hands):
            self._shut_down()
        self._look_at_marks()

    def _look_at_marks(self) -> None:
        if self.above_high_water and self._buffered() <= self._limits.high_water // 4:
            self.above_high_water = False
            self._loop.call_soon(self._tell_drained)

    def _tell_drained(self) -> None:
        if not (self.above_high_water or self._gone) and self._receiver is not None:
            self._handler.drained()

    def _shut_down(self) -> None:
        if not (self._shut or self._gone):
            self._shut = True
            if self._ended:
                self._finish(None)
            else:
                try:
                    self._end_output()
                except OSError as error:
                    self._finish(error)

    def _break(self, error: OSError) -> None:
        """The stream takes no more. What the peer sent before that is still to be read, a close frame above all."""
        self._broken = True
        self._out = None
        self._watch_output(False)
        if self._paused or self._ended:
            self._finish(error)

    def _is_full(self, size: int) -> bool:
        most = self._limits.max_write_buffer
        if most is None:
            return False
        # What is held back until the last fragment of a message is no fault of the peer's, but bounded all the same.
        held = 0 if self._sender is None else self._sender.held
        if self._corked and held + self._buffered() + size > most:
            self._flush()  # gathered is not the same as not taken
        waiting = held + self._buffered()
        if waiting and waiting + size > most:
            self.above_high_water = True  # whatever waits: who was refused is told when there is room again
            return True
        return False

    def _buffered(self) -> int:
        return 0 if self._out is None else len(self._out)

    def _measure(self) -> int:
        waiting = self._buffered()
        if self._broken:
            return self._limits.high_water + 1  # never to be taken: who sends on has to wait for the end
        if waiting > self._limits.high_water:
            self.above_high_water = True
        return waiting

    # -- the end

    def _finish(self, error: Exception | None) -> None:
        if self._gone:
            return
        self._gone = True
        self._out = None
        self._release()
        self._loop.call_soon(self._tell_lost, error)

    def _tell_lost(self, error: Exception | None) -> None:
        handler, self._handler = self._handler, None
        handler.lost(error)

    # -- what each stream does in its own way

    @abstractmethod
    def _push(self, data: bytearray) -> int:
        """Write some of it now; how many bytes were taken. OSError where none ever will be."""

    @abstractmethod
    def _watch_input(self, on: bool) -> None:
        """Call `_arrived`, or stop calling it."""

    @abstractmethod
    def _watch_output(self, on: bool) -> None:
        """Call `_flush` when more can be taken, or stop calling it."""

    @abstractmethod
    def _end_output(self) -> None:
        """Tell the peer that nothing more comes."""

    @abstractmethod
    def _release(self) -> None:
        """Let go of the stream."""

    @abstractmethod
    def _addresses(self) -> tuple[Address, Address]:
        """The peer's and our own."""
