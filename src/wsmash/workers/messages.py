"""What a parent and a worker tell each other: lines of JSON on a pair of sockets, and listening sockets beside them.

    parent                     worker
      job        ->                       what to load
                 <-  wish                 where that wants to listen, and whether it needs a broker
      grant      ->                       the sockets, and the broker
                 <-  ready, or failed
      stand in, stand back ->             to accept for another one that has died, until that is back
      command    ->                       to end; the pair's end is one too

A password travels here, and on no command line.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

LOCAL: Final = "local"
MEMORY: Final = "memory"
"""Brokers that are no place to connect to: one that the parent starts, and none beyond the process."""

Order = Literal["stop", "make way", "abort"]
"""How a worker is to end: as at a signal; in favour of another one; at once, as at a second signal."""

_MOST_SOCKETS: Final = 250
"""Descriptors that Linux lets pass at once (SCM_MAX_FD is 253)."""


class App(NamedTuple):
    """What every worker is to serve.

    Attributes:
        name: "module:name".
        changes: options in place of the server's own; "broker" may also be `LOCAL`.
        log_level: from which level on records go to standard error where the application has set up nothing;
            None leaves them alone.
    """

    name: str
    changes: Mapping[str, Any]
    log_level: str | None = None


class Job(NamedTuple):
    """What one worker is to do.

    Attributes:
        name, changes, log_level: of the `App`.
        number: the worker's own, from 1 on; one that takes its place has it too.
        path: where modules are looked for.
    """

    name: str
    changes: Mapping[str, Any]
    log_level: str | None
    number: int
    path: Sequence[str]


class Wish(NamedTuple):
    """What a worker's server has among its options.

    Attributes:
        hosts, port, unix, reuse_port: where it listens.
        shutdown_timeout: how long it may take to end.
        local: whether it needs a broker that it does not name.
    """

    hosts: Sequence[str | None]
    port: int
    unix: str | None
    reuse_port: bool
    shutdown_timeout: float
    local: bool


class Grant(NamedTuple):
    """What it gets for it, beside the sockets.

    Attributes:
        sockets: how many these are.
        broker: the URL of its broker, where it needs one that it does not name.
    """

    sockets: int
    broker: str | None


class Ready(NamedTuple):
    """It listens."""


class Failed(NamedTuple):
    """It will not.

    Attributes:
        why: as an error's text.
        named: whether the name of its server is at fault.
    """

    why: str
    named: bool = False


class Command(NamedTuple):
    """It is to end."""

    order: Order


class StandIn(NamedTuple):
    """It is to accept for another one too, that has died, from the sockets beside this.

    Attributes:
        number: of that one.
        sockets: how many these are.
    """

    number: int
    sockets: int


class StandBack(NamedTuple):
    """That one is back."""

    number: int


Message = Job | Wish | Grant | Ready | Failed | Command | StandIn | StandBack

_KINDS: Final[Mapping[str, type[Message]]] = {
    kind.__name__: kind for kind in (Job, Wish, Grant, Ready, Failed, Command, StandIn, StandBack)
}


def encode(message: Message) -> bytes:
    """A message as a line."""
    return json.dumps({"kind": type(message).__name__, **message._asdict()}).encode() + b"\n"


def decode(line: bytes) -> Message:
    """The opposite."""
    values = json.loads(line)
    return _KINDS[values.pop("kind")](**values)


class Link:
    """A worker's end of the pair, which blocks."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._buffer = b""
        self._sockets: list[socket.socket] = []

    def send(self, message: Message) -> None:
        """Say something; a parent that is gone hears nothing."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(encode(message))

    def receive(self) -> Message | None:
        """The next message, or None where the parent is gone."""
        while b"\n" not in self._buffer:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._socket, 65536, _MOST_SOCKETS)
            except ConnectionResetError:
                return None
            self._sockets += [socket.socket(fileno=each) for each in descriptors]
            if not data:
                return None
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return decode(line)

    def take_sockets(self, count: int) -> list[socket.socket]:
        """The next ones of those that have come beside messages."""
        taken, self._sockets = self._sockets[:count], self._sockets[count:]
        return taken
