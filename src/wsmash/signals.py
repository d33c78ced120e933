"""Signals to a process that runs a loop: those that end it, and SIGHUP, which has a certificate loaded again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from .certificates import Certificate
from .server import WebSocketServer

logger = logging.getLogger("wsmash")


@contextlib.contextmanager
def ended_by_signals(act: Callable[[], object], heard: Callable[[asyncio.AbstractEventLoop], None]) -> Iterator[None]:
    """Hear of SIGINT and SIGTERM, of which only the main thread does.

    Args:
        act: called by the loop, once for each.
        heard: called with the loop before that, and at once, in the middle of anything.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()

    def hear(_: int, __: FrameType | None) -> None:
        # Python calls this though the loop is stuck in a callback; `act` is called by the loop.
        heard(loop)
        if os.name != "posix":
            loop.call_soon_threadsafe(act)

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        with contextlib.suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(number, act)
        signal.signal(number, hear)
        if os.name == "posix":
            signal.siginterrupt(number, False)
    try:
        yield
    finally:
        for number in numbers:
            with contextlib.suppress(NotImplementedError):
                loop.remove_signal_handler(number)
            signal.signal(number, before[number])


@contextlib.contextmanager
def reloaded_by_signal(server: WebSocketServer) -> Iterator[None]:
    """Load the server's certificate again at SIGHUP, if it has one that can be."""
    number = getattr(signal, "SIGHUP", None)  # Windows has none
    reloads = isinstance(server.get_options().ssl, Certificate)
    if number is None or not reloads or threading.current_thread() is not threading.main_thread():
        yield
        return

    def reload() -> None:
        try:
            server.reload_certificates()
        except OSError as error:
            # Its text says all: a traceback would lead into the standard library.
            logger.error("the certificate in use stays: %s", error)  # noqa: TRY400

    loop = asyncio.get_running_loop()
    before = signal.getsignal(number)
    loop.add_signal_handler(number, reload)
    try:
        yield
    finally:
        loop.remove_signal_handler(number)
        signal.signal(number, before)
