"""What a node follows on its broker, and how it finds out that it has missed something.

A topic is followed with its first subscriber, and let go a moment after the last
one, so that coming and going does not reach the broker. Topics with a history
that were quiet are asked where their streams are, and so are all after an outage.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Final

from ..errors import BrokerError
from .brokers.base import Broker
from .feed import Feed
from .topic import Topic

if TYPE_CHECKING:
    from .hub import Hub

logger = logging.getLogger("wsmash")

LINGER: Final = 5.0
"""Seconds that a topic, or a pattern, without subscribers is followed yet."""

MAX_LINGERING: Final = 1024
"""Such topics and patterns at most: those that wait longest are let go at once."""

MAX_SEEN: Final = 5000
"""Topics seen through patterns alone of which it is known where they are: those quiet longest are forgotten."""

MAX_ASKED: Final = 500
"""Topics in one question to the broker."""

MAX_READS: Final = 16
"""Histories that are read at the same time."""

RETRY: Final = 1.0
"""Seconds until what the broker did not do, though it is there, is asked of it again."""


class Following:
    """The part of a hub that asks things of its broker."""

    def __init__(self, hub: Hub, broker: Broker) -> None:
        self.tick = -1
        self._hub = hub
        self._broker = broker
        self._wheel = hub.environment.wheel
        self._new: dict[str, Topic] = {}
        self._checks: dict[str, Topic] = {}
        self._lingering: dict[Feed, float] = {}  # those that began to wait first come first
        self._seen: dict[str, Topic] = {}  # those that were quiet longest come first
        self._reads: dict[Topic, asyncio.Task[None]] = {}
        self._room = asyncio.Semaphore(MAX_READS)
        self._missed: asyncio.Task[None] | None = None
        self._missed_more = False
        self._outages = 0  # how often the broker was lost, or came back

    # -- topics and patterns

    def want(self, topic: Topic) -> None:
        """Follow a topic that has its first subscriber."""
        self._seen.pop(topic.name, None)
        if self._lingering.pop(topic, None) is None:
            if not self._new:
                self._hub.environment.loop.call_soon(self._follow_new)
            self._new[topic.name] = topic

    def want_pattern(self, feed: Feed) -> asyncio.Task[None] | None:
        """The same for a pattern; the task that ends when it is followed, None where it is."""
        if self._lingering.pop(feed, None) is not None:
            return None
        return self._hub.run(self._follow_pattern(feed.name))

    def idle(self, feed: Feed) -> None:
        """Nobody is subscribed any more: let go of it in a moment."""
        self._lingering[feed] = self._wheel.clock() + LINGER
        if len(self._lingering) > MAX_LINGERING:
            self._let_go([next(iter(self._lingering))])
        self._wheel.ask(self, self._wheel.clock() + LINGER)

    def due(self, now: float) -> float | None:
        """Let go of those that have waited."""
        self._let_go([feed for feed, until in self._lingering.items() if until <= now])
        return next(iter(self._lingering.values()), None)

    def saw(self, topic: Topic) -> None:
        """A message came through a pattern, of a topic without subscribers of its own."""
        if self._seen.pop(topic.name, None) is None:
            self._wheel.ask(topic, self._wheel.clock() + topic.interval)
        self._seen[topic.name] = topic
        if len(self._seen) > MAX_SEEN:
            self._forget(self._seen.pop(next(iter(self._seen))))

    def forget_seen(self) -> None:
        """There is no pattern any more."""
        seen, self._seen = self._seen, {}
        for topic in seen.values():
            self._forget(topic)

    def stop(self) -> None:
        """Nothing is due any more."""
        self._wheel.forget(self)
        for topic in self._hub.topics():
            self._wheel.forget(topic)

    def _let_go(self, feeds: list[Feed]) -> None:
        topics = [feed for feed in feeds if isinstance(feed, Topic)]
        for feed in feeds:
            del self._lingering[feed]
            if isinstance(feed, Topic):
                self._new.pop(feed.name, None)
                if self._hub.patterns.matching(feed.name):
                    self.saw(feed)  # through them it is yet
                else:
                    self._forget(feed)
            else:
                self._hub.forget_pattern(feed)
                self._broker.unfollow_pattern(feed.name)
        if topics:
            self._broker.unfollow([topic.name for topic in topics])

    def _forget(self, topic: Topic) -> None:
        self._wheel.forget(topic)
        self._hub.forget(topic)

    def _follow_new(self) -> None:
        topics, self._new = list(self._new.values()), {}
        for some in _batches(topics):
            self._hub.run(self._follow(some))

    async def _follow(self, topics: list[Topic]) -> None:
        asked = [(topic.name, topic.policy) for topic in topics]
        try:
            await self._broker.follow(asked)
            positions = await self._broker.positions(asked)
        except BrokerError as error:
            self._hub.failed("follow topics", error)
            for topic in topics:
                topic.not_reached()
                self.again(topic)
            return
        for topic, position in zip(topics, positions, strict=True):
            topic.checked(position)
            if topic.policy.has_history:
                self._wheel.ask(topic, self._wheel.clock() + topic.interval)

    async def _follow_pattern(self, pattern: str) -> None:
        try:
            await self._broker.follow_pattern(pattern)
        except BrokerError as error:
            self._hub.failed("follow a pattern", error)

    # -- where streams are

    def check(self, topic: Topic) -> None:
        """Ask where its stream is."""
        if not self._checks:
            self._hub.environment.loop.call_soon(self._check_asked)
        self._checks[topic.name] = topic

    def _check_asked(self) -> None:
        topics, self._checks = list(self._checks.values()), {}
        for some in _batches(topics):
            self._hub.run(self._try_to_check(some))

    async def _try_to_check(self, topics: list[Topic]) -> None:
        try:
            await self._check(topics)
        except BrokerError as error:
            self._hub.failed("ask where topics are", error)

    async def _check(self, topics: list[Topic]) -> None:
        positions = await self._broker.positions([(topic.name, topic.policy) for topic in topics])
        for topic, position in zip(topics, positions, strict=True):
            if self._hub.has(topic):
                topic.checked(position)

    # -- histories

    def read(self, topic: Topic, after: int) -> None:
        """Read its history."""
        self._reads[topic] = self._hub.run(self._read(topic, after))

    async def _read(self, topic: Topic, after: int) -> None:
        try:
            async with self._room:
                history = await self._broker.read(topic.name, topic.policy, after)
        except BrokerError as error:
            del self._reads[topic]
            self._hub.failed("read a history", error)
            topic.read_failed()
            return
        del self._reads[topic]
        topic.read(history, after)

    def again(self, topic: Topic) -> None:
        """Look at it again in a moment."""
        if self._hub.has(topic):
            self._wheel.ask(topic, self._wheel.clock() + RETRY)

    # -- outages

    def lost(self) -> None:
        """The broker is away."""
        self._outages += 1

    def missed(self) -> None:
        """Pushes were lost."""
        if self._missed is None or self._missed.done():
            self._missed = self._hub.run(self._find_missed())
        else:
            self._missed_more = True  # while it was looked for what had been lost before

    async def _find_missed(self) -> None:
        again = True
        while again:
            self._missed_more = False
            await self._catch_up(self._outages, told=False)
            again = self._missed_more

    def restored(self) -> None:
        """It is back."""
        self._outages += 1
        self._hub.run(self._catch_up(self._outages, told=True))

    async def _catch_up(self, outages: int, *, told: bool) -> None:
        """Find out what was missed, and fill the holes, or tell the gaps; unless it is lost again meanwhile."""
        self._hub.tell_pattern_gaps()
        topics = self._hub.topics()
        for some in _batches(topics):
            while outages == self._outages:
                try:
                    await self._check(some)
                except BrokerError as error:
                    self._hub.failed("ask where topics are", error)
                    await asyncio.sleep(RETRY)
                else:
                    break
        for topic in topics:
            while outages == self._outages and self._hub.has(topic) and topic.lacks:
                task = self._reads.get(topic)
                await (asyncio.sleep(RETRY) if task is None else asyncio.wait([task]))
        if told and outages == self._outages:
            self._hub.has_recovered()


def _batches(topics: Iterable[Topic]) -> Iterable[list[Topic]]:
    rest = iter(topics)
    while some := list(islice(rest, MAX_ASKED)):
        yield some
