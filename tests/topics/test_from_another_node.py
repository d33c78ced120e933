"""Subscribers who come from another node, with a position that this one has not come to yet."""

from __future__ import annotations

import pytest

from fixtures.clock import elapse, idle, virtual
from fixtures.nodes import Node, text
from fixtures.scripted_broker import ScriptedBroker
from wsmash.topics.brokers.base import MAX_READ
from wsmash.topics.position import Position, new_epoch


@pytest.mark.case(111, 125)
@pytest.mark.parametrize("count", [3, 2 * MAX_READ])
@virtual
async def test_who_comes_from_a_node_that_was_told_sooner(count: int) -> None:
    """This node then lacks what its new subscriber has: it reads it for the others, and the new one lacks nothing."""
    broker = ScriptedBroker()
    async with Node(broker) as node:
        node.topic("news", history_size=1000)
        other = node.client()
        await other.connection.subscribe("news")
        broker.losing = True
        positions = [broker.add("news", text("lost")) for _ in range(count)]
        broker.losing = False
        client = node.client()
        found = await client.connection.subscribe("news", since=positions[-2])
        assert (found.recovered, found.position) == (True, positions[-2]) or count > MAX_READ
        broker.add("news", text("next"))
        await idle()
        if count < MAX_READ:
            assert other.got == ["subscribed news 0", *(f"news {n} lost" for n in (1, 2, 3)), "news 4 next"]
            assert client.got == ["subscribed news 2", "news 3 lost", "news 4 next"]
        else:
            assert other.got == ["subscribed news 0", f"gap news {count} trimmed", f"news {count + 1} next"]
            assert client.got in (
                [f"subscribed news {count - 1}", f"gap news {count} trimmed", f"news {count + 1} next"],
                [f"subscribed news {count} not trimmed", f"news {count + 1} next"],
            )


@pytest.mark.case(111, 125)
@virtual
async def test_a_gap_of_this_node_is_none_of_who_has_more() -> None:
    """Who comes while this node reads too little of the history has lost nothing of what it tells the others of."""
    broker = ScriptedBroker()
    async with Node(broker) as node:
        node.topic("news", history_size=3)
        other = node.client()
        await other.connection.subscribe("news")
        broker.losing = True
        for _ in range(5):
            broker.add("news", text("lost"), 3)
        broker.losing, broker.slowness = False, 1
        broker.add("news", text("seen"), 3)  # and what there is before it is to be read
        await elapse(0.5)
        broker.losing = True
        since = [broker.add("news", text("lost too"), 3) for _ in range(4)][-1]
        client = node.client()
        subscribing = client.connection.subscribe("news", since=since)
        await elapse(0.7)
        assert other.got == ["subscribed news 0", "gap news 6 trimmed"]
        await elapse(5)
        found = await subscribing
        assert (found.recovered, found.position) == (True, since)
        broker.losing = False
        broker.add("news", text("next"), 3)
        await idle()
        assert client.got == ["subscribed news 10", "news 11 next"]
        assert other.got == ["gap news 10 trimmed", "news 11 next"]


@virtual
async def test_who_comes_with_a_position_that_there_never_was() -> None:
    """It is told where the topic is, and nobody else hears of it."""
    broker = ScriptedBroker()
    async with Node(broker) as node:
        node.topic("news")
        other = node.client()
        await other.connection.subscribe("news")
        epoch, offset = broker.add("news", text("only"))
        await idle()
        client = node.client()
        found = await client.connection.subscribe("news", since=Position(epoch, offset + 10**15))
        assert (found.recovered, found.position, found.reason) == (False, (epoch, offset), "epoch")
        assert other.got == ["subscribed news 0", "news 1 only"]


@virtual
async def test_without_a_history_nobody_is_led_back() -> None:
    """Who has more than this node, from another one, is told to leave out what it has had already."""
    broker = ScriptedBroker()
    async with Node(broker) as node:
        node.topic("news", history_size=None, history_ttl=None)
        await node.client().connection.subscribe("news")
        broker.losing = True
        since = [broker.add("news", text("lost")) for _ in range(3)][-1]
        broker.losing = False
        client = node.client()
        found = await client.connection.subscribe("news", since=since)
        assert (found.recovered, found.position) == (False, since)
        broker.add("news", text("next"))
        await idle()
        assert client.got == ["subscribed news 3 not trimmed", "news 4 next"]


@pytest.mark.case(112, 125)
@virtual
async def test_who_was_told_of_a_new_epoch_sooner() -> None:
    """It is not led back to the one that this node still believes in: the broker says which one there is."""
    broker = ScriptedBroker()
    async with Node(broker) as node:
        node.topic("news")
        other = node.client()
        await other.connection.subscribe("news")
        broker.add("news", text("old"))
        await idle()
        broker.losing = True
        broker.renew("news")
        positions = [broker.add("news", text("new")) for _ in range(3)]
        broker.losing = False
        client = node.client()
        found = await client.connection.subscribe("news", since=positions[1])
        assert (found.recovered, found.position) == (True, positions[1])
        broker.add("news", text("next"))
        await idle()
        assert client.got == ["subscribed news 2", "news 3 new", "news 4 next"]
        assert other.got == ["subscribed news 0", "news 1 old", "gap news 3 epoch", "news 4 next"]


@pytest.mark.case(112)
@virtual
async def test_who_was_told_of_a_new_epoch_sooner_without_a_history() -> None:
    """The same, but for what the topic has not kept."""
    broker = ScriptedBroker()
    async with Node(broker) as node:
        node.topic("news", history_size=None, history_ttl=None)
        await node.client().connection.subscribe("news")
        broker.add("news", text("old"))
        await idle()
        broker.losing = True
        broker.renew("news")
        epoch = [broker.add("news", text("new")) for _ in range(3)][-1].epoch
        broker.losing = False
        found = await node.client().connection.subscribe("news", since=Position(epoch, 2))
        assert (found.recovered, found.position) == (False, (epoch, 3))


@pytest.mark.case(112)
@virtual
async def test_what_passes_while_it_is_asked_which_epoch_there_is() -> None:
    """Without a history it is part of what the subscriber is told to have missed; and then comes what comes."""
    broker = ScriptedBroker()
    async with Node(broker) as node:
        node.topic("news", history_size=None, history_ttl=None)
        await node.client().connection.subscribe("news")
        broker.slowness = 1
        client = node.client()
        subscribing = client.connection.subscribe("news", since=Position(new_epoch(), 9))
        await elapse(0.5)
        epoch, _ = broker.add("news", text("meanwhile"))
        await elapse(5)
        found = await subscribing
        assert (found.recovered, found.reason) == (False, "epoch")
        assert found.position == (epoch, 1)
        broker.add("news", text("next"))
        await idle()
        assert client.got == ["subscribed news 1 not epoch", "news 2 next"]
