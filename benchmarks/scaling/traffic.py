"""What a publication costs a broker and its nodes: time, and bytes on the wire."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.processes import Failed
from benchmarks.scaling.stage import Node, broker, node, processor_time
from benchmarks.topics.crowd import Crowd, plain

FOLLOWERS = 3
"""Nodes with a subscriber, beside the one that publishes."""

HISTORY = 100
WINDOW = 64
CASTS = 1000
TOPIC = "news"


class Traffic(NamedTuple):
    """What was found of one kind of topic on one broker.

    Attributes:
        broker: its name.
        history: how many messages are kept, 0 for none.
        per_s: publications a second, 64 under way.
        alone_per_s: the same, each awaited before the next.
        publish_us: processor time of the node that publishes, for each.
        broker_us: of the broker, for each.
        push_us: of the broker, for each push to a node.
        receive_us: of a node that has one subscriber, for each push and the delivery of it.
        up, down: bytes for each publication between the publishing node and the broker.
        pushed: bytes of a push.
    """

    broker: str
    history: int
    per_s: float
    alone_per_s: float
    publish_us: float
    broker_us: float
    push_us: float
    receive_us: float
    up: float
    down: float
    pushed: float


class Quiet(NamedTuple):
    """What nodes and topics cost a broker while nobody publishes.

    Attributes:
        broker: its name.
        up, down: bytes a second of a node that looks whether the broker is there.
        beat: bytes of a sign of life, as each node receives it from each.
        join: bytes of a member's coming to a topic with presence, as each node receives it.
        check_us: processor time of the broker for a topic of which is asked where it is.
        check_node_us: of the node that asks.
        check_bytes: bytes of question and answer.
    """

    broker: str
    up: float
    down: float
    beat: float
    join: float
    check_us: float
    check_node_us: float
    check_bytes: float


def traffic(name: str, history: int, count: int, rounds: int, folder: Path) -> Traffic:
    """Publish so many messages in each of some rounds, first for nobody, then for followers."""
    with ExitStack() as stack:
        server = stack.enter_context(broker(name, folder))
        nodes = [stack.enter_context(node(folder, broker=server.url, history=history)) for _ in range(FOLLOWERS + 1)]
        publisher, *followers = nodes
        publisher.ask("publish", TOPIC, count, WINDOW)
        alone = [_round(publisher, [], server.pid, count) for _ in range(rounds)]
        begin = time.monotonic()
        publisher.ask("publish", TOPIC, count // 4, 1)
        alone_per_s = (count // 4) / (time.monotonic() - begin)
        crowd = Crowd([plain(each.port, path=f"/{TOPIC}") for each in followers])
        stack.callback(crowd.close)
        wait_until_followed(publisher, crowd)
        shared = [_round(publisher, followers, server.pid, count, crowd) for _ in range(rounds)]
    of = {key: median(each[key] for each in alone) for key in alone[0]}
    with_them = {key: median(each[key] for each in shared) for key in shared[0]}
    return Traffic(
        name, history, of["per_s"], alone_per_s, of["publish_us"], of["broker_us"],
        max(0.0, with_them["broker_us"] - of["broker_us"]) / FOLLOWERS, with_them["receive_us"],
        of["up"], of["down"], with_them["pushed"],
    )  # fmt: skip


def wait_until_followed(publisher: Node, crowd: Crowd, topic: str = TOPIC) -> None:
    """Until each of the crowd has had what is published.

    Raises:
        Failed: they do not get it.
    """
    for _ in range(20):
        publisher.ask("publish", topic, 1, 1)
        if crowd.receive(len(crowd), 0.5) == len(crowd):
            return
    raise Failed("not all subscribers get what is published")


def _round(
    publisher: Node, followers: Sequence[Node], broker_pid: int, count: int, crowd: Crowd | None = None
) -> dict[str, float]:
    pids = [publisher.pid, broker_pid, *(each.pid for each in followers)]
    wires = [each.ask("wire") for each in (publisher, *followers)]
    before, begin = [processor_time(pid) for pid in pids], time.monotonic()
    publisher.ask("publish", TOPIC, count, WINDOW)
    seconds = time.monotonic() - begin
    if crowd is not None and (got := crowd.receive(count * len(crowd))) != count * len(crowd):
        raise Failed(f"{got} of {count * len(crowd)} messages came")
    own, of_broker, *others = [processor_time(pid) - was for pid, was in zip(pids, before, strict=True)]
    grown = [
        [now - was for now, was in zip(each.ask("wire"), wire, strict=True)]
        for each, wire in zip((publisher, *followers), wires, strict=True)
    ]
    found = {
        "per_s": count / seconds,
        "publish_us": own / count * 1e6,
        "broker_us": of_broker / count * 1e6,
        "up": grown[0][0] / count,
        "down": grown[0][1] / count,
    }
    if others:
        found["receive_us"] = sum(others) / len(others) / count * 1e6
        found["pushed"] = sum(down for _, down in grown[1:]) / len(others) / count
    return found


def quiet(name: str, seconds: float, topics: int, folder: Path) -> Quiet:
    """Look at a node that has nothing to do, and have another tell it what nodes do, and ask where topics are."""
    with ExitStack() as stack:
        server = stack.enter_context(broker(name, folder))
        idle = stack.enter_context(node(folder, broker=server.url))
        before = idle.ask("wire")
        time.sleep(seconds)
        up, down = (now - was for now, was in zip(idle.ask("wire"), before, strict=True))
        asking = stack.enter_context(node(folder, broker=server.url, history=HISTORY))
        beat, join = (_cast(asking, idle, body) for body in ("beat", "join"))
        asking.ask("publish each", "own", topics, 1)
        asking.ask("positions", "own", topics)
        pids, wire = (server.pid, asking.pid), asking.ask("wire")
        spent = [processor_time(pid) for pid in pids]
        asking.ask("positions", "own", topics)
        of_broker, of_node = [processor_time(pid) - was for pid, was in zip(pids, spent, strict=True)]
        grown = sum(asking.ask("wire")) - sum(wire)
    return Quiet(
        name, up / seconds, down / seconds, beat, join,
        of_broker / topics * 1e6, of_node / topics * 1e6, grown / topics,
    )  # fmt: skip


def _cast(sender: Node, receiver: Node, body: str) -> float:
    """Bytes that one node receives of a cast of another."""
    _, before = receiver.ask("wire")
    sender.ask("cast", body, CASTS)
    time.sleep(0.2)
    return float(receiver.ask("wire")[1] - before) / CASTS
