"""The part of a server that is about topics: what is promised of them, publishing, and what happens to them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, overload

from .codecs import Message
from .endpoint import EndpointOwner
from .errors import InvalidState
from .runtime.actions import Action, Pending
from .runtime.delivery import deliver
from .runtime.emitter import Emitter, Stored
from .runtime.events import Immutable, set_once
from .sansio.states import ServerLife
from .serving import Serving
from .session.methods import Method, check_method
from .topics.members import Member, Move
from .topics.names import check_topic
from .topics.policy import OutagePolicy, Policies, TopicPolicy
from .topics.position import Position

if TYPE_CHECKING:
    from .server import WebSocketServer


M = TypeVar("M", bound=Method)


class ServerEvent(Immutable):
    """Something happened to the server itself: it was closed, its listener or a callback failed, its broker went away.

    Attributes:
        server: the server.
        error: the exception, or None for `close` and `restored`.
    """

    __slots__ = ("error", "server")

    server: WebSocketServer
    error: Exception | None

    def __init__(self, server: WebSocketServer, error: Exception | None = None) -> None:
        set_once(self, "server", server)
        set_once(self, "error", error)


class GapEvent(Immutable):
    """Subscribers of a topic on this node may have missed messages.

    Attributes:
        server: the server.
        topic: the topic, or the pattern that they are subscribed to.
        position: after which messages come again; None for a pattern, which stands for many topics.
        reason: "trimmed" (the history does not go back so far), "epoch" (another stream took the topic's place) or
            "outage" (it is not known what was published in one).
    """

    __slots__ = ("position", "reason", "server", "topic")

    server: WebSocketServer
    topic: str
    position: Position | None
    reason: str

    def __init__(self, server: WebSocketServer, topic: str, position: Position | None, reason: str) -> None:
        for name, value in (("server", server), ("topic", topic), ("position", position), ("reason", reason)):
            set_once(self, name, value)


class PresenceEvent(Immutable):
    """A member has come to a topic with presence (`join`), or left it (`leave`).

    It is fired on each node that has subscribers of the topic.

    Attributes:
        server: the server.
        topic: the topic.
        member: who.
        is_local: whether the member is a connection of this server itself, and not of another node's.
    """

    __slots__ = ("is_local", "member", "server", "topic")

    server: WebSocketServer
    topic: str
    member: Member
    is_local: bool

    def __init__(self, server: WebSocketServer, topic: str, member: Member, is_local: bool) -> None:
        for name, value in (("server", server), ("topic", topic), ("member", member), ("is_local", is_local)):
            set_once(self, name, value)


class Publishing(Emitter, ABC):
    """What `WebSocketServer` inherits; it also hears of outages and gaps (`topics.listener.Listener`)."""

    def __init__(self) -> None:
        self._on_degraded: Stored = None
        self._on_restored: Stored = None
        self._on_gap: Stored = None
        self._on_join: Stored = None
        self._on_leave: Stored = None
        self._policies = Policies()
        self._methods: dict[str, Method] = {}
        self._life = ServerLife.NEW
        self._serving: Serving | None = None  # the present run, or the last one
        self._context: Context | None = None

    def topic(
        self,
        name: str,
        *,
        history_size: int | None = None,
        history_ttl: float | None = None,
        presence: bool = False,
        outage: OutagePolicy | None = None,
    ) -> None:
        """Say what is promised of a topic, or of all that a pattern matches; before `start`, on every node alike.

        A topic of which nothing is said has no history: who is away misses what is published.

        Args:
            name: the topic, whose own options come first, or a pattern, of which the first that matches counts.
            history_size: how many messages are kept for who comes back. With `history_ttl`.
            history_ttl: seconds that each of them is kept. With `history_size`.
            presence: whether it is known who is on the topic (`get_presence`), and `join` and `leave` are told.
            outage: what `publish` does while the broker is away: "fail" raises `BrokerUnavailable`, "local" reaches
                the subscribers of this node alone. None is "fail" with a history, and else "local".

        Raises:
            TypeError, ValueError: that is no name, no such option, or something was said of it before.
            InvalidState: the server has been started.
        """
        if self._life not in (ServerLife.NEW, ServerLife.STOPPED):
            raise InvalidState("the options of topics are given before the server starts")
        policy = TopicPolicy(history_size=history_size, history_ttl=history_ttl, presence=presence, outage=outage)
        self._policies.add(name, policy)

    def publish(self, topic: str, data: Message, *, idempotency_key: str | None = None) -> Action[Position | None]:
        """Send a message to every subscriber of a topic, on all nodes. Acts at the call.

        Args:
            topic: its name.
            data: as `send` takes it.
            idempotency_key: publishing again with the same key, on the same topic and within two minutes, adds
                nothing, and gives the same position.

        Returns:
            An awaitable of the message's position, which ends once the broker has acknowledged it; None where the
            broker is away and only this node's subscribers got it, as the topic's `outage` says. It raises
            `BrokerUnavailable` where the message was certainly not published, `OutcomeUnknown` where it may have been.

        Raises:
            TypeError, ValueError: that is no topic, no message or no key.
            MessageTooBig: it is longer than `max_message_size`.
            InvalidState: the server is not started.
            RuntimeError: called from another thread than the event loop's.
        """
        return self._running("publish").hub.publish(topic, data, idempotency_key)

    @overload
    def method(self, name: str, callback: M) -> M: ...
    @overload
    def method(self, name: str) -> Callable[[M], M]: ...
    def method(self, name: str, callback: M | None = None) -> Any:
        """Let clients call a function, or a coroutine function, by a name (`client.request`); also a decorator.

        It is given a `RequestEvent`, and what it returns is the answer: a str as text, bytes as binary, all else as
        JSON. `RequestError` answers with its code and text; of any other exception the client learns the code
        "internal" alone, and the log all. A coroutine is cancelled when the client's time for it is over, when the
        client cancels it, and when its connection is gone. `authorize` is not asked: the function decides who may.

        Raises:
            TypeError, ValueError: that is no name or no function, or there is a method of this name.
        """
        if callback is None:
            return partial(self.method, name)
        check_method(name, callback, self._methods)
        self._methods[name] = callback
        return callback

    def get_subscriber_count(self, topic: str) -> int:
        """How many connections of this node are subscribed to a topic, or to this very pattern."""
        return 0 if self._serving is None else self._serving.hub.get_subscriber_count(topic)

    def get_presence(self, topic: str) -> Action[tuple[Member, ...]]:
        """Who is on a topic with presence, on all nodes.

        Where this node has a subscriber of the topic it knows, and else asks the other nodes, for two seconds at most.
        While the broker is away it says what it knows.

        Returns:
            An awaitable of the members, each of which is a connection that is subscribed to the topic itself.

        Raises:
            TypeError, ValueError: that is no topic, or none with presence.
            InvalidState: the server is not started.
            RuntimeError: called from another thread than the event loop's.
        """
        serving = self._running("get_presence")
        if not self._policies.of(check_topic(topic)).presence:
            raise ValueError(f"who is on {topic!r:.300} is not kept: server.topic(..., presence=True) asks for it")
        return Pending(serving.environment.run(serving.hub.members(topic)))

    def _running(self, action: str) -> Serving:
        serving = self._serving
        if serving is None or self._life is ServerLife.STOPPED:
            raise InvalidState(f"{action} needs a server that is started")
        serving.environment.check_thread(action)
        return serving

    # -- what its topics tell

    def degraded(self, error: Exception) -> None:
        """See `topics.listener.Listener`."""
        self._soon("_on_degraded", ServerEvent(self._me, error))

    def restored(self) -> None:
        """See `topics.listener.Listener`."""
        self._soon("_on_restored", ServerEvent(self._me))

    def gap(self, name: str, position: Position | None, reason: str) -> None:
        """See `topics.listener.Listener`."""
        self._soon("_on_gap", GapEvent(self._me, name, position, reason))

    def moved(self, move: Move, is_local: bool) -> None:
        """Somebody has come to a topic, or left it; see `topics.nodes.Nodes`."""
        self._soon(f"_on_{move.what}", PresenceEvent(self._me, move.topic, move.member, is_local))

    @property
    def _me(self) -> WebSocketServer:
        return self  # type: ignore[return-value]

    def _soon(self, slot: str, event: object) -> None:
        """Fire an event from the loop, where anybody listens."""
        if self._serving is not None and getattr(self, slot) is not None:
            self._serving.environment.loop.call_soon(self._deliver, slot, event)

    def _deliver(self, slot: str, event: Any) -> None:
        owner = self._event_owner()
        if owner is not None and self._context is not None:
            deliver(owner, self._context, getattr(self, slot), event, self._callback_failed)

    @abstractmethod
    def _event_owner(self) -> EndpointOwner | None:
        """Whose tasks run callbacks; None before the first start."""

    @abstractmethod
    def _callback_failed(self, error: BaseException) -> None:
        """A callback of the server let an exception out."""
