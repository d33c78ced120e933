"""NATS as a broker: what is its own, beside what all brokers promise (`test_contract.py`)."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

import pytest

from fixtures.brokers import NatsServer
from fixtures.nats_node import KEPT, PLAIN, node, run
from fixtures.receiver import Seen
from wsmash.errors import BrokerUnavailable, MessageTooBig, OutcomeUnknown
from wsmash.topics.brokers.nats import NatsBroker
from wsmash.topics.position import Position


def test_what_is_published_is_pushed_to_every_node_in_order(nats_server: NatsServer) -> None:
    """Each push names the topic's message before it, also when two nodes publish at once; a pattern gets them too."""

    async def scenario() -> None:
        async with node(nats_server.url) as (first, one), node(nats_server.url) as (second, two):
            await first.follow([("chat.a", KEPT)])
            await second.follow_pattern("chat.*")
            [start] = await first.positions([("chat.a", KEPT)])
            published = await asyncio.gather(
                *(broker.publish("chat.a", KEPT, b"%d" % i, None) for i in range(50) for broker in (first, second))
            )
            await asyncio.gather(first.ping(), second.ping())
            offsets = sorted(position.offset for position in published)
            assert [push[3] for push in one.pushes] == offsets == [push[3] for push in two.pushes]
            assert [push[2] for push in one.pushes][1:] == offsets[:-1]
            assert one.pushes[0][2] <= start.offset < one.pushes[0][3]
            assert {position.epoch for position in published} == {start.epoch}

    run(scenario())


def test_topics_of_one_policy_share_a_stream(nats_server: NatsServer) -> None:
    """Offsets of a topic then have holes, which are no gaps: a read is complete all the same."""

    async def scenario() -> None:
        async with node(nats_server.url) as (broker, _):
            first = await broker.publish("a", KEPT, b"1", None)
            for _each in range(20):
                await broker.publish("b", KEPT, b"-", None)
            last = await broker.publish("a", KEPT, b"2", None)
            assert last.offset == first.offset + 21
            found = await broker.read("a", KEPT, first.offset)
            assert [(entry.offset, entry.data) for entry in found.entries] == [(last.offset, b"2")]
            assert found.complete and found.top >= last.offset

    run(scenario())


def test_a_topic_without_messages_is_complete_beside_a_busy_one(nats_server: NatsServer) -> None:
    """A reader of a quiet topic misses nothing, though all that there was when it came has been trimmed."""

    async def scenario() -> None:
        async with node(nats_server.url) as (broker, _):
            [quiet] = await broker.positions([("quiet", KEPT)])
            for _each in range(30):
                await broker.publish("busy", KEPT, b"-", None)
            found = await broker.read("quiet", KEPT, quiet.offset)
            assert (list(found.entries), found.complete) == ([], True)
            assert await broker.positions([("quiet", KEPT)]) == [quiet]

    run(scenario())


@pytest.mark.case(116)
def test_two_nodes_that_make_a_stream_at_once_agree(nats_server: NatsServer) -> None:
    """Of eight nodes that are first to use a policy, and publish at once, all get the same epoch."""

    async def publish(broker: NatsBroker) -> Position:
        return await broker.publish("a", KEPT, b"", None)

    async def scenario() -> None:
        brokers = [NatsBroker(nats_server.url) for _ in range(8)]
        await asyncio.gather(*(broker.start(Seen()) for broker in brokers))
        positions = await asyncio.gather(*map(publish, brokers))
        assert len({position.epoch for position in positions}) == 1
        assert len({position.offset for position in positions}) == 8
        await asyncio.gather(*(broker.stop() for broker in brokers))

    run(scenario())


@pytest.mark.case(114)
def test_a_key_is_of_its_topic(nats_server: NatsServer) -> None:
    """The same key on the same topic, from whichever node, is one message; on another topic it is another."""

    async def scenario() -> None:
        async with node(nats_server.url) as (first, seen), node(nats_server.url) as (second, _):
            await first.follow([("a", KEPT)])
            position = await first.publish("a", KEPT, b"1", "k" * 200)
            assert await second.publish("a", KEPT, b"1", "k" * 200) == position
            assert await second.publish("b", KEPT, b"1", "k" * 200) != position
            await first.ping()
            assert len(seen.pushes) == 1

    run(scenario())


@pytest.mark.case(114)
def test_a_key_outlives_the_server_and_its_message(nats_server: NatsServer) -> None:
    """A retry after a restart of the server is known, though its message is in no history any more."""

    async def scenario() -> None:
        async with node(nats_server.url) as (broker, seen):
            position = await broker.publish("a", KEPT, b"1", "key")
            await asyncio.gather(*(broker.publish("a", KEPT, b"more", None) for _ in range(500)))
            nats_server.restart()
            await seen.until(lambda: seen.told == ["lost", "restored"])
            assert await broker.publish("a", KEPT, b"1", "key") == position

    run(scenario())


@pytest.mark.case(109)
def test_a_server_that_comes_back_empty_is_another_epoch(nats_server: NatsServer) -> None:
    """Each outage is told once, everything is followed again, and what is published then is in a new epoch."""

    async def scenario() -> None:
        async with node(nats_server.url) as (broker, seen):
            await broker.follow([("a", KEPT), ("b", PLAIN)])
            await broker.follow_pattern("c.>")
            before = await broker.publish("a", KEPT, b"1", None)
            nats_server.restart(empty=True)
            await seen.until(lambda: seen.told == ["lost", "restored"])
            seen.pushes.clear()
            after = await broker.publish("a", KEPT, b"1", None)
            await broker.publish("b", PLAIN, b"2", None)
            await broker.publish("c.d", PLAIN, b"3", None)
            await broker.ping()
            assert after.epoch != before.epoch
            assert sorted((push[0], push[4]) for push in seen.pushes) == [("a", b"1"), ("b", b"2"), ("c.d", b"3")]

    run(scenario())


@pytest.mark.case(110)
def test_a_server_that_does_not_answer_is_found(nats_server: NatsServer) -> None:
    """What was sent to it has an unknown outcome within TIMEOUT; what is published then fails at once."""

    async def scenario() -> None:
        async with node(nats_server.url) as (broker, seen):
            await broker.publish("a", KEPT, b"1", None)
            nats_server.pause()
            try:
                async with asyncio.timeout(5.5):
                    with pytest.raises(OutcomeUnknown) as caught:
                        await broker.publish("a", KEPT, b"2", "key")
                    await seen.until(lambda: seen.told == ["lost"])
                assert caught.value.key == "key"
                with pytest.raises(BrokerUnavailable):
                    await broker.publish("a", KEPT, b"3", None)
            finally:
                nats_server.resume()
            await seen.until(lambda: seen.told == ["lost", "restored"])
            await broker.publish("a", KEPT, b"4", None)
            found = await broker.read("a", KEPT, 0)
            assert b"3" not in [entry.data for entry in found.entries]

    run(scenario())


def test_a_message_above_max_payload(start_nats: Callable[..., NatsServer]) -> None:
    """It is refused before it is sent, and the connection stays."""
    server = start_nats(max_payload="64KB")

    async def scenario() -> None:
        async with node(server.url) as (broker, seen):
            for policy in (KEPT, PLAIN):
                with pytest.raises(MessageTooBig, match="max_payload"):
                    await broker.publish("a", policy, bytes(65536), None)
                await broker.publish("a", policy, bytes(62000), None)
            assert seen.told == []

    run(scenario())


def test_a_ping_that_nobody_waits_for_fails_in_silence(nats_server: NatsServer) -> None:
    """The connection had ended, and whoever asked was cancelled: there is nobody to tell."""

    async def scenario() -> None:
        reported: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
        async with node(nats_server.url) as (broker, _):
            connection = broker._connection
            assert connection is not None
            connection.fail(ConnectionAbortedError("cut off"))
            await asyncio.sleep(0.05)
            asking = asyncio.ensure_future(connection.ping())
            await asyncio.sleep(0)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            await asyncio.sleep(0.01)
            gc.collect()
            assert reported == []

    run(scenario())
