"""The part of a server's connection that is about topics."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from ..constants import CloseCode
from ..runtime.actions import DONE, Action
from ..runtime.connection import WebSocketConnection
from ..sansio.states import Life
from ..transports.base import REFUSED
from .position import Position

if TYPE_CHECKING:
    from .feed import Feed
    from .hub import Hub


class Subscribed(NamedTuple):
    """How a subscription begins.

    Attributes:
        position: every message after it comes, or a gap is told; None for a pattern, and where an outage of the
            broker keeps it from being known.
        recovered: whether that is so from the position that was asked for. False: messages between the two may
            be missing.
        reason: why, as that of a gap; None where nothing is missing.
    """

    position: Position | None
    recovered: bool
    reason: str | None = None


Begun = Callable[[Subscribed], object]
"""Called when a subscription begins: before its first message, and in the same turn."""


class Subscriber(WebSocketConnection):
    """A connection that can be subscribed to topics."""

    __slots__ = ("_feeds",)

    def __init__(self) -> None:
        super().__init__()
        self._feeds: dict[str, Feed] | None = None  # by name; made with the first subscription

    @property
    def _hub(self) -> Hub:
        return self._owner.hub  # type: ignore[attr-defined, no-any-return]

    @property
    def topics(self) -> tuple[str, ...]:
        """What it is subscribed to, topics and patterns, in the order in which that came about."""
        return tuple(self._feeds or ())

    def subscribe(self, topic: str, *, since: Position | None = None, info: Any = None) -> Action[Subscribed]:
        """Send this client the messages of a topic from now on. Again does nothing.

        Whoever calls this decides that the client may have them: `authorize` is not asked.

        Args:
            topic: its name, or a pattern: `*` stands for one segment, `>` as the last one for the rest.
            since: the position of the last message that the client has, on a topic with a history: what came
                after it is sent first.
            info: what others may know of it, on a topic with presence: any JSON value.

        Returns:
            An awaitable of where the subscription begins, which ends when no message after that can be missed.

        Raises:
            TypeError, ValueError: that is no topic and no pattern, or `since` is given for a pattern.
            InvalidState: the connection has `max_topics_per_connection` subscriptions, or is not open yet.
            ConnectionClosed: it is open no more.
        """
        self._check_open()
        self._owner.environment.check_thread("subscribe")
        return self._hub.subscribe(self, topic, since=since, info=info, begun=partial(self._tell_subscribed, topic))

    def _tell_subscribed(self, topic: str, found: Subscribed) -> None:
        encoded = self._hub.dialect_of(self).subscribed(topic, found)
        if encoded is not None:
            self._tell(*encoded)

    def unsubscribe(self, topic: str) -> Action[None]:
        """Send them no more; what it is not subscribed to is ignored."""
        self._owner.environment.check_thread("unsubscribe")
        if self._hub.unsubscribe(self, topic):
            encoded = self._hub.dialect_of(self).unsubscribed(topic, "unsubscribed", "the server has ended it")
            if encoded is not None:
                self._tell(*encoded)
        return DONE

    def _tell(self, opcode: int, payload: bytes) -> None:
        """Send what the peer may not miss, as an answer: where there is no room, whatever the policy, it fails."""
        if self._life is Life.OPEN and self._put(opcode, payload) == REFUSED:
            self._owner.counters.closed_slow += 1
            self._fail(CloseCode.TRY_AGAIN_LATER, "the peer reads too slowly", None)
