"""The codec of permessage-deflate (RFC 7692 7.2), on zlib-ng where it is installed.

A `Deflater` or `Inflater` serves one direction of one connection, gets its zlib
state at first use, and can be released whenever no message is under way. What
makes them is agreed on in `deflate_negotiation.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final, Protocol, cast

try:
    from zlib_ng import zlib_ng as zlib

    BACKEND: Final[str] = "zlib-ng"
except ImportError:  # no wheel for this platform: slower, and the same on the wire
    import zlib  # type: ignore[no-redef]

    BACKEND: Final[str] = "zlib"  # type: ignore[no-redef,misc]

MAX_ENDINGS: Final = 1024
"""Final blocks that one message may hold. An honest sender ends its stream once, if ever; each costs a new inflater."""

_TAIL: Final = b"\x00\x00\xff\xff"
# After the tail empty stored blocks: where the stream stands between two blocks, as it
# must, zlib takes them in silence. Inside a block's data they would be output or an
# error. The header of a block with codes of its own has up to 286 bytes (RFC 1951
# 3.2.7: 14 bits, 19 lengths of 3, 316 codes of 7), so the blocks are more than those.
_TAIL_AND_PROBE: Final = _TAIL + 60 * (b"\x00" + _TAIL)

# 32 KiB is the first buffer that zlib's binding allocates, and one that it fills is not copied.
_OUTPUT_STEP: Final = 32 * 1024
# zlib hands back a copy of the input it did not get to; short slices keep that linear.
_INPUT_STEP: Final = 16 * 1024
_INPUT_STEP_AFTER_END: Final = 64

# Pieces of output that are held as they are: more are joined, because a small one takes more than its size.
_MAX_RECENT: Final = 64

Buffer = bytes | bytearray | memoryview


class InvalidDeflate(Exception):
    """The compressed data is not DEFLATE, refers to bytes before its window, or ends in the middle."""


class MessageTooLong(Exception):
    """The message inflates to more than the room it was given."""


class _Compressor(Protocol):
    def compress(self, data: Buffer, /) -> bytes: ...
    def flush(self, mode: int, /) -> bytes: ...


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def unconsumed_tail(self) -> bytes: ...
    def decompress(self, data: Buffer, max_length: int, /) -> bytes: ...


_ZlibError = cast("type[Exception]", zlib.error)


class Deflater:
    """Compresses the messages of one direction (RFC 7692 7.2.1).

    Args:
        window_bits: 9 to 15.
        takeover: whether a message may refer to the ones before it.
        level: 1 (fast) to 9 (small).
    """

    __slots__ = ("_level", "_release_at_end", "_stream", "_takeover", "_unfinished", "_used", "_window_bits")

    def __init__(self, window_bits: int, takeover: bool, level: int) -> None:
        self._window_bits = window_bits
        self._takeover = takeover
        self._level = level
        self._stream: _Compressor | None = None
        self._unfinished = False
        self._release_at_end = False
        self._used = False

    def compress(self, data: Buffer) -> bytes:
        """The payload of a whole message in one frame."""
        if not len(data):
            return b"\x00"  # RFC 7692 7.2.3.6
        self._used = True
        stream = self._stream or self._open()
        start = stream.compress(data)
        end = stream.flush(zlib.Z_SYNC_FLUSH)
        if not self._takeover:
            self._stream = None
        return start + end[:-4]

    def compress_fragment(self, data: Buffer, final: bool) -> bytes:
        """The payload of the next frame of a message; it may be empty until the final one."""
        self._used = True
        stream = self._stream or self._open()
        start = stream.compress(data)
        self._unfinished = not final
        if not final:
            return start
        end = stream.flush(zlib.Z_SYNC_FLUSH)
        if not self._takeover or self._release_at_end:
            self._stream = None
            self._release_at_end = False
        # zlib flushes nothing where nothing came since the last flush: an empty message.
        return start + end[:-4] or b"\x00"

    def release(self) -> None:
        """Give the compressor's memory back: now, or at the end of a message in fragments.

        Always legal: the next message then does not refer to earlier ones.
        """
        if self._unfinished:
            self._release_at_end = True
        else:
            self._stream = None

    def rest(self) -> None:
        """Called now and then: release what was not used since the last call."""
        if not self._used:
            self.release()
        self._used = False

    def _open(self) -> _Compressor:
        self._stream = cast(_Compressor, zlib.compressobj(self._level, zlib.DEFLATED, -self._window_bits))
        return self._stream


class Inflater:
    """Decompresses the messages of one direction (RFC 7692 7.2.2).

    Beside zlib's own window, which zlib does not give out, it holds on to the latest
    output, a window of it and one step: a new stream needs it as its dictionary after a
    release, and after a final block (RFC 7692 7.2.3.4).

    Args:
        window_bits: 8 to 15; zlib notices a reference from beyond the window wherever it
            has not the bytes, so not always within one message.
        takeover: whether a message may refer to the ones before it.
    """

    __slots__ = (
        "_ended",
        "_endings",
        "_recent",
        "_recent_size",
        "_stream",
        "_takeover",
        "_unfinished",
        "_used",
        "_window",
        "_window_bits",
    )

    def __init__(self, window_bits: int, takeover: bool) -> None:
        self._window_bits = window_bits
        self._window = 1 << window_bits
        self._takeover = takeover
        self._stream: _Decompressor | None = None
        self._recent: list[bytes] = []
        self._recent_size = 0
        self._unfinished = False
        self._used = False
        self._ended = False
        self._endings = 0  # final blocks in this message

    def inflate(self, data: Buffer, room: int | None, final: bool, keep: Callable[[bytes], object]) -> bytes:
        """Inflate the next piece of the current message.

        The output comes in steps of 32 KiB, so that its place may grow with it, and that
        no more than two of them are held here.

        Args:
            data: the next bytes of the message, from one frame or a part of one.
            room: how many bytes the message may still give, None for any number.
            final: whether these are the last bytes of the message.
            keep: called with each step of the output but the last.

        Returns:
            The last step: all there is, where that is little.

        Raises:
            MessageTooLong: there is more than `room`.
            InvalidDeflate: the data is invalid, or the message is not all there.
        """
        self._used = True
        try:
            output = self._read(data, sys.maxsize if room is None else room, keep)
            self._unfinished = not final
            if final:
                self._finish()
        except _ZlibError as error:
            self._forget()
            raise InvalidDeflate(str(error)) from error
        except (InvalidDeflate, MessageTooLong):
            self._forget()
            raise
        return output

    def release(self) -> None:
        """Give zlib's memory back, and keep the window alone. In the middle of a message it does nothing."""
        if not self._unfinished:
            self._stream = None
            self._join_recent()

    def rest(self) -> None:
        """Called now and then: release what was not used since the last call."""
        if not self._used:
            self.release()
        self._used = False

    def _read(self, data: Buffer, room: int, keep: Callable[[bytes], object]) -> bytes:
        source = memoryview(data)
        length = len(source)
        if not length:
            return b""
        output = b""
        position = total = 0
        input_step = _INPUT_STEP
        while True:
            stream = self._stream or self._open()
            piece = source[position : position + input_step]
            output_step = min(_OUTPUT_STEP, max(room - total, 0) + 1)  # 0 would be no limit to zlib
            chunk = stream.decompress(piece, output_step)
            if chunk:
                total += len(chunk)
                if total > room:  # a backend may give more than it was asked for, and this holds for it too
                    raise MessageTooLong(f"the message inflates to more than the {room} bytes left to it")
                if output:
                    keep(output)
                output = chunk
                self._remember(chunk)
            self._ended = stream.eof
            if self._ended:
                # RFC 7692 7.2.3.4: a final block ends its stream, and the message goes on in another.
                self._stream = None
                self._endings += 1
                if self._endings > MAX_ENDINGS:
                    raise InvalidDeflate(f"the message has more than {MAX_ENDINGS} final blocks")
                position += len(piece) - len(stream.unused_data)
                input_step = _INPUT_STEP_AFTER_END
                if position == length:
                    return output
            else:
                position += len(piece) - len(stream.unconsumed_tail)
                input_step = min(2 * input_step, _INPUT_STEP)
                # A full step may have left more in zlib, even if all input is consumed.
                if position == length and len(chunk) < output_step:
                    return output

    def _finish(self) -> None:
        """Append the tail that the sender cut (RFC 7692 7.2.2), and require that the message ends there."""
        # A stream that ended with the last byte needs no tail.
        if not self._ended:
            stream = self._stream or self._open()
            if stream.decompress(_TAIL_AND_PROBE, 1) or stream.eof:
                raise InvalidDeflate("the message ends inside a block")
        self._ended = False
        self._endings = 0
        if not self._takeover:
            self._forget()

    def _open(self) -> _Decompressor:
        if self._recent:
            stream = zlib.decompressobj(-self._window_bits, zdict=self._join_recent())
        else:
            stream = zlib.decompressobj(-self._window_bits)
        self._stream = cast(_Decompressor, stream)
        return self._stream

    def _remember(self, chunk: bytes) -> None:
        recent = self._recent
        recent.append(chunk)
        self._recent_size += len(chunk)
        while self._recent_size - len(recent[0]) >= self._window:
            self._recent_size -= len(recent.pop(0))
        if len(recent) > _MAX_RECENT:
            self._join_recent()

    def _join_recent(self) -> bytes:
        """The window, which from now on is held in one piece."""
        window = b"".join(self._recent)[-self._window :]
        self._recent = [window] if window else []
        self._recent_size = len(window)
        return window

    def _forget(self) -> None:
        self._stream = None
        self._recent = []
        self._recent_size = 0
        self._unfinished = self._ended = False
        self._endings = 0
