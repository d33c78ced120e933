"""Who is accepted, and when: listening sockets that pause, the rate of one address, connections that are not open yet.

Three bounds stand before a client has said anything. `connect_rate` is judged
when its socket is accepted, before any TLS. `max_openings` bounds those that are
not open yet: as soon as there are so many, one goes that was quiet for a moment or
is old, since an honest client speaks at once and is soon through; where there is
none, as when a thousand reconnect together, accepting pauses, and the system's
queue holds the others. Without descriptors or memory accepting pauses too.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable, Sequence
from itertools import islice
from socket import socket
from typing import Any, Final

from .listening import close_all
from .options import ServerOptions
from .reception import Reception
from .runtime.counters import ServerCounters
from .runtime.environment import Environment
from .runtime.limits import Verdict
from .runtime.opening import ServerOpening
from .transports.base import ACCEPTS_PER_TURN, TLS, Connected, Listener, named

logger = logging.getLogger("wsmash")

ACCEPT_PAUSE = 1.0
"""Seconds without accepting, after the system had no descriptor or memory for a connection."""

PATIENCE = 3.0
"""Seconds that a connection may take to open before it has to make room for others."""

QUIET = 0.5
"""The same for one from which nothing has come, nor gone to: who has connected has something to say."""

QUIET_TLS = 1.0
"""The same with TLS, where a client waits for a round trip in between."""

STORM = 10.0
"""Seconds without such a pause after which the next one is logged again."""

_LOOKED_AT: Final = 256
"""Of the oldest, how many are looked at for one to drop."""

_NAMES: Final = (
    *("EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN", "ENETUNREACH", "ENONET"),
    *("ENOPROTOOPT", "EOPNOTSUPP", "EPERM", "EPROTO"),
)
_PEERS: Final = frozenset(getattr(errno, name) for name in _NAMES if hasattr(errno, name))
"""Failures of a connection that waited, and not of accepting (accept(2))."""

_FULL = 1
_SYSTEM = 2
"""Why accepting pauses."""


class Arrivals:
    """The clients of a running server until they are connections, or gone.

    Args:
        environment: of the server's loop.
        options: the server's.
        counters: the server's.
        reception: answers them.
        changed: called when one of them is answered, or gone.

    Attributes:
        openings: they, the oldest first, each with the time at which it came.
    """

    def __init__(
        self,
        environment: Environment,
        options: ServerOptions,
        counters: ServerCounters,
        reception: Reception,
        changed: Callable[[], None],
    ) -> None:
        self.openings: dict[ServerOpening, float] = {}
        self._environment = environment
        self._options = options
        self._counters = counters
        self._reception = reception
        self._changed = changed
        self._listeners: list[Listener] = []
        self._others: dict[int, list[Listener]] = {}  # those of processes for which this one stands in
        self._pauses = 0
        self._stoppers: set[ServerOpening] = set()  # whose hooks stop the server
        self._paused_at: float | None = None  # last, for max_openings
        self._short = False  # of descriptors or memory, since the last client that was accepted

    def listen(self, sockets: Sequence[socket]) -> None:
        """Accept from these; where one cannot be watched, all are closed, and it is an OSError."""
        driver = self._environment.driver
        try:
            for sock in sockets:
                self._listeners.append(driver.listen(sock, self._accepted, self._failed))
        except OSError:
            for listener in self._listeners:
                listener.close()
            close_all(sockets[len(self._listeners) :])
            raise

    def listen_also(self, key: int, sockets: Sequence[socket]) -> None:
        """Accept from these too, in place of those before them with this key: they are another process's."""
        for listener in self._others.pop(key, ()):
            self._listeners.remove(listener)
            listener.close()
        driver = self._environment.driver
        added: list[Listener] = []
        for sock in sockets:
            sock.setblocking(False)
            try:
                added.append(driver.listen(sock, self._accepted, self._failed))
            except OSError as error:  # which would have been a help, and is no more
                logger.warning("the connections of another process cannot be accepted: %s", error)
                sock.close()
        if self._pauses:
            for listener in added:
                listener.pause()
        self._listeners += added
        if added:
            self._others[key] = added

    def close(self, patience: float) -> None:
        """Accept no more; who has said nothing yet has so many seconds to do so."""
        for listener in self._listeners:
            listener.close()
        for opening in tuple(self.openings):
            opening.hurry(patience)

    def abort(self) -> None:
        """Drop all that is not open."""
        for opening in tuple(self.openings):
            self._counters.unopened += not opening.answered
            opening.abort()

    @property
    def awaited(self) -> int:
        """How many of them a stop waits for: one whose hook waits for the stop is none."""
        return len(self.openings.keys() - self._stoppers)

    def stopped_by(self, task: asyncio.Task[Any] | None) -> None:
        """A task asks for a stop, which may be a hook."""
        found = {opening for opening in self.openings if task is not None and opening.runs(task)}
        if found:
            self._stoppers |= found
            self._changed()

    def ended(self, opening: ServerOpening) -> None:
        """It became a connection, or is gone."""
        self.openings.pop(opening, None)
        self._stoppers.discard(opening)
        most = self._options.max_openings
        if self._pauses & _FULL and (most is None or len(self.openings) <= most * 7 // 8):
            self._resume(_FULL)
        self._changed()

    # -- accepting

    def _accepted(self, sock: Connected) -> None:
        """A client has connected."""
        self._short = False
        self._counters.accepted += 1
        verdict = self._judge(sock)
        if verdict is Verdict.DROP:
            sock.close()
            return
        opening = ServerOpening(self._reception, self._environment, self._options)
        self.openings[opening] = self._environment.wheel.clock()
        context = self._options.tls_context
        try:
            opening.start(sock, None if context is None else TLS(context, server_side=True))
        except (OSError, MemoryError) as error:
            self._reception.reports.log(logging.ERROR, "a connection could not be taken in: %r", error)
            self._counters.unopened += 1
            del self.openings[opening]
            sock.close()
            return
        if verdict is Verdict.REFUSE:
            opening.respond(self._reception.too_fast())
        most = self._options.max_openings
        if most is not None and len(self.openings) >= most:
            self._make_room(most)

    def _judge(self, sock: Connected) -> Verdict:
        """Whether this client's address connects too often."""
        if self._reception.rates is None:
            return Verdict.PASS
        try:
            return self._reception.judge(named(sock.getpeername()))
        except OSError:
            # It is gone already. What it has asked for would be decided all the same, at no rate.
            self._counters.unopened += 1
            return Verdict.DROP

    def _make_room(self, most: int) -> None:
        """As many as may be are not open yet."""
        if self._drop_oldest(1):
            return
        if not self._pauses & _FULL:
            self._tell_full(most)
            self._pause(_FULL)
        self._environment.loop.call_later(self._quiet / 4, self._look_again, most)

    @property
    def _quiet(self) -> float:
        return QUIET if self._options.ssl is None else QUIET_TLS

    def _tell_full(self, most: int) -> None:
        """Log it once for each storm, in which accepting pauses again and again."""
        now = self._environment.wheel.clock()
        if self._paused_at is None or now - self._paused_at > STORM:
            logger.warning("accepting pauses: %d connections are not open yet (max_openings)", most)
        self._paused_at = now

    def _look_again(self, most: int) -> None:
        if self._pauses & _FULL:
            if len(self.openings) >= most and not self._drop_oldest(1):
                self._make_room(most)
            else:
                self._resume(_FULL)

    def _drop_oldest(self, count: int) -> int:
        """Drop so many that were quiet or have had their time, the oldest first; how many there were."""
        now = self._environment.wheel.clock()
        looked_at = islice(self.openings.items(), _LOOKED_AT)
        old = (
            opening
            for opening, since in looked_at
            if not opening.decides and (since <= now - PATIENCE or opening.active_at <= now - self._quiet)
        )
        found = list(islice(old, count))
        for opening in found:
            del self.openings[opening]
            self._counters.dropped_openings += not opening.answered
            opening.abort()
        return len(found)

    def _failed(self, error: OSError) -> None:
        """The system could not give a connection: no descriptors, no memory. The clients wait in its queue."""
        if error.errno in _PEERS:
            self._reception.reports.log(logging.DEBUG, "a connection ended before it was accepted: %s", error)
            return
        if not self._short:
            self._short = True
            why = error.strerror or error
            logger.error("accepting pauses, and is tried again every %g s: %s", ACCEPT_PAUSE, why)
        self._drop_oldest(ACCEPTS_PER_TURN)
        self._pause(_SYSTEM)
        self._environment.loop.call_later(ACCEPT_PAUSE, self._resume, _SYSTEM)

    def _pause(self, reason: int) -> None:
        self._counters.accept_pauses += not self._pauses & reason
        self._pauses |= reason
        for listener in self._listeners:
            listener.pause()

    def _resume(self, reason: int) -> None:
        self._pauses &= ~reason
        for listener in self._listeners:
            if not self._pauses:  # or again, since one failed to
                listener.resume()
