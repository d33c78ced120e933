"""One subscriber on one topic: what it was given, against what there was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from chaos.records import LAST, Seen, Subscribed
from chaos.truth import Truth, Violations


class Following:
    """A subscription with positions.

    It has a position as soon as it is confirmed. From there on each message comes once and in order, or lies
    before the position that a gap leads to.
    """

    def __init__(
        self, who: str, topic: str, truth: Truth, violations: Violations, *, has_history: bool, contiguous: bool
    ) -> None:
        self._who = f"{who} on {topic}"
        self._topic = topic
        self._truth = truth
        self._violations = violations
        self._has_history = has_history
        self._contiguous = contiguous
        self._epoch: str | None = None
        self._offset = 0
        self._free = False  # nobody knows what comes next
        self._reached: dict[str, int] = {}  # in epochs that it has left

    def seen(self, line: Seen) -> None:
        """A message."""
        assert line.epoch is not None and line.offset is not None
        self._seen(line.epoch, line.offset, line.message)

    def subscribed(self, line: Subscribed) -> int | None:
        """A confirmation; returns how many messages are known to be lost by it, as `gap`."""
        if line.recovered and line.epoch == self._epoch:
            return None
        if line.recovered:
            self._violations.add("epoch", f"{self._who}: recovered in {line.epoch:.8}, where it was not")
        return self._move(line.epoch, line.offset, "a subscription")

    def gap(self, epoch: str, offset: int) -> int | None:
        """All up to here may be missing; returns how many messages are known to be, if it is within one epoch."""
        return self._move(epoch, offset, "a gap")

    def local(self, message: str) -> None:
        """A message without a position, as a node delivers it alone while the broker is away: perhaps again later."""
        if self._has_history:
            self._violations.add("no position", f"{self._who}: {message} came without one")

    def forget(self) -> None:
        """Where it goes on is known by the next message."""
        self._free = True

    def end(self) -> None:
        """Nothing more will come: the last message has."""
        last = self._truth.place_of(f"{LAST}{self._topic}", self._epoch)
        if last is None:
            return  # nobody could publish it, which is told of elsewhere
        if self._epoch is None:
            self._violations.add("not caught up", f"{self._who} was given nothing at all")
        elif last[0] != self._epoch or self._offset < last[1]:
            here = f"{self._offset} in {self._epoch:.8}"
            self._violations.add(
                "not caught up", f"{self._who} is at {here}, and {last[1]} in {last[0]:.8} is the last"
            )

    def _seen(self, epoch: str, offset: int, message: str) -> None:
        if self._epoch is None:
            self._epoch, self._offset = epoch, offset
            return
        if epoch != self._epoch:
            if self._has_history and not self._free:
                text = f"{self._who}: from {self._epoch:.8} to {epoch:.8}, and no gap told of it"
                self._violations.add("epoch", text)
            self._move(epoch, offset, "a message")
            return
        if offset == self._offset:
            self._violations.add("duplicate", f"{self._who}: {message} at {offset} came twice")
        elif offset < self._offset:
            self._violations.add("order", f"{self._who}: {message} at {offset} came behind {self._offset}")
            return
        elif self._has_history and not self._free:
            self._check_lost(epoch, offset)
        self._free = False
        self._offset = offset

    def _check_lost(self, epoch: str, offset: int) -> None:
        lost = self._truth.between(self._topic, epoch, self._offset, offset)
        missing = offset - self._offset - 1 if self._contiguous else len(lost)
        if missing:
            names = ", ".join(self._truth.streams[self._topic, epoch][each] for each in lost[:3])
            text = f"{self._who}: {missing} between {self._offset} and {offset} in {epoch:.8} never came ({names})"
            self._violations.add("lost", text, missing)

    def _move(self, epoch: str, offset: int, what: str) -> int | None:
        """Go on from there. An epoch may come again, as while two brokers are used, but no offset in it."""
        hidden = None
        if epoch == self._epoch and offset != self._offset and not self._free:
            hidden = len(self._truth.between(self._topic, epoch, self._offset, offset + 1))
        if self._epoch is not None:
            self._reached[self._epoch] = self._offset
        reached = self._reached.get(epoch, 0)
        if offset < reached:
            self._violations.add("order", f"{self._who}: {what} leads back from {reached} to {offset} in {epoch:.8}")
        self._epoch, self._offset, self._free = epoch, offset, False
        return hidden


class PlainFollowing:
    """A connection without the sub-protocol: it knows no positions, but all that comes is in order.

    Where a message is, others say; so only those are judged of which all places are known. One whose publisher had
    no answer may have been given to this connection alone: from an epoch that then ended, or by its node during
    an outage; and it may come again when it is published again.
    """

    def __init__(self, who: str, truth: Truth, violations: Violations) -> None:
        self._who = who
        self._truth = truth
        self._violations = violations
        self._at: dict[str, tuple[str, int]] = {}
        self._former: set[tuple[str, str]] = set()
        self._times: Counter[str] = Counter()

    def seen(self, line: Seen) -> None:
        """A message; `line.topic` is what its payload says."""
        self._times[line.message] += 1
        known = self._truth.publications.get(line.message)
        if known is None or not known.is_certain:
            return
        epoch, offset = self._at.get(line.topic, (None, 0))
        place = self._truth.place_of(line.message, epoch)
        if place is None:
            return
        if self._times[line.message] > len(known.places):
            self._violations.add("duplicate", f"{self._who}: {line.message} on {line.topic} came twice")
        elif self._times[line.message] > 1:
            pass  # it is in two epochs, of which nobody knows which one this is of
        elif place[0] == epoch and place[1] <= offset:
            text = f"{self._who}: {line.message}, at {place[1]} of {line.topic}, came behind {offset}"
            self._violations.add("order", text)
        elif (line.topic, place[0]) in self._former:
            text = f"{self._who}: {line.message} is of {place[0]:.8} of {line.topic}, which was over"
            self._violations.add("epoch", text)
        else:
            if epoch is not None and place[0] != epoch:
                self._former.add((line.topic, epoch))
            self._at[line.topic] = place

    def end(self, topics: Iterable[str]) -> None:
        """The last message of each of these topics has come."""
        for topic in topics:
            if not self._times[f"{LAST}{topic}"]:
                self._violations.add("not caught up", f"{self._who} lacks the last message of {topic}")
