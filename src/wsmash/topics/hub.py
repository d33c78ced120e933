"""All topics of one server on one node: who is subscribed, and what is published."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from ..codecs import Message
from ..constants import CloseCode
from ..errors import BrokerUnavailable, InvalidState, MessageTooBig
from ..options import ServerOptions
from ..runtime.actions import Action, Pending, Settled
from ..runtime.counters import ServerCounters
from ..runtime.environment import Environment
from ..runtime.reports import Reports
from .access import Access
from .brokers.base import Broker
from .brokers.choice import make_broker
from .brokers.memory import MemoryBroker
from .dialect import PLAIN, Dialect, Encoded
from .feed import Feed
from .follower import Gap
from .members import Member, Move, encode_info
from .names import check_pattern, check_topic, is_pattern
from .policy import Policies
from .position import Position
from .record import Record, encode_record, record_of
from .subscriber import Begun, Subscribed, Subscriber
from .topic import Topic
from .tree import PatternTree

MAX_KEY = 200
"""Characters of an idempotency key."""


class Listener(Protocol):
    """Who hears of what happens to topics: the server, which fires events."""

    def degraded(self, error: Exception) -> None:
        """The broker is away."""

    def restored(self) -> None:
        """It is back, and every gap was told."""

    def gap(self, name: str, position: Position | None, reason: str) -> None:
        """Subscribers of a topic, or a pattern, on this node may have missed messages."""


    def moved(self, move: Move, is_local: bool) -> None:
        """A member has come to a topic with presence, or left it; whether it is one of this node's connections."""


class Presence(Protocol):
    """Who keeps account of who is on a topic."""

    def joined(self, topic: Topic, connection: Subscriber, info: Any) -> None:
        """A connection was subscribed to a topic with presence."""

    def left(self, topic: Topic, connection: Subscriber) -> None:
        """It is that no more."""

    async def members(self, topic: str) -> tuple[Member, ...]:
        """Who is on a topic, on all nodes."""
        raise NotImplementedError

    def cast(self, data: bytes) -> None:
        """A node, perhaps this one, has cast something."""

    def lost(self) -> None:
        """Casts may be lost from now on."""

    def restored(self) -> None:
        """They come again."""


class Hub:
    """The topics of a running server.

    Args:
        environment: of the server's loop.
        options: the server's.
        counters: the server's.
        policies: what is promised of topics.
        listener: hears of outages and gaps.
        reports: the records of what others bring about.
        dialects: by subprotocol; connections of others speak the plain one.

    Attributes:
        access: what clients may do by themselves.
        broker: what carries messages between nodes; None where this node is alone.
        degraded: why other nodes are out of reach, None where they are not.
        presence: keeps account of who is on a topic, where anybody does.
    """

    def __init__(
        self,
        environment: Environment,
        options: ServerOptions,
        counters: ServerCounters,
        policies: Policies,
        *,
        listener: Listener,
        reports: Reports,
        dialects: Mapping[str | None, Dialect] | None = None,
    ) -> None:
        self.environment = environment
        self.options = options
        self.counters = counters
        self.policies = policies
        self.access = Access(options, counters, environment.wheel.clock)
        self.broker: Broker | None = None
        self.degraded: Exception | None = None
        self.presence: Presence | None = None
        self._listener = listener
        self._reports = reports
        self._dialects = dialects or {}
        self._memory: MemoryBroker | None = None
        self._topics: dict[str, Topic] = {}
        self._patterns: dict[str, Feed] = {}
        self._tree: PatternTree[Feed] = PatternTree()
        self._tasks: set[asyncio.Task[Any]] = set()

    # -- a run of the server

    async def start(self) -> None:
        """Connect to the broker.

        Raises:
            BrokerUnavailable, BrokerError: see `Broker.start`.
        """
        broker = self.options.broker
        if broker == "memory":
            self._memory = MemoryBroker(self.environment.wheel.clock)
            return
        self.broker = make_broker(broker, self.options.namespace) if isinstance(broker, str) else broker
        await self.broker.start(self)

    async def stop(self) -> None:
        """Let go of it; what is under way fails."""
        for task in tuple(self._tasks):
            task.cancel()
        broker, self.broker, self._memory = self.broker, None, None
        if broker is not None:
            await broker.stop()

    def run(self, coroutine: Any) -> asyncio.Task[Any]:
        """Run it in a task, which is cancelled when the hub stops."""
        task = self.environment.run(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # -- publishing

    def publish(self, topic: str, data: Message, key: str | None = None) -> Action[Position | None]:
        """See `WebSocketServer.publish`."""
        record = record_of(data)
        return self.publish_record(topic, record, key)

    def publish_record(self, topic: str, record: Record, key: str | None = None) -> Action[Position | None]:
        """The same, of what is a record already."""
        known = self._topics.get(topic)
        policy = self.policies.of(check_topic(topic)) if known is None else known.policy
        if key is not None:
            _check_key(key)
        most = self.options.max_message_size
        if most is not None and len(record.payload) > most:
            raise MessageTooBig(
                f"a message of {len(record.payload)} bytes is longer than max_message_size={most}",
                CloseCode.MESSAGE_TOO_BIG,
            )
        memory = self._memory
        if memory is None:
            return self._publish_through(topic, record, key)
        data = encode_record(record) if policy.has_history else b""
        position, new = memory.add(topic, policy, data, key)
        if new:
            if known is not None:
                known.published(position, record)
            if self._patterns:
                for pattern in self._tree.matching(topic):
                    pattern.deliver(topic, position, record)
        return Settled(position)

    def _publish_through(self, topic: str, record: Record, key: str | None) -> Action[Position | None]:
        if self.broker is None:
            raise InvalidState("nothing can be published before the server is started, or once it has stopped")
        policy = self.policies.of(topic)
        if self.degraded is not None and not policy.fails_in_outage:
            self._deliver_here(topic, record)
            return Settled(None)
        return Pending(self.run(self._added(self.broker, topic, record, key)))

    async def _added(self, broker: Broker, topic: str, record: Record, key: str | None) -> Position | None:
        policy = self.policies.of(topic)
        try:
            return await broker.publish(topic, policy, encode_record(record), key)
        except BrokerUnavailable:
            if policy.fails_in_outage:
                raise
        self._deliver_here(topic, record)
        return None

    def _deliver_here(self, topic: str, record: Record) -> None:
        """A message that only this node's subscribers get."""
        known = self._topics.get(topic)
        if known is not None:
            known.deliver(topic, None, record)
        for pattern in self._tree.matching(topic):
            pattern.deliver(topic, None, record)

    def pass_on(self, topic: Topic, position: Position, record: Record) -> None:
        """A message whose turn it is, for the subscribers of a topic and of the patterns that match it."""
        topic.deliver(topic.name, position, record)
        for pattern in self._tree.matching(topic.name):
            pattern.deliver(topic.name, position, record)

    # -- subscribing

    def dialect_of(self, connection: Subscriber) -> Dialect:
        """How a connection is told of topics."""
        return self._dialects.get(connection._subprotocol, PLAIN)

    def subscribe(
        self,
        connection: Subscriber,
        name: str,
        *,
        since: Position | None = None,
        info: Any = None,
        begun: Begun | None = None,
    ) -> Action[Subscribed]:
        """See `Subscriber.subscribe`; a sub-protocol is told how it begins before the first message is sent."""
        feeds = connection._feeds
        if info is not None:
            encode_info(info)
        if feeds is not None and name in feeds:
            topic = feeds[name]
            if info is not None and self.presence is not None and isinstance(topic, Topic) and topic.policy.presence:
                self.presence.joined(topic, connection, info)
            found = Subscribed(self.position_of(name), since is None)
            if begun is not None:
                begun(found)
            return Settled(found)
        check_pattern(name)
        if since is not None and is_pattern(name):
            raise ValueError(f"{name!r:.300} is a pattern, and since= is a position in one topic")
        most = self.options.max_topics_per_connection
        if feeds is not None and most is not None and len(feeds) >= most:
            self.counters.refused_topics += 1
            raise InvalidState(f"this connection has max_topics_per_connection={most} topics")
        if feeds is None:
            feeds = connection._feeds = {}
        if is_pattern(name):
            feed = feeds[name] = self._need_pattern(name)
            if begun is not None:
                begun(Subscribed(None, True))
            feed.add(connection)
            return Settled(Subscribed(None, True))
        topic = self._need_topic(name)
        feeds[name] = topic
        outcome = topic.subscribe(connection, since, begun)
        if self.presence is not None and topic.policy.presence:
            self.presence.joined(topic, connection, info)
        return outcome

    def unsubscribe(self, connection: Subscriber, name: str) -> bool:
        """Whether it was subscribed, which it is no more."""
        feed = None if connection._feeds is None else connection._feeds.pop(name, None)
        if feed is None:
            return False
        if not connection._feeds:
            connection._feeds = None
        self._leave(connection, feed)
        return True

    def leave(self, connection: Subscriber) -> None:
        """The connection takes no messages any more."""
        feeds, connection._feeds = connection._feeds, None
        for feed in (feeds or {}).values():
            self._leave(connection, feed)

    def _leave(self, connection: Subscriber, feed: Feed) -> None:
        feed.discard(connection)
        if isinstance(feed, Topic):
            if self.presence is not None and feed.policy.presence:
                self.presence.left(feed, connection)
            if not feed:
                self._topics.pop(feed.name, None)
        elif not feed:
            del self._patterns[feed.name]
            self._tree.remove(feed.name)

    def _need_topic(self, name: str) -> Topic:
        topic = self._topics.get(name)
        if topic is None:
            topic = self._topics[name] = Topic(self, name, self.policies.of(name))
            if self._memory is not None:
                topic.follower.begin(self._memory.position())
            elif self.broker is not None:
                self.run(self._follow(self.broker, topic))
        return topic

    async def _follow(self, broker: Broker, topic: Topic) -> None:
        asked = [(topic.name, topic.policy)]
        await broker.follow(asked)
        [position] = await broker.positions(asked)
        topic.follower.begin(position)

    def _need_pattern(self, pattern: str) -> Feed:
        feed = self._patterns.get(pattern)
        if feed is None:
            feed = self._patterns[pattern] = Feed(self, pattern)
            self._tree.add(pattern, feed)
            if self.broker is not None:
                self.run(self.broker.follow_pattern(pattern))
        return feed

    # -- what there is to know

    def get_subscriber_count(self, name: str) -> int:
        """How many connections of this node are subscribed to the topic, or to this very pattern."""
        feed: Feed | None = self._topics.get(name) or self._patterns.get(name)
        return 0 if feed is None else len(feed)

    def position_of(self, name: str) -> Position | None:
        """Where this node is in a topic's stream, as far as that is known."""
        topic = self._topics.get(name)
        return None if topic is None else topic.follower.position

    # -- what the broker tells

    def pushed(self, topic: str, epoch: str, previous: int, offset: int, data: bytes) -> None:
        """See `Receiver`."""
        known = self._topics.get(topic)
        if known is not None:
            known.pushed(epoch, previous, offset, data)

    def cast(self, data: bytes) -> None:
        """See `Receiver`."""
        if self.presence is not None:
            self.presence.cast(data)

    def lost(self, error: Exception) -> None:
        """See `Receiver`."""
        self.degraded = error
        self._listener.degraded(error)

    def missed(self, reason: str) -> None:
        """See `Receiver`."""

    def restored(self) -> None:
        """See `Receiver`."""
        self.degraded = None
        self._listener.restored()

    # -- what topics tell

    async def members(self, topic: str) -> tuple[Member, ...]:
        """Who is on a topic, on all nodes."""
        return () if self.presence is None else await self.presence.members(topic)

    def tell(self, topic: str, encode: Callable[[Dialect], Encoded | None]) -> None:
        """Tell the subscribers of a topic something of which their dialect may have words."""
        known = self._topics.get(topic)
        if known is not None:
            known.tell(encode)

    def tell_gap(self, feed: Feed, gap: Gap) -> None:
        """Tell the subscribers of a topic of a gap."""
        self.counters.gaps += 1
        feed.tell(lambda dialect: dialect.gap(feed.name, gap.position, gap.reason))
        self._listener.gap(feed.name, gap.position, gap.reason)

    def invalid(self, topic: str, error: Exception) -> None:
        """What came from the broker is no record of ours (case 107)."""
        self.counters.invalid_records += 1
        self._reports.log(logging.WARNING, "a message of the topic %s is left out: %s", topic, error)


def _check_key(key: object) -> None:
    if not isinstance(key, str):
        raise TypeError(f"an idempotency key is a str, not {key!r:.75}")
    if not 0 < len(key) <= MAX_KEY:
        raise ValueError(f"an idempotency key has 1 to {MAX_KEY} characters, and this one has {len(key)}")
