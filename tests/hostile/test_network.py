"""Networks that fail between a real client and a real server, in each state of a connection.

A conversation is cut at the beginning, at the end and in the middle of each of its
steps, in either direction, by a reset, a half-close, a black hole and a stall.
Wherever that is: both sides end as documented, in bounded time, and nothing is
left of them.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest

import wsmash
from fixtures.certificates import contexts
from fixtures.chaos import SOUND, ChaosProxy, Faults
from fixtures.in_loop import in_loop, until
from fixtures.live import make_server
from fixtures.remains import nothing_left

pytestmark = pytest.mark.usefixtures("local_engine")

QUICK: dict[str, Any] = {
    "open_timeout": 1.0,
    "ping_interval": 0.3,
    "ping_timeout": 0.3,
    "message_timeout": 0.6,
    "write_timeout": 0.6,
    "close_timeout": 0.3,
}
"""Timeouts short enough to be waited for."""

PATIENT: dict[str, Any] = {"ping_timeout": 10.0, "write_timeout": 10.0, "close_timeout": 10.0}

LONGEST = QUICK["open_timeout"] + 3.0
"""Seconds that a conversation may take, whatever happens to it, on a machine that is busy."""

PIECES = ["one" * 50, "two" * 50, "three" * 50]
SAID: list[str | bytes] = ["text" * 50, bytes(70_000), "".join(PIECES)]


@dataclass
class Told:
    """What one side of a conversation was told."""

    messages: list[str | bytes] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    closes: list[wsmash.CloseEvent] = field(default_factory=list)

    def listen(self, connection: wsmash.WebSocketConnection) -> None:
        connection.on("message", lambda event: self.messages.append(event.data))
        connection.on("error", lambda event: self.errors.append(event.error))
        connection.on("close", self.closes.append)


class Place(NamedTuple):
    """A server, and how to get to it."""

    server: wsmash.WebSocketServer
    context: ssl.SSLContext | None
    guests: dict[str, Told]
    """What the server's side of each conversation was told, by its URL's query."""


@asynccontextmanager
async def place(tls: bool, **options: Any) -> AsyncIterator[Place]:
    """A server that echoes, and notes what it is told."""
    guests: dict[str, Told] = {}

    def connected(event: wsmash.ConnectionEvent) -> None:
        told = guests[event.client.get_url().partition("?")[2]] = Told()
        event.client.on("message", lambda message: message.client.send(message.data))
        told.listen(event.client)

    context = contexts().server if tls else None
    async with make_server(ssl=context, shutdown_timeout=1, **QUICK | options) as server:
        server.on("connection", connected)
        yield Place(server, contexts().client if tls else None, guests)


class Conversation:
    """A client that connects, has three messages echoed, and closes."""

    def __init__(self, at: Place, proxy: ChaosProxy, name: str) -> None:
        scheme = "ws" if at.context is None else "wss"
        self.client = wsmash.create_client(
            f"{scheme}://127.0.0.1:{proxy.port}/?{name}", ssl=at.context, compression=None, **QUICK
        )
        self.told = Told()
        self.told.listen(self.client)
        self.steps: list[tuple[int, int]] = []
        self.refused: wsmash.WebSocketError | None = None
        self._proxy = proxy

    async def run(self) -> None:
        """From its beginning to its end."""
        try:
            await self.client.connect()
        except wsmash.WebSocketError as error:
            self.refused = error
        else:
            with suppress(wsmash.ConnectionClosed):
                await self._talk()
        await self.client.wait_closed()

    async def _talk(self) -> None:
        client = self.client
        self._note()
        await client.send(SAID[0])
        await self._answers(1)
        await client.send(SAID[1])
        await self._answers(2)
        await client.send_fragments(PIECES)
        await self._answers(3)
        await client.close()
        self._note()

    async def _answers(self, count: int) -> None:
        await until(lambda: len(self.told.messages) == count or not self.client.is_open())
        self._note()

    def _note(self) -> None:
        self.steps.append((self._proxy.bytes_to_server, self._proxy.bytes_to_client))


def is_beginning(told: list[str | bytes]) -> bool:
    """Whether this is what was said, up to some message."""
    return told == SAID[: len(told)]


def check_end(told: Told) -> None:
    """One close event: 1006 with an account of what happened, or the code of a side that still got through."""
    (event,) = told.closes
    assert is_beginning(told.messages)
    assert event.reason or event.code == 1000
    assert event.was_clean == (event.sent is not None and event.received is not None)
    if event.code == 1000:
        assert told.messages == SAID and event.received == (1000, "")
    elif event.received is None:
        assert event.code == 1006 and not event.was_clean
    else:
        # In one direction only: this one is heard, and the other side has waited in vain for a byte.
        assert event.code in (1008, 1011, 1013)


async def cuts(at: Place, way: int) -> list[int]:
    """The bytes to cut at: those about each step of a conversation, counted in one that nothing happens to."""
    async with ChaosProxy(at.server.port) as proxy:
        sound = Conversation(at, proxy, f"sound-{way}")
        await sound.run()
    check_end(sound.told)
    assert sound.told.closes[0].was_clean
    marks = [0, *(step[way] for step in sound.steps)]
    found: set[int] = set()
    for start, end in itertools.pairwise(marks):
        found |= {start, start + 1, start + (end - start) // 4, (start + end) // 2, end - 1}
    return sorted(found)


@pytest.mark.case(51)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("way", [0, 1], ids=["to_server", "to_client"])
@pytest.mark.parametrize("fault", ["reset_at", "end_at", "swallow_at", "stall_at"])
def test_a_conversation_is_cut(fault: str, way: int, tls: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Wherever it is, both sides end with 1006, or cleanly, once, and at most one line of the log tells of each."""

    async def cut(at: Place, byte: int) -> None:
        faults = Faults(**{fault: byte})
        ways = (faults, SOUND) if way == 0 else (SOUND, faults)
        async with ChaosProxy(at.server.port, to_server=ways[0], to_client=ways[1]) as proxy:
            name = f"{fault}-{byte}"
            conversation = Conversation(at, proxy, name)
            await asyncio.wait_for(conversation.run(), LONGEST)
            guest = at.guests.get(name)
            if guest is not None:
                await until(lambda: guest.closes)
                check_end(guest)
            check_end(conversation.told)
            if conversation.refused is not None:
                assert conversation.told.errors == [conversation.refused]
            else:
                assert conversation.told.errors == []

    @in_loop
    async def test() -> None:
        async with nothing_left(), place(tls) as at:
            bytes_to_cut_at = await cuts(at, way)
            await asyncio.gather(*(cut(at, byte) for byte in bytes_to_cut_at))
            assert at.server.get_client_count() == 0
        assert len(caplog.records) <= 2 * len(bytes_to_cut_at)
        assert all(record.levelno < logging.ERROR and record.exc_info is None for record in caplog.records)

    caplog.set_level(logging.INFO, "wsmash")
    test()


NETWORKS = {
    "latency": Faults(latency=0.03),
    "jitter": Faults(latency=0.005, jitter=0.02),
    "single bytes": Faults(piece=1),
    "seven bytes at a time": Faults(piece=7, jitter=0.001),
    "narrow": Faults(bandwidth=300_000),
}


@pytest.mark.case(33)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("network", NETWORKS)
@in_loop
async def test_messages_arrive_whole_and_in_order(network: str, tls: bool) -> None:
    """Whatever the network does to their bytes, short of losing them; compressed ones too."""
    sizes = [0, 1, 125, 126, 127, 1000, 5000, 65_535 if NETWORKS[network].piece is None else 3000]
    sent: list[str | bytes] = [bytes(number % 251 for number in range(size)) for size in sizes]
    sent += [f"ü{size}" * (size // 6) for size in sizes]
    faults = NETWORKS[network]
    async with (
        nothing_left(),
        place(tls, open_timeout=10, ping_timeout=10, compression="deflate") as at,
        ChaosProxy(at.server.port, to_server=faults, to_client=faults) as proxy,
    ):
        url = f"ws{'s' * tls}://127.0.0.1:{proxy.port}/?all"
        async with wsmash.connect(url, ssl=at.context, ping_timeout=10) as client:
            for message in sent:
                client.send(message)
            assert [await client.recv() for _ in sent] == sent
            await client.close()
        await until(lambda: at.guests["all"].closes)
        assert at.guests["all"].messages == sent
        assert at.guests["all"].closes[0].was_clean


@asynccontextmanager
async def through(
    tls: bool, *, on: wsmash.WebSocketServer, **options: Any
) -> AsyncIterator[tuple[wsmash.WebSocketClient, Any, ChaosProxy]]:
    """An open client, its connection on the server, and the proxy between them."""
    connections: list[Any] = []

    def connected(event: wsmash.ConnectionEvent) -> None:
        connections.append(event.client)

    on.on("connection", connected)
    async with ChaosProxy(on.port, buffers=options.pop("buffers", None)) as proxy:
        context = contexts().client if tls else None
        url = f"ws{'s' * tls}://127.0.0.1:{proxy.port}/"
        client = await wsmash.connect(url, ssl=context, compression=None, **QUICK | options)
        await until(lambda: connections)
        yield client, connections[0], proxy
        client.abort()
        await client.wait_closed()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@in_loop
async def test_a_black_hole_is_noticed(tls: bool) -> None:
    """By keepalive, on both sides, within ping_interval and ping_timeout: 1006, and the reason says so."""
    context = contexts().server if tls else None
    loop = asyncio.get_running_loop()
    async with nothing_left(), make_server(ssl=context, **QUICK) as server, through(tls, on=server) as ends:
        client, connection, proxy = ends
        told, heard = Told(), Told()
        ended: list[float] = []
        heard.listen(connection)
        client.on("close", told.closes.append)
        for each in (client, connection):
            each.on("close", lambda _: ended.append(loop.time()))
        await client.ping()
        proxy.to_server = proxy.to_client = Faults(swallow_at=0)
        start = loop.time()
        await until(lambda: len(ended) == 2)
        for event in (told.closes[0], heard.closes[0]):
            assert (event.code, event.was_clean, event.received) == (1006, False, None)
            assert "keepalive" in event.reason
            assert event.sent is not None and event.sent[0] == 1011
        assert max(ended) - start < QUICK["ping_interval"] + QUICK["ping_timeout"] + 0.5


@pytest.mark.case(84)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("way", ["to_server", "to_client"])
@in_loop
async def test_a_half_close(way: str, tls: bool) -> None:
    """Half a connection is none: whoever is told of an end ends too, and both say 1006."""
    context = contexts().server if tls else None
    async with nothing_left(), make_server(ssl=context, **QUICK) as server, through(tls, on=server) as ends:
        client, connection, proxy = ends
        told: list[wsmash.CloseEvent] = []
        client.on("close", told.append)
        connection.on("close", told.append)
        setattr(proxy, way, Faults(end_at=0))
        await until(lambda: len(told) == 2)
        assert [(event.code, event.was_clean) for event in told] == [(1006, False)] * 2
        assert {event.client for event in told} == {client, connection}


@pytest.mark.case(84)
@in_loop
async def test_an_idle_connection_is_kept_from_being_cut() -> None:
    """A middlebox that cuts what is silent for longer than ping_interval finds nothing to cut; it is real."""

    async def cut_idle(proxy: ChaosProxy, idle: float) -> None:
        seen = -1
        while seen != (seen := proxy.bytes_to_server + proxy.bytes_to_client):
            await asyncio.sleep(idle)
        proxy.kill_all()

    async with nothing_left(), make_server(ping_interval=None) as server:
        for interval in (0.1, None):
            async with through(False, on=server, ping_interval=interval, ping_timeout=5) as (client, _, proxy):
                cutting = asyncio.ensure_future(cut_idle(proxy, 0.4))
                await asyncio.sleep(1.4 if interval else 0)
                if interval:
                    assert client.is_open()
                    cutting.cancel()
                else:
                    with pytest.raises(wsmash.ConnectionClosed) as raised:
                        await client.recv()
                    assert raised.value.code == 1006


@pytest.mark.case(51)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@in_loop
async def test_all_who_wait_are_told(tls: bool) -> None:
    """A reset ends a pending recv, send, ping, close and wait_closed at once, and close fires once."""
    context = contexts().server if tls else None
    async with (
        nothing_left(),
        make_server(ssl=context, max_queue=1) as server,
        through(tls, on=server, buffers=4096, max_write_buffer=None, **PATIENT) as ends,
    ):
        client, _, proxy = ends
        closes: list[wsmash.CloseEvent] = []
        client.on("close", closes.append)
        proxy.to_server = Faults(stall_at=0)
        pending = [asyncio.ensure_future(each) for each in (client.recv(), client.ping(), client.send(bytes(1 << 22)))]
        await asyncio.sleep(0.05)
        assert not any(each.done() for each in pending)
        pending += [asyncio.ensure_future(each) for each in (client.send(b""), client.close(), client.wait_closed())]
        await asyncio.sleep(0)
        proxy.kill_all()
        outcomes = await asyncio.wait_for(asyncio.gather(*pending, return_exceptions=True), 2)
        assert all(isinstance(each, wsmash.ConnectionClosed) for each in outcomes[:4]), outcomes
        assert outcomes[4:] == [None, None]
        assert [event.code for event in closes] == [1006]
