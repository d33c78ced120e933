"""The place of an unfinished message, which grows with it and becomes what the user gets.

A place that grows little by little is moved often, and an allocator that can't
stretch it in place has it twice, beside the holes that it left. So it grows
fourfold, up to exactly what the message may be: all that it leaves behind is a
third of that, and memory that is reserved is none yet, until it is written to.
"""

from __future__ import annotations

from io import BytesIO

_GREATEST = 1 << 62
"""What stands for no limit."""


class Place:
    """Holds what has come of a message.

    Attributes:
        size: how many bytes.
    """

    __slots__ = ("_buffer", "_first", "_reserved", "size")

    def __init__(self) -> None:
        self.size = 0
        self._first = b""  # the first piece stays as it is: often it is the only one
        self._buffer: BytesIO | None = None
        self._reserved = 0

    def add(self, piece: bytes, most: int | None) -> None:
        """Append a piece, which fits into the `most` bytes that the message may have."""
        if not piece:
            return
        size = self.size + len(piece)
        if not self.size:
            self._first = piece
        elif self._buffer is not None and size <= self._reserved:
            self._buffer.write(piece)
        else:
            self._move(reservation(size, most)).write(piece)
        self.size = size

    def read(self, start: int, size: int) -> bytes:
        """So many of its bytes, or as many as there are from there on."""
        if self._buffer is None:
            return self._first[start : start + size]
        return bytes(self._buffer.getbuffer()[start : min(start + size, self.size)])

    def take(self) -> bytes:
        """The message, for which all that was reserved beyond it is given back."""
        if self._buffer is None:
            return self._first
        self._buffer.truncate()
        return self._buffer.getvalue()  # hands its bytes over, without a copy

    def text(self) -> str:
        """The same, decoded where it stands.

        Raises:
            UnicodeDecodeError: it is not UTF-8.
        """
        if self._buffer is None:
            return self._first.decode()
        return str(self._buffer.getbuffer()[: self.size], "utf-8")

    def _move(self, reserved: int) -> BytesIO:
        # Bytes that nobody else has are not copied but written to, and many zeros are pages that the system
        # adds when they are.
        buffer = BytesIO(bytes(reserved))
        buffer.write(self._first if self._buffer is None else self._buffer.getbuffer()[: self.size])
        self._first = b""
        self._buffer, self._reserved = buffer, reserved
        return buffer


def reservation(size: int, most: int | None) -> int:
    """How much to hold for so many bytes: what may come, or a quarter of it, or a quarter of that.

    So it is less than four times what has come, and the last place is no more than is allowed.
    """
    reserved = _GREATEST if most is None else most
    while reserved >> 2 >= size:
        reserved >>= 2
    return max(reserved, size)
