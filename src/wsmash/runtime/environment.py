"""What all connections of one event loop share: its thread, its clock and wheel, its driver, its running callbacks."""

from __future__ import annotations

import asyncio
import threading
from asyncio import AbstractEventLoop
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, ref

from ..transports.base import Driver
from ..transports.choice import make_driver
from .deadlines import Wheel
from .wakeup import Wakeups

T = TypeVar("T")


class Environment:
    """One for each loop, for as long as anything on it needs one.

    Attributes:
        loop: the loop.
        thread: the identifier of the thread that it runs in.
        wheel: its deadlines.
        wakeups: tells who asks when the machine was suspended.
        driver: what carries its sockets.
    """

    def __init__(self, loop: AbstractEventLoop, driver: Driver | None = None) -> None:
        self.loop = loop
        self.thread = threading.get_ident()
        self.wheel = Wheel(loop)
        self.wakeups = Wakeups(self.wheel)
        self.driver = driver or make_driver(loop)

    def check_thread(self, action: str) -> None:
        """Only the loop's own thread may act.

        Raises:
            RuntimeError: this is another one.
        """
        if threading.get_ident() != self.thread:
            raise RuntimeError(
                f"{action} was called from another thread than the event loop's: "
                "use loop.call_soon_threadsafe or asyncio.run_coroutine_threadsafe"
            )

    def run(self, coroutine: Coroutine[Any, Any, T], context: Context | None = None) -> asyncio.Task[T]:
        """Run it in a task, which is kept until it ends."""
        # Never one that starts eagerly, whatever the loop's task factory: its context may be the one that runs.
        task = asyncio.Task(coroutine, loop=self.loop, context=context)
        _running.add(task)
        task.add_done_callback(_running.discard)
        return task


_running: set[asyncio.Task[Any]] = set()
"""The loop itself holds its tasks weakly."""

_environments: WeakKeyDictionary[AbstractEventLoop, ref[Environment]] = WeakKeyDictionary()
"""Both weak: an environment's engine is held by its loop, and would hold a loop that was dropped for ever."""


def current_environment(action: str) -> Environment:
    """The running loop's.

    Raises:
        RuntimeError: no loop is running; the text names `action` and what to do.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            f"{action} needs a running event loop: call it from a coroutine, or use wsmash.run(...)"
        ) from None
    known = _environments.get(loop)
    environment = None if known is None else known()
    if environment is None:
        environment = Environment(loop)
        _environments[loop] = ref(environment)
    return environment
