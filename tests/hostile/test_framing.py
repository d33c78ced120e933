"""Group C: frames whose heads are not what RFC 6455 5.2 allows. Each comes whole, and byte by byte."""

from __future__ import annotations

import time

import pytest

from fixtures.frames import MASK, Frame, frame, text
from fixtures.served import Served
from hostile.conftest import Serve
from hostile.outcomes import closes, echoes
from wsmash.constants import Opcode

LIMIT = 1 << 20
"""`max_message_size` of a server, by default."""

DATA = {"text": Opcode.TEXT, "binary": Opcode.BINARY}
FRAMES = DATA | {"close": Opcode.CLOSE, "ping": Opcode.PING, "pong": Opcode.PONG}
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"


def head(first: int, length: int, form: int, *, masked: bool = True) -> bytes:
    """A head whose length takes 7, 16 or 64 bits, whether that is right or not."""
    flag = 0x80 if masked else 0
    if form == 7:
        return bytes((first, flag | length)) + MASK * masked
    return bytes((first, flag | (126 if form == 16 else 127))) + length.to_bytes(form // 8) + MASK * masked


@pytest.mark.case(27)
@pytest.mark.parametrize("opcode", DATA.values(), ids=DATA)
@pytest.mark.parametrize(
    ("length", "code"),
    [
        (1 << 63, 1002),
        ((1 << 64) - 1, 1002),
        ((1 << 63) | 5, 1002),
        ((1 << 63) - 1, 1009),
        (1 << 62, 1009),
        ((1 << 32) + 5, 1009),
        (1 << 32, 1009),
        ((1 << 31) + 5, 1009),
        (1 << 31, 1009),
    ],
    ids=hex,
)
def test_lengths_beyond_all_bounds(served: Served, length: int, code: int, opcode: int) -> None:
    """They are judged by the head alone: nothing is allocated for them, and none wraps around to a small one."""
    before = served.reset_peak()
    closes(served, head(0x80 | opcode, length, 64), code)
    begun = frame(opcode, b"begun", final=False, masked=True)
    closes(served, begun + head(0x80, length, 64), code)
    assert served.peak() - before < LIMIT


@pytest.mark.case(28)
@pytest.mark.parametrize("opcode", DATA.values(), ids=DATA)
def test_a_length_one_above_the_limit(served: Served, opcode: int) -> None:
    """It is refused at once, while nothing of the payload has come; so is what makes a message in fragments longer."""
    begun = time.monotonic()
    closes(served, head(0x80 | opcode, LIMIT + 1, 64), 1009)
    closes(served, frame(opcode, b"a", final=False, masked=True) + head(0x80, LIMIT, 64), 1009)
    assert time.monotonic() - begun < 1
    with served.client() as peer:
        peer.send(frame(opcode, b"a" * LIMIT, masked=True))
        assert peer.frame() == Frame(opcode, b"a" * LIMIT)


@pytest.mark.case(29)
@pytest.mark.parametrize(
    ("length", "form"), [(0, 16), (1, 16), (5, 16), (125, 16), (0, 64), (5, 64), (125, 64), (126, 64), (65535, 64)]
)
@pytest.mark.parametrize("first", [0x81, 0x82, 0x01], ids=hex)
def test_lengths_in_a_longer_form_than_needed(served: Served, length: int, form: int, first: int) -> None:
    """Each length has one form (RFC 6455 5.2)."""
    closes(served, head(first, length, form), 1002)


@pytest.mark.case(29)
@pytest.mark.parametrize("opcode", [Opcode.CLOSE, Opcode.PING, Opcode.PONG], ids=["close", "ping", "pong"])
@pytest.mark.parametrize(("length", "form"), [(5, 16), (126, 16), (5, 64), (65536, 64)])
def test_control_frames_of_any_longer_form(served: Served, opcode: int, length: int, form: int) -> None:
    """A control frame has at most 125 bytes (RFC 6455 5.5)."""
    closes(served, head(0x80 | opcode, length, form), 1002)


@pytest.mark.case(30)
@pytest.mark.parametrize("opcode", FRAMES.values(), ids=FRAMES)
@pytest.mark.parametrize("payload", [b"", b"\x03\xe8", b"a" * 125], ids=len)
def test_frames_without_a_mask(served: Served, opcode: int, payload: bytes) -> None:
    """A client masks all of them (RFC 6455 5.1)."""
    closes(served, frame(opcode, payload), 1002)


@pytest.mark.case(30)
def test_a_continuation_without_a_mask(served: Served) -> None:
    """Those in the middle of a message too."""
    closes(served, frame(Opcode.TEXT, b"a", final=False, masked=True) + frame(Opcode.CONTINUATION, b"b"), 1002)


@pytest.mark.case(31)
@pytest.mark.parametrize("opcode", FRAMES.values(), ids=FRAMES)
@pytest.mark.parametrize("bits", range(0x10, 0x80, 0x10), ids=hex)
def test_reserved_bits_without_an_extension(served: Served, opcode: int, bits: int) -> None:
    """Each of the three, and all of them, on every frame."""
    closes(served, head(0x80 | bits | opcode, 2, 7) + b"\x03\xe8", 1002)


@pytest.mark.case(31)
def test_reserved_bits_with_deflate(serve: Serve) -> None:
    """RSV1 stands on the first frame of a message only, never on another one; RSV2 and RSV3 nowhere."""
    server = serve(compression="deflate")
    for bits in (0x20, 0x10, 0x30, 0x50, 0x60, 0x70):
        for opcode in DATA.values():
            closes(server, head(0x80 | bits | opcode, 2, 7) + b"aa", 1002, DEFLATE)
    for opcode in (Opcode.CLOSE, Opcode.PING, Opcode.PONG):
        closes(server, head(0xC0 | opcode, 2, 7) + b"\x03\xe8", 1002, DEFLATE)
    for first in (0x01, 0x41):  # a message that is compressed, and one that is not
        begun = head(first, 2, 7) + MASK[:2]
        closes(server, begun + head(0xC0, 2, 7) + b"aa", 1002, DEFLATE)
        closes(server, begun + head(0x40, 2, 7) + b"aa", 1002, DEFLATE)


@pytest.mark.case(32)
@pytest.mark.parametrize("opcode", [*range(3, 8), *range(0xB, 0x10)], ids=hex)
@pytest.mark.parametrize("length", [0, 5])
def test_reserved_opcodes(served: Served, opcode: int, length: int) -> None:
    """None of them means anything, final or not, and inside a message."""
    closes(served, head(0x80 | opcode, length, 7) + bytes(length), 1002)
    closes(served, head(opcode, length, 7) + bytes(length), 1002)
    closes(served, frame(1, b"a", final=False, masked=True) + head(0x80 | opcode, length, 7), 1002)


@pytest.mark.case(33)
@pytest.mark.parametrize("size", [0, 5, 125, 126, 300, 65535, 65536, 70000])
def test_a_head_split_at_every_byte(served: Served, size: int) -> None:
    """The same message comes out wherever the first read ends, and where each byte of the head is a read."""
    data = frame(Opcode.BINARY, bytes(range(256)) * (size // 256) + bytes(size % 256), masked=True)
    whole = Frame(Opcode.BINARY, bytes(range(256)) * (size // 256) + bytes(size % 256))
    for at in range(1, min(len(data), 16)):
        with served.client() as peer:
            peer.send(data[:at])
            time.sleep(0.001)  # so that it is a read of its own, however busy the machine is
            peer.send(data[at:])
            assert peer.frame() == whole
    with served.client() as peer:
        peer.send(data[:14], cut=1)
        peer.send(data[14:])
        assert peer.frame() == whole
    echoes(served, data, whole, cuts=(None, 4097))


def test_what_is_right(served: Served) -> None:
    """Messages of the lengths at which the form of the head changes come through, however they are cut."""
    for size in (0, 1, 125, 126, 127, 1000):
        echoes(served, frame(Opcode.BINARY, bytes(size), masked=True), Frame(Opcode.BINARY, bytes(size)))
    echoes(served, text("two", masked=True) * 2, *[Frame(Opcode.TEXT, b"two")] * 2)
