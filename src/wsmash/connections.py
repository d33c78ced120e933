"""The connections of a running server: how they come to be, how many there are, how a stop sees them out."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context
from functools import partial
from typing import Any

from .addresses import counted_as
from .callers import Callers
from .constants import CloseCode, Role
from .endpoint import ConnectionEvent, Endpoint, EndpointOwner, ServerConnection
from .options import ServerOptions
from .runtime.counters import ServerCounters
from .runtime.environment import Environment
from .runtime.opening import Admission
from .runtime.reports import Reports
from .sansio.handshake import negotiate
from .sansio.head import RemoteAddress
from .sansio.http1 import ParsedHead, encode_upgrade
from .sansio.receiver import Compression
from .session.methods import Method
from .topics.audience import Audience
from .topics.hub import Hub
from .transports.base import Channel

CLOSE_BATCH = 256
"""Connections that a stop closes at once; the next ones follow a moment later."""

CLOSE_PAUSE = 0.01
"""That moment, in seconds."""


class Connections:
    """All of them, from 101 until their transport is gone.

    Args:
        environment: of the server's loop.
        options: the server's.
        counters: the server's.
        context: copied for each connection's callbacks.
        failed: hears of a `connection` callback that raised.
        changed: called when one has gone.

    Attributes:
        everyone: the open ones.
        callers: knows who they are.
        reports: the records of what they bring about.
        tasks: callbacks that are running.
    """

    def __init__(
        self,
        environment: Environment,
        options: ServerOptions,
        counters: ServerCounters,
        context: Context,
        *,
        failed: Callable[[ServerConnection, BaseException], None],
        changed: Callable[[], None],
    ) -> None:
        self.everyone = Audience[ServerConnection](environment)
        self.reports = Reports(environment.wheel)
        self.tasks: set[asyncio.Task[Any]] = set()
        self._environment = environment
        self._options = options
        self._counters = counters
        self._context = context
        self._failed = failed
        self._changed = changed
        self._alive: dict[Channel, ServerConnection] = {}
        self._lingering: dict[ServerConnection, None] = {}  # gone, while a callback is busy with what they sent
        self._of_address: Counter[str] = Counter()
        self._counts_addresses = options.max_connections_per_ip is not None
        self._deflate = options.deflate
        self.callers = Callers(options)

    def __len__(self) -> int:
        return len(self._alive)

    @property
    def taken(self) -> int:
        """How many places are: who is gone has one until callbacks are done with the messages that are left."""
        return len(self._alive) + len(self._lingering)

    def holding(self) -> list[ServerConnection]:
        """Those that have such a place, in order of arrival, and then those that are gone."""
        return [*self._alive.values(), *self._lingering]

    def of_address(self, address: RemoteAddress) -> int:
        """How many places an address has taken, whatever its ports; 0 where it is none, or none are counted."""
        return self._of_address[counted_as(address[0])] if isinstance(address, tuple) else 0

    def own(self, endpoints: Sequence[Endpoint], hub: Hub, methods: Mapping[str, Method]) -> None:
        """Let the endpoints have connections, which may be subscribed to the topics of a hub, and call methods."""
        for endpoint in endpoints:
            endpoint._owner = EndpointOwner(
                self._environment,
                self._options,
                self._counters,
                endpoint,
                callers=self.callers,
                reports=self.reports,
                secure=self._options.ssl is not None,
                left=self._left,
                everyone=self.everyone,
                hub=hub,
                methods=methods,
                alone=len(endpoints) == 1,
            )
            endpoint._owner.tasks = self.tasks

    def admit(
        self, endpoint: Endpoint, request: bytes, head: ParsedHead, state: dict[Any, Any] | None = None
    ) -> Admission:
        """A request is welcome, and its connection's state begins with what a hook has left: what becomes of it."""
        pairs, agreement = negotiate(head, endpoint.protocols, self._deflate)
        compression = None
        if agreement.deflate is not None and self._deflate is not None:
            compression = Compression(agreement.deflate, self._deflate)

        def take_over(channel: Channel, rest: bytes) -> None:
            owner = endpoint._owner
            if owner is None:
                channel.abort()
                return
            connection = ServerConnection(owner, self._context.copy(), request)
            connection._state = state or None
            self._alive[channel] = connection
            self._counters.opened += 1
            channel.upgrade(connection, Role.SERVER, owner.limits, compression, rest)
            connection._opened(channel, agreement.subprotocol)
            if self._counts_addresses:
                self._count(connection, 1)
            owner.joined(channel, connection)
            connection._start_callbacks(
                (endpoint.listener, "_on_connection", ConnectionEvent, partial(self._failed, connection)),
                connection._open_stage(),
            )

        return Admission(encode_upgrade(pairs), take_over)

    def _left(self, channel: Channel, connection: ServerConnection) -> None:
        if self._alive.pop(channel, None) is not None:
            task = connection._delivering
            if task is not None:
                self._lingering[connection] = None
                task.add_done_callback(lambda _: self._emptied(connection))
            else:
                self._emptied(connection)
        self._changed()

    def _emptied(self, connection: ServerConnection) -> None:
        """Nothing waits there any more."""
        self._lingering.pop(connection, None)
        if self._counts_addresses:
            self._count(connection, -1)

    def _count(self, connection: ServerConnection, by: int) -> None:
        """By the peer's address without its port."""
        address = connection.remote_address
        if isinstance(address, tuple):
            host = counted_as(address[0])
            self._of_address[host] += by
            if not self._of_address[host]:
                del self._of_address[host]

    async def close(self, code: CloseCode, reason: str) -> None:
        """Close all of them, some at a time."""
        waiting = list(self._alive.values())
        for start in range(0, len(waiting), CLOSE_BATCH):
            if start:
                await asyncio.sleep(CLOSE_PAUSE)
            for connection in waiting[start : start + CLOSE_BATCH]:
                connection.close(code, reason)

    def abort(self) -> None:
        """Drop all of them as they are."""
        for channel in tuple(self._alive):
            channel.abort()
