"""What is read of a NATS stream: the newest of many, what has expired, what is too long, and by servers before 2.11."""

from __future__ import annotations

import asyncio

import pytest

from fixtures.brokers import NatsServer
from fixtures.nats_node import node, run
from wsmash.topics.brokers import nats_history
from wsmash.topics.brokers.base import History
from wsmash.topics.brokers.nats import NatsBroker
from wsmash.topics.policy import TopicPolicy
from wsmash.topics.position import Position

MANY = TopicPolicy(history_size=1000, history_ttl=60)


@pytest.fixture(params=["batches", "single"])
def old(request: pytest.FixtureRequest) -> bool:
    """Whether the server is taken for one before 2.11, which answers with one message at a time."""
    return bool(request.param == "single")


async def fill(broker: NatsBroker, count: int, size: int = 0) -> list[Position]:
    """Publish so many messages, with others of another topic between them."""
    publications = []
    for i in range(count):
        publications.append(broker.publish("a", MANY, b"%d" % i + b" " * size, None))
        if i % 3 == 0:
            publications.append(broker.publish("b", MANY, b"-", None))
    return [each for i, each in enumerate(await asyncio.gather(*publications)) if i % 4 != 1]


def numbers(history: History) -> list[int]:
    """The messages of `fill` that it has."""
    return [int(entry.data) for entry in history.entries]


def take_for(broker: NatsBroker, version: str) -> None:
    """Let a broker take its server for an older one."""
    assert broker._connection is not None
    broker._connection.server["version"] = version


def test_reading_on_from_any_offset(nats_server: NatsServer, old: bool) -> None:
    """All that came after it, and that it is all; also after an offset that is another topic's."""

    async def scenario() -> None:
        async with node(nats_server.url) as (broker, _):
            if old:
                take_for(broker, "2.10.7")
            positions = await fill(broker, 50)
            for at in (0, 1, 2, 25, 48, 49):
                for after in (positions[at].offset, positions[at].offset + 1):
                    found = await broker.read("a", MANY, after)
                    wanted = [i for i, position in enumerate(positions) if position.offset > after]
                    assert (numbers(found), found.complete) == (wanted, True) or after > found.top

    run(scenario())


@pytest.mark.case(122)
@pytest.mark.parametrize("count", [11, 19, 20, 21, 95])
def test_the_newest_of_many(nats_server: NatsServer, count: int) -> None:
    """However many there are more than the limit, the newest are read, and it is said that there are more."""

    async def scenario() -> None:
        async with node(nats_server.url) as (broker, _):
            positions = await fill(broker, count)
            found = await broker.read("a", MANY, 0, 10)
            assert (numbers(found), found.complete) == (list(range(count - 10, count)), False)
            found = await broker.read("a", MANY, positions[count - 11].offset, 10)
            assert (numbers(found), found.complete) == (list(range(count - 10, count)), True)

    run(scenario())


@pytest.mark.case(122)
def test_an_older_server_has_no_newest_of_many(nats_server: NatsServer) -> None:
    """Where it is not said how many there are, more than the limit are none, and incomplete."""

    async def scenario() -> None:
        async with node(nats_server.url) as (broker, _):
            take_for(broker, "2.10.7")
            await fill(broker, 30)
            found = await broker.read("a", MANY, 0, 10)
            assert not found.complete
            assert numbers(found) == list(range(30 - len(found.entries), 30))

    run(scenario())


def test_a_history_of_many_bytes(nats_server: NatsServer, old: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read at once is bounded in bytes: who lacks more is told that it is incomplete."""
    monkeypatch.setattr(nats_history, "MAX_READ_SIZE", 100_000)

    async def scenario() -> None:
        async with node(nats_server.url) as (broker, _):
            if old:
                take_for(broker, "2.10.7")
            positions = await fill(broker, 40, 10_000)
            found = await broker.read("a", MANY, positions[0].offset)
            assert not found.complete
            assert sum(len(entry.data) for entry in found.entries) < 200_000
            assert numbers(found) == list(range(40 - len(found.entries), 40))
            found = await broker.read("a", MANY, positions[34].offset)
            assert (numbers(found), found.complete) == (list(range(35, 40)), True)

    run(scenario())


def test_an_expired_message_still_says_where_its_topic_is(nats_server: NatsServer) -> None:
    """It is read no more; whoever has it has all, and whoever lacks it is told."""
    short = TopicPolicy(history_size=10, history_ttl=1)

    async def scenario() -> None:
        async with node(nats_server.url) as (broker, _):
            [start] = await broker.positions([("a", short)])
            last = await broker.publish("a", short, b"1", None)
            await broker.publish("b", short, b"1", None)
            while (found := await broker.read("a", short, start.offset)).entries:
                assert found.complete
                await asyncio.sleep(0.05)
            assert not found.complete and found.top >= last.offset
            found = await broker.read("a", short, last.offset)
            assert (list(found.entries), found.complete) == ([], True)
            assert await broker.positions([("a", short)]) == [last]

    run(scenario())


def test_an_offset_that_there_never_was(nats_server: NatsServer) -> None:
    """It is incomplete, and changes nothing: clients may ask for anything."""

    async def scenario() -> None:
        async with node(nats_server.url) as (broker, _):
            last = (await fill(broker, 3))[-1]
            found = await broker.read("a", MANY, 10**18)
            assert (list(found.entries), found.complete, found.epoch) == ([], False, last.epoch)
            assert (await fill(broker, 1))[0].epoch == last.epoch

    run(scenario())


def test_a_topic_without_history_has_none(nats_server: NatsServer) -> None:
    """Nothing is read of it, and it is never complete; its position is that of its stream."""

    async def scenario() -> None:
        async with node(nats_server.url) as (broker, _):
            position = await broker.publish("a", TopicPolicy(), b"1", None)
            found = await broker.read("a", TopicPolicy(), 0)
            assert (found.epoch, list(found.entries), found.complete) == (position.epoch, [], False)
            assert await broker.positions([("a", TopicPolicy())]) == [position]

    run(scenario())


def test_positions_of_many_topics(nats_server: NatsServer) -> None:
    """They come in the order that they were asked for in, of whichever streams."""

    async def scenario() -> None:
        async with node(nats_server.url) as (broker, _):
            asked = [(f"t{i}", MANY if i % 2 else TopicPolicy(history_size=3, history_ttl=60)) for i in range(200)]
            published = await asyncio.gather(*(broker.publish(*each, b"", None) for each in asked))
            assert await broker.positions(asked) == published
            assert await broker.positions(asked[::-1]) == published[::-1]

    run(scenario())
