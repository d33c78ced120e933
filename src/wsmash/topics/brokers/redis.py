"""Topics by way of Redis: streams for the histories, a script for whatever changes them, Pub/Sub for the pushes.

Two connections carry it, one for commands and one for pushes. All that is kept of a
topic has its name between braces, and so lies in one hash slot. Offsets have no
holes. Data that another server wrote, or this one before it was started again, may
lack messages that were acknowledged: the server's lineage, which each publication
tells the script, is then another one, and a new epoch begins (case 112).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Final, cast

from ...errors import BrokerUnavailable, MessageTooBig, OutcomeUnknown
from ..names import matches
from ..policy import TopicPolicy
from ..position import Position, new_epoch
from .base import DUPLICATE_WINDOW, MAX_READ, Entry, History, Receiver
from .redis_address import Address
from .redis_names import Names, check_namespace, glob_of, names_of, topic_of
from .redis_replies import Reply, ReplyError
from .redis_session import SCRIPT, Session

MAX_RECORD: Final = 16 * 1024 * 1024
"""Bytes of a record at most: Redis cuts off subscribers to whom it has to send 32 MiB, by default."""

MAX_READ_SIZE: Final = 16 * 1024 * 1024
"""Bytes of a history that are read at most, of which the longest record is not more: who lacks more gets a gap."""

_KNOWN: Final = b"%d" % (DUPLICATE_WINDOW * 1000)
"""Milliseconds that the result of an idempotency key is kept."""

_HEAD: Final = re.compile(rb"1\n([0-9a-f]{32})\n([1-9][0-9]{0,15})\n")
"""What stands before the record in a push: its version, the epoch and the offset."""

_BATCH: Final = 500
"""Topics that are asked for together."""


class _Followed:
    """A topic that is followed.

    Attributes:
        name: its name.
        epoch, offset: how far its stream is known to have come by replies of the script: whatever is pushed may
            have been made by anybody who can write to the channel.
    """

    __slots__ = ("epoch", "name", "offset")

    def __init__(self, name: str) -> None:
        self.name = name
        self.epoch = ""
        self.offset = 0


class RedisBroker:
    """A broker behind a URL of Redis.

    Args:
        url: `redis://user:password@host:6379/0`, `rediss://...` for TLS, or `unix:///path?db=0`; see
            `docs/brokers.md` for its options.
        namespace: what the names of all keys and channels begin with.

    Attributes:
        durability: what an acknowledged message survives.
        shared: that other nodes may be there.
        ignored: how many pushes were none of ours: garbage, or of a version that is not known.

    Raises:
        ValueError: the URL or the namespace is none; the text never holds the password.
    """

    durability = (
        "that of Redis: with appendonly=yes and appendfsync=everysec the last second may be lost with a server's "
        "power, and what was not yet replicated at a failover"
    )
    shared = True

    def __init__(self, url: str, namespace: str = "wsmash") -> None:
        self.ignored = 0
        self._namespace = check_namespace(namespace)
        self._address = Address(url)
        self._cast = f"{namespace}:cast".encode()
        self._receiver: Receiver | None = None
        self._session = Session(self._address, self._pushed, self._wanted)
        self._followed: dict[bytes, _Followed] = {}  # by channel
        self._patterns: dict[str, bytes] = {}  # with what Redis matches for each

    def __repr__(self) -> str:
        return f"<RedisBroker {self._address.place} {self._namespace}>"

    async def start(self, receiver: Receiver) -> None:
        """See `Broker.start`."""
        self._receiver = receiver
        await self._session.start(receiver.lost, receiver.restored)

    async def stop(self) -> None:
        """See `Broker.stop`."""
        await self._session.stop()

    # -- messages

    async def publish(self, topic: str, policy: TopicPolicy, data: bytes, key: str | None) -> Position:
        """See `Broker.publish`."""
        if len(data) > MAX_RECORD:
            raise MessageTooBig(
                f"a message of {len(data)} bytes is longer than {MAX_RECORD}, what Redis is given", 1009
            )
        names = names_of(self._namespace, topic)
        result = () if key is None else (names.key + key.encode(),)
        try:
            reply = await self._run(names, result, b"publish", policy, data, names.channel, _KNOWN)
        except OutcomeUnknown as error:
            raise OutcomeUnknown(str(error), key) from error
        except ReplyError as error:
            if error.did_nothing:
                raise BrokerUnavailable(f"Redis has refused a message: {error!s:.300}") from error
            raise OutcomeUnknown(f"Redis failed at a message: {error!s:.300}", key) from error
        epoch, offset, is_new = cast(tuple[bytes, bytes, int], reply)
        position = Position(epoch.decode(), int(offset))
        if is_new:  # else it may be of an epoch that is over
            self._note(names, position)
        return position

    async def positions(self, topics: Sequence[tuple[str, TopicPolicy]]) -> list[Position]:
        """See `Broker.positions`."""
        found: list[Position] = []
        for at in range(0, len(topics), _BATCH):
            reads = (self.read(topic, policy, 0, 0) for topic, policy in topics[at : at + _BATCH])
            found += [Position(each.epoch, each.top) for each in await asyncio.gather(*reads)]
        return found

    async def read(self, topic: str, policy: TopicPolicy, after: int, limit: int = MAX_READ) -> History:
        """See `Broker.read`."""
        names = names_of(self._namespace, topic)
        numbers = (b"%d" % number for number in (after, limit, MAX_READ_SIZE))
        try:
            reply = await self._run(names, (), b"read", policy, *numbers)
        except (OutcomeUnknown, ReplyError) as error:
            raise BrokerUnavailable(f"Redis does not say what it has: {error!s:.300}") from error
        epoch, top, complete, found = cast(tuple[bytes, bytes, int, list[Reply]], reply)
        position = Position(epoch.decode(), int(top))
        self._note(names, position)
        return History(*position, self._entries(found), bool(complete))

    def _entries(self, found: list[Reply]) -> list[Entry]:
        """Those of a read, which come backwards, without what anybody else has written there."""
        entries: list[Entry] = []
        for offset, data in zip(found[-2::-2], found[::-2], strict=True):
            if isinstance(offset, bytes) and isinstance(data, bytes):
                entries.append(Entry(int(offset), data))
            else:
                self.ignored += 1
        return entries

    async def cast(self, data: bytes) -> None:
        """See `Broker.cast`."""
        await self._ask(b"PUBLISH", self._cast, data)

    async def ping(self) -> float:
        """See `Broker.ping`."""
        loop = asyncio.get_running_loop()
        since = loop.time()
        await self._ask(b"PING")
        return loop.time() - since

    async def _ask(self, *parts: bytes) -> Reply:
        try:
            return await self._session.commands.call(*parts)
        except (OutcomeUnknown, ReplyError) as error:
            raise BrokerUnavailable(f"Redis does not answer as it should: {error!s:.300}") from error

    async def _run(
        self, names: Names, result: tuple[bytes, ...], operation: bytes, policy: TopicPolicy, *arguments: bytes
    ) -> Reply:
        """What the script says; see there."""
        link = self._session.commands
        followed = self._followed.get(names.channel)
        known = (b"", b"0") if followed is None else (followed.epoch.encode(), b"%d" % followed.offset)
        call = (
            *(b"%d" % (2 + len(result)), names.meta, names.stream, *result),
            *(operation, new_epoch().encode(), link.lineage, *known),
            *(b"%d" % (policy.history_size or 0), b"%d" % ((policy.history_ttl or 0) * 1000)),
            *arguments,
        )
        try:
            try:
                return await link.call(b"EVALSHA", self._session.sha, *call)
            except ReplyError as error:
                if error.code != "NOSCRIPT":
                    raise
            return await link.call(b"EVAL", SCRIPT, *call)  # somebody has emptied the server's cache of scripts
        except ReplyError as error:
            if error.by_another:
                self._session.doubt()
            raise

    def _note(self, names: Names, position: Position) -> None:
        """So far its stream has come, if it is one that is followed."""
        followed = self._followed.get(names.channel)
        if followed is not None:
            followed.epoch, followed.offset = position

    # -- pushes

    async def follow(self, topics: Sequence[tuple[str, TopicPolicy]]) -> None:
        """See `Broker.follow`."""
        channels = [names_of(self._namespace, topic).channel for topic, _ in topics]
        for channel, (topic, _) in zip(channels, topics, strict=True):
            self._followed.setdefault(channel, _Followed(topic))
        await self._session.subscribe(b"SUBSCRIBE", channels)

    def unfollow(self, topics: Sequence[str]) -> None:
        """See `Broker.unfollow`."""
        for topic in topics:
            channel = names_of(self._namespace, topic).channel
            if self._followed.pop(channel, None) is not None:
                self._session.unsubscribe(b"UNSUBSCRIBE", channel)

    async def follow_pattern(self, pattern: str) -> None:
        """See `Broker.follow_pattern`."""
        glob = glob_of(self._namespace, pattern)
        self._patterns[pattern] = glob
        await self._session.subscribe(b"PSUBSCRIBE", [glob])

    def unfollow_pattern(self, pattern: str) -> None:
        """See `Broker.unfollow_pattern`."""
        glob = self._patterns.pop(pattern, None)
        if glob is not None and glob not in self._patterns.values():
            self._session.unsubscribe(b"PUNSUBSCRIBE", glob)

    def _wanted(self) -> list[tuple[bytes, list[bytes]]]:
        """What a new connection is to subscribe to."""
        return [
            (b"SUBSCRIBE", [self._cast, *self._followed]),
            (b"PSUBSCRIBE", list(dict.fromkeys(self._patterns.values()))),
        ]

    def _pushed(self, push: list[Reply]) -> None:
        channel, data = push[-2:]
        if self._receiver is None or not isinstance(channel, bytes):
            return
        if not isinstance(data, bytes):
            self.ignored += 1
        elif channel == self._cast:
            self._receiver.cast(data)
        elif push[0] == b"pmessage":
            topic = topic_of(self._namespace, channel)
            if topic is not None and any(
                glob == push[1] and matches(pattern, topic) for pattern, glob in self._patterns.items()
            ):
                self._deliver(topic, data)
        else:
            followed = self._followed.get(channel)
            if followed is not None:
                self._deliver(followed.name, data)

    def _deliver(self, topic: str, push: bytes) -> None:
        head = _HEAD.match(push)
        if head is None:
            self.ignored += 1
            return
        offset = int(head[2])
        cast(Receiver, self._receiver).pushed(topic, head[1].decode(), offset - 1, offset, push[head.end() :])
