"""When a client connects again after an outage: what its policy is told, what it answers, and the one there is."""

from __future__ import annotations

import inspect
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import SystemRandom
from typing import Protocol

from ..errors import ConnectError, ProxyError
from ..signatures import takes_one
from .checks import check_int, check_seconds

HEALTHY_AFTER = 30.0
"""Seconds that a connection must have been open to count as healthy, where the policy does not say."""

FATAL_STATUSES = frozenset({400, 401, 403, 404, 405, 410})
"""Answers that asking again does not change (RFC 9110 15.5)."""

FATAL_CODES = frozenset({1002, 1003, 1007, 1008, 1010, 3000, 3003})
"""Close codes by which a server says that the fault is this client's (RFC 6455 7.4.1); 3000 is Unauthorized, 3003
Forbidden, in IANA's registry. 4000-4999 are each application's own: whether one is fatal, its own policy says."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outage:
    """What there is to know when a connection was lost, or an attempt to connect has failed.

    Attributes:
        attempt: which retry would be next: 1 for the first one since the client was made, or since a
            connection was last healthy.
        error: what ended the attempt or the connection; `ConnectionClosed` where it was simply lost or closed.
        code, reason: those of the server's close frame, 1005 if it held no code, 1006 with an account
            of what happened if none came.
        by_server: whether the server closed the connection with a close frame; where this client failed it
            for a fault, the code is only an echo of its own.
        status: the HTTP status of an answer that was not 101, or of a proxy's that refused; None where there
            was none.
        retry_after: seconds, as that answer's `Retry-After` has them; None where it has none.
        open_for: seconds that the connection was open; None where it had not come to be.
        previous_delay: seconds waited before this attempt or connection; None for the first one.
    """

    attempt: int
    error: Exception
    code: int = 1006
    reason: str = ""
    by_server: bool = False
    status: int | None = None
    retry_after: float | None = None
    open_for: float | None = None
    previous_delay: float | None = None


class ReconnectPolicy(Protocol):
    """Decides on each outage of a client: the `reconnect` option takes any object with this method.

    Where the object has an attribute `healthy_after`, in seconds, that is how long a
    connection has to be open for `Outage.attempt` to begin anew; otherwise it is 30.
    """

    def delay(self, outage: Outage) -> float | None:
        """Seconds until the client connects again; None to give up, which fires `error`, then `close`."""


def check_policy(policy: object) -> None:
    """Whether it is one: what can be seen of it before there is an outage.

    Raises:
        TypeError, ValueError: it is none, with what is wrong.
    """
    if isinstance(policy, type):
        raise TypeError(f"reconnect must be an instance, {policy.__name__}(...), not the class")
    delay = getattr(policy, "delay", None)
    if not callable(delay):
        raise TypeError(f"reconnect must be True, False or a policy with a method delay(outage), not {policy!r:.75}")
    if inspect.iscoroutinefunction(delay):
        raise TypeError(f"the delay of a reconnect policy must be a plain method, and {delay.__qualname__} is async")
    if not takes_one(delay):
        raise TypeError(f"the delay of a reconnect policy takes one argument, the outage; {delay.__qualname__} doesn't")
    check_seconds("healthy_after of the reconnect policy", getattr(policy, "healthy_after", HEALTHY_AFTER))


_random = SystemRandom()


def _uniform(most: float) -> float:
    return _random.uniform(0.0, most)


@dataclass(frozen=True, kw_only=True)  # without slots, so that a subclass may have attributes of its own
class Reconnect:
    """The policy of `reconnect=True`: exponential backoff with full jitter, until the server says that it is no use.

    The delay before retry n is drawn uniformly from 0 to `first_delay * factor**(n-1)`,
    at most `max_delay`: clients that lost a server at once come back spread over the
    whole of that time. A `Retry-After` of the server is added to what was drawn.

    To have only some outages decided otherwise, override `is_fatal`:

    ```python no-run
    class Mine(wsmash.Reconnect):
        def is_fatal(self, outage):
            return outage.code == 4001 or super().is_fatal(outage)

    client = wsmash.create_client(url, reconnect=Mine(max_attempts=20))
    ```

    What is written below cannot be changed on a policy; a subclass may have attributes beside it
    that can, such as a count of its own. A policy serves one client at a time if it has any.

    Attributes:
        first_delay: seconds within which the first retry comes.
        max_delay: the most seconds that are drawn from.
        factor: by which these grow with each retry.
        healthy_after: seconds that a connection must have been open for the retries to begin anew with the
            first. One that is accepted and closed at once does not count (RFC 6455 7.2.3), nor does the
            time in which nothing came from a server that was then given up.
        max_attempts: retries in a row before giving up.
        max_retry_after: the most seconds of a `Retry-After` that are waited.
        jitter: draws a number between 0 and the one given: uniformly, unless you simulate.
    """

    first_delay: float = 5.0
    max_delay: float = 60.0
    factor: float = 2.0
    healthy_after: float = HEALTHY_AFTER
    max_attempts: int | None = None
    max_retry_after: float | None = 300.0
    jitter: Callable[[float], float] = field(default=_uniform, repr=False)

    def __post_init__(self) -> None:
        for name in ("first_delay", "max_delay", "factor", "healthy_after"):
            check_seconds(name, getattr(self, name))
        check_seconds("max_retry_after", self.max_retry_after, optional=True)
        if self.max_delay < self.first_delay:
            raise ValueError(f"max_delay={self.max_delay} is below first_delay={self.first_delay}")
        if self.factor < 1:
            raise ValueError(f"factor must be at least 1, and is {self.factor!r}")
        if self.max_attempts is not None:
            check_int("max_attempts", self.max_attempts, 1)
        if not callable(self.jitter):
            raise TypeError(f"jitter must be a function of a number, not {self.jitter!r:.75}")

    def delay(self, outage: Outage) -> float | None:
        """Seconds until the client connects again; None to give up."""
        if self.is_fatal(outage) or (self.max_attempts is not None and outage.attempt > self.max_attempts):
            return None
        wait = self.jitter(self.longest(outage.attempt))
        if outage.retry_after is not None:
            most = self.max_retry_after
            wait += outage.retry_after if most is None else min(outage.retry_after, most)
        return wait

    def is_fatal(self, outage: Outage) -> bool:
        """Whether connecting again is no use: by the answer's status, the close code, the certificates, the set-up."""
        return (
            outage.status in FATAL_STATUSES
            or (outage.status == 407 and isinstance(outage.error, ProxyError))  # a proxy's 401
            or (outage.by_server and outage.code in FATAL_CODES)
            or (isinstance(outage.error, ConnectError) and outage.error.permanent)
            or any(isinstance(each, ssl.SSLCertVerificationError) for each in _behind(outage.error))
        )

    def longest(self, attempt: int) -> float:
        """The most seconds that this retry waits, without a `Retry-After`."""
        try:
            return min(self.max_delay, self.first_delay * float(self.factor) ** (attempt - 1))
        except OverflowError:
            return self.max_delay


def _behind(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and each that it was chained to."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__
