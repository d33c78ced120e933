"""Broadcasts and presence by way of real brokers: what the nodes tell each other, crafted casts, and outages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from fixtures.brokers import BrokerProcess
from fixtures.bus import agree, cluster, visiting
from fixtures.in_loop import in_loop, until
from wsmash.codecs import encode_msgpack
from wsmash.errors import BrokerUnavailable
from wsmash.server import WebSocketServer
from wsmash.topics import presence
from wsmash.topics.brokers.base import Broker
from wsmash.topics.brokers.choice import make_broker
from wsmash.topics.casts import Broadcast, encode_cast
from wsmash.topics.record import Kind, Record, encode_record

OTHER = b"o" * 16


@pytest.fixture(params=["redis", "nats"])
def process(request: pytest.FixtureRequest) -> BrokerProcess:
    """A broker of each kind."""
    found: BrokerProcess = request.getfixturevalue(f"{request.param}_server")
    return found


@asynccontextmanager
async def outsider(url: str) -> AsyncIterator[Broker]:
    """Somebody who can write to the broker."""

    class Deaf:
        def __getattr__(self, name: str) -> Callable[..., None]:
            return lambda *_: None

    broker = make_broker(url, "wsmash")
    await broker.start(Deaf())
    yield broker
    await broker.stop()


async def degraded(servers: list[WebSocketServer], *, away: bool) -> None:
    """Wait until all of them know that the broker is away, or that it is there."""
    for server in servers:
        serving = server._serving
        assert serving is not None
        while (serving.hub.degraded is not None) is not away:
            await asyncio.sleep(0.005)


def test_broadcasts(process: BrokerProcess) -> None:
    """Text, bytes and JSON reach the connections of all nodes once, in the order in which one node sends them."""

    @in_loop
    async def scenario() -> None:
        async with (
            cluster(*[process.url] * 3) as (first, second, third),
            visiting(first) as a,
            visiting(second) as b,
            visiting(third) as c,
        ):
            sent = ["text", b"bytes", {"a": 1}, *map(str, range(100))]
            for data in sent:
                assert first.broadcast(data) == 1  # type: ignore[arg-type]
            heard = ["text", b"bytes", '{"a":1}', *map(str, range(100))]
            await until(lambda: a == b == c == heard)

    scenario()


def test_presence(process: BrokerProcess) -> None:
    """All nodes know who is on a topic; a node that stops takes its members with it."""

    @in_loop
    async def scenario() -> None:
        async with cluster(*[process.url] * 3) as servers:
            first, second, third = servers
            async with visiting(first, info="one"), visiting(second, info="two"), visiting(second, info="three"):
                await agree(servers, ["one", "three", "two"])
                await second.stop()
                await agree([first, third], ["one"])

    scenario()


@pytest.mark.case(107)
def test_crafted_casts(process: BrokerProcess) -> None:
    """What somebody else writes to the broker is left out and counted, and no node stumbles over it."""

    @in_loop
    async def scenario() -> None:
        async with (
            cluster(process.url, max_message_size=1000) as (server,),
            visiting(server, info="one") as heard,
            outsider(process.url) as other,
        ):
            await agree([server], ["one"])
            crafted = [
                b"",
                b"\x80\x04\x95",
                encode_msgpack([2, OTHER, 1, encode_record(Record(Kind.TEXT, b"of another version"))]),
                encode_cast(OTHER, Broadcast(b"no record")),
                encode_cast(OTHER, Broadcast(b"x" * 100_000)),
            ]
            for data in crafted:
                await other.cast(data)
            await until(lambda: server.counters.invalid_casts == len(crafted))
            await other.cast(encode_cast(OTHER, Broadcast(encode_record(Record(Kind.TEXT, b"well-formed")))))
            await until(lambda: heard == ["well-formed"])
            await agree([server], ["one"])

    scenario()


@pytest.mark.case(109)
def test_an_outage(process: BrokerProcess) -> None:
    """Members of other nodes are kept for as long as those of a dead one; once the broker is back all are known."""

    @in_loop
    async def scenario() -> None:
        async with cluster(*[process.url] * 2) as servers:
            first, second = servers
            async with visiting(first, info="one") as heard, visiting(second, info="two"):
                await agree(servers, ["one", "two"])
                process.kill()
                await degraded(servers, away=True)
                assert first.broadcast("here") == 1
                async with visiting(second, info="three"):
                    await agree([first], ["one", "two"])
                    await agree([second], ["one", "three", "two"])
                    process.start()
                    await degraded(servers, away=False)
                    await agree(servers, ["one", "three", "two"])
                await agree(servers, ["one", "two"])
                second.broadcast("there")
                await until(lambda: heard == ["here", "there"])

    scenario()


@pytest.mark.case(109)
def test_an_outage_that_lasts(process: BrokerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """Members of other nodes leave, and come again when the broker is back."""
    monkeypatch.setattr(presence, "BEAT_INTERVAL", 0.1)
    monkeypatch.setattr(presence, "DEAD_AFTER", 0.5)

    @in_loop
    async def scenario() -> None:
        async with cluster(*[process.url] * 2) as servers:
            first, second = servers
            told: list[tuple[str, str]] = []
            first.on("join", lambda event: told.append(("join", event.member.info)))
            first.on("leave", lambda event: told.append(("leave", event.member.info)))
            async with visiting(first, info="one"), visiting(second, info="two"):
                await agree(servers, ["one", "two"])
                told.clear()
                process.kill()
                await agree([first], ["one"])
                await agree([second], ["two"])
                process.start()
                await agree(servers, ["one", "two"])
                assert told == [("leave", "two"), ("join", "two")]

    scenario()


def test_a_broker_that_is_away_when_a_server_stops(process: BrokerProcess) -> None:
    """The stop does not wait for it."""

    @in_loop
    async def scenario() -> None:
        async with cluster(process.url) as (server,), visiting(server):
            process.pause()
            try:
                async with asyncio.timeout(5):
                    await server.stop()
            finally:
                process.resume()
            with pytest.raises((BrokerUnavailable, RuntimeError)):
                await server.publish("a", "too late")

    scenario()
