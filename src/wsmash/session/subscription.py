"""A client's subscription to a topic or a pattern: its callbacks, its reader, its state over all connections.

It is asked for on each connection anew, from where it has come. The states and
what leads from one to the other:

    IDLE      there is no connection that speaks of topics
    ASKED     the server was asked, and has not answered
    ACTIVE    it has confirmed
    WAITING   it could not, for now: it is asked again after a moment
    OVER      unsubscribed, or refused for good
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, ClassVar, Literal, overload

from ..errors import ConnectionClosed, InvalidState
from ..runtime.actions import Action
from ..runtime.emitter import DECORATES, C, Callback, Decorates, Emitter, Stored
from ..topics.names import is_pattern
from ..topics.position import Position
from .backlog import Backlog, Slot, position_of
from .events import (
    TopicEvent,
    TopicGap,
    TopicMessage,
    TopicPresence,
    TopicRefused,
    TopicSubscribed,
)
from .progress import PatternProgress, Progress, TopicProgress

if TYPE_CHECKING:
    from ..reconnect import ReconnectingConnection
    from .client import ClientSession

Name = Literal["message", "gap", "subscribed", "degraded", "restored", "join", "leave", "error"]


class Phase(Enum):
    """Where a subscription stands with the server; see above."""

    IDLE = auto()
    ASKED = auto()
    ACTIVE = auto()
    WAITING = auto()
    OVER = auto()


class Subscription(Emitter):
    """What `client.subscribe(topic)` returns.

    ```python no-run
    news = client.subscribe("news")
    news.on("message", lambda event: print(event.data, event.position))
    await news
    ```

    Awaiting it ends, with itself, once the server has confirmed it on the present
    connection or the next, and raises `RequestError` where the server refuses.
    Iterating over it gives its messages, and ends when the client is closed.

    Attributes:
        topic: the name, or the pattern.
    """

    EVENTS: ClassVar[tuple[str, ...]] = (
        "message", "gap", "subscribed", "degraded", "restored", "join", "leave", "error"
    )  # fmt: skip

    __slots__ = (
        "_backlog",
        "_claimed",
        "_client",
        "_error",
        "_given",
        "_on_degraded",
        "_on_error",
        "_on_gap",
        "_on_join",
        "_on_leave",
        "_on_message",
        "_on_restored",
        "_on_subscribed",
        "_phase",
        "_position",
        "_progress",
        "_retries",
        "_retry",
        "_session",
        "_waiters",
        "topic",
    )  # fmt: skip

    def __init__(self, session: ClientSession, topic: str, since: Position | None, *, given: bool = False) -> None:
        self.topic = topic
        self._session = session
        self._client: ReconnectingConnection = session.client
        self._progress: Progress = PatternProgress() if is_pattern(topic) else TopicProgress(since)
        self._position = since
        self._phase = Phase.IDLE
        self._error: Exception | None = None  # what ends who reads and who waits
        self._waiters: set[asyncio.Future[None]] = set()
        self._retry: asyncio.TimerHandle | None = None
        self._retries = 0
        self._given = given  # by the server, which was not asked
        self._claimed = False  # and then asked for
        self._backlog = Backlog(self, self._client.options.max_queue)
        self._on_message: Stored = None
        self._on_gap: Stored = None
        self._on_subscribed: Stored = None
        self._on_degraded: Stored = None
        self._on_restored: Stored = None
        self._on_join: Stored = None
        self._on_leave: Stored = None
        self._on_error: Stored = None

    # -- callbacks

    @overload
    def on(
        self, event: Literal["message"], callback: Callable[[TopicMessage], object]
    ) -> Callable[[TopicMessage], object]: ...
    @overload
    def on(self, event: Literal["gap"], callback: Callable[[TopicGap], object]) -> Callable[[TopicGap], object]: ...
    @overload
    def on(
        self, event: Literal["subscribed"], callback: Callable[[TopicSubscribed], object]
    ) -> Callable[[TopicSubscribed], object]: ...
    @overload
    def on(
        self, event: Literal["degraded", "restored"], callback: Callable[[TopicEvent], object]
    ) -> Callable[[TopicEvent], object]: ...
    @overload
    def on(
        self, event: Literal["join", "leave"], callback: Callable[[TopicPresence], object]
    ) -> Callable[[TopicPresence], object]: ...
    @overload
    def on(
        self, event: Literal["error"], callback: Callable[[TopicRefused], object]
    ) -> Callable[[TopicRefused], object]: ...
    @overload
    def on(
        self, event: Literal["message"]
    ) -> Callable[[Callable[[TopicMessage], object]], Callable[[TopicMessage], object]]: ...
    @overload
    def on(
        self, event: Literal["gap"]
    ) -> Callable[[Callable[[TopicGap], object]], Callable[[TopicGap], object]]: ...
    @overload
    def on(
        self, event: Literal["subscribed"]
    ) -> Callable[[Callable[[TopicSubscribed], object]], Callable[[TopicSubscribed], object]]: ...
    @overload
    def on(
        self, event: Literal["degraded", "restored"]
    ) -> Callable[[Callable[[TopicEvent], object]], Callable[[TopicEvent], object]]: ...
    @overload
    def on(
        self, event: Literal["join", "leave"]
    ) -> Callable[[Callable[[TopicPresence], object]], Callable[[TopicPresence], object]]: ...
    @overload
    def on(
        self, event: Literal["error"]
    ) -> Callable[[Callable[[TopicRefused], object]], Callable[[TopicRefused], object]]: ...
    def on(self, event: Name, callback: C | Decorates = DECORATES) -> Any:
        """Call a function, or run a coroutine function, at each event; also a decorator.

        Callbacks are called one at a time and in the order in which the events came, each awaited. Until there is
        one for "message", or a reader, messages wait; where they are too many, a gap takes the place of the rest.

        Args:
            event: "message", "gap" (messages were missed), "subscribed" (the server has confirmed, on each
                connection), "degraded" and "restored" (the server's broker is away, is back), "join" and
                "leave" (of a topic with presence), or "error" (it was refused).
            callback: takes the event. The same one added twice runs twice.

        Returns:
            The callback.

        Raises:
            ValueError: there is no such event.
            TypeError: the callback cannot be called.
            RuntimeError: for "message", where `async for` is in use.
        """
        return self._add_callback(event, callback)

    def _store(self, slot: str, callback: Callback) -> None:
        if slot == "_on_message" and self._backlog.pulled:
            raise RuntimeError(f"messages of {self.topic!r} are taken by `async for`: it cannot have a callback too")
        if slot == "_on_message" and self._backlog:
            self._client._owner.environment.check_thread("on")
        super()._store(slot, callback)
        self._backlog.wake()

    def off(self, event: str, callback: Callback) -> None:
        """Remove one callback that equals the one given; one that is not there is ignored.

        Raises:
            ValueError: there is no such event.
        """
        super().off(event, callback)
        self._taken()  # where nobody listens, reading does not wait for anybody

    # -- what there is to know

    @property
    def position(self) -> Position | None:
        """That of the last message that was delivered, or of the gap after it; None for patterns, and before any.

        To go on from there with another client: `subscribe(topic, since=position)`.
        """
        return self._position

    def is_active(self) -> bool:
        """Whether the server has confirmed it on the connection that there is."""
        return self._phase is Phase.ACTIVE

    def __repr__(self) -> str:
        return f"<Subscription {self.topic!r} {self._phase.name}>"

    # -- waiting for the server

    def __await__(self) -> Generator[Any, Any, Subscription]:
        return self._confirmed().__await__()

    async def _confirmed(self) -> Subscription:
        while self._phase is not Phase.ACTIVE:
            if self._error is not None:
                raise self._error
            if self._phase is Phase.OVER:
                raise InvalidState(f"the subscription to {self.topic!r} has ended: subscribe again")
            self._session.check_coming()
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)
        return self

    # -- pull style

    def __aiter__(self) -> AsyncIterator[TopicMessage]:
        """Messages, until it is unsubscribed or the client closed; any other end is raised.

        Raises:
            RequestError: the server has refused it, or ended it.
            ConnectionClosed: the connection has ended, otherwise than with 1000 or 1001, for good.
            RuntimeError: there is a message callback, or another reader.
        """
        return self

    async def __anext__(self) -> TopicMessage:
        backlog = self._backlog
        if self._on_message is not None:
            raise RuntimeError(f"{self.topic!r} has a message callback: its messages cannot be read too")
        if backlog.has_reader:
            raise RuntimeError(f"another task reads the messages of {self.topic!r}: only one may")
        backlog.pulled = True
        while (message := backlog.take()) is None:
            if self._phase is Phase.OVER and self._error is None:
                raise StopAsyncIteration
            if self._error is not None:
                raise self._error
            try:
                self._session.check_coming()
            except ConnectionClosed as closed:
                if closed.code in (1000, 1001):
                    raise StopAsyncIteration from None
                raise
            await backlog.arrival()
        return message

    def unsubscribe(self) -> Action[None]:
        """End it: nothing more is delivered, and who iterates over it comes to an end. Again, it does nothing.

        Returns:
            An awaitable that ends once the server has confirmed, or the connection is gone.
        """
        return self._session.unsubscribe(self)

    # -- what the session does with it

    def _delivers(self, event: TopicEvent) -> None:
        """The event is about to be given to callbacks, or to a reader."""
        position = position_of(event)
        if position is not None and isinstance(self._progress, TopicProgress):
            self._position = position

    def _taken(self) -> None:
        """There is less that waits."""
        if self._client._pauses:
            self._session.reconsider()

    def _settled(self) -> None:
        """The task that awaits callbacks has ended."""
        self._session.settled()

    def _put(self, slot: Slot, event: TopicEvent, size: int = 0) -> None:
        """Something happened to it; what is no message counts the size that it was told in."""
        self._backlog.put(slot, event, size)
        if self._backlog:
            self._session.fills(self._backlog)

    def _confirm(self) -> None:
        self._phase, self._error, self._retries = Phase.ACTIVE, None, 0
        self._tell_waiters()

    def _interrupt(self) -> None:
        """The connection is gone."""
        self._stop_retrying()
        self._retries = 0
        self._phase = Phase.IDLE

    def _end(self, error: Exception | None, phase: Phase) -> None:
        """Nothing more comes: whoever waits, or reads, hears why."""
        self._phase, self._error = phase, error
        self._tell_waiters()
        self._backlog.wake()

    def _tell_waiters(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _stop_retrying(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    @property
    def _is_heard(self) -> bool:
        """Whether somebody hears of an error."""
        return self._on_error is not None or bool(self._waiters) or self._backlog.has_reader

    def _forget(self) -> None:
        """What waits to be delivered never is."""
        self._backlog.clear()
        self._progress.go_back(self._position)
