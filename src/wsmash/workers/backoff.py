"""When a process that has died is started again: later each time, and never with others at once."""

from __future__ import annotations

import random

FIRST_DELAY = 0.25
"""Seconds after which it is started again, at most; twice as many each time after that."""

LONGEST_DELAY = 15.0
"""That doubling ends there."""

HEALTHY_AFTER = 10.0
"""Seconds that it must have lived for the delays to begin anew."""


class Backoff:
    """The delays of one process."""

    def __init__(self) -> None:
        self._failures = 0

    def lived(self, seconds: float) -> None:
        """It has died, after so long a life."""
        if seconds >= HEALTHY_AFTER:
            self.reset()

    def reset(self) -> None:
        """It is well."""
        self._failures = 0

    def delay(self) -> float:
        """Seconds until it is started again."""
        most = min(LONGEST_DELAY, FIRST_DELAY * 2.0**self._failures)
        self._failures = min(self._failures + 1, 16)
        return random.uniform(most / 2, most)  # noqa: S311  # no secret
