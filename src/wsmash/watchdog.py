"""The last resort of `run`: ends a process whose event loop does not come to its end after a signal.

A coroutine that never lets the loop turn keeps every timeout from passing. Python
runs handlers of signals between its instructions all the same, so that the one
here may start a thread that counts the seconds, and needs no loop for it.
"""

from __future__ import annotations

import _thread
import logging
import os
import sys
import threading
import time
from asyncio import AbstractEventLoop
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Self

logger = logging.getLogger("wsmash")

GRACE = 2.0
"""Seconds beyond what a stop may take, and after a second signal."""

LAST_WORDS = 1.0
"""Seconds in which the log must have taken the reason: whoever is stuck may hold its locks."""

_POLL = 0.05


class Watchdog:
    """A block at whose end it goes to sleep.

    Attributes:
        patience: seconds that a stop may take after the first signal; None lets it take any time.
    """

    def __init__(self) -> None:
        self.patience: float | None = None
        self._over = False
        self._first: float | None = None
        self._deadline: float | None = None
        self._loop: AbstractEventLoop | None = None
        self._thread = threading.get_ident()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = True

    def signalled(self, loop: AbstractEventLoop) -> None:
        """A signal has come. For its handler, which may be called in the middle of anything: it takes no lock."""
        now = time.monotonic()
        self._loop = loop
        patience = self.patience if self._first is None else 0.0
        self._first = self._first or now
        if patience is None:
            return
        deadline = now + patience + GRACE
        if self._deadline is None:
            self._deadline = deadline
            _thread.start_new_thread(self._watch, (self._first,))
        else:
            self._deadline = min(self._deadline, deadline)

    def _watch(self, first: float) -> None:
        while not self._over:
            if self._deadline is not None and time.monotonic() >= self._deadline:
                _thread.start_new_thread(self._say_why, (self._deadline - first,))
                time.sleep(LAST_WORDS)
                if not self._over:
                    os._exit(1)
            time.sleep(_POLL)

    def _say_why(self, seconds: float) -> None:
        """Give the reason, where the log takes it; and what was printed is not to be lost."""
        frame = sys._current_frames().get(self._thread)
        why = "callbacks go on though they were cancelled, or threads of the executor"
        if frame is not None and not self._turns():
            why = f"a callback does not let the event loop turn, {_place(frame)}"
        logger.critical("the process is ended, %.1f s after a signal: %s", seconds, why)
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()

    def _turns(self) -> bool:
        """Whether the loop gets to what it is asked to do."""
        turned = threading.Event()
        if self._loop is not None:
            with suppress(RuntimeError):  # closed
                self._loop.call_soon_threadsafe(turned.set)
        return turned.wait(LAST_WORDS / 2)


def _place(frame: FrameType) -> str:
    code = frame.f_code
    return f"at {code.co_filename}:{frame.f_lineno} in {code.co_name}"
