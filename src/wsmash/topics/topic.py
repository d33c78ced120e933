"""One topic on one node: its subscribers, its place in the stream, and the reads of its history."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..errors import InvalidMessage
from ..runtime.actions import Action, Settled
from .brokers.base import History
from .feed import Feed
from .follower import Follower, Gap, Passed, Step
from .policy import TopicPolicy
from .position import Position
from .record import Record, decode_record
from .subscriber import Begun, Subscribed

if TYPE_CHECKING:
    from .hub import Hub
    from .subscriber import Subscriber


class Topic(Feed):
    """A topic that somebody here is subscribed to, or that a message was seen of through a pattern.

    Attributes:
        policy: what is promised of it.
        follower: where this node is in its stream.
    """

    __slots__ = ("follower", "policy")

    def __init__(self, hub: Hub, name: str, policy: TopicPolicy) -> None:
        super().__init__(hub, name)
        self.policy = policy
        self.follower = Follower(policy.has_history)

    def subscribe(
        self, connection: Subscriber, since: Position | None, begun: Begun | None = None
    ) -> Action[Subscribed]:
        """Send it what comes from now on, and first what came after a position."""
        found = Subscribed(self.follower.position, since is None)
        if begun is not None:
            begun(found)
        self.add(connection)
        return Settled(found)

    def published(self, position: Position, record: Record) -> None:
        """A message of the broker that is in this process: it is the next one."""
        self.follower.offset = position.offset
        self.deliver(self.name, position, record)

    def pushed(self, epoch: str, previous: int, offset: int, data: bytes) -> None:
        """A message of a broker elsewhere."""
        self._go_on(self.follower.pushed(epoch, previous, offset, data))

    def read(self, history: History, after: int) -> None:
        """The history that was asked for."""
        self._go_on(self.follower.read(history, after))

    def _go_on(self, steps: Iterable[Step]) -> None:
        for step in steps:
            if isinstance(step, Gap):
                self._hub.tell_gap(self, step)
            else:
                self._pass(step)

    def _pass(self, passed: Passed) -> None:
        try:
            record = decode_record(passed.data, self._hub.options.max_message_size)
        except InvalidMessage as error:
            self._hub.invalid(self.name, error)
            return
        self._hub.pass_on(self, passed.position, record)
