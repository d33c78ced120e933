"""The attacks under which honest peers are to be answered as soon as ever: what each sends, again and again."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from fixtures.frames import close, frame, text
from fixtures.raw import upgrade
from wsmash.constants import Opcode

DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"
KIB = 1024


@dataclass(frozen=True)
class Attack:
    """What one attacking connection does.

    Attributes:
        group: of the list of hostile inputs.
        cases: the numbers in it.
        data: what it sends once it is open.
        how: "once", and then it waits until the server ends the connection and
            comes again; or "forever".
        reads: whether it reads what the server sends.
        extra: lines of its request.
        piece: bytes that it writes at a time, None for all of them.
        ends: whether it resets the connection itself once all is sent.
    """

    group: str
    cases: tuple[int, ...]
    data: Callable[[], bytes]
    how: Literal["once", "forever"] = "once"
    reads: bool = True
    extra: tuple[str, ...] = ()
    piece: int | None = None
    ends: bool = False

    def request(self) -> bytes:
        """Its opening."""
        return upgrade("/", *self.extra)


def compressed(payload: bytes) -> bytes:
    """A binary message of this payload, deflated at best."""
    packed = zlib.compressobj(9, wbits=-15)
    return marked(frame(Opcode.BINARY, (packed.compress(payload) + packed.flush(zlib.Z_SYNC_FLUSH))[:-4], masked=True))


def marked(plain: bytes) -> bytes:
    """The frame as that of a compressed message (RFC 7692 6)."""
    return bytes((plain[0] | 0x40,)) + plain[1:]


def fragments(payload: bytes, count: int) -> bytes:
    """A message that begins and does not end."""
    begun = frame(Opcode.TEXT, payload, final=False, masked=True)
    return begun + frame(Opcode.CONTINUATION, payload, final=False, masked=True) * count


def ping(payload: bytes) -> bytes:
    """A ping."""
    return frame(Opcode.PING, payload, masked=True)


ATTACKS: dict[str, Attack] = {
    "a length with its top bit": Attack("C", (27,), lambda: b"\x82\xff" + b"\xff" * 8 + bytes(4)),
    "a length above the limit": Attack("C", (28,), lambda: b"\x82\xff" + (1 << 21).to_bytes(8) + bytes(4)),
    "frames without a mask": Attack("C", (30,), lambda: text("unmasked") * 1000),
    "heads in single bytes": Attack(
        "C", (33,), lambda: frame(Opcode.BINARY, bytes(300), masked=True), "forever", piece=1
    ),
    "empty continuations": Attack("D", (36,), lambda: fragments(b"", 300_000)),
    "continuations of one byte": Attack("D", (37,), lambda: fragments(b"a", 300_000)),
    "messages in 4096 fragments": Attack(
        "D", (36, 38), lambda: fragments(b"a", 4094) + frame(Opcode.CONTINUATION, b"a", masked=True), "forever"
    ),
    "invalid text": Attack("E", (43, 44), lambda: frame(Opcode.TEXT, b"\xff", masked=True)),
    "long text with a fault at its end": Attack(
        "E", (43,), lambda: frame(Opcode.TEXT, "é".encode() * 250_000 + b"\xff", masked=True)
    ),
    "close codes that may not be": Attack("F", (47,), lambda: close(1006, masked=True)),
    "data behind a close frame": Attack(
        "F", (48,), lambda: close(1000, masked=True) + frame(Opcode.BINARY, bytes(64 * KIB), masked=True) * 16
    ),
    "connections that are reset": Attack("F", (51,), lambda: text("hello", masked=True), ends=True),
    "pings, never reading": Attack("G", (53,), lambda: ping(b"x" * 125) * 1000, "forever", reads=False),
    "pings": Attack("G", (53,), lambda: ping(b"x" * 125) * 1000, "forever"),
    "pongs": Attack("G", (54,), lambda: frame(Opcode.PONG, b"x", masked=True) * 10_000, "forever"),
    "empty messages": Attack("G", (54,), lambda: frame(Opcode.BINARY, masked=True) * 10_000, "forever"),
    "messages of one byte": Attack("G", (54,), lambda: text("a", masked=True) * 10_000, "forever"),
    "deflate bombs": Attack("H", (57,), lambda: compressed(bytes(128 << 20)), extra=(DEFLATE,)),
    "a mebibyte of zeros, deflated": Attack(
        "H", (59,), lambda: compressed(bytes(1 << 20)), "forever", extra=(DEFLATE,)
    ),
    "garbage for deflate": Attack(
        "H", (60,), lambda: marked(frame(Opcode.BINARY, b"\xff" * 1000, masked=True)), extra=(DEFLATE,)
    ),
    "100 000 blocks of deflate": Attack(
        "H", (61,), lambda: marked(frame(Opcode.BINARY, b"\0\0\0\xff\xff" * 100_000, masked=True)), extra=(DEFLATE,)
    ),
    "openings": Attack("I", (67, 73), lambda: close(masked=True)),
    "openings that are reset": Attack("I", (67, 73), lambda: b"", ends=True),
}
