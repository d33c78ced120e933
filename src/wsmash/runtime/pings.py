"""Pings that wait for their pong (RFC 6455 5.5.2, 5.5.3)."""

from __future__ import annotations

import asyncio
from typing import NamedTuple


class _Ping(NamedTuple):
    payload: bytes
    sent_at: float
    answered: asyncio.Future[float] | None


class Pings:
    """The unanswered pings of one connection, oldest first."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[_Ping] = []

    @property
    def probing(self) -> bool:
        """Whether a ping that nobody waits for, one of the keepalive's, is unanswered."""
        return any(each.answered is None for each in self._waiting)

    def sent(self, payload: bytes, now: float, answered: asyncio.Future[float] | None = None) -> None:
        """A ping went out; `answered` is to get the seconds that its round trip takes.

        Of pings that nobody waits for only the newest is kept: a peer that lives
        but never answers must not make the list grow.
        """
        if answered is None:
            self._waiting = [each for each in self._waiting if each.answered is not None]
        self._waiting.append(_Ping(payload, now, answered))

    def pong(self, payload: bytes, now: float) -> float | None:
        """The round trip that this pong ends; None where it answers none of ours.

        A pong answers every ping before its own too: a peer may answer only the newest (RFC 6455 5.5.3).
        """
        for count, ping in enumerate(self._waiting, 1):
            if ping.payload == payload:
                answered, self._waiting = self._waiting[:count], self._waiting[count:]
                for each in answered:
                    if each.answered is not None and not each.answered.done():
                        each.answered.set_result(now - each.sent_at)
                return now - ping.sent_at
        return None

    def end(self, error: Exception) -> None:
        """No pong will come any more."""
        for each in self._waiting:
            if each.answered is not None and not each.answered.done():
                each.answered.set_exception(error)
        self._waiting.clear()
