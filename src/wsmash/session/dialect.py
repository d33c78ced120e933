"""How connections that speak `wsmash.v1` are told of topics: the envelopes that all subscribers of one are sent."""

from __future__ import annotations

from ..constants import Opcode
from ..topics.dialect import Dialect, Encoded
from ..topics.members import Move
from ..topics.position import Position
from ..topics.record import Record
from ..topics.subscriber import Subscribed as TopicSubscribed
from .envelopes import Degraded, Gap, Join, Leave, Present, Restored, Subscribed, Unsubscribed, encode, encode_message


class Envelopes(Dialect):
    """How connections that speak `wsmash.v1` are told of topics."""

    def message(self, topic: str, pattern: str | None, position: Position | None, record: Record) -> Encoded:
        """The same for all subscribers: a topic's know the epoch, a pattern's are told it."""
        if position is None:
            return Opcode.TEXT, encode_message(topic, record, None, None, pattern)
        epoch = None if pattern is None else position.epoch
        return Opcode.TEXT, encode_message(topic, record, position.offset, epoch, pattern)

    def gap(self, name: str, position: Position | None, reason: str, pattern: str | None = None) -> Encoded:
        """Of a topic with its position, of a pattern as a whole without."""
        epoch, offset = (None, None) if position is None else position
        return Opcode.TEXT, encode(Gap(name, epoch, offset, reason, pattern))

    def degraded(self) -> Encoded:
        """Once for each connection."""
        return Opcode.TEXT, encode(Degraded())

    def restored(self) -> Encoded:
        """The same."""
        return Opcode.TEXT, encode(Restored())

    def moved(self, move: Move) -> Encoded:
        """The same for all, also for who it is."""
        kind = Join if move.what == "join" else Leave
        member = move.member
        return Opcode.TEXT, encode(kind(move.topic, Present(member.id, member.node, member.info)))

    def subscribed(self, name: str, found: TopicSubscribed) -> Encoded:
        """The server has begun it."""
        epoch, offset = (None, None) if found.position is None else found.position
        return Opcode.TEXT, encode(Subscribed(name, epoch, offset))

    def unsubscribed(self, name: str, code: str, message: str) -> Encoded:
        """The server has ended it."""
        return Opcode.TEXT, encode(Unsubscribed(name, code, message))
