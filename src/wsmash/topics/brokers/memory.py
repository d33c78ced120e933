"""The broker of a server that is alone: it keeps histories in this process, and answers within the call.

It is none of `base.Broker`, whose calls take their time: what is published is with
the subscribers when `publish` returns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Final

from ..policy import TopicPolicy
from ..position import Position, new_epoch
from .base import DUPLICATE_WINDOW, MAX_READ, Entry, History

MAX_KEYS: Final = 100_000
"""Idempotency keys that are known at most; above it the oldest are forgotten before `DUPLICATE_WINDOW` is over."""

MAX_ENDED: Final = 10_000
"""Topics at most of whose histories, expired as a whole, it is known how far they went."""

SWEEP: Final = 60.0
"""Seconds between two looks for histories that have expired."""


class MemoryBroker:
    """The streams of one server's topics.

    All topics take their offsets from one counter: what is known of a topic without
    a history is then nothing at all.

    Args:
        clock: tells the time in seconds.

    Attributes:
        epoch: of all streams.
        top: the last offset that was given.
    """

    durability = "none: histories are in the server's memory, and end with it"

    def __init__(self, clock: Callable[[], float]) -> None:
        self.epoch = new_epoch()
        self.top = 0
        self._clock = clock
        self._streams: dict[str, _Stream] = {}
        self._keys: dict[tuple[str, str], tuple[int, float]] = {}  # the oldest first
        self._swept = clock()
        self._ended: dict[str, int] = {}  # the last offset of histories that have expired as a whole
        self._forgotten = 0  # the last one of those of which that is not known any more

    def add(self, topic: str, policy: TopicPolicy, data: bytes, key: str | None) -> tuple[Position, bool]:
        """Add a message.

        Returns:
            Its position, and whether it is new: False where the key was used already.
        """
        if key is not None:
            known = self._known(topic, key)
            if known is not None:
                return Position(self.epoch, known), False
        self.top = offset = self.top + 1
        if key is not None:
            self._keys[topic, key] = offset, self._clock() + DUPLICATE_WINDOW
        if policy.history_size is not None and policy.history_ttl is not None:
            now = self._clock()
            stream = self._streams.get(topic)
            if stream is None:
                stream = self._streams[topic] = _Stream(self._ended.pop(topic, self._forgotten))
            stream.add(Entry(offset, data), now + policy.history_ttl, policy.history_size)
            stream.expire(now)
            if now - self._swept >= SWEEP:
                self._sweep(now)
        return Position(self.epoch, offset), True

    def position(self) -> Position:
        """Of who has everything, whatever the topic."""
        return Position(self.epoch, self.top)

    def read(self, topic: str, after: int, limit: int = MAX_READ) -> History:
        """See `Broker.read`."""
        stream = self._streams.get(topic)
        if stream is None:
            return History(self.epoch, self.top, (), after >= self._ended.get(topic, self._forgotten))
        stream.expire(self._clock())
        found = stream.after(after, limit + 1)
        complete = after >= stream.gone and len(found) <= limit
        return History(self.epoch, self.top, found[-limit:], complete)

    def _known(self, topic: str, key: str) -> int | None:
        now = self._clock()
        while self._keys:
            first = next(iter(self._keys))
            if self._keys[first][1] > now and len(self._keys) <= MAX_KEYS:
                break
            del self._keys[first]
        found = self._keys.get((topic, key))
        return None if found is None else found[0]

    def _sweep(self, now: float) -> None:
        """Forget the histories whose last message has expired."""
        self._swept = now
        for topic, stream in tuple(self._streams.items()):
            stream.expire(now)
            if not stream:
                del self._streams[topic]
                self._ended[topic] = stream.gone
        while len(self._ended) > MAX_ENDED:
            oldest = next(iter(self._ended))
            self._forgotten = max(self._forgotten, self._ended.pop(oldest))


class _Stream:
    """The history of one topic.

    Attributes:
        gone: the offset of the last message that is not here any more.
    """

    __slots__ = ("_entries", "_until", "gone")

    def __init__(self, gone: int) -> None:
        self.gone = gone
        self._entries: deque[Entry] = deque()
        self._until: deque[float] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Entry, until: float, size: int) -> None:
        self._entries.append(entry)
        self._until.append(until)
        while len(self._entries) > size:
            self._drop()

    def expire(self, now: float) -> None:
        while self._until and self._until[0] <= now:
            self._drop()

    def after(self, offset: int, limit: int) -> list[Entry]:
        """The newest ones after an offset, in order."""
        found = []
        for entry in islice(reversed(self._entries), limit):
            if entry.offset <= offset:
                break
            found.append(entry)
        return found[::-1]

    def _drop(self) -> None:
        self.gone = self._entries.popleft().offset
        self._until.popleft()
