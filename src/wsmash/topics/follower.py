"""One topic's stream as one node sees it: which messages come next, which came before, which are missing.

Pushes come in any order, twice, or not at all. A follower lets each message pass
once and in order. Where it sees a hole it holds back what comes, asks for a read of
the history, and goes on from what that says; what cannot be filled is a `Gap`.

It does no I/O and reads no clock: who has one reads for it, and tells it the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from .brokers.base import Entry, History
from .position import Position

MAX_HELD: Final = 1000
"""Pushes that are held back during a read; what comes above it is read again."""


class Passed(NamedTuple):
    """A message whose turn it is, with its own position."""

    position: Position
    data: bytes


class Gap(NamedTuple):
    """Messages may be missing before this position; after it they come again.

    Attributes:
        position: where the follower goes on.
        reason: "epoch" (another stream took the topic's place), "trimmed" (the history does not go back so far, or
            there is none), "slow" (the subscriber did not keep up) or "outage" (what one had is not known).
    """

    position: Position
    reason: str


Step = Passed | Gap


class _Push(NamedTuple):
    offset: int
    epoch: str
    previous: int
    data: bytes


def covers(history: History, after: int, offset: int) -> bool:
    """Whether a history, which was read after `after`, has all messages that there are after an offset, too."""
    if history.complete and offset >= after:
        return True
    if history.entries:
        return offset >= history.entries[0].offset - 1
    return offset >= history.top


class Follower:
    """The position of one node in one topic's stream.

    Args:
        keeps: whether the topic has a history, in which holes can be filled.

    Attributes:
        epoch: of the stream; None until `begin`.
        offset: up to which everything has passed, or was told as a gap.
        wants: whether a read is needed before anything can pass.
    """

    __slots__ = ("_before", "_held", "_keeps", "_marked", "_overflowed", "_seen", "epoch", "offset", "wants")

    def __init__(self, keeps: bool) -> None:
        self._keeps = keeps
        self._held: list[_Push] = []
        self._marked = 0  # how many of these came before the read that is under way was begun
        self._overflowed = False
        self._seen: Position | None = None  # where the stream was said to be since that read was begun
        self._before: str | None = None  # the epoch before this one
        self.epoch: str | None = None
        self.offset = 0
        self.wants = False

    @property
    def position(self) -> Position | None:
        """Where it is; None until `begin`."""
        return None if self.epoch is None else Position(self.epoch, self.offset)

    def begin(self, position: Position) -> list[Step]:
        """The stream is followed, and this is its position at some moment since: what comes after it passes."""
        self.epoch, self.offset = position
        if not self._keeps:
            self._held = [each for each in self._held if each.epoch == self.epoch]
        return self._merge()

    def pushed(self, epoch: str, previous: int, offset: int, data: bytes) -> Sequence[Step]:
        """A push has come."""
        if epoch == self.epoch and not self.wants:
            if offset <= self.offset:
                return ()
            if previous <= self.offset or not self._keeps:
                self.offset = offset
                return (Passed(Position(epoch, offset), data),)
        elif self.epoch is not None and not self._keeps:
            return self._changed(epoch, previous, offset, data)
        self._hold(_Push(offset, epoch, previous, data))
        return ()

    def checked(self, position: Position) -> Sequence[Step]:
        """The stream was at this position a moment ago."""
        if self.epoch is None:
            return self.begin(position)
        behind = position.epoch != self.epoch or position.offset > self.offset
        if behind and self._keeps:
            self.wants, self._seen = True, position
        elif position.epoch not in (self.epoch, self._before):
            return self._change(position)
        return ()

    def read_begun(self) -> None:
        """A read of the history after `offset`, or after an earlier one, is under way."""
        self._marked, self._seen = len(self._held), None

    def read(self, history: History, after: int) -> list[Step]:
        """It has ended with this."""
        steps: list[Step] = []
        if history.epoch != self.epoch:
            steps += self._change(Position(history.epoch, history.top))
        elif covers(history, after, self.offset):
            steps += self._pass(history.epoch, history.entries)
            self.offset = max(self.offset, history.top)
        elif self.wants:
            self.offset = max(self.offset, history.top)
            steps.append(Gap(Position(self.epoch, self.offset), "trimmed"))
        steps += self._merge()
        seen, self._seen = self._seen, None
        if seen is not None:
            steps += self.checked(seen)
        return steps

    # -- parts

    def _changed(self, epoch: str, previous: int, offset: int, data: bytes) -> Sequence[Step]:
        """A push of another epoch, on a topic without a history: the next one's, or a late one of the last one's."""
        if epoch == self._before:
            return ()
        return [*self._change(Position(epoch, previous)), *self.pushed(epoch, previous, offset, data)]

    def _change(self, position: Position) -> list[Step]:
        self._before = self.epoch
        self.epoch, self.offset = position
        return [Gap(position, "epoch")]

    def _hold(self, push: _Push) -> None:
        self.wants = self.epoch is not None
        if len(self._held) < MAX_HELD:
            self._held.append(push)
        else:
            self._overflowed = True

    def _pass(self, epoch: str, entries: Iterable[Entry]) -> list[Step]:
        steps: list[Step] = []
        for entry in entries:
            if entry.offset > self.offset:
                self.offset = entry.offset
                steps.append(Passed(Position(epoch, entry.offset), entry.data))
        return steps

    def _merge(self) -> list[Step]:
        """Let pass what was held back, as far as it follows; what there is a hole before is held again.

        Of another epoch those that came before the read are of an older one, since the
        read was later; of those that came during it this is not known.
        """
        held, marked, self.wants = self._held, self._marked, self._overflowed
        self._held, self._marked, self._overflowed = [], 0, False
        steps: list[Step] = []
        for push in sorted(each for each in held if each.epoch == self.epoch):
            steps += self.pushed(push.epoch, push.previous, push.offset, push.data)
        for push in held[marked:]:
            if push.epoch != self.epoch:
                steps += self.pushed(push.epoch, push.previous, push.offset, push.data)
        return steps
