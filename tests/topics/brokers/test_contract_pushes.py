"""What `brokers/base.py` promises of the pushes of every broker that nodes share, and of their casts."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from fixtures.in_loop import in_loop
from fixtures.sites import KEPT, LONG, PLAIN, Site, fill, texts
from wsmash.errors import MessageTooBig
from wsmash.topics.brokers.base import TIMEOUT
from wsmash.topics.policy import TopicPolicy
from wsmash.topics.position import Position


@pytest.mark.parametrize("policy", [KEPT, PLAIN], ids=["kept", "plain"])
def test_all_nodes_see_one_order(site: Site, policy: TopicPolicy) -> None:
    """What several nodes publish at once comes to all in the order of its offsets, each naming the one before it."""

    @in_loop
    async def scenario() -> None:
        async with site.node() as (one, seen_one), site.node() as (two, seen_two):
            await asyncio.gather(one.follow([("a", policy)]), two.follow([("a", policy)]))
            [start] = await one.positions([("a", policy)])
            numbered = ((broker, b"%d" % i) for i in range(100) for broker in (one, two))
            positions = await asyncio.gather(*(node.publish("a", policy, data, None) for node, data in numbered))
            for seen in (seen_one, seen_two):
                await seen.until(lambda seen=seen: len(seen.pushes) >= 200)  # type: ignore[misc]
            assert seen_one.pushes == seen_two.pushes
            offsets = [push.offset for push in seen_one.pushes]
            assert offsets == sorted(position.offset for position in positions)
            assert len(set(offsets)) == 200
            assert {push.epoch for push in seen_one.pushes} == {positions[0].epoch}
            assert seen_one.pushes[0].previous < offsets[0]
            if policy.has_history:
                assert seen_one.pushes[0].previous <= start.offset
                assert all(a.offset <= b.previous < b.offset for a, b in pairwise(seen_one.pushes))

    scenario()


def test_one_node_publishes_in_the_order_of_its_calls(site: Site) -> None:
    """Publications that are under way together keep the order in which they were begun."""

    @in_loop
    async def scenario() -> None:
        async with site.node() as (broker, _):
            positions = await asyncio.gather(*(broker.publish("a", LONG, b"%d" % i, None) for i in range(300)))
            assert positions == sorted(positions, key=lambda position: position.offset)

    scenario()


def test_following_and_not(site: Site) -> None:
    """Only what is followed is pushed: from when `follow` returns, once, though it is said again, until `unfollow`."""

    @in_loop
    async def scenario() -> None:
        async with site.node() as (broker, seen), site.node() as (other, _):
            await other.publish("a", KEPT, b"before", None)
            await broker.follow([("a", KEPT), ("b", PLAIN)])
            await broker.follow([("a", KEPT)])
            await broker.follow([])
            for topic, policy in (("a", KEPT), ("b", PLAIN), ("c", KEPT)):
                await other.publish(topic, policy, b"1", None)
            await seen.until(lambda: seen.data("a") and seen.data("b"))
            broker.unfollow(["a", "never followed"])
            await broker.ping()
            await broker.follow([("d", KEPT)])  # what was said before is heard by now
            for topic, policy in (("a", KEPT), ("b", PLAIN), ("d", KEPT)):
                await other.publish(topic, policy, b"2", None)
            await seen.until(lambda: len(seen.data("b")) == 2 and seen.data("d"))
            assert (seen.data("a"), seen.data("c")) == ([b"1"], [])
            await broker.follow([("a", KEPT)])
            await other.publish("a", KEPT, b"3", None)
            await seen.until(lambda: seen.data("a") == [b"1", b"3"])

    scenario()


def test_patterns(site: Site) -> None:
    """A pattern brings the topics that it stands for and no others, with positions and names, until it is let go."""

    @in_loop
    async def scenario() -> None:
        async with site.node() as (broker, seen), site.node() as (other, _):
            await broker.follow_pattern("chat.*.x")
            await broker.follow_pattern("news.>")
            wanted = ["chat.a.x", "chat.[b].x", "news.a", "news.a.b.c", "news.\u20ac", "news.%7D{}"]
            others = ["chat.a", "chat.a.y", "chat.a.b.x", "news", "newsa.b", "chat.a.x.b"]
            positions = {topic: await other.publish(topic, KEPT, topic.encode(), None) for topic in [*others, *wanted]}
            await seen.until(lambda: len(seen.pushes) >= len(wanted))
            assert [push.topic for push in seen.pushes] == wanted
            for push in seen.pushes:
                assert Position(push.epoch, push.offset) == positions[push.topic]
                assert (push.data, push.previous < push.offset) == (push.topic.encode(), True)
            broker.unfollow_pattern("news.>")
            broker.unfollow_pattern("never.*")
            await broker.ping()
            await broker.follow([("last", KEPT)])
            for topic in ("news.a", "chat.b.x", "last"):
                await other.publish(topic, KEPT, b"2", None)
            await seen.until(lambda: seen.data("last"))
            assert seen.data("news.a") == [b"news.a"]
            assert seen.data("chat.b.x") == [b"2"]

    scenario()


def test_topics_of_any_name(site: Site) -> None:
    """No two names are ever taken for one, nor a name with a key for another; what a server's own use is free."""

    @in_loop
    async def scenario() -> None:
        async with site.node() as (broker, seen):
            names = ["a}", "a", "a%7D", "{a}", "$JS.API.x", "a:meta", "a}:key:k", "A", "x" * 255, "\u00fc.\U0001f600"]
            await broker.follow([(name, KEPT) for name in names])
            for key in (None, "k", "k}:meta"):
                for name in names:
                    await broker.publish(name, KEPT, name.encode(), key)
            await seen.until(lambda: len(seen.pushes) >= 3 * len(names))
            for name in names:
                assert seen.data(name) == [name.encode()] * 3
                assert texts(await broker.read(name, KEPT, 0)) == [name.encode()] * 3

    scenario()


def test_casts_reach_all_nodes(site: Site) -> None:
    """The one that casts too, and none of another namespace."""

    @in_loop
    async def scenario() -> None:
        async with site.node() as (one, seen_one), site.node() as (_, seen_two), site.node("other") as (_, stranger):
            await one.cast(b"\0hello\r\n")
            await seen_one.until(lambda: seen_one.casts and seen_two.casts)
            assert (seen_one.casts, seen_two.casts, stranger.casts) == ([b"\0hello\r\n"], [b"\0hello\r\n"], [])

    scenario()


def test_namespaces_are_apart(site: Site) -> None:
    """Two applications with one broker and the same topics see nothing of each other."""

    @in_loop
    async def scenario() -> None:
        async with site.node("one") as (one, seen_one), site.node("two") as (two, seen_two):
            await one.follow([("a", KEPT)])
            await two.follow_pattern(">")
            first, second = await one.publish("a", KEPT, b"1", "k"), await two.publish("a", KEPT, b"2", "k")
            assert first.epoch != second.epoch
            await seen_one.until(lambda: seen_one.pushes and seen_two.pushes)
            assert (seen_one.data("a"), seen_two.data("a")) == ([b"1"], [b"2"])
            assert texts(await one.read("a", KEPT, 0)) == [b"1"]

    scenario()


def test_a_ping_has_a_time(site: Site) -> None:
    """Seconds, and less than an answer may take."""

    @in_loop
    async def scenario() -> None:
        async with site.node() as (broker, _):
            assert 0 <= await broker.ping() < TIMEOUT

    scenario()


def test_a_message_that_is_too_long(site: Site) -> None:
    """It is refused, and nothing else is the worse for it."""

    @in_loop
    async def scenario() -> None:
        async with site.node() as (broker, seen):
            with pytest.raises(MessageTooBig):
                await broker.publish("a", KEPT, bytes(64 * 1024 * 1024), None)
            assert await fill(broker, "a", KEPT, 2)
            assert seen.told == []

    scenario()
