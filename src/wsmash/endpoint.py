"""One path of a server: its connections, their callbacks, and what is sent to all of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context
from typing import Any, ClassVar, Literal, overload

from .auth import USER
from .callers import Callers
from .codecs import Message
from .constants import CloseCode, Role
from .grammar import shown
from .options import ServerOptions, check_seconds
from .routing import Pattern
from .runtime.actions import Count
from .runtime.connection import encode_message
from .runtime.counters import ServerCounters
from .runtime.emitter import DECORATES, C, Decorates, Emitter, Stored
from .runtime.environment import Environment
from .runtime.events import Event
from .runtime.owner import Owner
from .runtime.reports import Reports
from .sansio.handshake import accept
from .sansio.head import RemoteAddress, Request, Response
from .sansio.headers import parse_tokens
from .sansio.http1 import parse_request
from .sansio.states import Life
from .session.envelopes import PROTOCOL
from .session.methods import Method
from .session.server import Session
from .topics.audience import Audience
from .topics.hub import Hub
from .topics.subscriber import Subscriber
from .transports.base import Channel


class ServerConnection(Subscriber):
    """A client that is connected to this server: `event.client` of its `connection` event."""

    __slots__ = ("_auth_deadline", "_authenticated", "_head")

    def __init__(self, owner: EndpointOwner, context: Context, head: bytes) -> None:
        super().__init__()
        self._owner = owner
        self._context = context
        self._head = head
        self._authenticated = False
        self._auth_deadline: float | None = None  # until it is authenticated, or authenticated again

    @property
    def _endpoint(self) -> EndpointOwner:
        return self._owner  # type: ignore[return-value]

    def get_url(self) -> str:
        """The URL that was requested."""
        return self.request.url

    def get_protocols(self) -> tuple[str, ...]:
        """The subprotocols that were offered."""
        return parse_tokens(self.request.headers.get_all("Sec-WebSocket-Protocol"))

    @property
    def request(self) -> Request:
        """The request that opened the connection."""
        endpoint = self._endpoint
        request = endpoint.callers.request(self._head, super().remote_address, secure=endpoint.secure)
        params, state = endpoint.pattern.match(request.path) or {}, self._state or {}
        return dataclasses.replace(request, params=params, state=state)

    @property
    def remote_address(self) -> RemoteAddress:
        """The client's host and port, also where it came through a trusted proxy; None where there is none."""
        peer = super().remote_address
        return self.request.remote_address if self._endpoint.callers.trusts(peer) else peer

    @property
    def response(self) -> Response:
        """The 101 that it was answered with."""
        return self._endpoint.accept(self._head)

    # -- authentication

    def set_authenticated(self, expires_in: float | None = None) -> None:
        """Say that you know who this is: `auth_timeout` does not apply any more.

        A hook that has put a user into `request.state["user"]` has said so already.

        Args:
            expires_in: seconds after which it has to be said again, or the connection is
                closed with 1008; None is never.

        Raises:
            ValueError, TypeError: that is no time.
        """
        check_seconds("expires_in", expires_in, optional=True)
        self._owner.environment.check_thread("set_authenticated")
        self._authenticated = True
        self._expect_authentication(expires_in)

    def is_authenticated(self) -> bool:
        """Whether that was said, and holds."""
        deadline = self._auth_deadline
        return self._authenticated and (deadline is None or self._owner.environment.wheel.clock() < deadline)

    def _expect_authentication(self, seconds: float | None) -> None:
        wheel = self._owner.environment.wheel
        self._auth_deadline = None if seconds is None else wheel.clock() + seconds
        if self._auth_deadline is not None and self._life is Life.OPEN:
            wheel.ask(self, self._auth_deadline)

    def _opened(self, channel: Channel, subprotocol: str | None) -> None:
        super()._opened(channel, subprotocol)
        if subprotocol == PROTOCOL:
            self._gate = Session(self, self._hub, self._endpoint.methods, self._gate)
        if self._state is not None and self._state.get(USER):
            self._authenticated = True
        elif self._endpoint.auth_timeout is not None:
            self._expect_authentication(self._endpoint.auth_timeout)

    def due(self, now: float) -> float | None:
        """The same, and whether it is known in time who this is."""
        deadline = self._auth_deadline
        if deadline is None or self._life is not Life.OPEN:
            return super().due(now)
        if now < deadline:
            again = super().due(now)
            return again if again is None or self._life is not Life.OPEN else min(again, deadline)
        self._auth_deadline = None
        self._endpoint.server_counters.closed_unauthenticated += 1
        late = "the authentication has expired" if self._authenticated else "not authenticated within auth_timeout"
        self._authenticated = False
        self._fail(CloseCode.POLICY_VIOLATION, late, None)
        return self._need_closing().deadline

    def _shown(self) -> str:
        address = self.remote_address
        # The path of a Unix socket is the peer's choice.
        return f"{shown(address) if isinstance(address, str) else address} {shown(self.request.path)}"

    def _fire_close(self) -> None:
        super()._fire_close()
        # No event comes after it, and a callback that holds its connection would be a cycle.
        self._on_open = self._on_message = self._on_close = self._on_error = None


class ConnectionEvent(Event):
    """A client has connected to the server: `client`, by `request`."""

    __slots__ = ()

    client: ServerConnection

    @property
    def request(self) -> Request:
        """What the client asked for."""
        return self.client.request

    def __repr__(self) -> str:
        return f"ConnectionEvent(client={self.client!r}, request={self.request!r})"


Filter = Callable[[ServerConnection], object]


class EndpointOwner(Owner):
    """What the connections of one endpoint share while the server runs."""

    def __init__(
        self,
        environment: Environment,
        options: ServerOptions,
        counters: ServerCounters,
        endpoint: Endpoint,
        *,
        callers: Callers,
        reports: Reports | None = None,
        secure: bool,
        left: Callable[[Channel, ServerConnection], None],
        everyone: Audience[ServerConnection],
        hub: Hub,
        methods: Mapping[str, Method],
        alone: bool = False,
    ) -> None:
        super().__init__(environment, options, Role.SERVER, counters, patient=False, reports=reports)
        self.pattern = endpoint.pattern
        self.protocols = endpoint.protocols
        self.server_counters = counters
        self.auth_timeout = options.auth_timeout
        self.callers = callers
        self.secure = secure
        self.hub = hub
        self.methods = methods
        # Where there is no other endpoint, its clients are all there are.
        self.audience = everyone if alone else Audience[ServerConnection](environment)
        self._audiences = (everyone,) if alone else (self.audience, everyone)
        self._left = left

    def accept(self, head: bytes) -> Response:
        """The 101 that a request was answered with."""
        return accept(parse_request(head), self.protocols, self.options.deflate)[0]

    def joined(self, channel: Channel, connection: ServerConnection) -> None:
        """The connection is open."""
        for audience in self._audiences:
            audience.add(channel, connection)

    def closing(self, connection: Any) -> None:
        for audience in self._audiences:
            audience.discard(connection._channel)
        if connection._feeds is not None:
            self.hub.leave(connection)

    def left(self, connection: Any) -> None:
        self.closing(connection)
        if isinstance(connection._gate, Session):
            connection._gate.end()
            connection._gate = None  # what is closed is freed by reference counting alone
        self._left(connection._channel, connection)


class Endpoint(Emitter):
    """One path of a server, made by `WebSocketServer.endpoint`.

    Attributes:
        path: as it was given.
        protocols: the subprotocols spoken here.
        listener: whose `connection` callbacks are called: its own, or the server's.
    """

    EVENTS: ClassVar[tuple[str, ...]] = ("connection",)

    __slots__ = ("_on_connection", "_owner", "listener", "path", "pattern", "protocols")

    def __init__(self, path: str, protocols: Sequence[str], listener: Emitter | None = None) -> None:
        self._on_connection: Stored = None
        self._owner: EndpointOwner | None = None
        self.listener = listener or self
        self.path = path
        self.pattern = Pattern(path)
        self.protocols = tuple(protocols)

    @overload
    def on(
        self, event: Literal["connection"], callback: Callable[[ConnectionEvent], object]
    ) -> Callable[[ConnectionEvent], object]: ...
    @overload
    def on(
        self, event: Literal["connection"]
    ) -> Callable[[Callable[[ConnectionEvent], object]], Callable[[ConnectionEvent], object]]: ...
    def on(self, event: Literal["connection"], callback: C | Decorates = DECORATES) -> Any:
        """Call a function, or run a coroutine function, for each client that connects here; also a decorator."""
        return self._add_callback(event, callback)

    def get_clients(self) -> tuple[ServerConnection, ...]:
        """The open connections of this path, in the order they came."""
        return () if self._owner is None else self._owner.audience.snapshot()

    def get_client_count(self) -> int:
        """How many they are."""
        return 0 if self._owner is None else len(self._owner.audience)

    def broadcast(self, data: Message, filter: Filter | None = None) -> Count:
        """Send a message to every client of this path on this node; see `WebSocketServer.broadcast`."""
        opcode, payload = encode_message(data)
        if self._owner is None:
            return Count(0)
        self._owner.environment.check_thread("broadcast")
        return self._owner.audience.broadcast(opcode, payload, filter)

    def __repr__(self) -> str:
        return f"<Endpoint {self.path} clients={self.get_client_count()}>"
