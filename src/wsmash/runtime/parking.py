"""Where a task waits for messages: a future of ours, whose task may be resumed within the call that wakes it.

A future of asyncio resumes its task a turn of the loop later. From a callback of the
loop that is of no task, as the engine's are, the task can as well go on at once: what
it waits for is still in the processor's cache, and what it sends leaves with the turn.
It is a real task all the same, in its own context, and nobody but asyncio steps it.
"""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any

from ..transports import native


@native.twin
class Parking:
    """One wait of one task. What it has of asyncio's futures is what tasks use of them."""

    __slots__ = ("_asyncio_future_blocking", "_cancelled", "_context", "_done", "_loop", "_resume")

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._asyncio_future_blocking = False
        self._resume: Callable[[Any], object] | None = None
        self._context: Context | None = None
        self._done = False
        self._cancelled = False

    def wake(self) -> None:
        """Let the task go on in the next turn."""
        if not self._done:
            self._done = True
            if self._resume is not None:
                self._loop.call_soon(self._resume, self, context=self._context)

    def wake_at_once(self) -> None:
        """Let the task go on now: where a task is running, that is not possible, and it does so in the next turn."""
        if self._done or self._resume is None or self._context is None or asyncio.current_task(self._loop) is not None:
            self.wake()
            return
        self._done = True
        self._context.run(self._resume, self)

    # -- what a task uses

    def __await__(self) -> Generator[Any, Any, None]:
        self._asyncio_future_blocking = True
        yield self
        if self._cancelled:
            raise asyncio.CancelledError

    def get_loop(self) -> AbstractEventLoop:
        return self._loop

    def add_done_callback(self, callback: Callable[[Any], object], *, context: Context | None = None) -> None:
        self._resume = callback
        self._context = context

    def remove_done_callback(self, callback: Callable[[Any], object]) -> int:
        self._resume = None
        return 1

    def cancel(self, msg: object = None) -> bool:
        if self._done:
            return False
        self._cancelled = True
        self.wake()
        return True

    def cancelled(self) -> bool:
        return self._cancelled

    def done(self) -> bool:
        return self._done

    def result(self) -> None:
        if self._cancelled:
            raise asyncio.CancelledError
