"""Messages that wait: for a coroutine callback that is busy, for a reader, or for anyone to come.

A connection whose callbacks are all plain functions has no inbox. One is made
when a callback returns its first awaitable, when `recv` is first called, or when
a message comes before either; it then takes every message, in order. Callbacks
are run by one task, started by the first message and parked between bursts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from functools import partial
from typing import TYPE_CHECKING, Any

from ..constants import MAX_QUEUE_BYTES
from ..sansio.closing import Closing
from .delivery import call_each, finish
from .emitter import Callback, as_tuple
from .events import MessageEvent
from .parking import Parking
from .queue import Queue, call_with_each

if TYPE_CHECKING:
    from .connection import WebSocketConnection


class Inbox:
    """The queue of one connection, and who empties it."""

    __slots__ = (
        "_connection", "_dropped", "_parked", "_plain", "_task", "closing", "last", "patient", "pulled", "queue"
    )  # fmt: skip

    def __init__(self, connection: WebSocketConnection) -> None:
        self._connection = connection
        self.queue = Queue(connection._owner.options.max_queue)
        self._plain = connection.message_type is None  # messages are delivered as they are
        self._task: asyncio.Task[Any] | None = None
        self._parked: Parking | None = None  # the task that runs callbacks, or the reader's
        self.last = False  # nothing more will come
        self.closing: Closing | None = None  # why: a reader may hear of it when the client is connected again
        self._dropped = False  # the warning was given
        self.patient = connection._owner.patient  # reading pauses until somebody comes
        self.pulled = False  # recv has been called

    def __bool__(self) -> bool:
        """Whether any message waits."""
        return len(self.queue) > 0

    def put(self, data: str | bytes) -> None:
        """Take a message in, and pause reading when that fills the inbox."""
        if self.full and not self._waits:
            self._discard()
            return
        self.queue.put((data,), len(data))
        self._wake()
        self.pause_if_full()

    def pause_if_full(self) -> None:
        """Let reading pause, where too many messages are left."""
        if self.full and self._waits:
            self._connection._pause_for_inbox()

    def room(self) -> tuple[int, int]:
        """How many messages, and how many bytes, may come before it is full; none where they may be discarded."""
        if not self._waits:
            return 0, 0
        return self.queue.most - len(self.queue), MAX_QUEUE_BYTES - self.queue.size

    @property
    def full(self) -> bool:
        """Whether reading is to pause."""
        return self.queue.full

    @property
    def _waits(self) -> bool:
        """Whether what comes is kept, for somebody who listens or may begin to."""
        return not self.unwanted or self._connection._opening > 0

    def take(self) -> str | bytes:
        """The message that has waited longest, and reading goes on once there is room again."""
        data = self.queue.take()
        self.resume()
        return data

    def resume(self) -> None:
        """Let reading go on, where it pauses and few enough messages are left."""
        if not self.last and self.queue.few:
            self._connection._resume_after_inbox()

    def _discard(self) -> None:
        connection = self._connection
        connection._owner.counters.discarded += 1
        if not self._dropped:
            self._dropped = True
            connection._log_warning(
                "messages are discarded: nothing listens; add a message callback, or call recv, before they come"
            )

    def clear(self) -> None:
        """Deliver nothing of what waits."""
        self.queue.clear()

    def _wake(self) -> None:
        if self._parked is not None:
            self._parked.wake()

    async def park(self) -> None:
        """Wait until there is something to look at: a message, the end, or another callback."""
        self._parked = Parking(self._connection._owner.environment.loop)
        try:
            await self._parked
        finally:
            self._parked = None

    # -- callbacks

    def start(
        self, result: Awaitable[Any] | None = None, rest: tuple[Callback, ...] = (), event: MessageEvent | None = None
    ) -> None:
        """Begin to run callbacks: with what one of them returned and those after it, or with what waits."""
        if self._task is not None:
            self._wake()
        elif not self.last:
            connection = self._connection
            self._task = connection._owner.run(self._consume(connection, result, rest, event), connection._context)
            self._task.add_done_callback(partial(self._consumed, connection))

    async def _consume(
        self,
        connection: WebSocketConnection,
        result: Awaitable[Any] | None,
        rest: tuple[Callback, ...],
        event: MessageEvent | None,
    ) -> None:
        failed = connection._callback_failed
        try:
            if result is not None:
                await finish(result, failed)
                await call_each(rest, event, failed)
            while True:
                if self._plain:
                    await call_with_each(self, connection, failed)
                callbacks = as_tuple(connection._on_message)
                if not (self.queue and callbacks):
                    if self.last:
                        self.clear()  # the last callback has gone: for nobody
                        break
                    await self.park()
                    continue
                event = connection._event_of(self.take())
                if event is not None:
                    await call_each(callbacks, event, failed)
        except asyncio.CancelledError:
            self._cancelled(connection)
            raise
        finally:
            self._settle(connection)

    def _consumed(self, connection: WebSocketConnection, task: asyncio.Task[Any]) -> None:
        if self._task is task:  # it was cancelled before its first step, and nothing of the above has run
            self._cancelled(connection)
            self._settle(connection)

    def _cancelled(self, connection: WebSocketConnection) -> None:
        self.clear()
        if connection._inbox is self:  # and not that of a client which has been connected again since
            connection._desert()

    def _settle(self, connection: WebSocketConnection) -> None:
        self._task = None
        if self.last and connection._inbox is self:
            connection._inbox_emptied()

    def end(self) -> bool:
        """Nothing more will come. Whether messages are still to be delivered: the connection then hears of the last."""
        self.last = True
        self.closing = self._connection._closing
        self._wake()
        if self.delivers and self._connection._on_message is None:
            self.clear()
        return self.delivers and bool(self.queue)

    def release(self) -> None:
        """The close event fires: what is left is for a reader, and the connection, which holds this, is let go."""
        del self._connection

    # -- readers

    async def get(self) -> str | bytes | None:
        """The next message, None where no more will come. Being cancelled loses nothing."""
        while not self.queue:
            if self.last:
                return None
            await self.park()
        return self.take()

    def pull(self) -> None:
        """A reader takes the messages from now on."""
        self.pulled = True
        self.queue.pulled = self._plain

    @property
    def unwanted(self) -> bool:
        """Whether nobody takes messages, nor is expected to."""
        return not (self.pulled or self.patient or self.last) and self._connection._on_message is None

    @property
    def task(self) -> asyncio.Task[Any] | None:
        """The one that runs callbacks."""
        return self._task

    @property
    def delivers(self) -> bool:
        """Whether messages go to callbacks."""
        return self._task is not None

    @property
    def has_reader(self) -> bool:
        """Whether somebody waits for a message."""
        return self.pulled and self._parked is not None
