"""Subscribers who are behind: who comes back with a position, who reads slowly."""

from __future__ import annotations

import asyncio

import pytest

from fixtures.clock import elapse, idle, virtual
from fixtures.nodes import Client, Node, text
from fixtures.scripted_broker import ScriptedBroker
from wsmash.errors import ConnectionClosed, InvalidState
from wsmash.topics import catching_up as subject
from wsmash.topics.brokers.base import MAX_READ
from wsmash.topics.catching_up import MAX_KEPT, MAX_RECENT
from wsmash.topics.position import Position, new_epoch

KIB = 1024


def numbers(client: Client, topic: str = "news") -> list[int]:
    """The offsets of the messages that a client got, which is sent nothing else."""
    got = client.got
    assert all(each.startswith(f"{topic} ") for each in got), got
    return [int(each.split(" ", 2)[1]) for each in got]


@pytest.mark.parametrize("shared", [False, True])
def test_who_comes_back_gets_what_was_missed(shared: bool) -> None:
    """What came after its position, then what comes from now on; the reply comes first."""

    @virtual
    async def scenario() -> None:
        async with Node(ScriptedBroker() if shared else "memory") as node:
            node.topic("news")
            positions = [await node.hub.publish("news", f"m{number}") for number in range(5)]
            client = node.client()
            began = await client.connection.subscribe("news", since=positions[1])
            assert began.recovered and began.position == positions[1]
            await node.hub.publish("news", "m5")
            await idle()
            assert client.got == ["subscribed news 2", *(f"news {number + 1} m{number}" for number in range(2, 6))]

    scenario()


@pytest.mark.parametrize("shared", [False, True])
def test_who_has_everything_gets_what_comes(shared: bool) -> None:
    """A position that is the last one's needs no more than the subscription."""

    @virtual
    async def scenario() -> None:
        async with Node(ScriptedBroker() if shared else "memory") as node:
            node.topic("news")
            await node.hub.publish("news", "old")
            last = await node.hub.publish("news", "last")
            client = node.client()
            assert (await client.connection.subscribe("news", since=last)).recovered
            await node.hub.publish("news", "next")
            await idle()
            assert client.got == ["subscribed news 2", "news 3 next"]

    scenario()


@pytest.mark.case(115)
@virtual
async def test_what_is_published_during_the_read_comes_after_it() -> None:
    """Once: whether the read has it or the push, or both."""
    broker = ScriptedBroker()
    async with Node(broker) as node:
        node.topic("news")
        await node.client().connection.subscribe("news")
        since = broker.add("news", text("0"))
        broker.add("news", text("1"))
        await idle()
        broker.slowness = 1
        client = node.client()
        client.connection.subscribe("news", since=since)
        await elapse(0.5)
        broker.add("news", text("2"))  # the answer, which is on its way, has it not
        await idle()
        assert client.got == []
        broker.add("news", text("3"))
        await elapse(1)
        assert client.got[0] == "subscribed news 1"
        client.connection.unsubscribe("news")
    async with Node(broker) as node:
        node.topic("news")
        await node.client().connection.subscribe("news")
        broker.held = []
        broker.add("news", text("4"))  # the answer has it, and then the push comes too
        client = node.client()
        action = client.connection.subscribe("news", since=since)
        await elapse(2)
        broker.release()
        broker.add("news", text("5"))
        await action
        await idle()
        assert client.got == ["subscribed news 1", *(f"news {offset} {offset - 1}" for offset in range(2, 7))]


@pytest.mark.case(116, 122)
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(
    ("size", "count", "whole"), [(10, 10, True), (10, 11, False), (500, 300, True), (500, 301, False)]
)
def test_too_much_to_recover_is_a_gap(shared: bool, size: int, count: int, whole: bool) -> None:
    """More than the history has, or than `MAX_READ`: none of it comes, and the topic goes on from where it is."""

    @virtual
    async def scenario() -> None:
        async with Node(ScriptedBroker() if shared else "memory") as node:
            node.topic("news", history_size=size)
            since = await node.hub.publish("news", "seen")
            for number in range(count):
                await node.hub.publish("news", str(number))
            client = node.client()
            began = await client.connection.subscribe("news", since=since)
            assert began.recovered is whole and began.reason == (None if whole else "trimmed")
            await node.hub.publish("news", "next")
            await idle()
            reply, *rest = client.got
            assert reply == ("subscribed news 1" if whole else f"subscribed news {count + 1} not trimmed")
            assert len(rest) == (count + 1 if whole else 1)
            assert whole == (count <= min(size, MAX_READ))

    scenario()


@pytest.mark.case(109)
@pytest.mark.parametrize("shared", [False, True])
def test_a_position_of_another_stream_is_a_gap(shared: bool) -> None:
    """So is one that the stream has not come to."""

    @virtual
    async def scenario() -> None:
        async with Node(ScriptedBroker() if shared else "memory") as node:
            node.topic("news")
            last = await node.hub.publish("news", "x")
            assert last is not None
            other, ahead = node.client(), node.client()
            began = await other.connection.subscribe("news", since=Position(new_epoch(), 1))
            assert began == (last, False, "epoch")
            began = await ahead.connection.subscribe("news", since=Position(last.epoch, 99))
            assert began == (last, False, "epoch")
            await node.hub.publish("news", "y")
            await idle()
            assert other.got == ahead.got == ["subscribed news 1 not epoch", "news 2 y"]

    scenario()


@pytest.mark.case(122)
@virtual
async def test_a_storm_of_those_who_come_back_shares_reads() -> None:
    """However many they are, and from whatever positions: one read for those who are there, one at a time."""
    broker = ScriptedBroker()
    async with Node(broker) as node:
        node.topic("news", history_size=200)
        positions = [broker.add("news", text(str(number))) for number in range(100)]
        broker.slowness = 0.01
        clients = [node.client() for _ in range(300)]
        for number, client in enumerate(clients):
            client.connection.subscribe("news", since=positions[number % 100])
        await elapse(1)
        for number, client in enumerate(clients):
            got = client.got
            assert got[0] == f"subscribed news {number % 100 + 1}" and len(got) == 100 - number % 100
        assert broker.count("read") <= 2


@virtual
async def test_one_who_is_too_far_behind_harms_nobody_else() -> None:
    """Of those who share a read each gets what it can have."""
    broker = ScriptedBroker()
    async with Node(broker) as node:
        node.topic("news", history_size=10)
        positions = [broker.add("news", text(str(number)), 10) for number in range(30)]
        clients = [node.client() for _ in range(3)]
        for client, at in zip(clients, (0, 19, 25), strict=True):
            client.connection.subscribe("news", since=positions[at])
        await idle()
        assert clients[0].got == ["subscribed news 30 not trimmed"]
        assert clients[1].got == ["subscribed news 20", *(f"news {each} {each - 1}" for each in range(21, 31))]
        assert clients[2].got == ["subscribed news 26", *(f"news {each} {each - 1}" for each in range(27, 31))]


@virtual
async def test_much_that_passes_during_a_read_is_read_again() -> None:
    """What is remembered of it is bounded."""
    broker = ScriptedBroker()
    async with Node(broker) as node:
        node.topic("news", history_size=100_000)
        await node.client().connection.subscribe("news")
        since = broker.add("news", text("0"))
        broker.add("news", text("1"))
        await idle()
        client = node.client()
        broker.slowness = 1
        client.connection.subscribe("news", since=since)
        await elapse(0.5)
        for _ in range(MAX_RECENT + 10):
            broker.add("news", text("x"))
        await elapse(10)
        assert client.got == ["subscribed news 1", "news 2 1", f"gap news {MAX_RECENT + 12} trimmed"]


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("policy", ["drop", "raise", "conflate"])
def test_who_reads_slowly_gets_the_rest_from_the_history(shared: bool, policy: str) -> None:
    """On a topic with a history nothing is left out, and the others are not held up."""

    @virtual
    async def scenario() -> None:
        broker = ScriptedBroker() if shared else "memory"
        async with Node(broker, slow_consumer=policy, max_write_buffer=100 * KIB) as node:
            node.topic("news")
            slow, quick = node.client(), node.client()
            for client in (slow, quick):
                await client.connection.subscribe("news")
                assert client.got == ["subscribed news 0"]
            slow.channel.stuck = True
            for _ in range(20):
                await node.hub.publish("news", "x" * 20 * KIB)
                await idle()
            assert numbers(quick) == list(range(1, 21))
            seen = numbers(slow)
            assert seen == list(range(1, len(seen) + 1)) and len(seen) < 6
            assert node.hub.get_subscriber_count("news") == 2
            while len(seen) < 20:
                slow.channel.drain()
                slow.channel.stuck = True
                await idle()
                more = numbers(slow)
                assert more and len(more) <= 5
                seen += more
            slow.channel.drain()
            await idle()
            await node.hub.publish("news", "last")
            await idle()
            seen += numbers(slow)
            assert seen == list(range(1, 22)) and node.hub.counters.gaps == node.hub.counters.dropped == 0

    scenario()


@virtual
async def test_who_reads_so_slowly_that_the_history_is_gone_has_a_gap() -> None:
    """It is told once there is room, and the next messages come after it."""
    async with Node(slow_consumer="drop", max_write_buffer=100 * KIB) as node:
        node.topic("news", history_size=3)
        client = node.client()
        await client.connection.subscribe("news")
        client.channel.stuck = True
        for _ in range(20):
            await node.hub.publish("news", "x" * 20 * KIB)
        before = client.got
        client.channel.drain()
        await idle()
        await node.hub.publish("news", "next")
        assert before[0] == "subscribed news 0" and len(before) == 5
        assert client.got == ["gap news 20 trimmed", "news 21 next"] and node.hub.counters.gaps == 1


@virtual
async def test_who_reads_too_slowly_is_closed_under_that_policy() -> None:
    """And resumes when it comes back."""
    async with Node(max_write_buffer=100 * KIB) as node:
        node.topic("news")
        client = node.client()
        await client.connection.subscribe("news")
        client.channel.stuck = True
        for _ in range(10):
            await node.hub.publish("news", "x" * 20 * KIB)
        assert not client.connection.is_open() and node.hub.counters.closed_slow == 1
        assert node.hub.get_subscriber_count("news") == 0


@virtual
async def test_without_a_history_the_newest_message_waits_under_conflate() -> None:
    """For who reads slowly: it gets that one, and what comes after it."""
    async with Node(slow_consumer="conflate", max_write_buffer=100 * KIB) as node:
        client = node.client()
        await client.connection.subscribe("news")
        client.channel.stuck = True
        for number in range(20):
            await node.hub.publish("news", f"{number}" + "x" * 20 * KIB)
        before = [each.split()[1] for each in client.got]
        client.channel.drain()
        await idle()
        await node.hub.publish("news", "next")
        assert before == ["news", "1", "2", "3", "4"]
        assert [each.split()[1] for each in client.got] == ["20", "21"]
        assert node.hub.counters.conflated == 15 and node.hub.counters.dropped == 0


@virtual
async def test_without_a_history_messages_that_do_not_fit_are_dropped() -> None:
    """Under the policy "drop", and counted."""
    async with Node(slow_consumer="drop", max_write_buffer=100 * KIB) as node:
        client = node.client()
        await client.connection.subscribe("news")
        client.channel.stuck = True
        for _ in range(20):
            await node.hub.publish("news", "x" * 20 * KIB)
        assert len(client.got) == 5 and node.hub.counters.dropped == 16


@virtual
async def test_a_slow_subscriber_of_a_pattern_has_a_gap() -> None:
    """A pattern has no history: what did not fit is told as a gap of the pattern, when there is room."""
    async with Node(slow_consumer="drop", max_write_buffer=100 * KIB) as node:
        node.topic("news.>")
        client, plain = node.client(), node.client(spoken=False)
        for each in (client, plain):
            await each.connection.subscribe("news.*")
            each.channel.stuck = True
        client.channel.sent.clear()
        for _ in range(10):
            await node.hub.publish("news.a", "x" * 20 * KIB)
        assert len(client.got) < 6 and node.hub.get_subscriber_count("news.*") == 2
        for each in (client, plain):
            each.channel.drain()
        await idle()
        await node.hub.publish("news.a", "next")
        assert client.got == ["gap news.* - slow", "news.a by news.* 11 next"]
        assert plain.got[-1] == "next"
        client.connection.unsubscribe("news.*")
        assert node.hub.get_subscriber_count("news.*") == 1


@virtual
async def test_what_waits_for_one_who_is_behind_is_bounded() -> None:
    """It is read in pieces of `MAX_KEPT` bytes, as the subscriber takes them."""
    async with Node(max_write_buffer=10_000 * KIB) as node:
        node.topic("news")
        since = await node.hub.publish("news", "0")
        for _ in range(90):
            await node.hub.publish("news", "x" * 20 * KIB)
        client = node.client()
        client.channel.stuck = True
        await client.connection.subscribe("news", since=since)
        topic = node.hub.topics()[0]
        [straggler] = topic._behind._behind.values()  # type: ignore[union-attr]
        assert 0 < sum(len(item.record.payload) for item in straggler.items) <= MAX_KEPT
        assert client.got[0] == "subscribed news 1"
        client.channel.sent.clear()
        client.channel.drain()
        await idle()
        assert numbers(client)[-1] == 91 and not topic._behind


@pytest.mark.case(122)
@pytest.mark.parametrize("shared", [False, True])
def test_what_waits_for_all_who_are_behind_is_bounded(shared: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above that each has one message at a time; all get everything, and nothing is counted once they have."""
    monkeypatch.setattr(subject, "MAX_BEHIND", 500 * KIB)

    @virtual
    async def scenario() -> None:
        broker = ScriptedBroker() if shared else "memory"
        async with Node(broker, max_write_buffer=10_000 * KIB, max_topics_per_connection=None) as node:
            node.topic(">")
            client, leaver = node.client(), node.client()
            for each in (client, leaver):
                each.channel.stuck = True
            for number in range(20):
                topic = f"t{number}"
                since = await node.hub.publish(topic, "0")
                for _ in range(9):
                    await node.hub.publish(topic, "x" * 20 * KIB)
                for each in (client, leaver):
                    await each.connection.subscribe(topic, since=since)
            assert 500 * KIB < node.hub.kept.size < 1500 * KIB  # all they lack is 7 MiB
            leaver.connection.close()
            await idle()
            for _ in range(100):
                client.channel.drain()
                await idle()
            got = [each.split()[0] for each in client.got if not each.startswith("subscribed")]
            assert sorted(got) == sorted(f"t{number}" for number in range(20) for _ in range(9))
            assert node.hub.kept.size == 0

    scenario()


@virtual
async def test_an_end_while_a_subscription_begins() -> None:
    """Whoever waits for it is told: by the end of the connection, or by that of the subscription."""
    broker = ScriptedBroker()
    async with Node(broker) as node:
        node.topic("news")
        since = broker.add("news", text("0"))
        broker.add("news", text("1"))
        broker.slowness = 1
        ended, left = node.client(), node.client()
        waiting = [each.connection.subscribe("news", since=since) for each in (ended, left)]
        await elapse(0.1)
        left.connection.unsubscribe("news")
        ended.connection.close()
        with pytest.raises(ConnectionClosed):
            await waiting[0]
        with pytest.raises(InvalidState, match="unsubscribed"):
            await waiting[1]
        await elapse(3)
        assert node.hub.get_subscriber_count("news") == 0


@virtual
async def test_a_stale_read_is_not_believed() -> None:
    """An answer of a replica that lags behind what was pushed is asked for again."""
    broker = ScriptedBroker()
    async with Node(broker) as node:
        node.topic("news")
        await node.client().connection.subscribe("news")
        since = broker.add("news", text("0"))
        broker.add("news", text("1"))
        await idle()
        stream = broker.streams["news"]
        stream.top, last = 1, stream.entries.pop()
        client = node.client()
        client.connection.subscribe("news", since=since)
        await asyncio.sleep(0.5)
        assert client.got == []
        stream.top = 2
        stream.entries.append(last)
        await elapse(3)
        assert client.got == ["subscribed news 1", "news 2 1"]
