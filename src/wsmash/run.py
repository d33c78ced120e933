"""Running a server or a client without writing a loop: what a script's last line calls."""

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
from .client import WebSocketClient
from .constants import CloseCode, State
from .errors import ConnectionClosed, InvalidState, WebSocketError
from .server import WebSocketServer
from .watchdog import Watchdog

try:
    from uvloop import new_event_loop
except ImportError:
    # Sockets are read by readiness, which Windows' default loop does not tell.
    new_event_loop = asyncio.SelectorEventLoop  # type: ignore[assignment]


logger = logging.getLogger("wsmash")


def run(server_or_client: WebSocketServer | WebSocketClient) -> None:
    """Start a server, or connect a client, and run until it is closed or SIGINT or SIGTERM comes.

    A client whose `close` callback connects it again runs on.

    A signal shuts down gracefully: a server stops within `shutdown_timeout`, a client
    closes with 1001 and waits for its callbacks, however long they run. A second one
    aborts, and cancels callbacks. Where those do not let it end, by never letting the
    loop turn or by going on though they were cancelled, the process is ended with
    status 1 and a line in the log, two seconds after `shutdown_timeout` or after the
    second signal. At SIGHUP a server loads its `Certificate` again. uvloop is used
    where it is installed.

    Raises:
        TypeError: this is neither a server nor a client.
        RuntimeError: an event loop is running already.
        OSError, ConnectError, OpenTimeout, HandshakeError: it could not start or
            connect, and has no `error` callback.
        WebSocketError: the same of a client with `reconnect`, which an outage has ended.
    """
    if not isinstance(server_or_client, (WebSocketServer, WebSocketClient)):
        raise TypeError(f"run takes a WebSocketServer or a WebSocketClient, not {server_or_client!r}")
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        raise RuntimeError("run cannot be called inside a running event loop: await its start() or connect() there")
    with Watchdog() as watchdog, asyncio.Runner(loop_factory=new_event_loop) as runner:
        if isinstance(server_or_client, WebSocketServer):
            watchdog.patience = server_or_client.get_options().shutdown_timeout
            runner.run(_serve(server_or_client, watchdog))
        else:
            # How long a client's callbacks may take is its user's affair, until a second signal.
            runner.run(_talk(server_or_client, watchdog))


async def _serve(server: WebSocketServer, watchdog: Watchdog) -> None:
    with _signals(server.stop, server.abort, watchdog), _reloading(server):
        try:
            await server.start()
        except InvalidState:
            pass  # it was stopped while it started
        except Exception:
            if server._on_error is None:
                raise
        await server.wait_closed()
        await server.callbacks_done()


async def _talk(client: WebSocketClient, watchdog: Watchdog) -> None:
    leaving = False
    failure: Exception | None = None

    def leave() -> None:
        nonlocal leaving
        leaving = True
        client.close(CloseCode.GOING_AWAY)

    with _signals(leave, client._cut, watchdog):
        client.connect()
        while client.get_state() is not State.CLOSED:  # a close callback may have connected again
            if leaving:
                client.close(CloseCode.GOING_AWAY)
            failure = await _failure_of(client)
            await client.wait_closed()
            failure = failure or client._ended_by
            await client.callbacks_done()
    if failure is not None and client._on_error is None:
        raise failure


async def _failure_of(client: WebSocketClient) -> WebSocketError | None:
    """Wait until the client is open; what kept it from that."""
    try:
        await client.connect()
    except ConnectionClosed:
        return None  # closed by its user while it connected
    except WebSocketError as error:
        return error
    return None


@contextlib.contextmanager
def _reloading(server: WebSocketServer) -> Iterator[None]:
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


@contextlib.contextmanager
def _signals(first: Callable[[], object], second: Callable[[], object], watchdog: Watchdog) -> Iterator[None]:
    """Call `first` at the first signal, and `second` at those after it. Only the main thread hears of signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    actions = [first]

    def act() -> None:
        (actions.pop() if actions else second)()

    def hear(_: int, __: FrameType | None) -> None:
        # Python calls this though the loop is stuck in a callback; `act` is called by the loop.
        watchdog.signalled(loop)
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
