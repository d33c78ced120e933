"""How a server starts, stops and is started again, and what it does when descriptors run out.

Numbers in brackets are those of the list of hostile inputs.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap

import pytest

import wsmash
from fixtures.frames import close
from fixtures.in_loop import in_loop, until
from fixtures.raw import ask, can_connect, get, parse_answer, serving, talk, upgrade, wire


@in_loop
async def test_restart() -> None:
    """A server that has stopped can be started again, as often as one likes."""
    server = wsmash.create_server(port=0, host="127.0.0.1")
    closes: list[wsmash.ServerEvent] = []
    server.on("close", closes.append)
    for count in range(1, 4):
        await server.start()
        assert server.is_started()
        await talk(server, f"ws://127.0.0.1:{server.port}")
        await server.stop()
        assert not server.is_started() and server.port == 0
        assert len(closes) == count


@in_loop
async def test_start_twice() -> None:
    """`start` while starting, or started, joins what is there."""
    server = wsmash.create_server(port=0, host="127.0.0.1")
    first, second = server.start(), server.start()
    await first
    await second
    port = server.port
    await server.start()
    assert server.port == port
    await server.stop()


@in_loop
async def test_stop_during_start() -> None:
    """`stop` during `start` abandons it: who awaits the start is told, and no port stays open."""
    server = wsmash.create_server(port=0, host="127.0.0.1")
    closes: list[wsmash.ServerEvent] = []
    server.on("close", closes.append)
    starting = server.start()
    await server.stop()
    with pytest.raises(wsmash.InvalidState):
        await starting
    assert not server.is_started() and len(closes) == 1
    await server.start()
    await server.stop()


@in_loop
async def test_cancelled_start() -> None:
    """Cancelling an awaited `start` abandons it."""
    server = wsmash.create_server(port=0, host="127.0.0.1")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await server.start()
    await server.wait_closed()
    assert not server.is_started()


@pytest.mark.case(123)
@in_loop
async def test_stop_closes_clients() -> None:
    """A stop closes every connection with 1001, and ends when they are gone; new ones find nobody (123)."""
    async with serving() as server:
        port = server.port
        clients = [wsmash.create_client(f"ws://127.0.0.1:{port}") for _ in range(3)]
        closes: list[int] = []
        for client in clients:
            client.on("close", lambda event: closes.append(event.code))
            await client.connect()
        stopping = server.stop()
        assert server.port == port and f"port={port}" in repr(server), "as long as it stops"
        await stopping
        assert server.get_client_count() == 0
        await asyncio.gather(*(client.wait_closed() for client in clients))
        assert closes == [1001] * 3
        assert not await can_connect("127.0.0.1", port)


@pytest.mark.case(123)
@in_loop
async def test_stop_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many connections are closed in batches, each of them with 1001 (123)."""
    monkeypatch.setattr("wsmash.connections.CLOSE_BATCH", 2)
    async with serving() as server:
        clients = [wsmash.create_client(f"ws://127.0.0.1:{server.port}") for _ in range(5)]
        closes: list[int] = []
        for client in clients:
            client.on("close", lambda event: closes.append(event.code))
            await client.connect()
        await server.stop()
        await asyncio.gather(*(client.wait_closed() for client in clients))
    assert closes == [1001] * 5


@pytest.mark.case(123)
@in_loop
async def test_unresponsive_clients_are_aborted(caplog: pytest.LogCaptureFixture) -> None:
    """Who does not answer the close frame is dropped at `shutdown_timeout`, with one line in the log (123)."""
    async with serving(shutdown_timeout=0.1, close_timeout=10) as server, wire(server) as peer:
        closes: list[wsmash.CloseEvent] = []
        server.on("connection", lambda event: event.client.on("close", closes.append))
        await peer.send(upgrade())
        await peer.answer()
        await server.stop()
        assert [event.code for event in closes] == [1006]
        assert (await peer.read_all())[2:4] == (1001).to_bytes(2)
    assert ["shutdown_timeout" in record.getMessage() for record in caplog.records] == [True]


@pytest.mark.case(124)
@in_loop
async def test_stop_with_a_stuck_callback() -> None:
    """A callback that never ends is cancelled at `shutdown_timeout`; a short one is waited for (124)."""
    ends: list[str] = []
    async with serving(shutdown_timeout=0.1) as server:

        @server.on("connection")
        async def connected(event: wsmash.ConnectionEvent) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                ends.append("cancelled")
                raise

        async with wire(server) as peer:
            await peer.send(upgrade() + close(1000, masked=True))
            await peer.answer()
            await peer.read_all()
            await server.stop()
    assert ends == ["cancelled"]


@pytest.mark.case(124)
@in_loop
async def test_stop_does_not_wait_for_who_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that has connected and says nothing holds a stop up for a moment only, not for `open_timeout`."""
    monkeypatch.setattr("wsmash.serving.LAST_REQUESTS", 0.05)
    async with serving() as server, wire(server) as peer, wire(server) as half:
        await half.send(b"GET / HTTP/1.1\r\n")
        await until(lambda: len(server._serving._arrivals.openings) == 2)  # type: ignore[union-attr]
        before = asyncio.get_running_loop().time()
        await server.stop()
        assert asyncio.get_running_loop().time() - before < 5
        assert await peer.read_all() == b""
        assert parse_answer(await half.read_all()).status == 408


@pytest.mark.case(123)
@in_loop
async def test_request_during_a_stop() -> None:
    """A request of a client that had connected before is answered 503, a health check too (123)."""
    async with serving() as server, wire(server) as peer, wire(server) as probe:
        await until(lambda: len(server._serving._arrivals.openings) == 2)  # type: ignore[union-attr]
        stopping = server.stop()
        await peer.send(upgrade())
        await probe.send(get("/healthz"))
        for each in (peer, probe):
            answer = parse_answer(await each.read_all())
            assert answer.status == 503 and b"stopping" in answer.body
            await each.close()
        await stopping


@in_loop
async def test_connections_of_two_servers() -> None:
    """Two servers on one loop know nothing of each other."""
    async with serving() as one, serving() as other, wsmash.connect(f"ws://127.0.0.1:{one.port}"):
        assert (one.get_client_count(), other.get_client_count()) == (1, 0)
        await other.stop()
        assert one.is_started() and (await ask(one, get("/healthz"))).status == 200


@pytest.mark.case(67)
@pytest.mark.parametrize("engine", ["auto", "portable"])
def test_no_descriptors_left(engine: str) -> None:
    """Without descriptors a server pauses accepting, without a busy loop, and takes in who waited later (67)."""
    program = """
        import asyncio, logging, os, resource, socket, time
        import wsmash, wsmash.arrivals

        wsmash.arrivals.ACCEPT_PAUSE = 0.1
        logging.basicConfig(format="%(levelname)s %(message)s")

        async def main():
            async with wsmash.create_server(port=0, host="127.0.0.1") as server:
                client = socket.socket()
                client.setblocking(False)
                hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
                resource.setrlimit(resource.RLIMIT_NOFILE, (client.fileno() + 20, hard))
                held = []
                while True:
                    try:
                        held.append(os.dup(0))
                    except OSError:
                        break
                await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", server.port))
                used = time.process_time()
                await asyncio.sleep(0.35)
                print("busy" if time.process_time() - used > 0.2 else "idle", server.get_client_count())
                for each in held:
                    os.close(each)
                await asyncio.get_running_loop().sock_sendall(client, b"GET /healthz HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
                print((await asyncio.get_running_loop().sock_recv(client, 15)).decode())
                client.close()

        asyncio.run(main())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "WSMASH_ENGINE": engine},
    )
    assert done.stdout.split("\n") == ["idle 0", "HTTP/1.1 200 OK", ""]
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and "accepting pauses" in lines[0], done.stderr
