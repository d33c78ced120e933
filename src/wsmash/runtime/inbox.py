"""Messages that wait: for a coroutine callback that is busy, for a reader, or for anyone to come.

A connection whose callbacks are all plain functions has no inbox. One is made
when a callback returns its first awaitable, when `recv` is first called, or when
a message comes before either; it then takes every message, in order. Callbacks
are run by one task, started by the first message and parked between bursts.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

from ..constants import CloseCode
from .delivery import call_each, finish
from .emitter import Callback, as_tuple

if TYPE_CHECKING:
    from .connection import WebSocketConnection
    from .events import MessageEvent

MAX_BYTES = 65536
"""Bytes that may wait before reading pauses, whatever `max_queue` says."""


class Inbox:
    """The queue of one connection, and who empties it."""

    __slots__ = ("_connection", "_dropped", "_items", "_last", "_size", "_task", "_wakeup", "patient", "pulled")

    def __init__(self, connection: WebSocketConnection) -> None:
        self._connection = connection
        self._items: deque[str | bytes] = deque()
        self._size = 0
        self._task: asyncio.Task[Any] | None = None
        self._wakeup: asyncio.Future[None] | None = None  # of the parked task, or of the reader
        self._last = False  # nothing more will come
        self._dropped = False  # the warning was given
        self.patient = connection._owner.patient  # reading pauses until somebody comes
        self.pulled = False  # recv has been called

    def __bool__(self) -> bool:
        """Whether any message waits."""
        return bool(self._items)

    def put(self, data: str | bytes) -> None:
        """Take a message in, and pause reading when that fills the inbox."""
        waits = not self.unwanted or self._connection._opening > 0
        if self.full and not waits:
            self._discard()
            return
        self._items.append(data)
        self._size += len(data)
        self._wake()
        if self.full and waits:
            self._connection._pause_for_inbox()

    @property
    def full(self) -> bool:
        """Whether reading is to pause."""
        return len(self._items) >= self._connection._owner.options.max_queue or self._size >= MAX_BYTES

    def _take(self) -> str | bytes:
        data = self._items.popleft()
        self._size -= len(data)
        if self._last:
            return data
        if len(self._items) <= self._connection._owner.options.max_queue // 4 and self._size <= MAX_BYTES // 4:
            self._connection._resume_after_inbox()
        return data

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
        self._items.clear()
        self._size = 0

    def _wake(self) -> None:
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)

    async def _park(self) -> None:
        self._wakeup = self._connection._owner.environment.loop.create_future()
        try:
            await self._wakeup
        finally:
            self._wakeup = None

    # -- callbacks

    def start(
        self, result: Awaitable[Any] | None = None, rest: tuple[Callback, ...] = (), event: MessageEvent | None = None
    ) -> None:
        """Begin to run callbacks: with what one of them returned and those after it, or with what waits."""
        if self._task is not None:
            self._wake()
        elif not self._last:
            connection = self._connection
            self._task = connection._owner.run(self._consume(result, rest, event), connection._context)

    async def _consume(
        self, result: Awaitable[Any] | None, rest: tuple[Callback, ...], event: MessageEvent | None
    ) -> None:
        connection = self._connection
        failed = connection._callback_failed
        try:
            if result is not None:
                await finish(result, failed)
                await call_each(rest, event, failed)
            while True:
                if not self._items or connection._on_message is None:
                    if self._last:
                        self.clear()  # the last callback has gone: for nobody
                        break
                    await self._park()
                    continue
                event = connection._event_of(self._take())
                if event is not None:
                    await call_each(as_tuple(connection._on_message), event, failed)
        except asyncio.CancelledError:
            # Cancelled from outside: a connection whose messages nobody takes any more must not stay open.
            self.clear()
            connection._fail(CloseCode.INTERNAL_ERROR, "internal error", None)
            raise
        finally:
            self._task = None
            if self._last and connection._inbox is self:
                connection._inbox_emptied()

    def end(self) -> bool:
        """Nothing more will come. Whether messages are still to be delivered: the connection then hears of the last."""
        self._last = True
        self._wake()
        if self.delivers and self._connection._on_message is None:
            self.clear()
        return self.delivers and bool(self._items)

    def release(self) -> None:
        """The close event fires: what is left is for a reader, and the connection, which holds this, is let go."""
        del self._connection

    # -- readers

    async def get(self) -> str | bytes | None:
        """The next message, None where no more will come. Being cancelled loses nothing."""
        while not self._items:
            if self._last:
                return None
            await self._park()
        return self._take()

    @property
    def unwanted(self) -> bool:
        """Whether nobody takes messages, nor is expected to."""
        return not (self.pulled or self.patient or self._last) and self._connection._on_message is None

    @property
    def delivers(self) -> bool:
        """Whether messages go to callbacks."""
        return self._task is not None

    @property
    def has_reader(self) -> bool:
        """Whether somebody waits for a message."""
        return self.pulled and self._wakeup is not None
