"""`wsmash.run`: without a loop, until it is closed or a signal comes; in processes of their own where signals are."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest

import wsmash
from fixtures.live import nobody_listens
from wsmash.errors import ConnectError

SOURCE = Path(__file__).parent.parent / "src"


def start(program: str) -> subprocess.Popen[str]:
    """A Python program of its own, whose standard output is read line by line."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", "-c", "import wsmash\n" + textwrap.dedent(program)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


SERVER = """
    server = wsmash.create_server(host="127.0.0.1", port=0)

    @server.on("connection")
    async def connected(event):
        print("connected", flush=True)
        event.client.on("close", lambda close: print("client", close.code, flush=True))

    server.on("close", lambda _: print("closed", flush=True))

    import asyncio
    async def tell():
        while not server.is_started():
            await asyncio.sleep(0.01)
        print(server.port, flush=True)

    class Telling(wsmash.WebSocketServer):
        def start(self):
            self.telling = asyncio.get_running_loop().create_task(tell())
            return super().start()

    server.__class__ = Telling
    print("returned", wsmash.run(server))
"""


@pytest.mark.case(123)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_shuts_a_server_down_gracefully(number: signal.Signals) -> None:
    """Its clients get 1001, its callbacks run, `run` returns None, and the exit is clean and silent."""
    with start(SERVER) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())

        async def talk() -> int:
            async with wsmash.connect(f"ws://127.0.0.1:{port}/") as client:
                assert process.stdout is not None and process.stdout.readline() == "connected\n"
                process.send_signal(number)
                codes: list[int] = []
                client.on("close", lambda event: codes.append(event.code))
                await client.wait_closed()
                return codes[0]

        assert asyncio.run(talk()) == 1001
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "client 1001\nclosed\nreturned None\n", "")


@pytest.mark.case(124)
def test_a_second_signal_aborts() -> None:
    """A callback that would hold the stop up for as long as `shutdown_timeout` is cancelled."""
    connected = 'print("connected", flush=True)'
    program = SERVER.replace(connected, f"{connected}; await asyncio.sleep(99)")
    with start(program) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())

        async def talk() -> None:
            async with wsmash.connect(f"ws://127.0.0.1:{port}/") as client:
                assert process.stdout is not None and process.stdout.readline() == "connected\n"
                process.send_signal(signal.SIGTERM)
                await client.wait_closed()
                process.send_signal(signal.SIGTERM)

        asyncio.run(talk())
        out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "") and out.endswith("closed\nreturned None\n")


@pytest.mark.case(124)
def test_a_signal_while_a_server_starts() -> None:
    """The start is abandoned, and `run` returns: nothing has failed."""
    program = """
        import asyncio

        async def getaddrinfo(*_, **__):
            print("looking up", flush=True)
            await asyncio.sleep(99)

        class Telling(wsmash.WebSocketServer):
            def start(self):
                asyncio.get_running_loop().getaddrinfo = getaddrinfo
                return super().start()

        import sys
        sys.modules["wsmash.run"].new_event_loop = asyncio.SelectorEventLoop
        wsmash.run(Telling(host="server.example", port=0))
        print("returned")
    """
    with start(program) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "looking up\n"
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "returned\n", "")


def test_a_signal_closes_a_client_with_1001() -> None:
    """The server sees a going away; `run` returns None."""
    program = """
        client = wsmash.create_client({url!r})
        client.on("open", lambda _: print("open", flush=True))
        client.on("close", lambda event: print("close", event.sent, flush=True))
        print("returned", wsmash.run(client))
    """

    async def serve() -> tuple[int, int, str, str]:
        codes: list[int] = []
        async with wsmash.create_server(host="127.0.0.1", port=0) as server:
            server.on("connection", lambda event: event.client.on("close", lambda close: codes.append(close.code)))
            with start(program.replace("{url!r}", repr(f"ws://127.0.0.1:{server.port}/"))) as process:
                assert process.stdout is not None
                assert await asyncio.to_thread(process.stdout.readline) == "open\n"
                process.send_signal(signal.SIGTERM)
                out, err = await asyncio.to_thread(process.communicate, timeout=20)
        return codes[0], process.returncode, out, err

    assert asyncio.run(serve()) == (1001, 0, "close (1001, '')\nreturned None\n", "")


@pytest.mark.case(124)
def test_a_second_signal_ends_a_client_whose_callback_is_stuck() -> None:
    """After the first one a callback has any time; the second ends the process, and says where it was."""
    program = """
        client = wsmash.create_client({url!r})

        @client.on("message")
        def received(event):
            print("stuck", flush=True)
            while True:
                pass

        wsmash.run(client)
    """

    async def serve() -> tuple[int, str]:
        async with wsmash.create_server(host="127.0.0.1", port=0, shutdown_timeout=0.1) as server:
            server.on("connection", lambda event: event.client.send("get stuck"))
            with start(program.replace("{url!r}", repr(f"ws://127.0.0.1:{server.port}/"))) as process:
                assert process.stdout is not None
                assert await asyncio.to_thread(process.stdout.readline) == "stuck\n"
                process.send_signal(signal.SIGTERM)
                await asyncio.sleep(0.2)
                process.send_signal(signal.SIGTERM)
                _, err = await asyncio.to_thread(process.communicate, timeout=20)
        return process.returncode, err

    status, err = asyncio.run(serve())
    assert status == 1 and err.count("\n") == 1 and "in received" in err, err


@pytest.mark.case(124)
@pytest.mark.parametrize("event", ["open", "message", "close", "reconnecting"])
def test_a_second_signal_cancels_the_callbacks_of_a_client(event: str) -> None:
    """The first one leaves them any time; at the second their `finally` runs, and `run` returns in silence."""
    program = """
        import asyncio, time
        client = wsmash.create_client({url!r}, reconnect={reconnect!r})

        @client.on({event!r})
        async def waiting(_):
            print("waits", flush=True)
            try:
                await asyncio.sleep(99)
            finally:
                print("cleaned up", flush=True)

        print("returned", wsmash.run(client))
    """

    async def serve() -> tuple[int, str, str]:
        async with wsmash.create_server(host="127.0.0.1", port=0, shutdown_timeout=0.1) as server:
            server.on("connection", lambda connection: connection.client.send("hello"))
            url = nobody_listens() if event == "reconnecting" else f"ws://127.0.0.1:{server.port}/"
            values = {"{url!r}": url, "{event!r}": event, "{reconnect!r}": event == "reconnecting"}
            filled = program
            for name, value in values.items():
                filled = filled.replace(name, repr(value))
            with start(filled) as process:
                assert process.stdout is not None
                if event == "close":
                    while not server.get_clients():
                        await asyncio.sleep(0.01)
                    process.send_signal(signal.SIGINT)
                assert await asyncio.to_thread(process.stdout.readline) == "waits\n"
                if event != "close":
                    process.send_signal(signal.SIGINT)
                await asyncio.sleep(0.2)
                assert process.poll() is None
                process.send_signal(signal.SIGINT)
                out, err = await asyncio.to_thread(process.communicate, timeout=20)
        return process.returncode, out, err

    assert asyncio.run(serve()) == (0, "cleaned up\nreturned None\n", "")


def test_run_takes_a_server_or_a_client() -> None:
    """Anything else is a TypeError."""
    run: Any = wsmash.run
    for wrong in (None, wsmash.create_server, wsmash.connect("ws://server.example/")):
        with pytest.raises(TypeError, match="WebSocketServer, a WebSocketClient or"):
            run(wrong)


def test_run_inside_a_loop_is_a_runtime_error() -> None:
    """It says what to do there."""

    async def main() -> None:
        with pytest.raises(RuntimeError, match="await"):
            wsmash.run(wsmash.create_server())

    asyncio.run(main())


def test_run_returns_when_the_server_is_stopped() -> None:
    """Its callbacks come to their end first, those of its `close` event too."""
    server = wsmash.create_server(host="127.0.0.1", port=0)
    steps: list[str] = []

    async def closed(_: object) -> None:
        await asyncio.sleep(0.01)
        steps.append("closed")

    server.on("close", closed)

    async def talk() -> None:
        async with wsmash.connect(f"ws://127.0.0.1:{server.port}/") as client:
            client.send("stop")
            await client.wait_closed()

    server.on("connection", lambda event: event.client.on("message", lambda _: server.stop()))
    thread = threading.Thread(target=lambda: asyncio.run(_when_started(server, talk)))
    thread.start()
    run: Any = wsmash.run
    assert run(server) is None
    thread.join()
    assert steps == ["closed"]


async def _when_started(server: wsmash.WebSocketServer, then: Any) -> None:
    while not server.is_started():
        await asyncio.sleep(0.001)
    await then()


def test_run_works_in_any_thread() -> None:
    """Signals are the main thread's; everything else is the same."""
    server = wsmash.create_server(host="127.0.0.1", port=0)
    server.on("connection", lambda event: event.client.on("message", lambda _: server.stop()))
    met: list[BaseException] = []

    def serve() -> None:
        try:
            wsmash.run(server)
        except BaseException as error:
            met.append(error)

    async def talk() -> None:
        async with wsmash.connect(f"ws://127.0.0.1:{server.port}/") as client:
            client.send("stop")
            await client.wait_closed()

    thread = threading.Thread(target=serve)
    thread.start()
    asyncio.run(_when_started(server, talk))
    thread.join()
    assert met == []


def test_a_client_that_cannot_connect_raises() -> None:
    """Where no `error` callback is set."""
    with pytest.raises(ConnectError):
        wsmash.run(wsmash.create_client(nobody_listens()))


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_an_error_callback_hears_of_it_in_its_place(kind: str) -> None:
    """`run` then returns, when its callbacks are done."""
    heard: list[object] = []

    async def coroutine(event: wsmash.ErrorEvent) -> None:
        await asyncio.sleep(0.01)
        heard.append(event.error)

    client = wsmash.create_client(nobody_listens())
    client.on("error", (lambda event: heard.append(event.error)) if kind == "plain" else coroutine)
    wsmash.run(client)
    assert len(heard) == 1 and isinstance(heard[0], ConnectError)


@pytest.mark.parametrize("kind", ["none", "plain", "coroutine"])
def test_a_server_that_cannot_start(kind: str) -> None:
    """It raises, unless an `error` callback hears of it."""
    heard: list[object] = []

    async def coroutine(event: Any) -> None:
        await asyncio.sleep(0.01)
        heard.append(event.error)

    with socket.create_server(("127.0.0.1", 0)) as busy:
        server = wsmash.create_server(host="127.0.0.1", port=busy.getsockname()[1])
        if kind == "none":
            with pytest.raises(OSError, match="in use"):
                wsmash.run(server)
        else:
            server.on("error", coroutine if kind == "coroutine" else lambda event: heard.append(event.error))
            wsmash.run(server)
            assert len(heard) == 1 and isinstance(heard[0], OSError)


def test_run_restores_the_signal_handlers() -> None:
    """What was set before is set after."""
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with pytest.raises(ConnectError):
        wsmash.run(wsmash.create_client(nobody_listens()))
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_run_goes_on_while_a_close_callback_connects_again() -> None:
    """A client that dials again in its `close` callback is not left alone after its first connection."""
    opened: list[int] = []

    class Flapping:
        """A server on its own thread and loop that closes each connection with 1012."""

        def __init__(self) -> None:
            self.port = 0
            self.loop = asyncio.new_event_loop()
            self.ready = threading.Event()
            self.thread = threading.Thread(target=self.loop.run_until_complete, args=(self.serve(),))

        async def serve(self) -> None:
            self.done = asyncio.Event()
            server = wsmash.create_server(port=0)
            server.on("connection", lambda event: event.client.close(1012))
            async with server:
                self.port = server.port
                self.ready.set()
                await self.done.wait()

    flapping = Flapping()
    flapping.thread.start()
    assert flapping.ready.wait(10)
    try:
        client = wsmash.create_client(f"ws://127.0.0.1:{flapping.port}")
        client.on("open", lambda _: opened.append(1))

        @client.on("close")
        def again(event: wsmash.CloseEvent) -> None:
            if len(opened) < 3:
                client.connect()

        wsmash.run(client)
    finally:
        flapping.loop.call_soon_threadsafe(flapping.done.set)
        flapping.thread.join(10)
        flapping.loop.close()
    assert len(opened) == 3
