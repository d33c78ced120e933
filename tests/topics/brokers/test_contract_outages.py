"""What `brokers/base.py` promises of every broker that nodes share when it is away, killed, empty or silent."""

from __future__ import annotations

import asyncio

import pytest

from fixtures.chaos import BLACK_HOLE, SOUND, ChaosProxy
from fixtures.in_loop import in_loop
from fixtures.receiver import Seen
from fixtures.sites import KEPT, LONG, Site, fill, texts
from wsmash.errors import BrokerUnavailable, OutcomeUnknown
from wsmash.topics.brokers.base import TIMEOUT
from wsmash.topics.position import Position


def test_starting_without_a_server(site: Site) -> None:
    """It is said that it is away, in time; nothing is left, and another start may succeed."""

    @in_loop
    async def scenario() -> None:
        site.server.kill()
        broker, before = site.make(), asyncio.all_tasks()
        with pytest.raises(BrokerUnavailable):
            await broker.start(Seen())
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == before
        site.server.start()
        await broker.start(Seen())
        await broker.stop()

    scenario()


def test_stopping(site: Site) -> None:
    """What is under way fails, nothing is left, and whoever asks afterwards is told at once; twice does nothing."""

    @in_loop
    async def scenario() -> None:
        before = asyncio.all_tasks()
        broker, seen = site.make(), Seen()
        await broker.start(seen)
        site.server.pause()
        under_way = asyncio.gather(*(broker.publish("a", KEPT, b"", None) for _ in range(3)), return_exceptions=True)
        await asyncio.sleep(0.05)
        await broker.stop()
        for error in await under_way:
            assert isinstance(error, (OutcomeUnknown, BrokerUnavailable)), error
        await broker.stop()
        site.server.resume()
        with pytest.raises(BrokerUnavailable):
            await broker.publish("a", KEPT, b"", None)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() - {under_way} == before
        assert seen.told == []

    scenario()


def test_a_kill_is_one_outage(site: Site) -> None:
    """Lost is told once, all calls then fail at once, restored is told once, and all that was followed is again."""

    @in_loop
    async def scenario() -> None:
        async with site.node() as (broker, seen), site.node() as (other, seen_other):
            await broker.follow([("a", KEPT), ("unwanted", KEPT)])
            await broker.follow_pattern("b.*")
            site.server.kill()
            await seen.until(lambda: seen.told == ["lost"])
            for call in (
                broker.publish("a", KEPT, b"", None),
                broker.positions([("a", KEPT)]),
                broker.read("a", KEPT, 0),
                broker.cast(b""),
                broker.ping(),
                broker.follow([("while.away", KEPT)]),
                broker.follow_pattern("c.*"),
            ):
                with pytest.raises(BrokerUnavailable):
                    async with asyncio.timeout(0.5):
                        await call
            broker.unfollow(["unwanted"])
            site.server.start()
            await seen.until(lambda: seen.told == ["lost", "restored"] and seen_other.told == ["lost", "restored"])
            for topic in ("unwanted", "a", "b.x", "while.away", "c.x"):
                await other.publish(topic, KEPT, b"after", None)
            await seen.until(lambda: seen.data("c.x"))
            assert [push.topic for push in seen.pushes] == ["a", "b.x", "while.away", "c.x"]
            await other.cast(b"after")
            await seen.until(lambda: seen.casts == [b"after"])
            assert seen.told == ["lost", "restored"]
            assert str(seen.reasons[0])

    scenario()


@pytest.mark.case(109)
def test_a_server_that_comes_back_empty(site: Site) -> None:
    """Its stream has another epoch than before, for every topic and from the first look on."""

    @in_loop
    async def scenario() -> None:
        async with site.node() as (broker, seen):
            await broker.follow([("a", KEPT), ("b", KEPT)])
            before = (await fill(broker, "a", KEPT, 3))[-1]
            [other] = await broker.positions([("b", KEPT)])
            site.server.restart(empty=True)
            await seen.until(lambda: seen.told == ["lost", "restored"])
            after, other_after = await broker.positions([("a", KEPT), ("b", KEPT)])
            assert (after.epoch != before.epoch, other_after.epoch != other.epoch) == (True, True)
            history = await broker.read("a", KEPT, before.offset)
            assert (history.epoch, texts(history)) == (after.epoch, [])
            new = await broker.publish("a", KEPT, b"new", None)
            assert new.epoch == after.epoch and new.offset > after.offset
            await seen.until(lambda: b"new" in seen.data("a"))
            assert seen.pushes[-1].epoch == new.epoch

    scenario()


@pytest.mark.case(110)
def test_a_broker_in_a_black_hole(site: Site) -> None:
    """Calls that are under way end within the time for an answer, the next ones at once; then it comes back."""

    @in_loop
    async def scenario() -> None:
        async with ChaosProxy(site.server.port) as proxy, site.node(port=proxy.port) as (broker, seen):
            await broker.follow([("a", KEPT)])
            await broker.publish("a", KEPT, b"1", None)
            proxy.to_server = proxy.to_client = BLACK_HOLE
            loop = asyncio.get_running_loop()
            since = loop.time()
            calls = (broker.publish("a", KEPT, b"2", "k"), broker.read("a", KEPT, 0), broker.ping())
            errors = await asyncio.gather(*calls, return_exceptions=True)
            assert loop.time() - since <= TIMEOUT + 0.5
            assert [type(error) for error in errors] == [OutcomeUnknown, BrokerUnavailable, BrokerUnavailable]
            assert getattr(errors[0], "key", None) == "k"
            await seen.until(lambda: seen.told == ["lost"], 2 * TIMEOUT)
            proxy.to_server = proxy.to_client = SOUND
            proxy.kill_all()
            await seen.until(lambda: seen.told == ["lost", "restored"])
            position = await broker.publish("a", KEPT, b"2", "k")
            assert texts(await broker.read("a", KEPT, position.offset - 1)) == [b"2"]

    scenario()


def test_a_quiet_broker_in_a_black_hole(site: Site) -> None:
    """Nobody has to call for it to be noticed."""

    @in_loop
    async def scenario() -> None:
        async with ChaosProxy(site.server.port) as proxy, site.node(port=proxy.port) as (_, seen):
            proxy.to_server = proxy.to_client = BLACK_HOLE
            await seen.until(lambda: seen.told == ["lost"], 2 * TIMEOUT)

    scenario()


@pytest.mark.case(108)
def test_a_cancelled_call_takes_no_other_ones_answer(site: Site) -> None:
    """Publications that are given up at any moment leave the others with their own positions."""

    @in_loop
    async def scenario() -> None:
        async with site.node() as (broker, _):
            await fill(broker, "a", LONG, 1)
            positions: dict[int, Position] = {}

            async def publish(i: int) -> None:
                positions[i] = await broker.publish("a", LONG, b"%d" % i, None)

            for round_ in range(20):
                tasks = [asyncio.ensure_future(publish(10 * round_ + i)) for i in range(10)]
                for _ in range(round_ % 7):
                    await asyncio.sleep(0)
                for task in tasks[1::2]:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            assert len(positions) >= 100
            history = await broker.read("a", LONG, 0)
            kept = {entry.offset: entry.data for entry in history.entries}
            assert {i: kept[position.offset] for i, position in positions.items()} == {i: b"%d" % i for i in positions}
            assert await broker.ping() < TIMEOUT

    scenario()


@pytest.mark.case(114)
def test_publishing_through_kills(site: Site) -> None:
    """A publication that failed for certain is not there, one that succeeded is, once, and a retry adds none twice."""

    @in_loop
    async def scenario() -> None:
        async with site.node() as (broker, seen):
            done: dict[bytes, Position] = {}
            refused: list[bytes] = []

            async def publish(worker: int) -> None:
                count = 0
                while len(seen.told) < 6:
                    count += 1
                    data = b"%d-%d" % (worker, count)
                    try:
                        done[data] = await broker.publish("a", LONG, data, None)
                    except BrokerUnavailable:
                        refused.append(data)
                        await asyncio.sleep(0.01)
                    except OutcomeUnknown:
                        pass

            workers = [asyncio.ensure_future(publish(i)) for i in range(5)]
            for times in (1, 2, 3):
                enough = len(done) + 40
                await seen.until(lambda enough=enough: len(done) > enough)  # type: ignore[misc]
                site.server.kill()
                await seen.until(lambda times=times: len(seen.told) == 2 * times - 1)  # type: ignore[misc]
                site.server.start()
                await seen.until(lambda times=times: len(seen.told) == 2 * times)  # type: ignore[misc]
            await asyncio.gather(*workers)
            done[b"last"] = await broker.publish("a", LONG, b"last", None)
            history = await broker.read("a", LONG, 0, 1000)
            epochs = {position.epoch for position in done.values()}
            assert history.epoch in epochs
            found = {entry.data: entry.offset for entry in history.entries}
            assert len(found) == len(history.entries)
            assert not set(refused) & set(found)
            acknowledged = {data: position.offset for data, position in done.items() if position.epoch == history.epoch}
            first = min(found.values())
            assert acknowledged.items() >= {(d, o) for d, o in found.items() if d in acknowledged and o >= first}
            assert {data for data, offset in acknowledged.items() if offset >= first} <= set(found)

    scenario()
