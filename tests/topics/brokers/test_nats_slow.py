"""A node that is slower than NATS, how much is under way, and what a stop in the middle of it leaves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from fixtures.brokers import NatsServer
from fixtures.nats_node import PLAIN, node, run
from wsmash.errors import BrokerUnavailable, OutcomeUnknown
from wsmash.topics.brokers import nats_publisher
from wsmash.topics.policy import TopicPolicy

LONG = TopicPolicy(history_size=10_000, history_ttl=600)


@pytest.mark.case(111)
def test_a_node_that_does_not_read(start_nats: Callable[..., NatsServer]) -> None:
    """The server ends its connection, which is an outage as any other: nothing is dropped in silence."""
    server = start_nats(max_pending="2MB", write_deadline='"300ms"')

    async def publish() -> None:
        async with node(server.url) as (broker, _):
            for _ in range(40):
                await asyncio.gather(*(broker.publish("a", LONG, bytes(20_000), None) for _ in range(50)))

    async def scenario() -> None:
        async with node(server.url) as (broker, seen):
            await broker.follow([("a", LONG)])
            [start] = await broker.positions([("a", LONG)])
            other = threading.Thread(target=asyncio.run, args=[publish()])
            other.start()
            other.join()  # the loop stands still meanwhile
            await seen.until(lambda: seen.told == ["lost", "restored"])
            found = await broker.read("a", LONG, start.offset, 10_000)
            assert len(seen.pushes) < 2000
            assert not found.complete or len(found.entries) == 2000
            last = await broker.publish("a", LONG, b"last", None)
            await broker.ping()
            assert seen.pushes[-1].offset == last.offset
            assert seen.pushes[-2].offset < seen.pushes[-1].previous

    run(scenario())


@pytest.mark.parametrize(("bound", "value"), [("WINDOW", 10), ("WINDOW_SIZE", 40)])
def test_no_more_are_under_way_than_jetstream_takes(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch, bound: str, value: int
) -> None:
    """The others wait for their turn, in the order of the calls, and end in time though nobody answers."""
    monkeypatch.setattr(nats_publisher, bound, value)

    async def scenario() -> None:
        async with node(nats_server.url) as (broker, seen):
            positions = await asyncio.gather(*(broker.publish("a", LONG, b"%d" % i, None) for i in range(200)))
            assert positions == sorted(positions)
            nats_server.pause()
            publishing = [asyncio.ensure_future(broker.publish("a", LONG, b"late", None)) for _ in range(30)]
            await seen.until(lambda: seen.told == ["lost"])
            results = await asyncio.gather(*publishing, return_exceptions=True)
            assert [type(each) for each in results] == [OutcomeUnknown] * 10 + [BrokerUnavailable] * 20
            nats_server.resume()
            await seen.until(lambda: seen.told == ["lost", "restored"])
            found = await broker.read("a", LONG, positions[-1].offset)
            assert len(found.entries) <= 10

    run(scenario())


def test_what_is_unavailable_is_never_stored_later(nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through kills at any moment: what has failed for certain is in no stream, then or afterwards."""
    monkeypatch.setattr(nats_publisher, "WINDOW", 50)

    async def scenario() -> None:
        async with node(nats_server.url) as (broker, seen):
            first = await broker.publish("a", LONG, b"first", None)
            refused, stored = set(), {}
            for turn in range(8):
                publishing = {
                    b"%d-%d" % (turn, i): asyncio.ensure_future(broker.publish("a", LONG, b"%d-%d" % (turn, i), None))
                    for i in range(300)
                }
                for _ in range(turn * 3):
                    await asyncio.sleep(0)
                nats_server.kill()
                for data, each in publishing.items():
                    try:
                        stored[data] = (await each).offset
                    except BrokerUnavailable:
                        refused.add(data)
                    except OutcomeUnknown:
                        pass
                nats_server.start()
                await seen.until(lambda turn=turn: seen.told == ["lost", "restored"] * (turn + 1))  # type: ignore[misc]
            found = await broker.read("a", LONG, first.offset, 10_000)
            there = {entry.data: entry.offset for entry in found.entries}
            assert found.epoch == first.epoch and found.complete
            assert there.items() >= stored.items()
            assert refused and not refused & set(there)

    run(scenario())


def test_who_gives_up_publishes_nothing_more(nats_server: NatsServer) -> None:
    """A publication that is cancelled before it has left does not leave."""

    async def scenario() -> None:
        async with node(nats_server.url) as (broker, _):
            first = await broker.publish("a", LONG, b"first", None)
            given_up = asyncio.ensure_future(broker.publish("a", LONG, b"given up", None))
            await asyncio.sleep(0)
            given_up.cancel()
            await broker.publish("a", LONG, b"last", None)
            found = await broker.read("a", LONG, first.offset)
            assert [entry.data for entry in found.entries] == [b"last"]

    run(scenario())


def test_a_stop_in_the_middle_leaves_nothing(nats_server: NatsServer) -> None:
    """Whoever waits is told, and no task is left."""

    async def scenario() -> None:
        async with node(nats_server.url) as (broker, _):
            await broker.follow([(f"t{i}", PLAIN) for i in range(100)])
            publishing = [asyncio.ensure_future(broker.publish("a", LONG, b"", None)) for _ in range(2000)]
            reading = asyncio.ensure_future(broker.positions([(f"t{i}", LONG) for i in range(100)]))
            await asyncio.sleep(0.01)
        results = await asyncio.gather(*publishing, reading, return_exceptions=True)
        assert len(results) == 2001
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1

    run(scenario())
