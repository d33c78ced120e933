"""Storms: clients that come back at once with their positions, and those that `reconnect=True` spreads."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import NamedTuple

import wsmash
from benchmarks.scaling.returning import Wish, come_back
from benchmarks.scaling.stage import Node, broker, node, processor_time
from benchmarks.scaling.traffic import HISTORY, WINDOW
from hostile.storm import WINDOW as MOMENT
from hostile.storm import Storm, peak

MISSED = 20
"""Messages of a topic that all share; of a topic of one's own a tenth."""

TOPIC = "news"


class Resumed(NamedTuple):
    """A storm of clients that resume, all at once.

    Attributes:
        broker: its name.
        topics: how many: one for all, or one for each.
        clients: how many.
        missed: messages that each gets.
        seconds: until the last had everything.
        middle: until half of them had.
        again: connections that were dropped to make room for others, and made again.
        node_us: processor time of the node, for each client.
        broker_us: of the broker.
        asked: what the node has asked the broker.
    """

    broker: str
    topics: int
    clients: int
    missed: int
    seconds: float
    middle: float
    again: int
    node_us: float
    broker_us: float
    asked: Mapping[str, int]


class Spread(NamedTuple):
    """A storm of the package's own clients, spread by `reconnect=True`.

    Attributes:
        clients: how many.
        first_delay: seconds within which the first retries come.
        window: seconds in which connections are counted.
        most: came within one window.
        even: would have come, had they come evenly.
        last: seconds until the last one was back.
        missing: messages that neither arrived nor were reported.
    """

    clients: int
    first_delay: float
    window: float
    most: int
    even: float
    last: float
    missing: int


def resumed(name: str, clients: int, folder: Path, *, own: bool) -> Resumed:
    """Each client has a topic of its own, or all have the same one."""
    with ExitStack() as stack:
        server = stack.enter_context(broker(name, folder))
        publisher = stack.enter_context(node(folder, broker=server.url, history=HISTORY))
        wishes = _own(publisher, clients) if own else _shared(publisher, clients)
        target = stack.enter_context(node(folder, broker=server.url, history=HISTORY, protocols="wsmash.v1"))
        pids = (target.pid, server.pid)
        before = [processor_time(pid) for pid in pids]
        found = come_back(target.port, wishes)
        of_node, of_broker = [
            (processor_time(pid) - was) / clients * 1e6 for pid, was in zip(pids, before, strict=True)
        ]
        asked = target.ask("asked")
    return Resumed(
        name, len({wish.topic for wish in wishes}), clients, wishes[0].missed, max(found.times), median(found.times),
        found.again, of_node, of_broker, asked,
    )  # fmt: skip


def _shared(publisher: Node, clients: int) -> list[Wish]:
    since = publisher.ask("publish", TOPIC, 1, 1)
    publisher.ask("publish", TOPIC, MISSED, WINDOW)
    return [Wish(TOPIC, since, MISSED)] * clients


def _own(publisher: Node, clients: int) -> list[Wish]:
    missed = MISSED // 10
    first = publisher.ask("publish each", "own", clients, missed + 1)
    return [Wish(f"own.{number}", since, missed) for number, since in enumerate(first)]


def spread(clients: int, folder: Path) -> Spread:
    """They lose their server, which is back at once."""
    policy = wsmash.Reconnect()
    place = folder / "storm"
    place.mkdir()
    outcome = asyncio.run(Storm(place, clients, policy).run())
    return Spread(
        clients, policy.first_delay, MOMENT, peak(outcome.back), outcome.mean(policy.first_delay),
        max(outcome.back, default=0.0), len(outcome.missing),
    )  # fmt: skip
