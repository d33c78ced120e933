"""SIGHUP to the parent of workers: each is replaced, one after the other, and nobody is refused meanwhile."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest

import wsmash
from fixtures.parents import Parent, all_workers, app, greeting

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked at in /proc")

QUIET = ("--broker", "memory", "--workers")
"""What has no broker of its own started."""


@pytest.mark.case(125)
def test_nobody_is_refused_while_all_workers_are_replaced(tmp_path: Path) -> None:
    """Fifty clients connect all the time and each is greeted; who was connected before gets 1012."""
    with Parent(tmp_path, app(1), *QUIET, "3") as parent:
        url = parent.url()
        greeted: list[int] = []

        async def come_and_go(done: asyncio.Event) -> None:
            while not done.is_set():
                _, _, version = await greeting(url)
                greeted.append(version)

        async def stay() -> int:
            async with wsmash.connect(url) as client:
                await client.recv()
                with pytest.raises(wsmash.ConnectionClosed) as closed:
                    await client.recv()
                return closed.value.code

        async def talk() -> tuple[dict[int, int], dict[int, int], list[int]]:
            before = await all_workers(url, 3)
            parent.write(app(2))
            done = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                staying = [group.create_task(stay()) for _ in range(20)]
                for _ in range(50):
                    group.create_task(come_and_go(done))
                await asyncio.sleep(0.2)
                parent.signal(signal.SIGHUP)
                await asyncio.to_thread(parent.wait_for, "all workers were replaced")
                done.set()
            return before, await all_workers(url, 3), [each.result() for each in staying]

        before, after, codes = asyncio.run(talk())
        assert codes == [1012] * 20
        assert before.keys() == after.keys() and not set(before.values()) & set(after.values())
        assert set(greeted) == {1, 2} and len(greeted) > 100
        assert sorted(parent.children()) == sorted(after.values())
        parent.signal(signal.SIGTERM)
        assert parent.ended() == 0 and "Traceback" not in parent.log()


def test_a_new_version_that_cannot_start_leaves_the_old_one(tmp_path: Path) -> None:
    """The log says why, all workers stay, and the next SIGHUP tries again."""
    with Parent(tmp_path, app(1), *QUIET, "2") as parent:
        url = parent.url()
        before = asyncio.run(all_workers(url, 2))
        parent.write("server = nothing\n")
        parent.signal(signal.SIGHUP)
        parent.wait_for("the workers that there are stay: worker 1 .* could not start: NameError: name 'nothing'")
        assert asyncio.run(all_workers(url, 2)) == before and sorted(parent.children()) == sorted(before.values())
        parent.write(app(2))
        parent.signal(signal.SIGHUP)
        parent.wait_for("all workers were replaced")
        assert asyncio.run(greeting(url))[2] == 2
        parent.signal(signal.SIGTERM)
        assert parent.ended() == 0


def test_a_new_version_may_listen_elsewhere(tmp_path: Path) -> None:
    """The new port is served, and the old one is let go."""
    with Parent(tmp_path, app(1), *QUIET, "2") as parent:
        url = parent.url()
        path = tmp_path / "socket"
        parent.write(app(2, options=f", unix={str(path)!r}"))
        parent.signal(signal.SIGHUP)
        parent.wait_for("all workers were replaced")

        async def talk() -> None:
            async with wsmash.connect("ws://server.example/", unix=path) as client:
                assert str(await client.recv()).endswith(" 2")
            with pytest.raises(wsmash.ConnectError):
                await wsmash.connect(url)

        asyncio.run(talk())
        parent.signal(signal.SIGTERM)
        assert parent.ended() == 0 and not path.exists()


def test_a_signal_ends_a_restart(tmp_path: Path) -> None:
    """Though a new worker never gets to listen."""
    with Parent(tmp_path, app(1), *QUIET, "2") as parent:
        parent.port()
        parent.write("import time\nopen('began', 'w').close()\ntime.sleep(99)\n")
        parent.signal(signal.SIGHUP)
        while not (tmp_path / "began").exists():
            assert parent.process.poll() is None
        parent.signal(signal.SIGTERM)
        assert parent.ended() == 0 and "Traceback" not in parent.log()
