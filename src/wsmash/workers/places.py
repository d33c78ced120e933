"""Where workers listen: sockets that their parent binds, hands on, and keeps open, so that no queue of theirs is lost.

Each worker has its own socket of a TCP address, over which the system spreads the
connections (SO_REUSEPORT). Those that wait in the queue of one that has died are
taken by the next that has its number, since the socket is the same. Where the system
does not spread them, and of a Unix socket, all workers have one socket together.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from socket import AF_UNIX, socket
from typing import NamedTuple

from ..listening import bind_sockets, close_all, remove_unix
from ..options import ServerOptions
from .messages import Wish

SPREADS = sys.platform == "linux"
"""Whether SO_REUSEPORT is a balance, and not only a permission."""


class Place(NamedTuple):
    """What is asked for alike by workers that listen at the same place."""

    hosts: tuple[str | None, ...]
    port: int
    unix: str | None
    reuse_port: bool

    @classmethod
    def of(cls, wish: Wish) -> Place:
        """That of one of them."""
        return cls(tuple(wish.hosts), wish.port, wish.unix, wish.reuse_port)

    def options(self, *, reuse_port: bool, port: int | None = None) -> ServerOptions:
        """The place as options."""
        hosts = self.hosts[0] if len(self.hosts) == 1 else [host for host in self.hosts if host is not None]
        return ServerOptions(
            host=hosts, port=self.port if port is None else port, unix=self.unix, reuse_port=reuse_port
        )


class Places:
    """All of them.

    Args:
        count: how many workers there are.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._sockets: dict[Place, list[list[socket]]] = {}
        self._binding = asyncio.Lock()

    async def sockets(self, place: Place, number: int) -> list[socket]:
        """The sockets of a worker there; they stay the parent's.

        Raises:
            OSError: nothing could be bound, or the port is in use.
        """
        async with self._binding:
            if place not in self._sockets:
                self._sockets[place] = await self._bind(place)
        found = self._sockets[place]
        return found[(number - 1) % len(found)]

    def own(self, place: Place, number: int) -> list[socket]:
        """Those of them that no other worker has; none where they have one together."""
        found = self._sockets.get(place, [])
        return found[number - 1] if len(found) > 1 else []

    async def _bind(self, place: Place) -> list[list[socket]]:
        # Without SO_REUSEPORT first: with it, a server that runs already would share its clients in silence.
        first = await bind_sockets(place.options(reuse_port=place.reuse_port))
        if first[0].family == AF_UNIX or not SPREADS:
            return [first]
        port = first[0].getsockname()[1]
        close_all(first)
        bound: list[list[socket]] = []
        try:
            for _ in range(self._count):
                bound.append(await bind_sockets(place.options(reuse_port=True, port=port)))  # noqa: PERF401
        except BaseException:
            for each in bound:
                close_all(each)
            raise
        return bound

    def keep(self, places: Iterable[Place]) -> None:
        """Let go of all others."""
        for place in self._sockets.keys() - set(places):
            for sockets in self._sockets.pop(place):
                close_all(sockets)
            if place.unix is not None:
                remove_unix(place.options(reuse_port=False))

    def close(self) -> None:
        """Let go of all: who waits in a queue that no worker has any more is refused. Files of Unix sockets stay."""
        for lists in self._sockets.values():
            for sockets in lists:
                close_all(sockets)

    def remove(self) -> None:
        """Take away the files of Unix sockets, once nobody serves there."""
        for place in self._sockets:
            if place.unix is not None:
                remove_unix(place.options(reuse_port=False))
        self._sockets.clear()

    def __str__(self) -> str:
        return ", ".join(_shown(place, lists[0]) for place, lists in self._sockets.items())


def _shown(place: Place, sockets: list[socket]) -> str:
    if place.unix is not None:
        return place.unix
    names = []
    for sock in sockets:
        host, port, *rest = sock.getsockname()
        names.append(f"[{host}]:{port}" if rest else f"{host}:{port}")
    return " and ".join(names)
