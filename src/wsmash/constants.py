"""The names and numbers of RFC 6455 that every layer shares."""

from enum import IntEnum
from typing import Final

from ._version import __version__

GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""What the accept key is hashed with (RFC 6455 1.3)."""

VERSION: Final = "13"
"""The one `Sec-WebSocket-Version` there is (RFC 6455 4.1)."""

USER_AGENT: Final = f"wsmash/{__version__}"
"""What a client calls itself."""

MAX_CONTROL_PAYLOAD: Final = 125
"""Bytes of payload that a control frame may hold (RFC 6455 5.5)."""

MAX_CLOSE_REASON: Final = MAX_CONTROL_PAYLOAD - 2
"""UTF-8 bytes of a close reason: two bytes of the payload are the code."""


MAX_QUEUE_BYTES: Final = 65536
"""Bytes of messages that may wait on a connection before reading pauses, whatever `max_queue` says."""


class State(IntEnum):
    """The state of a connection, with the names and values of the browser's `readyState`."""

    CONNECTING = 0
    OPEN = 1
    CLOSING = 2
    CLOSED = 3


class CloseCode(IntEnum):
    """The close codes of RFC 6455 7.4.1 and of the IANA registry it opened."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    RESERVED = 1004
    NO_STATUS = 1005
    ABNORMAL = 1006
    INVALID_FRAME_PAYLOAD_DATA = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    MISSING_EXTENSION = 1010
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    BAD_GATEWAY = 1014
    TLS_HANDSHAKE = 1015


STATES = State
CLOSE_CODES = CloseCode


class Opcode(IntEnum):
    """The frame types of RFC 6455 5.2; control frames are those from CLOSE on."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


class Role(IntEnum):
    """Which end of the connection this is: a client masks what it sends, a server does not."""

    CLIENT = 0
    SERVER = 1


def may_be_sent(code: int) -> bool:
    """Whether a close frame may carry this code.

    RFC 6455 7.4.2 gives 3000-4999 to applications; 1004-1006 and 1015 never
    travel, and the rest of 1000-2999 is unassigned. A peer may send just
    these codes too; 1010 from a server is allowed, as in every peer of the field.
    """
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999

SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie"})
"""Names of headers, in lower case, whose values nothing shows."""
