"""A bound on what all connections of a server hold together: waiting output, unfinished messages, inboxes.

Each connection is bounded by its own limits, and so are N of them, by N times as
much (hostile case 68). Where that is more than the machine has, `max_buffered`
bounds the sum. Nothing is counted for each message: all connections are looked at
once a second, some at a time.
"""

from __future__ import annotations

import logging

from .connections import Connections
from .constants import CloseCode, State
from .endpoint import ServerConnection
from .runtime.counters import ServerCounters
from .runtime.deadlines import Wheel

logger = logging.getLogger("wsmash")

LOOK_INTERVAL = 1.0
"""Seconds from the beginning of one look at all connections to that of the next."""

AT_ONCE = 1000
"""Connections looked at before others have their turn: about half a millisecond."""


class Budget:
    """Looks at what connections hold, and closes some while it is too much.

    Who is closed first: those that are not authenticated, of these who holds most (by powers
    of two), so that few are closed, and of equals the newest. An unfinished message counts
    with the room that is held for it: the memory is taken, whatever has come of it.

    Args:
        most: bytes that they may hold.
        connections: all of them.
        counters: the server's.
        wheel: asks when it is time to look.

    Attributes:
        spent: whether they hold too much: no more are taken in.
    """

    def __init__(self, most: int, connections: Connections, counters: ServerCounters, wheel: Wheel) -> None:
        self.spent = False
        self._most = most
        self._connections = connections
        self._counters = counters
        self._wheel = wheel
        self._began = 0.0
        self._left: list[ServerConnection] = []  # of this look
        self._holding: list[tuple[ServerConnection, int]] = []
        self._failed: set[ServerConnection] = set()  # by the look before, or closing already then
        self.tick = -1

    def start(self) -> None:
        """Look from now on."""
        self._wheel.ask(self, self._wheel.clock() + LOOK_INTERVAL)

    def stop(self) -> None:
        """Look no more."""
        self._wheel.forget(self)

    def due(self, now: float) -> float:
        """Look at some more of them; when all have been, act on it."""
        if not self._left:
            self._began = now
            self._left = list(reversed(self._connections.holding()))
            self._holding = []
        for _ in range(min(AT_ONCE, len(self._left))):
            connection = self._left.pop()
            held = connection._held()
            if held:
                self._holding.append((connection, held))
        if self._left:
            return now
        self._act(sum(held for _, held in self._holding))
        self._holding = []
        return max(now, self._began + LOOK_INTERVAL)

    def _act(self, held: int) -> None:
        failed, self._failed = self._failed, set()
        if held <= self._most:
            self.spent = False
            return
        if not self.spent:
            self.spent = True
            self._counters.budget_spent += 1
            logger.warning("connections hold %d bytes, and max_buffered is %d: some are closed", held, self._most)
        excess = held - self._most
        newest_first = self._holding[::-1]
        newest_first.sort(key=_turn)
        for connection, size in newest_first:
            if excess <= 0:
                break
            excess -= size
            if connection.get_state() is State.CLOSED:
                connection._discard()  # what a callback did not come to before its sender was gone
            elif connection in failed:
                connection._drop()  # it was told a second ago, and holds it still
            else:
                self._failed.add(connection)
                if connection.is_open():
                    self._counters.closed_over_budget += 1
                    connection._fail(CloseCode.TRY_AGAIN_LATER, "the server has no memory left (max_buffered)", None)


def _turn(each: tuple[ServerConnection, int]) -> tuple[bool, int]:
    connection, held = each
    return connection.is_authenticated(), -held.bit_length()
