"""Deliveries a second: of one process, and of workers that share a NATS server."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.processes import Failed, free_port, wait_for
from benchmarks.scaling.stage import children, node, processor_time, started
from benchmarks.scaling.traffic import wait_until_followed
from benchmarks.topics.crowd import Crowd, plain
from fixtures.frames import text

SUBSCRIBERS = 1000
TOGETHER = 8
"""Messages that are published at once, where several are: they reach each subscriber by one write."""

TOPIC = "news"
PROTOCOL = "wsmash.v1"


class Fanout(NamedTuple):
    """Deliveries of one setting.

    Attributes:
        name: which.
        per_s: deliveries a second.
        us: processor time of whoever delivers, for each, the broker's aside.
    """

    name: str
    per_s: float
    us: float


def one_process(count: int, rounds: int, folder: Path, *, window: int = 1, protocol: str = "") -> Fanout:
    """A server without a broker publishes to all, so many messages in a turn of its loop."""
    with ExitStack() as stack:
        server = stack.enter_context(node(folder, broker="memory", protocols=protocol or ()))
        connect = partial(plain, server.port, protocol, f"/{TOPIC}")
        crowd = Crowd([connect() for _ in range(SUBSCRIBERS)])
        stack.callback(crowd.close)
        if protocol:
            crowd.say(text(f'\x1e{{"type":"subscribe","id":1,"topic":"{TOPIC}"}}', masked=True))
        wait_until_followed(server, crowd)
        found = []
        for _ in range(rounds):
            spent, begin = processor_time(server.pid), time.monotonic()
            server.tell("publish", TOPIC, count, window)
            _receive(crowd, count)
            found.append((time.monotonic() - begin, processor_time(server.pid) - spent))
            server.answer()
    together = "" if window == 1 else f", {window} messages at once"
    return _median(f"one process, {protocol or 'plain clients'}{together}", found, count)


def workers(number: int, count: int, rounds: int, folder: Path) -> Fanout:
    """`wsmash serve` with so many workers, of which one publishes; several share a NATS server of their own."""
    port = free_port()
    command = [sys.executable, "-m", "wsmash", "serve", "benchmarks.scaling.app:server", "--port", str(port)]
    with ExitStack() as stack:
        command += ["--workers", str(number), "--log-level", "none"]
        parent = stack.enter_context(started(command, folder / f"workers-{number}.log"))
        wait_for(port)
        crowd = Crowd([plain(port) for _ in range(SUBSCRIBERS)])
        stack.callback(crowd.close)
        for _ in range(20):
            crowd.say(text("1 1", masked=True), only=1)
            if crowd.receive(len(crowd), 0.5) == len(crowd):
                break
        else:
            raise Failed("not all subscribers get what is published")
        pids = [parent.pid] if number == 1 else [pid for pid in children(parent.pid) if "nats" not in name_of(pid)]
        found = []
        for _ in range(rounds):
            spent, begin = sum(map(processor_time, pids)), time.monotonic()
            crowd.say(text(f"{count} {TOGETHER}", masked=True), only=1)
            _receive(crowd, count)
            found.append((time.monotonic() - begin, sum(map(processor_time, pids)) - spent))
    return _median(
        "`wsmash serve`, " + ("1 process" if number == 1 else f"{number} workers") + f", {TOGETHER} messages at once",
        found,
        count,
    )


def name_of(pid: int) -> str:
    """What a process was started as."""
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")


def _receive(crowd: Crowd, count: int) -> None:
    wanted = count * len(crowd)
    if (got := crowd.receive(wanted)) != wanted:
        raise Failed(f"{got} of {wanted} messages came")


def _median(name: str, found: Sequence[tuple[float, float]], count: int) -> Fanout:
    deliveries = count * SUBSCRIBERS
    seconds, spent = (median(each) for each in zip(*found, strict=True))
    return Fanout(name, deliveries / seconds, spent / deliveries * 1e6)
