"""The server: it listens, takes clients in, and sees every one of them out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextvars import copy_context
from dataclasses import replace
from socket import socket
from types import TracebackType
from typing import Any, ClassVar, Literal, Self, overload

from .auth import basic_auth, bearer_auth
from .certificates import Certificate
from .codecs import Message
from .endpoint import ConnectionEvent, Endpoint, EndpointOwner, Filter, ServerConnection
from .errors import InvalidState
from .listening import close_all
from .options import ServerOptions, check_protocols
from .publishing import GapEvent, PresenceEvent, Publishing, ServerEvent
from .routing import Router
from .runtime.actions import DONE, Action, Count, Pending
from .runtime.connection import encode_message
from .runtime.counters import ServerCounters
from .runtime.emitter import DECORATES, C, Decorates, Stored
from .runtime.environment import Environment, current_environment
from .sansio.states import SERVER_LIFE, ServerLife, ServerSignal
from .serving import Serving
from .signatures import takes, with_parameters_of

logger = logging.getLogger("wsmash")

Event = Literal["connection", "close", "error", "degraded", "restored", "gap", "join", "leave"]


class WebSocketServer(Publishing):
    """A server of WebSockets, and of plain HTTP on the same port. Its parameters are those of `ServerOptions`.

    ```python no-run
    server = wsmash.create_server(port=8080)
    server.on("connection", lambda event: event.client.send("Welcome!"))
    wsmash.run(server)
    ```

    Attributes:
        counters: who came, who was refused, what was not delivered.

    Raises:
        ValueError, TypeError: an option is not what it may be.
    """

    EVENTS: ClassVar[tuple[str, ...]] = (
        "connection", "close", "error", "degraded", "restored", "gap", "join", "leave",
    )  # fmt: skip

    @takes(ServerOptions)
    def __init__(self, options: ServerOptions) -> None:
        makers: tuple[object, ...] = (basic_auth, bearer_auth)
        if options.process_request in makers:
            raise TypeError("process_request is a hook that basic_auth(...) or bearer_auth(...) makes: call it")
        super().__init__()
        self._on_connection: Stored = None
        self._on_close: Stored = None
        self._on_error: Stored = None
        self.counters = ServerCounters()
        self._options = options
        self._router: Router[Endpoint] = Router()
        self._endpoints: list[Endpoint] = []
        self._main = self._add(Endpoint(options.path, tuple(options.protocols), self))
        self._environment: Environment | None = None
        self._starting: Pending[None] | None = None
        self._start_task: asyncio.Task[None] | None = None
        self._stopping: Pending[None] | None = None
        self._closed: asyncio.Future[None] | None = None

    # -- callbacks and endpoints

    @overload
    def on(
        self, event: Literal["connection"], callback: Callable[[ConnectionEvent], object]
    ) -> Callable[[ConnectionEvent], object]: ...
    @overload
    def on(
        self, event: Literal["close", "error", "degraded", "restored"], callback: Callable[[ServerEvent], object]
    ) -> Callable[[ServerEvent], object]: ...
    @overload
    def on(self, event: Literal["gap"], callback: Callable[[GapEvent], object]) -> Callable[[GapEvent], object]: ...
    @overload
    def on(
        self, event: Literal["join", "leave"], callback: Callable[[PresenceEvent], object]
    ) -> Callable[[PresenceEvent], object]: ...
    @overload
    def on(
        self, event: Literal["connection"]
    ) -> Callable[[Callable[[ConnectionEvent], object]], Callable[[ConnectionEvent], object]]: ...
    @overload
    def on(
        self, event: Literal["close", "error", "degraded", "restored"]
    ) -> Callable[[Callable[[ServerEvent], object]], Callable[[ServerEvent], object]]: ...
    @overload
    def on(
        self, event: Literal["gap"]
    ) -> Callable[[Callable[[GapEvent], object]], Callable[[GapEvent], object]]: ...
    @overload
    def on(
        self, event: Literal["join", "leave"]
    ) -> Callable[[Callable[[PresenceEvent], object]], Callable[[PresenceEvent], object]]: ...
    def on(self, event: Event, callback: C | Decorates = DECORATES) -> Any:
        """Call a function, or run a coroutine function, at each event; also a decorator.

        Args:
            event: "connection" (a client has connected), "close" (the server has
                stopped), "error" (its listener or a `connection` callback failed),
                "degraded" and "restored" (the broker went away, is back), "gap"
                (subscribers of a topic may have missed messages), or "join" and
                "leave" (of a member of a topic with presence).
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
        return () if self._serving is None else self._serving.connections.everyone.snapshot()

    def get_client_count(self) -> int:
        """How many they are."""
        return 0 if self._serving is None else len(self._serving.connections.everyone)

    def is_started(self) -> bool:
        """Whether the server is listening."""
        return self._life is ServerLife.STARTED

    def get_options(self) -> ServerOptions:
        """The options; their `repr` hides secrets."""
        return self._options

    def _change_options(self, **changes: Any) -> None:
        """Take others in place of some of them, as a command line and the parent of workers have it; before `start`.

        Raises:
            ValueError, TypeError: one is not what it may be.
            InvalidState: the server has been started.
        """
        if self._life is not ServerLife.NEW:
            raise InvalidState("options are changed before the server starts")
        self._options = replace(self._options, **changes)

    @property
    def port(self) -> int:
        """The port listened on, or the one asked for while there is none; 0 for a Unix socket."""
        port = None if self._serving is None else self._serving.port
        return self._options.port if port is None else port

    def __repr__(self) -> str:
        return f"<WebSocketServer {self._life.name} port={self.port} clients={self.get_client_count()}>"

    # -- starting

    def start(self) -> Action[None]:
        """Listen. While that is under way, or done, it joins what is there; once stopped it starts again.

        Returns:
            An awaitable that ends once the server listens, and raises `OSError` if
            it cannot, `BrokerUnavailable` if its broker is not there; that also fires
            `error`. Cancelling it abandons the start.

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
        self._serving = Serving(
            environment,
            self._options,
            self.counters,
            self._context,
            self._router,
            self._endpoints,
            policies=self._policies,
            listener=self,
            methods=self._methods,
            failed=self._connection_callback_failed,
        )
        self._start_task = environment.run(self._start(self._serving, outcome))
        return self._starting

    async def _start(self, serving: Serving, outcome: asyncio.Future[None]) -> None:
        try:
            await serving.listen()
        except Exception as error:
            self._signal(ServerSignal.FAIL)
            outcome.set_exception(error)
            self._fail(error, reported=False)
            serving.environment.loop.call_soon(self._settle_closed)
            return
        self._signal(ServerSignal.LISTENING)
        outcome.set_result(None)

    def _connection_callback_failed(self, connection: ServerConnection, error: BaseException) -> None:
        if connection._is_own_end(error):
            connection._owner.reports.log(logging.DEBUG, "%s: a callback was ended by %r", connection, error)
            return
        connection._owner.reports.log(logging.ERROR, "%s: a connection callback failed", connection, error=error)
        if isinstance(error, Exception):
            self._fail(error, reported=True)
        connection._fail_internally(logged=True)

    def reload_certificates(self) -> None:
        """Load the files of `ssl=Certificate(...)` again: connections that are accepted from now on get them.

        It happens by itself when they change. It reads them at the call.

        Raises:
            OSError: they cannot be loaded (`ssl.SSLError` among it); the certificate in use stays.
            InvalidState: the server has no `Certificate`.
        """
        if not isinstance(self._options.ssl, Certificate):
            raise InvalidState("there is nothing to load again: the server was not made with ssl=Certificate(...)")
        self._options.ssl.reload()

    # -- sending to all

    def broadcast(self, data: Message, filter: Filter | None = None) -> Count:
        """Send a message to every open connection, on all nodes that share this server's broker.

        Each node frames it once, and compresses it once for each window size. Never raises for
        a peer and never waits for a slow one, to which `slow_consumer` applies. What the other
        nodes get of it is not known, and nothing while the broker is away: a topic promises more.

        Args:
            data: as `send` takes it.
            filter: called with each connection of this node before anything is sent; those it is
                false for are left out, and so are all other nodes. What it raises is raised here,
                and nothing is sent.

        Returns:
            How many connections of this node took it: an int, which may also be awaited.

        Raises:
            TypeError, ValueError: the data is no message, or the filter is a coroutine function.
            MessageTooBig: it is longer than `max_message_size`, and other nodes would not take it.
            RuntimeError: called from another thread than the event loop's.
        """
        opcode, payload = encode_message(data)
        if self._serving is None:
            return Count(0)
        self._serving.environment.check_thread("broadcast")
        everyone, nodes = self._serving.connections.everyone, self._serving.nodes
        if filter is not None:
            return everyone.broadcast(opcode, payload, filter)
        nodes.check_broadcast(payload)
        count = everyone.broadcast(opcode, payload, None)
        nodes.broadcast(opcode, payload)
        return count

    # -- stopping

    def stop(self) -> Action[None]:
        """Stop gracefully: accept no more, close every connection with 1001, wait for it and for callbacks.

        What is left after `shutdown_timeout` is aborted. Before `start`, or again,
        it does nothing; during `start` it abandons that.

        Returns:
            An awaitable that ends after the `close` callbacks were called.
        """
        return self._end(succeeded=False)

    def _make_way(self) -> Action[None]:
        """The same where another process goes on with the sockets: nobody is refused, and connections get 1012."""
        return self._end(succeeded=True)

    def _listen_also(self, key: int, sockets: Sequence[socket]) -> None:
        """Accept from these too, until that is called with the key and none; ends with the server itself."""
        if self._serving is None or self._life is not ServerLife.STARTED:
            close_all(sockets)
        else:
            self._serving.listen_also(key, sockets)

    def _end(self, *, succeeded: bool) -> Action[None]:
        serving = self._serving
        if self._life in (ServerLife.NEW, ServerLife.STOPPED) or serving is None:
            return DONE
        serving.environment.check_thread("stop")
        serving.stopped_by(_current_task())
        if self._stopping is None:
            if self._start_task is not None:
                self._start_task.cancel()
            if self._starting is not None and not self._starting.future.done():
                self._starting.future.set_exception(InvalidState("the server was stopped while it started"))
            self._signal(ServerSignal.STOP)
            serving.succeeded = succeeded
            serving.refuse()
            self._stopping = Pending(serving.environment.run(self._stop(serving)))
        return self._stopping

    async def _stop(self, serving: Serving) -> None:
        await serving.close()
        self._starting = None
        self._signal(ServerSignal.GONE)
        self._deliver("_on_close", ServerEvent(self))
        self._settle_closed()

    def _settle_closed(self) -> None:
        if self._closed is not None and not self._closed.done():
            self._closed.set_result(None)

    def abort(self) -> None:
        """Drop every connection as it is, and cancel the callbacks that run, but for those that stop the server.

        Raises:
            RuntimeError: called from another thread than the event loop's.
        """
        if self._serving is not None:
            self._serving.environment.check_thread("abort")
            self._serving.abort()

    async def callbacks_done(self) -> None:
        """Wait until no callback is running, but for those that stop the server."""
        if self._serving is not None:
            await self._serving.callbacks_done()

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
        loop.call_soon(self._deliver, "_on_error", ServerEvent(self, error))
        if self._on_error is None and not reported:
            loop.call_soon(self._report, error)

    def _event_owner(self) -> EndpointOwner | None:
        return self._main._owner

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
