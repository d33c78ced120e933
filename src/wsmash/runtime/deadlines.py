"""One timer for all deadlines of a loop: a wheel of slots, each a moment with what is due then.

Each entry stands in one slot. When its moment comes it is asked what is due, and
says when to ask again; so a deadline that moves with every byte costs nothing
until it is near. Moments are rounded up, the more so the further they are, so
that many connections share a timer.
"""

from __future__ import annotations

import heapq
from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable
from math import ceil
from typing import Protocol

TICKS_PER_SECOND = 64
_COARSE = 16
"""Ticks that moments further off than `_NEAR` are rounded up to."""
_NEAR = 4 * TICKS_PER_SECOND


class Entry(Protocol):
    """What stands in the wheel."""

    tick: int
    """The slot it stands in; -1 where it stands in none. The wheel's to change."""

    def due(self, now: float) -> float | None:
        """Do what is due; when to ask again, None for never."""


class Wheel:
    """The deadlines of one loop.

    Args:
        loop: calls back when the next moment comes.
        clock: tells the time in seconds; the loop's own where none is given.
    """

    def __init__(self, loop: AbstractEventLoop, clock: Callable[[], float] | None = None) -> None:
        self._loop = loop
        self.clock = clock or loop.time
        self._slots: dict[int, dict[Entry, None]] = {}
        self._ticks: list[int] = []  # a heap of the slots there are
        self._timer: TimerHandle | None = None
        self._armed = 0  # the tick that the timer is set for; -1 in the turn that it brought about
        self._count = 0

    def __len__(self) -> int:
        """How many entries wait."""
        return self._count

    def ask(self, entry: Entry, when: float) -> None:
        """Have the entry asked at `when` at the latest; an earlier moment that it waits for stays."""
        tick = self._tick(when)
        if entry.tick >= 0:
            if entry.tick <= tick:
                return
            self.forget(entry)
        entry.tick = tick
        self._count += 1
        slot = self._slots.get(tick)
        if slot is not None:
            slot[entry] = None  # for which, or for one before it, the timer is set
        else:
            self._slots[tick] = {entry: None}
            heapq.heappush(self._ticks, tick)
            self._arm()

    def forget(self, entry: Entry) -> None:
        """Ask the entry no more."""
        if entry.tick >= 0:
            del self._slots[entry.tick][entry]
            entry.tick = -1
            self._count -= 1
            if not self._count and self._armed >= 0:
                self._clear()

    def _clear(self) -> None:
        """Nobody waits: let go of the timer, which would keep the loop of a program that has ended from being idle."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._slots.clear()
        self._ticks.clear()

    def _tick(self, when: float) -> int:
        now = int(self.clock() * TICKS_PER_SECOND)
        tick = ceil(when * TICKS_PER_SECOND)
        if tick <= now:
            tick = now + 1
        return tick if tick - now < _NEAR else -(-tick // _COARSE) * _COARSE

    def _first(self) -> int | None:
        """The next slot that anybody stands in."""
        while self._ticks and not self._slots[self._ticks[0]]:
            del self._slots[heapq.heappop(self._ticks)]
        return self._ticks[0] if self._ticks else None

    def _arm(self) -> None:
        first = self._first()
        if self._timer is not None:
            if first is not None and self._armed <= first:
                return
            self._timer.cancel()
            self._timer = None
        if first is not None:
            self._armed = first
            delay = max(0.0, first / TICKS_PER_SECOND - self.clock())
            self._timer = self._loop.call_later(delay, self._turn)

    def _turn(self) -> None:
        now = self.clock()
        self._armed = -1
        try:
            while (tick := self._first()) is not None and tick <= now * TICKS_PER_SECOND:
                self._ask_all(tick, now)
        finally:
            # Until here the timer that has fired kept `ask` from setting another.
            self._timer = None
            self._arm()

    def _ask_all(self, tick: int, now: float) -> None:
        slot = self._slots[tick]
        # Those that come after one that raises stay in their slot, and are asked at the next turn.
        for entry in tuple(slot):
            if entry.tick != tick:
                continue  # another entry's deadline made this one forgotten, or moved it
            del slot[entry]
            entry.tick = -1
            self._count -= 1
            again = entry.due(now)
            if again is not None:
                self.ask(entry, again)
