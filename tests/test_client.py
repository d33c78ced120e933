"""The client, over real sockets: connecting, connecting again, loops and threads."""

from __future__ import annotations

import asyncio
import gc
import weakref
from contextvars import ContextVar
from typing import Any

import pytest

import wsmash
from fixtures.clock import real, turns
from fixtures.ends import Record
from fixtures.live import answering, nobody_listens, serving
from wsmash.constants import State
from wsmash.errors import ConnectError, ConnectionClosed, InvalidState

who: ContextVar[str] = ContextVar("who", default="nobody")


def test_a_new_client_needs_no_loop() -> None:
    """`on`, `off` and `get_*` work without one; the state is CONNECTING, as a browser's."""
    client = wsmash.create_client("ws://server.example/a?b", ["chat", "superchat"])
    callback = client.on("message", lambda _: None)
    client.off("message", callback)
    assert client.get_state() is State.CONNECTING and not client.is_open()
    assert client.get_url() == "ws://server.example/a?b" and client.get_protocols() == ("chat", "superchat")
    nothing: list[object] = [client.response, client.subprotocol, client.remote_address, client.latency]
    assert nothing == [None] * 4 and not client.request
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


@pytest.mark.parametrize("count", range(4))
@real
async def test_a_callback_of_the_last_life_that_ends_late_does_not_end_the_next(count: int) -> None:
    """A callback that outlives its connection fires no second `close`, whenever the client connects again."""
    async with serving(lambda event: event.client.send("x")) as url:
        client = wsmash.create_client(url)
        record = Record(client, "close")
        begun, go = asyncio.Event(), asyncio.Event()

        async def callback(_: object) -> None:
            begun.set()
            await go.wait()

        client.on("message", callback)
        await client.connect()
        await begun.wait()
        await client.close()
        await client.wait_closed()
        go.set()
        await turns(count)
        await client.connect()
        await turns(5)
        assert client.is_open() and len(record.events) == 1
        await client.close()
        await client.wait_closed()
        await turns(5)


@real
async def test_a_callback_of_the_last_life_that_is_cancelled_does_not_end_the_next() -> None:
    """A close callback may do both: cancel what still runs, and connect again."""
    tasks: list[Any] = []

    async def slow(_: object) -> None:
        tasks.append(asyncio.current_task())
        await asyncio.Event().wait()

    def again(_: object) -> None:
        client.off("close", again)
        tasks[0].cancel()
        client.connect()

    async with serving(lambda event: event.client.send("hello")) as url:
        client = wsmash.create_client(url)
        record = Record(client, "open", "close")
        client.on("message", slow)
        client.on("close", again)
        await client.connect()
        while not tasks:
            await asyncio.sleep(0)
        client.abort()
        while len(tasks) < 2:
            await asyncio.sleep(0)
        assert record.names == ["open", "close", "open"] and client.is_open()
        tasks[1].cancel()
        await client.wait_closed()
        await asyncio.wait(tasks)


@pytest.mark.parametrize("again", [False, True])
@real
async def test_a_reader_hears_of_the_end_of_its_own_connection(again: bool) -> None:
    """Though a close callback has connected the client again by then."""

    def connect(_: object) -> None:
        client.off("close", connect)
        client.connect()

    async def read(client: wsmash.WebSocketClient) -> list[object]:
        return [message async for message in client]

    async with serving(lambda event: event.client.on("message", lambda got: event.client.close(got.json()))) as url:
        for code in (1001, 4000):
            client = wsmash.create_client(url)
            if again:
                client.on("close", connect)
            await client.connect()
            reading = asyncio.ensure_future(read(client) if code == 1001 else client.recv())
            await turns(3)
            client.send_json(code)
            await asyncio.wait([reading])
            if code == 1001:
                assert reading.result() == []
            else:
                error = reading.exception()
                assert isinstance(error, ConnectionClosed) and error.code == code
            assert client.get_state() is (State.CONNECTING if again else State.CLOSED)
            client.abort()
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
        assert client.request and client.request.headers["Sec-WebSocket-Protocol"] == "a, b"
        assert client.response is not None and client.response.status == 101
        assert isinstance(client.remote_address, tuple) and isinstance(client.local_address, tuple)
        assert client.remote_address[0] == client.local_address[0] == "127.0.0.1"
        assert len(client.id) == 16 and client.id == client.id
        await client.close()
        addresses: list[object] = [client.local_address]
        assert addresses == [None]
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


@pytest.mark.case(126)
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
