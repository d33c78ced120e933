"""Running a server or a client without writing a loop: what a script's last line calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .client import WebSocketClient
from .constants import CloseCode, State
from .errors import ConnectionClosed, InvalidState, WebSocketError
from .loading import being_loaded, load_server, split_name
from .logs import log_to_stderr
from .loops import new_event_loop
from .options.checks import check_int
from .server import WebSocketServer
from .signals import ended_by_signals, reloaded_by_signal
from .watchdog import Watchdog
from .workers.messages import LOCAL, App
from .workers.parent import supervise


def run(
    server_or_client: WebSocketServer | WebSocketClient | str, *, workers: int | None = None, broker: str | None = None
) -> None:
    """Start a server, or connect a client, and run until it is closed or SIGINT or SIGTERM comes.

    A client whose `close` callback connects it again runs on.

    A signal shuts down gracefully: a server stops within `shutdown_timeout`, a client
    closes with 1001 and waits for its callbacks, however long they run. A second one
    aborts, and cancels callbacks. Where those do not let it end, by never letting the
    loop turn or by going on though they were cancelled, the process is ended with
    status 1 and a line in the log, two seconds after `shutdown_timeout` or after the
    second signal. At SIGHUP a server loads its `Certificate` again. uvloop is used
    where it is installed.

    Args:
        server_or_client: a server, a client, or the name of a server, "module:name":
            that of an object, or of a function without parameters that makes one.
        workers: how many processes serve; more than one needs a server's name, since
            each loads it for itself. This process then loads nothing: it listens,
            watches over them, starts those again that die, and at SIGHUP all of them,
            one after the other. See docs/workers.md.
        broker: in place of the server's own; for workers also "local", a NATS server of
            theirs (which they get where the server names none), or "memory": each has
            topics and broadcasts of its own.

    Raises:
        TypeError: this is neither a server nor a client, or an object for several processes.
        ValueError: `workers` is no number above 0.
        LoadError: there is no server of that name.
        RuntimeError: an event loop is running already, or a module is just being loaded.
        OSError, ConnectError, OpenTimeout, HandshakeError: it could not start or
            connect, and has no `error` callback.
        WorkerError: no worker could start, or one did not end by itself.
        WebSocketError: the same of a client with `reconnect`, which an outage has ended.
    """
    if workers is not None:
        check_int("workers", workers, 1)
    if isinstance(server_or_client, str):
        run_app(App(server_or_client, {} if broker is None else {"broker": broker}), workers)
        return
    if not isinstance(server_or_client, (WebSocketServer, WebSocketClient)):
        raise TypeError(f"run takes a WebSocketServer, a WebSocketClient or 'module:name', not {server_or_client!r}")
    if workers not in (None, 1) or broker is not None:
        raise TypeError("workers and broker are for a server that is named: give 'module:name' in place of the object")
    _check_place()
    _run(server_or_client)


def run_app(app: App, workers: int | None) -> None:
    """Run a server that is named, in this process or in several; see `run`."""
    split_name(app.name)
    _check_place()
    if workers not in (None, 1):
        supervise(app, workers)
        return
    if app.changes.get("broker") == LOCAL:
        raise ValueError(f"broker={LOCAL!r} is for several workers; one process has its topics in memory")
    server = load_server(app.name, app.changes)
    if app.log_level is not None:
        log_to_stderr(app.log_level)
    _run(server)


def _check_place() -> None:
    name = being_loaded()
    if name is not None:
        raise RuntimeError(
            f"run was called while {name!r} was being loaded, which would never end: "
            "put it under `if __name__ == '__main__':`"
        )
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError("run cannot be called inside a running event loop: await its start() or connect() there")


def _run(server_or_client: WebSocketServer | WebSocketClient) -> None:
    with Watchdog() as watchdog, asyncio.Runner(loop_factory=new_event_loop) as runner:
        if isinstance(server_or_client, WebSocketServer):
            watchdog.patience = server_or_client.get_options().shutdown_timeout
            runner.run(_serve(server_or_client, watchdog))
        else:
            # How long a client's callbacks may take is its user's affair, until a second signal.
            runner.run(_talk(server_or_client, watchdog))


async def _serve(server: WebSocketServer, watchdog: Watchdog) -> None:
    with ended_by_signals(_one_after(server.stop, server.abort), watchdog.signalled), reloaded_by_signal(server):
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

    with ended_by_signals(_one_after(leave, client._cut), watchdog.signalled):
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


def _one_after(first: Callable[[], object], second: Callable[[], object]) -> Callable[[], None]:
    """What calls `first` when it is called, and `second` each time after that."""
    actions = [first]

    def act() -> None:
        (actions.pop() if actions else second)()

    return act
