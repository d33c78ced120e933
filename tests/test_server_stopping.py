"""A server that stops: what it closes, waits for, cancels and aborts, and who may stop it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import wsmash
from fixtures.clock import real, turns
from fixtures.live import errors, make_server, url_of
from fixtures.raw import ask, get, upgrade
from wsmash.constants import State
from wsmash.errors import ConnectionClosed, InvalidState


@real
async def test_stop_closes_every_connection_with_1001() -> None:
    """And ends when all of them, and the `close` callbacks, are done."""
    server = make_server()
    steps: list[Any] = []
    server.on("close", steps.append)
    server.on("connection", lambda event: event.client.on("close", steps.append))
    await server.start()
    clients = [await wsmash.connect(url_of(server)) for _ in range(5)]
    await server.stop()
    assert [type(step).__name__ for step in steps] == ["CloseEvent"] * 5 + ["ServerEvent"]
    assert steps[-1].server is server and not server.is_started() and server.get_clients() == ()
    for client in clients:
        with pytest.raises(ConnectionClosed) as raised:
            await client.recv()
        assert raised.value.code == 1001
        await client.wait_closed()
    await server.stop()
    await server.wait_closed()


@real
async def test_stop_acts_at_the_call_and_may_be_awaited_by_many() -> None:
    """At once nothing listens any more; `wait_closed` ends with it."""
    server = make_server()
    await server.start()
    waiting = asyncio.create_task(server.wait_closed())
    await turns(2)
    stopping = server.stop()
    assert not server.is_started()
    await asyncio.gather(stopping, server.stop(), waiting)


@real
async def test_making_way_refuses_nobody_and_closes_with_1012() -> None:
    """Who has connected already is let in, and then told to connect again, as all others are."""
    server = make_server()
    await server.start()
    early = await wsmash.connect(url_of(server))
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    while server.counters.accepted < 2:
        await turns(1)
    stopping = server._make_way()
    writer.write(upgrade())
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    head, length, high, low = await reader.readexactly(4)
    assert (head, length > 2, high << 8 | low) == (0x88, True, 1012)
    with pytest.raises(ConnectionClosed) as raised:
        await early.recv()
    assert raised.value.code == 1012
    writer.close()
    await stopping


@real
async def test_start_while_stopping_is_an_invalid_state() -> None:
    """It says what to wait for."""
    server = make_server()
    await server.start()
    server.stop()
    with pytest.raises(InvalidState, match="wait_closed"):
        server.start()
    await server.wait_closed()


@real
async def test_a_stopped_server_starts_again() -> None:
    """With the same callbacks."""
    server = make_server()
    server.on("connection", lambda event: event.client.send("hello"))
    for _ in range(3):
        await server.start()
        async with wsmash.connect(url_of(server)) as client:
            assert await client.recv() == "hello"
        await server.stop()


@real
async def test_stop_waits_for_callbacks() -> None:
    """Those that run when it begins come to their end."""
    server = make_server()
    steps: list[str] = []
    begun = asyncio.Event()

    async def work(_: object) -> None:
        begun.set()
        await turns(50)
        steps.append("worked")

    server.on("connection", work)
    await server.start()
    client = await wsmash.connect(url_of(server))
    await begun.wait()
    await server.stop()
    assert steps == ["worked"]
    await client.wait_closed()


@real
async def test_stop_cancels_what_is_left_at_shutdown_timeout(caplog: pytest.LogCaptureFixture) -> None:
    """A callback that does not end is cancelled."""
    server = make_server(shutdown_timeout=0.05)
    steps: list[str] = []

    async def stay(_: object) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            steps.append("cancelled")
            raise

    server.on("connection", lambda event: event.client.on("message", stay))
    await server.start()
    client = await wsmash.connect(url_of(server))
    client.send("x")
    await client.ping()
    await server.stop()
    assert steps == ["cancelled"] and errors(caplog) == []
    await client.wait_closed()


@real
async def test_stop_aborts_peers_that_do_not_answer() -> None:
    """A client that never answers the close frame is dropped at `shutdown_timeout`, and its `close` fires."""
    server = make_server(shutdown_timeout=0.05)
    codes: list[int] = []
    server.on("connection", lambda event: event.client.on("close", lambda close: codes.append(close.code)))
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    await server.stop()
    assert codes == [1006]
    writer.close()


@real
async def test_cancelling_an_awaited_stop_ends_only_the_waiting() -> None:
    """The stop goes on."""
    server = make_server()
    steps: list[str] = []

    async def work(_: object) -> None:
        await turns(50)
        steps.append("worked")

    server.on("connection", work)
    await server.start()
    client = await wsmash.connect(url_of(server))

    async def stop() -> None:
        await server.stop()

    stopping = asyncio.create_task(stop())
    await turns(5)
    stopping.cancel()
    await asyncio.wait([stopping])
    assert stopping.cancelled()
    await server.wait_closed()
    assert steps == ["worked"]
    await client.wait_closed()


@pytest.mark.parametrize("event", ["connection", "message", "close"])
@pytest.mark.parametrize("kind", ["plain", "awaited"])
@real
async def test_a_callback_may_stop_the_server(event: Any, kind: str) -> None:
    """And await that: it is not waited for, and the stop ends at once."""
    server = make_server(shutdown_timeout=20)
    steps: list[str] = []

    async def stop_and_wait(_: object) -> None:
        await server.stop()
        steps.append("stopped")

    def stop(_: object) -> None:
        server.stop()
        steps.append("stopped")

    callback: Any = stop if kind == "plain" else stop_and_wait
    if event == "connection":
        server.on("connection", callback)
    else:
        server.on("connection", lambda each: each.client.on(event, callback))
    await server.start()
    client = await wsmash.connect(url_of(server))
    if event == "message":
        client.send("x")
    if event == "close":
        client.close()
    async with asyncio.timeout(5):
        await server.wait_closed()
        while not steps:
            await asyncio.sleep(0)
    await client.wait_closed()


@pytest.mark.case(124)
@pytest.mark.parametrize("others", [0, 2])
@real
async def test_a_hook_may_stop_the_server(others: int) -> None:
    """It may await that, and answers then; other connections and requests are seen out before."""

    async def hook(request: wsmash.Request) -> wsmash.Response | None:
        if request.path != "/stop":
            return None
        await server.stop()
        return wsmash.Response(200, "stopped\n")

    server = make_server(process_request=hook)
    await server.start()
    clients = [await wsmash.connect(url_of(server)) for _ in range(others)]
    async with asyncio.timeout(5):
        answers = await asyncio.gather(*(ask(server, get("/stop")) for _ in range(1 + others)))
        await server.wait_closed()
    assert [answer.status for answer in answers] == [200] * len(answers)
    for client in clients:
        await client.wait_closed()


@real
async def test_several_callbacks_may_await_the_stop() -> None:
    """None of them waits for the others for ever, whichever of them comes first."""
    server = make_server(shutdown_timeout=20)
    steps: list[str] = []
    go = asyncio.Event()

    async def stop_later(event: wsmash.MessageEvent) -> None:
        if event.data == "late":
            await go.wait()
        await server.stop()
        steps.append(str(event.data))

    server.on("connection", lambda event: event.client.on("message", stop_later))
    await server.start()
    clients = [await wsmash.connect(url_of(server)) for _ in range(3)]
    for client, text in zip(clients, ("late", "early", "late"), strict=True):
        client.send(text)
    async with asyncio.timeout(5):
        while server.is_started():
            await asyncio.sleep(0)
        await turns(20)
        go.set()
        await server.wait_closed()
        while len(steps) < 3:
            await asyncio.sleep(0)
    for client in clients:
        await client.wait_closed()


@real
async def test_leaving_the_block_stops_the_server() -> None:
    """Also by an exception."""
    for error in (None, KeyError("mine")):
        server = make_server()
        try:
            async with server as entered:
                assert entered is server and server.is_started()
                if error is not None:
                    raise error
        except KeyError:
            pass
        await server.wait_closed()
        assert not server.is_started()


@real
async def test_a_close_callback_of_the_server_that_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The stop ends all the same."""

    def fail(_: object) -> None:
        raise KeyError("mine")

    server = make_server()
    server.on("close", fail)
    await server.start()
    await server.stop()
    assert len(errors(caplog)) == 1


@real
async def test_a_connection_drops_its_callbacks_after_its_close_event() -> None:
    """A callback that holds its connection is no cycle then."""
    async with make_server() as server:
        connections: list[Any] = []

        def connected(event: wsmash.ConnectionEvent) -> None:
            client: Any = event.client
            connections.append(client)
            for name in ("open", "message", "close", "error"):
                client.on(name, lambda _: client)

        server.on("connection", connected)
        async with wsmash.connect(url_of(server)):
            pass
        [connection] = connections
        await connection.wait_closed()
        slots = [connection._on_open, connection._on_message, connection._on_close, connection._on_error]
        assert slots == [None] * 4 and connection.get_state() is State.CLOSED


@pytest.mark.case(124)
@real
async def test_stop_ends_though_a_callback_swallows_its_cancellation(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A callback that will not end is given up after a moment, and named in the log."""
    monkeypatch.setattr("wsmash.serving.LAST_CALLBACKS", 0.05)
    server = make_server(shutdown_timeout=0.05)
    released = asyncio.Event()

    @server.on("connection")
    async def stubborn(event: wsmash.ConnectionEvent) -> None:
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue

    await server.start()
    client = await wsmash.connect(url_of(server))
    await server.stop()
    assert not server.is_started()
    assert "1 callbacks did not end when they were cancelled" in caplog.text
    released.set()
    await client.wait_closed()
    await server.callbacks_done()
