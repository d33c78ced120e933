"""The life of a connection, of a server and of a message, as tables `(state, signal) -> state`.

A connection closes in two halves (RFC 6455 7.1): the close frame that we send
and the one that we receive. Its rules:

* Once our close frame is out we send no more data, and once theirs is in we
  read no more of it. A close frame that arrives is answered at once.
* To fail a connection (RFC 6455 7.1.7) is to send a close frame and to stop
  listening: what the peer still sends is drained, never read. A fault of the
  peer after our close frame sends no second one.
* Losing the transport ends everything, from any state, for good.

A pair that a table does not hold cannot happen, or changes nothing; `advance`
says which by returning the state it was given. What the user sees (`State`, the
close code, whether it was clean) is derived from here and stored nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from ..constants import Opcode, State


class Life(IntEnum):
    """Where a connection is between its first byte and its last."""

    CONNECTING = 0
    OPEN = 1
    CLOSE_SENT = 2
    CLOSE_RECEIVED = 3
    CLOSE_EXCHANGED = 4
    FAILED = 5
    LOST = 6


class Signal(IntEnum):
    """What moves a connection on."""

    OPENED = 0
    SEND_CLOSE = 1
    RECEIVE_CLOSE = 2
    FAIL = 3
    LOSE = 4


LIFE: Mapping[tuple[Life, Signal], Life] = {
    (Life.CONNECTING, Signal.OPENED): Life.OPEN,
    (Life.CONNECTING, Signal.LOSE): Life.LOST,
    (Life.OPEN, Signal.SEND_CLOSE): Life.CLOSE_SENT,
    (Life.OPEN, Signal.RECEIVE_CLOSE): Life.CLOSE_RECEIVED,
    (Life.OPEN, Signal.FAIL): Life.FAILED,
    (Life.OPEN, Signal.LOSE): Life.LOST,
    (Life.CLOSE_SENT, Signal.RECEIVE_CLOSE): Life.CLOSE_EXCHANGED,
    (Life.CLOSE_SENT, Signal.FAIL): Life.FAILED,
    (Life.CLOSE_SENT, Signal.LOSE): Life.LOST,
    (Life.CLOSE_RECEIVED, Signal.SEND_CLOSE): Life.CLOSE_EXCHANGED,
    (Life.CLOSE_RECEIVED, Signal.FAIL): Life.FAILED,
    (Life.CLOSE_RECEIVED, Signal.LOSE): Life.LOST,
    (Life.CLOSE_EXCHANGED, Signal.LOSE): Life.LOST,
    (Life.FAILED, Signal.LOSE): Life.LOST,
}

PUBLIC: Mapping[Life, State] = {
    Life.CONNECTING: State.CONNECTING,
    Life.OPEN: State.OPEN,
    Life.CLOSE_SENT: State.CLOSING,
    Life.CLOSE_RECEIVED: State.CLOSING,
    Life.CLOSE_EXCHANGED: State.CLOSING,
    Life.FAILED: State.CLOSING,
    Life.LOST: State.CLOSED,
}


class ServerLife(IntEnum):
    """Where a server is between `start` and the end of `stop`."""

    NEW = 0
    STARTING = 1
    STARTED = 2
    STOPPING = 3
    STOPPED = 4


class ServerSignal(IntEnum):
    """What moves a server on."""

    START = 0
    LISTENING = 1
    FAIL = 2
    STOP = 3
    GONE = 4


SERVER_LIFE: Mapping[tuple[ServerLife, ServerSignal], ServerLife] = {
    (ServerLife.NEW, ServerSignal.START): ServerLife.STARTING,
    (ServerLife.STARTING, ServerSignal.LISTENING): ServerLife.STARTED,
    (ServerLife.STARTING, ServerSignal.FAIL): ServerLife.STOPPED,
    (ServerLife.STARTING, ServerSignal.STOP): ServerLife.STOPPING,
    (ServerLife.STARTED, ServerSignal.STOP): ServerLife.STOPPING,
    (ServerLife.STOPPING, ServerSignal.GONE): ServerLife.STOPPED,
    (ServerLife.STOPPED, ServerSignal.START): ServerLife.STARTING,
}


class Assembly(IntEnum):
    """The message that frames are being put together to; its kind is its opcode."""

    IDLE = 0
    TEXT = 1
    BINARY = 2


ASSEMBLY: Mapping[tuple[Assembly, Opcode], Assembly] = {
    (Assembly.IDLE, Opcode.TEXT): Assembly.TEXT,
    (Assembly.IDLE, Opcode.BINARY): Assembly.BINARY,
    (Assembly.TEXT, Opcode.CONTINUATION): Assembly.TEXT,
    (Assembly.BINARY, Opcode.CONTINUATION): Assembly.BINARY,
}
"""Which data frame may follow (RFC 6455 5.4); a frame with FIN then leads back to IDLE."""


def advance(life: Life, signal: Signal) -> Life:
    """The state after the signal; the same one where the signal changes nothing."""
    return LIFE.get((life, signal), life)
