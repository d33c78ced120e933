"""A client that does not get its connection: refused, late, closed or cancelled while it connects."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

import wsmash
from fixtures.clock import real, turns
from fixtures.ends import Record
from fixtures.live import answering, errors, nobody_listens, serving
from wsmash.constants import State
from wsmash.errors import ConnectError, ConnectionClosed, HandshakeError, OpenTimeout, WebSocketError
from wsmash.runtime.environment import current_environment
from wsmash.sansio.handshake import accept_key
from wsmash.transports.base import Connected

Failure = Callable[[], Any]

FAILURES: list[tuple[Failure, dict[str, Any], type[Exception]]] = [
    (lambda: answering(b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnope"), {}, HandshakeError),
    (lambda: answering(b"not HTTP at all\r\n\r\n"), {}, HandshakeError),
    (lambda: answering(b""), {}, ConnectError),
    (lambda: answering(None), {"open_timeout": 0.05}, OpenTimeout),
]


@pytest.mark.parametrize(("server", "options", "kind"), FAILURES, ids=["404", "garbage", "eof", "timeout"])
@real
async def test_a_failed_connect_fires_error_then_close_and_raises(
    server: Failure, options: dict[str, Any], kind: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    """Whether awaited at once or never; `close` has 1006; nothing is logged, since somebody heard."""
    async with server() as url:
        for awaited in (True, False):
            client = wsmash.create_client(url, **options)
            record = Record(client)
            connecting = client.connect()
            if awaited:
                with pytest.raises(kind):
                    await connecting
            await client.wait_closed()
            assert record.names == ["error", "close"]
            assert isinstance(record.events[0].error, kind) and isinstance(record.events[0].error, WebSocketError)
            assert record.last.code == 1006 and record.last.reason and not record.last.was_clean
            assert client.get_state() is State.CLOSED
            for _ in range(2):
                with pytest.raises(kind):
                    await connecting
    assert errors(caplog) == []


@real
async def test_a_refused_connection_is_a_connect_error() -> None:
    """It is an OSError too, with the errno and one cause for each address."""
    client = wsmash.create_client(nobody_listens())
    with pytest.raises(ConnectError) as raised:
        await client.connect()
    assert issubclass(ConnectError, OSError) and raised.value.errno
    assert len(raised.value.causes) == 1 and "127.0.0.1" in str(raised.value)


@real
async def test_open_timeout_is_the_builtin_one_too() -> None:
    """`except TimeoutError` catches it."""
    async with answering(None) as url:
        client = wsmash.create_client(url, open_timeout=0.05)
        with pytest.raises(TimeoutError, match=r"0\.05"):
            await client.connect()


@real
async def test_a_failure_that_reaches_nobody_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """With neither an `error` callback nor an awaiter: one line at ERROR on the logger `wsmash`."""
    client = wsmash.create_client(nobody_listens())
    client.connect()
    await client.wait_closed()
    await asyncio.sleep(0)
    gc.collect()
    assert len(errors(caplog)) == 1 and errors(caplog)[0].name == "wsmash"
    assert "cannot connect" in errors(caplog)[0].getMessage()


@real
async def test_a_failure_that_is_awaited_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """It reached its awaiter."""
    client = wsmash.create_client(nobody_listens())
    with pytest.raises(ConnectError):
        await client.connect()
    await client.wait_closed()
    await asyncio.sleep(0)
    assert errors(caplog) == []


@real
async def test_a_failure_that_is_joined_reaches_every_awaiter() -> None:
    """All who joined the attempt get the error."""
    client = wsmash.create_client(nobody_listens())
    results = await asyncio.gather(client.connect(), client.connect(), return_exceptions=True)
    assert [type(each) for each in results] == [ConnectError, ConnectError]


@real
async def test_a_failed_client_may_be_connected_at_once_again() -> None:
    """Who awaits `connect` finds it closed when the error comes."""
    client = wsmash.create_client(nobody_listens())
    record = Record(client)
    for _ in range(3):
        with pytest.raises(ConnectError):
            await client.connect()
    assert record.names == ["error", "close"] * 3


@real
async def test_close_in_the_error_callback_and_connect_in_the_close_callback() -> None:
    """Each attempt has one `error` and one `close`, however its callbacks are written."""
    client = wsmash.create_client(nobody_listens())
    record = Record(client)
    client.on("error", lambda _: client.close())

    def again(_: object) -> None:
        if len(record.events) < 6:
            client.connect()

    client.on("close", again)
    client.connect()
    while len(record.events) < 6:
        await asyncio.sleep(0)
    await client.wait_closed()
    assert record.names == ["error", "close"] * 3


@real
async def test_close_while_connecting_abandons_the_attempt(caplog: pytest.LogCaptureFixture) -> None:
    """`close` fires with 1006, no `error`, and who awaits `connect()` gets `ConnectionClosed`."""
    async with answering(None) as url:
        client = wsmash.create_client(url)
        record = Record(client)
        connecting = asyncio.create_task(client.connect())
        await turns(20)
        await client.close()
        with pytest.raises(ConnectionClosed):
            await connecting
        await client.wait_closed()
        assert record.names == ["close"] and record.last.code == 1006 and "before it was open" in record.last.reason
        assert client.get_state() is State.CLOSED
    assert caplog.records == []


@real
async def test_close_in_the_turn_of_the_servers_yes_abandons_it_too() -> None:
    """The 101 of an attempt that was given up opens nothing, and its socket is let go."""
    environment = current_environment("the test")
    portable, handlers = environment.driver, list[Any]()

    class Watched:
        """The driver, with an eye on who it attaches."""

        def __getattr__(self, name: str) -> Any:
            return getattr(portable, name)

        def attach(self, sock: Connected, handler: Any, *rest: Any) -> Any:
            handlers.append(handler)
            return portable.attach(sock, handler, *rest)

    environment.driver = Watched()
    async with answering(None) as url:
        client = wsmash.create_client(url)
        record = Record(client)
        client.connect()
        while not handlers:
            await asyncio.sleep(0)
        await turns(3)
        assert client.request is not None
        key = accept_key(client.request.headers["Sec-WebSocket-Key"])
        client.close()
        handlers[0].bytes_received(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + key.encode() + b"\r\n\r\n"
        )
        await client.wait_closed()
        await turns(3)
        assert record.names == ["close"] and client.get_state() is State.CLOSED
        assert handlers[0].channel.info().local_address is None


@real
async def test_close_in_the_turn_of_connect_abandons_it_too() -> None:
    """Before the first packet."""
    client = wsmash.create_client(nobody_listens())
    record = Record(client)
    client.connect()
    client.close()
    await client.wait_closed()
    await turns(50)
    assert record.names == ["close"]


@pytest.mark.parametrize("count", range(12))
@real
async def test_close_at_any_moment_of_connecting(count: int) -> None:
    """However far the attempt is: one `close`, nothing after it, and the client can be connected again."""
    async with serving() as url:
        client = wsmash.create_client(url)
        record = Record(client, "close", "error")
        connecting = client.connect()
        await turns(count)
        client.close()
        await client.wait_closed()
        assert record.names == ["close"]
        with suppress(ConnectionClosed):
            await connecting
        await client.connect()
        assert client.is_open()
        await client.close()
        await client.wait_closed()


@pytest.mark.parametrize("moment", [0, 0.01])
@real
async def test_cancelling_an_awaited_connect_abandons_it(moment: float) -> None:
    """`wait_for` and `timeout` around `connect` leave no attempt behind."""
    async with answering(None) as url:
        client = wsmash.create_client(url)
        record = Record(client)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.connect(), moment)
        await client.wait_closed()
        assert record.names == ["close"] and record.last.code == 1006


@pytest.mark.parametrize("count", range(14))
@real
async def test_cancelling_connect_at_any_moment_leaves_no_connection(count: int) -> None:
    """A task that was cancelled in the very turn of the success does not leave an open connection behind."""
    async with serving() as url:
        client = wsmash.create_client(url)

        async def dial() -> None:
            await client.connect()

        task = asyncio.create_task(dial())
        await turns(count)
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            client.close()
        await client.wait_closed()
        assert not client.is_open()


@real
async def test_cancelling_one_who_joined_abandons_the_attempt_for_all() -> None:
    """There is one attempt."""
    async with answering(None) as url:
        client = wsmash.create_client(url)
        one, other = asyncio.create_task(client.connect()), asyncio.create_task(client.connect())
        await turns(20)
        one.cancel()
        with pytest.raises(ConnectionClosed):
            await other
        await client.wait_closed()
