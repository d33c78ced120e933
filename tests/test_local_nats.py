"""Workers whose server names no broker: they share a NATS server of their own, which nobody else can use."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import stat
import sys
import tempfile
from pathlib import Path

import pytest

import wsmash
from fixtures.parents import Parent, alive, command_line, descendants, folder_of, nats_of, wait_until
from wsmash.errors import WorkerError
from wsmash.workers.local_nats import LocalNats

pytest.importorskip("nats")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked at in /proc")

APP = """
import os, wsmash

server = wsmash.create_server(host="127.0.0.1", port=0, shutdown_timeout=5)
server.topic("news", history_size=100, history_ttl=60)

@server.on("connection")
async def connected(event):
    client = event.client
    await client.subscribe("news")

    @client.on("message")
    async def received(message):
        try:
            position = await server.publish("news", message.data)
        except wsmash.WebSocketError as error:
            client.send(f"! {type(error).__name__}")
        else:
            client.send(f"= {position.offset}")

    client.send(f"# {os.environ['WSMASH_WORKER']}")
"""
"""What publishes each message that comes, and tells all clients."""


def test_nobody_else_can_use_it(tmp_path: Path) -> None:
    """It is on the loopback alone, wants a password, and that is on no command line and in no readable file."""
    with Parent(tmp_path, APP, "--workers", "2") as parent:
        parent.port()
        server = nats_of(parent)
        folder = folder_of(server)
        config = (folder / "nats.conf").read_text("utf-8")
        password = re.findall(r'password: "(\w{48})"', config)[0]
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / "nats.conf").stat().st_mode) == 0o600
        for pid in (parent.process.pid, *descendants(parent.process.pid)):
            assert password not in command_line(pid)
            assert password not in Path(f"/proc/{pid}/environ").read_text("utf-8", "replace")
        assert password not in parent.log()
        port = int(parent.wait_for(r"a NATS server for the workers listens on 127\.0\.0\.1:(\d+)")[1])
        with socket.create_connection(("127.0.0.1", port), 5) as peer:
            peer.sendall(b'CONNECT {"verbose":false}\r\nPING\r\n')
            answer = b""
            while data := peer.recv(65536):
                answer += data
        assert b"Authorization Violation" in answer and b"PONG" not in answer


def test_it_is_gone_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    """And so is what it kept."""
    with Parent(tmp_path, APP, "--workers", "2") as parent:
        parent.port()
        folder = folder_of(nats_of(parent))
        everyone = descendants(parent.process.pid)
        parent.signal(signal.SIGKILL)
        wait_until(lambda: not any(map(alive, everyone)) and not folder.exists())


def test_without_it_workers_do_not_share_in_silence(tmp_path: Path) -> None:
    """The error says what to install, and how to do without."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['nats'] = None\n", "utf-8")
    path = os.pathsep.join((str(tmp_path), str(Path(wsmash.__file__).parents[1])))
    with Parent(tmp_path, APP, "--workers", "2", PYTHONPATH=path) as parent:
        assert parent.ended() == 1
        assert "'wsmash[cluster]'" in parent.log() and "--broker memory" in parent.log()
        assert len(parent.log().splitlines()) == 1, parent.log()


def test_a_server_that_does_not_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its log's last complaint is in the error, and nothing is left of it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr("wsmash.workers.local_nats.MESSAGE_SIZE", "no number")

    async def start() -> None:
        with pytest.raises(WorkerError, match=r"has not started \(status 1\)"):
            await LocalNats().start()

    asyncio.run(start())
    assert list(tmp_path.iterdir()) == []
