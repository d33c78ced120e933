"""Whoever can write to Redis can write anything there: it is left out and counted, and nothing breaks (case 107)."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable

import pytest

from fixtures.brokers import RedisServer
from fixtures.in_loop import in_loop
from fixtures.sites import KEPT, Site, fill, texts
from wsmash.topics.brokers.redis import MAX_RECORD
from wsmash.topics.brokers.redis_replies import MAX_REPLY

pytestmark = pytest.mark.case(107)

META, STREAM, CHANNEL = "wsmash:{a}:meta", "wsmash:{a}:stream", "wsmash:{a}"
EPOCH = b"0123456789abcdef" * 2


class Bomb:
    """What no unpickling may ever see."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exit, ("unpickled",)


PUSHES = [
    b"",
    b"\xff" * 100,
    pickle.dumps(Bomb()),
    b"1",
    b"1\n" + EPOCH,
    b"1\n" + EPOCH + b"\n7",
    b"2\n" + EPOCH + b"\n7\nof a later version",
    b"1\n" + EPOCH + b"\n0\n",
    b"1\n" + EPOCH + b"\n-1\n",
    b"1\n" + EPOCH + b"\n07\n",
    b"1\n" + EPOCH + b"\n1" + b"0" * 16 + b"\n",
    b"1\n" + EPOCH + b"\n\xd9\xa1\n",
    b"1\n" + EPOCH.upper() + b"\n7\n",
    b"1\n" + EPOCH[1:] + b"\n7\n",
    b"1\r\n" + EPOCH + b"\r\n7\r\n",
    b"{" * 10_000,
]


def test_crafted_pushes(redis_server: RedisServer) -> None:
    """On a topic's channel, and on those that only a pattern brings, they are counted and told to nobody."""

    @in_loop
    async def scenario() -> None:
        async with Site(redis_server).node() as (broker, seen):
            await broker.follow([("a", KEPT)])
            await broker.follow_pattern("b.*")
            for push in PUSHES:
                redis_server.call("PUBLISH", CHANNEL, push)
                redis_server.call("PUBLISH", "wsmash:{b.x}", push)
            for channel in (b"wsmash:{b.}", b"wsmash:{b.x", b"wsmash:{b.\xff}", b"wsmash:{b.x y}", b"wsmash:{b.x.y}"):
                redis_server.call("PUBLISH", channel, b"1\n" + EPOCH + b"\n7\n")
            position = await broker.publish("a", KEPT, b"sound", None)
            await seen.until(lambda: seen.pushes)
            assert [(push.data, push.epoch, push.offset) for push in seen.pushes] == [(b"sound", *position)]
            assert broker.ignored == 2 * len(PUSHES)
            assert (seen.told, seen.casts) == ([], [])

    scenario()


def test_pushes_without_end(start_redis: Callable[..., RedisServer]) -> None:
    """One that is longer than any of ours may be ends the connection, and the next ones come by a new one."""
    redis_server = start_redis(client_output_buffer_limit="pubsub 0 0 0")  # else Redis itself cuts the subscriber off

    @in_loop
    async def scenario() -> None:
        async with Site(redis_server).node() as (broker, seen):
            await broker.follow([("a", KEPT)])
            for channel in (CHANNEL, "wsmash:cast"):
                seen.told.clear()
                redis_server.call("PUBLISH", channel, bytes(MAX_REPLY + (1 << 20)))
                await seen.until(lambda: seen.told == ["lost", "restored"])
                assert "more than" in str(seen.reasons[-1])
            await broker.publish("a", KEPT, b"sound", None)
            await seen.until(lambda: seen.pushes)
            assert (seen.data("a"), seen.casts) == ([b"sound"], [])

    scenario()


def test_a_history_with_a_message_that_is_too_long(redis_server: RedisServer) -> None:
    """What only somebody else can have written there is not read, and ends no connection; the longest of ours is."""

    @in_loop
    async def scenario() -> None:
        async with Site(redis_server).node() as (broker, seen):
            longest = bytes(MAX_RECORD)
            first = await broker.publish("a", KEPT, longest, None)
            history = await broker.read("a", KEPT, 0)
            assert (texts(history) == [longest], history.complete) == (True, True)
            redis_server.call("XADD", STREAM, "2-9999999999999", "d", bytes(2 * MAX_REPLY))
            redis_server.call("HSET", META, "offset", "2")
            history = await broker.read("a", KEPT, first.offset)
            assert (history.entries, history.top, history.complete) == ([], 2, False)
            assert seen.told == []

    scenario()


def test_a_push_that_is_far_ahead_changes_no_epoch(redis_server: RedisServer) -> None:
    """What a node takes for the top of a stream comes from the stream, not from what anybody has pushed."""

    @in_loop
    async def scenario() -> None:
        async with Site(redis_server).node() as (broker, seen):
            await broker.follow([("a", KEPT)])
            first = await broker.publish("a", KEPT, b"1", None)
            redis_server.call("PUBLISH", CHANNEL, f"1\n{first.epoch}\n999999\nforged")
            await seen.until(lambda: len(seen.pushes) == 2)
            assert await broker.positions([("a", KEPT)]) == [first]
            second = await broker.publish("a", KEPT, b"2", None)
            assert (second.epoch, second.offset) == (first.epoch, 2)

    scenario()


@pytest.mark.parametrize(
    "command",
    [
        ("XADD", STREAM, "*", "d", "forged"),
        ("XADD", STREAM, "9999999999-1", "x", "y"),
        ("XADD", STREAM, "4-18446744073709551615", "d", "forged"),
        ("SET", STREAM, "a string"),
        ("SET", META, "a string"),
        ("HSET", META, "offset", "garbage"),
        ("HSET", META, "lineage", "garbage"),
        ("HSET", META, "epoch", "a" * 100),
        ("HDEL", META, "epoch"),
        ("DEL", META),
        ("DEL", STREAM),
        ("XTRIM", STREAM, "MAXLEN", "0"),
    ],
    ids=" ".join,
)
def test_a_stream_that_somebody_else_has_written_to(redis_server: RedisServer, command: tuple[str, ...]) -> None:
    """Publications go on, in a new epoch where they must; what was forged is never read as complete."""

    @in_loop
    async def scenario() -> None:
        async with Site(redis_server).node() as (broker, seen):
            await broker.follow([("a", KEPT)])
            old = (await fill(broker, "a", KEPT, 3))[-1]
            redis_server.call(*command)
            history = await broker.read("a", KEPT, old.offset)
            assert b"forged" not in texts(history)
            new = await fill(broker, "a", KEPT, 3, 10)
            assert len({position.epoch for position in new}) == 1
            assert new[0].epoch != old.epoch or new[0].offset == old.offset + 1
            history = await broker.read("a", KEPT, new[0].offset - 1)
            assert (texts(history), history.complete) == ([b"10", b"11", b"12"], True)
            await seen.until(lambda: len(seen.pushes) == 6)
            assert seen.told == []

    scenario()


def test_a_forged_message_between_ours(redis_server: RedisServer) -> None:
    """One under the offset of ours makes the read incomplete, which is a gap to whoever asked."""

    @in_loop
    async def scenario() -> None:
        async with Site(redis_server).node() as (broker, _):
            await fill(broker, "a", KEPT, 2)
            redis_server.call("XADD", STREAM, "3-1", "d", "forged")
            await fill(broker, "a", KEPT, 1)
            history = await broker.read("a", KEPT, 0)
            assert not history.complete or b"forged" not in texts(history)

    scenario()


def test_results_of_keys_that_are_forged(redis_server: RedisServer) -> None:
    """One that is no position is taken for none."""

    @in_loop
    async def scenario() -> None:
        async with Site(redis_server).node() as (broker, seen):
            for offset, garbage in enumerate(("garbage", "ab " + "7" * 17, "ab" * 1000 + " 7"), 1):
                redis_server.call("SET", f"wsmash:{{a}}:key:{offset}", garbage)
                position = await broker.publish("a", KEPT, b"1", f"{offset}")
                assert position.offset == offset
                assert await broker.publish("a", KEPT, b"2", f"{offset}") == position
            await asyncio.gather(*(broker.publish("a", KEPT, b"", f"{i}") for i in range(10, 20)))
            assert seen.told == []

    scenario()
