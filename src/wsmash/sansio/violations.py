"""What a peer can do wrong on an open connection, and what each fault is answered with.

The receiver never raises: it reports one of these. The table is the one place
that gives a fault its close code, its text and the class of its exception.
"""

from __future__ import annotations

from enum import IntEnum

from ..constants import CloseCode
from ..errors import MessageTooBig, ProtocolError


class Violation(IntEnum):
    """Stable numbers; the native receiver reports the same ones."""

    RESERVED_BITS = 1
    RESERVED_OPCODE = 2
    UNMASKED = 3
    MASKED = 4
    LENGTH_NOT_MINIMAL = 5
    LENGTH_OUT_OF_RANGE = 6
    CONTROL_FRAGMENTED = 7
    CONTROL_TOO_LONG = 8
    CONTINUATION_FIRST = 9
    MESSAGE_UNFINISHED = 10
    CLOSE_TOO_SHORT = 11
    CLOSE_CODE_INVALID = 12
    CLOSE_REASON_INVALID = 13
    TEXT_INVALID = 14
    DEFLATE_INVALID = 15
    MESSAGE_TOO_BIG = 16
    TOO_MANY_FRAGMENTS = 17

    @property
    def code(self) -> int:
        """The close code that answers it."""
        return int(_TABLE[self][0])

    @property
    def text(self) -> str:
        """One line for the close reason, the log and the exception; fits a close frame."""
        return _TABLE[self][1]

    def exception(self) -> ProtocolError | MessageTooBig:
        """A new exception for the `error` event."""
        code, text, error = _TABLE[self]
        return error(text, int(code))


_PROTOCOL = CloseCode.PROTOCOL_ERROR
_PAYLOAD = CloseCode.INVALID_FRAME_PAYLOAD_DATA

_TABLE: dict[Violation, tuple[CloseCode, str, type[ProtocolError | MessageTooBig]]] = {
    Violation.RESERVED_BITS: (_PROTOCOL, "reserved bits are set", ProtocolError),
    Violation.RESERVED_OPCODE: (_PROTOCOL, "reserved opcode", ProtocolError),
    Violation.UNMASKED: (_PROTOCOL, "a client's frame is not masked", ProtocolError),
    Violation.MASKED: (_PROTOCOL, "a server's frame is masked", ProtocolError),
    Violation.LENGTH_NOT_MINIMAL: (_PROTOCOL, "the length is not in its shortest form", ProtocolError),
    Violation.LENGTH_OUT_OF_RANGE: (_PROTOCOL, "the length is above 2**63 - 1", ProtocolError),
    Violation.CONTROL_FRAGMENTED: (_PROTOCOL, "a control frame is fragmented", ProtocolError),
    Violation.CONTROL_TOO_LONG: (_PROTOCOL, "a control frame is longer than 125 bytes", ProtocolError),
    Violation.CONTINUATION_FIRST: (_PROTOCOL, "a continuation without a message to continue", ProtocolError),
    Violation.MESSAGE_UNFINISHED: (_PROTOCOL, "a new message inside an unfinished one", ProtocolError),
    Violation.CLOSE_TOO_SHORT: (_PROTOCOL, "a close frame with one byte of payload", ProtocolError),
    Violation.CLOSE_CODE_INVALID: (_PROTOCOL, "a close code that must not be sent", ProtocolError),
    Violation.CLOSE_REASON_INVALID: (_PAYLOAD, "the close reason is not UTF-8", ProtocolError),
    Violation.TEXT_INVALID: (_PAYLOAD, "the text is not UTF-8", ProtocolError),
    Violation.DEFLATE_INVALID: (_PAYLOAD, "the compressed data is invalid", ProtocolError),
    Violation.MESSAGE_TOO_BIG: (CloseCode.MESSAGE_TOO_BIG, "the message is above max_message_size", MessageTooBig),
    Violation.TOO_MANY_FRAGMENTS: (CloseCode.POLICY_VIOLATION, "the message is above max_fragments", MessageTooBig),
}
