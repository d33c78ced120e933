"""Streams in Redis: what the script keeps, for how long, and where a new epoch begins."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from fixtures.brokers import RedisServer
from fixtures.in_loop import in_loop
from fixtures.receiver import Seen
from fixtures.sites import KEPT, PLAIN, SHORT, Site, fill, texts
from wsmash.errors import BrokerUnavailable
from wsmash.topics.brokers import redis as redis_module
from wsmash.topics.brokers.redis import RedisBroker

META, STREAM, CHANNEL = "wsmash:{a}:meta", "wsmash:{a}:stream", "wsmash:{a}"


@pytest.mark.case(116)
def test_a_stream_holds_exactly_so_many(redis_server: RedisServer) -> None:
    """Not some more, as Redis would by itself: after each message it is as long as the policy says."""

    @in_loop
    async def scenario() -> None:
        async with Site(redis_server).node() as (broker, _):
            for count in range(1, 230):
                await broker.publish("a", KEPT, b"x", None)
                assert redis_server.call("XLEN", STREAM) == min(count, KEPT.history_size or 0)

    scenario()


@pytest.mark.case(116)
def test_a_reader_is_overtaken_by_the_trimming(redis_server: RedisServer) -> None:
    """Whatever is trimmed between two reads, offsets have no holes that a reader is not told of."""

    @in_loop
    async def scenario() -> None:
        async with Site(redis_server).node() as (broker, _), Site(redis_server).node() as (reader, _):
            writing = asyncio.ensure_future(fill(broker, "a", KEPT, 400))
            at, gaps = 0, 0
            while at < 400:
                history = await reader.read("a", KEPT, at)
                offsets = [entry.offset for entry in history.entries]
                assert offsets == list(range(history.top - len(offsets) + 1, history.top + 1))
                assert history.complete == (offsets[:1] in ([at + 1], []))
                gaps += not history.complete
                at = history.top
                await asyncio.sleep(0.005)
            await writing
            assert gaps

    scenario()


def test_what_expired_leaves_the_stream(redis_server: RedisServer) -> None:
    """On a busy topic what is too old goes, though the stream is not full; a quiet topic's stream goes as a whole."""

    @in_loop
    async def scenario() -> None:
        async with Site(redis_server).node() as (broker, _):
            loop = asyncio.get_running_loop()
            since = loop.time()
            published = 0
            while loop.time() - since < 3.2:
                published += len(await fill(broker, "a", SHORT, 1))
                await asyncio.sleep(0.04)
            assert published > 40
            assert redis_server.call("XLEN", STREAM) < 0.8 * published
            assert 0 < redis_server.call("PTTL", STREAM) <= 3000
            assert len((await broker.read("a", SHORT, 0)).entries) <= 26

    scenario()


def test_nothing_stays_for_ever(redis_server: RedisServer) -> None:
    """Every key has an end; what is known of a stream stays a day longer than its messages, or an hour without any."""

    @in_loop
    async def scenario() -> None:
        async with Site(redis_server).node() as (broker, _):
            await broker.publish("a", KEPT, b"", "key")
            await broker.publish("plain", PLAIN, b"", None)
            await broker.positions([("empty", KEPT)])
            left = {key: redis_server.call("PTTL", key) / 1000 for key in redis_server.call("KEYS", "*")}
            assert len(left) == 5
            assert 60 < left[STREAM.encode()] < 130
            assert 110 < left[b"wsmash:{a}:key:key"] <= 120
            assert 24 * 3600 < left[META.encode()] < 25 * 3600
            assert 3600 < left[b"wsmash:{plain}:meta"] < 3900
            assert 3600 < left[b"wsmash:{empty}:meta"] < 3900

    scenario()


def test_a_clock_that_jumps(redis_server: RedisServer) -> None:
    """Offsets come from no clock, and what was noted by one that was wrong does no harm."""

    @in_loop
    async def scenario() -> None:
        async with Site(redis_server).node() as (broker, _):
            first = await broker.publish("a", KEPT, b"1", None)
            redis_server.call("HSET", META, "due", "99999999999999")
            redis_server.call("PERSIST", META)
            second = await broker.publish("a", KEPT, b"2", None)
            assert (second.epoch, second.offset) == (first.epoch, first.offset + 1)
            assert redis_server.call("PTTL", META) > 0

    scenario()


@pytest.mark.case(112)
def test_a_stream_that_went_back_has_a_new_epoch(redis_server: RedisServer) -> None:
    """A node that has seen more of a topic than there is begins a new epoch, by whatever it asks first."""

    @in_loop
    async def scenario() -> None:
        async with Site(redis_server).node() as (broker, _):
            await broker.follow([("a", KEPT)])
            for ask in range(3):
                last = (await fill(broker, "a", KEPT, 4))[-1]
                redis_server.call("HSET", META, "offset", last.offset - 2)
                if ask == 0:
                    new = await broker.publish("a", KEPT, b"new", None)
                    assert new.offset == 1
                elif ask == 1:
                    [new] = await broker.positions([("a", KEPT)])
                    assert new.offset == 0
                else:
                    history = await broker.read("a", KEPT, last.offset)
                    assert (texts(history), history.top) == ([], 0)
                    continue
                assert new.epoch != last.epoch

    scenario()


@pytest.mark.case(112)
def test_an_epoch_that_is_lost_is_not_taken_up_again(redis_server: RedisServer) -> None:
    """Where what is known of a stream is gone, its messages are not taken for those of the next epoch."""

    @in_loop
    async def scenario() -> None:
        async with Site(redis_server).node() as (broker, _):
            old = (await fill(broker, "a", KEPT, 5))[-1]
            redis_server.call("DEL", META)
            new = await broker.publish("a", KEPT, b"new", None)
            assert (new.epoch != old.epoch, new.offset) == (True, 1)
            assert texts(await broker.read("a", KEPT, 0)) == [b"new"]

    scenario()


def test_scripts_that_are_flushed(redis_server: RedisServer) -> None:
    """Nobody notices: the script is sent again."""

    @in_loop
    async def scenario() -> None:
        async with Site(redis_server).node() as (broker, seen):
            for flushed in range(3):
                redis_server.call("SCRIPT", "FLUSH")
                positions = await asyncio.gather(*(broker.publish("a", KEPT, b"", None) for _ in range(5)))
                assert [position.offset for position in positions] == list(range(5 * flushed + 1, 5 * flushed + 6))
            assert seen.told == []

    scenario()


def test_a_server_without_memory(redis_server: RedisServer) -> None:
    """It refuses messages for certain, which are then not there, and takes them again when it has room."""

    @in_loop
    async def scenario() -> None:
        async with Site(redis_server).node() as (broker, seen):
            first = await broker.publish("a", KEPT, b"1", None)
            redis_server.call("CONFIG", "SET", "maxmemory", "1")
            with pytest.raises(BrokerUnavailable, match="OOM"):
                await broker.publish("a", KEPT, b"2", "key")
            redis_server.call("CONFIG", "SET", "maxmemory", "0")
            last = await broker.publish("a", KEPT, b"3", "key")
            assert (last.epoch, last.offset) == (first.epoch, first.offset + 1)
            assert texts(await broker.read("a", KEPT, 0)) == [b"1", b"3"]
            assert seen.told == []

    scenario()


def test_a_history_of_long_messages(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read has a bound in bytes too: the newest ones that are within it come, and it is not complete."""
    monkeypatch.setattr(redis_module, "MAX_READ_SIZE", 100_000)

    @in_loop
    async def scenario() -> None:
        async with Site(redis_server).node() as (broker, _):
            for size in (40_000, 40_000, 40_000, 90_000):
                await broker.publish("a", KEPT, bytes(size), None)
            history = await broker.read("a", KEPT, 0)
            assert ([len(data) for data in texts(history)], history.complete) == ([90_000], False)
            assert (await broker.read("a", KEPT, 3)).complete
            await broker.publish("b", KEPT, bytes(60_000), None)
            await broker.publish("b", KEPT, bytes(40_000), None)
            assert (await broker.read("b", KEPT, 0)).complete
            await broker.publish("b", KEPT, bytes(1), None)
            history = await broker.read("b", KEPT, 0)
            assert ([entry.offset for entry in history.entries], history.complete) == ([2, 3], False)

    scenario()


def test_what_is_pushed_has_its_share_of_the_loop(redis_server: RedisServer) -> None:
    """However many pushes wait, others have their turn after a few milliseconds of them."""

    class Slow(Seen):
        def pushed(self, topic: str, epoch: str, previous: int, offset: int, data: bytes) -> None:
            super().pushed(topic, epoch, previous, offset, data)
            until = asyncio.get_running_loop().time() + 0.001
            while asyncio.get_running_loop().time() < until:
                pass

    @in_loop
    async def scenario() -> None:
        broker, seen = RedisBroker(redis_server.url), Slow()
        await broker.start(seen)
        await broker.follow([("a", PLAIN)])
        async with Site(redis_server).node() as (other, _):
            publishing = asyncio.gather(*(other.publish("a", PLAIN, b"", None) for _ in range(300)))
            most = last = 0
            while last < 300:
                await asyncio.sleep(0)
                most = max(most, len(seen.pushes) - last)
                last = len(seen.pushes)
            await publishing
        await broker.stop()
        assert 1 <= most <= 10

    scenario()


def test_an_error_of_who_is_told(redis_server: RedisServer) -> None:
    """It reaches the loop's handler, and neither the connection nor the next push."""

    class Wrong(Seen):
        def pushed(self, topic: str, epoch: str, previous: int, offset: int, data: bytes) -> None:
            super().pushed(topic, epoch, previous, offset, data)
            if len(self.pushes) == 1:
                raise ZeroDivisionError

    async def scenario() -> None:
        reported: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
        broker, seen = RedisBroker(redis_server.url), Wrong()
        await broker.start(seen)
        await broker.follow([("a", PLAIN)])
        await fill(broker, "a", PLAIN, 2)
        await seen.until(lambda: len(seen.pushes) == 2)
        await broker.stop()
        assert [type(error) for error in reported] == [ZeroDivisionError]
        assert seen.told == []

    asyncio.run(scenario())


def test_another_loop(redis_server: RedisServer) -> None:
    """A broker that was stopped can be started again, on another loop too."""
    broker = RedisBroker(redis_server.url)

    async def scenario() -> int:
        await broker.start(Seen())
        try:
            return (await broker.publish("a", KEPT, b"", None)).offset
        finally:
            await broker.stop()

    assert [asyncio.run(scenario()) for _ in range(2)] == [1, 2]


def test_a_repr_shows_no_password(start_redis: Callable[..., RedisServer]) -> None:
    """It names the server and the namespace."""
    shown = repr(RedisBroker("redis://me:secret@redis.example:6380/1", "shop"))
    assert shown == "<RedisBroker redis.example:6380 shop>"
