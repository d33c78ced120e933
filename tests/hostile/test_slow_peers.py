"""Peers that read slowly, or not at all: what is held for them is bounded, and nobody else waits for them."""

from __future__ import annotations

import asyncio
import select
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from statistics import median
from typing import Any

import pytest

import wsmash
from fixtures.chaos import ChaosProxy, Faults
from fixtures.frames import frame, text
from fixtures.in_loop import in_loop, until
from fixtures.live import make_server
from fixtures.peer import Peer
from fixtures.remains import nothing_left
from hostile.conftest import Serve
from wsmash.constants import Opcode

MIB = 1 << 20
MESSAGE = "x" * 4096
SMALL: dict[str, Any] = {"max_write_buffer": 65536, "write_high_water": 16384}


class Crowd:
    """Raw peers that read what comes, all in one."""

    def __init__(self, peers: list[Peer]) -> None:
        self._sockets = {peer.sock.fileno(): peer.sock for peer in peers}
        self._poll = select.epoll()
        for number in self._sockets:
            self._poll.register(number, select.EPOLLIN)

    def take(self, size: int) -> float:
        """Read until each has so many bytes, and no more; seconds that it took."""
        start = time.monotonic()
        missing = dict.fromkeys(self._sockets, size)
        while missing:
            ready = self._poll.poll(10)
            assert ready, f"{len(missing)} peers wait in vain"
            for number, _ in ready:
                data = self._sockets[number].recv(65536)
                assert data, "the server ended an innocent connection"
                left = missing.pop(number) - len(data)
                assert left >= 0
                if left:
                    missing[number] = left
        return time.monotonic() - start

    def close(self) -> None:
        """Let go of the descriptor."""
        self._poll.close()


@pytest.fixture
def crowd() -> Iterator[list[Crowd]]:
    """Crowds that are closed after the test."""
    found: list[Crowd] = []
    yield found
    for each in found:
        each.close()


@pytest.mark.case(74)
def test_a_broadcast_to_a_thousand_of_whom_one_does_not_read(serve: Serve, crowd: list[Crowd]) -> None:
    """The others have each message as soon as before; the one is held at the cap, and closed with 1013."""
    server = serve("hostile.slow_works:fill", **SMALL, ping_interval=None)
    stuck = server.client(window=4096)
    peers = [server.client() for _ in range(999)]
    crowd.append(Crowd(peers))
    size = len(text(MESSAGE))

    def rounds(count: int) -> list[float]:
        found = []
        for _ in range(count):
            server.tell("send", MESSAGE)
            found.append(crowd[0].take(size))
        return found

    undisturbed = rounds(20)
    stuck.send(text("what the system holds", masked=True))
    while server.seen()["last"] != "full":
        time.sleep(0.01)
    rss = server.rss()
    disturbed = rounds(40)
    while not server.state()["counters"]["closed_slow"]:
        disturbed += rounds(20)  # the system has found room for more
        assert len(disturbed) * size < 6 * MIB
    assert server.rss() - rss < MIB
    assert median(disturbed) < 3 * median(undisturbed) + 0.05
    assert server.state()["counters"]["closed_slow"] == 1
    assert server.state()["connections"] == 999
    with suppress(ConnectionError):
        assert stuck.closing() == (1013, "the peer reads too slowly")


@asynccontextmanager
async def slow(
    faults: Faults, *, client: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[tuple[Any, wsmash.WebSocketClient]]:
    """A server's connection and a client, which the server's bytes reach as slowly as is said."""
    connections: list[Any] = []
    async with nothing_left(), make_server(sock=_listener(), shutdown_timeout=0.5, **options) as server:
        server.on("connection", lambda event: connections.append(event.client))
        async with ChaosProxy(server.port, buffers=4096) as proxy:
            mine = {"compression": None, "close_timeout": 0.2} | (client or {})
            end = await wsmash.connect(proxy.url, **mine)
            await until(lambda: connections)
            proxy.to_client = faults
            try:
                yield connections[0], end
            finally:
                end.abort()
                await end.wait_closed()


def _listener() -> socket.socket:
    """Of a server whose system holds little for its connections, so that what waits is in our own buffers."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    return listener


@pytest.mark.case(75)
@pytest.mark.usefixtures("local_engine")
@in_loop
async def test_a_message_above_the_cap_passes() -> None:
    """An empty buffer takes any message, which a peer that reads slowly has in the end."""
    async with slow(Faults(bandwidth=2_000_000), **SMALL, write_timeout=1) as (connection, client):
        data = bytes(range(256)) * 2048
        sending = connection.send(data)
        assert connection._channel.info().buffered > SMALL["max_write_buffer"]
        assert await client.recv() == data
        await sending


@pytest.mark.case(75)
@pytest.mark.usefixtures("local_engine")
@in_loop
async def test_a_byte_a_second_is_too_slow() -> None:
    """Who takes nothing of a large message for write_timeout is dropped: 1006, and the reason says so."""
    async with slow(Faults(bandwidth=1), **SMALL, write_timeout=0.4) as (connection, _):
        closes: list[wsmash.CloseEvent] = []
        connection.on("close", closes.append)
        start = asyncio.get_running_loop().time()
        with pytest.raises(wsmash.ConnectionClosed, match="write_timeout"):
            await connection.send(bytes(4 * MIB))
        assert 0.4 <= asyncio.get_running_loop().time() - start < 2
        await until(lambda: closes)
        assert (closes[0].code, closes[0].was_clean) == (1006, False)
        assert closes[0].sent is not None and closes[0].sent[0] == 1013


@pytest.mark.case(76)
@pytest.mark.usefixtures("local_engine")
@in_loop
async def test_await_send_waits_for_room() -> None:
    """Whoever awaits sends as fast as the peer reads, and no more than one message above high water waits."""
    async with slow(Faults(bandwidth=400_000), **SMALL) as (connection, client):
        received: list[object] = []
        client.on("message", lambda event: received.append(event.data))
        start = asyncio.get_running_loop().time()
        for _ in range(40):
            await connection.send(bytes(8192))
            assert connection._channel.info().buffered <= SMALL["write_high_water"] + 8192 + 4
        took = asyncio.get_running_loop().time() - start
        assert took > 0.5 * (40 * 8192 - SMALL["write_high_water"] - 40_000) / 400_000
        await until(lambda: len(received) == 40)


@pytest.mark.case(76)
@pytest.mark.parametrize("policy", ["close", "raise", "drop"])
@pytest.mark.usefixtures("local_engine")
@in_loop
async def test_who_never_awaits_is_held_at_the_cap(policy: str) -> None:
    """The buffer never holds more than max_write_buffer; then slow_consumer has its way."""
    stalled = Faults(stall_at=0)
    async with slow(stalled, **SMALL, slow_consumer=policy, close_timeout=0.2) as (connection, _):
        taken, met = 0, None
        for _ in range(200):
            try:
                connection.send(bytes(4096))
            except wsmash.SlowConsumer as error:
                met = error
                break
            taken += 1
            assert connection._channel.info().buffered <= SMALL["max_write_buffer"]
        if policy == "drop":
            assert met is None and connection._owner.counters.dropped > 0
        else:
            assert taken > 10 and met is not None
            assert connection.is_open() is (policy == "raise")


@pytest.mark.case(78)
def test_many_small_messages_cost_what_their_bytes_do(serve: Serve) -> None:
    """A million bytes in as many messages, which wait for a peer that does not read, take no object each."""
    server = serve("hostile.slow_works:pour", max_write_buffer=MIB // 2)
    before = server.reset_peak()
    with server.client(window=4096) as peer:
        peer.send(text("begin", masked=True))
        while not server.state()["counters"]["closed_slow"]:
            time.sleep(0.05)
        assert "max_write_buffer" in server.seen()["last"]
        assert server.seen()["messages"] > MIB // 2 // 3
        assert server.peak() - before < 3 * MIB


@pytest.mark.case(77)
def test_a_flood_at_a_slow_callback(serve: Serve) -> None:
    """Reading pauses, the flood waits in the peer, no keepalive ends it, and pings are answered when it goes on."""
    server = serve("hostile.slow_works:dawdle", ping_interval=0.1, ping_timeout=0.2)
    rss = server.rss()
    messages = [text(f"{number:08}" * 1000, masked=True) for number in range(300)]
    with server.client() as peer:
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
        for each in messages:
            peer.send(each)
        peer.send(frame(Opcode.PING, b"behind", masked=True))
        while (found := peer.frame())[:2] != (Opcode.PONG, b"behind"):
            assert found.opcode == Opcode.PING
        seen = server.seen()
        assert seen["messages"] == 300 and seen["last"].startswith("'00000299")
        assert len(seen["closed"]) == 1, "the first connection, which was before the test"
    assert server.rss() - rss < 4 * MIB


@pytest.mark.case(56)
def test_a_peer_that_stopped_reading_is_told_and_left(serve: Serve) -> None:
    """Alive for TCP, and without an answer to a ping: 1011 is sent, and nothing waited for."""
    server = serve(ping_interval=0.2, ping_timeout=0.2, close_timeout=30)
    peer = server.client()
    start = time.monotonic()
    while not (closed := server.seen()["closed"][1:]):
        time.sleep(0.01)
    assert 0.35 < time.monotonic() - start < 2
    ((code, reason, clean),) = closed
    assert (code, clean) == (1006, False) and "keepalive" in reason
    assert peer.frame().opcode == Opcode.PING
    assert peer.closing()[0] == 1011
    peer.ended()


@pytest.mark.case(56)
def test_a_peer_that_stopped_reading_while_much_waits_for_it(serve: Serve) -> None:
    """The server does not read either then, so that write_timeout decides in the place of keepalive."""
    server = serve("hostile.slow_works:burst", ping_interval=0.1, ping_timeout=0.1, write_timeout=0.4)
    start = time.monotonic()
    server.client(window=4096).send(text("now", masked=True))
    while not (closed := server.seen()["closed"][1:]):
        time.sleep(0.01)
    assert 0.3 < time.monotonic() - start < 3
    assert closed[0][0] == 1006 and "write_timeout" in closed[0][1]
