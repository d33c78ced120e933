"""The programs of a measurement: nodes, brokers and workers, each a process of its own, and the time they take."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from benchmarks.peers import ROOT
from benchmarks.processes import ENVIRONMENT, Failed, announced_port
from fixtures.brokers import BrokerProcess, NatsServer, RedisServer

LONGEST = 120.0
"""Seconds that a node has for a command."""

REDIS, NATS = "Redis", "NATS"
BROKERS = (REDIS, NATS)


def processor_time(pid: int) -> float:
    """Seconds of processor time that a process has taken, in all its threads, to the microsecond."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def children(pid: int) -> list[int]:
    """The processes that a process has started, and that are there."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class Node(NamedTuple):
    """A node that runs (`benchmarks.scaling.node`)."""

    program: subprocess.Popen[str]
    port: int

    @property
    def pid(self) -> int:
        """Its process."""
        return self.program.pid

    def tell(self, *command: Any) -> None:
        """Give it a command."""
        told = cast("IO[str]", self.program.stdin)
        told.write(json.dumps(command) + "\n")
        told.flush()

    def answer(self) -> Any:
        """What it answers to the one before.

        Raises:
            Failed: it has not, or has ended.
        """
        heard = cast("IO[str]", self.program.stdout)
        if not select.select([heard], [], [], LONGEST)[0] or not (line := heard.readline()):
            raise Failed("a node has failed")
        return json.loads(line)

    def ask(self, *command: Any) -> Any:
        """Both."""
        self.tell(*command)
        return self.answer()


@contextmanager
def node(folder: Path, **setting: Any) -> Iterator[Node]:
    """A node while the block runs."""
    command = [sys.executable, "-m", "benchmarks.scaling.node", json.dumps(setting)]
    log = folder / f"node-{len(list(folder.iterdir()))}.log"
    with started(command, log) as program:
        yield Node(program, announced_port(program, log))


@contextmanager
def started(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[str]]:
    """A program while the block runs, on whichever core; it is given a moment to end by itself, with its children."""
    with log.open("w") as errors:
        program = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=ROOT, env=ENVIRONMENT
        )
    try:
        yield program
    finally:
        program.terminate()
        try:
            program.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            program.kill()
            program.communicate()


@contextmanager
def broker(name: str, folder: Path) -> Iterator[BrokerProcess]:
    """A Redis server that writes nothing to the disk, or a NATS server with JetStream, while the block runs."""
    place = folder / f"{name}-{len(list(folder.iterdir()))}"
    found: BrokerProcess = RedisServer(place, appendonly="no") if name == REDIS else NatsServer(place)
    found.start()
    try:
        yield found
    finally:
        found.kill()


def load() -> float:
    """Programs that wanted a core in the last minute, on average."""
    return os.getloadavg()[0]
