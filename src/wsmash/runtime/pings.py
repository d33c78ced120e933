"""Pings that wait for their pong (RFC 6455 5.5.2, 5.5.3)."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from ..errors import InvalidState

MAX_UNANSWERED = 1024
"""Pings that may wait for their pong, those of the keepalive apart."""


class _Ping(NamedTuple):
    payload: bytes
    sent_at: float
    answered: asyncio.Future[float] | None


class Pings:
    """The unanswered pings of one connection, oldest first."""

    __slots__ = ("_probe", "_users", "_waiting")

    def __init__(self) -> None:
        self._waiting: list[_Ping] = []
        self._users: dict[bytes, int] = {}  # how many of those that are waited for have the payload
        self._probe: bytes | None = None  # that of the ping that nobody waits for

    @property
    def probing(self) -> bool:
        """Whether a ping that nobody waits for, one of the keepalive's, is unanswered."""
        return self._probe is not None

    def sent(
        self, payload: bytes, now: float, answered: asyncio.Future[float] | None = None, *, bounded: bool = True
    ) -> None:
        """A ping went out; `answered` is to get the seconds that its round trip takes. Our own are not bounded: few.

        Of pings that nobody waits for only the newest is kept: a peer that lives
        but never answers must not make the list grow.

        Raises:
            InvalidState: as many as may are waited for.
        """
        if answered is None:
            self._waiting = [each for each in self._waiting if each.answered is not None]
            self._probe = payload
        else:
            if bounded and len(self._waiting) - self.probing >= MAX_UNANSWERED:
                raise InvalidState(f"{MAX_UNANSWERED} pings wait for their pong, and no more may: await them")
            self._users[payload] = self._users.get(payload, 0) + 1
        self._waiting.append(_Ping(payload, now, answered))

    def pong(self, payload: bytes, now: float) -> float | None:
        """The round trip that this pong ends; None where it answers none of ours.

        A pong answers every ping before its own too: a peer may answer only the newest (RFC 6455 5.5.3).
        """
        if payload not in self._users and payload != self._probe:
            return None  # found without a look at each: a peer may send any number of them
        count = next(at for at, ping in enumerate(self._waiting, 1) if ping.payload == payload)
        answered, self._waiting = self._waiting[:count], self._waiting[count:]
        for each in answered:
            self._forget(each)
            if each.answered is not None and not each.answered.done():
                each.answered.set_result(now - each.sent_at)
        return now - answered[-1].sent_at

    def _forget(self, ping: _Ping) -> None:
        if ping.answered is None:
            self._probe = None
        elif self._users[ping.payload] > 1:
            self._users[ping.payload] -= 1
        else:
            del self._users[ping.payload]

    def end(self, error: Exception) -> None:
        """No pong will come any more."""
        for each in self._waiting:
            if each.answered is not None and not each.answered.done():
                each.answered.set_exception(error)
        self._waiting.clear()
        self._users.clear()
        self._probe = None
