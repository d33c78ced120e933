"""Reconnecting clients over real sockets: servers that go and come back, refuse, flap; runs of whole programs."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest

import wsmash
from fixtures.certificates import contexts
from fixtures.clock import real
from fixtures.ends import Record
from fixtures.live import errors, make_server, nobody_listens, url_of
from wsmash.errors import ConnectionClosed, HandshakeError

QUICK = wsmash.Reconnect(first_delay=0.02, max_delay=0.05)


def make_client(url: str, **options: Any) -> wsmash.WebSocketClient:
    """A client that is back soon."""
    return wsmash.create_client(url, **{"reconnect": QUICK, **options})


async def until(condition: Callable[[], object]) -> None:
    """Wait for the network."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.002)


async def start_again(port: int, on_connection: Callable[[Any], object], **options: Any) -> wsmash.WebSocketServer:
    """A server at the port of one that has gone."""
    server = make_server(port=port, **options)
    server.on("connection", on_connection)
    await server.start()
    return server


async def kill(server: wsmash.WebSocketServer) -> None:
    """The server is gone: no close frame from it, and nobody listens."""
    for each in server.get_clients():
        each._channel.abort()  # type: ignore[union-attr]
    await server.stop()


async def end(client: wsmash.WebSocketClient) -> None:
    """Close the client."""
    await client.close()
    await client.wait_closed()


@asynccontextmanager
async def answering(*answers: bytes) -> AsyncIterator[tuple[str, list[float]]]:
    """A server that gives each request the next answer, in the end the last one; its URL, and when it was asked."""
    asked: list[float] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.append(asyncio.get_running_loop().time())
        writer.write(answers[min(len(asked), len(answers)) - 1])
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/", asked


@real
async def test_a_server_that_is_killed_and_comes_back() -> None:
    """Reset connections, refused ones, then one that opens: the same client, and messages in order."""
    got: list[object] = []

    def serve(event: Any) -> None:
        event.client.on("message", lambda message: got.append(message.data))
        event.client.send("hello")

    server = make_server()
    server.on("connection", serve)
    await server.start()
    client = make_client(url_of(server))
    record = Record(client)
    await client.connect()
    await client.send("a")
    await until(lambda: got == ["a"])
    port = server.port
    await kill(server)
    await until(lambda: record.names.count("reconnecting") >= 3)
    server = await start_again(port, serve)
    await client.connect()
    await client.send("b")
    await until(lambda: got == ["a", "b"] and record.data == ["hello", "hello"])
    assert [each for each in record.names if each not in ("reconnecting", "message")] == ["open", "open"]
    await end(client)
    assert record.names[-1] == "close" and record.last.code == 1000
    await server.stop()


@real
async def test_a_block_reads_across_restarts() -> None:
    """`async with connect(url, reconnect=True)` and `async for`: no end, no loss of what was received."""
    life, lives = 0, 3

    def greet(event: Any) -> None:
        for number in range(5):
            event.client.send(f"{life} {number}")

    server = make_server()
    server.on("connection", greet)
    await server.start()
    port, got = server.port, list[object]()
    async with wsmash.connect(url_of(server), reconnect=QUICK) as client:
        async for message in client:
            got.append(message)
            if len(got) % 5 == 0:
                life += 1
                if life == lives:
                    break
                await server.stop()
                server = await start_again(port, greet)
    assert got == [f"{life} {number}" for life in range(lives) for number in range(5)]
    await client.wait_closed()
    with pytest.raises(ConnectionClosed):
        await client.recv()
    await server.stop()


@pytest.mark.case(119)
@real
async def test_503_with_retry_after_is_asked_again_then() -> None:
    """Not before; and the client is open once the server lets it in."""
    busy = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"
    async with answering(busy, b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n") as (url, asked):
        client = make_client(url)
        record = Record(client)
        with pytest.raises(HandshakeError, match="403"):
            await client.connect()
        assert len(asked) == 2 and 1.0 <= asked[1] - asked[0] < 1.5
        assert record.names == ["reconnecting", "error", "close"] and record.events[0].error.status == 503


@pytest.mark.case(119)
@pytest.mark.parametrize("status", [401, 404])
@real
async def test_a_fatal_answer_is_asked_for_once(status: int) -> None:
    """The error is that of a client without `reconnect`."""
    async with answering(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % status) as (url, asked):
        client = make_client(url)
        record = Record(client)
        with pytest.raises(HandshakeError, match=str(status)):
            await client.connect()
        await client.wait_closed()
        await asyncio.sleep(0.1)
        assert len(asked) == 1 and record.names == ["error", "close"]


@pytest.mark.case(119)
@real
async def test_a_certificate_that_is_not_known_is_fatal() -> None:
    """Found in the real handshake of TLS."""
    async with make_server(ssl=contexts().server) as server:
        client = make_client(f"wss://localhost:{server.port}/")
        record = Record(client)
        with pytest.raises(wsmash.ConnectError, match=r"(?i)certificate"):
            await client.connect()
        assert record.names == ["error", "close"]


@pytest.mark.case(118)
@real
async def test_a_server_that_accepts_and_closes_at_once_is_left_more_and_more_alone() -> None:
    """The delays grow although each attempt succeeds."""
    accepted: list[float] = []

    def refuse(event: Any) -> None:
        accepted.append(asyncio.get_running_loop().time())
        event.client.close(1013, "later")

    async with make_server() as server:
        server.on("connection", refuse)
        policy = wsmash.Reconnect(first_delay=0.02, max_delay=0.3, jitter=lambda most: most)
        client = make_client(url_of(server), reconnect=policy)
        client.connect()
        await until(lambda: len(accepted) == 6)
        await end(client)
    gaps = [after - before for before, after in pairwise(accepted)]
    assert all(gap >= least for gap, least in zip(gaps, [0.02, 0.04, 0.08, 0.16, 0.3], strict=True))


@real
async def test_close_and_cancellation_over_real_sockets() -> None:
    """While nobody listens: no attempt, no task and no timer is left."""
    client = make_client(nobody_listens())
    record = Record(client, "close", "error")
    connecting = asyncio.ensure_future(client.connect())
    await asyncio.sleep(0.1)
    connecting.cancel()
    await client.wait_closed()
    client.connect()
    await asyncio.sleep(0.1)
    await end(client)
    assert record.names == ["close", "close"]


@pytest.mark.case(121)
@real
async def test_the_offline_queue_over_real_sockets() -> None:
    """A thousand messages, compressed among them, through an outage: each is received once, in order."""
    got: list[object] = []

    def serve(event: Any) -> None:
        event.client.on("message", lambda message: got.append(message.data))

    server = make_server(compression="deflate")
    server.on("connection", serve)
    await server.start()
    port = server.port
    client = make_client(url_of(server), offline_queue=1000)
    record = Record(client, "reconnecting", "dropped")
    await client.connect()
    await server.stop()
    await until(lambda: record.events)
    actions = [client.send(f"{number:04} " * 60) for number in range(1000)]
    with pytest.raises(wsmash.SlowConsumer):
        client.send("one too many")
    server = await start_again(port, serve, compression="deflate")
    for action in actions:
        await action
    await client.send("last")
    await until(lambda: len(got) == 1001)
    assert got == [f"{number:04} " * 60 for number in range(1000)] + ["last"]
    await client.ping()
    await asyncio.sleep(0)
    assert client._offline is not None and client._offline._size == 0
    await end(client)
    assert "dropped" not in record.names
    await server.stop()


@pytest.mark.case(121)
@real
async def test_close_right_after_connect_loses_nothing_of_the_queue() -> None:
    """The messages and the ping leave before the close frame, and the pong comes before the server's."""
    got: list[object] = []

    def serve(event: Any) -> None:
        event.client.on("message", lambda message: got.append(message.data))

    async with make_server() as server:
        server.on("connection", serve)
        for reconnect in (QUICK, False):
            client = make_client(url_of(server), offline_queue=500, reconnect=reconnect)
            record = Record(client)
            for number in range(500):
                client.send(f"{number} " * 100)
            await client.connect()
            await end(client)
            assert got == [f"{number} " * 100 for number in range(500)]
            assert record.names == ["open", "close"] and record.last.was_clean
            got.clear()


@pytest.mark.case(121)
@real
async def test_each_message_is_received_once_or_reported_however_often_the_server_goes() -> None:
    """Connections cut at any moment of a flush: what was accepted is received or dropped, nothing twice."""
    got: list[str] = []

    def serve(event: Any) -> None:
        event.client.on("message", lambda message: got.append(message.data))

    server = make_server()
    server.on("connection", serve)
    await server.start()
    port = server.port
    client = make_client(url_of(server), offline_queue=wsmash.OfflineQueue(max_age=30), write_high_water=2000)
    dropped: list[Any] = []
    client.on("dropped", dropped.append)
    client.connect()
    accepted: list[str] = []
    for life in range(12):
        for number in range(40):
            text = f"{life}-{number} " + "x" * 200
            if not client.is_open():
                client.send(text)
                accepted.append(text)
            await asyncio.sleep(0)
        await kill(server)
        await until(lambda: not client.is_open())
        server = await start_again(port, serve)
        for _ in range(life * 3):
            await asyncio.sleep(0)
    await client.connect()
    await until(lambda: client._offline is not None and not client._offline._size)
    await end(client)
    assert len(accepted) > 100 and set(got) | {event.data for event in dropped} == set(accepted)
    assert len(set(got)) == len(got) and len({event.data for event in dropped}) == len(dropped)
    assert {event.reason for event in dropped} <= {"unconfirmed"}
    await server.stop()


def test_run_goes_on_through_outages(caplog: pytest.LogCaptureFixture) -> None:
    """It returns when the client has ended; what ended it is raised where no `error` callback hears."""
    lives: list[Any] = []

    port = int(nobody_listens().rsplit(":", 1)[1].rstrip("/"))
    client = make_client(f"ws://127.0.0.1:{port}/")
    record = Record(client, "reconnecting", "open", "close")

    def flap(event: Any) -> None:
        lives.append(event)
        event.client.close(1012)

    async def serve(_: object) -> None:
        client.off("reconnecting", serve)
        server = await start_again(port, flap)
        await until(lambda: len(lives) >= 3)
        signal.raise_signal(signal.SIGTERM)
        await server.stop()

    client.on("reconnecting", serve)
    wsmash.run(client)
    assert len(lives) >= 3 and record.names[-1] == "close" and record.names.count("close") == 1
    assert errors(caplog) == []


def test_run_raises_what_ends_a_client_after_an_outage() -> None:
    """As it raises what keeps one from connecting."""
    port = int(nobody_listens().rsplit(":", 1)[1].rstrip("/"))
    client = make_client(f"ws://127.0.0.1:{port}/")

    async def serve(_: object) -> None:
        client.off("reconnecting", serve)
        server = await start_again(port, lambda event: event.client.close(1008, "not you"))
        await client.wait_closed()
        await server.stop()

    client.on("reconnecting", serve)
    with pytest.raises(ConnectionClosed, match="not you"):
        wsmash.run(client)


@real
async def test_a_name_is_looked_up_for_each_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that has moved is found."""
    looked: list[str] = []
    loop = asyncio.get_running_loop()
    look_up = loop.getaddrinfo
    async with make_server() as server:

        async def move(host: str, port: int, **rest: Any) -> Any:
            looked.append(host)
            return await look_up("127.0.0.1", server.port if len(looked) > 2 else nowhere, **rest)

        nowhere = int(nobody_listens().rsplit(":", 1)[1].rstrip("/"))
        monkeypatch.setattr(loop, "getaddrinfo", move)
        client = make_client("ws://moving.example:81/")
        await client.connect()
        assert looked == ["moving.example"] * 3
        await end(client)


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "wsmash")
