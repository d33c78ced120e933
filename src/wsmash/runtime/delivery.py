"""How callbacks are called: one after another, in their connection's context, each awaited.

A plain callback is called where the event is. From the first one that returns an
awaitable on, the rest runs in a task of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Any

from .emitter import Callback, Stored, as_tuple, must_run
from .owner import Owner

Failed = Callable[[BaseException], object]
"""Hears of an exception that a callback let out."""

FAILURES = (Exception, asyncio.CancelledError)
"""What a function lets out that has failed: the latter where it asked a future that was cancelled for its result."""


def deliver(owner: Owner, context: Context, stored: Stored, event: Any, failed: Failed) -> asyncio.Task[Any] | None:
    """Call the callbacks; the task that the rest of them runs in, or None where none is needed."""
    callbacks = as_tuple(stored)
    for at, callback in enumerate(callbacks, 1):
        try:
            result = context.run(callback, event)
        except FAILURES as error:
            failed(error)
            continue
        if must_run(result):
            return owner.run(_go_on(result, callbacks[at:], event, failed), context)  # type: ignore[arg-type]
    return None


async def _go_on(result: Awaitable[Any], rest: tuple[Callback, ...], event: Any, failed: Failed) -> None:
    await finish(result, failed)
    await call_each(rest, event, failed)


async def call_each(callbacks: tuple[Callback, ...], event: Any, failed: Failed) -> None:
    """Call the callbacks from inside a task of their connection's context."""
    for callback in callbacks:
        try:
            result = callback(event)
        except FAILURES as error:
            failed(error)
            continue
        if must_run(result):
            await finish(result, failed)  # type: ignore[arg-type]


async def finish(result: Awaitable[Any], failed: Failed) -> None:
    """Await what a callback returned."""
    try:
        await result
    except Exception as error:
        failed(error)
    except asyncio.CancelledError as error:
        cancelled(error, failed)


def cancelled(error: asyncio.CancelledError, failed: Failed) -> None:
    """A callback ended with this: raised on where its task is cancelled, and else a failure like any other.

    Something that the callback awaited was then cancelled, and not the callback.
    """
    task = asyncio.current_task()
    if task is None or task.cancelling():
        raise error
    failed(error)
