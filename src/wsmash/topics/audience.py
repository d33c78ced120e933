"""Open connections that are sent the same messages: each is framed once, and compressed once for each window size."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Generic, TypeVar

from ..runtime.actions import Count
from ..runtime.connection import WebSocketConnection
from ..runtime.environment import Environment
from ..runtime.outbox import refused_broadcast
from ..sansio.sender import Prepared
from ..transports.base import Channel, Group

M = TypeVar("M", bound=WebSocketConnection)

_NOBODY: frozenset[Channel] = frozenset()


class Audience(Generic[M]):
    """Connections in the order they came, and the sending to all of them.

    Args:
        environment: of their loop.
        refused: hears of each that a message did not fit; `slow_consumer` applies where nothing else is given.
    """

    __slots__ = ("_environment", "_group", "_members", "_refused")

    def __init__(self, environment: Environment, refused: Callable[[M], None] = refused_broadcast) -> None:
        self._environment = environment
        self._refused = refused
        self._members: dict[Channel, M] = {}
        self._group: Group | None = None  # made when something is sent: to many servers it never is

    def __len__(self) -> int:
        return len(self._members)

    def add(self, channel: Channel, connection: M) -> None:
        """Send to it too."""
        self._members[channel] = connection
        if self._group is not None:
            self._group.add(channel)

    def discard(self, channel: Channel) -> None:
        """Send to it no more."""
        if self._members.pop(channel, None) is not None and self._group is not None:
            self._group.discard(channel)

    def snapshot(self) -> tuple[M, ...]:
        """Those there are now."""
        return tuple(self._members.values())

    def broadcast(self, opcode: int, payload: bytes, filter: Callable[[M], object] | None) -> Count:
        """Send one message to all, or to those that the filter lets pass; see `WebSocketServer.broadcast`."""
        skip = _NOBODY
        if filter is not None:
            if inspect.iscoroutinefunction(filter):
                raise TypeError("the filter of a broadcast is a plain function, not a coroutine function")
            skip = frozenset(channel for channel, client in tuple(self._members.items()) if not filter(client))
        return Count(self._need_group().send(Prepared(opcode, payload), skip))

    def send(self, opcode: int, payload: bytes) -> None:
        """Send one message to all."""
        self._need_group().send(Prepared(opcode, payload))

    def _need_group(self) -> Group:
        if self._group is None:
            self._group = self._environment.driver.group(self._slow)
            for channel in self._members:
                self._group.add(channel)
        return self._group

    def _slow(self, channel: Channel, refused: bool) -> None:
        connection = self._members.get(channel)
        if connection is not None:
            if refused:
                self._refused(connection)
            elif not connection._congested:
                connection._congest()
