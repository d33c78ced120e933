"""The server, over real sockets: before and while it starts, and its connections."""

from __future__ import annotations

import asyncio
import errno
import gc
import socket
from contextvars import ContextVar
from typing import Any

import pytest

import wsmash
from fixtures.clock import real, turns
from fixtures.live import errors, make_server, url_of
from fixtures.raw import upgrade
from wsmash.errors import ConnectionClosed, InvalidState

who: ContextVar[str] = ContextVar("who", default="nobody")


class Busy:
    """A port that is in use."""

    def __enter__(self) -> int:
        self._sock = socket.socket()
        self._sock.bind(("127.0.0.1", 0))
        self._sock.listen()
        return int(self._sock.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        self._sock.close()


def test_a_new_server_needs_no_loop() -> None:
    """`on`, `off` and `get_*` work without one."""
    server = wsmash.create_server()
    server.off("connection", server.on("connection", lambda _: None))
    assert not server.is_started() and server.get_clients() == () and server.get_client_count() == 0
    assert (server.get_options().port, server.get_options().host, server.get_options().path) == (8080, "localhost", "/")
    assert server.port == 8080


def test_start_without_a_loop_names_run() -> None:
    """A RuntimeError says what to do."""
    with pytest.raises(RuntimeError, match=r"wsmash\.run"):
        wsmash.create_server().start()


def test_broadcast_before_start_reaches_nobody() -> None:
    """It is 0; what is no message is a TypeError all the same."""
    server = wsmash.create_server()
    assert server.broadcast("x") == 0
    with pytest.raises(TypeError):
        server.broadcast(None)  # type: ignore[arg-type]


def test_stop_before_start_does_nothing() -> None:
    """Without a loop, too."""
    wsmash.create_server().stop()


def test_an_unknown_event_is_a_value_error_that_lists_the_valid_ones() -> None:
    """A server has events of its own."""
    with pytest.raises(ValueError, match="connection, close, error"):
        wsmash.create_server().on("message", print)  # type: ignore[call-overload]


@real
async def test_wait_closed_before_start_returns() -> None:
    """There is nothing to wait for."""
    await make_server().wait_closed()


@real
async def test_start_joins_what_is_there() -> None:
    """While it is under way, and once it is done."""
    server = make_server()
    await asyncio.gather(server.start(), server.start())
    port = server.port
    await server.start()
    assert server.is_started() and port == server.port != 0
    await server.stop()


@real
async def test_start_acts_at_the_call() -> None:
    """Not awaited, it listens a moment later."""
    server = make_server()
    server.start()
    while not server.is_started():
        await asyncio.sleep(0)
    async with wsmash.connect(url_of(server)) as client:
        assert client.is_open()
    await server.stop()


@real
async def test_a_failed_start_fires_error_and_raises(caplog: pytest.LogCaptureFixture) -> None:
    """An OSError with its errno; nothing is logged, since somebody heard; `wait_closed` returns."""
    with Busy() as port:
        server = make_server(port=port)
        events: list[Any] = []
        server.on("error", events.append)
        server.on("close", events.append)
        with pytest.raises(OSError, match=str(port)) as raised:
            await server.start()
        await turns(3)
        assert raised.value.errno == errno.EADDRINUSE and not server.is_started()
        assert [event.error for event in events] == [raised.value] and events[0].server is server
        await server.wait_closed()
        await server.stop()
    assert errors(caplog) == []


@real
async def test_a_failed_start_that_reaches_nobody_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """With neither an `error` callback nor an awaiter."""
    with Busy() as port:
        server = make_server(port=port)
        server.start()
        await server.wait_closed()
        await turns(3)
        gc.collect()
    assert len(errors(caplog)) == 1 and str(port) in errors(caplog)[0].getMessage()


@real
async def test_a_server_that_failed_to_start_may_be_started_again() -> None:
    """Once the port is free."""
    server = make_server()
    with Busy() as port:
        server = make_server(port=port)
        with pytest.raises(OSError, match="in use"):
            await server.start()
    await server.start()
    assert server.is_started()
    await server.stop()


@real
async def test_stop_during_start_abandons_it() -> None:
    """Who awaits `start` gets an error, nothing listens, and nothing is left."""
    server = make_server()
    starting = server.start()
    await server.stop()
    assert not server.is_started()
    with pytest.raises(InvalidState, match="stopped"):
        await starting
    await server.start()
    await server.stop()


@pytest.mark.parametrize("count", range(6))
@real
async def test_cancelling_an_awaited_start_abandons_it(count: int) -> None:
    """At any moment: it stops, and can be started again."""
    server = make_server()
    task = asyncio.create_task(_start(server))
    await turns(count)
    task.cancel()
    await asyncio.wait([task])
    if task.cancelled():
        await server.wait_closed()
        assert not server.is_started()
    await server.start()
    assert server.is_started()
    await server.stop()


async def _start(server: wsmash.WebSocketServer) -> None:
    await server.start()


def test_a_server_belongs_to_the_loop_of_its_first_start() -> None:
    """Another loop is a RuntimeError."""
    server = make_server()

    async def start_and_stop() -> None:
        await server.start()
        await server.stop()

    async def start_elsewhere() -> None:
        with pytest.raises(RuntimeError, match="event loop of its first"):
            server.start()

    asyncio.run(start_and_stop())
    asyncio.run(start_elsewhere())


@real
async def test_actions_from_another_thread_are_a_runtime_error() -> None:
    """`broadcast` and `stop` say how to get to the loop."""
    async with make_server() as server:
        met: list[str] = []

        def act() -> None:
            for action in (lambda: server.broadcast("x"), server.stop):
                try:
                    action()
                except RuntimeError as error:
                    met.append(str(error))

        await asyncio.to_thread(act)
        assert len(met) == 2 and all("call_soon_threadsafe" in each for each in met) and server.is_started()


@real
async def test_options_are_what_was_given() -> None:
    """`get_options()` is a frozen dataclass; `server.port` is the real port."""
    async with make_server(max_queue=3) as server:
        options = server.get_options()
        assert options.port == 0 != server.port and options.max_queue == 3
        with pytest.raises(AttributeError):
            options.max_queue = 4  # type: ignore[misc]
    assert server.port == 0


@real
async def test_the_connection_event() -> None:
    """It has the client and the request; the client is in `get_clients()` by then, and open."""
    async with make_server(path="/chat", protocols=["a"]) as server:
        seen: list[Any] = []

        def connected(event: wsmash.ConnectionEvent) -> None:
            seen.append(event)
            assert server.get_clients() == (event.client,) and event.client.is_open()

        server.on("connection", connected)
        async with wsmash.connect(url_of(server) + "chat?q=1", ["b", "a"]) as client:
            [event] = seen
            assert event.request.path == "/chat" and event.client.get_protocols() == ("b", "a")
            assert event.client.get_url() == f"ws://127.0.0.1:{server.port}/chat?q=1"
            assert event.client.subprotocol == client.subprotocol == "a"
            assert event.client.response.status == 101
            assert event.client.remote_address == client.local_address
            assert "ConnectionEvent" in repr(event)


@real
async def test_a_connection_is_out_of_get_clients_before_its_close_event() -> None:
    """And in it before its `connection` event; the tuple is a snapshot, in order of arrival."""
    async with make_server() as server:
        counts: list[int] = []
        closed = asyncio.Event()

        def connected(event: wsmash.ConnectionEvent) -> None:
            counts.append(server.get_client_count())

            @event.client.on("close")
            def _(_: object) -> None:
                counts.append(server.get_client_count())
                closed.set()

        server.on("connection", connected)
        async with wsmash.connect(url_of(server)):
            async with wsmash.connect(url_of(server)):
                snapshot = server.get_clients()
            await closed.wait()
            assert counts == [1, 2, 1] and len(snapshot) == 2 and server.get_clients() == snapshot[:1]


@real
async def test_connection_comes_before_open_and_messages() -> None:
    """`connection` runs to its first suspension, then `open`, then messages flow while both wait."""
    steps: list[object] = []
    done = asyncio.Event()

    async def opened(_: object) -> None:
        steps.append("open")
        await done.wait()

    async def connected(event: wsmash.ConnectionEvent) -> None:
        steps.append("connection")
        event.client.on("open", opened)
        event.client.on("message", lambda message: steps.append(message.data))
        event.client.on("message", lambda _: done.set())
        await done.wait()
        steps.append("connection ends")

    async with make_server() as server:
        server.on("connection", connected)
        async with wsmash.connect(url_of(server)) as client:
            client.send("x")
            await done.wait()
            await turns(3)
            assert steps == ["connection", "open", "x", "connection ends"]
            assert client.is_open()  # returning from the callback closes nothing


@real
async def test_a_connection_callback_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    """Logged once with its traceback, the server's `error` fires, the client gets 1011 and no word of it."""

    async def later(_: object) -> None:
        await asyncio.sleep(0)
        raise KeyError("a secret")

    def at_once(_: object) -> None:
        raise KeyError("a secret")

    for callback in (at_once, later):
        caplog.clear()
        async with make_server() as server:
            events: list[Any] = []
            server.on("connection", callback)
            server.on("error", events.append)
            async with wsmash.connect(url_of(server)) as client:
                with pytest.raises(ConnectionClosed) as raised:
                    await client.recv()
            assert (raised.value.code, raised.value.reason) == (1011, "internal error")
            assert [str(event.error) for event in events] == ["'a secret'"]
            assert len(errors(caplog)) == 1 and errors(caplog)[0].exc_info
            assert server.is_started()


@real
async def test_a_connections_errors_go_to_its_own_error_callback() -> None:
    """Not to the server's."""
    async with make_server() as server:
        heard: list[str] = []

        def connected(event: wsmash.ConnectionEvent) -> None:
            event.client.on("error", lambda _: heard.append("connection"))
            event.client.on("message", lambda message: message.json())

        server.on("connection", connected)
        server.on("error", lambda _: heard.append("server"))
        async with wsmash.connect(url_of(server)) as client:
            client.send("{")
            with pytest.raises(ConnectionClosed) as raised:
                await client.recv()
        assert heard == ["connection"] and raised.value.code == 1007


@real
async def test_callbacks_see_the_context_of_start() -> None:
    """Each connection has a copy of its own."""
    seen: list[str] = []
    who.set("starter")
    server = make_server()

    def connected(event: wsmash.ConnectionEvent) -> None:
        seen.append(who.get())
        who.set(f"client {len(seen)}")
        event.client.on("message", lambda _: event.client.send(who.get()))

    server.on("connection", connected)
    await server.start()
    who.set("changed later")
    async with wsmash.connect(url_of(server)) as one, wsmash.connect(url_of(server)) as other:
        one.send("?")
        other.send("?")
        assert [await one.recv(), await other.recv()] == ["client 1", "client 2"]
    assert seen == ["starter", "starter"] and who.get() == "changed later"
    await server.stop()


@real
async def test_a_callback_may_broadcast_and_close_others() -> None:
    """One client's message reaches all; another one's closes all but itself."""

    def connected(event: wsmash.ConnectionEvent) -> None:
        @event.client.on("message")
        def _(message: wsmash.MessageEvent) -> None:
            if message.data == "close the others":
                for each in server.get_clients():
                    if each is not message.client:
                        each.close(4000)
            else:
                server.broadcast(message.data)

    async with make_server() as server:
        server.on("connection", connected)
        async with wsmash.connect(url_of(server)) as one, wsmash.connect(url_of(server)) as other:
            one.send("hello")
            assert [await one.recv(), await other.recv()] == ["hello", "hello"]
            one.send("close the others")
            with pytest.raises(ConnectionClosed) as raised:
                await other.recv()
            assert raised.value.code == 4000 and one.is_open()


@real
async def test_a_server_that_sends_whenever_there_is_room_still_hears_its_peer() -> None:
    """Reading pauses for a full write buffer, but never so that nothing is read between two pauses."""
    server = make_server()
    stopped = asyncio.Event()

    @server.on("connection")
    async def flood(event: wsmash.ConnectionEvent) -> None:
        event.client.on("message", lambda _: stopped.set())
        while not stopped.is_set() and event.client.is_open():
            await event.client.send(b"x" * 10_000)

    async with server, wsmash.connect(url_of(server), max_queue=10**6) as client:
        reading = asyncio.ensure_future(_read_all(client))
        for _ in range(50):
            await asyncio.sleep(0)
        client.send("stop")
        async with asyncio.timeout(5):
            await stopped.wait()
        await client.close()
        await reading


async def _read_all(client: wsmash.WebSocketClient) -> None:
    async for _ in client:
        pass


@pytest.mark.case(51, 76)
@pytest.mark.timeout(20)
@real
async def test_who_sends_without_end_to_a_peer_that_is_gone() -> None:
    """Sending waits where nothing is taken any more, so that the loop hears of the end: nobody else is held up."""
    ends: list[object] = []

    async def pump(client: wsmash.ServerConnection) -> None:
        try:
            while True:
                await client.send("x")
        except ConnectionClosed as error:
            ends.append(error.code)

    async with make_server() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(upgrade())
        await reader.readuntil(b"\r\n\r\n")
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client = server.get_clients()[0]
        writer.transport.abort()
        await turns(1)  # the socket is closed by now, and nobody has told the server
        await pump(client)
        assert ends == [1006] and server.get_client_count() == 0
