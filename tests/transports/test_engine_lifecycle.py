"""The native engine and the life of its process: forks, ends of loops and of the interpreter, threads."""

from __future__ import annotations

import asyncio
import subprocess
import threading
import time
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

import wsmash
from fixtures.driver import Bench
from fixtures.in_loop import in_loop, turns, until
from fixtures.live import make_server, url_of
from fixtures.native import CLEAN, LOOPS, run_program, served

pytestmark = pytest.mark.usefixtures("native_engine")

# Forks


@pytest.mark.case(126)
@pytest.mark.parametrize(
    "how", ["os._exit(0)", "gc.collect(); os._exit(0)", "client.close(); server = None; os._exit(0)"]
)
def test_fork(how: str) -> None:
    """The parent's connections go on, both ends of them, whatever the child does with its copies before it ends."""
    program = f"""
    async def main():
        async with wsmash.create_server(host="127.0.0.1", port=0) as server:
            server.on("connection", echo)
            async with wsmash.connect(f"ws://127.0.0.1:{{server.port}}/") as client:
                await talk(client)
                child = os.fork()
                if not child:
                    {how}
                assert os.waitpid(child, 0)[1] == 0
                await talk(client)
                async with wsmash.connect(f"ws://127.0.0.1:{{server.port}}/") as other:
                    await talk(other)
        print("done")
    asyncio.run(main())
    """
    assert run_program(program) == CLEAN


@pytest.mark.case(126)
def test_a_forked_child_that_ends_normally() -> None:
    """An interpreter that ends with copies of its parent's connections says nothing, to its peers neither."""
    program = """
    async def begin():
        server = wsmash.create_server(host="127.0.0.1", port=0)
        server.on("connection", echo)
        await server.start()
        client = await wsmash.connect(f"ws://127.0.0.1:{server.port}/")
        await talk(client)
        return server, client

    async def end(server, client):
        await talk(client)
        await client.close()
        await server.stop()

    loop = asyncio.new_event_loop()
    server, client = loop.run_until_complete(begin())
    child = os.fork()
    if child:
        assert os.waitpid(child, 0)[1] == 0
        loop.run_until_complete(end(server, client))
        loop.close()
        print("done")
    """
    assert run_program(program) == CLEAN


@pytest.mark.case(126)
@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_a_forked_child_with_connections_of_its_own(kind: str) -> None:
    """A process of multiprocessing's connects to its parent, holds none of its sockets, and leaves it as it was."""
    program = f"""
    import multiprocessing
    new_loop = __import__("uvloop").new_event_loop if {kind == "uvloop"} else asyncio.new_event_loop

    async def visit(port):
        async with wsmash.connect(f"ws://127.0.0.1:{{port}}/") as client:
            await talk(client)

    def child(port):
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(visit(port))

    async def main():
        async with wsmash.create_server(host="127.0.0.1", port=0) as server:
            server.on("connection", echo)
            async with wsmash.connect(f"ws://127.0.0.1:{{server.port}}/") as client:
                await talk(client)
                process = multiprocessing.get_context("fork").Process(target=child, args=(server.port,))
                process.start()
                await talk(client)
                await asyncio.to_thread(process.join)
                assert process.exitcode == 0, process.exitcode
                await talk(client)
        print("done")

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
    """
    assert run_program(program) == CLEAN


@pytest.mark.case(126)
def test_a_forked_child_closes_its_copies() -> None:
    """The peer of a connection that the parent closes sees its end, though the child lives on."""
    program = """
    async def main():
        async with wsmash.create_server(host="127.0.0.1", port=0, close_timeout=1) as server:
            server.on("connection", echo)
            clients = [await wsmash.connect(f"ws://127.0.0.1:{server.port}/") for _ in range(5)]
            before = descriptors()
            reading, writing = os.pipe()
            child = os.fork()
            if not child:
                os.write(writing, b"%d" % (before - descriptors()))
                os.close(writing)
                os.read(os.dup(0), 1)
                os._exit(0)
            assert os.read(reading, 10) == b"9", "ten sockets and the epoll less, a pipe more"
            for client in clients:
                await asyncio.wait_for(client.close(), 2)
            os.kill(child, 9)
            os.waitpid(child, 0)
        print("done")
    asyncio.run(main())
    """
    assert run_program(program) == CLEAN


@pytest.mark.parametrize("forked", [False, True], ids=["spawned", "forked"])
@in_loop
async def test_a_program_started_while_connections_live(forked: bool) -> None:
    """They go on beside it and after it; one that it inherited reports nothing any more once it is closed."""
    heard: list[Any] = []

    def connected(event: wsmash.ConnectionEvent) -> None:
        event.client.on("message", lambda message: heard.append(message.data))

    async with served(2, connected) as (server, peers):
        with _sleeping(forked) as process:
            for peer in peers:
                await peer.say("a")
            await until(lambda: len(heard) == 2)
            [first, second] = server.get_clients()
            assert first._channel is not None
            first._channel.abort()
            for peer in peers:
                await peer.say("b")
            await until(lambda: len(heard) == 3)
            before = time.process_time()
            await asyncio.sleep(0.1)
            assert time.process_time() - before < 0.05, "the loop spins"
            process.kill()
        assert heard == ["a", "a", "b"]
        assert set(server.get_clients()) == {second}


def _sleeping(forked: bool) -> subprocess.Popen[bytes]:
    command = ["sleep", "10"]
    if forked:
        return subprocess.Popen(command, preexec_fn=lambda: None)  # noqa: PLW1509  # a real fork is what is asked for
    return subprocess.Popen(command, pass_fds=_sockets())


def _sockets() -> list[int]:
    """The descriptors of all sockets of the process."""
    opened = [int(each.name) for each in Path("/proc/self/fd").iterdir()]
    return [each for each in opened if each > 2 and _leads_to(each).startswith("socket:")]


def _leads_to(number: int) -> str:
    try:
        return str(Path(f"/proc/self/fd/{number}").readlink())
    except FileNotFoundError:  # that of the listing itself
        return ""


# The end of an interpreter, and of a loop

BEGIN = """
from fixtures.certificates import contexts
TLS = {tls}
new_loop = __import__("uvloop").new_event_loop if {uv} else asyncio.new_event_loop

async def begin():
    server = wsmash.create_server(host="127.0.0.1", port=0, ssl=contexts().server if TLS else None)
    server.on("connection", echo)
    await server.start()
    url = f"ws{{'s' * TLS}}://localhost:{{server.port}}/"
    clients = []
    for _ in range(3):
        clients.append(await wsmash.connect(url, ssl=contexts().client if TLS else None))
        await clients[-1].send("hello")
        assert await clients[-1].recv() == "hello"
    clients[0].send("x" * 3_000_000)
    listening = wsmash.create_client(url, ssl=contexts().client if TLS else None)
    listening.on("message", lambda event: heard(event.data))
    await listening.connect()
    return server, clients, listening

def heard(data):
    print("done")
    sys.exit(0)
"""

ENDS = {
    "of the program": """
        loop = new_loop()
        kept = loop.run_until_complete(begin())
        print("done")
    """,
    "by exit": """
        async def main():
            global kept
            kept = await begin()
            print("done")
            sys.exit(0)
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(main())
    """,
    "in a callback": """
        async def main():
            global kept
            kept = await begin()
            kept[2].send("x")
            await asyncio.sleep(10)
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(main())
    """,
}


@pytest.mark.case(126)
@pytest.mark.parametrize("kind", LOOPS)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("end", ENDS)
def test_the_interpreter_ends(end: str, kind: str, tls: bool) -> None:
    """With a server and connections of both sides alive the exit is clean and silent."""
    program = BEGIN.format(tls=tls, uv=kind == "uvloop") + dedent(ENDS[end])
    assert run_program(program) == CLEAN


@pytest.mark.case(126)
@pytest.mark.parametrize(("kind", "closed"), [("asyncio", True), ("asyncio", False), ("uvloop", True)])
def test_a_loop_ends_with_connections(kind: str, closed: bool) -> None:
    """A loop that was closed without a stop, or only dropped, takes its engine with it: all descriptors are back.

    One of uvloop's that is dropped is never collected, with connections or without.
    """
    program = (
        BEGIN.format(tls=True, uv=kind == "uvloop")
        + f"""
def once():
    loop = new_loop()
    loop.run_until_complete(begin())
    if {closed}:
        loop.close()

once()
gc.collect()
before = descriptors()
for _ in range(3):
    once()
gc.collect()
assert descriptors() == before, (descriptors(), before)
print("done")
"""
    )
    assert run_program(program) == CLEAN


# Loops


@pytest.mark.case(126)
@pytest.mark.parametrize("debug", [False, True], ids=["", "debug"])
@pytest.mark.parametrize("kind", LOOPS)
def test_loop_after_loop(kind: str, debug: bool) -> None:
    """Each loop, of asyncio and uvloop, in debug mode too, has an engine of its own, one after the other."""

    async def talk() -> None:
        def connected(event: wsmash.ConnectionEvent) -> None:
            event.client.on("message", lambda message: message.client.send(message.data))

        async with make_server() as server:
            server.on("connection", connected)
            async with wsmash.connect(url_of(server)) as client:
                for data in ("a", b"b" * 100_000, "c"):
                    await client.send(data)
                    assert await client.recv() == data

    for _ in range(2):
        with asyncio.Runner(loop_factory=LOOPS[kind], debug=debug) as runner:
            runner.run(talk())


@in_loop
async def test_two_loops_in_two_threads() -> None:
    """Each loop's engine serves in its own thread, at the same time, and talks to the other's."""
    started, ended = threading.Event(), threading.Event()
    ports: list[int] = []

    async def serve() -> None:
        def connected(event: wsmash.ConnectionEvent) -> None:
            event.client.on("message", lambda message: message.client.send(message.data))

        async with make_server() as server:
            server.on("connection", connected)
            ports.append(server.port)
            started.set()
            await asyncio.to_thread(ended.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        await asyncio.to_thread(started.wait)
        async with wsmash.connect(f"ws://127.0.0.1:{ports[0]}/") as client:
            for number in range(200):
                await client.send(str(number))
                assert await client.recv() == str(number)
    finally:
        ended.set()
        await asyncio.to_thread(thread.join)


@pytest.mark.case(127)
@in_loop
async def test_another_thread_may_not_send() -> None:
    """It is a RuntimeError that names what to use instead, and nothing is sent."""
    connections: list[Any] = []
    async with served(1, lambda event: connections.append(event.client)) as (_, [peer]):
        for data in ("a", b"b"):
            with pytest.raises(RuntimeError, match="call_soon_threadsafe"):
                await asyncio.to_thread(connections[0].send, data)
        connections[0].send("c")
        assert await peer.hears(1) == ["c"]


@in_loop
async def test_an_engine_without_sockets_is_not_in_its_loop(natives: Bench) -> None:
    """The loop watches the reactor while it holds sockets only, so that a loop may end without a word to it."""
    loop: Any = asyncio.get_running_loop()
    before = len(loop._selector.get_map())
    for _ in range(2):
        ends = [natives.attach() for _ in range(3)]
        assert len(loop._selector.get_map()) == before + 1
        for end in ends:
            end.channel.abort()
        assert len(loop._selector.get_map()) == before
        await turns()
