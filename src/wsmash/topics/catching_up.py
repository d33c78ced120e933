"""Subscribers who are behind their topic: each gets what it lacks as fast as it reads, and then joins the others.

Who comes back with a position, and who did not keep up, is here until it has
everything up to where the topic is. What it lacks is read from the history after the
oldest position of all who wait, one read at a time; what passes meanwhile is
remembered. All of it is put together by offset, and what of it cannot be told whole
is a gap.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from ..errors import InvalidState
from ..runtime.actions import Action, Pending, Settled
from ..transports.base import REFUSED
from .brokers.base import History
from .dialect import Dialect, Encoded
from .follower import Gap, covers
from .position import Position
from .record import Record
from .subscriber import Begun, Subscribed

if TYPE_CHECKING:
    import asyncio

    from .subscriber import Subscriber
    from .topic import Topic

MAX_KEPT: Final = 256 * 1024
"""Bytes of messages that wait for one subscriber who is behind, if no single one is longer: the rest is read again."""

MAX_BEHIND: Final = 64 * 1024 * 1024
"""Bytes that wait so for all subscribers of a server: above it each has one message at a time."""

MAX_RECENT: Final = 1000
"""Messages remembered that pass during a read; those beyond are read again."""

OVERHEAD: Final = 64
"""What a message counts beside its bytes."""


class Item:
    """A message that several subscribers are sent one by one: put into words once for each dialect."""

    __slots__ = ("_encoded", "position", "record")

    def __init__(self, position: Position, record: Record) -> None:
        self.position = position
        self.record = record
        self._encoded: dict[Dialect, Encoded] = {}

    def encoded(self, dialect: Dialect, topic: str) -> Encoded:
        """The message for a subscriber of the topic."""
        found = self._encoded.get(dialect)
        if found is None:
            found = self._encoded[dialect] = dialect.message(topic, None, self.position, self.record)
        return found


class Kept:
    """What waits for all subscribers of a server who are behind.

    Attributes:
        size: its bytes.
    """

    __slots__ = ("size",)

    def __init__(self) -> None:
        self.size = 0


class Straggler:
    """One subscriber who is behind.

    Attributes:
        at: up to where it has everything, or was told a gap; None where it wants what comes from now on.
        reach: up to where it has that once it was sent the gap and the items.
        gap, items: what is to be sent to it, in this order.
        begun: called when its subscription begins, None where it has.
        outcome: of the subscription.
    """

    __slots__ = ("_kept", "at", "begun", "connection", "gap", "items", "outcome", "reach", "size", "waits")

    def __init__(self, connection: Subscriber, at: Position | None, kept: Kept) -> None:
        self._kept = kept
        self.connection = connection
        self.at = self.reach = at
        self.gap: Gap | None = None
        self.items: deque[Item] = deque()
        self.size = 0  # of the items
        self.begun: Begun | None = None
        self.outcome: asyncio.Future[Subscribed] | None = None
        self.waits = False  # for room in its write buffer

    @property
    def idle(self) -> bool:
        """Whether there is nothing that it is to be sent."""
        return not (self.waits or self.items or self.gap is not None)

    def keep(self, item: Item) -> None:
        """Have one more message wait."""
        self.items.append(item)
        self._count(len(item.record.payload) + OVERHEAD)

    def sent(self) -> None:
        """The first one has been sent."""
        self._count(-len(self.items.popleft().record.payload) - OVERHEAD)

    def clear(self) -> None:
        """None waits any more."""
        self.items.clear()
        self._count(-self.size)

    def _count(self, size: int) -> None:
        self.size += size
        self._kept.size += size

    def begin(self, found: Subscribed) -> None:
        """The subscription begins, if it has not."""
        begun, self.begun = self.begun, None
        if begun is not None:
            begun(found)
        if self.outcome is not None and not self.outcome.done():
            self.outcome.set_result(found)


class CatchingUp:
    """Those of one topic."""

    __slots__ = ("_behind", "_reading", "_recent", "_topic")

    def __init__(self, topic: Topic) -> None:
        self._topic = topic
        self._behind: dict[Subscriber, Straggler] = {}
        self._reading: list[Straggler] = []  # those that the read under way is for
        self._recent: list[Item] | None = None  # what has passed since it was begun; None where that was too much

    def __len__(self) -> int:
        return len(self._behind)

    def __contains__(self, connection: Subscriber) -> bool:
        return connection in self._behind

    # -- who comes, who goes

    def subscribe(self, connection: Subscriber, since: Position | None, begun: Begun | None) -> Action[Subscribed]:
        """A new subscriber, who has everything up to a position; None begins where the topic is."""
        straggler = self._behind[connection] = Straggler(connection, since, self._topic.kept)
        straggler.begun = begun
        loop = connection._owner.environment.loop
        straggler.outcome = outcome = loop.create_future()
        self._go_on(straggler)
        return Settled(outcome.result()) if outcome.done() else Pending(outcome)

    def again(self, connection: Subscriber, begun: Begun | None) -> Action[Subscribed] | None:
        """The same subscription once more: it begins with the first one; None where that has begun."""
        straggler = self._behind.get(connection)
        if straggler is None or straggler.outcome is None or straggler.outcome.done():
            return None
        first = straggler.begun
        straggler.begun = lambda found: [tell(found) for tell in (first, begun) if tell is not None]
        return Pending(straggler.outcome)

    def fall_behind(self, connection: Subscriber, at: Position | None, item: Item | None = None) -> None:
        """A message did not fit into this one's write buffer: it goes on when there is room.

        Args:
            connection: it.
            at: up to where it has everything.
            item: on a topic without a history, the newest message, which is all that it gets.
        """
        straggler = self._behind[connection] = Straggler(connection, at, self._topic.kept)
        if item is not None:
            straggler.keep(item)
            straggler.reach = item.position
        self._wait(straggler)

    def discard(self, connection: Subscriber) -> None:
        """It is subscribed no more."""
        straggler = self._behind.pop(connection, None)
        if straggler is not None:
            straggler.clear()
        if straggler is not None and straggler.outcome is not None and not straggler.outcome.done():
            gone = connection._closed_error() if not connection.is_open() else InvalidState("it was unsubscribed")
            straggler.outcome.set_exception(gone)

    # -- what the topic tells

    def begun(self) -> None:
        """It is known where the topic is."""
        for straggler in tuple(self._behind.values()):
            self._go_on(straggler)

    def unreachable(self) -> None:
        """That will be known only when the broker is back. Who has no position joins the others until then."""
        for straggler in tuple(self._behind.values()):
            straggler.begin(Subscribed(None, True))
            if straggler.at is None:
                self._join(straggler)

    def passed(self, position: Position, record: Record) -> None:
        """A message was sent to those who are not behind."""
        if not self._behind:
            return
        if self._recent is not None and len(self._recent) >= MAX_RECENT:
            self._recent = None
        if self._recent is None and self._topic.policy.has_history:
            return
        item = Item(position, record)
        if self._recent is not None:
            self._recent.append(item)
        if not self._topic.policy.has_history:
            for straggler in self._behind.values():
                # Not who waits for a read, and will be told what it has missed; nor who was just kept back with it.
                if straggler.waits and straggler.reach != position:
                    straggler.connection._owner.counters.conflated += len(straggler.items)
                    straggler.clear()
                    straggler.keep(item)
                    straggler.reach = position

    def here(self, encode: Callable[[Dialect], Encoded | None]) -> None:
        """Something without a position for everyone whose subscription has begun."""
        for straggler in self._behind.values():
            if straggler.outcome is None or straggler.outcome.done():
                self._put(straggler, encode(self._topic.dialect_of(straggler.connection)))

    def gapped(self, gap: Gap) -> None:
        """The topic has a gap, and who is behind it has it too; not who had more from another node.

        Nor who was told of a new epoch by another node: the read that has found it may have what they lack.
        """
        for straggler in tuple(self._behind.values()):
            at = straggler.at
            is_known = at is not None and at.epoch == gap.position.epoch
            if not is_known or (at is not None and at < gap.position and gap.reason != "epoch"):
                self._lose(straggler, gap.reason)
            self._go_on(straggler)

    # -- reads

    def wanted(self) -> int | None:
        """After which offset a read would serve all who wait for one; None where nobody does.

        Who is of another epoch does too: whether it, or this node, has missed that one ended, the broker knows.
        """
        if self._topic.position is None:
            return None
        offsets = [each.at.offset for each in self._behind.values() if each.at is not None and each.idle]
        return min(offsets, default=None)

    def is_ahead(self) -> bool:
        """Whether anybody says to have more than this node: it was on another one, which was told sooner."""
        here = self._topic.position
        return here is not None and any(
            each.at is not None and each.idle and each.at.epoch == here.epoch and each.at > here
            for each in self._behind.values()
        )

    def read_begun(self) -> None:
        """It is under way."""
        self._reading = [each for each in self._behind.values() if each.at is not None and each.idle]
        self._recent = []

    def read_failed(self) -> None:
        """It came to nothing, and will be done again."""
        self._reading, self._recent = [], None

    def read(self, history: History, after: int) -> None:
        """It has ended, and what is new in it was sent to those who are not behind."""
        reading, self._reading = self._reading, []
        recent, self._recent = self._recent, None
        found = self._topic.items_of(history)
        reach = Position(history.epoch, max(history.top, found[-1].position.offset if found else 0))
        if recent is not None:
            found += [each for each in recent if each.position > reach and each.position.epoch == reach.epoch]
            reach = self._topic.position or reach
        for straggler in reading:
            if self._behind.get(straggler.connection) is straggler and straggler.idle:
                self._answer(straggler, history, after, found, reach)
        for straggler in reading:
            if self._behind.get(straggler.connection) is straggler:
                self._go_on(straggler)

    def _answer(
        self, straggler: Straggler, history: History, after: int, found: list[Item], reach: Position
    ) -> None:
        """Give one of those that a read was for what it lacks."""
        at = straggler.at
        if at is None or at.epoch != reach.epoch:
            self._lose(straggler, "epoch")
        elif at > reach:
            if at.offset > history.top:
                self._lose(straggler, "epoch")
            # Otherwise this node is behind, and reads what it lacks; then it is this one's turn again.
        elif not covers(history, after, at.offset):
            self._lose(straggler, "trimmed")
        else:
            straggler.begin(Subscribed(at, True))
            self._take(straggler, found, reach)

    def _take(self, straggler: Straggler, found: list[Item], reach: Position) -> None:
        """Give it what it lacks, or the first of it where that is much."""
        straggler.reach = reach
        for item in found:
            if straggler.at is not None and item.position > straggler.at:
                full = straggler.size + len(item.record.payload) > MAX_KEPT or self._topic.kept.size > MAX_BEHIND
                if straggler.items and full:
                    straggler.reach = straggler.items[-1].position
                    return
                straggler.keep(item)

    # -- each of them

    def _lose(self, straggler: Straggler, reason: str) -> None:
        """Messages are missing up to where the topic is: it is told so, and goes on from there."""
        here = self._topic.position
        if here is None:
            return
        straggler.clear()
        straggler.reach = here
        told = here
        if straggler.at is not None and straggler.at.epoch == here.epoch and not self._topic.policy.has_history:
            told = max(here, straggler.at)  # what comes until then it has had from another node
        if straggler.begun is None and (straggler.outcome is None or straggler.outcome.done()):
            straggler.gap = Gap(told, reason)
        else:
            straggler.at = here
            straggler.begin(Subscribed(told, False, reason))
        self._topic.count_gap()

    def _go_on(self, straggler: Straggler) -> None:
        """Send it what there is, as far as there is room; then it joins the others, or waits for a read."""
        here = self._topic.position
        if here is None or straggler.waits:
            return
        if straggler.at is None:
            straggler.at = straggler.reach = here
            straggler.begin(Subscribed(here, True))
        while straggler.gap is not None or straggler.items:
            if straggler.connection._congested or not self._send(straggler):
                self._wait(straggler)
                return
        straggler.at = straggler.reach
        if straggler.at == here:
            straggler.begin(Subscribed(here, True))
            self._join(straggler)
        elif straggler.at is not None and straggler.at.epoch == here.epoch and not self._topic.policy.has_history:
            self._lose(straggler, "trimmed")
            self._go_on(straggler)
        else:
            self._topic.need_read()

    def _send(self, straggler: Straggler) -> bool:
        """Send the gap, or else the first item; whether there was room."""
        dialect, name = self._topic.dialect_of(straggler.connection), self._topic.name
        if straggler.gap is not None:
            if not self._put(straggler, dialect.gap(name, straggler.gap.position, straggler.gap.reason)):
                return False
            straggler.at, straggler.gap = straggler.gap.position, None
            return True
        item = straggler.items[0]
        if not self._put(straggler, item.encoded(dialect, name)):
            return False
        straggler.at = item.position
        straggler.sent()
        return True

    def _put(self, straggler: Straggler, encoded: Encoded | None) -> bool:
        return encoded is None or straggler.connection._put(*encoded) != REFUSED

    def _wait(self, straggler: Straggler) -> None:
        straggler.waits = True
        straggler.connection._need_outbox().room().future.add_done_callback(partial(self._has_room, straggler))

    def _has_room(self, straggler: Straggler, _: object) -> None:
        straggler.waits = False
        if self._behind.get(straggler.connection) is straggler:
            self._go_on(straggler)

    def _join(self, straggler: Straggler) -> None:
        if self._behind.pop(straggler.connection, None) is not None:  # being told that it begins may have ended it
            self._topic.add(straggler.connection)
