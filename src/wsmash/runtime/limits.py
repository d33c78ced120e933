"""Rates: how much of something may happen in a time."""

from __future__ import annotations


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
