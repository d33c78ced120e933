"""Messages that a client sends while it has no connection: they wait for one, and then for the proof of their arrival.

Each is handed to a connection at most once. A ping is sent after those that were;
its pong says that the server has read them. What a connection takes with it before
that is reported as dropped: sending it again might deliver it twice.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING, Any

from ..constants import Opcode
from ..errors import OpenTimeout, SlowConsumer, WebSocketError
from ..options import OfflineQueue
from ..sansio.states import Life
from ..transports.base import REFUSED
from .actions import Action, retrieve
from .delivery import deliver
from .events import DroppedEvent, DropReason

if TYPE_CHECKING:
    from ..reconnect import ReconnectingConnection

OVERHEAD = 128
"""What a message counts beside its bytes: many small ones take more memory."""


class Kept(Action[None]):
    """A message that was accepted; awaiting it ends when it is handed to a connection, and raises if it is dropped."""

    __slots__ = ("_ended", "_error", "_runs", "_waiters", "compress", "opcode", "payload", "since")

    def __init__(self) -> None:
        self._runs = None
        self._ended = False
        self._error: WebSocketError | None = None
        self._waiters: dict[asyncio.Future[None], None] = {}

    def hold(self, opcode: int, payload: bytes, since: float | None, *, compress: bool) -> None:
        """Take a message, in place of an older one where there is one."""
        self.opcode = opcode
        self.payload = payload
        self.since = since  # None before the client's first connect, which has no clock
        self.compress = compress

    @property
    def size(self) -> int:
        """What it counts."""
        return len(self.payload) + OVERHEAD

    @property
    def data(self) -> str | bytes:
        """The message as its receiver would get it."""
        return self.payload.decode() if self.opcode == Opcode.TEXT else self.payload

    def settle(self, error: WebSocketError | None = None) -> None:
        """It was handed to a connection, or dropped with an error."""
        self._ended, self._error = True, error
        waiters, self._waiters = self._waiters, {}
        for each in waiters:
            if not each.done():
                each.set_result(None)

    def done(self) -> bool:
        """Whether the outcome is known."""
        return self._ended

    def __await__(self) -> Generator[Any, Any, None]:
        return self._wait().__await__()

    async def _wait(self) -> None:
        if not self._ended:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters[waiter] = None
            try:
                await waiter
            finally:
                self._waiters.pop(waiter, None)  # who has given up leaves nothing, however often
        if self._error is not None:
            raise self._error

    def __repr__(self) -> str:
        return f"<Action {'done' if self._ended else 'under way'}>"


class Offline:
    """The queue of one client, from its first `send` without a connection on.

    Attributes:
        blocking: whether what is sent over the open connection has to go behind the queue.
    """

    __slots__ = ("_bounds", "_fresh", "_handed", "_refused", "_reports", "_size", "_waiting", "blocking")

    def __init__(self, bounds: OfflineQueue) -> None:
        self._bounds = bounds
        self._waiting: OrderedDict[object, Kept] = OrderedDict()  # by its key, where a newer one may take its place
        self._handed: deque[Kept] = deque()  # to the connection there is, and not known to have arrived
        self._fresh = 0  # how many of them no ping was sent after
        self._refused = False  # the oldest one found too little room, below high water
        self._size = 0
        self._reports: list[DroppedEvent] = []
        self.blocking = False

    # -- in

    def add(
        self, client: ReconnectingConnection, opcode: int, payload: bytes, key: str | None, *, compress: bool
    ) -> Kept:
        """Accept a message.

        Raises:
            SlowConsumer: the queue is full.
        """
        since = None if client._context is None else client._owner.environment.wheel.clock()
        conflates = key is not None and client.options.slow_consumer == "conflate"
        older = self._waiting.get(key) if conflates else None
        self._check_room(len(payload) + OVERHEAD, older)
        if older is not None and key is not None:
            client.counters.conflated += 1
            self._report(client, older, "conflated")
            self._size -= older.size
            self._waiting.move_to_end(key)
        kept = older or Kept()
        kept.hold(opcode, payload, since, compress=compress)
        self._size += kept.size
        self._waiting[key if conflates else kept] = kept
        client._ask_at(self.next_expiry)
        return kept

    def _check_room(self, size: int, older: Kept | None) -> None:
        bounds = self._bounds
        count = len(self._waiting) + len(self._handed) + (older is None)
        if count > bounds.max_messages:
            raise SlowConsumer(f"the offline queue is full: max_messages={bounds.max_messages} wait for a connection")
        total = self._size + size - (0 if older is None else older.size)
        if bounds.max_bytes is not None and total > bounds.max_bytes:
            raise SlowConsumer(
                f"the offline queue is full: with this message, more than max_bytes={bounds.max_bytes} "
                f"would wait for a connection, {OVERHEAD} counted for each message"
            )

    def begin(self, client: ReconnectingConnection, now: float) -> None:
        """The client connects: the age of what was sent before counts from here, and what was replaced is told."""
        for kept in self._waiting.values():
            if kept.since is None:
                kept.since = now
        if self._reports:
            client._owner.environment.loop.call_soon(self.deliver_reports, client)

    # -- out

    def block(self) -> None:
        """A connection was opened: from now on nothing overtakes what waits."""
        self.blocking = bool(self._waiting)

    def flush(self, client: ReconnectingConnection, *, hurry: bool = False) -> bool:
        """Hand on what there is room for; whether that is all. In a hurry, above high water too: the close is next."""
        self.expire(client, client._owner.environment.wheel.clock())
        most = client._owner.limits.high_water
        while self._waiting:
            key, kept = next(iter(self._waiting.items()))
            waiting = client._put(kept.opcode, kept.payload, compress=kept.compress)
            self._refused = waiting == REFUSED
            if not self._refused:
                del self._waiting[key]
                self._handed.append(kept)
                self._fresh += 1
                kept.settle()
            if self._refused or (waiting > most and not hurry):
                self._prove(client)
                return False
        if self._fresh:
            self._prove(client)
        self.blocking = False
        return True

    def _prove(self, client: ReconnectingConnection) -> None:
        """Ask the server whether it has what was handed on."""
        answered = client._owner.environment.loop.create_future()
        answered.add_done_callback(retrieve)
        answered.add_done_callback(partial(self._proved, client, self._handed, self._fresh))
        self._fresh = 0
        client._ping(answered=answered, bounded=False)

    def _proved(
        self, client: ReconnectingConnection, handed: deque[Kept], count: int, answered: asyncio.Future[float]
    ) -> None:
        if handed is not self._handed or answered.cancelled() or answered.exception() is not None:
            return  # of a connection that is gone
        for _ in range(count):
            self._size -= handed.popleft().size
        if self._refused and client._life is Life.OPEN:
            client._flush()  # there is room now, of which no `drained` would tell

    # -- ends

    @property
    def next_expiry(self) -> float | None:
        """When the oldest message is too old."""
        if self._bounds.max_age is None or not self._waiting:
            return None
        since = next(iter(self._waiting.values())).since
        return None if since is None else since + self._bounds.max_age

    def expire(self, client: ReconnectingConnection, now: float) -> float | None:
        """Drop what has waited too long; when to look again."""
        while (when := self.next_expiry) is not None and when <= now:
            text = f"the message was dropped: there was no connection within max_age={self._bounds.max_age} s"
            self._drop(client, "expired", OpenTimeout(text))
        return when

    def lost(self, client: ReconnectingConnection) -> None:
        """The connection is gone, and with it what it had not delivered for certain."""
        handed, self._handed = self._handed, deque()
        self._fresh = 0
        self.blocking = False
        for kept in handed:
            self._size -= kept.size
            self._report(client, kept, "unconfirmed")

    def end(self, client: ReconnectingConnection) -> None:
        """No other connection will come."""
        while self._waiting:
            self._drop(client, "closed", client._closed_error())
        self.deliver_reports(client)

    def _drop(self, client: ReconnectingConnection, reason: DropReason, error: WebSocketError) -> None:
        _, kept = self._waiting.popitem(last=False)
        self._size -= kept.size
        self._report(client, kept, reason)
        kept.settle(error)

    def _report(self, client: ReconnectingConnection, kept: Kept, reason: DropReason) -> None:
        client.counters.dropped += reason != "conflated"
        self._reports.append(DroppedEvent(client, kept.data, reason))
        if len(self._reports) == 1 and client._context is not None:
            client._owner.environment.loop.call_soon(self.deliver_reports, client)

    def deliver_reports(self, client: ReconnectingConnection) -> None:
        """Fire `dropped` for each message that was."""
        if client._context is None:
            return  # not connected yet
        reports, self._reports = self._reports, []
        if client._on_dropped is None:
            lost = sum(each.reason != "conflated" for each in reports)
            if lost:
                client._log_warning(f"the offline queue dropped {lost} of its messages, and nothing listens for that")
            return
        for event in reports:
            deliver(client._owner, client._context, client._on_dropped, event, client._callback_failed)
