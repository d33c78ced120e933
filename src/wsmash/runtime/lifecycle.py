"""How a connection lives: it opens, its channel brings messages and control frames, its clock asks what is due."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Any, cast

from ..constants import CloseCode, Opcode
from ..errors import InvalidMessage, MessageTooBig
from ..sansio.frames import decode_close
from ..sansio.keepalive import Care, Seen, look
from ..sansio.states import Life, Signal, advance
from ..sansio.violations import Violation
from ..transports.base import Channel
from .core import INBOX, OUTPUT
from .delivery import FAILURES, Failed, deliver
from .emitter import Callback, Emitter, as_tuple, must_run
from .ending import Ending
from .events import MessageEvent, OpenEvent, make_event
from .inbox import Inbox
from .limits import RateLimit
from .owner import AGES

Stage = tuple[Emitter, str, Callable[[Any], Any], Failed]
"""Whose callbacks, in which slot; what makes their event of the connection; who hears of their exceptions."""


class Lifecycle(Ending):
    """The part of a connection that its channel and its clock drive; see `transports.base.MessageHandler`."""

    __slots__ = ()

    # -- open

    def _opened(self, channel: Channel, subprotocol: str | None) -> None:
        """The opening handshake is done. The channel is paused until the callbacks have started."""
        self._channel = channel
        self._life = advance(self._life, Signal.OPENED)
        self._subprotocol = subprotocol
        owner = self._owner
        wheel = owner.environment.wheel
        self._pinged_at = now = wheel.clock()
        if owner.message_rate is not None:
            self._gate = RateLimit(owner.message_rate, now)
        # Standing in the wheel is also what keeps a connection alive that nobody else holds.
        wheel.ask(self, now + owner.first_look)

    def _start_callbacks(self, *stages: Stage) -> None:
        """Fire the events that begin a connection, then let messages come.

        Args:
            stages: each starts once the one before has run to its first suspension.
        """
        for at, (emitter, slot, event, failed) in enumerate(stages, 1):
            if self._life is not Life.OPEN or self._context is None:
                return
            callbacks = getattr(emitter, slot)
            if callbacks is None:
                continue
            task = deliver(self._owner, self._context, callbacks, event(self), failed)
            if task is not None:
                self._opening += 1
                task.add_done_callback(self._opening_done)
                # The task takes its first step before this call comes.
                self._owner.environment.loop.call_soon(self._start_callbacks, *stages[at:])
                return
        self._begun()

    def _begun(self) -> None:
        """The callbacks that begin the connection have been called: messages may come."""
        if self._channel is not None and not self._pauses:
            self._channel.resume_reading()

    def _opening_done(self, _: object) -> None:
        self._opening -= 1
        if not self._opening and self._inbox is not None and self._inbox.unwanted:
            self._resume(INBOX)

    def _open_stage(self) -> Stage:
        return self, "_on_open", OpenEvent, self._callback_failed

    # -- what the channel tells

    def message(self, opcode: int, data: str | bytes) -> None:
        """A message came."""
        if self._life is not Life.OPEN:
            return  # after our close frame messages are discarded
        if self._gate is not None and self._gate.take(self._me, data):
            return
        inbox = self._inbox
        if inbox is not None:
            inbox.put(data)
            return
        callback = self._on_message
        if callback is None:
            self._inbox = Inbox(self._me)
            self._inbox.put(data)
            return
        event = self._event_of(data)
        if event is None:
            return
        callbacks = as_tuple(callback)
        context = cast(Context, self._context)
        for at, each in enumerate(callbacks, 1):
            try:
                result = context.run(each, event)
            except FAILURES as error:
                self._callback_failed(error)
                continue
            if result is not None and must_run(result):
                self._await_callback(cast(Awaitable[Any], result), event, callbacks[at:])
                return

    def _await_callback(
        self, result: Awaitable[Any], event: MessageEvent, rest: tuple[Callback, ...] = ()
    ) -> None:
        """A message callback returned something to await: from now on the inbox takes every message."""
        self._inbox = Inbox(self._me)
        self._inbox.start(result, rest, event)

    def _event_of(self, data: str | bytes) -> MessageEvent | None:
        """The message's event; None for one that is not of the type declared, which is then dealt with."""
        event = make_event(self._me, data)
        options = self._owner.options
        if options.message_type is not None:
            try:
                event.json()
            except InvalidMessage as error:
                if options.invalid_message != "error":
                    if self._fail(options.invalid_message, "the message is not of the type declared", error):
                        self._owner.counters.failed_message += 1
                elif self._on_error is None:
                    self._log_warning(f"a message is left out: {error}")
                else:
                    self._fire_error(error)
                return None
            except TypeError as error:  # a field of a type that JSON does not decode to
                self._callback_failed(error)
                return None
        return event

    def control(self, opcode: int, payload: bytes) -> None:
        """A control frame came."""
        if opcode == Opcode.PING:
            if self._life is not Life.OPEN:
                return  # a pong after our close frame would come after the end of what we send
            if self._congested:
                self._need_outbox().pong = payload
            else:
                self._put(Opcode.PONG, payload)
        elif opcode == Opcode.PONG:
            if self._pings is not None:
                latency = self._pings.pong(payload, self._owner.environment.loop.time())
                self._latency = self._latency if latency is None else latency
        else:
            found = decode_close(payload)
            if isinstance(found, Violation):
                self.violated(found)
            else:
                self._receive_close(*found)

    def violated(self, violation: Violation) -> None:
        """The peer broke the protocol."""
        error = violation.exception()
        if self._fail(violation.code, violation.text, error):
            if isinstance(error, MessageTooBig):
                self._owner.counters.failed_limit += 1
            else:
                self._owner.counters.failed_protocol += 1

    def drained(self) -> None:
        """The peer has caught up."""
        self._congested = False
        if self._outbox is not None:
            self._outbox.drained()
        if not self._congested:
            self._resume(OUTPUT)

    # -- deadlines

    def due(self, now: float) -> float | None:
        """What the clock asks for; see `sansio/keepalive.py`."""
        channel, closing = self._channel, self._closing
        if channel is None or self._life is Life.LOST:
            return None
        if closing is not None and closing.deadline is not None:
            if now < closing.deadline:
                return closing.deadline
            channel.abort()
            return None
        info = channel.info()
        seen = Seen(
            self._pinged_at,
            self._pings is not None and self._pings.probing,
            max(info.received_at, self._resumed_at),  # what came during a pause has to be read first
            info.written_at,
            info.buffered > 0,
            info.unfinished,
            self._pauses != 0,
            max(info.message_at, self._resumed_at),
        )
        care, again = look(now, seen, self._owner.timeouts)
        if care is Care.NOTHING and again is None:
            return now + AGES
        if care is Care.PING:
            for codec in info.codecs:
                if codec is not None:
                    codec.rest()
            self._pinged_at = now
            if not self._congested:
                self._ping()
            return self.due(now)
        self._owner.counters.timed_out += care in (Care.LOST, Care.WRITE_STUCK, Care.MESSAGE_LATE)
        if care is Care.LOST:
            self._give_up(CloseCode.INTERNAL_ERROR, "keepalive: nothing came from the peer within ping_timeout")
        elif care is Care.WRITE_STUCK:
            self._give_up(CloseCode.TRY_AGAIN_LATER, "the peer took no byte within write_timeout")
        elif care is Care.MESSAGE_LATE:
            self._fail(CloseCode.POLICY_VIOLATION, "a message was not finished within message_timeout", None)
            return self._need_closing().deadline
        return again
