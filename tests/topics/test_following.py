"""A node on a broker elsewhere: it misses nothing in silence, whatever becomes of pushes, reads and the broker."""

from __future__ import annotations

import asyncio

import pytest

from fixtures.clock import elapse, idle, virtual
from fixtures.nodes import Node, text
from fixtures.scripted_broker import ScriptedBroker
from wsmash.errors import BrokerUnavailable
from wsmash.topics.following import LINGER, MAX_LINGERING, MAX_SEEN
from wsmash.topics.position import Position
from wsmash.topics.topic import CHECK_INTERVAL


@virtual
async def test_what_any_node_publishes_reaches_the_subscribers() -> None:
    """From when the subscription has begun; what this node publishes comes the same way."""
    broker = ScriptedBroker()
    async with Node(broker) as node:
        client, plain = node.client(), node.client(spoken=False)
        action = client.connection.subscribe("news")
        plain.connection.subscribe("news")
        assert not action.done()  # type: ignore[attr-defined]
        began = await action
        assert began.recovered and began.position == Position(broker.streams["news"].epoch, 0)
        broker.add("news", text("of another node"))
        position = await node.hub.publish("news", "of this one")
        await idle()
        assert position == Position(broker.streams["news"].epoch, 2)
        assert client.got == ["subscribed news 0", "news 1 of another node", "news 2 of this one"]
        assert plain.got == ["of another node", "of this one"]
        assert broker.calls[:3] == [("start", None), ("follow", ["news"]), ("positions", ["news"])]


@pytest.mark.case(111)
@virtual
async def test_a_lost_push_is_read_again() -> None:
    """A hole is filled from the history before what comes after it."""
    broker = ScriptedBroker()
    async with Node(broker) as node:
        node.topic("news")
        client = node.client()
        await client.connection.subscribe("news")
        broker.losing = True
        broker.add("news", text("lost"))
        broker.losing = False
        broker.add("news", text("seen"))
        await idle()
        assert client.got == ["subscribed news 0", "news 1 lost", "news 2 seen"]
        assert broker.count("read") == 1 and not node.told


@pytest.mark.case(111)
@virtual
async def test_a_lost_push_on_a_quiet_topic_is_found_by_a_check() -> None:
    """Within the interval of the checks, which are asked only of topics that were quiet."""
    broker = ScriptedBroker()
    async with Node(broker) as node:
        node.topic("news")
        client = node.client()
        await client.connection.subscribe("news")
        broker.losing = True
        broker.add("news", text("lost"))
        await elapse(2 * CHECK_INTERVAL + 1)
        assert client.got == ["subscribed news 0", "news 1 lost"]
        broker.losing = False
        broker.calls.clear()
        for _ in range(6):
            broker.add("news", text("x"))
            await elapse(CHECK_INTERVAL / 2)
        assert broker.count("positions") == 0


@virtual
async def test_a_history_that_is_short_is_checked_more_often() -> None:
    """While what was lost is still there: each half of `history_ttl`."""
    broker = ScriptedBroker()
    async with Node(broker) as node:
        node.topic("news", history_ttl=2)
        await node.client().connection.subscribe("news")
        broker.calls.clear()
        await elapse(10)
        assert 8 <= broker.count("positions") <= 10


@pytest.mark.case(111, 116)
@virtual
async def test_what_is_trimmed_is_a_gap() -> None:
    """Nothing of an incomplete history is sent; the gap says where it goes on."""
    broker = ScriptedBroker()
    async with Node(broker) as node:
        node.topic("news", history_size=2)
        client, plain = node.client(), node.client(spoken=False)
        for each in (client, plain):
            await each.connection.subscribe("news")
        broker.losing = True
        for number in range(5):
            broker.add("news", text(str(number)), 2)
        broker.losing = False
        broker.add("news", text("next"), 2)
        await idle()
        broker.add("news", text("last"), 2)
        await idle()
        assert client.got == ["subscribed news 0", "gap news 6 trimmed", "news 7 last"]
        assert plain.got == ["last"]
        assert node.told == [("gap", "news", 6, "trimmed")] and node.hub.counters.gaps == 1


@pytest.mark.case(109, 112)
@virtual
async def test_an_outage() -> None:
    """Subscribers stay, hear of it once, and have what they missed, or a gap, before they hear that it is over."""
    broker = ScriptedBroker()
    async with Node(broker) as node:
        for topic in ("kept", "renewed"):
            node.topic(topic)
        client = node.client()
        for topic in ("kept", "renewed", "plain"):
            await client.connection.subscribe(topic)
        assert client.got == ["subscribed kept 0", "subscribed renewed 0", "subscribed plain 0"]
        broker.leave()
        broker.leave()
        assert client.got == ["degraded"] and node.told == [("degraded",)]
        with pytest.raises(BrokerUnavailable):
            await node.hub.publish("kept", "never")
        assert await node.hub.publish("plain", "here alone") is None
        assert client.got == ["plain - here alone"]
        broker.add("kept", text("meanwhile"))
        broker.renew("renewed")
        broker.come_back()
        await idle()
        assert client.got == ["kept 1 meanwhile", "gap renewed 0 epoch", "restored"]
        assert node.told == [("degraded",), ("gap", "renewed", 0, "epoch"), ("restored",)]
        broker.add("renewed", text("new"))
        await idle()
        assert client.got == ["renewed 1 new"]


@pytest.mark.case(109)
@virtual
async def test_an_outage_within_the_way_back_from_one() -> None:
    """It is over once: what was begun for the first is done anew, and nothing comes twice."""
    broker = ScriptedBroker()
    async with Node(broker) as node:
        node.topic("news")
        client = node.client()
        await client.connection.subscribe("news")
        broker.slowness = 1
        broker.leave()
        broker.add("news", text("first"))
        broker.come_back()
        await elapse(0.5)
        broker.leave()
        broker.add("news", text("second"))
        await elapse(0.1)
        broker.come_back()
        await elapse(5)
        assert client.got == ["subscribed news 0", "degraded", "news 1 first", "news 2 second", "restored"]
        assert node.told == [("degraded",), ("restored",)]


@virtual
async def test_subscribing_during_an_outage() -> None:
    """The subscription holds at once; what it has missed is sent when the broker is back, or told as a gap."""
    broker = ScriptedBroker()
    async with Node(broker) as node:
        node.topic("news", outage="local")
        position = broker.add("news", text("before"))
        broker.add("news", text("since"))
        broker.leave()
        new, old = node.client(), node.client()
        began = await new.connection.subscribe("news")
        assert began.position is None and began.recovered
        assert (await old.connection.subscribe("news", since=position)).position is None
        assert await node.hub.publish("news", "here alone") is None
        assert new.got == ["subscribed news -", "news - here alone"]
        assert old.got == ["subscribed news -", "news - here alone"]
        broker.come_back()
        await idle()
        assert new.got == ["gap news 2 outage", "restored"]
        assert old.got == ["news 2 since", "restored"]
        broker.add("news", text("after"))
        await idle()
        assert new.got == old.got == ["news 3 after"]


@pytest.mark.case(111)
@virtual
async def test_pushes_that_the_broker_says_it_lost() -> None:
    """All positions are checked at once, and patterns have a gap: nobody knows what they missed."""
    broker = ScriptedBroker()
    async with Node(broker) as node:
        node.topic("news.*")
        client = node.client()
        await client.connection.subscribe("news.a")
        await client.connection.subscribe("news.>")
        broker.losing = True
        broker.add("news.a", text("lost"))
        broker.losing = False
        broker.receiver.missed("slow consumer")
        await idle()
        assert client.got == [
            "subscribed news.a 0", "subscribed news.> -", "gap news.> - outage",
            "news.a 1 lost", "news.a by news.> 1 lost",
        ]  # fmt: skip


@virtual
async def test_topics_that_are_seen_through_a_pattern() -> None:
    """Each is followed as others are: no message twice, holes filled, gaps told with the topic."""
    broker = ScriptedBroker()
    async with Node(broker) as node:
        node.topic("news.>")
        client = node.client()
        await client.connection.subscribe("news.*")
        assert client.got == ["subscribed news.* -"]
        broker.add("news.a", text("1"))
        await idle()
        broker.losing = True
        broker.add("news.a", text("2"))
        broker.losing = False
        broker.add("news.a", text("3"))
        broker.add("news.b", text("1"))
        await idle()
        assert sorted(client.got) == [
            "news.a by news.* 1 1", "news.a by news.* 2 2", "news.a by news.* 3 3", "news.b by news.* 1 1"
        ]  # fmt: skip
        broker.renew("news.a")
        broker.add("news.a", text("new"))
        await idle()
        assert client.got == ["gap news.a by news.* 1 epoch"]
        broker.add("news.a", text("newer"))
        await idle()
        assert client.got == ["news.a by news.* 2 newer"]


@pytest.mark.case(115)
@virtual
async def test_a_subscription_takes_nothing_from_those_of_a_pattern() -> None:
    """What a pattern brings while its topic is about to be followed, too, is for who is subscribed to the pattern."""
    broker = ScriptedBroker()
    async with Node(broker) as node:
        node.topic("news.>")
        client, new = node.client(), node.client()
        await client.connection.subscribe("news.*")
        new.connection.subscribe("news.a")
        broker.add("news.a", text("1"))
        broker.add("news.a", text("2"))
        await idle()
        assert client.got == ["subscribed news.* -", "news.a by news.* 1 1", "news.a by news.* 2 2"]
        assert new.got[0].startswith("subscribed news.a ")
        new.connection.unsubscribe("news.a")
        await elapse(LINGER + 1)
        stream = broker.streams["news.a"]
        broker.push("news.a", stream.epoch, 1, 2, text("2"))  # the other copy of what came through the topic
        broker.add("news.a", text("3"))
        await idle()
        assert client.got == ["news.a by news.* 3 3"]


@virtual
async def test_a_new_epoch_is_told_to_who_reads_slowly() -> None:
    """On a topic without a history, too: or offsets of two epochs would be compared."""
    broker = ScriptedBroker()
    async with Node(broker, slow_consumer="drop", max_write_buffer=1000, write_high_water=500) as node:
        client = node.client()
        await client.connection.subscribe("news")
        client.channel.stuck = True
        for _ in range(3):
            broker.add("news", text("x" * 490))  # two of which leave no room for anything
        await idle()
        broker.renew("news")
        broker.add("news", text("y" * 400))
        await idle()
        assert len(client.got) == 3
        client.channel.drain()
        await idle()
        broker.add("news", text("z"))
        await idle()
        assert client.got == ["gap news 0 epoch", f"news 1 {'y' * 400}", "news 2 z"]


@pytest.mark.case(111)
@virtual
async def test_what_a_broker_loses_again_and_again() -> None:
    """Is looked for once, and once more where that happens meanwhile."""
    broker = ScriptedBroker()
    async with Node(broker) as node:
        node.topic("news")
        await node.client().connection.subscribe("news")
        broker.calls.clear()
        for _ in range(1000):
            broker.receiver.missed("slow consumer")
        await idle()
        assert broker.count("positions") == 1


@pytest.mark.case(69)
@virtual
async def test_topics_seen_through_a_pattern_are_bounded() -> None:
    """However many there are: those that were quiet longest are forgotten, and all of them with the last pattern."""
    broker = ScriptedBroker()
    async with Node(broker) as node:
        client = node.client(spoken=False)
        await client.connection.subscribe(">")
        for number in range(MAX_SEEN + 10):
            broker.add(f"t{number}", text("x"))
            if number % 1000 == 0:
                await idle()
        await idle()
        assert len(node.hub.topics()) == MAX_SEEN and len(client.got) == MAX_SEEN + 10
        assert "t0" not in {topic.name for topic in node.hub.topics()}
        client.connection.unsubscribe(">")
        await elapse(LINGER + 1)
        assert not node.hub.topics() and not broker.patterns


@pytest.mark.case(71)
@virtual
async def test_coming_and_going_does_not_reach_the_broker() -> None:
    """A topic is let go a moment after its last subscriber, unless there is one again."""
    broker = ScriptedBroker()
    async with Node(broker) as node:
        connection = node.client().connection
        for _ in range(1000):
            connection.subscribe("news")
            connection.unsubscribe("news")
            await asyncio.sleep(0)
        assert broker.count("follow") <= 1 and broker.count("unfollow") == 0
        await connection.subscribe("news")
        await elapse(LINGER + 1)
        assert broker.followed == {"news"} and broker.count("unfollow") == 0
        connection.unsubscribe("news")
        await elapse(LINGER + 1)
        assert not broker.followed and not node.hub.topics()
        assert len(node.hub.environment.wheel) == 1  # the connection's own


@pytest.mark.case(69, 71)
@virtual
async def test_topics_that_are_about_to_be_let_go_are_bounded() -> None:
    """Whoever goes through many of them makes the oldest go at once."""
    broker = ScriptedBroker()
    async with Node(broker) as node:
        connection = node.client().connection
        for number in range(MAX_LINGERING + 100):
            connection.subscribe(f"t{number}")
            connection.unsubscribe(f"t{number}")
        await idle()
        assert len(node.hub.topics()) == len(broker.followed) == MAX_LINGERING


@virtual
async def test_a_push_that_nobody_wants_ends_the_following() -> None:
    """A topic that was let go while it was about to be followed is not pushed for ever."""
    broker = ScriptedBroker()
    async with Node(broker):
        broker.followed.add("stray")
        broker.add("stray", text("x"))
        await idle()
        assert not broker.followed


@pytest.mark.case(107)
@pytest.mark.parametrize("data", [b"", b"junk", b"\x93\x02\x01\xa1x", text("x" * 2000), b"\x80\x04\x95pickle"])
def test_what_is_no_record_is_left_out(data: bytes) -> None:
    """It is counted, the rest goes on, and its offset is no hole."""

    @virtual
    async def scenario() -> None:
        broker = ScriptedBroker()
        async with Node(broker, max_message_size=1000) as node:
            node.topic("news")
            client = node.client()
            await client.connection.subscribe("news")
            broker.add("news", text("before"))
            broker.add("news", data)
            broker.add("news", text("after"))
            await idle()
            assert client.got == ["subscribed news 0", "news 1 before", "news 3 after"]
            assert node.hub.counters.invalid_records == 1 and broker.count("read") == 0
            late = node.client()
            await late.connection.subscribe("news", since=Position(broker.streams["news"].epoch, 1))
            assert late.got == ["subscribed news 1", "news 3 after"] and node.hub.counters.invalid_records == 1

    scenario()


@virtual
async def test_a_read_that_fails_is_done_again() -> None:
    """Though the broker does not say that it is away."""
    broker = ScriptedBroker()
    async with Node(broker) as node:
        node.topic("news")
        client = node.client()
        await client.connection.subscribe("news")
        broker.losing = True
        broker.add("news", text("lost"))
        broker.losing = False
        broker.add("news", text("seen"))
        broker.away = True
        await idle()
        assert client.got == ["subscribed news 0"]
        broker.away = False
        await elapse(2)
        assert client.got == ["news 1 lost", "news 2 seen"]


@virtual
async def test_a_start_without_a_broker() -> None:
    """`start` says so, and leaves nothing."""
    broker = ScriptedBroker()
    broker.away = True
    with pytest.raises(BrokerUnavailable):
        async with Node(broker):
            raise AssertionError


@virtual
async def test_the_end() -> None:
    """A stop lets go of the broker, and of what is under way."""
    broker = ScriptedBroker()
    node = Node(broker)
    async with node:
        node.topic("news")
        broker.slowness = 100
        position = broker.add("news", text("x"))
        broker.add("news", text("y"))
        node.client().connection.subscribe("news", since=position)
        await idle()
    assert broker.calls[-1] == ("stop", None)
