"""What is promised of a topic, by its name: `server.topic(...)`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ..options.checks import check_bool, check_choice, check_int, check_seconds
from .names import check_pattern, is_pattern, matches

OutagePolicy = Literal["fail", "local"]

MIN_HISTORY_TTL = 1.0
"""Seconds: a shorter history would be gone before anybody could come back for it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TopicPolicy:
    """What holds for a topic, on every node alike.

    Attributes:
        history_size: how many messages are kept for who comes back; None keeps none. With `history_ttl`.
        history_ttl: seconds that each of them is kept. With `history_size`.
        presence: whether it is known who is on the topic, and `join` and `leave` are told.
        outage: what `publish` does while the broker is away: "fail" raises `BrokerUnavailable`, "local" reaches
            the subscribers of this node, without a position. None is "fail" with a history, and else "local".
    """

    history_size: int | None = None
    history_ttl: float | None = None
    presence: bool = False
    outage: OutagePolicy | None = None

    def __post_init__(self) -> None:
        if (self.history_size is None) != (self.history_ttl is None):
            raise ValueError("a history has both, history_size and history_ttl")
        if self.history_size is not None:
            check_int("history_size", self.history_size, 1, 1_000_000)
            check_seconds("history_ttl", self.history_ttl)
            if self.history_ttl is not None and self.history_ttl < MIN_HISTORY_TTL:
                raise ValueError(f"history_ttl must be at least {MIN_HISTORY_TTL:g} s, and is {self.history_ttl!r}")
        check_bool("presence", self.presence)
        if self.outage is not None:
            check_choice("outage", self.outage, ("fail", "local"))

    @property
    def has_history(self) -> bool:
        """Whether messages are kept."""
        return self.history_size is not None

    @property
    def fails_in_outage(self) -> bool:
        """Whether `publish` raises while the broker is away."""
        return self.has_history if self.outage is None else self.outage == "fail"


PLAIN = TopicPolicy()
"""What holds for a topic of which nothing was said."""


class Policies:
    """Which policy a topic has: that of its own name, else of the first pattern that matches it, else `PLAIN`."""

    __slots__ = ("_exact", "_patterns")

    def __init__(self) -> None:
        self._exact: dict[str, TopicPolicy] = {}
        self._patterns: dict[str, TopicPolicy] = {}

    def add(self, name: str, policy: TopicPolicy) -> None:
        """Say what holds for a topic, or for those of a pattern.

        Raises:
            TypeError, ValueError: that is no name and no pattern, or something was said of it before.
        """
        known = self._patterns if is_pattern(check_pattern(name)) else self._exact
        if name in known:
            raise ValueError(f"the topic {name!r} has its options already")
        known[name] = policy

    def of(self, topic: str) -> TopicPolicy:
        """The policy of one topic."""
        found = self._exact.get(topic)
        if found is not None:
            return found
        return next((policy for pattern, policy in self._patterns.items() if matches(pattern, topic)), PLAIN)

    def all(self) -> Mapping[str, TopicPolicy]:
        """Those that were given, by name or pattern."""
        return {**self._exact, **self._patterns}
