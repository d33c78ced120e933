"""Rates: how much of something may happen in a time."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Protocol

from ..constants import CloseCode

if TYPE_CHECKING:
    from .connection import WebSocketConnection

MAX_NAMES = 8192
"""A table of rates keeps twice as many names at most, half a KiB each."""


class TokenBucket:
    """Lets `rate` things a second pass, and as many at once after a quiet second."""

    __slots__ = ("_at", "_left", "_rate")

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._left = max(rate, 1.0)
        self._at = now

    def take(self, now: float) -> bool:
        """Whether one more may pass."""
        self._left = min(max(self._rate, 1.0), self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def wait(self) -> float:
        """Seconds after which one more may pass, where none may now."""
        return max(0.0, (1 - self._left) / self._rate)


class Gate(Protocol):
    """What sees each message of a connection before it is delivered; most connections have none."""

    @property
    def held(self) -> int:
        """Bytes of what was taken and waits."""

    def take(self, connection: WebSocketConnection, data: str | bytes) -> bool:
        """Whether the message was taken: it is not delivered then."""


class RateLimit:
    """Fails a connection that brings more than `message_rate` messages a second."""

    __slots__ = ("_bucket",)

    held = 0

    def __init__(self, rate: float, now: float) -> None:
        self._bucket = TokenBucket(rate, now)

    def take(self, connection: WebSocketConnection, data: str | bytes) -> bool:
        """Take what is too much."""
        if self._bucket.take(connection._owner.environment.wheel.clock()):
            return False
        connection._owner.counters.closed_rate += 1
        connection._fail(CloseCode.POLICY_VIOLATION, "too many messages in a second", None)
        return True


class Verdict(Enum):
    """What becomes of one more."""

    PASS = "pass"  # noqa: S105
    REFUSE = "refuse"
    """It is too many, and is told so."""
    DROP = "drop"
    """It is too many, and so are those that were told so."""


class Rates:
    """A rate for each name, in a table that forgets names which were quiet, and never grows above a bound.

    A bucket that was left alone for as long as it takes to fill is as good as
    none. So there are two tables: the buckets that were used since some moment,
    and those used in the time before that, which are forgotten at the next one.
    """

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._fills_in = max(1.0, 1.0 / rate)
        self._since = now
        self._recent: dict[str, tuple[TokenBucket, TokenBucket]] = {}
        self._older: dict[str, tuple[TokenBucket, TokenBucket]] = {}

    def __len__(self) -> int:
        return len(self._recent) + len(self._older)

    @property
    def retry_after(self) -> int:
        """Whole seconds after which one more may pass."""
        return max(1, int(1 / self._rate + 0.5))

    def take(self, name: str, now: float) -> Verdict:
        """One more of this name."""
        if now - self._since > self._fills_in or len(self._recent) >= MAX_NAMES:
            quiet = now - self._since > 2 * self._fills_in
            self._older, self._recent, self._since = {} if quiet else self._recent, {}, now
        buckets = self._recent.get(name)
        if buckets is None:
            buckets = self._older.pop(name, None) or (TokenBucket(self._rate, now), TokenBucket(self._rate, now))
            self._recent[name] = buckets
        passing, refused = buckets
        if passing.take(now):
            return Verdict.PASS
        return Verdict.REFUSE if refused.take(now) else Verdict.DROP
