"""How what happens on topics is put into messages: one `Dialect` for each way in which connections speak of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..constants import Opcode
from .members import Move
from .position import Position
from .record import Kind, Record

if TYPE_CHECKING:
    from .subscriber import Subscribed

Encoded = tuple[int, bytes]
"""The opcode and the payload of a message."""

# Looked up once, since every message asks for them.
_TEXT, _BINARY, _BINARY_KIND = int(Opcode.TEXT), int(Opcode.BINARY), Kind.BINARY


class Dialect:
    """The plain one: a subscriber gets what was published as an ordinary message, and hears of nothing else.

    A sub-protocol's overrides all of it. One object serves all connections, and
    what it makes is sent to all of them.
    """

    def message(self, topic: str, pattern: str | None, position: Position | None, record: Record) -> Encoded:
        """A message of a topic.

        Args:
            topic: where it was published.
            pattern: what was subscribed to, None where that is the topic itself.
            position: its own; None for one that went to this node's subscribers alone, during an outage.
            record: what was published.
        """
        return _BINARY if record.kind is _BINARY_KIND else _TEXT, record.payload

    def gap(
        self, name: str, position: Position | None, reason: str, pattern: str | None = None
    ) -> Encoded | None:
        """Messages may be missing before this position.

        Args:
            name: the topic, or the pattern where it is not known which of its topics.
            position: after which all messages come again; None for a pattern, which has none.
            reason: as that of a `follower.Gap`.
            pattern: what was subscribed to, where that is a pattern and the topic is known.
        """
        return None

    def degraded(self) -> Encoded | None:
        """The broker is away: messages of other nodes do not come."""
        return None

    def restored(self) -> Encoded | None:
        """It is back, and every gap has been told."""
        return None

    def moved(self, move: Move) -> Encoded | None:
        """A member has come to a topic with presence, or left it."""
        return None

    def subscribed(self, name: str, found: Subscribed) -> Encoded | None:
        """The server has subscribed it by itself."""
        return None

    def unsubscribed(self, name: str, code: str, message: str) -> Encoded | None:
        """The server has ended a subscription."""
        return None


PLAIN = Dialect()
