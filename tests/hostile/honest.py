"""Honest peers in a process of their own, which measure how soon they are answered.

`python tests/hostile/honest.py PORT CONNECTIONS INTERVAL` opens connections to an
echo server on 127.0.0.1, and writes a line when all are open. Each of them sends a
message every so many seconds, not all at once. Each line read is a number of
seconds; after these the times of the messages answered in them, in seconds, are
written as a list in JSON.

A message that is due while the last one is not answered yet counts from when it
was due: who waits for a server that stands still does not leave that out.
"""

from __future__ import annotations

import gc
import json
import selectors
import socket
import sys
import time
from dataclasses import dataclass, field

from fixtures.frames import frame
from fixtures.peer import Peer
from wsmash.constants import Opcode

LONGEST = 10.0
"""Seconds after a measurement in which the last answers of it must have come."""

MESSAGE = frame(Opcode.BINARY, b"an honest message, of 64 bytes: " * 2, masked=True)
ANSWER = len(MESSAGE) - 4  # it is not masked


@dataclass(eq=False, slots=True)
class Connection:
    """One peer.

    Attributes:
        sock: its socket, blocking but only read when readable.
        due: when its next message is due; while one is not answered, when that one was.
        missing: bytes of the answer that have not come.
    """

    sock: socket.socket
    due: float
    missing: int = 0


@dataclass
class Peers:
    """All of them, and what they have measured."""

    connections: list[Connection]
    interval: float
    times: list[float] = field(default_factory=list)

    def run(self, seconds: float) -> list[float]:
        """Talk for so long."""
        selector = selectors.EpollSelector()
        now = time.perf_counter()
        for at, each in enumerate(self.connections):
            selector.register(each.sock, selectors.EVENT_READ, each)
            if not each.missing:
                each.due = now + at * self.interval / len(self.connections)
        self.times, until = [], now + seconds
        while (now := time.perf_counter()) < until:
            self._send_due(now)
            waiting = [each.due for each in self.connections if not each.missing]
            self._receive(selector, min([until, *waiting]) - time.perf_counter())
        while any(each.missing for each in self.connections) and time.perf_counter() < until + LONGEST:
            self._receive(selector, LONGEST)
        selector.close()
        return self.times

    def _receive(self, selector: selectors.EpollSelector, seconds: float) -> None:
        for key, _ in selector.select(max(seconds, 0)):
            self._received(key.data)

    def _send_due(self, now: float) -> None:
        for each in self.connections:
            if not each.missing and each.due <= now:
                each.missing = ANSWER
                each.sock.sendall(MESSAGE)

    def _received(self, connection: Connection) -> None:
        data = connection.sock.recv(connection.missing)
        if not data:
            raise SystemExit("the server ended an honest connection")
        connection.missing -= len(data)
        if not connection.missing:
            self.times.append(time.perf_counter() - connection.due)
            connection.due += self.interval


def main() -> None:
    """Open the connections, and measure when told to."""
    port, count, interval = sys.argv[1:]
    opened = [Peer(("127.0.0.1", int(port)), patience=60) for _ in range(int(count))]
    for each in opened:
        each.upgrade()
    print("open", flush=True)
    gc.disable()  # a pause of this process is none of the server's
    peers = Peers([Connection(each.sock, 0.0) for each in opened], float(interval))
    for line in sys.stdin:
        print(json.dumps(peers.run(float(line))), flush=True)


if __name__ == "__main__":
    main()
