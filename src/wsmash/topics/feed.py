"""What connections subscribe to, a topic or a pattern, and who has: one audience for each dialect."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..runtime.outbox import refused_broadcast
from .audience import Audience
from .dialect import Dialect, Encoded
from .position import Position
from .record import Record

if TYPE_CHECKING:
    from .hub import Hub
    from .subscriber import Subscriber


class Feed:
    """The subscribers of one name on this node.

    Attributes:
        name: the topic or the pattern.
    """

    __slots__ = ("_audiences", "_hub", "name")

    def __init__(self, hub: Hub, name: str) -> None:
        self._hub = hub
        self.name = name
        self._audiences: dict[Dialect, Audience[Subscriber]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._audiences.values()))

    def dialect_of(self, connection: Subscriber) -> Dialect:
        """How one of them is told."""
        return self._hub.dialect_of(connection)

    def add(self, connection: Subscriber) -> None:
        """Send to it too, from now on."""
        channel = connection._channel
        if channel is None or not connection.is_open():
            return  # it has failed since it asked: what it has left it is not to come back to
        dialect = self.dialect_of(connection)
        audience = self._audiences.get(dialect)
        if audience is None:
            audience = self._audiences[dialect] = Audience(self._hub.environment, self._refused)
        audience.add(channel, connection)

    def discard(self, connection: Subscriber) -> None:
        """Send to it no more."""
        channel, dialect = connection._channel, self.dialect_of(connection)
        audience = self._audiences.get(dialect)
        if audience is not None and channel is not None:
            audience.discard(channel)
            if not audience:
                del self._audiences[dialect]

    def deliver(self, topic: str, position: Position | None, record: Record) -> None:
        """A message for all of them."""
        pattern = None if topic == self.name else self.name
        for dialect, audience in tuple(self._audiences.items()):
            opcode, payload = dialect.message(topic, pattern, position, record)
            audience.send(opcode, payload)

    def tell(self, encode: Callable[[Dialect], Encoded | None]) -> None:
        """Something else for all whose dialect has words for it."""
        for dialect, audience in tuple(self._audiences.items()):
            encoded = encode(dialect)
            if encoded is not None:
                audience.send(*encoded)

    def _refused(self, connection: Subscriber) -> None:
        """A message did not fit into the write buffer of this one."""
        refused_broadcast(connection)
