"""When to ping, when to give up: a pure function of what was seen and the time (RFC 6455 5.5.2).

Any byte that arrives counts as life, not only a pong. Each rule gives a moment;
the earliest one decides when to look again.

| what is seen | until | then |
|---|---|---|
| no ping is out | `ping_interval` after the last one | PING |
| a ping is out and nothing came since | `ping_timeout` after it; looked at each `ping_interval` until then | LOST |
| a message is unfinished | `message_timeout` after its last byte | MESSAGE_LATE |
| bytes wait to be written | `write_timeout` after the last that were taken | WRITE_STUCK |
"""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple


class Care(Enum):
    """What a connection needs now."""

    NOTHING = auto()
    PING = auto()
    LOST = auto()
    MESSAGE_LATE = auto()
    WRITE_STUCK = auto()


class Seen(NamedTuple):
    """What was seen of a connection; times in seconds of one clock."""

    pinged_at: float
    """When the last ping was sent, or the connection was opened."""
    waiting: bool
    """Whether that ping still waits for a sign of life."""
    received_at: float
    written_at: float
    """When the peer last took bytes, or bytes began to wait."""
    buffered: bool
    unfinished: bool
    paused: bool
    """Whether we do not read: silence is then our own doing."""
    message_at: float | None = None
    """When bytes of the unfinished message last came; None for `received_at`. Control frames between do not count."""


class Timeouts(NamedTuple):
    """The options of these names; None where a rule does not apply."""

    ping_interval: float | None
    ping_timeout: float | None
    message_timeout: float | None
    write_timeout: float | None


def look(now: float, seen: Seen, timeouts: Timeouts) -> tuple[Care, float | None]:
    """What is needed now, and when to look again; None where nothing ever will be."""
    rules = _rules(now, seen, timeouts)
    for since, limit, care in rules:
        if now >= since + limit:
            return care, now if care is Care.PING else None
    moments = [since + limit for since, limit, _ in rules]
    if timeouts.ping_interval is not None and any(care is Care.LOST for _, _, care in rules):
        # What came meanwhile makes the next ping due: it is not to wait for the end of a longer ping_timeout.
        intervals = (now - seen.pinged_at) // timeouts.ping_interval + 1
        moments.append(seen.pinged_at + intervals * timeouts.ping_interval)
    return Care.NOTHING, min(moments, default=None)


def first_look(timeouts: Timeouts) -> float | None:
    """Seconds after which a connection that has just been opened may need anything; None for never."""
    return look(0.0, Seen(0.0, False, 0.0, 0.0, False, False, False), timeouts)[1]


def _rules(now: float, seen: Seen, timeouts: Timeouts) -> list[tuple[float, float, Care]]:
    """The rules as (since when, how long, what then). One that has nothing to watch begins now."""
    interval, patience, message, write = timeouts
    alive = seen.paused or not seen.waiting or seen.received_at > seen.pinged_at
    rules: list[tuple[float, float, Care]] = []
    if write is not None:
        rules.append((seen.written_at if seen.buffered else now, write, Care.WRITE_STUCK))
    if message is not None:
        last = seen.received_at if seen.message_at is None else seen.message_at
        rules.append((last if seen.unfinished and not seen.paused else now, message, Care.MESSAGE_LATE))
    if interval is not None and patience is not None and not alive:
        rules.append((seen.pinged_at, patience, Care.LOST))
    elif interval is not None:
        rules.append((seen.pinged_at, interval, Care.PING))
    return rules
