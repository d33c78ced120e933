"""What `brokers/base.py` promises of the streams of every broker: positions, histories, keys.

The memory broker answers within the call and pushes nothing: nothing else is asked of it.
"""

from __future__ import annotations

import asyncio

import pytest

from fixtures.in_loop import in_loop
from fixtures.sites import KEPT, LONG, PLAIN, SHORT, Site, fill, texts
from wsmash.topics.brokers.base import MAX_READ
from wsmash.topics.brokers.choice import make_broker
from wsmash.topics.policy import TopicPolicy
from wsmash.topics.position import is_epoch


@pytest.mark.parametrize("policy", [KEPT, PLAIN], ids=["kept", "plain"])
def test_a_publication_has_a_position(streams: Site, policy: TopicPolicy) -> None:
    """It is of the stream's epoch, with an offset above 0 and above those before it; the position is then there."""

    @in_loop
    async def scenario() -> None:
        async with streams.node() as (broker, _):
            positions = await fill(broker, "a", policy, 5)
            assert is_epoch(positions[0].epoch)
            assert len({position.epoch for position in positions}) == 1
            offsets = [position.offset for position in positions]
            assert offsets == sorted(set(offsets)) and offsets[0] > 0
            [now] = await broker.positions([("a", policy)])
            assert now.epoch == positions[0].epoch
            assert now.offset >= offsets[-1] or policy is PLAIN

    scenario()


def test_what_is_read_is_what_was_published(streams: Site) -> None:
    """All after an offset, in order, byte for byte; from the top there is nothing, and nothing is missing."""

    @in_loop
    async def scenario() -> None:
        async with streams.node() as (broker, _):
            [start] = await broker.positions([("a", KEPT)])
            records = [b"", b"\0\xff\r\n", bytes(range(256)) * 400, "\u20ac".encode()]
            positions = [await broker.publish("a", KEPT, record, None) for record in records]
            history = await broker.read("a", KEPT, start.offset)
            assert texts(history) == records and history.complete
            assert [entry.offset for entry in history.entries] == [position.offset for position in positions]
            assert (history.epoch, history.top) == (start.epoch, history.top)
            assert history.top >= positions[-1].offset
            history = await broker.read("a", KEPT, positions[1].offset)
            assert texts(history) == records[2:] and history.complete
            history = await broker.read("a", KEPT, positions[-1].offset)
            assert (texts(history), history.complete) == ([], True)
            assert texts(await broker.read("b", KEPT, 0)) == []

    scenario()


@pytest.mark.case(116)
def test_a_history_holds_as_many_as_it_says(streams: Site) -> None:
    """Exactly the newest `history_size`; whoever has not all before them is told that the read is incomplete."""

    @in_loop
    async def scenario() -> None:
        async with streams.node() as (broker, _):
            positions = await fill(broker, "a", KEPT, 40)
            history = await broker.read("a", KEPT, positions[10].offset)
            assert texts(history) == [b"%d" % i for i in range(35, 40)]
            assert not history.complete
            history = await broker.read("a", KEPT, positions[34].offset)
            assert texts(history) == [b"%d" % i for i in range(35, 40)]
            assert history.complete

    scenario()


@pytest.mark.case(122)
def test_a_read_has_a_limit(streams: Site) -> None:
    """It gives some of the newest, at most so many, and says that there were more."""

    @in_loop
    async def scenario() -> None:
        async with streams.node() as (broker, _):
            positions = await fill(broker, "a", LONG, MAX_READ + 20)
            history = await broker.read("a", LONG, positions[0].offset)
            assert 0 < len(history.entries) <= MAX_READ
            assert texts(history) == [b"%d" % i for i in range(MAX_READ + 20 - len(history.entries), MAX_READ + 20)]
            assert not history.complete
            history = await broker.read("a", LONG, positions[19].offset)
            assert len(history.entries) == MAX_READ and history.complete
            history = await broker.read("a", LONG, positions[-4].offset, 2)
            assert texts(history)[-1] == b"%d" % (MAX_READ + 19)
            assert len(history.entries) <= 2
            assert not history.complete

    scenario()


def test_messages_expire(streams: Site) -> None:
    """After `history_ttl` a message is not read, and whoever lacks it is told; offsets go on from where they were."""

    @in_loop
    async def scenario() -> None:
        async with streams.node() as (broker, _):
            old = await broker.publish("a", SHORT, b"old", None)
            async with asyncio.timeout(8):
                while (history := await broker.read("a", SHORT, old.offset - 1)).entries:
                    await asyncio.sleep(0.1)
            assert not history.complete
            history = await broker.read("a", SHORT, old.offset)
            assert (texts(history), history.complete) == ([], True)
            new = await broker.publish("a", SHORT, b"new", None)
            assert new.epoch == old.epoch and new.offset > old.offset
            history = await broker.read("a", SHORT, old.offset)
            assert texts(history) == [b"new"] and history.complete

    scenario()


@pytest.mark.case(114)
@pytest.mark.parametrize("policy", [KEPT, PLAIN], ids=["kept", "plain"])
def test_a_key_is_published_once(streams: Site, policy: TopicPolicy) -> None:
    """A second publication with a key adds nothing, whatever it holds, and has the first one's position."""

    @in_loop
    async def scenario() -> None:
        async with streams.node() as (broker, seen):
            await broker.follow([("a", policy), ("b", policy)])
            first = await broker.publish("a", policy, b"1", "key")
            other = await broker.publish("a", policy, b"2", "another key: of any text \u20ac")
            assert await broker.publish("a", policy, b"3", "key") == first
            assert other != first
            assert await broker.publish("b", policy, b"4", "key") not in (first, other)
            if not streams.is_shared:
                return
            await broker.publish("a", policy, b"last", None)
            await seen.until(lambda: b"last" in seen.data("a") and seen.data("b"))
            assert seen.data("a") == [b"1", b"2", b"last"]
            assert seen.data("b") == [b"4"]

    scenario()


def test_positions_are_in_the_order_asked_for(streams: Site) -> None:
    """One for each topic, of those without messages too; none for none."""

    @in_loop
    async def scenario() -> None:
        async with streams.node() as (broker, _):
            assert await broker.positions([]) == []
            asked = [("a", KEPT), ("empty", KEPT), ("b", LONG)]
            before = await broker.positions(asked)
            last = {topic: (await fill(broker, topic, policy, 3))[-1] for topic, policy in (asked[0], asked[2])}
            after = await broker.positions(asked)
            assert [position.epoch for position in after] == [position.epoch for position in before]
            for (topic, policy), position in zip(asked, after, strict=True):
                history = await broker.read(topic, policy, position.offset)
                assert (texts(history), history.complete) == ([], True)
                assert topic == "empty" or position.offset >= last[topic].offset

    scenario()


@pytest.mark.parametrize("url", ["redis://", "nats://", "http://localhost", "localhost:6379", "", "memory"])
def test_what_is_no_url_of_a_broker(url: str) -> None:
    """It is refused, with what it may be."""
    with pytest.raises(ValueError, match=r"redis|nats|URL|host"):
        make_broker(url, "wsmash")


def test_durability_is_named(streams: Site) -> None:
    """Each broker says in a line what an acknowledged message survives."""

    @in_loop
    async def scenario() -> None:
        broker = streams.make()
        assert broker.durability
        assert "\n" not in broker.durability
        assert broker.shared is streams.is_shared
        assert broker.ignored == 0

    scenario()
