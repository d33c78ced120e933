"""Patterns of one server that connections are subscribed to.

A pattern has no history of its own: who does not keep up, and all its subscribers
after an outage, are told of a gap, since nobody knows which of its topics had messages.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from ..errors import InvalidState
from ..runtime.actions import Action, Pending, Settled
from ..runtime.outbox import refused_broadcast
from ..transports.base import REFUSED
from .dialect import Dialect, Encoded
from .feed import Feed
from .follower import Gap
from .position import Position
from .record import Record
from .subscriber import Begun, Subscribed
from .tree import PatternTree

if TYPE_CHECKING:
    from .hub import Hub
    from .subscriber import Subscriber


class Patterns:
    """All of them."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._feeds: dict[str, PatternFeed] = {}
        self._tree: PatternTree[PatternFeed] = PatternTree()

    def __len__(self) -> int:
        return len(self._feeds)

    def get(self, name: str) -> PatternFeed | None:
        """One of them."""
        return self._feeds.get(name)

    def matching(self, topic: str) -> list[PatternFeed]:
        """Those that match a topic."""
        return self._tree.matching(topic) if self._feeds else []

    # -- subscribers

    def subscribe(
        self, connection: Subscriber, feeds: dict[str, Feed], name: str, begun: Begun | None
    ) -> Action[Subscribed]:
        """See `Hub.subscribe`."""
        feed = self._feeds.get(name)
        new = feed is None
        if feed is None:
            feed = self._feeds[name] = PatternFeed(self._hub, name)
            self._tree.add(name, feed)
        followed = self._hub.want_pattern(feed) if new or not feed else None
        feeds[name] = feed
        if followed is None:
            return Settled(_begin(connection, feed, begun))
        outcome: asyncio.Future[Subscribed] = self._hub.environment.loop.create_future()
        followed.add_done_callback(partial(_followed, connection, feed, begun, outcome))
        return Pending(outcome)

    def forget(self, feed: Feed) -> None:
        """Nobody is subscribed to it any more."""
        del self._feeds[feed.name]
        self._tree.remove(feed.name)

    # -- what they are told

    def deliver(self, topic: str, position: Position | None, record: Record) -> None:
        """A message whose turn it is."""
        if self._feeds:
            for feed in self._tree.matching(topic):
                feed.deliver(topic, position, record)

    def tell_of(self, topic: str, gap: Gap) -> None:
        """A gap in one of their topics."""
        for feed in self.matching(topic):
            feed.tell(partial(_gap_of, topic, gap, feed.name))

    def tell_gaps(self) -> list[str]:
        """Topics that were never seen may have lost their first messages: the patterns that were told so."""
        for feed in tuple(self._feeds.values()):
            feed.tell(partial(_gap, feed.name))
        return list(self._feeds)


def _begin(connection: Subscriber, feed: PatternFeed, begun: Begun | None) -> Subscribed:
    found = Subscribed(None, True)
    if begun is not None:
        begun(found)
    feed.add(connection)
    return found


def _followed(
    connection: Subscriber, feed: PatternFeed, begun: Begun | None, outcome: asyncio.Future[Subscribed], _: object
) -> None:
    if connection._feeds is not None and connection._feeds.get(feed.name) is feed:
        outcome.set_result(_begin(connection, feed, begun))
    else:
        outcome.set_exception(InvalidState("it was unsubscribed before the subscription began"))


def _gap_of(topic: str, gap: Gap, pattern: str, dialect: Dialect) -> Encoded | None:
    return dialect.gap(topic, gap.position, gap.reason, pattern)


def _gap(name: str, dialect: Dialect) -> Encoded | None:
    return dialect.gap(name, None, "outage")


class PatternFeed(Feed):
    """The subscribers of one pattern."""

    __slots__ = ("_left_out",)

    def __init__(self, hub: Hub, name: str) -> None:
        super().__init__(hub, name)
        self._left_out: dict[Subscriber, None] | None = None  # those that wait for room

    def __len__(self) -> int:
        return super().__len__() + len(self._left_out or ())

    def discard(self, connection: Subscriber) -> None:
        """Send to it no more."""
        if self._left_out is not None and connection in self._left_out:
            del self._left_out[connection]
        else:
            super().discard(connection)

    def _refused(self, connection: Subscriber) -> None:
        refused_broadcast(connection)
        if connection.is_open() and self.dialect_of(connection).gap(self.name, None, "slow") is not None:
            super().discard(connection)
            if self._left_out is None:
                self._left_out = {}
            self._left_out[connection] = None
            self._wait(connection)

    def _wait(self, connection: Subscriber) -> None:
        connection._need_outbox().room().future.add_done_callback(lambda _: self._has_room(connection))

    def _has_room(self, connection: Subscriber) -> None:
        if self._left_out is None or connection not in self._left_out:
            return
        gap = self.dialect_of(connection).gap(self.name, None, "slow")
        if gap is not None and connection._put(*gap) == REFUSED:
            self._wait(connection)
            return
        del self._left_out[connection]
        self._hub.counters.gaps += 1
        self.add(connection)
