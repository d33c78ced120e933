"""What every part of a connection works with: its slots, its state, sending, pausing, the firing of errors.

A connection is one object in four files, each a class on top of the one before:
this one, how it ends (`ending.py`), how it lives (`lifecycle.py`), and what its
user calls (`connection.py`).
"""

from __future__ import annotations

import asyncio
import logging
import os
from contextvars import Context
from typing import TYPE_CHECKING, Any

from ..constants import Opcode, Role, State
from ..errors import ConnectionClosed, InvalidState
from ..sansio.closing import Closing
from ..sansio.states import PUBLIC, Life
from ..transports.base import Channel
from .delivery import deliver
from .emitter import Emitter, Stored
from .events import ErrorEvent
from .inbox import Inbox
from .limits import Gate
from .outbox import Outbox
from .owner import Owner
from .pings import Pings

if TYPE_CHECKING:
    from .connection import WebSocketConnection

INBOX = 1
OUTPUT = 2
START = 4
SESSION = 8
"""Why reading pauses: `START` until the callbacks that begin a connection have been called, `SESSION` for what a
sub-protocol has too much of."""


class Core(Emitter):
    """What the other parts share."""

    __slots__ = (
        "_channel",
        "_closed",
        "_closing",
        "_congested",
        "_context",
        "_gate",
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
        self._opening = 0  # open and connection callbacks that are running
        self.tick = -1
        self._reset()

    def _reset(self) -> None:
        """As before the first byte; a client's second `connect` starts here too."""
        self._closed: list[asyncio.Future[None]] | None = None  # who waits for the socket's end, then for the event's
        self._inbox: Inbox | None = None
        self._renew()

    def _renew(self) -> None:
        """Forget the transport and what belongs to it; those who wait, for messages and for the end, go on waiting."""
        self._life = Life.CONNECTING
        self._channel: Channel | None = None
        self._closing: Closing | None = None
        self._congested = False  # the peer does not keep up
        self._outbox: Outbox | None = None
        self._pings: Pings | None = None
        self._gate: Gate | None = None  # sees each message before it is delivered
        self._pauses = 0
        self._pinged_at = 0.0
        self._resumed_at = 0.0
        self._latency: float | None = None
        self._subprotocol: str | None = None
        self._id: str | None = None

    @property
    def _me(self) -> WebSocketConnection:
        """This object as what it is in full."""
        return self  # type: ignore[return-value]

    def _shown(self) -> str:
        """What a log may say of the connection."""
        return ""

    # -- state

    @property
    def _lasts(self) -> bool:
        """Whether the loss of the transport is not the end."""
        return False

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

    def _closed_error(self, closing: Closing | None = None) -> ConnectionClosed:
        error = (closing or self._closing or Closing()).exception()
        error.origin = id(self)
        return error

    # -- sending

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

    def _ping(
        self, payload: bytes = b"", answered: asyncio.Future[float] | None = None, *, bounded: bool = True
    ) -> None:
        if self._pings is None:
            self._pings = Pings()
        payload = payload or os.urandom(8)
        self._pings.sent(payload, self._owner.environment.loop.time(), answered, bounded=bounded)
        self._put(Opcode.PING, payload)

    def _congest(self) -> None:
        self._congested = True
        if self._owner.role is Role.SERVER:
            # A client never pauses for its own output: two peers that both stop reading would never move again.
            # A turn later, so that a server which sends whenever there is room reads between two pauses.
            self._owner.environment.loop.call_soon(self._pause_for_output)

    def _pause_for_output(self) -> None:
        # Where nothing is ever taken any more, only the end that is to be read lets anybody go on.
        if self._congested and self._channel is not None and not self._channel.broken:
            self._pause(OUTPUT)

    # -- pauses

    def _pause_for_inbox(self) -> None:
        self._pause(INBOX)

    def _resume_after_inbox(self) -> None:
        self._resume(INBOX)

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

    def _held(self) -> int:
        """How many bytes wait here, for the peer or for a callback."""
        held = 0 if self._channel is None else self._channel.held()
        if self._inbox is not None:
            held += self._inbox.queue.size
        if self._outbox is not None:
            held += self._outbox.held
        return held if self._gate is None else held + self._gate.held

    @property
    def _delivering(self) -> asyncio.Task[Any] | None:
        """The task that calls message callbacks, if there is one."""
        return None if self._inbox is None else self._inbox.task

    # -- errors

    def _fire_error(self, error: Exception) -> None:
        self._owner.environment.loop.call_soon(self._deliver_error, error)

    def _deliver_error(self, error: Exception) -> None:
        if self._on_error is not None and self._context is not None:
            event = ErrorEvent(self._me, error)
            deliver(self._owner, self._context, self._on_error, event, self._error_callback_failed)

    def _error_callback_failed(self, error: BaseException) -> None:
        self._owner.reports.log(logging.ERROR, "%s: an error callback failed", self, error=error)

    def _log_warning(self, text: str) -> None:
        self._owner.reports.log(logging.WARNING, "%s: %s", self, text)
