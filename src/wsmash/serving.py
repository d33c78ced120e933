"""One run of a server: from its first listening socket until the last connection and the last callback are gone."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context
from socket import AF_UNIX, socket
from typing import Any

from .arrivals import Arrivals
from .budget import Budget
from .certificates import Certificate
from .connections import Connections
from .constants import CloseCode
from .endpoint import Endpoint, ServerConnection
from .listening import close_all, is_loopback_only, open_sockets, remove_unix
from .options import ServerOptions
from .reception import Reception
from .routing import Router
from .runtime.counters import ServerCounters
from .runtime.environment import Environment
from .session.dialect import Envelopes
from .session.envelopes import PROTOCOL
from .session.methods import Method
from .topics.hub import Hub
from .topics.listener import Listener
from .topics.nodes import Nodes
from .topics.policy import Policies

logger = logging.getLogger("wsmash")

LAST_REQUESTS = 1.0
"""Seconds in which clients that had connected when a stop began may say what they want; the answer is 503."""

LAST_OPENINGS = 2.0
"""Seconds in which clients are let in that had connected when a server began to make way for another."""

LAST_CALLBACKS = 1.0
"""Seconds in which callbacks that were cancelled must have ended."""


class Serving:
    """What there is of a server only while it runs; `WebSocketServer` says when it begins and ends.

    Args:
        environment: of the server's loop.
        options: the server's.
        counters: the server's.
        context: copied for each connection's callbacks.
        router: finds the endpoint of a path.
        endpoints: all of them.
        policies: what is promised of topics.
        listener: hears of what happens to topics.
        methods: what clients may call, by name.
        failed: hears of a `connection` callback that raised.

    Attributes:
        connections: the open ones, and those that close.
        hub: their topics.
        nodes: the others that there are of this server.
        port: the one listened on, None while there is none, 0 for a Unix socket.
        succeeded: whether another process has these sockets too and goes on with them: a stop then refuses
            nobody, and closes with 1012, after which clients are to connect again.
    """

    def __init__(
        self,
        environment: Environment,
        options: ServerOptions,
        counters: ServerCounters,
        context: Context,
        router: Router[Endpoint],
        endpoints: Sequence[Endpoint],
        *,
        policies: Policies,
        listener: Listener,
        methods: Mapping[str, Method],
        failed: Callable[[ServerConnection, BaseException], None],
    ) -> None:
        self.environment = environment
        self.port: int | None = None
        self.succeeded = False
        self.connections = Connections(environment, options, counters, context, failed=failed, changed=self._check_gone)
        self.hub = Hub(
            environment,
            options,
            counters,
            policies,
            listener=listener,
            reports=self.connections.reports,
            dialects={PROTOCOL: Envelopes()},
        )
        self.nodes = self.hub.presence = Nodes(
            self.hub, moved=listener.moved, deliver=self._deliver, reports=self.connections.reports
        )
        self.connections.own(endpoints, self.hub, methods)
        self._speaks = any(PROTOCOL in endpoint.protocols for endpoint in endpoints)
        self._options = options
        self._counters = counters
        self._router = router
        self._sockets: list[socket] = []
        self._reception: Reception | None = None
        self._arrivals: Arrivals | None = None
        self._watching: asyncio.Task[None] | None = None  # a certificate's files
        self._stoppers: set[asyncio.Task[Any]] = set()  # callbacks that stop the server: it does not wait for them
        self._another: asyncio.Future[None] | None = None  # one more of them
        self._opened: asyncio.Future[None] | None = None  # of one that waits for those that are to be let in
        self._gone: asyncio.Future[None] | None = None  # of a stop that waits for the last connection

    # -- starting

    async def listen(self) -> None:
        """Connect to the broker, bind and listen.

        Raises:
            BrokerError, OSError, ValueError: it cannot; nothing is left of the attempt.
        """
        await self.hub.start()
        self.nodes.start()
        try:
            await self._listen()
        except BaseException:
            await self.nodes.stop()
            await self.hub.stop()
            raise

    async def _listen(self) -> None:
        options = self._options
        sockets = await open_sockets(options)
        try:
            self._reception = reception = Reception(
                options,
                self._router,
                self.connections,
                self._counters,
                clock=self.environment.wheel.clock,
                secure=options.ssl is not None,
                loopback_only=is_loopback_only(sockets),
                browser_module=options.browser_module if self._speaks else None,
            )
        except Exception:
            close_all(sockets)
            raise
        self._sockets = sockets
        self.port = 0 if sockets[0].family == AF_UNIX else sockets[0].getsockname()[1]
        self._arrivals = Arrivals(self.environment, options, self._counters, reception, self._check_gone)
        reception.opening_ended = self._arrivals.ended
        if options.max_buffered is not None:
            wheel = self.environment.wheel
            reception.budget = Budget(options.max_buffered, self.connections, self._counters, wheel)
            reception.budget.start()
        self._arrivals.listen(sockets)
        if isinstance(options.ssl, Certificate):
            self._watching = self.environment.run(options.ssl.watch())

    def listen_also(self, key: int, sockets: Sequence[socket]) -> None:
        """Accept from these too, in place of those before them with this key."""
        if self._arrivals is not None:
            self._arrivals.listen_also(key, sockets)

    # -- stopping

    def refuse(self) -> None:
        """Accept no more; who has connected and said nothing yet has a moment to do so, and gets a 503.

        A server that is `succeeded` lets them in.
        """
        if self._watching is not None:
            self._watching.cancel()
        if self._reception is not None:
            self._reception.closed = not self.succeeded
            if self._reception.budget is not None:
                self._reception.budget.stop()
        if self._arrivals is not None:
            self._arrivals.close(LAST_REQUESTS)

    async def close(self) -> None:
        """Close every connection, wait for it and for callbacks; abort what is left at `shutdown_timeout`."""
        try:
            async with asyncio.timeout(self._options.shutdown_timeout):
                await self._close_all()
                await self.callbacks_done()
        except TimeoutError:
            logger.warning("%s: shutdown_timeout is over; what is left is aborted", self)
            self.abort()
            await self._cancelled_callbacks_done()
        await self.hub.stop()
        self.connections.reports.flush()
        if self._sockets:
            remove_unix(self._options)
        self._sockets, self.port = [], None
        self._stoppers.clear()

    async def _close_all(self) -> None:
        await self.nodes.stop()
        if self.succeeded:
            await self._openings_done()
            await self.connections.close(CloseCode.SERVICE_RESTART, "the server is being restarted")
        else:
            await self.connections.close(CloseCode.GOING_AWAY, "the server is stopping")
        self._gone = asyncio.get_running_loop().create_future()
        self._check_gone()
        await self._gone

    async def _openings_done(self) -> None:
        """Wait until those that are no connections yet are, or gone; from then on they are refused."""
        self._opened = self.environment.loop.create_future()
        self._check_gone()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_OPENINGS):
                await self._opened
        if self._reception is not None:
            self._reception.closed = True

    def _check_gone(self) -> None:
        """Tell a stop that waits for the last connection and the last request."""
        openings = 0 if self._arrivals is None else self._arrivals.awaited
        if not openings:
            _settle(self._opened)
        if not (self.connections or openings):
            _settle(self._gone)

    def _deliver(self, opcode: int, payload: bytes) -> None:
        """What another node has broadcast."""
        self.connections.everyone.broadcast(opcode, payload, None)

    def abort(self) -> None:
        """Drop every connection as it is, and cancel the callbacks that run, but for those that stop the server."""
        self.connections.abort()
        if self._arrivals is not None:
            self._arrivals.abort()
        for task in self.connections.tasks - self._stoppers:
            task.cancel()

    # -- callbacks

    def stopped_by(self, task: asyncio.Task[Any] | None) -> None:
        """A task asks for a stop. Where it is a callback or a hook, which may await that, it is not waited for."""
        if task in self.connections.tasks:
            self._stoppers.add(task)
            if self._another is not None and not self._another.done():
                self._another.set_result(None)
        elif self._arrivals is not None:
            self._arrivals.stopped_by(task)

    async def callbacks_done(self) -> None:
        """Wait until no callback is running, but for those that stop the server."""
        await asyncio.sleep(0)  # close events that are due fire first
        while tasks := self.connections.tasks - self._stoppers:
            self._another = asyncio.get_running_loop().create_future()
            await asyncio.wait({*tasks, self._another}, return_when=asyncio.FIRST_COMPLETED)

    async def _cancelled_callbacks_done(self) -> None:
        try:
            async with asyncio.timeout(LAST_CALLBACKS):
                await self.callbacks_done()
        except TimeoutError:
            tasks = self.connections.tasks
            logger.warning("%s: %s callbacks did not end when they were cancelled", self, len(tasks))
            for task in tasks - self._stoppers:
                task.cancel()  # those that began since

    def __repr__(self) -> str:
        return f"<WebSocketServer STOPPING port={self.port} clients={len(self.connections)}>"


def _settle(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)
