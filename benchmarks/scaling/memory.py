"""What quiet connections hold of a server's memory, and of the system's."""

from __future__ import annotations

import socket
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tools.measure_memory import SERVER, of_server

STATES = (
    "idle",
    "speaks `wsmash.v1`",
    "speaks `wsmash.v1`, subscribed to a topic",
    "speaks `wsmash.v1`, subscribed to a topic of its own",
    "idle, over TLS",
)
ENGINE = "native"
SOCKETS = 3000


class Memory(NamedTuple):
    """Bytes of one connection.

    Attributes:
        states: each with its name, in the server's process.
        system: what Linux holds for one end of it.
    """

    states: Sequence[tuple[str, int]]
    system: int

    def of(self, name: str) -> int:
        """In a state."""
        return dict(self.states)[name]


def memory() -> Memory:
    """Bring connections about in each state; see tools/measure_memory.py."""
    by_name = {state.name: state for state in SERVER}
    states = []
    for name in STATES:
        with tempfile.TemporaryDirectory() as folder:
            states.append((name, of_server(Path(folder), ENGINE, by_name[name])))
    return Memory(states, system())


def system() -> int:
    """Bytes of the kernel's for one end of a quiet connection, by what its own tables grow by."""
    before = _slab()
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listening:
        held = []
        for _ in range(SOCKETS):
            held += [socket.create_connection(listening.getsockname()), listening.accept()[0]]
        time.sleep(0.5)
        grown = _slab() - before
        for sock in held:
            sock.close()
    return grown // len(held)


def _slab() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Slab:"))
