"""RESP, the protocol of Redis, in its version 2: commands to bytes, and bytes to replies.

The package `redis` has a parser too, which takes some nine times as long for each
push, and takes whatever size it is told. This one leaves out what is longer than
any record of ours, while it comes, so that nobody who can write to Redis fills the
memory of its nodes (case 107).
"""

from __future__ import annotations

from typing import Final

MAX_BULK: Final = 32 * 1024 * 1024
"""Bytes of a string in a reply; of a longer one only a mark is kept."""

_MAX_LINE: Final = 65536
"""Bytes of a line: of an error, say."""


_ELSEWHERE: Final = frozenset({"CLUSTERDOWN", "LOADING", "MASTERDOWN", "MOVED", "NOAUTH", "READONLY"})
_NOT_NOW: Final = frozenset({"BUSY", "MISCONF", "NOREPLICAS", "OOM"})


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
    """What came is no RESP."""


class _TooLong:
    """Stands for a string above `MAX_BULK`."""

    def __repr__(self) -> str:
        return "TOO_LONG"


TOO_LONG: Final = _TooLong()

Reply = bytes | int | ReplyError | _TooLong | None | list["Reply"]


def pack(parts: tuple[bytes, ...]) -> bytes:
    """A command as bytes."""
    return b"*%d\r\n%b" % (len(parts), b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in parts]))


class Replies:
    """Takes bytes as they come, and gives the replies that they complete."""

    __slots__ = ("_chunks", "_counts", "_held", "_lists", "_needed", "_skip")

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._held = 0  # bytes in the chunks
        self._needed = 0  # bytes that there must be before looking is worth it
        self._skip = 0  # bytes to come of what is left out
        self._lists: list[list[Reply]] = []  # those that are unfinished, the outermost first
        self._counts: list[int] = []  # how many items each of them will have

    def feed(self, data: bytes) -> list[Reply]:
        """What is complete now.

        Raises:
            InvalidReply: this is no RESP, and whatever follows is not to be read.
        """
        if self._chunks:
            self._chunks.append(data)
            self._held += len(data)
            if self._held < self._needed:
                return []
            data = b"".join(self._chunks)
            self._chunks.clear()
        done: list[Reply] = []
        try:
            at = self._parse(data, done)
        except ValueError as error:
            raise InvalidReply(f"Redis sent what is no RESP: {error!s:.200}") from None
        if at < len(data):
            self._chunks.append(data[at:])
            self._held = len(data) - at
        return done

    def _parse(self, data: bytes, done: list[Reply]) -> int:
        """Append complete replies; returns where the first incomplete piece begins."""
        lists, size = self._lists, len(data)
        at = min(self._skip, size)
        self._skip -= at
        self._needed = 0
        while at < size:
            end = data.find(b"\r\n", at)
            if end < 0:
                if size - at > _MAX_LINE:
                    raise ValueError("a line without an end")
                break
            kind, line, at_next = data[at], data[at + 1 : end], end + 2
            value: Reply
            if kind == 36:  # "$", a string
                length = int(line)
                stop = at_next + length
                if length < 0:
                    value = None
                elif length > MAX_BULK:
                    value, at_next = TOO_LONG, min(stop + 2, size)
                    self._skip = stop + 2 - at_next
                elif stop + 2 > size:
                    self._needed = stop + 2 - at
                    break
                else:
                    value, at_next = data[at_next:stop], stop + 2
            elif kind == 42 and (count := int(line)) > 0:  # "*", a list
                lists.append([])
                self._counts.append(count)
                at = at_next
                continue
            else:
                value = _simple(kind, line)
            at = at_next
            while lists:
                lists[-1].append(value)
                if len(lists[-1]) < self._counts[-1]:
                    break
                self._counts.pop()
                value = lists.pop()
            else:
                done.append(value)
        return at


def _simple(kind: int, line: bytes) -> Reply:
    """What is one line, and an empty list or none."""
    if kind == 58:  # ":", an integer
        return int(line)
    if kind == 43:  # "+", a word
        return line
    if kind == 45:  # "-", an error
        return ReplyError(line.decode(errors="replace"))
    if kind == 42:
        return [] if line == b"0" else None
    raise ValueError(f"a reply that begins with {bytes((kind,))!r}")
