"""The server: it listens, takes clients in, and sees every one of them out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from socket import AF_UNIX, socket
from types import TracebackType
from typing import Any, ClassVar, Literal, Self, overload

from .codecs import Message
from .connections import Connections
from .constants import CloseCode
from .endpoint import ConnectionEvent, Endpoint, Filter, ServerConnection
from .errors import InvalidState
from .listening import close_all, is_loopback_only, open_sockets, remove_unix
from .options import ServerOptions, check_protocols
from .reception import Reception
from .routing import Router
from .runtime.actions import DONE, Action, Count, Pending
from .runtime.connection import encode_message
from .runtime.delivery import deliver
from .runtime.emitter import DECORATES, C, Decorates, Emitter, Stored
from .runtime.environment import Environment, current_environment
from .runtime.events import Immutable, set_once
from .runtime.opening import ServerOpening
from .runtime.owner import Counters
from .sansio.states import SERVER_LIFE, ServerLife, ServerSignal
from .signatures import takes, with_parameters_of
from .transports.base import TLS, Connected, Listener

logger = logging.getLogger("wsmash")

LAST_REQUESTS = 1.0
"""Seconds in which clients that had connected when a stop began may say what they want; the answer is 503."""

LAST_CALLBACKS = 1.0
"""Seconds in which callbacks that were cancelled must have ended."""

ACCEPT_PAUSE = 1.0
"""Seconds without accepting, after the system had no descriptor or memory for a connection."""


class ServerEvent(Immutable):
    """Something happened to the server itself: it was closed, or its listener or a callback failed.

    Attributes:
        server: the server.
        error: the exception, or None for `close`.
    """

    __slots__ = ("error", "server")

    server: WebSocketServer
    error: Exception | None

    def __init__(self, server: WebSocketServer, error: Exception | None = None) -> None:
        set_once(self, "server", server)
        set_once(self, "error", error)


class WebSocketServer(Emitter):
    """A server of WebSockets, and of plain HTTP on the same port. Its parameters are those of `ServerOptions`.

    ```python no-run
    server = wsmash.create_server(port=8080)
    server.on("connection", lambda event: event.client.send("Welcome!"))
    wsmash.run(server)
    ```

    Attributes:
        counters: what was not delivered.

    Raises:
        ValueError, TypeError: an option is not what it may be.
    """

    EVENTS: ClassVar[tuple[str, ...]] = ("connection", "close", "error")

    @takes(ServerOptions)
    def __init__(self, options: ServerOptions) -> None:
        self._on_connection: Stored = None
        self._on_close: Stored = None
        self._on_error: Stored = None
        self.counters = Counters()
        self._options = options
        self._life = ServerLife.NEW
        self._router: Router[Endpoint] = Router()
        self._endpoints: list[Endpoint] = []
        self._main = self._add(Endpoint(options.path, tuple(options.protocols), self))
        self._environment: Environment | None = None
        self._context: Context | None = None
        self._starting: Pending[None] | None = None
        self._start_task: asyncio.Task[None] | None = None
        self._stopping: Pending[None] | None = None
        self._sockets: list[socket] = []
        self._port: int | None = None
        self._listeners: list[Listener] = []
        self._reception: Reception | None = None
        self._connections: Connections | None = None
        self._stoppers: set[asyncio.Task[Any]] = set()  # callbacks that stop the server: it does not wait for them
        self._another: asyncio.Future[None] | None = None  # one more of them
        self._gone: asyncio.Future[None] | None = None  # of a stop that waits for the last connection
        self._closed: asyncio.Future[None] | None = None

    # -- callbacks and endpoints

    @overload
    def on(
        self, event: Literal["connection"], callback: Callable[[ConnectionEvent], object]
    ) -> Callable[[ConnectionEvent], object]: ...
    @overload
    def on(
        self, event: Literal["close", "error"], callback: Callable[[ServerEvent], object]
    ) -> Callable[[ServerEvent], object]: ...
    @overload
    def on(
        self, event: Literal["connection"]
    ) -> Callable[[Callable[[ConnectionEvent], object]], Callable[[ConnectionEvent], object]]: ...
    @overload
    def on(
        self, event: Literal["close", "error"]
    ) -> Callable[[Callable[[ServerEvent], object]], Callable[[ServerEvent], object]]: ...
    def on(self, event: Literal["connection", "close", "error"], callback: C | Decorates = DECORATES) -> Any:
        """Call a function, or run a coroutine function, at each event; also a decorator.

        Args:
            event: "connection" (a client has connected), "close" (the server has
                stopped) or "error" (its listener or a `connection` callback failed).
            callback: takes the event. The same one added twice runs twice.

        Raises:
            ValueError: there is no such event.
            TypeError: the callback cannot be called.
        """
        return self._add_callback(event, callback)

    def endpoint(self, path: str, *, protocols: str | Sequence[str] | None = None) -> Endpoint:
        """One more path, with its own `connection` callbacks; before `start`.

        Args:
            path: `{name}` stands for one segment, `{name:path}` for the rest; what they
                stood for is in `event.request.params`.
            protocols: the subprotocols spoken there; None for the server's.

        Raises:
            ValueError: the path is no pattern, or is there already.
            InvalidState: the server has been started.
        """
        if self._life not in (ServerLife.NEW, ServerLife.STOPPED):
            raise InvalidState("endpoints are added before the server starts")
        spoken = self._options.protocols if protocols is None else check_protocols(protocols)
        return self._add(Endpoint(path, tuple(spoken)))

    def _add(self, endpoint: Endpoint) -> Endpoint:
        self._router.add(endpoint.path, endpoint)
        self._endpoints.append(endpoint)
        return endpoint

    # -- what there is to know

    def get_clients(self) -> tuple[ServerConnection, ...]:
        """The open connections of all paths, in the order they came."""
        return () if self._connections is None else self._connections.everyone.snapshot()

    def get_client_count(self) -> int:
        """How many they are."""
        return 0 if self._connections is None else len(self._connections.everyone)

    def is_started(self) -> bool:
        """Whether the server is listening."""
        return self._life is ServerLife.STARTED

    def get_options(self) -> ServerOptions:
        """The options; their `repr` hides secrets."""
        return self._options

    @property
    def port(self) -> int:
        """The port listened on, or the one asked for while there is none; 0 for a Unix socket."""
        return self._options.port if self._port is None else self._port

    def __repr__(self) -> str:
        return f"<WebSocketServer {self._life.name} port={self.port} clients={self.get_client_count()}>"

    # -- starting

    def start(self) -> Action[None]:
        """Listen. While that is under way, or done, it joins what is there; once stopped it starts again.

        Returns:
            An awaitable that ends once the server listens, and raises `OSError` if
            it cannot; that also fires `error`. Cancelling it abandons the start.

        Raises:
            RuntimeError: no event loop is running, or the server belongs to another.
            InvalidState: the server is stopping.
        """
        environment = current_environment("start()")
        if self._environment is not None and self._environment is not environment:
            raise RuntimeError("this server belongs to the event loop of its first start()")
        if self._starting is not None and self._life in (ServerLife.STARTING, ServerLife.STARTED):
            return self._starting
        if self._life is ServerLife.STOPPING:
            raise InvalidState("the server is stopping: wait_closed() before you start it again")
        self._environment = environment
        self._context = copy_context()
        self._signal(ServerSignal.START)
        self._closed = environment.loop.create_future()
        self._stopping = None
        outcome: asyncio.Future[None] = environment.loop.create_future()
        self._starting = Pending(outcome, on_cancel=self.stop)
        self._connections = connections = Connections(
            environment,
            self._options,
            self.counters,
            self._context,
            failed=self._connection_callback_failed,
            changed=self._check_gone,
        )
        connections.own(self._endpoints)
        self._start_task = environment.run(self._start(environment, connections, outcome))
        return self._starting

    async def _start(
        self, environment: Environment, connections: Connections, outcome: asyncio.Future[None]
    ) -> None:
        options = self._options
        try:
            self._sockets = await open_sockets(options)
            self._reception = Reception(
                options,
                self._router,
                connections,
                self._check_gone,
                secure=options.ssl is not None,
                loopback_only=is_loopback_only(self._sockets),
            )
        except Exception as error:
            close_all(self._sockets)
            self._sockets = []
            self._signal(ServerSignal.FAIL)
            outcome.set_exception(error)
            self._fail(error, reported=False)
            environment.loop.call_soon(self._settle_closed)
            return
        self._port = 0 if self._sockets[0].family == AF_UNIX else self._sockets[0].getsockname()[1]
        for sock in self._sockets:
            self._listeners.append(environment.driver.listen(sock, self._accepted, self._accept_failed))
        self._signal(ServerSignal.LISTENING)
        outcome.set_result(None)

    # -- clients

    def _accepted(self, sock: Connected) -> None:
        """A client has connected."""
        reception, environment = self._reception, self._environment
        if reception is None or environment is None:
            sock.close()
            return
        opening = ServerOpening(reception, environment, self._options)
        reception.openings.add(opening)
        context = self._options.ssl
        opening.start(sock, None if context is None else TLS(context, server_side=True))

    def _accept_failed(self, error: OSError) -> None:
        """The system could not give a connection: no descriptors, no memory. The clients wait in its queue."""
        logger.error("accepting pauses for %s s: %s", ACCEPT_PAUSE, error)
        for listener in self._listeners:
            listener.pause()
        if self._environment is not None:
            self._environment.loop.call_later(ACCEPT_PAUSE, self._accept_again)

    def _accept_again(self) -> None:
        for listener in self._listeners:
            listener.resume()

    def _connection_callback_failed(self, connection: ServerConnection, error: BaseException) -> None:
        if connection._is_own_end(error):
            logger.debug("%s: a connection callback was ended by %r", connection, error)
            return
        logger.error("%s: a connection callback failed", connection, exc_info=error)
        if isinstance(error, Exception):
            self._fail(error, reported=True)
        connection._fail(CloseCode.INTERNAL_ERROR, "internal error", None, logged=True)

    # -- sending to all

    def broadcast(self, data: Message, filter: Filter | None = None) -> Count:
        """Send a message to every open connection.

        It is framed once, and compressed once for each window size. Never raises
        for a peer and never waits for a slow one, to which `slow_consumer` applies.

        Args:
            data: as `send` takes it.
            filter: called with each connection before anything is sent; those it is
                false for are left out. What it raises is raised here, and nothing is sent.

        Returns:
            How many connections took it: an int, which may also be awaited.

        Raises:
            TypeError, ValueError: the data is no message, or the filter is a coroutine function.
            RuntimeError: called from another thread than the event loop's.
        """
        opcode, payload = encode_message(data)
        if self._environment is None or self._connections is None:
            return Count(0)
        self._environment.check_thread("broadcast")
        return self._connections.everyone.broadcast(opcode, payload, filter)

    # -- stopping

    def stop(self) -> Action[None]:
        """Stop gracefully: accept no more, close every connection with 1001, wait for it and for callbacks.

        What is left after `shutdown_timeout` is aborted. Before `start`, or again,
        it does nothing; during `start` it abandons that.

        Returns:
            An awaitable that ends after the `close` callbacks were called.
        """
        if self._life in (ServerLife.NEW, ServerLife.STOPPED) or self._environment is None:
            return DONE
        self._environment.check_thread("stop")
        caller = _current_task()
        if caller in self._tasks:
            # A callback that may await this is not waited for: that would never end.
            self._stoppers.add(caller)
            if self._another is not None and not self._another.done():
                self._another.set_result(None)
        if self._stopping is None:
            if self._start_task is not None:
                self._start_task.cancel()
            if self._starting is not None and not self._starting.future.done():
                self._starting.future.set_exception(InvalidState("the server was stopped while it started"))
            self._signal(ServerSignal.STOP)
            for listener in self._listeners:
                listener.close()
            if self._reception is not None:
                self._reception.closed = True
                for opening in tuple(self._reception.openings):
                    opening.hurry(LAST_REQUESTS)
            self._stopping = Pending(self._environment.run(self._stop()))
        return self._stopping

    async def _stop(self) -> None:
        try:
            async with asyncio.timeout(self._options.shutdown_timeout):
                await self._close_all()
                await self.callbacks_done()
        except TimeoutError:
            logger.warning("%s: shutdown_timeout is over; what is left is aborted", self)
            self.abort()
            await self._cancelled_callbacks_done()
        if self._sockets:
            remove_unix(self._options)
        self._listeners, self._sockets, self._port = [], [], None
        self._starting = None
        self._signal(ServerSignal.GONE)
        if self._main._owner is not None and self._context is not None:
            deliver(self._main._owner, self._context, self._on_close, ServerEvent(self), self._callback_failed)
        self._stoppers.clear()
        self._settle_closed()

    def _settle_closed(self) -> None:
        if self._closed is not None and not self._closed.done():
            self._closed.set_result(None)

    async def _close_all(self) -> None:
        self._gone = asyncio.get_running_loop().create_future()
        if self._connections is not None:
            await self._connections.close()
        self._check_gone()
        await self._gone

    def _check_gone(self) -> None:
        """Tell a stop that waits for the last connection and the last request."""
        if self._gone is None or self._gone.done():
            return
        openings = self._reception is not None and self._reception.openings
        if not (self._connections or openings):
            self._gone.set_result(None)

    @property
    def _tasks(self) -> set[asyncio.Task[Any]]:
        """Callbacks that are running."""
        return set() if self._connections is None else self._connections.tasks

    async def callbacks_done(self) -> None:
        """Wait until no callback is running, but for those that stop the server."""
        await asyncio.sleep(0)  # close events that are due fire first
        while tasks := self._tasks - self._stoppers:
            self._another = asyncio.get_running_loop().create_future()
            await asyncio.wait({*tasks, self._another}, return_when=asyncio.FIRST_COMPLETED)

    async def _cancelled_callbacks_done(self) -> None:
        try:
            async with asyncio.timeout(LAST_CALLBACKS):
                await self.callbacks_done()
        except TimeoutError:
            logger.warning("%s: %s callbacks did not end when they were cancelled", self, len(self._tasks))
            for task in self._tasks - self._stoppers:
                task.cancel()  # those that began since

    def abort(self) -> None:
        """Drop every connection as it is, and cancel the callbacks that run, but for those that stop the server."""
        if self._connections is not None:
            self._connections.abort()
        if self._reception is not None:
            for opening in tuple(self._reception.openings):
                opening.abort()
        for task in self._tasks - self._stoppers:
            task.cancel()

    async def wait_closed(self) -> None:
        """Wait until the server has stopped and its `close` callbacks were called."""
        if self._closed is not None:
            await asyncio.shield(self._closed)

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; without waiting where the block was cancelled."""
        stopping = self.stop()
        if error is None or isinstance(error, Exception):
            await stopping

    # -- states and errors

    def _signal(self, signal: ServerSignal) -> None:
        self._life = SERVER_LIFE.get((self._life, signal), self._life)

    def _fail(self, error: Exception, *, reported: bool) -> None:
        """Fire `error`; an error that reaches nobody is logged, once."""
        owner, context = self._main._owner, self._context
        if owner is None or context is None:
            return
        loop = owner.environment.loop
        loop.call_soon(self._deliver_error, error)
        if self._on_error is None and not reported:
            loop.call_soon(self._report, error)

    def _deliver_error(self, error: Exception) -> None:
        if self._main._owner is not None and self._context is not None:
            event = ServerEvent(self, error)
            deliver(self._main._owner, self._context, self._on_error, event, self._callback_failed)

    def _report(self, error: Exception) -> None:
        if self._starting is not None and not self._starting.awaited:
            logger.error("%s could not start: %s", self, error)

    def _callback_failed(self, error: BaseException) -> None:
        logger.error("%s: a callback failed", self, exc_info=error)


@with_parameters_of(WebSocketServer)
def create_server(server: WebSocketServer) -> WebSocketServer:
    """Create a server; it listens when told to. The parameters are those of `ServerOptions`."""
    return server


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
