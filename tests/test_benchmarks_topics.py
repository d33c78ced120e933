"""What the benchmark of topics does with what it counts. Nothing is measured here."""

from __future__ import annotations

import asyncio
import socket

from benchmarks.ratios import OURS, Measured
from benchmarks.topics.crowd import Crowd
from benchmarks.topics.node import MARK, burst, message, steady
from benchmarks.topics.report import EMBEDDED, PEER, document
from benchmarks.topics.runs import SIZE, Work


def values(deliveries: float) -> dict[str, float]:
    """What a run gives."""
    return {"deliveries_per_s": deliveries, "cpu_us": 1.5, "redis_us": 30, "p50_ms": 2, "p99_ms": 9.25}


def page(ours: float, theirs: float) -> str:
    """The page of three rounds that agree."""
    alone = Measured([{OURS: values(95), EMBEDDED: values(100)}] * 3, {})
    shared = Measured([{OURS: values(ours), PEER: values(theirs)}] * 3, {})
    return document(alone, [shared, shared], [Work(100), Work(10, 5.0)], "some machine")


def test_the_page_says_what_was_found() -> None:
    """The ratio is of the same rounds, and is held against what is wanted."""
    text = page(60_000, 10_000)
    assert "Wanted: at most 1.1 times the processor time of broadcast. Found: 1.00 times" in text
    assert "Wanted: at least 5 times the deliveries of python-socketio. Found: 6.00 times" in text
    assert text.count(": met.") == 2
    assert "falls short" in page(40_000, 10_000)


def test_a_candidate_that_failed_is_named() -> None:
    """With its reason, and without a number."""
    alone = Measured([{OURS: values(95), EMBEDDED: values(100)}] * 3, {})
    shared = Measured([{OURS: values(1)}] * 3, {PEER: "it broke"})
    text = document(alone, [shared, shared], [Work(100), Work(10, 5.0)], "some machine")
    assert "Not measured: python-socketio: it broke." in text and "- python-socketio: it broke" in text


def test_each_message_has_one_mark() -> None:
    """And is as long as it should be."""
    assert [len(message(SIZE)), message(SIZE).count(MARK)] == [SIZE, 1]


def test_a_node_publishes_as_often_as_it_is_told() -> None:
    """In both ways."""
    told: list[str] = []

    async def publish(text: str) -> None:
        told.append(text)

    asyncio.run(burst(publish, 150, SIZE))
    asyncio.run(steady(publish, 3, SIZE, 1000.0))
    assert len(told) == 153


def test_a_crowd_counts_marks() -> None:
    """However the messages are cut into reads, and of some connections how old they are."""
    ours, theirs = socket.socketpair()
    other, silent = socket.socketpair()
    crowd = Crowd([ours, other])
    data = b"".join(b"\x81\x7e\x00\x80" + message(SIZE).encode() for _ in range(3))
    theirs.sendall(data[:50])
    assert crowd.receive(1) == 1
    theirs.sendall(data[50:])
    assert crowd.receive(2) == 2
    assert crowd.receive(1, longest=0.01) == 0
    assert crowd.delays and all(0 <= delay < 10 for delay in crowd.delays)
    crowd.close()
    theirs.close()
    silent.close()
