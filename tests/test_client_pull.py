"""A client in pull style, over real sockets: `wsmash.connect`, and the block."""

from __future__ import annotations

import asyncio
import base64
import gc
import hashlib
import socket
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import wsmash
from fixtures.clock import real, turns
from fixtures.ends import Record
from fixtures.live import nobody_listens, serving
from wsmash.constants import State
from wsmash.errors import ConnectError


@real
async def test_connect_dials_when_it_is_awaited_or_entered() -> None:
    """`wsmash.connect` by itself does nothing, and never warns."""
    connections: list[object] = []
    async with serving(connections.append) as url:
        left_alone = wsmash.connect(url)
        await turns(20)
        assert connections == []
        del left_alone
        gc.collect()
        client = await wsmash.connect(url)
        assert client.is_open() and len(connections) == 1
        await client.close()
        await client.wait_closed()
        async with wsmash.connect(url) as client:
            assert client.is_open() and len(connections) == 2


@real
async def test_a_client_may_be_entered_itself() -> None:
    """`async with create_client(...)` connects, and closes with 1000."""
    events: list[Any] = []
    async with serving(lambda event: event.client.on("close", events.append)) as url:
        client = wsmash.create_client(url)
        async with client as entered:
            assert entered is client and client.is_open()
        assert client.get_state() is State.CLOSED
    assert [event.code for event in events] == [1000]


async def _leave(how: Callable[[wsmash.WebSocketClient], Awaitable[None]]) -> tuple[int, BaseException | None]:
    events: list[Any] = []
    met: BaseException | None = None
    async with serving(lambda event: event.client.on("close", events.append)) as url:
        try:
            async with wsmash.connect(url) as client:
                await how(client)
        except BaseException as error:
            met = error
        while not events:
            await asyncio.sleep(0)
    return events[0].code, met


@real
async def test_leaving_the_block_by_an_exception_closes_with_1011() -> None:
    """The exception goes on."""

    async def fail(_: object) -> None:
        raise KeyError("mine")

    code, met = await _leave(fail)
    assert code == 1011 and isinstance(met, KeyError)


@real
async def test_leaving_the_block_by_cancellation_does_not_wait() -> None:
    """The close frame is sent, with 1000, and nothing is awaited."""
    events: list[Any] = []
    async with serving(lambda event: event.client.on("close", events.append)) as url:
        entered = asyncio.Event()

        async def stay() -> None:
            async with wsmash.connect(url) as client:
                client.on("close", events.append)
                entered.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(stay())
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert events == []
        while len(events) < 2:
            await asyncio.sleep(0)
    assert events[0].code == events[1].code == 1000


@real
async def test_messages_wait_for_a_client_that_was_entered() -> None:
    """However many come before the first `recv`, none is discarded."""

    def flood(event: Any) -> None:
        for number in range(200):
            event.client.send(f"{number}")
        event.client.close()

    async with serving(flood) as url, wsmash.connect(url) as client:
        await turns(50)
        assert [message async for message in client] == [str(number) for number in range(200)]


@real
async def test_entering_a_client_that_cannot_connect_raises() -> None:
    """The error of the attempt, at the `async with`."""
    with pytest.raises(ConnectError):
        async with wsmash.connect(nobody_listens()):
            pytest.fail("entered")


@real
async def test_a_task_group_takes_connect() -> None:
    """`create_task(wsmash.connect(url))` gives the client."""
    async with serving() as url:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(wsmash.connect(url))
        client = task.result()
        assert client.is_open()
        await client.close()
        await client.wait_closed()


@real
async def test_a_client_that_connects_itself_again_begins_with_an_empty_inbox() -> None:
    """What its last connection had left unread is gone, where a `close` callback has dialled."""
    sent: list[wsmash.ServerConnection] = []

    def greet(event: wsmash.ConnectionEvent) -> None:
        sent.append(event.client)
        event.client.send(f"first of {len(sent)}")
        event.client.send(f"second of {len(sent)}")

    async with serving(greet) as url:
        client = await wsmash.connect(url)
        again: list[Any] = []
        client.on("close", lambda _: again.append(client.connect()) if not again else None)
        assert await client.recv() == "first of 1"
        sent[0].close()
        await asyncio.wait_for(client.wait_closed(), 5)
        await again[0]
        assert [await client.recv(), await client.recv()] == ["first of 2", "second of 2"]
        await client.close()
        await client.wait_closed()


@real
async def test_a_connection_that_is_lost_fires_close_once() -> None:
    """A server that vanishes without a close frame is 1006."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept_and_vanish() -> None:
        sock, _ = listener.accept()
        request = b""
        while b"\r\n\r\n" not in request:
            request += sock.recv(4096)
        key = next(line for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
        digest = hashlib.sha1(key.split(b": ")[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        sock.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n\x81\x02hi"
        )
        sock.close()

    thread = threading.Thread(target=accept_and_vanish)
    thread.start()
    client = wsmash.create_client(f"ws://127.0.0.1:{listener.getsockname()[1]}/")
    record = Record(client)
    await client.connect()
    await client.wait_closed()
    thread.join()
    listener.close()
    assert record.names == ["open", "message", "close"] and record.last.code == 1006
