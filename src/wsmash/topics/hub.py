"""All topics of one server on one node: who is subscribed to what, and what its broker tells of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ..errors import BrokerUnavailable, InvalidState
from ..options import ServerOptions
from ..runtime.actions import Action, Settled
from ..runtime.counters import ServerCounters
from ..runtime.environment import Environment
from ..runtime.reports import Reports
from .access import Access
from .brokers.choice import make_broker
from .brokers.memory import MemoryBroker
from .catching_up import Kept
from .dialect import PLAIN, Dialect, Encoded
from .feed import Feed
from .follower import Gap
from .following import Following
from .listener import Listener, Presence
from .members import Member, encode_info
from .names import check_pattern, is_pattern
from .patterns import Patterns
from .policy import Policies
from .position import Position
from .publisher import Publisher
from .subscriber import Begun, Subscribed, Subscriber
from .topic import Topic

logger = logging.getLogger("wsmash")


class Hub(Publisher):
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
        kept: what waits for subscribers who are behind.
        away: whether the broker is.
        degraded: why it is, or was: None once all that was missed has been sent, or told as a gap.
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
        super().__init__(environment, options, policies, Patterns(self))
        self.counters = counters
        self.access = Access(options, counters, environment.wheel.clock)
        self.kept = Kept()
        self.away = False
        self.degraded: Exception | None = None
        self.presence: Presence | None = None
        self._listener = listener
        self._reports = reports
        self._dialects = dialects or {}
        self._following: Following | None = None
        self._told: dict[Subscriber, None] = {}  # those with subscriptions who are to hear of outages, too

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
        self._following = Following(self, self.broker)
        await self.broker.start(self)
        logger.info("the broker is there; what a message survives that it has acknowledged: %s", self.broker.durability)

    async def stop(self) -> None:
        """Let go of it; what is under way fails."""
        for task in tuple(self._tasks):
            task.cancel()
        if self._following is not None:
            self._following.stop()
        broker, self.broker, self._memory, self._following = self.broker, None, None, None
        if broker is not None:
            await broker.stop()

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
        """See `Subscriber.subscribe`; `begun` is called when it begins, before the first message."""
        feeds = connection._feeds
        if info is not None:
            encode_info(info)
        if feeds is not None and name in feeds:
            return self._again(connection, feeds[name], since, info, begun)
        check_pattern(name)
        if since is not None and is_pattern(name):
            raise ValueError(f"{name!r:.300} is a pattern, and since= is a position in one topic")
        most = self.options.max_topics_per_connection
        if feeds is not None and most is not None and len(feeds) >= most:
            self.counters.refused_topics += 1
            raise InvalidState(f"this connection has max_topics_per_connection={most} topics")
        if feeds is None:
            feeds = connection._feeds = {}
            if self.dialect_of(connection).degraded() is not None:
                self._told[connection] = None
        if is_pattern(name):
            return self.patterns.subscribe(connection, feeds, name, begun)
        topic = feeds[name] = self._need_topic(name)
        if topic.policy.presence:
            begun = partial(self._joined, topic, connection, info, begun)
        return topic.subscribe(connection, since, begun)

    def _joined(
        self, topic: Topic, connection: Subscriber, info: Any, begun: Begun | None, found: Subscribed
    ) -> None:
        if begun is not None:
            begun(found)
        if self.presence is not None and connection.is_open():  # the answer may have been too much for it
            self.presence.joined(topic, connection, info)

    def _again(
        self, connection: Subscriber, feed: Feed, since: Position | None, info: Any, begun: Begun | None
    ) -> Action[Subscribed]:
        position = feed.position if isinstance(feed, Topic) else None
        if info is not None and self.presence is not None and isinstance(feed, Topic) and feed.policy.presence:
            self.presence.joined(feed, connection, info)
        under_way = feed.again(connection, begun) if isinstance(feed, Topic) else None
        if under_way is not None:
            return under_way
        found = Subscribed(position, since is None)
        if begun is not None:
            begun(found)
        return Settled(found)

    def unsubscribe(self, connection: Subscriber, name: str) -> bool:
        """Whether it was subscribed, which it is no more."""
        feed = None if connection._feeds is None else connection._feeds.pop(name, None)
        if feed is None:
            return False
        if not connection._feeds:
            connection._feeds = None
            self._told.pop(connection, None)
        self._leave(connection, feed)
        return True

    def leave(self, connection: Subscriber) -> None:
        """The connection takes no messages any more."""
        feeds, connection._feeds = connection._feeds, None
        self._told.pop(connection, None)
        for feed in (feeds or {}).values():
            self._leave(connection, feed)

    def _leave(self, connection: Subscriber, feed: Feed) -> None:
        feed.discard(connection)
        if isinstance(feed, Topic) and self.presence is not None and feed.policy.presence:
            self.presence.left(feed, connection)
        if feed:
            return
        if self._following is not None:
            self._following.idle(feed)
        elif isinstance(feed, Topic):
            self.forget(feed)
        else:
            self.forget_pattern(feed)

    def _need_topic(self, name: str) -> Topic:
        topic = self._topics.get(name)
        if topic is None:
            position = None if self._memory is None else self._memory.position()
            topic = self._topics[name] = Topic(self, name, self.policies.of(name), position)
        if not topic and self._following is not None:
            self._following.want(topic)
        return topic

    def forget(self, topic: Topic) -> None:
        """Nobody needs to know where it is any more."""
        if self._topics.get(topic.name) is topic:
            del self._topics[topic.name]

    def want_pattern(self, feed: Feed) -> asyncio.Task[None] | None:
        """Follow a pattern that has its first subscriber; the task of that, None where it is followed."""
        return None if self._following is None else self._following.want_pattern(feed)

    def forget_pattern(self, feed: Feed) -> None:
        """Nobody is subscribed to it any more."""
        self.patterns.forget(feed)
        if not self.patterns and self._following is not None:
            self._following.forget_seen()

    # -- what there is to know

    def get_subscriber_count(self, name: str) -> int:
        """How many connections of this node are subscribed to the topic, or to this very pattern."""
        feed: Feed | None = self._topics.get(name) or self.patterns.get(name)
        return 0 if feed is None else len(feed)

    def topics(self) -> list[Topic]:
        """All that this node knows of."""
        return list(self._topics.values())

    def has(self, topic: Topic) -> bool:
        """Whether this one is known yet."""
        return self._topics.get(topic.name) is topic

    # -- what the broker tells

    def pushed(self, topic: str, epoch: str, previous: int, offset: int, data: bytes) -> None:
        """See `Receiver`."""
        following = self._following
        if following is None:
            return
        known = self._topics.get(topic)
        matched = bool(self.patterns.matching(topic))
        if known is None:
            if not matched:
                if self.broker is not None:
                    self.broker.unfollow([topic])  # it was let go while it was about to be followed
                return
            known = self._topics[topic] = Topic(self, topic, self.policies.of(topic))
        if matched:
            if not known:
                following.saw(known)
            if known.position is None:
                known.seen(epoch, previous)
        known.pushed(epoch, previous, offset, data)

    def cast(self, data: bytes) -> None:
        """See `Receiver`."""
        if self.presence is not None:
            self.presence.cast(data)

    def lost(self, error: Exception) -> None:
        """See `Receiver`."""
        self.away = True
        if self._following is not None:
            self._following.lost()
        if self.presence is not None:
            self.presence.lost()
        if self.degraded is None:
            self._reports.log(logging.WARNING, "the broker is away: %s", error)
            self._tell_all(lambda dialect: dialect.degraded())
            self._listener.degraded(error)
        self.degraded = error

    def missed(self, reason: str) -> None:
        """See `Receiver`."""
        self._reports.log(logging.WARNING, "messages of the broker were lost: %s", reason)
        if self._following is not None:
            self._following.missed()

    def restored(self) -> None:
        """See `Receiver`."""
        self.away = False
        if self.presence is not None:
            self.presence.restored()
        if self._following is not None:
            self._following.restored()

    def has_recovered(self) -> None:
        """What was missed in an outage was sent, or told as a gap."""
        self.degraded = None
        self._tell_all(lambda dialect: dialect.restored())
        self._listener.restored()

    # -- what topics ask for and tell

    def read(self, topic: Topic, after: int) -> None:
        """Read a topic's history, and tell it."""
        if self._memory is not None:
            topic.read(self._memory.read(topic.name, after), after)
        elif self._following is not None:
            self._following.read(topic, after)

    def read_later(self, topic: Topic) -> None:
        """Do so in a moment: this time nothing came of it."""
        if self._following is not None:
            self._following.again(topic)

    def look_at(self, topic: Topic, *, ask: bool) -> bool:
        """A topic is looked at, and perhaps to be asked whether its stream has gone on; whether to look again."""
        following = self._following
        if following is None or not self.has(topic):
            return False
        if ask:
            following.check(topic)
        return topic.policy.has_history or topic.position is None

    async def members(self, topic: str) -> tuple[Member, ...]:
        """Who is on a topic, on all nodes."""
        return () if self.presence is None else await self.presence.members(topic)

    def tell(self, topic: str, encode: Callable[[Dialect], Encoded | None]) -> None:
        """Tell the subscribers of a topic something of which their dialect may have words."""
        known = self._topics.get(topic)
        if known is not None:
            known.everyone(encode)

    def tell_gap(self, topic: Topic, gap: Gap) -> None:
        """Tell the subscribers of a topic, and of the patterns that match it, of a gap."""
        self.counters.gaps += 1
        topic.tell(lambda dialect: dialect.gap(topic.name, gap.position, gap.reason))
        self.patterns.tell_of(topic.name, gap)
        self._listener.gap(topic.name, gap.position, gap.reason)

    def tell_pattern_gaps(self) -> None:
        """Topics that were never seen may have lost their first messages: nobody can know."""
        for name in self.patterns.tell_gaps():
            self.counters.gaps += 1
            self._listener.gap(name, None, "outage")

    def invalid(self, topic: str, error: Exception) -> None:
        """What came from the broker is no record of ours (case 107)."""
        self.counters.invalid_records += 1
        self._reports.log(logging.WARNING, "a message of the topic %s is left out: %s", topic, error)

    def failed(self, what: str, error: Exception) -> None:
        """The broker did not do something."""
        level = logging.DEBUG if isinstance(error, BrokerUnavailable) else logging.ERROR
        self._reports.log(level, "the broker could not %s: %s", what, error)

    def _tell_all(self, encode: Callable[[Dialect], Encoded | None]) -> None:
        for connection in tuple(self._told):
            encoded = encode(self.dialect_of(connection))
            if encoded is not None:
                connection._tell(*encoded)
