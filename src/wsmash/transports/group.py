"""Fan-out over stream channels: one message framed once, for many."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from ..sansio.sender import Prepared
from .base import REFUSED, Channel
from .stream import NOT_OPEN, StreamChannel


class PlainGroup:
    """See `base.Group`. Members are kept in the order they came."""

    __slots__ = ("_members", "_on_slow")

    def __init__(self, on_slow: Callable[[Channel, bool], None]) -> None:
        self._members: dict[StreamChannel, None] = {}
        self._on_slow = on_slow

    def add(self, channel: Channel) -> None:
        self._members[cast(StreamChannel, channel)] = None

    def discard(self, channel: Channel) -> None:
        self._members.pop(cast(StreamChannel, channel), None)

    def send(self, message: Prepared, skip: frozenset[Channel] = frozenset()) -> int:
        took = 0
        slow: list[tuple[Channel, bool]] = []
        for channel in self._members:
            if channel in skip:
                continue
            waiting = channel.send_prepared(message)
            took += waiting >= 0
            if channel.above_high_water and waiting != NOT_OPEN:
                slow.append((channel, waiting == REFUSED))
        # Told afterwards, since whoever hears it may change the members.
        for member, refused in slow:
            self._on_slow(member, refused)
        return took
