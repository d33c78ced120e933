"""All topics of one server: who is subscribed, what is published, and how much of it there may be."""

from __future__ import annotations

import asyncio
import gc
import sys
import tracemalloc
from functools import partial
from typing import Any

import pytest

import wsmash
from fixtures.clock import idle, virtual
from fixtures.in_loop import in_loop, until
from fixtures.live import make_server, url_of
from fixtures.nodes import Client, Node
from fixtures.scripted_broker import ScriptedBroker
from wsmash.errors import ConnectionClosed, InvalidState, MessageTooBig, OutcomeUnknown
from wsmash.topics.position import Position


@in_loop
async def test_a_subscriber_gets_what_is_published(engine: str) -> None:
    """On its topics and on those that its patterns match, and on no others."""
    server = make_server()
    server.on("connection", lambda event: (event.client.subscribe("chat.a"), event.client.subscribe("news.>")))
    got: list[str | bytes] = []
    async with server, wsmash.connect(url_of(server)) as client:
        client.on("message", lambda event: got.append(event.data))
        await until(lambda: server.get_subscriber_count("chat.a"))
        first = await server.publish("chat.a", "text")
        await server.publish("chat.b", "another topic's")
        await server.publish("news.world.today", {"a": 1})
        last = await server.publish("chat.a", b"bytes")
        await until(lambda: len(got) == 3)
        assert got == ["text", '{"a":1}', b"bytes"]
        assert first is not None and last is not None
        assert first.epoch == last.epoch and first.offset < last.offset
        assert server.get_clients()[0].topics == ("chat.a", "news.>")
        await client.close()
        await until(lambda: not server.get_clients())
        assert server.get_subscriber_count("chat.a") == server.get_subscriber_count("news.>") == 0


def reached(seen: list[int], number: int) -> bool:
    """Whether a message has come."""
    return len(seen) > number


@pytest.mark.case(74)
@in_loop
async def test_who_reads_slowly_holds_nobody_up_and_misses_nothing(engine: str) -> None:
    """On a topic with a history it gets the rest from there, over a real socket that was full."""
    server = make_server(slow_consumer="drop", max_write_buffer=200_000, write_high_water=50_000)
    server.topic("news", history_size=300, history_ttl=60)
    server.on("connection", lambda event: event.client.subscribe("news"))
    async with server, wsmash.connect(url_of(server)) as quick, wsmash.connect(url_of(server)) as slow:
        await until(lambda: server.get_subscriber_count("news") == 2)
        seen: list[int] = []
        quick.on("message", lambda event: seen.append(int(event.data[:4])))
        for number in range(250):
            await server.publish("news", f"{number:04}" + "x" * 50_000)
            await until(partial(reached, seen, number))
        assert [int((await slow.recv())[:4]) for _ in range(250)] == list(range(250)) == seen
        assert server.counters.dropped == server.counters.gaps == server.counters.closed_slow == 0
        await server.publish("news", "0250")
        assert await slow.recv() == "0250"


@in_loop
async def test_compressed_once_for_all(engine: str) -> None:
    """Subscribers that agreed on compression and those that did not get the same message."""
    server = make_server(compression="deflate")
    server.on("connection", lambda event: event.client.subscribe("news"))
    async with (
        server,
        wsmash.connect(url_of(server)) as one,
        wsmash.connect(url_of(server), compression=None) as other,
    ):
        await until(lambda: server.get_subscriber_count("news") == 2)
        for text in ("a" * 10_000, "b" * 10_000):
            await server.publish("news", text)
            assert await one.recv() == text and await other.recv() == text


def test_before_the_start_and_after_the_end() -> None:
    """Nothing can be published, and the options of topics are given before the start alone."""
    server = make_server()
    assert server.get_subscriber_count("news") == 0
    with pytest.raises(InvalidState, match="started"):
        server.publish("news", "x")
    server.topic("news", history_size=1, history_ttl=60)
    with pytest.raises(ValueError, match="already"):
        server.topic("news")
    with pytest.raises(ValueError, match="both"):
        server.topic("other", history_size=1)

    async def scenario() -> None:
        async with server:
            with pytest.raises(InvalidState, match="before the server starts"):
                server.topic("late")
            await server.publish("news", "x")
        with pytest.raises(InvalidState, match="started"):
            server.publish("news", "x")

    asyncio.run(scenario())


@virtual
async def test_what_can_be_published() -> None:
    """What `send` takes, on a topic, with a key that is one, up to `max_message_size`."""
    async with Node(max_message_size=10) as node:
        for topic, error in (("a.*", ValueError), ("", ValueError), (5, TypeError), ("a b", ValueError)):
            with pytest.raises(error):
                node.hub.publish(topic, "x")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="message"):
            node.hub.publish("a", 5)  # type: ignore[arg-type]
        with pytest.raises(MessageTooBig, match="max_message_size=10"):
            node.hub.publish("a", "x" * 11)
        for key, wrong in (("", ValueError), ("k" * 201, ValueError), (5, TypeError)):
            with pytest.raises(wrong, match="idempotency key"):
                node.hub.publish("a", "x", key)  # type: ignore[arg-type]
        action = node.hub.publish("a", "x" * 10, "k" * 200)
        assert action.done() and await action == await action  # type: ignore[attr-defined]


@pytest.mark.case(114)
@virtual
async def test_publishing_again_with_the_same_key() -> None:
    """Is heard once, and gives the same position."""
    async with Node() as node:
        client = node.client()
        await client.connection.subscribe("news")
        first = await node.hub.publish("news", "x", "key")
        assert await node.hub.publish("news", "x", "key") == first
        assert client.got == ["subscribed news 0", "news 1 x"]


@virtual
async def test_a_publication_of_unknown_outcome() -> None:
    """Raises, also where the topic would do with this node in an outage."""

    class Unsure(ScriptedBroker):
        async def publish(self, *what: Any) -> Position:
            raise OutcomeUnknown("no answer")

    async with Node(Unsure()) as node:
        with pytest.raises(OutcomeUnknown):
            await node.hub.publish("plain", "x")


def topics_of(client: Client) -> tuple[str, ...]:
    """A function, so that type checkers do not take it for settled."""
    return client.connection.topics


@virtual
async def test_subscribing_again_does_nothing() -> None:
    """There is one subscription, and it ends once."""
    async with Node() as node:
        client = node.client()
        for _ in range(3):
            await client.connection.subscribe("news")
            await client.connection.subscribe("news.>")
        await node.hub.publish("news", "x")
        assert client.got == ["subscribed news 0", "subscribed news.> -"] * 3 + ["news 1 x"]
        assert node.hub.get_subscriber_count("news") == node.hub.get_subscriber_count("news.>") == 1
        for _ in range(2):
            await client.connection.unsubscribe("news")
        assert client.got == ["unsubscribed news"] and topics_of(client) == ("news.>",)
        client.connection.unsubscribe("news.>")
        assert topics_of(client) == () and client.connection._feeds is None
        assert not node.hub.topics() and not node.hub.patterns


@virtual
async def test_what_can_be_subscribed_to() -> None:
    """Topics and patterns, by a connection that is open; `since` goes with a topic."""
    async with Node() as node:
        connection = node.client().connection
        for name, error in (("a..b", ValueError), ("a.>.b", ValueError), ("x" * 256, ValueError), (None, TypeError)):
            with pytest.raises(error):
                connection.subscribe(name)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="pattern"):
            connection.subscribe("a.*", since=Position("0" * 32, 1))
        assert connection.topics == () and not node.hub.topics()
        connection.close()
        with pytest.raises(ConnectionClosed):
            connection.subscribe("news")


@pytest.mark.case(69)
@virtual
async def test_a_connection_has_so_many_topics() -> None:
    """`max_topics_per_connection`, patterns among them; one that is there already is no more."""
    async with Node(max_topics_per_connection=3) as node:
        connection = node.client().connection
        for name in ("a", "b", "c.*"):
            connection.subscribe(name)
        for number in range(10_000):
            with pytest.raises(InvalidState, match="max_topics_per_connection=3"):
                connection.subscribe(f"t{number}")
        connection.subscribe("a")
        assert len(node.hub.topics()) == 2 and node.hub.counters.refused_topics == 10_000
        connection.unsubscribe("b")
        connection.subscribe("d")
        assert connection.topics == ("a", "c.*", "d")


@pytest.mark.case(69, 71)
@pytest.mark.parametrize("shared", [False, True])
def test_coming_and_going_leaves_nothing(shared: bool) -> None:
    """However often, to however many topics and patterns."""

    @virtual
    async def scenario() -> None:
        broker = ScriptedBroker()
        async with Node(broker if shared else "memory") as node:
            connection = node.client(spoken=False).connection
            names = [f"room.{number}" for number in range(3000)] + [f"room.{number}.>" for number in range(3000)]

            async def churn() -> None:
                for name in names:
                    connection.subscribe(name)
                    connection.unsubscribe(name)
                await asyncio.sleep(10)
                broker.calls.clear()
                gc.collect()

            await churn()
            tracemalloc.start()
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(3):
                await churn()
            grown = tracemalloc.get_traced_memory()[0] - before
            tracemalloc.stop()
            assert not node.hub.topics() and not node.hub.patterns
            assert grown < 300_000, f"{grown} bytes are left of 18000 subscriptions"  # tables that have grown

    scenario()


@pytest.mark.case(71)
@virtual
async def test_subscribing_a_million_times_is_subscribing_once() -> None:
    """It takes no memory, and little time."""
    async with Node() as node:
        connection = node.client(spoken=False).connection
        connection.subscribe("news")
        gc.collect()
        before = sys.getallocatedblocks()
        for _ in range(1_000_000):
            connection.subscribe("news")
        grown = sys.getallocatedblocks() - before
        assert grown < 1000 and node.hub.get_subscriber_count("news") == 1


@virtual
async def test_an_idle_connection_owns_nothing_for_topics() -> None:
    """But a slot that is None; the same once its last subscription has ended."""
    async with Node() as node:
        connection = node.client().connection
        assert connection._feeds is None
        connection.subscribe("news")
        connection.unsubscribe("news")
        assert connection._feeds is None


@virtual
async def test_a_subscription_takes_little_memory() -> None:
    """An entry in the connection's own table, and one in each of the topic's."""
    async with Node(max_topics_per_connection=None) as node:
        connections = [node.client(spoken=False).connection for _ in range(100)]
        for connection in connections:
            connection.subscribe("first")
        await node.hub.publish("first", "x")
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for number in range(100):
            for connection in connections:
                connection.subscribe(f"t{number}")
            await node.hub.publish(f"t{number}", "x")
            for client in node.clients:
                client.channel.sent.clear()
        each = (tracemalloc.get_traced_memory()[0] - before) / 10_000
        tracemalloc.stop()
        assert each < 400, f"{each:.0f} bytes"
        assert sys.getsizeof(connections[0]) < 600


@virtual
async def test_what_is_told_is_told_to_subscribers_alone() -> None:
    """An outage is none of a connection's that has no topics."""
    broker = ScriptedBroker()
    async with Node(broker) as node:
        idle_one, subscribed, left = node.client(), node.client(), node.client()
        await subscribed.connection.subscribe("news")
        await left.connection.subscribe("a.*")
        await left.connection.unsubscribe("a.*")
        for client in (subscribed, left):
            client.channel.sent.clear()
        broker.leave()
        broker.come_back()
        await idle()
        assert idle_one.got == left.got == [] and subscribed.got == ["degraded", "restored"]


@in_loop
async def test_the_server_s_events(engine: str) -> None:
    """`degraded`, `gap` and `restored` are fired from the loop, with what happened."""
    broker = ScriptedBroker()
    server = make_server(broker=broker)
    server.topic("news", history_size=10, history_ttl=60)
    told: list[Any] = []
    for name in ("degraded", "gap", "restored"):
        server.on(name, told.append)
    server.on("connection", lambda event: event.client.subscribe("news"))
    async with server, wsmash.connect(url_of(server)):
        await until(lambda: broker.followed and server.get_subscriber_count("news"))
        await server.publish("news", "x")
        broker.leave()
        assert not told
        with pytest.raises(wsmash.BrokerUnavailable):
            await server.publish("news", "y")
        broker.renew("news")
        broker.come_back()
        await until(lambda: len(told) == 3)
    degraded, gap, restored = told
    assert isinstance(degraded, wsmash.ServerEvent) and isinstance(degraded.error, wsmash.BrokerUnavailable)
    assert isinstance(gap, wsmash.GapEvent) and (gap.topic, gap.reason) == ("news", "epoch")
    assert gap.position is not None and gap.position.offset == 0
    assert restored.error is None and restored.server is server


@in_loop
async def test_a_server_does_not_start_without_its_broker() -> None:
    """`start` raises, and no socket listens."""
    broker = ScriptedBroker()
    broker.away = True
    server = make_server(broker=broker)
    with pytest.raises(wsmash.BrokerUnavailable):
        await server.start()
    assert not server.is_started() and broker.calls == [("start", None)]
    broker.away = False
    async with server:
        assert server.is_started()
    assert broker.calls[-1] == ("stop", None)
