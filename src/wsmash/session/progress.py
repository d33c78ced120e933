"""How far a subscription has come: which messages are new to it, and where some are missing. Pure.

A server sends a topic's messages in the order of their offsets, and after an
outage those that the subscription lacks, or says that it cannot. What is counted
here is what has come, delivered or not: it is what the next connection asks to go
on from. Nothing is held against a server that sends a message twice; and that of
an epoch which nobody told of is missing whatever came before it.
"""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum, auto
from typing import Final

from ..topics.position import Position

MAX_SEEN: Final = 1024
"""Topics of which a pattern's subscription knows how far it has come: those that were heard of last."""


class Verdict(Enum):
    """What a message is to its subscription."""

    NEW = auto()
    DUPLICATE = auto()
    AFTER_GAP = auto()
    """It is new, and of another epoch: what was before it is lost."""


class TopicProgress:
    """That of a subscription to one topic.

    Args:
        since: where it begins; None for what is published from its confirmation on.

    Attributes:
        position: how far it has come; None before the first confirmation.
    """

    __slots__ = ("position",)

    def __init__(self, since: Position | None = None) -> None:
        self.position = since

    @property
    def since(self) -> Position | None:
        """Where to go on."""
        return self.position

    def confirm(self, position: Position | None, *, recovered: bool) -> bool:
        """The server has subscribed it; whether messages are missing.

        Args:
            position: after which messages follow; None where the server cannot know yet, and will tell of a gap.
            recovered: whether all after `since` follows.
        """
        before = self.position
        if before is None or position is None:
            self.position = before or position
            return False
        if recovered and position.epoch == before.epoch:
            return False  # what follows begins after where we are
        self.position = position
        return position != before

    def accept(self, topic: str, epoch: str | None, offset: int | None) -> tuple[Verdict, Position | None]:
        """A message has come; what it is, and where it stands.

        Args:
            topic: its own.
            epoch: its own; None for that of the confirmation, or of the last gap.
            offset: its own; None for one that has none, since the broker is away.
        """
        verdict, position = _judge(self.position, epoch, offset)
        if verdict is not Verdict.DUPLICATE and position is not None:
            self.position = position
        return verdict, position

    def move(self, topic: str, position: Position | None) -> None:
        """The server says that messages are missing until there."""
        if position is not None:
            self.position = position

    def go_back(self, position: Position | None) -> None:
        """What has come after a position was not delivered, and never will be."""
        self.position = position


class PatternProgress:
    """That of a subscription to a pattern, which cannot go on where it was: each topic has a position of its own."""

    __slots__ = ("_confirmed", "_seen")

    position = None
    since = None

    def __init__(self) -> None:
        self._confirmed = False
        self._seen: OrderedDict[str, Position] = OrderedDict()

    def confirm(self, position: Position | None, *, recovered: bool) -> bool:
        """The server has subscribed it: messages may be missing, where that is not the first time."""
        again, self._confirmed = self._confirmed, True
        return again

    def accept(self, topic: str, epoch: str | None, offset: int | None) -> tuple[Verdict, Position | None]:
        """As that of a topic."""
        verdict, position = _judge(self._seen.get(topic), epoch, offset)
        if verdict is not Verdict.DUPLICATE:
            self.move(topic, position)
        return verdict, position

    def move(self, topic: str, position: Position | None) -> None:
        """As that of a topic."""
        if position is not None:
            self._seen[topic] = position
            self._seen.move_to_end(topic)
            if len(self._seen) > MAX_SEEN:
                self._seen.popitem(last=False)

    def go_back(self, position: Position | None) -> None:
        """Nothing is asked for again."""


Progress = TopicProgress | PatternProgress


def _judge(before: Position | None, epoch: str | None, offset: int | None) -> tuple[Verdict, Position | None]:
    epoch = epoch or (None if before is None else before.epoch)
    if epoch is None or offset is None:
        return Verdict.NEW, None
    position = Position(epoch, offset)
    if before is None:
        return Verdict.NEW, position
    if epoch != before.epoch:
        return Verdict.AFTER_GAP, position
    return (Verdict.NEW if offset > before.offset else Verdict.DUPLICATE), position
