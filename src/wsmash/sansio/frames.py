"""The wire form of a frame (RFC 6455 5.2): its head, its mask, and the body of a close frame.

    +-+-+-+-+-------+-+-------------+-------------------------------+
    |F|R|R|R| opcode|M| length      | 16 or 64 bits of length,      |
    |I|S|S|S|       |A| (7 bits)    | if the 7 are 126 or 127       |
    |N|V|V|V|       |S|             |                               |
    | |1|2|3|       |K|             |                               |
    +-+-+-+-+-------+-+-------------+-------------------------------+
    | 32 bits of masking key, if MASK is set    | payload           |
    +-------------------------------------------+-------------------+
"""

from __future__ import annotations

from ..constants import may_be_sent
from ..errors import ClosePair
from .violations import Violation

FIN = 0x80
RSV1 = 0x40
RESERVED = 0x30
OPCODE = 0x0F
MASKED = 0x80
LENGTH = 0x7F

MAX_LENGTH = 2**63 - 1
"""The most significant bit of a 64-bit length must be 0 (RFC 6455 5.2)."""


def frame_head(first: int, length: int, mask: bytes | None = None) -> bytes:
    """The head of a frame, with its length in the shortest form.

    Args:
        first: the first byte: FIN, RSV1 and the opcode.
        length: of the payload, in bytes.
        mask: the masking key, four bytes; None where the sender is a server.
    """
    masked = 0 if mask is None else MASKED
    if length < 126:
        head = bytes((first, masked | length))
    elif length < 0x10000:
        head = bytes((first, masked | 126)) + length.to_bytes(2)
    else:
        head = bytes((first, masked | 127)) + length.to_bytes(8)
    return head if mask is None else head + mask


def apply_mask(data: bytes | bytearray | memoryview, mask: bytes, offset: int = 0) -> bytes:
    """Mask or unmask a piece of a payload (RFC 6455 5.3).

    Args:
        data: the piece.
        mask: the masking key, four bytes.
        offset: how many bytes of the payload came before the piece.
    """
    if len(mask) != 4:
        raise ValueError(f"a masking key has 4 bytes, not {len(mask)}")
    size = data.nbytes if isinstance(data, memoryview) else len(data)
    offset &= 3
    if offset:
        mask = mask[offset:] + mask[:offset]
    key = mask * (size // 4) + mask[: size & 3]
    # One exclusive-or of two big integers is the fastest loop that pure Python has.
    return (int.from_bytes(data, "little") ^ int.from_bytes(key, "little")).to_bytes(size, "little")


def encode_close(code: int | None, reason: str = "") -> bytes:
    """The payload of a close frame (RFC 6455 5.5.1); empty where there is no code."""
    return b"" if code is None else code.to_bytes(2) + reason.encode()


def decode_close(payload: bytes) -> ClosePair | Violation:
    """The code and reason of a close frame, 1005 for one without; or what is wrong with it (RFC 6455 5.5.1, 7.4)."""
    if not payload:
        return 1005, ""
    if len(payload) == 1:
        return Violation.CLOSE_TOO_SHORT
    code = int.from_bytes(payload[:2])
    if not may_be_sent(code):
        return Violation.CLOSE_CODE_INVALID
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        return Violation.CLOSE_REASON_INVALID
