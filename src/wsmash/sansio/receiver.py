"""Bytes in, messages out: the reading half of RFC 6455 5, for either role.

`feed` takes bytes as they arrive, however they are cut; `receive` is then called
until it returns None. Three rules shape it:

* It never raises. What is wrong comes out as a `Violation`, after everything
  that was right before it, and nothing is read after that or after a close frame.
* A frame is judged by its head alone, before a byte of its payload is kept.
* An unfinished message is unmasked, inflated and checked for UTF-8 as its bytes
  arrive, so that a fault is reported at the byte where it stands. (Of two faults
  in one compressed message it is the one that inflation meets first: which one,
  may depend on how the bytes were cut.)
"""

from __future__ import annotations

import sys
from codecs import utf_8_decode
from typing import NamedTuple

from ..constants import MAX_CONTROL_PAYLOAD, Opcode, Role
from ..options import Deflate, Limits
from .deflate import Inflater, InvalidDeflate, MessageTooLong
from .deflate_negotiation import DeflateParams
from .frames import FIN, LENGTH, MASKED, MAX_LENGTH, OPCODE, RESERVED, RSV1, apply_mask
from .place import Place
from .states import ASSEMBLY, Assembly
from .violations import Violation

VIOLATION = -1
"""Stands for an opcode where the item is a violation."""

Item = tuple[int, str | bytes | Violation]
"""An opcode and what came under it: text as str, anything else as bytes."""

NOTHING: Item = (0, b"")
"""What a step returns that consumed bytes but finished no item; `receive` too, where it stops before."""

_TEXT = int(Opcode.TEXT)
_CLOSE = int(Opcode.CLOSE)
_CONTROL = 0x8
_SHORTEST = {2: 0, 4: 126, 10: 0x10000}
"""What a length must at least be to take a head of so many bytes up to its end."""

_TEXT_STEP = 32 * 1024
"""Bytes of an unfinished text that are decoded at once, to see whether they can be: what that gives is thrown away."""

_NO_PLACE = Place()
"""That of no message: nothing is ever added to it."""

_WHOLE = frozenset((FIN | Opcode.TEXT, FIN | Opcode.BINARY))


class Compression(NamedTuple):
    """What both ends agreed on (RFC 7692 7.1), and how this end compresses."""

    params: DeflateParams
    settings: Deflate

    def window(self, sender: Role) -> tuple[int, bool]:
        """The window bits and the context takeover of what `sender` compresses."""
        if sender is Role.SERVER:
            return self.params.server_max_window_bits, not self.params.server_no_context_takeover
        return self.params.client_max_window_bits, not self.params.client_no_context_takeover


class Receiver:
    """Reads what the peer of `role` sends."""

    __slots__ = (
        "_checked",
        "_data",
        "_fin",
        "_fragments",
        "_left",
        "_limits",
        "_mask",
        "_masked",
        "_message",
        "_offset",
        "_over",
        "_place",
        "_pos",
        "_wire",
        "inflated",
        "inflater",
        "pieces",
    )

    def __init__(self, role: Role, limits: Limits, compression: Compression | None = None) -> None:
        self._limits = limits
        self._masked = MASKED if role is Role.SERVER else 0
        self.inflater: Inflater | None = None
        if compression is not None:
            self.inflater = Inflater(*compression.window(Role.CLIENT if role is Role.SERVER else Role.SERVER))
        # bytes that were fed and not yet read
        self._data = b""
        self._pos = 0
        self._over = False
        # the data frame whose payload is being read
        self._left = 0
        self._fin = True
        self._mask = b""
        self._offset = 0
        # the message that it belongs to
        self._message = Assembly.IDLE
        self._wire = -1  # compressed bytes so far; -1 where it is not compressed
        self._fragments = 0
        self._place = _NO_PLACE
        self._checked = 0  # bytes of it that are whole code points
        self.inflated = 0  # bytes that inflation gave; tells what that took
        self.pieces = 0  # frames and parts of frames that messages came in; tells whether one goes on

    @property
    def unfinished(self) -> bool:
        """Whether the peer has begun a frame or a message and not ended it."""
        return not self._over and (self._message is not Assembly.IDLE or self._pos < len(self._data))

    @property
    def in_message(self) -> bool:
        """Whether a message has begun and not ended."""
        return self._message is not Assembly.IDLE

    @property
    def held(self) -> int:
        """Bytes that are kept: of an unfinished message, and those fed that were not read yet."""
        return len(self._data) - self._pos + self._place.size

    def feed(self, data: bytes) -> None:
        """Take bytes from the transport."""
        if self._over:
            return
        self._data = self._data[self._pos :] + data if self._pos < len(self._data) else data
        self._pos = 0

    def receive(self, steps: int = sys.maxsize) -> Item | None:
        """The next message, control frame or violation, or None until more is fed.

        After so many frames and parts of frames without one it is `NOTHING`: a
        message may come in any number of them, and others may be waiting.
        """
        item: Item | None = NOTHING
        while item is NOTHING and steps > 0:
            item = self._read_payload() if self._left else self._read_head()
            steps -= 1
        if item is None:
            self._data = self._data[self._pos :]
            self._pos = 0
        elif item[0] == VIOLATION or item[0] == _CLOSE:
            self._stop()
        return item

    def _stop(self) -> None:
        """Read nothing more (RFC 6455 5.5.1, 7.1.7), and keep nothing."""
        self._over = True
        self._data, self._pos, self._left = b"", 0, 0
        self._place, self.inflater = _NO_PLACE, None

    # -- the head

    def _read_head(self) -> Item | None:
        data, pos = self._data, self._pos
        have = len(data) - pos
        if have < 2 or self._over:
            return None
        first, second = data[pos], data[pos + 1]
        if not (first in _WHOLE and second & MASKED == self._masked and self._message is Assembly.IDLE):
            fault = self._judge(first, second)
            if fault is not None:
                return VIOLATION, fault

        length = second & LENGTH
        size = 2
        if length > MAX_CONTROL_PAYLOAD:
            size = 4 if length == 126 else 10
            if have < size:
                return None
            length = int.from_bytes(data[pos + 2 : pos + size])
        fault = self._judge_length(first, length, size)
        if fault is not None:
            return VIOLATION, fault
        mask = b""
        if self._masked:
            mask = data[pos + size : pos + size + 4]
            size += 4
            if have < size:
                return None
        if first & _CONTROL:
            return self._read_control(first & OPCODE, mask, pos + size, length)
        self._pos = pos + size
        if first in _WHOLE and self._message is Assembly.IDLE and have - size >= length:
            return self._read_whole(first & OPCODE, mask, length)
        return self._begin(first, mask, length)

    def _judge(self, first: int, second: int) -> Violation | None:
        """What is wrong with the first two bytes, length aside."""
        opcode = first & OPCODE
        compressed = first & RSV1
        if first & RESERVED or (compressed and (self.inflater is None or opcode not in (1, 2))):
            return Violation.RESERVED_BITS  # RFC 6455 5.2, RFC 7692 6
        if opcode & _CONTROL:
            if opcode > Opcode.PONG:
                return Violation.RESERVED_OPCODE  # RFC 6455 5.2
            if not first & FIN:
                return Violation.CONTROL_FRAGMENTED  # RFC 6455 5.5
            if second & LENGTH > MAX_CONTROL_PAYLOAD:
                return Violation.CONTROL_TOO_LONG  # RFC 6455 5.5
        elif opcode > Opcode.BINARY:
            return Violation.RESERVED_OPCODE
        elif (self._message, opcode) not in ASSEMBLY:  # RFC 6455 5.4
            return Violation.MESSAGE_UNFINISHED if opcode else Violation.CONTINUATION_FIRST
        if second & MASKED != self._masked:
            return Violation.UNMASKED if self._masked else Violation.MASKED  # RFC 6455 5.1
        return None

    def _judge_length(self, first: int, length: int, size: int) -> Violation | None:
        """What is wrong with the length, `size` being the bytes of the head up to its end.

        The one place where a length meets a limit. A compressed message is held
        to `max_message_size` as it inflates; here it may be longer on the wire by
        what incompressible data grows, so that no length is ever taken on trust.
        """
        if length > MAX_LENGTH:
            return Violation.LENGTH_OUT_OF_RANGE  # RFC 6455 5.2
        if length < _SHORTEST[size]:
            return Violation.LENGTH_NOT_MINIMAL  # RFC 6455 5.2
        most = self._limits.max_message_size
        if most is None or first & _CONTROL:
            return None
        if first & RSV1 or (not first & OPCODE and self._wire >= 0):
            return Violation.MESSAGE_TOO_BIG if max(self._wire, 0) + length > _longest_on_wire(most) else None
        return Violation.MESSAGE_TOO_BIG if self._place.size + length > most else None

    # -- control frames and whole messages, the common case

    def _read_control(self, opcode: int, mask: bytes, start: int, length: int) -> Item | None:
        """A control frame is at most 125 bytes: wait for all of it."""
        end = start + length
        if len(self._data) < end:
            return None
        self._pos = end
        payload = self._data[start:end]
        return opcode, apply_mask(payload, mask) if mask else payload

    def _read_whole(self, opcode: int, mask: bytes, length: int) -> Item:
        """An uncompressed message in one frame that is all there."""
        start = self._pos
        self._pos = end = start + length
        payload = self._data[start:end]
        if mask:
            payload = apply_mask(payload, mask)
        if opcode != _TEXT:
            return opcode, payload
        try:
            return opcode, payload.decode()
        except UnicodeDecodeError:
            return VIOLATION, Violation.TEXT_INVALID

    # -- fragments, unfinished frames, compressed messages

    def _begin(self, first: int, mask: bytes, length: int) -> Item | None:
        """A data frame whose head was in order: its payload follows."""
        if first & OPCODE:
            self._message = Assembly(first & OPCODE)
            self._wire = 0 if first & RSV1 else -1
            self._fragments = self._checked = 0
            self._place = Place()
        self._fragments += 1
        most = self._limits.max_fragments
        if most is not None and self._fragments > most:
            return VIOLATION, Violation.TOO_MANY_FRAGMENTS
        self._fin = bool(first & FIN)
        self._left, self._mask, self._offset = length, mask, 0
        self.pieces += 1
        return self._read_payload()

    def _read_payload(self) -> Item | None:
        """As much of the current frame as has arrived."""
        start = self._pos
        piece = self._data[start : start + self._left]
        if self._left and not piece:
            return None
        self._pos = start + len(piece)
        self.pieces += 1
        if self._mask:
            piece = apply_mask(piece, self._mask, self._offset)
            self._offset += len(piece)
        self._left -= len(piece)
        ended = self._fin and not self._left
        fault = self._absorb(piece, ended)
        if fault is None and ended:
            return self._finish()
        if fault is None and self._message is Assembly.TEXT:
            fault = self._check_text()
        return NOTHING if fault is None else (VIOLATION, fault)

    def _absorb(self, piece: bytes, ended: bool) -> Violation | None:
        """Add unmasked bytes to the message."""
        most = self._limits.max_message_size
        place = self._place
        if self._wire < 0 or self.inflater is None:
            place.add(piece, place.size + len(piece) + self._left if self._fin else most)
            return None
        self._wire += len(piece)
        before = place.size
        room = None if most is None else most - before
        try:
            place.add(self.inflater.inflate(piece, room, ended, lambda step: place.add(step, most)), most)
        except MessageTooLong:
            return Violation.MESSAGE_TOO_BIG
        except InvalidDeflate:
            return Violation.DEFLATE_INVALID
        self.inflated += place.size - before
        return None

    def _check_text(self) -> Violation | None:
        """Whether what has come of the message can be the beginning of a text."""
        while True:
            step = self._place.read(self._checked, _TEXT_STEP)
            try:
                self._checked += utf_8_decode(step)[1]
            except UnicodeDecodeError:
                return Violation.TEXT_INVALID
            if len(step) < _TEXT_STEP:
                return None

    def _finish(self) -> Item:
        """The message is whole."""
        opcode = int(self._message)
        try:
            payload = self._place.text() if opcode == _TEXT else self._place.take()
        except UnicodeDecodeError:
            return VIOLATION, Violation.TEXT_INVALID
        self._message, self._place, self._wire = Assembly.IDLE, _NO_PLACE, -1
        return opcode, payload


def _longest_on_wire(size: int) -> int:
    """What a deflater may make of `size` bytes that do not compress, with a flush for each of many fragments."""
    return size + size // 8 + 65536
