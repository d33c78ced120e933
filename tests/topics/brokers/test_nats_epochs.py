"""NATS streams that are lost, that come back without what they had acknowledged, or that two nodes change at once."""

from __future__ import annotations

import asyncio
import json
import shutil

import pytest

from fixtures.brokers import NatsServer
from fixtures.chaos import ChaosProxy
from fixtures.nats_node import KEPT, node, run
from fixtures.receiver import Seen
from wsmash.errors import BrokerError, BrokerUnavailable, OutcomeUnknown
from wsmash.topics.brokers.nats import NatsBroker
from wsmash.topics.brokers.nats_connection import Connection
from wsmash.topics.position import Position, new_epoch


class PowerCut:
    """A server that will have lost what was written since."""

    def __init__(self, server: NatsServer) -> None:
        self._server = server
        server.kill()
        self._kept = server.folder.with_name("kept")
        shutil.copytree(server.folder, self._kept)
        server.start()

    def happen(self) -> None:
        """End the server, with what it had written after its start lost."""
        self._server.kill()
        shutil.rmtree(self._server.folder)
        self._kept.rename(self._server.folder)


def connection_of(broker: NatsBroker) -> Connection:
    """The one that it has."""
    assert broker._connection is not None
    return broker._connection


async def fill(broker: NatsBroker, count: int, topic: str = "a") -> Position:
    """The last position of so many messages."""
    return [await broker.publish(topic, KEPT, b"%d" % i, None) for i in range(count)][-1]


@pytest.mark.case(113)
def test_a_stream_that_has_lost_its_tail_is_another_epoch(nats_server: NatsServer) -> None:
    """A node that knows a later offset than there is sees it when it is back, before anything is published again."""

    async def scenario() -> None:
        async with node(nats_server.url) as (broker, seen):
            early = await fill(broker, 2)
            cut = PowerCut(nats_server)
            await seen.until(lambda: seen.told == ["lost", "restored"])
            late = await fill(broker, 5)
            assert late.epoch == early.epoch
            cut.happen()
            nats_server.start()
            await seen.until(lambda: seen.told == ["lost", "restored"] * 2)
            found = await broker.read("a", KEPT, early.offset)
            assert (found.epoch != late.epoch, list(found.entries)) == (True, [])
            new = await broker.publish("a", KEPT, b"new", None)
            assert new.epoch == found.epoch

    run(scenario())


@pytest.mark.case(113)
def test_a_loss_is_seen_though_others_have_published_since(nats_server: NatsServer) -> None:
    """A node that comes back late finds offsets that it knows in use again, and gives the stream another epoch."""

    async def scenario() -> None:
        async with ChaosProxy(nats_server.port) as proxy, node(f"nats://127.0.0.1:{proxy.port}") as (late, seen):
            await fill(late, 2)
            cut = PowerCut(nats_server)
            await seen.until(lambda: seen.told == ["lost", "restored"])
            known = await fill(late, 3)
            proxy.refuse()
            cut.happen()
            nats_server.start()
            async with node(nats_server.url) as (other, _):
                reused = await fill(other, 10)
                assert reused.epoch == known.epoch and reused.offset > known.offset
                proxy.accept()
                await seen.until(lambda: seen.told == ["lost", "restored"] * 2)
                [position] = await late.positions([("a", KEPT)])
                assert position.epoch != known.epoch
                assert (await fill(other, 1)).epoch == position.epoch

    run(scenario())


@pytest.mark.case(113)
def test_a_restart_that_lost_nothing_is_the_same_epoch(nats_server: NatsServer) -> None:
    """Kills of the server alone change nothing: positions stay good, also for who was away during several of them."""

    async def scenario() -> None:
        async with ChaosProxy(nats_server.port) as proxy, node(f"nats://127.0.0.1:{proxy.port}") as (late, seen):
            known = await fill(late, 3)
            proxy.refuse()
            for _round in range(3):
                nats_server.restart()
                async with node(nats_server.url) as (other, _):
                    await other.publish("a", KEPT, b"more", None)
            proxy.accept()
            await seen.until(lambda: seen.told == ["lost", "restored"])
            found = await late.read("a", KEPT, known.offset)
            assert (found.epoch, found.complete) == (known.epoch, True)
            assert [entry.data for entry in found.entries] == [b"more"] * 3

    run(scenario())


@pytest.mark.case(113)
def test_an_acknowledgement_that_goes_back_is_seen(nats_server: NatsServer) -> None:
    """Without an outage too: an offset that was known before the message was sent is none of its own."""

    async def scenario() -> None:
        async with node(nats_server.url) as (broker, _):
            before = await fill(broker, 3)
            stream = next(each for each in broker._streams.values() if each.epoch == before.epoch)
            stream.top += 10  # as if the stream had been there
            with pytest.raises(OutcomeUnknown, match="lost"):
                await broker.publish("a", KEPT, b"", "key")
            after = await broker.publish("a", KEPT, b"", "key")
            assert after.epoch != before.epoch

    run(scenario())


@pytest.mark.case(116)
def test_two_nodes_that_rotate_a_stream_at_once_agree(nats_server: NatsServer) -> None:
    """Whatever the order of their changes, what both publish next is in one epoch, which no one else had before."""

    async def scenario() -> None:
        async with node(nats_server.url) as (first, _), node(nats_server.url) as (second, _):
            before = await fill(first, 1)
            await fill(second, 1)
            for _round in range(10):
                streams = [
                    next(s for s in broker._streams.values() if s.epoch == before.epoch) for broker in (first, second)
                ]
                await asyncio.gather(
                    *(stream.rotate(connection_of(b)) for stream, b in zip(streams, (first, second), strict=True))
                )
                one, two = await asyncio.gather(fill(first, 2), fill(second, 2))
                [now] = await first.positions([("a", KEPT)])
                if one.epoch == two.epoch == now.epoch:
                    assert now.epoch != before.epoch
                one, two = await fill(first, 1), await fill(second, 1)
                assert one.epoch == two.epoch != before.epoch
                before = one

    run(scenario())


def test_who_publishes_to_an_old_epoch_looks_again(nats_server: NatsServer) -> None:
    """What was under way while another node changed the epoch is stored in the order of the calls, or certainly not."""

    async def scenario() -> None:
        async with node(nats_server.url) as (first, _), node(nats_server.url) as (second, seen):
            before = await fill(first, 1)
            await fill(second, 1)
            await second.follow([("a", KEPT)])
            stream = next(each for each in second._streams.values() if each.epoch == before.epoch)
            publishing = [asyncio.ensure_future(first.publish("a", KEPT, b"%d" % i, None)) for i in range(500)]
            await asyncio.sleep(0)
            await stream.rotate(connection_of(second))
            results = await asyncio.gather(*publishing, return_exceptions=True)
            assert all(isinstance(each, (Position, BrokerUnavailable)) for each in results)
            stored = [each for each in results if isinstance(each, Position)]
            assert len({each.epoch for each in stored}) <= 2
            for epoch in {each.epoch for each in stored}:
                offsets = [each.offset for each in stored if each.epoch == epoch]
                assert offsets == sorted(offsets)
            await second.ping()
            pushed = [int(push[4]) for push in seen.pushes]
            assert pushed == sorted(pushed)
            # What the old epoch still took is no more: its subscribers have a gap by the change.
            [now] = await first.positions([("a", KEPT)])
            assert set(pushed) >= {
                i for i, each in enumerate(results) if isinstance(each, Position) and each[0] == now[0]
            }
            assert not set(pushed) & {i for i, each in enumerate(results) if isinstance(each, BrokerUnavailable)}

    run(scenario())


def test_a_stream_of_somebody_else_is_not_touched(nats_server: NatsServer) -> None:
    """A stream with the name of ours that is not ours, or of another version, is an error that names it."""

    async def scenario() -> None:
        async with node(nats_server.url) as (broker, _):
            name = "wsmash-h5-60000ms"
            config = {"name": name, "subjects": ["theirs.>"], "metadata": {"wsmash": "2", "wsmash-epoch": new_epoch()}}
            answer = await connection_of(broker).ask(f"$JS.API.STREAM.CREATE.{name}", json.dumps(config).encode())
            assert "error" not in json.loads(answer.data)
            with pytest.raises(BrokerError, match=name):
                await broker.publish("a", KEPT, b"", None)
            with pytest.raises(BrokerError, match=name):
                await broker.read("a", KEPT, 0)

    run(scenario())


@pytest.mark.case(109)
def test_a_server_that_dies_twice_in_half_a_second(nats_server: NatsServer) -> None:
    """However the second kill meets the coming back from the first, all is followed again, and the epoch is new."""

    async def scenario() -> None:
        async with node(nats_server.url) as (broker, seen):
            topics = [(f"t.{i}", KEPT) for i in range(300)]
            await broker.follow(topics)
            before = await fill(broker, 1)
            for wait in (0.0, 0.02, 0.05, 0.1, 0.2, 0.3):
                nats_server.restart(empty=True)
                await asyncio.sleep(wait)
                nats_server.restart(empty=True)
                await seen.until(lambda: seen.told[-1:] == ["lost"] or len(seen.told) % 2 == 1)
                await seen.until(lambda: seen.told[-1:] == ["restored"])
            assert seen.told == ["lost", "restored"] * (len(seen.told) // 2)
            after = await fill(broker, 1)
            assert after.epoch != before.epoch
            seen.pushes.clear()
            for topic, policy in topics:
                await broker.publish(topic, policy, b"", None)
            await broker.ping()
            assert [push[0] for push in seen.pushes] == [topic for topic, _ in topics]

    run(scenario())


def test_a_stopped_broker_says_so() -> None:
    """One that was never started does too."""

    async def scenario() -> None:
        broker = NatsBroker("nats://127.0.0.1:1")
        await broker.stop()
        with pytest.raises(BrokerUnavailable):
            await broker.publish("a", KEPT, b"", None)
        assert Seen().told == []

    run(scenario())


def test_what_comes_while_it_is_asked_is_no_loss(nats_server: NatsServer) -> None:
    """Positions are asked for while several nodes publish: the answers are older than what comes meanwhile."""

    async def scenario() -> None:
        async with node(nats_server.url) as (one, _), node(nats_server.url) as (other, _):
            await one.follow([("a", KEPT)])
            epoch = (await fill(one, 1)).epoch
            publishing = [asyncio.create_task(fill(each, 400)) for each in (one, other)]
            asking = 0
            while not all(each.done() for each in publishing):
                asked = await asyncio.gather(*(one.positions([("a", KEPT)]) for _ in range(4)))
                assert {position.epoch for [position] in asked} == {epoch}
                asking += 1
            assert asking > 10
            assert {each.result().epoch for each in publishing} == {epoch}

    run(scenario())
