"""Attackers in a process of their own: `python tests/hostile/attackers.py PORT CONNECTIONS ATTACK`.

All bytes are made first; then a line is written, and the attack begins with the
first line that is read, and goes on until the process is ended. It has less
priority than the honest peers, whose core it shares: the attackers' machine is
not theirs.
"""

from __future__ import annotations

import os
import selectors
import socket
import struct
import sys
from contextlib import suppress

from hostile.attacks import ATTACKS, Attack

SEND = 1 << 16
NOW = struct.pack("ii", 1, 0)


class Attacker:
    """One connection, and the ones that follow it."""

    def __init__(self, port: int, attack: Attack, data: bytes, selector: selectors.BaseSelector) -> None:
        self._port = port
        self._attack = attack
        self._data = data
        self._selector = selector
        self.connect()

    def connect(self) -> None:
        """Come, or come again."""
        self._sock = socket.create_connection(("127.0.0.1", self._port))
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock.setblocking(False)
        self._left = memoryview(self._attack.request() + self._data)
        self._watch(writes=True)

    def _watch(self, *, writes: bool) -> None:
        events = selectors.EVENT_WRITE * writes | selectors.EVENT_READ * (self._attack.reads or not writes)
        with suppress(KeyError):
            self._selector.unregister(self._sock)
        self._selector.register(self._sock, events, self)

    def act(self, events: int) -> None:
        """The socket is ready."""
        try:
            if events & selectors.EVENT_READ and not self._sock.recv(SEND):
                raise ConnectionError
            if events & selectors.EVENT_WRITE:
                self._write()
        except BlockingIOError:
            pass
        except OSError:
            self._again()

    def _write(self) -> None:
        self._left = self._left[self._sock.send(self._left[: self._attack.piece or SEND]) :]
        if self._left:
            return
        if self._attack.how == "forever":
            self._left = memoryview(self._data)
        elif self._attack.ends:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NOW)
            raise ConnectionError
        else:
            self._watch(writes=False)

    def _again(self) -> None:
        self._selector.unregister(self._sock)
        self._sock.close()
        self.connect()


def main() -> None:
    """Attack."""
    port, count, name = sys.argv[1:]
    attack = ATTACKS[name]
    data = attack.data()
    # When no honest peer wants the core, and then all of it: a wait for the core is no doing of the server's.
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    print("ready", flush=True)
    sys.stdin.readline()
    selector = selectors.EpollSelector()
    for _ in range(int(count)):
        Attacker(int(port), attack, data, selector)
    while True:
        for key, events in selector.select():
            key.data.act(events)


if __name__ == "__main__":
    main()
