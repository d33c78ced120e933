"""The client, over real sockets: connecting, every way that it fails, and connecting again."""

from __future__ import annotations

import asyncio
import base64
import gc
import hashlib
import logging
import socket
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from typing import Any

import pytest

import wsmash
from fixtures.clock import real, turns
from fixtures.ends import Record
from wsmash.constants import State
from wsmash.errors import ConnectError, ConnectionClosed, HandshakeError, InvalidState, OpenTimeout, WebSocketError

who: ContextVar[str] = ContextVar("who", default="nobody")


@asynccontextmanager
async def serving(on_connection: Callable[[Any], object] = lambda _: None, **options: Any) -> AsyncIterator[str]:
    """A server of ours on a free port; gives its URL."""
    async with wsmash.create_server(host="127.0.0.1", port=0, **options) as server:
        server.on("connection", on_connection)
        yield f"ws://127.0.0.1:{server.port}/"


@asynccontextmanager
async def answering(answer: bytes | None) -> AsyncIterator[str]:
    """A TCP server that answers so and ends the connection, or says nothing at all."""
    held: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)
        if answer is not None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()
        for writer in held:
            writer.close()
        await asyncio.sleep(0)


def nobody_listens() -> str:
    """The URL of a port where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"ws://127.0.0.1:{sock.getsockname()[1]}/"


def errors(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """What was logged at ERROR."""
    return [each for each in caplog.records if each.levelno >= logging.ERROR]


# -- before connect


def test_a_new_client_needs_no_loop() -> None:
    """`on`, `off` and `get_*` work without one; the state is CONNECTING, as a browser's."""
    client = wsmash.create_client("ws://server.example/a?b", ["chat", "superchat"])
    callback = client.on("message", lambda _: None)
    client.off("message", callback)
    assert client.get_state() is State.CONNECTING and not client.is_open()
    assert client.get_url() == "ws://server.example/a?b" and client.get_protocols() == ("chat", "superchat")
    nothing: list[object] = [client.request, client.response, client.subprotocol, client.remote_address, client.latency]
    assert nothing == [None] * 5
    assert client.state == {} and client.state is client.state
    assert repr(client) == "<WebSocketClient CONNECTING ws://server.example/a?***>"


def test_connect_without_a_loop_names_run() -> None:
    """A RuntimeError says what to do."""
    with pytest.raises(RuntimeError, match=r"wsmash\.run"):
        wsmash.create_client("ws://server.example/").connect()


def test_clients_are_hashable_and_compared_by_identity() -> None:
    """They may be kept in sets and dicts."""
    one, other = wsmash.create_client("ws://server.example/"), wsmash.create_client("ws://server.example/")
    assert one != other and one == one and len({one, other, one}) == 2  # noqa: PLR0124


@real
async def test_close_before_connect_does_nothing() -> None:
    """It may be awaited, fires no event, and `connect` works afterwards."""
    async with serving() as url:
        client = wsmash.create_client(url)
        record = Record(client)
        await client.close()
        await client.wait_closed()
        assert record.events == [] and client.get_state() is State.CONNECTING
        await client.connect()
        assert client.is_open()
        await client.close()
        await client.wait_closed()


def test_close_before_connect_needs_no_loop() -> None:
    """There is nothing to wait for."""
    wsmash.create_client("ws://server.example/").close()


# -- connect


@real
async def test_connect_acts_at_the_call() -> None:
    """The events come whether or not what it returns is awaited."""
    async with serving(lambda event: event.client.send("welcome")) as url:
        client = wsmash.create_client(url)
        record = Record(client)
        client.connect()
        assert client.get_state() is State.CONNECTING
        while len(record.events) < 2:
            await asyncio.sleep(0)
        assert record.names == ["open", "message"] and record.data == ["welcome"]
        await client.close()
        await client.wait_closed()
        assert record.names == ["open", "message", "close"]


@real
async def test_awaiting_connect_returns_once_the_open_callbacks_were_called() -> None:
    """Plain ones are over then, a coroutine one has run to its first suspension."""
    steps: list[str] = []
    wait = asyncio.Event()

    async def opened(_: object) -> None:
        steps.append("begun")
        await wait.wait()
        steps.append("ended")

    async with serving() as url:
        client = wsmash.create_client(url)
        client.on("open", lambda _: steps.append("plain"))
        client.on("open", opened)
        await client.connect()
        assert steps == ["plain", "begun"]
        wait.set()
        await client.close()
        await client.wait_closed()
        assert steps[-1] == "ended"


@real
async def test_connect_joins_what_is_there() -> None:
    """While CONNECTING and while OPEN: one connection, one `open`."""
    connections: list[object] = []
    async with serving(connections.append) as url:
        client = wsmash.create_client(url)
        record = Record(client, "open")
        first = client.connect()
        await asyncio.gather(first, client.connect())
        await client.connect()
        assert len(record.events) == 1 and len(connections) == 1
        await client.close()
        await client.wait_closed()


@real
async def test_connect_after_closed_dials_again() -> None:
    """The same object, with its callbacks and its `state`, gets another connection and another id."""
    async with serving(lambda event: event.client.send("hello")) as url:
        client = wsmash.create_client(url)
        record = Record(client, "open", "close")
        client.state["kept"] = True
        ids = set()
        for _ in range(3):
            await client.connect()
            assert client.is_open() and await client.recv() == "hello"
            ids.add(client.id)
            await client.close()
            await client.wait_closed()
            assert client.get_state() is State.CLOSED
        assert record.names == ["open", "close"] * 3 and len(ids) == 3 and client.state == {"kept": True}


@real
async def test_connect_in_a_close_callback_dials_again() -> None:
    """The way to reconnect by hand."""
    async with serving(lambda event: event.client.close(1012)) as url:
        client = wsmash.create_client(url)
        codes: list[int] = []

        @client.on("close")
        def _(event: wsmash.CloseEvent) -> None:
            codes.append(event.code)
            if len(codes) < 3:
                client.connect()

        client.connect()
        while len(codes) < 3:
            await asyncio.sleep(0)
        assert codes == [1012] * 3
        await client.wait_closed()


@real
async def test_connect_while_closing_is_an_invalid_state() -> None:
    """It says what to wait for."""
    async with serving() as url:
        client = wsmash.create_client(url)
        await client.connect()
        closing = client.close()
        with pytest.raises(InvalidState, match="wait_closed"):
            client.connect()
        await closing
        await client.wait_closed()
        await client.connect()
        await client.close()
        await client.wait_closed()


@real
async def test_what_there_is_to_know_of_an_open_client() -> None:
    """Addresses, subprotocol, request and response."""
    async with serving(protocols=["b", "a"]) as url:
        client = wsmash.create_client(url, ["a", "b"])
        await client.connect()
        assert client.subprotocol == "b"
        assert client.request is not None and client.request.headers["Sec-WebSocket-Protocol"] == "a, b"
        assert client.response is not None and client.response.status == 101
        assert client.remote_address[0] == client.local_address[0] == "127.0.0.1"
        assert len(client.id) == 16 and client.id == client.id
        await client.close()
        assert client.local_address is None
        await client.wait_closed()


@real
async def test_callbacks_see_the_context_of_connect() -> None:
    """Copied where `connect()` was called."""
    seen: list[str] = []
    async with serving(lambda event: event.client.send("x")) as url:
        client = wsmash.create_client(url)
        got = asyncio.Event()

        async def callback(_: object) -> None:
            seen.append(who.get())

        client.on("open", callback)
        client.on("message", callback)
        client.on("close", callback)
        client.on("message", lambda _: got.set())
        who.set("connecting")
        client.connect()
        who.set("later")
        await got.wait()
        await client.close()
        await client.wait_closed()
        await client.callbacks_done()
        assert seen == ["connecting"] * 3


# -- failing to connect

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


# -- abandoning


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


# -- loops and threads


def test_a_client_belongs_to_the_loop_of_its_first_connect() -> None:
    """Another loop is a RuntimeError."""
    client = wsmash.create_client(nobody_listens())

    async def fail_to_connect() -> None:
        with pytest.raises(ConnectError):
            await client.connect()

    async def connect_elsewhere() -> None:
        with pytest.raises(RuntimeError, match="event loop of its first"):
            client.connect()

    asyncio.run(fail_to_connect())
    asyncio.run(connect_elsewhere())


@real
async def test_close_while_connecting_from_another_thread_is_a_runtime_error() -> None:
    """As every action is."""
    async with answering(None) as url:
        client = wsmash.create_client(url)
        client.connect()
        met: list[BaseException] = []

        def act() -> None:
            try:
                client.close()
            except RuntimeError as error:
                met.append(error)

        await asyncio.to_thread(act)
        assert len(met) == 1 and client.get_state() is State.CONNECTING
        client.close()
        await client.wait_closed()


@real
async def test_a_client_that_nobody_holds_is_held_until_its_close_event() -> None:
    """While it connects, while it is open, and until `close` has fired."""
    codes: list[int] = []
    let_go = asyncio.Event()

    async def close_later(event: Any) -> None:
        await let_go.wait()
        event.client.close(4000)

    async with serving(close_later) as url:
        client = wsmash.create_client(url, ping_interval=None, message_timeout=None, write_timeout=None)
        client.on("close", lambda event: codes.append(event.code))
        opened = asyncio.Event()
        client.on("open", lambda _: opened.set())
        client.connect()
        gone = weakref.ref(client._owner)
        del client
        gc.collect()
        await opened.wait()
        gc.collect()
        let_go.set()
        while not codes:
            await asyncio.sleep(0)
        assert codes == [4000]
    gc.collect()
    assert gone() is None


# -- pull style


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
