"""Three NATS servers that keep each stream thrice: the loss of its leader, of most of them, and of all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.nats_cluster import NatsCluster, leader_of
from fixtures.nats_node import run
from wsmash.errors import BrokerUnavailable, OutcomeUnknown
from wsmash.topics.brokers.nats import NatsBroker
from wsmash.topics.policy import TopicPolicy
from wsmash.topics.position import Position

LONG = TopicPolicy(history_size=10_000, history_ttl=600)
STREAM = "wsmash-h10000-600000ms"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[NatsCluster]:
    """One that is started."""
    found = NatsCluster(tmp_path)
    try:
        found.start()
        yield found
    finally:
        found.kill()


async def publish_surely(broker: NatsBroker, data: bytes, limit: float = 60) -> Position:
    """Publish with a key until it is known where."""
    async with asyncio.timeout(limit):
        while True:
            try:
                return await broker.publish("a", LONG, data, data.decode())
            except (BrokerUnavailable, OutcomeUnknown):
                await asyncio.sleep(0.05)


async def read_all(broker: NatsBroker, after: int, limit: float = 60) -> list[tuple[int, bytes]]:
    """All that is in the topic, once it can be read."""
    async with asyncio.timeout(limit):
        while True:
            try:
                found = await broker.read("a", LONG, after, 10_000)
            except BrokerUnavailable:
                await asyncio.sleep(0.1)
            else:
                assert found.complete
                return [(entry.offset, entry.data) for entry in found.entries]


@pytest.mark.case(112)
@pytest.mark.timeout(240)
def test_the_loss_of_a_streams_leader(cluster: NatsCluster) -> None:
    """Nothing that was acknowledged is lost, a retry adds nothing, and all nodes go on in the same epoch."""

    async def scenario() -> None:
        async with cluster.node() as (broker, _):
            first = await publish_surely(broker, b"first")
            assert broker._connection is not None
            leader = cluster.named(await leader_of(broker._connection, STREAM))
            others = [server for server in cluster.servers if server is not leader]
            async with cluster.node(others) as (near, seen):
                await near.follow([("a", LONG)])
                stop = False

                async def publish(worker: int) -> dict[bytes, Position]:
                    found: dict[bytes, Position] = {}
                    while not stop:
                        data = b"%d-%d" % (worker, len(found))
                        found[data] = await publish_surely(near if worker % 2 else broker, data)
                    return found

                workers = [asyncio.ensure_future(publish(i)) for i in range(6)]
                await asyncio.sleep(0.3)
                leader.kill()
                await publish_surely(near, b"second")
                await publish_surely(broker, b"third")
                stop = True
                done = {data: position for found in await asyncio.gather(*workers) for data, position in found.items()}
                assert {position.epoch for position in done.values()} == {first.epoch}
                entries = await read_all(near, first.offset)
                assert sorted(entries) == entries
                assert {data: offset for offset, data in entries if data not in (b"second", b"third")} == {
                    data: position.offset for data, position in done.items()
                }
                leader.start()
                assert await read_all(broker, first.offset) == entries
                offsets = [push.offset for push in seen.pushes]
                assert offsets == sorted(offsets)

    run(scenario())


@pytest.mark.timeout(240)
def test_the_loss_of_most_servers(cluster: NatsCluster) -> None:
    """One server of three stores nothing: publishing fails in time, and goes on when another is back."""

    async def scenario() -> None:
        async with cluster.node(cluster.servers[:1]) as (broker, _):
            first = await publish_surely(broker, b"first")
            for server in cluster.servers[1:]:
                server.kill()
            async with asyncio.timeout(6):
                with pytest.raises((BrokerUnavailable, OutcomeUnknown)):
                    await broker.publish("a", LONG, b"lost", "lost")
            cluster.servers[1].start()
            last = await publish_surely(broker, b"last")
            assert last.epoch == first.epoch
            entries = [data for _, data in await read_all(broker, first.offset)]
            assert entries in ([b"last"], [b"lost", b"last"])

    run(scenario())


@pytest.mark.timeout(240)
def test_the_end_of_all_servers(cluster: NatsCluster) -> None:
    """What was acknowledged is there when two are back, also for who was told of the third alone; it was one outage."""

    async def scenario() -> None:
        async with cluster.node(cluster.servers[:1]) as (broker, seen):
            positions = [await publish_surely(broker, b"%d" % i) for i in range(20)]
            cluster.kill()
            await seen.until(lambda: seen.told == ["lost"])
            for server in cluster.servers[1:]:
                server.start()
            await seen.until(lambda: seen.told == ["lost", "restored"], 60)
            entries = await read_all(broker, positions[0].offset)
            assert entries == [(position.offset, b"%d" % i) for i, position in enumerate(positions)][1:]
            assert seen.told == ["lost", "restored"]

    run(scenario())
