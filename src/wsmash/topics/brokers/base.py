"""The seam between a server's topics and what carries them from node to node.

A broker keeps, for each topic, a stream: an epoch, and messages with increasing
offsets in it. It tells its node of each message by a push, which may be lost; what
was lost is found by the offsets and read again from the stream. All else (who
subscribes, what order, which gaps) is the hub's, and the same for every broker.

A broker lives on one loop. It connects by itself again after an outage, for ever,
with jitter, and says so; meanwhile its methods raise `BrokerUnavailable` at once.
No call waits longer than `TIMEOUT`, though nobody answers (case 110): a connection
that has not answered by then is thrown away, so that no late answer is ever taken
for that of another call (case 108).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from ..policy import TopicPolicy
from ..position import Position

TIMEOUT: Final = 5.0
"""Seconds that a broker has for an answer, that to a health check among them."""

MAX_READ: Final = 300
"""Messages of a history that are read at most: who lacks more gets a gap (case 122)."""

DUPLICATE_WINDOW: Final = 120.0
"""Seconds in which a second publication with the same idempotency key is known for one."""


class Entry(NamedTuple):
    """One message of a topic's stream, as the broker has it.

    Attributes:
        offset: its own.
        data: what `encode_record` made; nobody has looked at it yet.
    """

    offset: int
    data: bytes


class History(NamedTuple):
    """What a broker has of a topic after an offset.

    Attributes:
        epoch: of the stream as it is now. Where it is another than the reader's, the entries are as
            after offset 0.
        top: the offset up to which this is all there is: that of the last message there ever was, or later.
        entries: in order; the newest, where there were more than asked for.
        complete: whether nothing between the offset that was asked about and `top` is missing, neither trimmed
            nor expired. A broker that cannot know says False.
    """

    epoch: str
    top: int
    entries: Sequence[Entry]
    complete: bool


class Receiver(Protocol):
    """Who a broker tells: the hub. Called on the loop, and never from within a call of the hub's."""

    def pushed(self, topic: str, epoch: str, previous: int, offset: int, data: bytes) -> None:
        """A message of a topic that is followed, perhaps more than once: by its name, and by each of its patterns.

        Args:
            topic: its name.
            epoch: of its stream.
            previous: the offset of the topic's message before it, or any between the two; in a stream without
                holes that is `offset - 1`.
            offset: the message's.
            data: as in `Entry`.
        """

    def cast(self, data: bytes) -> None:
        """What a node, perhaps this one, has cast."""

    def lost(self, error: Exception) -> None:
        """The broker is away: pushes and casts may be lost from now on. Once for each outage."""

    def missed(self, reason: str) -> None:
        """The broker says that pushes were lost, though it is there (a slow consumer): positions are to be checked."""

    def restored(self) -> None:
        """It is back, and whatever was followed is followed again: positions are to be checked."""


class Broker(Protocol):
    """What `create_server(broker=...)` names.

    Attributes:
        durability: one line, for docs and logs: what an acknowledged message survives.
        shared: whether other nodes may be there too.
        ignored: how much came that no node sends: garbage, of a version that is not known, too long (case 107).
    """

    durability: str
    shared: bool
    ignored: int

    async def start(self, receiver: Receiver) -> None:
        """Connect.

        Raises:
            BrokerUnavailable: it is not there, within `TIMEOUT`; nothing is left of the attempt.
            BrokerError: it is there and cannot be used (too old, not allowed); the text says what to do.
        """

    async def stop(self) -> None:
        """Let go, within `TIMEOUT`; what is under way fails. Never raises."""

    async def publish(self, topic: str, policy: TopicPolicy, data: bytes, key: str | None) -> Position:
        """Add a message, once it is acknowledged.

        Args:
            topic: its name.
            policy: its policy.
            data: what `encode_record` made.
            key: an idempotency key: within `DUPLICATE_WINDOW` a second publication on the topic with the same
                key adds nothing, and gives the same position.

        Raises:
            BrokerUnavailable: it was certainly not added.
            OutcomeUnknown: it may have been.
            MessageTooBig: the broker takes none of this size.
        """

    async def follow(self, topics: Sequence[tuple[str, TopicPolicy]]) -> None:
        """Push each message that is added from now on (from when this returns); again does nothing.

        Raises:
            BrokerUnavailable: it is away. They are followed all the same once it is back.
        """

    def unfollow(self, topics: Sequence[str]) -> None:
        """Push them no more, perhaps not at once; what is not followed is ignored."""

    async def follow_pattern(self, pattern: str) -> None:
        """The same for all topics that a pattern matches, also of those that are yet to be."""

    def unfollow_pattern(self, pattern: str) -> None:
        """The opposite."""

    async def positions(self, topics: Sequence[tuple[str, TopicPolicy]]) -> list[Position]:
        """The tops of streams as they are now: whoever has read so far has all; in the order asked for.

        Raises:
            BrokerUnavailable: it is away.
        """

    async def read(self, topic: str, policy: TopicPolicy, after: int, limit: int = MAX_READ) -> History:
        """A topic's messages after an offset, at most `limit`, which are then the newest.

        Raises:
            BrokerUnavailable: it is away.
        """

    async def cast(self, data: bytes) -> None:
        """Tell all nodes something, this one too, at most once.

        Raises:
            BrokerUnavailable: it is away.
        """

    async def ping(self) -> float:
        """Seconds of a round trip.

        Raises:
            BrokerUnavailable: it is away.
        """
