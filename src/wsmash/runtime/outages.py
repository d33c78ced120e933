"""What a client that connects again knows of its outages, and how its policy is asked."""

from __future__ import annotations

import inspect
import logging
import time
from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable
from math import isfinite
from random import SystemRandom

from ..errors import ConnectError, HandshakeError, ProxyError
from ..options import Outage, ReconnectPolicy
from ..options.reconnect import HEALTHY_AFTER
from ..sansio.closing import Closing
from ..sansio.retry_after import parse_retry_after
from .delivery import FAILURES

logger = logging.getLogger("wsmash")

WAKE_JITTER = 1.0
"""Seconds within which a client that waits connects after its machine was suspended."""

WAKE_TIMEOUT = 5.0
"""Seconds within which an open connection must then show life."""

_random = SystemRandom()


class Outages:
    """The outages of one client between `connect` and its close event.

    Attributes:
        over: whether no other attempt will be made: the user closed, or the policy gave up.
        error: what the present connection was failed for, if it was.
        ended: the error that ended the client, if one did.
        opened_at: when the present connection was opened; None where there is none.
        silent_since: when something last came by it, where it was given up for its silence.
        count: how many connections there have been.
        check: since when, and until when, the connection must show life; None where it need not.
    """

    __slots__ = (
        "_attempt",
        "_delay",
        "_healthy_after",
        "_policy",
        "_timer",
        "check",
        "count",
        "ended",
        "error",
        "opened_at",
        "over",
        "silent_since",
    )

    def __init__(self, policy: ReconnectPolicy) -> None:
        self._policy = policy
        self._healthy_after: float = getattr(policy, "healthy_after", HEALTHY_AFTER)
        self._attempt = 0
        self._delay: float | None = None
        self._timer: TimerHandle | None = None
        self.over = False
        self.error: Exception | None = None
        self.ended: Exception | None = None
        self.opened_at: float | None = None
        self.silent_since: float | None = None
        self.count = 0
        self.check: tuple[float, float] | None = None

    def opened(self, now: float) -> None:
        """There is a connection."""
        self.opened_at = now
        self.count += 1

    def began(self, error: Exception, closing: Closing | None, now: float) -> Outage:
        """The connection, or the attempt, came to its end: what the policy is told of it."""
        open_for = None
        if self.opened_at is not None:
            open_for = now - self.opened_at
            alive_until = now if self.silent_since is None else self.silent_since
            if alive_until - self.opened_at >= self._healthy_after:
                self._attempt = 0
        self.opened_at = self.silent_since = self.error = self.check = None
        self._attempt += 1
        code, reason = (1006, str(error)) if closing is None else closing.outcome
        answer = error if isinstance(error, (HandshakeError, ProxyError)) else None
        after = None if answer is None else answer.headers.get("Retry-After")
        return Outage(
            attempt=self._attempt,
            error=error,
            code=code,
            reason=reason,
            by_server=closing is not None and closing.by_peer,
            status=None if answer is None else answer.status,
            retry_after=None if after is None else parse_retry_after(after, time.time()),
            open_for=open_for,
            previous_delay=self._delay,
        )

    def decide(self, outage: Outage) -> float | None:
        """Seconds until the next attempt; None where there is to be none.

        Raises:
            ConnectError: the policy raised, or answered with something else.
        """
        try:
            delay = self._policy.delay(outage)
            fault = _fault(delay)  # with what is the policy's, too: a number that is too long, a repr that raises
        except FAILURES as error:
            raise ConnectError(f"cannot connect again: the reconnect policy failed: {error!r:.200}") from error
        if fault:
            raise ConnectError(f"cannot connect again: a policy's delay is {fault}")
        self._delay = delay
        return delay

    @property
    def any(self) -> bool:
        """Whether there was an outage at all."""
        return self._attempt > 0

    # -- the wait for the next attempt

    @property
    def waits(self) -> bool:
        """Whether the next attempt is waited for."""
        return self._timer is not None

    def wait(self, loop: AbstractEventLoop, delay: float, attempt: Callable[[], None]) -> None:
        """Make the attempt then: at a moment of its own, since the wheel's are the same for many."""

        def act() -> None:
            self._timer = None
            attempt()

        self._timer = loop.call_later(delay, act)

    def stop(self) -> bool:
        """Wait no more, and make no attempt. Whether one was waited for."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        return timer is not None

    def hasten(self, loop: AbstractEventLoop, attempt: Callable[[], None]) -> None:
        """Wait for a moment only."""
        if self._timer is not None:
            left = self._timer.when() - loop.time()
            self.stop()
            self.wait(loop, max(0.0, min(left, _random.uniform(0.0, WAKE_JITTER))), attempt)


def _fault(delay: object) -> str:
    """What a delay should have been, and was; nothing where it is in order."""
    if inspect.iscoroutine(delay):
        delay.close()  # it is a plain method that is asked for: nobody would wait for this
    if delay is None:
        return ""
    if isinstance(delay, bool) or not isinstance(delay, (int, float)):
        return f"seconds or None, not {delay!r:.75}"
    return "" if isfinite(delay) and delay >= 0 else f"0 s or more, not {delay!r:.75}"
