"""What goes over a connection to Redis: commands to bytes, and bytes to replies, by way of hiredis, Redis' own parser.

A parser takes whatever size it is told. What may be held of a reply that is not
complete is bounded here, so that nobody who can write to Redis fills the memory of
its nodes (case 107).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, cast

import hiredis

MAX_REPLY: Final = 32 * 1024 * 1024
"""Bytes of a reply or a push; above it the connection fails.

Redis holds as many for a subscriber, by default, before it cuts him off, and no read of a history comes near.
"""

_ELSEWHERE: Final = frozenset({"CLUSTERDOWN", "LOADING", "MASTERDOWN", "MOVED", "NOAUTH", "READONLY"})
_NOT_NOW: Final = frozenset({"BUSY", "MISCONF", "NOREPLICAS", "OOM"})

_INCOMPLETE: Final = object()


class ReplyError(Exception):
    """Redis has answered a command with an error.

    Attributes:
        code: its first word, as NOSCRIPT.
        by_another: whether a new connection may find what this one has lost, a server that takes writes.
        did_nothing: whether it is of those that Redis answers with before it does anything.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        # Before Redis 7 what went wrong in a script stands behind an account of where that was.
        inner = text.rpartition(": -")[2] if text.startswith("ERR Error running script") else text
        self.code = inner.partition(" ")[0]
        self.by_another = self.code in _ELSEWHERE
        self.did_nothing = self.by_another or self.code in _NOT_NOW


class InvalidReply(ValueError):
    """What came is no reply, or one above `MAX_REPLY`."""


Reply = bytes | int | ReplyError | None | list["Reply"]


def pack(parts: tuple[bytes, ...]) -> bytes:
    """A command as bytes."""
    return cast(bytes, hiredis.pack_command(cast(Any, parts)))  # its types know tuples of one only


class Replies:
    """Takes bytes as they come, and gives the replies that they complete."""

    __slots__ = ("_held", "_reader")

    def __init__(self) -> None:
        self._reader = hiredis.Reader(replyError=ReplyError, notEnoughData=_INCOMPLETE)
        self._held = 0  # bytes since the last complete reply, or a piece more

    def feed(self, data: bytes) -> Iterator[Reply]:
        """What is complete now, one at a time: to be taken to the end before more is fed.

        Raises:
            InvalidReply: whatever follows is not to be read.
        """
        self._reader.feed(data)
        self._held += len(data)
        while (reply := self._next()) is not _INCOMPLETE:
            self._held = len(data)
            yield cast(Reply, reply)
        if self._held > MAX_REPLY:
            raise InvalidReply(f"Redis sent a reply of more than {MAX_REPLY} bytes")

    def _next(self) -> object:
        try:
            return self._reader.gets()
        except Exception as error:  # of RESP's next version too, whose maps may have keys that Python's cannot
            raise InvalidReply(f"Redis sent what is no RESP: {error!s:.200}") from error
