"""How a connection lives and ends: what its channel tells it, its deadlines, its closing, its events.

The rules of closing are the table in `sansio/states.py`; this file acts on them.
Events are fired from the event loop, never from inside a call of the user's.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable
from contextvars import Context
from typing import TYPE_CHECKING, Any, cast

from ..constants import CloseCode, Opcode, Role, State
from ..errors import ConnectionClosed, InvalidMessage, InvalidState, SlowConsumer
from ..sansio.closing import Closing, check_close, shortened
from ..sansio.frames import decode_close, encode_close
from ..sansio.keepalive import Care, Seen, look
from ..sansio.states import PUBLIC, Life, Signal, advance
from ..sansio.violations import Violation
from ..transports.base import Channel
from .actions import DONE, Action, Pending
from .delivery import Failed, deliver
from .emitter import Emitter, Stored, as_tuple, must_run
from .events import CloseEvent, ErrorEvent, MessageEvent, OpenEvent
from .inbox import Inbox
from .limits import TokenBucket
from .outbox import Outbox
from .owner import Owner
from .pings import Pings

if TYPE_CHECKING:
    from .connection import WebSocketConnection

logger = logging.getLogger("wsmash")

_INBOX = 1
_OUTPUT = 2
"""Why reading pauses."""

_AGES = 3600.0
"""Seconds until a connection without any timeout is looked at again."""

Stage = tuple[tuple[Emitter, str], Any, Failed]
"""Whose callbacks, in which slot; their event; who hears of their exceptions."""


class Lifecycle(Emitter):
    """The part of a connection that its channel and its clock drive."""

    __slots__ = (
        "_bucket",
        "_channel",
        "_closed",
        "_closing",
        "_congested",
        "_context",
        "_id",
        "_inbox",
        "_latency",
        "_life",
        "_on_close",
        "_on_error",
        "_on_message",
        "_on_open",
        "_opening",
        "_outbox",
        "_owner",
        "_pauses",
        "_pinged_at",
        "_pings",
        "_resumed_at",
        "_state",
        "_subprotocol",
        "tick",
    )

    _owner: Owner

    def __init__(self) -> None:
        self._on_open: Stored = None
        self._on_message: Stored = None
        self._on_close: Stored = None
        self._on_error: Stored = None
        self._context: Context | None = None  # that of the callbacks, from connect or start to the close event
        self._state: dict[Any, Any] | None = None
        self._reset()

    def _reset(self) -> None:
        """As before the first byte; a client's second `connect` starts here too."""
        self._life = Life.CONNECTING
        self._channel: Channel | None = None
        self._closing: Closing | None = None
        self._closed: list[asyncio.Future[None]] | None = None  # who waits for the socket's end, then for the event's
        self._congested = False  # the peer does not keep up
        self._opening = 0  # open and connection callbacks that are running
        self._inbox: Inbox | None = None
        self._outbox: Outbox | None = None
        self._pings: Pings | None = None
        self._bucket: TokenBucket | None = None
        self._pauses = 0
        self._pinged_at = 0.0
        self._resumed_at = 0.0
        self._latency: float | None = None
        self._subprotocol: str | None = None
        self._id: str | None = None
        self.tick = -1

    @property
    def _me(self) -> WebSocketConnection:
        """This object as what it is in full."""
        return cast("WebSocketConnection", self)

    def _shown(self) -> str:
        """What a log may say of the connection."""
        return ""

    # -- state

    def get_state(self) -> State:
        """CONNECTING, OPEN, CLOSING or CLOSED, as the browser's `readyState`."""
        return PUBLIC[self._life]

    def is_open(self) -> bool:
        """Whether messages may be sent."""
        return self._life is Life.OPEN

    @property
    def message_type(self) -> Any:
        """What each message's JSON must be; None where nothing was declared."""
        return self._owner.options.message_type

    def _check_open(self) -> None:
        if self._life is Life.CONNECTING:
            raise InvalidState("the connection is not open yet: wait for the open event, or await connect()")
        if self._life is not Life.OPEN:
            raise self._closed_error()

    def _closed_error(self) -> ConnectionClosed:
        return (self._closing or Closing()).exception()

    # -- open

    def _opened(self, channel: Channel, subprotocol: str | None) -> None:
        """The opening handshake is done. The channel is paused until the callbacks have started."""
        self._channel = channel
        self._life = advance(self._life, Signal.OPENED)
        self._subprotocol = subprotocol
        owner = self._owner
        wheel = owner.environment.wheel
        self._pinged_at = wheel.clock()
        rate = getattr(owner.options, "message_rate", None)
        if rate is not None:
            self._bucket = TokenBucket(rate, self._pinged_at)
        # Standing in the wheel is also what keeps a connection alive that nobody else holds.
        wheel.ask(self, self.due(self._pinged_at) or self._pinged_at)

    def _start_callbacks(self, *stages: Stage) -> None:
        """Fire the events that begin a connection, then let messages come.

        Args:
            stages: each starts once the one before has run to its first suspension.
        """
        for at, (slot, event, failed) in enumerate(stages, 1):
            if self._life is not Life.OPEN or self._context is None:
                return
            task = deliver(self._owner, self._context, getattr(*slot), event, failed)
            if task is not None:
                self._opening += 1
                task.add_done_callback(self._opening_done)
                # The task takes its first step before this call comes.
                self._owner.environment.loop.call_soon(self._start_callbacks, *stages[at:])
                return
        if self._channel is not None and not self._pauses:
            self._channel.resume_reading()

    def _opening_done(self, _: object) -> None:
        self._opening -= 1
        if not self._opening and self._inbox is not None and self._inbox.unwanted:
            self._resume(_INBOX)

    def _open_stage(self) -> Stage:
        return (self, "_on_open"), OpenEvent(self._me), self._callback_failed

    # -- what the channel tells

    def message(self, opcode: int, data: str | bytes) -> None:
        """A message came."""
        if self._life is not Life.OPEN:
            return  # after our close frame messages are discarded
        if self._bucket is not None and not self._bucket.take(self._owner.environment.wheel.clock()):
            self._fail(CloseCode.POLICY_VIOLATION, "too many messages in a second", None)
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
            except Exception as error:
                self._callback_failed(error)
                continue
            if result is not None and must_run(result):
                self._inbox = Inbox(self._me)
                self._inbox.start(cast(Awaitable[Any], result), callbacks[at:], event)
                return

    def _event_of(self, data: str | bytes) -> MessageEvent | None:
        """The message's event; None for one that is not of the type declared, which is then dealt with."""
        event = MessageEvent(self._me, data)
        options = self._owner.options
        if options.message_type is not None:
            try:
                event.json()
            except InvalidMessage as error:
                if options.invalid_message == "error":
                    self._fire_error(error)
                else:
                    self._fail(options.invalid_message, "the message is not of the type declared", error)
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
        self._fail(violation.code, violation.text, violation.exception())

    def drained(self) -> None:
        """The peer has caught up."""
        self._congested = False
        if self._outbox is not None:
            self._outbox.drained()
        if not self._congested:
            self._resume(_OUTPUT)

    def _congest(self) -> None:
        self._congested = True
        if self._owner.role is Role.SERVER:
            # A client never pauses for its own output: two peers that both stop reading would never move again.
            self._pause(_OUTPUT)

    # -- pauses

    def _pause_for_inbox(self) -> None:
        self._pause(_INBOX)

    def _resume_after_inbox(self) -> None:
        self._resume(_INBOX)

    def _pause(self, reason: int) -> None:
        if not self._pauses and self._channel is not None and self._life is Life.OPEN:
            self._channel.pause_reading()
        self._pauses |= reason

    def _resume(self, reason: int) -> None:
        if self._pauses & reason:
            self._pauses &= ~reason
            if not self._pauses and self._channel is not None:
                self._resumed_at = self._owner.environment.wheel.clock()
                self._channel.resume_reading()

    # -- closing

    def _close(self, code: int, reason: str) -> Action[None]:
        """See `close`."""
        check_close(code, reason)
        if self._life is Life.CONNECTING:
            return self._abandon()
        if self._life is Life.LOST:
            return DONE
        self._owner.environment.check_thread("close")
        if self._life is Life.OPEN:
            if self._outbox is not None:
                self._outbox.flush()
            self._send_close(code, reason, Signal.SEND_CLOSE)
            self._need_closing().why = "the peer did not answer the close frame"
            self._discard()
        return Pending(self._wait_for(0))

    def _abandon(self) -> Action[None]:
        """`close` before the connection is open; a client gives up its attempt."""
        return DONE

    def _receive_close(self, code: int, reason: str) -> None:
        closing = self._need_closing()
        closing.received = code, reason
        self._life = advance(self._life, Signal.RECEIVE_CLOSE)
        if self._life is Life.CLOSE_RECEIVED:
            self._send_close(None if code == CloseCode.NO_STATUS else code, reason, Signal.SEND_CLOSE)
        if self._channel is not None:
            self._channel.close()

    def _fail(self, code: int, reason: str, error: Exception | None) -> None:
        """Fail the connection (RFC 6455 7.1.7): say why, stop listening, drain."""
        if self._life in (Life.CONNECTING, Life.FAILED, Life.LOST):
            return
        closing = self._need_closing()
        closing.why = f"closed with {code}: {reason}"
        if self._life is Life.OPEN:
            self._send_close(code, reason, Signal.FAIL)
        else:
            self._life = advance(self._life, Signal.FAIL)
        self._discard()
        logger.info("%s failed: %s", self, closing.why)
        if self._channel is not None:
            self._channel.close()
        if error is not None:
            self._fire_error(error)

    def _send_close(self, code: int | None, reason: str, signal: Signal) -> None:
        closing = self._need_closing()
        reason = shortened(reason)
        closing.sent = int(CloseCode.NO_STATUS if code is None else code), reason
        self._life = advance(self._life, signal)
        self._owner.closing(self._me)
        channel = self._channel
        if self._outbox is not None:
            self._outbox.forget()
        if channel is not None:
            channel.send(Opcode.CLOSE, encode_close(code, reason))
            self._pauses = 0
            channel.resume_reading()  # for the peer's close frame, or for its end
        environment = self._owner.environment
        closing.deadline = environment.wheel.clock() + self._owner.options.close_timeout
        environment.wheel.ask(self, closing.deadline)

    def _discard(self) -> None:
        """What waits to be delivered is not: this end closed."""
        self._need_closing().discard = True
        if self._inbox is not None:
            self._inbox.clear()

    def _need_closing(self) -> Closing:
        if self._closing is None:
            self._closing = Closing()
        return self._closing

    def _wait_for(self, stage: int) -> asyncio.Future[None]:
        """Ends with the socket (0), or after the close event (1)."""
        if self._closed is None:
            loop = self._owner.environment.loop
            self._closed = [loop.create_future(), loop.create_future()]
        return self._closed[stage]

    async def wait_closed(self) -> None:
        """Wait until the connection is closed and its `close` callbacks were called."""
        if self._context is None:
            return  # never begun, or closed and told
        await asyncio.shield(self._wait_for(1))

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
        )
        care, again = look(now, seen, self._owner.timeouts)
        if care is Care.NOTHING and again is None:
            return now + _AGES
        if care is Care.PING:
            for codec in info.codecs:
                if codec is not None:
                    codec.rest()
            self._pinged_at = now
            if not self._congested:
                self._ping()
            return self.due(now)
        if care is Care.LOST:
            self._give_up(CloseCode.INTERNAL_ERROR, "keepalive: nothing came from the peer within ping_timeout")
        elif care is Care.WRITE_STUCK:
            self._give_up(CloseCode.TRY_AGAIN_LATER, "the peer took no byte within write_timeout")
        elif care is Care.MESSAGE_LATE:
            self._fail(CloseCode.POLICY_VIOLATION, "a message was not finished within message_timeout", None)
            return self._need_closing().deadline
        return again

    def _give_up(self, code: int, why: str) -> None:
        """Fail without waiting for a peer that is not there."""
        self._fail(code, why, None)
        self._need_closing().why = why
        if self._channel is not None:
            self._channel.abort()

    # -- the end

    def lost(self, error: Exception | None) -> None:
        """The transport is gone."""
        closing = self._need_closing()
        if not closing.why:
            closing.why = str(error) if error is not None else "the peer went away without a close frame"
        self._life = advance(self._life, Signal.LOSE)
        owner = self._owner
        owner.environment.wheel.forget(self)
        owner.left(self._me)
        failure = closing.exception()
        if self._outbox is not None:
            self._outbox.end(failure)
        if self._pings is not None:
            self._pings.end(failure)
        self._settle(0)
        if self._inbox is None or not self._inbox.end():
            self._fire_close()

    def _inbox_emptied(self) -> None:
        """The last message that came before the end was delivered."""
        self._owner.environment.loop.call_soon(self._fire_close)

    def _fire_close(self) -> None:
        context = self._context
        if context is None or self._life is not Life.LOST:
            return  # fired already, and perhaps connected again
        self._context = None
        closing, waiting = self._need_closing(), self._closed
        event = CloseEvent(self._me, *closing.outcome, closing.sent, closing.received)
        deliver(self._owner, context, self._on_close, event, self._close_callback_failed)
        if waiting is not None and not waiting[1].done():
            waiting[1].set_result(None)  # of this life: a callback may have connected again

    def _settle(self, stage: int) -> None:
        if self._closed is not None and not self._closed[stage].done():
            self._closed[stage].set_result(None)

    # -- what is sent

    def _put(self, opcode: int, payload: bytes, *, final: bool = True, compress: bool = True) -> int:
        """Hand something to the channel, and see whether the peer keeps up."""
        channel = self._channel
        if channel is None:
            return 0
        waiting = channel.send(opcode, payload, final=final, compress=compress)
        if waiting > self._owner.limits.high_water and not self._congested:
            self._congest()
        return waiting

    def _need_outbox(self) -> Outbox:
        if self._outbox is None:
            self._outbox = Outbox(self._me)
        return self._outbox

    def _ping(self, payload: bytes = b"", answered: asyncio.Future[float] | None = None) -> None:
        if self._pings is None:
            self._pings = Pings()
        payload = payload or os.urandom(8)
        self._pings.sent(payload, self._owner.environment.loop.time(), answered)
        self._put(Opcode.PING, payload)

    # -- errors

    def _fire_error(self, error: Exception) -> None:
        self._owner.environment.loop.call_soon(self._deliver_error, error)

    def _deliver_error(self, error: Exception) -> None:
        if self._on_error is not None and self._context is not None:
            event = ErrorEvent(self._me, error)
            deliver(self._owner, self._context, self._on_error, event, self._error_callback_failed)

    def _callback_failed(self, error: BaseException) -> None:
        """A callback let an exception out."""
        if isinstance(error, (ConnectionClosed, SlowConsumer)):
            logger.debug("%s: a callback was ended by %r", self, error)
            return
        server = self._owner.role is Role.SERVER
        if isinstance(error, InvalidMessage):
            logger.error("%s: %s", self, error)
            code, reason = CloseCode.INVALID_FRAME_PAYLOAD_DATA, "invalid message"
        else:
            logger.error("%s: a callback failed", self, exc_info=error)
            code, reason = CloseCode.INTERNAL_ERROR, "internal error"
        if isinstance(error, Exception):
            self._fire_error(error)
        if server:
            self._fail(code, reason, None)

    def _close_callback_failed(self, error: BaseException) -> None:
        """As above, for a connection that is gone: there is nothing left to close, and no event may follow."""
        logger.error("%s: a close callback failed", self, exc_info=error)

    def _error_callback_failed(self, error: BaseException) -> None:
        logger.error("%s: an error callback failed", self, exc_info=error)

    def _log_warning(self, text: str) -> None:
        logger.warning("%s: %s", self, text)


