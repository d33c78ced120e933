"""Clients with topics over real sockets, on either engine: servers that are restarted, brokers that stay."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sized
from functools import partial
from typing import Any

import pytest

import wsmash
from fixtures.brokers import BrokerProcess, NatsServer, RedisServer, start_nats, start_redis
from fixtures.chaos import ChaosProxy
from fixtures.in_loop import in_loop, until
from fixtures.live import make_server, url_of
from fixtures.speaking import Heard
from wsmash.errors import BrokerUnavailable, OutcomeUnknown, RequestError
from wsmash.topics.position import Position
from wsmash.transports.native import NativeDriver, missing
from wsmash.transports.portable import PortableDriver

__all__ = ["start_nats", "start_redis"]

QUICK = wsmash.Reconnect(first_delay=0.02, max_delay=0.05)


@pytest.fixture(params=["native", "portable"], autouse=True)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What carries the sockets of both ends."""
    if request.param == "native" and missing:
        pytest.skip(missing)
    driver = {"native": NativeDriver, "portable": PortableDriver}[request.param]
    monkeypatch.setattr("wsmash.runtime.environment.make_driver", driver)
    return str(request.param)


@pytest.fixture(params=["redis", "nats"])
def broker(
    request: pytest.FixtureRequest, start_redis: Callable[..., RedisServer], start_nats: Callable[..., NatsServer]
) -> BrokerProcess:
    """A broker that stays while servers come and go."""
    return start_redis() if request.param == "redis" else start_nats()


def node(**options: Any) -> wsmash.WebSocketServer:
    """A server whose clients may do everything, and whose topics have a history."""
    server = make_server(**{"protocols": "wsmash.v1", "authorize": lambda _: True, "shutdown_timeout": 2, **options})
    server.topic("kept.>", history_size=1000, history_ttl=600)
    server.topic("short.>", history_size=2, history_ttl=600)
    return server


async def start_again(port: int, **options: Any) -> wsmash.WebSocketServer:
    """A new server where one has gone."""
    server = node(port=port, **options)
    await server.start()
    return server


def connect(url: str, **options: Any) -> wsmash.WebSocketClient:
    """A client that is back soon."""
    client = wsmash.create_client(url, **{"protocols": "wsmash.v1", "reconnect": QUICK, **options})
    client.connect()
    return client


def kill(server: wsmash.WebSocketServer) -> None:
    """Reset its connections, without a close frame."""
    for each in server.get_clients():
        each._channel.abort()  # type: ignore[union-attr]


async def end(*ends: Any) -> None:
    """Let go of clients, then of servers."""
    for each in ends:
        await (each.close() if isinstance(each, wsmash.WebSocketClient) else each.stop())
        await each.wait_closed()


def reached(what: Sized, count: int) -> bool:
    """Whether there are more than so many."""
    return len(what) > count


def offsets(heard: Heard) -> list[int]:
    """Those of the messages that were delivered."""
    return [event.position.offset for event in heard.of("message")]


# -- one server without a broker


@in_loop
async def test_a_publication_above_the_servers_limit_ends_two_connections_and_no_more() -> None:
    """It is known for too big then, and those beside it are published once each."""
    async with node(max_message_size=1000) as server:
        client = connect(url_of(server))
        news = await client.subscribe("kept.news")
        small, large, after = (client.publish("kept.news", data) for data in ("a", "x" * 2000, "b"))
        with pytest.raises(wsmash.MessageTooBig, match="takes no message of"):
            await large
        assert [await small, await after] == [(await anext(news)).position, (await anext(news)).position]
        assert server.counters.opened == 3
        await end(client)


@in_loop
async def test_a_conversation() -> None:
    """Two clients: subscribing, publishing, patterns, requests and ordinary messages beside one another."""
    async with node() as server:

        @server.method("sum")
        def add(event: wsmash.RequestEvent) -> int:
            return sum(event.json(list[int]))

        @server.on("connection")
        def connected(event: wsmash.ConnectionEvent) -> None:
            event.client.on("message", lambda said: said.client.send(f"echo {said.data!s}"))

        url = url_of(server)
        async with wsmash.connect(url, "wsmash.v1") as ada, wsmash.connect(url, "wsmash.v1") as bob:
            news, everything = await ada.subscribe("kept.news"), ada.subscribe("kept.>")
            heard = Heard(everything)
            await everything
            first = await bob.publish("kept.news", {"a": 1})
            second = await bob.publish("kept.news", b"\0", idempotency_key="k")
            assert second == await ada.publish("kept.news", b"\0", idempotency_key="k")
            messages = [await anext(news), await anext(news)]
            assert [message.position for message in messages] == [first, second]
            assert messages[0].json() == {"a": 1} and messages[1].data == b"\0"
            await until(lambda: len(heard.data) == 2)
            assert offsets(heard) == [first.offset, second.offset]  # type: ignore[union-attr]
            assert await ada.request("sum", [1, 2, 3], timeout=5) == 6
            with pytest.raises(RequestError, match="no_method"):
                await ada.request("product")
            ada.send("hello")
            assert await ada.recv() == "echo hello"
            await news.unsubscribe()
            await bob.publish("kept.news", "more")
            await until(lambda: len(heard.data) == 3)


@in_loop
async def test_a_history_from_a_position_that_another_client_had() -> None:
    """`since` brings all after it, then what is published; what is not kept any more is a gap."""
    async with node() as server:
        positions = [await server.publish("short.a", str(number)) for number in range(5)]
        client = connect(url_of(server))
        kept, lost = client.subscribe("short.a", since=positions[2]), connect(url_of(server))
        heard, missing_some = Heard(kept), Heard(lost.subscribe("short.a", since=positions[0]))
        await until(lambda: len(heard.data) == 2 and missing_some.names)
        await server.publish("short.a", "5")
        await until(lambda: len(heard.data) == 3 and missing_some.data)
        assert heard.data == ["3", "4", "5"] and heard.names == ["subscribed", "message", "message", "message"]
        assert missing_some.names == ["subscribed", "gap", "message"] and missing_some.data == ["5"]
        assert missing_some.of("gap")[0].position == positions[4]
        await end(client, lost)


@in_loop
async def test_what_the_server_subscribes_a_client_to_is_there_without_asking() -> None:
    """On each connection again, with a gap for what was published in between; `authorize` has no say in it."""
    async with node(authorize=None) as server:

        @server.on("connection")
        async def connected(event: wsmash.ConnectionEvent) -> None:
            await event.client.subscribe("kept.mine")

        client = connect(url_of(server))
        await until(lambda: client.get_state() == wsmash.State.OPEN and client.subscriptions)
        heard = Heard(client.subscribe("kept.mine"))
        await server.publish("kept.mine", "1")
        await until(lambda: heard.data)
        kill(server)
        await server.publish("kept.mine", "missed")
        await until(lambda: heard.of("gap"))
        await server.publish("kept.mine", "2")
        await until(lambda: len(heard.data) == 2)
        assert heard.data == ["1", "2"] and heard.names[-3:] == ["subscribed", "gap", "message"]
        with pytest.raises(RequestError, match="authorize"):
            await client.subscribe("kept.other")
        await end(client)


@pytest.mark.case(103)
@in_loop
async def test_a_resume_is_authorised_anew() -> None:
    """Who may not subscribe any more gets an error in place of what was published meanwhile."""
    allowed = True
    async with node(authorize=lambda request: allowed or request.topic != "kept.secret") as server:
        client = connect(url_of(server))
        secret, news = Heard(client.subscribe("kept.secret")), Heard(client.subscribe("kept.news"))
        await until(lambda: secret.names and news.names)
        allowed = False
        kill(server)
        await server.publish("kept.secret", "hidden")
        await server.publish("kept.news", "open")
        await until(lambda: secret.of("error") and news.data)
        assert secret.names == ["subscribed", "error"] and secret.of("error")[0].error.code == "forbidden"
        assert news.data == ["open"] and list(client.subscriptions) == ["kept.news"]
        await end(client)


@in_loop
async def test_without_a_broker_a_server_that_is_restarted_has_new_epochs() -> None:
    """Its subscribers get a gap, then what is published from then on."""
    server = node()
    await server.start()
    client = connect(url_of(server))
    heard = Heard(client.subscribe("kept.a"))
    await until(lambda: heard.names)
    before = await server.publish("kept.a", "1")
    await until(lambda: heard.data)
    port = server.port
    await end(server)
    server = await start_again(port)
    await until(lambda: heard.of("gap"))
    after = await server.publish("kept.a", "2")
    await until(lambda: len(heard.data) == 2)
    assert heard.names == ["subscribed", "message", "subscribed", "gap", "message"]
    assert heard.of("gap")[0].reason == "epoch"
    assert [event.position for event in heard.of("message")] == [before, after]
    assert before is not None and after is not None and before.epoch != after.epoch
    await end(client, server)


@in_loop
async def test_a_slow_callback_slows_its_connection_and_loses_nothing() -> None:
    """The server holds what is published meanwhile, within its own bounds."""
    async with node() as server:
        client = connect(url_of(server))
        slow = client.subscribe("kept.slow")
        seen: list[Any] = []

        @slow.on("message")
        async def callback(event: wsmash.TopicMessage) -> None:
            await asyncio.sleep(0.002)
            seen.append(event.data)

        await slow
        for number in range(200):
            await server.publish("kept.slow", f"{number} {'x' * 2000}")
        await until(lambda: len(seen) == 200)
        assert [int(str(data).partition(" ")[0]) for data in seen] == list(range(200))
        await end(client)


@in_loop
async def test_a_callback_may_publish_and_request_for_each_message() -> None:
    """However many come at once: the answers stand behind them."""
    async with node() as server:
        server.method("twice")(lambda event: event.json() * 2)
        client = connect(url_of(server))
        asked, answered = client.subscribe("kept.asked"), Heard(client.subscribe("kept.answered"))

        @asked.on("message")
        async def answer(event: wsmash.TopicMessage) -> None:
            await client.publish("kept.answered", [await client.request("twice", event.json(int))])

        await asked
        await until(lambda: answered.names)
        for number in range(300):
            server.publish("kept.asked", str(number))
        await until(lambda: len(answered.data) == 300)
        assert answered.data == [f"[{2 * number}]" for number in range(300)]
        await end(client)


# -- servers that come and go, a broker that stays


def test_a_server_that_is_restarted_loses_nothing(broker: BrokerProcess) -> None:
    """Its client subscribes again and publishes again: each message once and in order at the callback."""

    @in_loop
    async def scenario() -> None:
        server = node(broker=broker.url)
        await server.start()
        other = node(broker=broker.url)
        await other.start()
        port = server.port
        client, publisher = connect(url_of(server)), connect(url_of(server))
        heard = Heard(client.subscribe("kept.a"))
        await until(lambda: heard.names)
        positions: list[Position | None] = []

        async def publish() -> None:
            for number in range(120):
                positions.append(await publisher.publish("kept.a", str(number), timeout=20))
                await asyncio.sleep(0.002)

        publishing = asyncio.ensure_future(publish())
        for restart in range(3):
            await until(partial(reached, positions, 15 * (restart + 1)))
            kill(server)
            await server.stop()
            await other.publish("kept.a", f"while away {restart}")
            server = await start_again(port, broker=broker.url)
        await publishing
        await until(lambda: len(heard.data) == 123)
        assert [data for data in heard.data if "away" not in str(data)] == [str(number) for number in range(120)]
        assert [f"while away {restart}" for restart in range(3)] == [data for data in heard.data if "away" in str(data)]
        assert offsets(heard) == sorted(set(offsets(heard))) and not heard.of("gap")
        assert {event.position for event in heard.of("message")} >= set(positions)
        await end(client, publisher, server, other)

    scenario()


def test_a_broker_that_is_killed_and_comes_back_is_told_of(broker: BrokerProcess) -> None:
    """Connections stay; publishing on a topic with a history fails meanwhile, and nothing is lost that did not."""

    @in_loop
    async def scenario() -> None:
        async with node(broker=broker.url) as server:
            client = connect(url_of(server))
            connection = await client.subscribe("kept.a")
            heard = Heard(connection)
            await client.publish("kept.a", "before")
            await until(lambda: heard.data)
            broker.kill()
            await until(lambda: heard.of("degraded"))
            with pytest.raises((BrokerUnavailable, OutcomeUnknown)):
                await client.publish("kept.a", "meanwhile", timeout=10)
            broker.start()
            await until(lambda: heard.of("restored"))
            await client.publish("kept.a", "after")
            await until(lambda: "after" in heard.data)
            assert [data for data in heard.data if data != "meanwhile"] == ["before", "after"]
            assert client.is_open() and connection.is_active() and heard.names.count("degraded") == 1
            await end(client)

    scenario()


def test_two_thousand_messages_over_twenty_abrupt_disconnections(broker: BrokerProcess) -> None:
    """Publisher and subscriber are cut off again and again: each message is delivered once, in one order."""

    @in_loop
    async def scenario() -> None:
        server = node(broker=broker.url)
        server.topic("long.>", history_size=5000, history_ttl=600)
        await server.start()
        async with ChaosProxy(server.port) as way:
            client, publisher = connect(way.url), connect(way.url)
            heard, published = Heard(client.subscribe("long.a")), Heard(publisher.subscribe("long.a"))
            await until(lambda: heard.names and published.names)
            waiting = []

            async def publish() -> None:
                for number in range(2000):
                    waiting.append(publisher.publish("long.a", str(number), timeout=None))
                    if number % 2 == 0:  # so that no outage is longer than what is read of a history at once
                        await asyncio.sleep(0.002)

            publishing = asyncio.ensure_future(publish())
            for cut in range(1, 21):
                await until(partial(reached, heard.events, cut * 90))
                way.kill_all()
            await publishing
            positions = [await each for each in waiting]
            await until(lambda: len(heard.data) >= 2000 and len(published.data) >= 2000)
            await asyncio.sleep(0.05)
            expected = [str(number) for number in range(2000)]
            assert [event.position for event in heard.of("message")] == positions
            assert heard.data == expected == published.data and not heard.of("gap")
            assert heard.names.count("subscribed") > 5
            await end(client, publisher)
        await end(server)

    scenario()
