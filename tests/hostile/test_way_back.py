"""A client that connects again, and the network between it and its server: it finds back, and nothing is told twice."""

from __future__ import annotations

import asyncio
import gzip
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

import wsmash
from fixtures.certificates import contexts
from fixtures.chaos import BLACK_HOLE, SOUND, ChaosProxy, Faults
from fixtures.in_loop import in_loop, until
from fixtures.live import make_server
from fixtures.remains import nothing_left
from fixtures.scripted_server import scripted

pytestmark = pytest.mark.usefixtures("local_engine")

SOON = wsmash.Reconnect(first_delay=0.1, max_delay=0.2)
QUICK: dict[str, Any] = {
    "open_timeout": 0.4,
    "ping_interval": 0.2,
    "ping_timeout": 0.2,
    "close_timeout": 0.2,
    "message_timeout": 0.5,
    "write_timeout": 0.5,
}


@dataclass
class Route:
    """A client, its server, and the proxy between them.

    Attributes:
        received: what the server was sent.
        retries: the `reconnecting` events.
        opens: how often the client was open.
    """

    client: wsmash.WebSocketClient
    server: wsmash.WebSocketServer
    proxy: ChaosProxy
    received: list[str] = field(default_factory=list)
    retries: list[wsmash.ReconnectingEvent] = field(default_factory=list)
    opens: int = 0


@asynccontextmanager
async def route(*, tls: bool = False, **options: Any) -> AsyncIterator[Route]:
    """An open connection of a client that will find back."""
    async with (
        nothing_left(),
        make_server(ssl=contexts().server if tls else None, shutdown_timeout=0.5, **QUICK) as server,
        ChaosProxy(server.port) as proxy,
    ):
        url = f"ws{'s' * tls}://127.0.0.1:{proxy.port}/"
        settings = {"reconnect": SOON, "proxy": None, "ssl": contexts().client if tls else None}
        client = wsmash.create_client(url, **settings | QUICK | options)
        found = Route(client, server, proxy)

        def connected(event: wsmash.ConnectionEvent) -> None:
            event.client.on("message", lambda message: found.received.append(str(message.data)))

        def opened(_: wsmash.OpenEvent) -> None:
            found.opens += 1

        server.on("connection", connected)
        client.on("reconnecting", found.retries.append)
        client.on("open", opened)
        await client.connect()
        try:
            yield found
        finally:
            client.abort()
            await client.wait_closed()


@pytest.mark.case(120)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@in_loop
async def test_another_network(tls: bool) -> None:
    """A link that turns into a black hole is given up by keepalive, and `recv` goes on with the next one."""
    async with route(tls=tls) as at:
        waiting = asyncio.ensure_future(at.client.recv())
        (link,) = at.proxy.links
        link.to_server.faults = link.to_client.faults = BLACK_HOLE
        await until(lambda: at.opens == 2)
        assert [event.code for event in at.retries] == [1006] and "keepalive" in at.retries[0].reason
        await until(lambda: len(at.server.get_clients()) == 1)
        at.server.broadcast("found you")
        assert await waiting == "found you"


@pytest.mark.case(120)
@in_loop
async def test_a_network_that_swallows_everything_for_a_while() -> None:
    """Each attempt ends at open_timeout, and the first one after it comes through."""
    async with route(offline_queue=10) as at:
        at.proxy.to_server = at.proxy.to_client = BLACK_HOLE
        await until(lambda: len(at.retries) >= 3)
        assert all(isinstance(event.error, wsmash.OpenTimeout) for event in at.retries[1:])
        at.client.send("late, and once")
        at.proxy.to_server = at.proxy.to_client = SOUND
        await until(lambda: at.received)
        assert at.received == ["late, and once"]


@in_loop
async def test_a_server_that_is_away_for_a_while() -> None:
    """Each attempt is refused; the client is back soon after the server is."""
    async with route(offline_queue=10) as at:
        at.proxy.refuse()
        at.proxy.kill_all()
        await until(lambda: len(at.retries) >= 4)
        at.client.send("one")
        at.client.send("two")
        assert all(isinstance(event.error, wsmash.ConnectError) for event in at.retries[1:])
        assert [event.attempt for event in at.retries[:4]] == [1, 2, 3, 4]
        at.proxy.accept()
        await until(lambda: len(at.received) == 2)
        assert at.received == ["one", "two"]


ANSWERS = {
    "502": b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nno\n",
    "504": b"HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 0\r\n\r\n",
    "200": b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\n<h1>",
    "gzip": b"HTTP/1.1 503 Wait\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"be patient\n" * 1000),
}


@pytest.mark.case(84)
@pytest.mark.parametrize("answer", ANSWERS)
@in_loop
async def test_a_gateway_that_answers_for_the_server(answer: str) -> None:
    """What is no 101 is tried again, for as long as it is said, and the client is open when the server is back."""

    async def script(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(ANSWERS[answer])

    async with scripted(script) as gateway, route() as at:
        behind = at.proxy.server_port
        at.proxy.server_port = gateway
        at.proxy.kill_all()
        await until(lambda: len(at.retries) >= 3)
        for event in at.retries[1:]:
            assert isinstance(event.error, wsmash.HandshakeError)
            assert answer in (str(event.error.status), "gzip")
        at.proxy.server_port = behind
        await until(lambda: at.opens == 2)
        assert at.client.is_open()


def _reset(link: Any, chance: random.Random) -> None:
    link.reset()


def _end(link: Any, chance: random.Random) -> None:
    link.to_server.faults = Faults(end_at=link.to_server.passed + chance.randrange(40))


def _cut(link: Any, chance: random.Random) -> None:
    link.to_server.faults = Faults(reset_at=link.to_server.passed + chance.randrange(40))


def _vanish(link: Any, chance: random.Random) -> None:
    link.to_server.faults = link.to_client.faults = BLACK_HOLE


def _go_deaf(link: Any, chance: random.Random) -> None:
    link.to_client.faults = BLACK_HOLE


TROUBLES: list[Callable[[Any, random.Random], None]] = [_reset, _end, _cut, _vanish, _go_deaf]


@pytest.mark.case(121)
@pytest.mark.parametrize("seed", [1, 2, 3])
@in_loop
async def test_messages_through_one_trouble_after_another(seed: int) -> None:
    """None arrives twice or out of order, and of those that the queue accepted each arrives or is reported."""
    chance = random.Random(seed)
    async with route(offline_queue=1000) as at:
        accepted: set[str] = set()
        dropped: list[str] = []
        at.client.on("dropped", lambda event: dropped.append(str(event.data)))

        def send(number: int) -> None:
            offline = not at.client.is_open()
            try:
                at.client.send(str(number))
            except wsmash.ConnectionClosed:
                return  # between the close frame and the end of the connection
            if offline:
                accepted.add(str(number))

        for number in range(400):
            send(number)
            await asyncio.sleep(0.005)
            if number % 40 == 20 and at.proxy.links:
                chance.choice(TROUBLES)(at.proxy.links[-1], chance)
        await until(lambda: at.client.is_open() and accepted <= {*at.received, *dropped})
        assert len(accepted) > 20 and at.opens > 3, "there was trouble"
        numbers = [int(each) for each in at.received]
        assert numbers == sorted(set(numbers))
