"""Redis when it is away, and comes back as another: killed, cut off, promoted, demoted, empty."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from fixtures.brokers import RedisServer
from fixtures.chaos import SOUND, ChaosProxy, Faults
from fixtures.in_loop import in_loop, turns
from fixtures.sites import KEPT, LONG, PLAIN, Site, fill, texts
from wsmash.errors import BrokerUnavailable, OutcomeUnknown
from wsmash.topics.brokers import redis_link
from wsmash.topics.brokers.base import TIMEOUT

Start = Callable[..., RedisServer]


def test_what_never_left_was_never_published(redis_server: RedisServer) -> None:
    """Of publications to a server that stands still and dies, those that fail for certain are not in its data."""

    @in_loop
    async def scenario() -> None:
        async with Site(redis_server).node() as (broker, seen):
            await fill(broker, "a", LONG, 1)
            redis_server.pause()
            body = bytes(64_000)
            publications = [
                asyncio.ensure_future(broker.publish("a", LONG, b"%d " % i + body, None)) for i in range(200)
            ]
            await asyncio.sleep(0.2)
            redis_server.resume()
            redis_server.kill()
            results = await asyncio.gather(*publications, return_exceptions=True)
            kinds = [type(result) for result in results]
            assert kinds.count(BrokerUnavailable) > 50
            assert kinds.count(OutcomeUnknown) > 1
            assert kinds == sorted(kinds, key=lambda kind: kind is BrokerUnavailable)
            redis_server.start()
            stored = redis_server.call("XRANGE", "wsmash:{a}:stream", "-", "+")
            there = {int(fields[1].split()[0]) for _, fields in stored}
            assert not there & {i for i, kind in enumerate(kinds) if kind is BrokerUnavailable}
            await seen.until(lambda: seen.told == ["lost", "restored"])

    scenario()


@pytest.mark.case(109)
def test_dying_twice_while_topics_are_followed_again(redis_server: RedisServer) -> None:
    """It is one outage that is told; when it is over all of many topics are followed, and all have new epochs."""

    @in_loop
    async def scenario() -> None:
        topics = [(f"topic.{i}", KEPT) for i in range(3000)]
        async with Site(redis_server).node() as (broker, seen), Site(redis_server).node("other") as (other, _):
            await broker.follow(topics)
            await broker.follow_pattern("p.*")
            old = {position.epoch for position in await broker.positions(topics)}
            assert len(old) == len(topics)
            for _ in range(3):
                redis_server.restart(empty=True)
                await asyncio.sleep(0.1)
            await seen.until(lambda: seen.told[-1] == "restored" and seen.told.count("lost") == len(seen.told) / 2)
            assert seen.told == ["lost", "restored"] * (len(seen.told) // 2)
            new = await broker.positions(topics)
            assert not old & {position.epoch for position in new}
            await asyncio.gather(*(broker.publish(topic, policy, b"", None) for topic, policy in topics))
            await broker.publish("p.x", KEPT, b"", None)
            await seen.until(lambda: seen.data("p.x"))
            assert [push.topic for push in seen.pushes] == [*(topic for topic, _ in topics), "p.x"]
            del other

    scenario()


@pytest.mark.case(111)
def test_a_slow_node_is_cut_off_from_its_pushes(start_redis: Start) -> None:
    """What Redis has dropped of them is found in the history; calls go on by the other connection meanwhile."""
    server = start_redis(client_output_buffer_limit="pubsub 1mb 0 0")

    @in_loop
    async def scenario() -> None:
        async with (
            ChaosProxy(server.port, buffers=8192) as proxy,
            Site(server).node(port=proxy.port) as (slow, seen),
            Site(server).node() as (other, _),
        ):
            await slow.follow([("a", LONG)])
            first = await other.publish("a", LONG, b"first", None)
            await seen.until(lambda: seen.pushes)
            pushes = proxy.links[1].to_client
            pushes.faults = Faults(stall_at=pushes.passed)
            for i in range(150):
                await other.publish("a", LONG, b"%d " % i + bytes(100_000), None)
                if i % 30 == 0:
                    assert await slow.ping() < TIMEOUT
            pushes.faults = SOUND
            await seen.until(lambda: seen.told == ["lost", "restored"])
            assert len(seen.pushes) < 151
            history = await slow.read("a", LONG, first.offset)
            assert len(history.entries) == 150 and history.complete

    scenario()


@pytest.mark.case(112)
def test_failing_over_to_a_replica_that_lags(start_redis: Start) -> None:
    """The epoch is another one, so that no offset that was acknowledged is ever given to another message."""
    master = start_redis()
    replica = master.replica()

    @in_loop
    async def scenario() -> None:
        async with ChaosProxy(master.port) as proxy, Site(master).node(port=proxy.port) as (broker, seen):
            await broker.follow([("a", KEPT), ("quiet", KEPT)])
            await broker.publish("quiet", KEPT, b"", None)
            replicated = (await fill(broker, "a", KEPT, 3))[-1]
            await seen.until(lambda: replica.call("XLEN", "wsmash:{a}:stream") == 3)
            replica.promote()  # from here on it knows nothing of what the master is told
            lost = (await fill(broker, "a", KEPT, 2, 3))[-1]
            assert (lost.epoch, lost.offset) == (replicated.epoch, replicated.offset + 2)
            master.kill()
            proxy.server_port = replica.port
            await seen.until(lambda: seen.told == ["lost", "restored"])
            for topic in ("a", "quiet"):
                [position] = await broker.positions([(topic, KEPT)])
                assert position.epoch != lost.epoch
                assert texts(await broker.read(topic, KEPT, 0)) == []
            new = await broker.publish("a", KEPT, b"new", None)
            assert new.epoch != lost.epoch
            await seen.until(lambda: b"new" in seen.data("a"))

    try:
        scenario()
    finally:
        replica.kill()


@pytest.mark.case(112)
def test_a_master_that_is_demoted_and_promoted_again(start_redis: Start) -> None:
    """Though process and connections are the same, what it says after its time as a replica is of a new epoch."""
    server, other = start_redis(), start_redis()

    @in_loop
    async def scenario() -> None:
        async with Site(server).node() as (broker, seen):
            before = (await fill(broker, "a", KEPT, 3))[-1]
            server.call("REPLICAOF", "127.0.0.1", other.port)
            with pytest.raises(BrokerUnavailable, match=r"READONLY|away"):
                await broker.publish("a", KEPT, b"", None)
            await seen.until(lambda: seen.told == ["lost"])
            await seen.until(lambda: b"master_link_status:up" in server.call("INFO", "replication"))
            server.call("REPLICAOF", "NO", "ONE")
            await seen.until(lambda: seen.told == ["lost", "restored"])
            after = await broker.publish("a", KEPT, b"", None)
            assert (after.epoch != before.epoch, after.offset) == (True, 1)

    scenario()


@pytest.mark.case(112)
def test_a_replica_that_is_attached_changes_nothing(redis_server: RedisServer) -> None:
    """Clients have no gap when an operator adds a replica."""

    @in_loop
    async def scenario() -> None:
        async with Site(redis_server).node() as (broker, seen):
            before = await broker.publish("a", KEPT, b"1", None)
            replica = redis_server.replica()
            try:
                await asyncio.sleep(2.2)  # longer than PING_INTERVAL
                after = await broker.publish("a", KEPT, b"2", None)
            finally:
                replica.kill()
            assert (after.epoch, after.offset, seen.told) == (before.epoch, before.offset + 1, [])

    scenario()


@pytest.mark.case(112)
def test_a_restart_with_all_data_is_a_new_epoch_too(redis_server: RedisServer) -> None:
    """Nobody can tell whether all was there that was acknowledged; so nobody is told that it was."""

    @in_loop
    async def scenario() -> None:
        async with Site(redis_server).node() as (broker, seen):
            old = (await fill(broker, "a", KEPT, 3))[-1]
            redis_server.restart()
            await seen.until(lambda: seen.told == ["lost", "restored"])
            history = await broker.read("a", KEPT, old.offset)
            assert (history.epoch != old.epoch, history.entries, history.top) == (True, [], 0)

    scenario()


@pytest.mark.case(114)
def test_publishing_again_after_no_answer(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same key gives the offset of the first try, which did arrive; the error names the key."""
    monkeypatch.setattr(redis_link, "TIMEOUT", 1.0)

    @in_loop
    async def scenario() -> None:
        async with Site(redis_server).node() as (broker, seen):
            redis_server.pause()
            with pytest.raises(OutcomeUnknown) as raised:
                await broker.publish("a", KEPT, b"first", "key")
            assert raised.value.key == "key"
            redis_server.resume()
            await seen.until(lambda: seen.told == ["lost", "restored"])
            again = await broker.publish("a", KEPT, b"again", "key")
            assert texts(await broker.read("a", KEPT, 0)) == [b"first"]
            assert again.offset == 1

    scenario()


@pytest.mark.case(110)
def test_one_connection_in_a_black_hole(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the pushes alone is an outage too, though nobody calls: else a node would wait for nothing for ever."""
    monkeypatch.setattr(redis_link, "TIMEOUT", 1.0)

    @in_loop
    async def scenario() -> None:
        async with ChaosProxy(redis_server.port) as proxy, Site(redis_server).node(port=proxy.port) as (broker, seen):
            await broker.follow([("a", PLAIN)])
            proxy.links[1].to_client.faults = Faults(swallow_at=0)
            await seen.until(lambda: seen.told == ["lost", "restored"])
            await broker.publish("a", PLAIN, b"1", None)
            await seen.until(lambda: seen.data("a") == [b"1"])
            assert len(proxy.accepted) == 3  # the connection for calls has stayed

    scenario()


def test_a_node_that_stood_still(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own pause (it was stopped, its machine slept) is not taken for the server's: the answer has come since."""
    monkeypatch.setattr(redis_link, "TIMEOUT", 0.5)

    @in_loop
    async def scenario() -> None:
        async with Site(redis_server).node() as (broker, seen):
            for _ in range(3):
                publication = asyncio.ensure_future(broker.publish("a", KEPT, b"", None))
                await turns(3)
                time.sleep(0.7)  # noqa: ASYNC251 - the loop is to stand still
                await publication
            assert seen.told == []

    scenario()


def test_trying_for_ever(redis_server: RedisServer) -> None:
    """A server that accepts and ends each connection is asked again and again, less and less often."""

    @in_loop
    async def scenario() -> None:
        async with ChaosProxy(redis_server.port) as proxy, Site(redis_server).node(port=proxy.port) as (_, seen):
            proxy.to_server = Faults(reset_at=0)
            proxy.kill_all()
            begun = len(proxy.accepted)
            await asyncio.sleep(2.5)
            tries = proxy.accepted[begun:]
            assert 3 <= len(tries) <= 30
            proxy.to_server = SOUND
            await seen.until(lambda: seen.told == ["lost", "restored"])

    scenario()


def test_too_much_without_an_answer(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for a server that does not keep up is bounded: more is refused, and was certainly not published."""
    monkeypatch.setattr(redis_link, "MAX_PENDING", 100_000)

    @in_loop
    async def scenario() -> None:
        async with Site(redis_server).node() as (broker, seen):
            redis_server.pause()
            waiting = [asyncio.ensure_future(broker.publish("a", KEPT, bytes(1000), None)) for _ in range(200)]
            done, pending = await asyncio.wait(waiting, timeout=0.5)
            assert 70 <= len(pending) <= 100
            assert {type(each.exception()) for each in done} == {BrokerUnavailable}
            redis_server.resume()
            assert len({(await each).offset for each in pending}) == len(pending)
            assert seen.told == []

    scenario()
