"""Several processes that serve one port: who is started again, how all of them end, what a parent's end is to them."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import programs
import wsmash
from fixtures.parents import Parent, alive, all_workers, app, greeting, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked at in /proc")

QUIET = ("--broker", "memory", "--workers")
"""What has no broker of its own started."""


def test_all_workers_serve_one_port(tmp_path: Path) -> None:
    """Connections are spread over them, and SIGTERM ends all with status 0 and nothing but the log's lines."""
    with Parent(tmp_path, app(), *QUIET, "3") as parent:
        assert asyncio.run(all_workers(parent.url(), 3)).keys() == {1, 2, 3}
        parent.signal(signal.SIGTERM)
        assert parent.ended() == 0
        assert len(parent.log().splitlines()) == 1, parent.log()


@pytest.mark.case(123)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_drains_all_workers(tmp_path: Path, number: int) -> None:
    """Connected clients get 1001, and what they sent before is answered; nobody is left."""
    with Parent(tmp_path, app(), *QUIET, "2") as parent:
        url = parent.url()

        async def talk() -> set[int]:
            clients = [await wsmash.connect(url) for _ in range(8)]
            for client in clients:
                await client.recv()
            parent.signal(number)
            codes = set()
            for client in clients:
                with pytest.raises(wsmash.ConnectionClosed) as closed:
                    await client.recv()
                codes.add(closed.value.code)
            return codes

        pids = parent.children()
        assert asyncio.run(talk()) == {1001}
        assert parent.ended() == 0 and "Traceback" not in parent.log()
        assert len(pids) == 2 and not any(map(alive, pids))


def test_another_worker_stands_in_for_one_that_takes_its_time(tmp_path: Path) -> None:
    """Nobody waits for an application that is slow to load; once it is there it has its share again."""
    slow = "import os, time\nif os.path.exists('slow'): time.sleep(4)\n" + app()
    with Parent(tmp_path, slow, *QUIET, "3") as parent:
        url = parent.url()
        pids = asyncio.run(all_workers(url, 3))
        (tmp_path / "slow").touch()

        async def talk() -> None:
            for number in (1, 2):  # the second may be the one that stands in for the first
                os.kill(pids[number], signal.SIGKILL)
                parent.wait_for(rf"worker {number} .* was killed by SIGKILL")
                async with asyncio.timeout(2.5):
                    found = [await greeting(url) for _ in range(30)]
                assert {each[0] for each in found} == ({2, 3} if number == 1 else {3})
            parent.wait_for(r"worker [12] \(pid \d+\) is at work", 2)
            assert (await all_workers(url, 3))[3] == pids[3]

        asyncio.run(talk())
        parent.signal(signal.SIGTERM)
        assert parent.ended() == 0 and "Traceback" not in parent.log()


@pytest.mark.case(124)
def test_a_signal_to_the_whole_group_is_one(tmp_path: Path) -> None:
    """As a terminal and a service manager send it: workers that hear it from both sides still drain."""
    slow = app().replace("client.send(message.data)", "await asyncio.sleep(0.5); client.send(message.data)")
    with Parent(tmp_path, slow, *QUIET, "2") as parent:
        url = parent.url()

        async def talk() -> None:
            async with wsmash.connect(url) as client:
                await client.recv()
                client.send("x")
                await asyncio.sleep(0.2)
                for pid in (*parent.children(), parent.process.pid):
                    os.kill(pid, signal.SIGTERM)
                with pytest.raises(wsmash.ConnectionClosed) as closed:
                    await client.recv()
                assert closed.value.code == 1001

        asyncio.run(talk())
        assert parent.ended() == 0 and "Traceback" not in parent.log()


@pytest.mark.case(124)
def test_a_second_signal_aborts_all_workers(tmp_path: Path) -> None:
    """A callback that would hold them up for as long as `shutdown_timeout` is cancelled."""
    stuck = app(options=", max_queue=1").replace("shutdown_timeout=5", "shutdown_timeout=60")
    stuck = stuck.replace("client.send(message.data)", "client.send('stuck'); await asyncio.sleep(99)")
    with Parent(tmp_path, stuck, *QUIET, "2") as parent:
        url = parent.url()

        async def talk() -> None:
            async with wsmash.connect(url) as client:
                await client.recv()
                await client.send("x")
                await client.recv()
                parent.signal(signal.SIGTERM)
                with pytest.raises(wsmash.ConnectionClosed):
                    await client.recv()
                parent.signal(signal.SIGTERM)

        asyncio.run(talk())
        assert parent.ended(10) == 0 and "Traceback" not in parent.log()


def test_a_worker_that_is_killed_is_started_again(tmp_path: Path) -> None:
    """Its clients lose it, those of others do not; who connects meanwhile is taken by the next one."""
    with Parent(tmp_path, app(), *QUIET, "2") as parent:
        url = parent.url()

        async def talk() -> None:
            pids = await all_workers(url, 2)
            clients: dict[int, wsmash.WebSocketClient] = {}
            while len(clients) < 2:
                client = await wsmash.connect(url)
                clients[int(str(await client.recv()).split()[0])] = client
            os.kill(pids[1], signal.SIGKILL)
            async with asyncio.TaskGroup() as group:  # none of them is refused, whichever queue they are in
                again = [group.create_task(all_workers(url, 2)) for _ in range(5)]
            assert all(each.result()[1] != pids[1] and each.result()[2] == pids[2] for each in again)
            with pytest.raises(wsmash.ConnectionClosed):
                await clients[1].recv()
            await clients[2].send("x")
            assert await clients[2].recv() == "x"
            await clients[2].close()

        asyncio.run(talk())
        parent.wait_for(r"worker 1 \(pid \d+\) was killed by SIGKILL after .* s; it is started again in 0\.\d s")
        parent.signal(signal.SIGTERM)
        assert parent.ended() == 0


def test_a_worker_that_dies_again_and_again_is_started_more_and_more_slowly(tmp_path: Path) -> None:
    """One line in the log for each time, with a delay that grows; the others serve, and the end is as ever."""
    dies = app() + "if os.environ['WSMASH_WORKER'] == '2' and os.path.exists('die'): os._exit(3)\n"
    with Parent(tmp_path, dies, *QUIET, "2") as parent:
        url = parent.url()
        pids = asyncio.run(all_workers(url, 2))
        (tmp_path / "die").touch()
        os.kill(pids[2], signal.SIGKILL)
        parent.wait_for(r"worker 2 .* could not start: it ended with status 3; it is started again in", 2)
        assert parent.log().count("started again") <= 4
        (tmp_path / "die").unlink()
        parent.wait_for(r"worker 2 \(pid \d+\) is at work")
        assert asyncio.run(all_workers(url, 2))[1] == pids[1]
        parent.signal(signal.SIGTERM)
        assert parent.ended() == 0


def test_a_parent_that_is_killed_takes_its_workers_along(tmp_path: Path) -> None:
    """They stop as at a signal: nobody is left to serve for."""
    with Parent(tmp_path, app(), *QUIET, "2") as parent:
        url = parent.url()

        async def talk() -> None:
            async with wsmash.connect(url) as client:
                await client.recv()
                parent.signal(signal.SIGKILL)
                with pytest.raises(wsmash.ConnectionClosed) as closed:
                    await client.recv()
                assert closed.value.code == 1001

        pids = parent.children()
        asyncio.run(talk())
        wait_until(lambda: not any(map(alive, pids)))
        assert "Traceback" not in parent.log()


@pytest.mark.case(124)
def test_a_worker_that_does_not_let_its_loop_turn_ends_too(tmp_path: Path) -> None:
    """It ends itself, two seconds after `shutdown_timeout`; the parent says so, and its status is 1."""
    stuck = app().replace("shutdown_timeout=5", "shutdown_timeout=0.2")
    stuck = stuck.replace("client.send(message.data)", "client.send('stuck')\n        while True: await not_yet()")
    stuck += "async def not_yet(): pass\n"
    with Parent(tmp_path, stuck, *QUIET, "2") as parent:
        url = parent.url()

        async def talk() -> None:
            async with wsmash.connect(url) as client:
                await client.recv()
                await client.send("x")
                assert await client.recv() == "stuck"
                parent.signal(signal.SIGTERM)
                await asyncio.to_thread(parent.ended)

        asyncio.run(talk())
        assert parent.ended() == 1
        assert "does not let the event loop turn" in parent.log() and "ended with status 1" in parent.log()


@pytest.mark.parametrize(
    ("source", "status", "text"),
    [
        ("server = 5\n", 2, "'app:server' is neither a WebSocketServer"),
        ("x = 5\n", 2, "'app' has no 'server'"),
        ("import no_such_thing\n", 1, "could not start: ModuleNotFoundError: No module named 'no_such_thing'"),
        ("import os\nos._exit(7)\n", 1, "could not start: it ended with status 7"),
        (app(options=", sock=__import__('socket').socket()"), 2, "sock cannot be had by several workers"),
    ],
)
def test_a_server_that_cannot_be_loaded_ends_all(tmp_path: Path, source: str, status: int, text: str) -> None:
    """What is wrong is said once, by one worker, and nobody is left."""
    with Parent(tmp_path, source, *QUIET, "3") as parent:
        assert parent.ended() == status
        assert parent.log().count(text) == 1, parent.log()
        assert parent.log().count("Traceback") == ("no_such_thing" in source), parent.log()


def test_a_signal_while_the_first_workers_load(tmp_path: Path) -> None:
    """All end at once, and nothing has failed."""
    with Parent(tmp_path, "import time\nopen('began', 'w').close()\ntime.sleep(99)\n", *QUIET, "2") as parent:
        wait_until((tmp_path / "began").exists)
        parent.signal(signal.SIGTERM)
        assert parent.ended() == 0 and parent.log() == ""


@pytest.mark.parametrize("spread", [False, True])
def test_a_port_in_use_ends_all(tmp_path: Path, spread: bool) -> None:
    """Also where whoever has it would share it (SO_REUSEPORT): two servers on one port are a mistake."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(spread))
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with Parent(tmp_path, app(), *QUIET, "2", "--port", str(taken.getsockname()[1])) as parent:
            assert parent.ended() == 1
            assert parent.log().startswith("wsmash: ") and "in use" in parent.log(), parent.log()
            assert len(parent.log().splitlines()) == 1


def test_workers_on_a_unix_socket(tmp_path: Path) -> None:
    """They have one together; its file is taken away at the end."""
    path = tmp_path / "socket"
    with Parent(tmp_path, app(), *QUIET, "2", "--unix", str(path)) as parent:
        parent.wait_for(f"workers listen on {path}")

        async def talk() -> None:
            async with wsmash.connect("ws://server.example/", unix=path) as client:
                assert str(await client.recv()).split()[0] in {"1", "2"}

        asyncio.run(talk())
        parent.signal(signal.SIGTERM)
        assert parent.ended() == 0 and not path.exists()


SCRIPT = app() + """
if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    try:
        print("returned", wsmash.run("script:NAME", workers=2, broker="memory"), flush=True)
    except wsmash.WebSocketError as error:
        print(type(error).__name__, flush=True)
"""
"""A module that has the server, and runs it when it is a script."""


def test_run_in_a_script(tmp_path: Path) -> None:
    """Workers look for modules where the script does, wherever it is started; at the end `run` returns None."""
    (tmp_path / "script.py").write_text(SCRIPT.replace("NAME", "server"), "utf-8")

    async def talk() -> None:
        async with programs.program(tmp_path / "script.py") as script:
            line = await script.line()
            port = int(line.split()[4].rpartition(":")[2].rstrip(";"))
            assert (await all_workers(f"ws://127.0.0.1:{port}/", 2)).keys() == {1, 2}
            script.interrupt()
            assert await script.ended() == (0, "returned None\n", "")

    asyncio.run(talk())


def test_run_raises_what_a_name_lacks(tmp_path: Path) -> None:
    """As it does in one process."""
    (tmp_path / "script.py").write_text(SCRIPT.replace("NAME", "servr"), "utf-8")
    assert asyncio.run(programs.run(tmp_path / "script.py")) == (0, "LoadError\n", "")


def test_workers_are_started_in_the_main_thread() -> None:
    """No other hears of signals."""
    with ThreadPoolExecutor(1) as pool, pytest.raises(RuntimeError, match="main thread"):
        pool.submit(wsmash.run, "app:server", workers=2).result()
