"""One run: three nodes of a candidate share a Redis server, and a crowd of subscribers counts what comes."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import quantiles
from typing import IO, NamedTuple, cast

from benchmarks.peers import ROOT
from benchmarks.processes import ENVIRONMENT, Failed, announced_port, free_port, wait_for
from benchmarks.ratios import Values
from benchmarks.topics.crowd import Crowd, plain, socket_io

NODES = 3
SUBSCRIBERS = 300
"""Of each node."""

SIZE = 128
"""Bytes of a message."""


class Candidate(NamedTuple):
    """Who carries the messages.

    Attributes:
        name: what the tables call it.
        module: its node's program.
        arguments: what it is told beside the broker.
        connect: how a subscriber connects to a port.
    """

    name: str
    module: str
    arguments: tuple[str, ...]
    connect: Callable[[int], socket.socket]


CANDIDATES = (
    Candidate("wsmash", "node_wsmash", (), plain),
    Candidate("wsmash, wsmash.v1", "node_wsmash", ("wsmash.v1",), partial(plain, protocol="wsmash.v1")),
    Candidate("wsmash, history", "node_wsmash", ("", "100"), plain),
    Candidate("python-socketio", "node_socketio", (), socket_io),
)


class Work(NamedTuple):
    """What is published.

    Attributes:
        messages: how many.
        rate: so many in a second; None for as many as can be.
    """

    messages: int
    rate: float | None = None


def run(candidate: Candidate, work: Work, folder: Path) -> Values:
    """What it reaches: deliveries a second, processor time for each, and the delays of messages.

    Raises:
        Failed: it could not be measured, or a message did not come.
    """
    with ExitStack() as stack:
        redis = stack.enter_context(_redis(folder))
        command = [candidate.module, f"redis://127.0.0.1:{redis.port}/0", *candidate.arguments]
        nodes = [stack.enter_context(_node(command, folder / f"{candidate.module}-{number}.log"))
                 for number in range(NODES)]  # fmt: skip
        crowd = Crowd([candidate.connect(node.port) for node in nodes for _ in range(SUBSCRIBERS)])
        stack.callback(crowd.close)
        _warm_up(nodes[0], crowd)
        return _measure(nodes, redis, crowd, work)


class Process(NamedTuple):
    """A program that runs, and where it listens."""

    program: subprocess.Popen[str]
    port: int

    def cpu(self) -> float:
        """Seconds of processor time that it has taken."""
        ticks = Path(f"/proc/{self.program.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")

    def tell(self, line: str) -> None:
        """Have a node publish."""
        told = cast("IO[str]", self.program.stdin)
        told.write(f"{line}\n")
        told.flush()

    def is_done(self) -> None:
        """Wait until it has.

        Raises:
            Failed: it has ended.
        """
        if cast("IO[str]", self.program.stdout).readline().strip() != "done":
            raise Failed("a node has failed")


def _warm_up(node: Process, crowd: Crowd) -> None:
    """Until every subscriber gets what is published, and what runs for the first time has run."""
    for _ in range(10):
        node.tell(f"burst 1 {SIZE}")
        node.is_done()
        if crowd.receive(len(crowd), 1.0) == len(crowd):
            break
    else:
        raise Failed("not all subscribers get what is published")
    node.tell(f"burst 20 {SIZE}")
    node.is_done()
    crowd.receive(20 * len(crowd))
    crowd.delays.clear()


def _measure(nodes: Sequence[Process], redis: Process, crowd: Crowd, work: Work) -> Values:
    wanted = work.messages * len(crowd)
    spent, of_redis, begin = sum(node.cpu() for node in nodes), redis.cpu(), time.monotonic()
    nodes[0].tell(
        f"burst {work.messages} {SIZE}" if work.rate is None else f"steady {work.messages} {SIZE} {work.rate}"
    )
    got = crowd.receive(wanted)
    seconds = time.monotonic() - begin
    if got != wanted:
        raise Failed(f"{got} of {wanted} messages came")
    spent, of_redis = sum(node.cpu() for node in nodes) - spent, redis.cpu() - of_redis
    nodes[0].is_done()
    delays = quantiles(crowd.delays, n=100)
    return {
        "deliveries_per_s": got / seconds,
        "cpu_us": spent / got * 1e6,
        "redis_us": of_redis / work.messages * 1e6,
        "p50_ms": delays[49] * 1e3,
        "p99_ms": delays[98] * 1e3,
    }


@contextmanager
def _redis(folder: Path) -> Iterator[Process]:
    program = shutil.which("redis-server")
    if program is None:
        raise Failed("there is no redis-server")
    port = free_port()
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with _running(command, folder / "redis.log") as process:
        wait_for(port)
        yield Process(process, port)


@contextmanager
def _node(command: Sequence[str], log: Path) -> Iterator[Process]:
    module, *arguments = command
    with _running([sys.executable, "-m", f"benchmarks.topics.{module}", *arguments], log) as process:
        yield Process(process, announced_port(process, log))


@contextmanager
def _running(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[str]]:
    """The program while the block runs, on whichever core: all of them share the machine."""
    with log.open("w") as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=folder_of(log),
            env=ENVIRONMENT,
        )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def folder_of(log: Path) -> Path:
    """Where a program runs: a Redis server writes beside its log, a node is a module of the project."""
    return log.parent if log.name == "redis.log" else ROOT
