"""One topic on one node: its subscribers, up to where they have everything, and the reads of its history."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ..errors import InvalidMessage
from ..runtime.actions import Action, Settled
from ..runtime.outbox import refused_broadcast
from .brokers.base import History
from .catching_up import CatchingUp, Item, Kept
from .dialect import Dialect, Encoded
from .feed import Feed
from .follower import Follower, Gap, Passed, Step
from .policy import TopicPolicy
from .position import Position
from .record import Record, decode_record
from .subscriber import Begun, Subscribed

if TYPE_CHECKING:
    from .hub import Hub
    from .subscriber import Subscriber

CHECK_INTERVAL = 30.0
"""Seconds after which a quiet topic with a history is asked at the latest where its stream is, and again each time."""

MAX_STALE = 3
"""Reads in a row that know less than this node does, as those of a lagging replica, before they are believed."""


class Topic(Feed):
    """A topic that somebody here is subscribed to, or that a message was seen of through a pattern.

    Attributes:
        policy: what is promised of it.
        position: up to where all subscribers who are not behind have everything, or were told a gap; None while
            it is not known where the stream is.
        follower: this node's place in the stream; None where the broker is in this process.
        unreachable: whether it was not reached when it was to be followed.
        reading: whether a read of its history is under way.
        quiet: how often it was looked at since anything was pushed.
        tick: its place in the wheel.
    """

    __slots__ = (
        "_behind",
        "_current",
        "_keeps_newest",
        "_known",
        "_stale",
        "_telling_gap",
        "follower",
        "policy",
        "position",
        "quiet",
        "reading",
        "tick",
        "unreachable",
    )

    def __init__(self, hub: Hub, name: str, policy: TopicPolicy, position: Position | None = None) -> None:
        super().__init__(hub, name)
        self.policy = policy
        self.position = position
        self.follower = None if position is not None else Follower(policy.has_history)
        self.unreachable = False
        self.reading = False
        self.quiet = 0
        self.tick = -1
        self._behind: CatchingUp | None = None  # made for the first subscriber who is
        self._current: Item | None = None  # what is being sent
        self._keeps_newest = not policy.has_history and hub.options.slow_consumer == "conflate"
        self._telling_gap = False
        self._known = 0  # the offset that was known when the read under way was begun
        self._stale = 0

    # -- subscribers

    def __len__(self) -> int:
        return super().__len__() + (0 if self._behind is None else len(self._behind))

    def subscribe(self, connection: Subscriber, since: Position | None, begun: Begun | None) -> Action[Subscribed]:
        """Send it what comes from now on, and first what came after a position."""
        if self.position is not None and (since is None or since == self.position):
            found = Subscribed(self.position, True)
            if begun is not None:
                begun(found)
            self.add(connection)
            return Settled(found)
        behind = self._need_behind()
        outcome = behind.subscribe(connection, since, begun)
        if self.unreachable:
            behind.unreachable()
        return outcome

    def again(self, connection: Subscriber, begun: Begun | None) -> Action[Subscribed] | None:
        """Who is subscribed asks for it once more, without a position; None where its subscription has begun."""
        return None if self._behind is None else self._behind.again(connection, begun)

    def discard(self, connection: Subscriber) -> None:
        """Send to it no more."""
        if self._behind is not None and connection in self._behind:
            self._behind.discard(connection)
            if not self._behind:
                self._behind = None
        else:
            super().discard(connection)

    def _refused(self, connection: Subscriber) -> None:
        policy = connection._owner.options.slow_consumer
        if policy == "close" or self.position is None:
            refused_broadcast(connection)
        elif self.policy.has_history or self._telling_gap:
            super().discard(connection)
            self._need_behind().fall_behind(connection, self.position)
        elif policy == "conflate" and self._current is not None:
            super().discard(connection)
            self._need_behind().fall_behind(connection, self.position, self._current)
        else:
            refused_broadcast(connection)

    def _need_behind(self) -> CatchingUp:
        if self._behind is None:
            self._behind = CatchingUp(self)
        return self._behind

    # -- messages

    def published(self, position: Position, record: Record) -> None:
        """The next message: send it to all who are not behind."""
        if self._keeps_newest:
            self._current = Item(position, record)
        self.deliver(self.name, position, record)
        self.position = position
        if self._behind is not None:
            self._behind.passed(position, record)

    def deliver_here(self, record: Record) -> None:
        """A message without a position, for this node's subscribers alone."""
        self._current = None
        self.everyone(lambda dialect: dialect.message(self.name, None, None, record))

    def everyone(self, encode: Callable[[Dialect], Encoded | None]) -> None:
        """Something without a position, for those too who are behind."""
        self.tell(encode)
        if self._behind is not None:
            self._behind.here(encode)

    def pushed(self, epoch: str, previous: int, offset: int, data: bytes) -> None:
        """The broker tells of a message."""
        self.quiet = 0
        follower = self._need_follower()
        self._go_on(follower.pushed(epoch, previous, offset, data))

    def seen(self, epoch: str, previous: int) -> None:
        """The first message that a pattern has brought, and that is to be pushed next, follows this one."""
        self.position = Position(epoch, previous)
        steps = self._need_follower().begin(self.position)
        if self._behind is not None:
            self._behind.begun()
        self._go_on(steps)

    def checked(self, position: Position) -> None:
        """This is where the stream was a moment ago, or when it was first followed."""
        follower = self._need_follower()
        self.unreachable = False
        if self.position is not None:
            self._go_on(follower.checked(position))
            return
        self.position = position
        if super().__len__():  # who was told that it is not known where their subscription begins
            self._tell_gap(Gap(position, "outage"))
        if self._behind is not None:
            self._behind.begun()
        self._go_on(follower.checked(position))

    def not_reached(self) -> None:
        """It is not known where the stream is until the broker is back."""
        self.unreachable = self.position is None
        if self.unreachable and self._behind is not None:
            self._behind.unreachable()

    def _need_follower(self) -> Follower:
        if self.follower is None:
            self.follower = Follower(self.policy.has_history)
        return self.follower

    def _go_on(self, steps: Iterable[Step]) -> None:
        for step in steps:
            if isinstance(step, Gap):
                self._gap(step)
            else:
                self._pass(step)
        if self.follower is not None and self.follower.position is not None:
            self.position = self.follower.position
            if self.follower.wants:
                self.need_read()

    def _pass(self, passed: Passed) -> None:
        try:
            record = decode_record(passed.data, self._hub.options.max_message_size)
        except InvalidMessage as error:
            self._hub.invalid(self.name, error)
            self.position = passed.position
            return
        self.published(passed.position, record)
        self._hub.patterns.deliver(self.name, passed.position, record)

    def _tell_gap(self, gap: Gap) -> None:
        self._telling_gap = True
        self._hub.tell_gap(self, gap)
        self._telling_gap = False

    def _gap(self, gap: Gap) -> None:
        self._tell_gap(gap)
        self.position = gap.position
        if self._behind is not None:
            self._behind.gapped(gap)

    @property
    def kept(self) -> Kept:
        """What waits for all who are behind, on all topics."""
        return self._hub.kept

    def count_gap(self) -> None:
        """A single subscriber was told of a gap."""
        self._hub.counters.gaps += 1

    # -- the history

    def need_read(self) -> None:
        """Have the history read, where anybody needs it and no read is under way."""
        after = self._wanted()
        if self.reading or self.position is None or after is None:
            return
        behind, follower = self._behind, self.follower
        self.reading = True
        self._known = self.position.offset
        if follower is not None:
            follower.read_begun()
        if behind is not None:
            behind.read_begun()
        self._hub.read(self, after)

    def _wanted(self) -> int | None:
        """After which offset a read of the history would serve all who need one; None where nobody does."""
        after = None if self._behind is None else self._behind.wanted()
        if after is not None and self.position is not None:
            after = min(after, self.position.offset)
        if self.follower is None or not self.follower.wants:
            return after
        return self.follower.offset if after is None else min(after, self.follower.offset)

    def read(self, history: History, after: int) -> None:
        """It was read."""
        if self.position is not None and history.epoch == self.position.epoch and history.top < self._known:
            self._stale += 1
            if self._stale < MAX_STALE:
                self.read_failed()
                return
        self._stale = 0
        if self.follower is None:
            self.position = Position(history.epoch, history.top)
        else:
            self._go_on(self.follower.read(history, after))
        if self._behind is not None:
            if self.follower is not None and self._behind.is_ahead():
                self.follower.checked(Position(history.epoch, history.top))  # to be read after the others were told
            self._behind.read(history, after)
            if not self._behind:
                self._behind = None
        self.reading = False  # what was found out on the way is looked for by another read, which begins here
        self.need_read()

    def read_failed(self) -> None:
        """It came to nothing: it will be done again."""
        self.reading = False
        if self._behind is not None:
            self._behind.read_failed()
        self._hub.read_later(self)

    def items_of(self, history: History) -> list[Item]:
        """The messages of a history; what is none was counted when it came."""
        found = []
        for entry in history.entries:
            try:
                record = decode_record(entry.data, self._hub.options.max_message_size)
            except InvalidMessage:
                continue
            found.append(Item(Position(history.epoch, entry.offset), record))
        return found

    @property
    def lacks(self) -> bool:
        """Whether somebody lacks something that the history may have."""
        return self._wanted() is not None

    # -- the clock

    @property
    def interval(self) -> float:
        """Seconds between two looks at it, at most a quarter of `history_ttl`."""
        return min(CHECK_INTERVAL, (self.policy.history_ttl or CHECK_INTERVAL * 2) / 2) / 2

    def due(self, now: float) -> float | None:
        """Look at it; None where nobody needs to know any more."""
        self.need_read()
        self.quiet += 1
        # Quiet since the last look, and every other one: what was lost just after a push is found by the second.
        again = self._hub.look_at(self, ask=self.quiet % 2 == 0 or self.position is None)
        return now + self.interval if again else None
