"""What the vectors are built with: a peer that writes frames by hand, bit by bit, and compresses.

Nothing under test helps here to write its own exam.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

from wsmash.constants import Role
from wsmash.options import Deflate, Limits
from wsmash.sansio.deflate_negotiation import DeflateParams
from wsmash.sansio.receiver import VIOLATION, Compression, Item
from wsmash.sansio.violations import Violation

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MASK = b"\x37\xfa\x21\x3d"  # RFC 6455 5.7

UNLIMITED = Limits(None, None, 65536, None)


def limited(size: int | None = None, fragments: int | None = None) -> Limits:
    """Limits of a message alone."""
    return UNLIMITED._replace(max_message_size=size, max_fragments=fragments)


def compression(*, bits: int = 15, takeover: bool = True, threshold: int = 0) -> Compression:
    """The same agreement for both directions."""
    return Compression(DeflateParams(not takeover, not takeover, bits, bits), Deflate(threshold=threshold))


DEFLATE = compression()
NO_TAKEOVER = compression(takeover=False)
SMALL_WINDOW = compression(bits=9)


class Vector(NamedTuple):
    """What one receiver is fed, and what must come of it."""

    name: str
    role: Role
    """Of the receiver."""
    limits: Limits
    compression: Compression | None
    data: bytes
    items: tuple[Item, ...]
    fault_at: int | None
    """How many bytes the receiver has when it must report the violation at the latest; None where a codec decides."""


class Peer:
    """Builds what the peer of `role` puts on the wire."""

    def __init__(self, role: Role) -> None:
        self.role = role
        self.masks = role is Role.SERVER

    def head(self, first: int, length: int, *, size: int = 0, masks: bool | None = None) -> bytes:
        """A frame's head; `size` forces the bytes of its length: 1, 2 or 8."""
        masks = self.masks if masks is None else masks
        bit = 0x80 if masks else 0
        size = size or (1 if length < 126 else 2 if length < 65536 else 8)
        if size == 1:
            head = bytes([first, bit | length])
        else:
            head = bytes([first, bit | (126 if size == 2 else 127)]) + length.to_bytes(size, "big")
        return head + (MASK if masks else b"")

    def frame(
        self, opcode: int, payload: bytes | str = b"", *, fin: bool = True, rsv: int = 0, masks: bool | None = None
    ) -> bytes:
        """A whole frame; `rsv` is 4 for RSV1, 2 for RSV2, 1 for RSV3."""
        masks = self.masks if masks is None else masks
        body = payload.encode() if isinstance(payload, str) else payload
        head = self.head(fin << 7 | rsv << 4 | opcode, len(body), masks=masks)
        return head + (bytes(each ^ MASK[at % 4] for at, each in enumerate(body)) if masks else body)

    def vector(
        self,
        name: str,
        data: bytes,
        *items: Item | Violation,
        limits: Limits = UNLIMITED,
        compression: Compression | None = None,
        fault_at: int | None = None,
    ) -> Vector:
        """One row of a table; a violation may stand for the item that reports it."""
        row = tuple((VIOLATION, each) if isinstance(each, Violation) else each for each in items)
        return Vector(f"{self.role.name.lower()}: {name}", self.role, limits, compression, data, row, fault_at)


class Compressor:
    """A peer's compressor, on the standard library's zlib."""

    def __init__(self, bits: int = 15, level: int = 6) -> None:
        self._bits, self._level = bits, level
        self._stream = zlib.compressobj(level, zlib.DEFLATED, -bits)

    def message(self, data: bytes) -> bytes:
        """The payload of one message, without the tail (RFC 7692 7.2.1)."""
        return (self._stream.compress(data) + self._stream.flush(zlib.Z_SYNC_FLUSH))[:-4]

    def final(self, data: bytes) -> bytes:
        """A message in a DEFLATE stream that ends with a final block, and a zero byte (RFC 7692 7.2.3.4)."""
        stream = zlib.compressobj(self._level, zlib.DEFLATED, -self._bits)
        return stream.compress(data) + stream.flush() + b"\x00"
