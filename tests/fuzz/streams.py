"""Any bytes as DEFLATE and as frames; any messages compressed and inflated, on either zlib, with every release."""

from __future__ import annotations

from random import Random
from types import ModuleType
from typing import Any
from zlib import crc32

from fixtures import twins
from fixtures.backends import MODULES, inflated
from fixtures.codec import CODECS
from fixtures.schedules import AGREEMENTS, Draw, Reading, Step, from_bytes, one_in, pick
from fuzz.judging import cuts, same_however_cut
from vectors.peer import limited
from wsmash.constants import Role
from wsmash.sansio.receiver import VIOLATION, Receiver
from wsmash.sansio.violations import Violation

ROOM = 40_000
"""Bytes that a message may inflate to: more than a step of the inflater's."""

INVALID, TOO_LONG = "InvalidDeflate", "MessageTooLong"

CHOICES = 2
"""Bytes of an input in front of the wire's, which say how it is read."""


def inflate(data: bytes) -> str:
    """A message, whatever its bytes: alike however it is cut, within its room, and the same on both backends."""
    if len(data) < 2:
        return ""
    bits, takeover, limited_room = 8 + data[0] % 8, bool(data[0] & 8), bool(data[0] & 16)
    body, room = data[1:], ROOM if limited_room else None
    if not limited_room and len(body) > 200:
        room = 50 * ROOM  # a thousandth of a bomb tells as much
    outcomes = [_inflated(module, pieces, bits, takeover, room) for module in MODULES for pieces in cuts(body)]
    if set(outcomes) == {INVALID, TOO_LONG}:
        return ""  # one byte too many, and a fault behind it: zlib looks further than it writes
    if bits < 15 and INVALID in outcomes:
        # A reference from beyond the window is noticed where the bytes are missing only, and how many are still there
        # depends on the cut and on the backend. What is inflated is the same all the same.
        outcomes = [each for each in outcomes if each != INVALID]
    return "" if len(set(outcomes)) < 2 else f"cut in several ways, on two backends: {outcomes}"


def _inflated(module: ModuleType, pieces: Any, bits: int, takeover: bool, room: int | None) -> object:
    """Two messages of these bytes, the second in the window of the first: the output, or the name of the error."""
    inflater = module.Inflater(bits, takeover)
    output = b""
    try:
        for _ in range(2):
            left = room
            for number, piece in enumerate(pieces):
                got = inflated(inflater, piece, left, number == len(pieces) - 1)
                assert left is None or len(got) <= left
                left = None if left is None else left - len(got)
                output += got
            inflater.release()
    except (module.InvalidDeflate, module.MessageTooLong) as error:
        assert inflater._recent_size == 0 and inflater._stream is None
        return type(error).__name__
    return len(output), crc32(output)


def deflate(data: bytes) -> str:
    """Messages, fragments, releases and rests: what one side compresses the other inflates, whichever zlib it has."""
    draw = from_bytes(data)
    writer, reader = pick(draw, MODULES), pick(draw, MODULES)
    bits, takeover, level = 9 + draw(6), not one_in(draw, 2), 1 + draw(8)
    deflater, inflater = writer.Deflater(bits, takeover, level), reader.Inflater(bits, takeover)
    for number in range(draw(12) + 1):
        message = _message(draw)
        wire = [deflater.compress(message)] if one_in(draw, 2) else _fragments(draw, deflater, message)
        _pause(draw, deflater)
        got = b""
        for at, fragment in enumerate(wire):
            for piece, ends in _halves(draw, fragment):
                got += inflated(inflater, piece, len(message) - len(got), ends and at == len(wire) - 1)
        if got != message:
            return f"message {number} of {len(message)} bytes comes out as {got!r:.200}"
        _pause(draw, inflater)
    return ""


def _fragments(draw: Draw, deflater: Any, message: bytes) -> list[bytes]:
    count = draw(4) + 1
    size = len(message) // count + 1
    wire = []
    for number in range(count):
        wire.append(deflater.compress_fragment(message[number * size : (number + 1) * size], number == count - 1))
        if number < count - 1 and one_in(draw, 4):
            deflater.release()  # in the middle: at its end, then
    return wire


def _halves(draw: Draw, fragment: bytes) -> list[tuple[bytes, bool]]:
    at = draw(min(len(fragment), 255))
    return [(fragment[:at], False), (fragment[at:], True)]


def _pause(draw: Draw, codec: Any) -> None:
    """Give memory back, now and then."""
    kind = draw(5)
    if kind == 5:
        codec.release()
    elif kind == 4:
        codec.rest()


def _message(draw: Draw) -> bytes:
    """Of any size up to two windows, and from random to all the same."""
    size = draw(200) if one_in(draw, 2) else draw(65535)
    random = Random(draw(255))
    words = [random.randbytes(1 + draw(20)) for _ in range(1 + draw(6))]
    if one_in(draw, 6):
        return random.randbytes(size)
    message = bytearray()
    while len(message) < size:
        message += random.choice(words) * random.choice((1, 1, 30))
    return bytes(message[:size])


def frames(data: bytes) -> str:
    """Frames, whatever their bytes: the items and the violation are the same however they are cut, in both codecs."""
    draw = from_bytes(data[:CHOICES])
    role, agreed = pick(draw, list(Role)), pick(draw, AGREEMENTS)
    limits = limited(1000 + 1000 * draw(3), 5)
    wire = data[CHOICES:]
    found = same_however_cut(wire, lambda pieces: _items(Receiver(role, limits, agreed), pieces))
    native = CODECS["native"]
    pure = CODECS["pure"]
    if found or native is None or pure is None:
        return found
    for pieces in cuts(wire):
        reading = Reading(role, limits, agreed, [Step(piece, True) for piece in pieces])
        if found := twins.difference(reading, pure, native):
            return found
    return ""


def _items(receiver: Receiver, pieces: Any) -> list[object]:
    """All that is received, a violation by its code; what comes after it is nothing.

    Its name may depend on the cut: where text and DEFLATE are both invalid, zlib gives out
    none of the text that it has inflated in the same step.
    """
    items: list[object] = []
    for piece in pieces:
        receiver.feed(piece)
        while (item := receiver.receive()) is not None:
            if item[0] == VIOLATION:
                violation = item[1]
                assert isinstance(violation, Violation)
                return [*items, violation.code]
            items.append(item)
    return items
