"""Who hears of what happens to the topics of a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from .members import Member, Move
from .position import Position

if TYPE_CHECKING:
    from .subscriber import Subscriber
    from .topic import Topic


class Listener(Protocol):
    """Who hears of what happens to topics: the server, which fires events."""

    def degraded(self, error: Exception) -> None:
        """The broker is away."""

    def restored(self) -> None:
        """It is back, and every gap was told."""

    def gap(self, name: str, position: Position | None, reason: str) -> None:
        """Subscribers of a topic, or a pattern, on this node may have missed messages."""

    def moved(self, move: Move, is_local: bool) -> None:
        """A member has come to a topic with presence, or left it; whether it is one of this node's connections."""


class Presence(Protocol):
    """Who keeps account of who is on a topic."""

    def joined(self, topic: Topic, connection: Subscriber, info: Any) -> None:
        """A connection was subscribed to a topic with presence."""

    def left(self, topic: Topic, connection: Subscriber) -> None:
        """It is that no more."""

    async def members(self, topic: str) -> tuple[Member, ...]:
        """Who is on a topic, on all nodes."""
        ...

    def cast(self, data: bytes) -> None:
        """A node, perhaps this one, has cast something."""

    def lost(self) -> None:
        """Casts may be lost from now on."""

    def restored(self) -> None:
        """They come again."""
