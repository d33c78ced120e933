"""Records of what peers bring about: so many a second for a whole server, then only their number.

A log is written by the event loop's own thread, to wherever the user's handlers
lead: a peer that could have a line written for each of its faults would fill a
disk, and hold everybody else up meanwhile (hostile case 105).
"""

from __future__ import annotations

import logging

from .deadlines import Wheel
from .limits import TokenBucket

logger = logging.getLogger("wsmash")

RECORDS_PER_SECOND = 10
"""Of each level, so that no flood of one hides another."""


class Reports:
    """The records of one server, or of one client."""

    __slots__ = ("_buckets", "_left_out", "_wheel", "tick")

    def __init__(self, wheel: Wheel) -> None:
        self._wheel = wheel
        self._buckets: dict[int, TokenBucket] = {}
        self._left_out: dict[int, int] = {}
        self.tick = -1

    def log(self, level: int, text: str, *args: object, error: BaseException | None = None) -> None:
        """Write a record, with the traceback of an error, or count it."""
        if not logger.isEnabledFor(level):
            return
        now = self._wheel.clock()
        bucket = self._buckets.get(level)
        if bucket is None:
            bucket = self._buckets[level] = TokenBucket(RECORDS_PER_SECOND, now)
        if bucket.take(now):
            logger.log(level, text, *args, exc_info=error)
        else:
            self._left_out[level] = self._left_out.get(level, 0) + 1
            self._wheel.ask(self, now + 1)

    def due(self, now: float) -> float | None:
        """Tell what was left out in the last second."""
        left_out, self._left_out = self._left_out, {}
        for level, count in left_out.items():
            logger.log(level, "%d more records like the last ones are left out", count)
        return None

    def flush(self) -> None:
        """The same, where nothing more will come."""
        self._wheel.forget(self)
        self.due(self._wheel.clock())
