"""The connections of a running server: how they come to be, how many there are, how a stop sees them out."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextvars import Context

from .constants import CloseCode, Role
from .endpoint import Audience, ConnectionEvent, Endpoint, EndpointOwner, ServerConnection
from .options import ServerOptions
from .runtime.environment import Environment
from .runtime.opening import Admission
from .runtime.owner import Counters
from .sansio.handshake import accept
from .sansio.head import Request
from .sansio.http1 import ParsedHead
from .sansio.receiver import Compression
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
        tasks: callbacks that are running.
    """

    def __init__(
        self,
        environment: Environment,
        options: ServerOptions,
        counters: Counters,
        context: Context,
        *,
        failed: Callable[[ServerConnection, BaseException], None],
        changed: Callable[[], None],
    ) -> None:
        self.everyone = Audience(environment)
        self.tasks: set[asyncio.Task[object]] = set()
        self._environment = environment
        self._options = options
        self._counters = counters
        self._context = context
        self._failed = failed
        self._changed = changed
        self._alive: dict[Channel, ServerConnection] = {}
        self._of_address: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._alive)

    def of_address(self, address: str) -> int:
        """How many come from this address."""
        return self._of_address[address]

    def own(self, endpoint: Endpoint) -> None:
        """Let the endpoint have connections."""
        endpoint._owner = EndpointOwner(
            self._environment,
            self._options,
            self._counters,
            endpoint,
            secure=self._options.ssl is not None,
            left=self._left,
            everyone=self.everyone,
        )
        endpoint._owner.tasks = self.tasks

    def admit(self, endpoint: Endpoint, request: Request, head: ParsedHead) -> Admission:
        """A request is welcome: what becomes of it."""
        deflate = self._options.deflate
        response, agreement = accept(head, endpoint.protocols, deflate)
        compression = None
        if agreement.deflate is not None and deflate is not None:
            compression = Compression(agreement.deflate, deflate)

        def take_over(channel: Channel, rest: bytes) -> None:
            owner = endpoint._owner
            if owner is None:
                channel.abort()
                return
            connection = ServerConnection(owner, self._context.copy(), request.head)
            self._alive[channel] = connection
            self._of_address[caller(request)] += 1
            channel.upgrade(connection, Role.SERVER, owner.limits, compression, rest)
            connection._opened(channel, agreement.subprotocol)
            owner.joined(channel, connection)
            connection._start_callbacks(
                (
                    (endpoint.listener, "_on_connection"),
                    ConnectionEvent(connection),
                    lambda error: self._failed(connection, error),
                ),
                connection._open_stage(),
            )

        return Admission(response, take_over)

    def _left(self, channel: Channel, connection: ServerConnection) -> None:
        self._alive.pop(channel, None)
        address = caller(connection.request)
        self._of_address[address] -= 1
        if self._of_address[address] <= 0:
            del self._of_address[address]
        self._changed()

    async def close(self) -> None:
        """Close all of them with 1001, some at a time."""
        waiting = list(self._alive.values())
        for start in range(0, len(waiting), CLOSE_BATCH):
            if start:
                await asyncio.sleep(CLOSE_PAUSE)
            for connection in waiting[start : start + CLOSE_BATCH]:
                connection.close(CloseCode.GOING_AWAY, "the server is stopping")

    def abort(self) -> None:
        """Drop all of them as they are."""
        for channel in tuple(self._alive):
            channel.abort()


def caller(request: Request) -> str:
    """What connections are counted by: the peer's address without its port."""
    address = request.remote_address
    return address[0] if isinstance(address, tuple) else ""
