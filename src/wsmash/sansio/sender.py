"""Messages in, bytes out: the writing half of RFC 6455 5, for either role.

What it gives is to be written in the order it was given. A message sent in
fragments holds back every message that is sent before its last fragment; control
frames pass between (RFC 6455 5.4). No I/O: masking keys come from a source that
is given as an argument.
"""

from __future__ import annotations

from collections.abc import Callable

from ..constants import Opcode, Role
from .deflate import Deflater
from .frames import FIN, RSV1, apply_mask, frame_head
from .receiver import Compression

Payload = bytes | bytearray | memoryview

HELD_OVERHEAD = 64
"""What a frame that is held back counts beside its bytes: many small ones take more memory than they have bytes."""


class Prepared:
    """A message for many connections: framed once, and compressed once for each window size.

    Only servers send one, since a client's frames are masked one by one.
    """

    __slots__ = ("_frames", "opcode", "payload")

    def __init__(self, opcode: int, payload: bytes) -> None:
        self.opcode = opcode
        self.payload = payload
        self._frames: dict[tuple[int, int] | None, bytes] = {}

    def frame(self, window: tuple[int, int] | None) -> bytes:
        """The frame for connections that compress with this window and level, or not at all."""
        frame = self._frames.get(window)
        if frame is None:
            first, payload = FIN | self.opcode, self.payload
            if window is not None:
                bits, level = window
                first |= RSV1
                payload = Deflater(bits, False, level).compress(payload)
            frame = self._frames[window] = frame_head(first, len(payload)) + payload
        return frame


class Sender:
    """Writes what `role` sends.

    Args:
        role: this end of the connection.
        compression: what was agreed on, None where nothing is compressed.
        entropy: gives so many unpredictable bytes (RFC 6455 10.3).

    Attributes:
        held: what messages that wait for the end of one sent in fragments cost, in bytes.
    """

    __slots__ = (
        "_compressed",
        "_entropy",
        "_held",
        "_masks",
        "_threshold",
        "_unfinished",
        "_window",
        "deflater",
        "held",
    )

    def __init__(self, role: Role, compression: Compression | None, entropy: Callable[[int], bytes]) -> None:
        self._masks = role is Role.CLIENT
        self._entropy = entropy
        self.deflater: Deflater | None = None
        self._window: tuple[int, int] | None = None
        self._threshold = 0
        if compression is not None:
            bits, takeover = compression.window(role)
            self.deflater = Deflater(bits, takeover, compression.settings.level)
            self._window = bits, compression.settings.level
            self._threshold = compression.settings.threshold
        self._unfinished = False
        self._compressed = False
        self._held: list[bytes] | None = None
        self.held = 0

    def message(self, opcode: int, payload: Payload, *, compress: bool = True) -> bytes:
        """A whole message. Empty where a message in fragments holds it back: its last fragment brings it."""
        if self._unfinished:
            return self._hold(self._frame(FIN | opcode, payload))
        if compress and self.deflater is not None and len(payload) >= self._threshold:
            return self._frame(FIN | RSV1 | opcode, self.deflater.compress(payload))
        return self._frame(FIN | opcode, payload)

    def prepared(self, message: Prepared) -> bytes:
        """A message that other connections are sent too, as one and the same bytes.

        A shared compressed frame was made with a window of its own, which the peer's
        inflater now holds and this end's compressor does not: so that is dropped.
        """
        window = self._window if len(message.payload) >= self._threshold else None
        if self._unfinished:
            return self._hold(message.frame(None))
        if window is not None and self.deflater is not None:
            self.deflater.release()
        return message.frame(window)

    def fragment(self, opcode: int, payload: Payload, *, final: bool, compress: bool = True) -> bytes:
        """A piece of a message: the first has the message's opcode, the others CONTINUATION (RFC 6455 5.4)."""
        first = opcode
        if opcode:
            self._unfinished = True
            self._compressed = compress and self.deflater is not None
            if self._compressed:
                first |= RSV1
        if self._compressed and self.deflater is not None:
            payload = self.deflater.compress_fragment(payload, final)
        if not final:
            return self._frame(first, payload)
        self._unfinished = False
        held, self._held, self.held = self._held or (), None, 0
        return b"".join((self._frame(FIN | first, payload), *held))

    def control(self, opcode: Opcode, payload: bytes) -> bytes:
        """A control frame; never held back (RFC 6455 5.4)."""
        return self._frame(FIN | opcode, payload)

    def _hold(self, frame: bytes) -> bytes:
        # What is held back is not compressed: a context would be used out of order.
        if self._held is None:
            self._held = []
        self._held.append(frame)
        self.held += len(frame) + HELD_OVERHEAD
        return b""

    def _frame(self, first: int, payload: Payload) -> bytes:
        if not self._masks:
            return frame_head(first, len(payload)) + payload
        mask = self._entropy(4)
        return frame_head(first, len(payload), mask) + apply_mask(payload, mask)
