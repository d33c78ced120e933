"""Files that are read while they are sent: whole, to slow readers too, and with little of them in memory."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fixtures.clock import virtual
from fixtures.in_loop import in_loop, until
from fixtures.raw import ask, get, parse_answer, serving, wire
from wsmash.runtime.opening import LONGEST_LOOK, PIECE, ServerOpening, _room
from wsmash.server import WebSocketServer

SIZE = 3_000_001


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a file that is not sent at once."""
    (tmp_path / "large").write_bytes(os.urandom(SIZE))
    return tmp_path


def openings(server: WebSocketServer) -> list[ServerOpening]:
    """Those of a server that runs."""
    assert server._serving is not None
    assert server._serving._arrivals is not None
    return list(server._serving._arrivals.openings)


def descriptors() -> int:
    """How many are open; 0 where that cannot be told."""
    place = Path("/proc/self/fd")
    return len(list(place.iterdir())) if place.exists() else 0


@in_loop
async def test_whole(folder: Path) -> None:
    """What arrives is the file; of HEAD only its length."""
    async with serving(static=folder) as server:
        answer = await ask(server, get("/large"))
        assert answer.status == 200 and answer.headers["content-length"] == str(SIZE)
        assert answer.body == (folder / "large").read_bytes()
        head = await ask(server, get("/large", method="HEAD"))
        assert (head.headers["content-length"], head.body) == (str(SIZE), b"")


@pytest.mark.case(75)
@in_loop
async def test_a_slow_reader(folder: Path) -> None:
    """Who takes nothing has two pieces wait at most; who then takes it gets all of it."""
    async with serving(static=folder) as server:
        loop = asyncio.get_running_loop()
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            await loop.sock_connect(sock, ("127.0.0.1", server.port))
            await loop.sock_sendall(sock, get("/large"))
            await until(lambda: openings(server))
            channel = openings(server)[0]._channel
            assert channel is not None
            await until(lambda: channel.info().buffered > PIECE / 2)
            for _ in range(10):
                await asyncio.sleep(0.01)
                assert channel.info().buffered <= 2 * PIECE + 1024
            found = b""
            while piece := await loop.sock_recv(sock, 1 << 20):
                found += piece
        assert parse_answer(found).body == (folder / "large").read_bytes()


@pytest.mark.case(75)
@virtual
async def test_who_takes_nothing_costs_little() -> None:
    """A reader that takes nothing for half a minute is looked at 35 times, and one that then does is soon noticed."""
    looks = 0

    class Stuck:
        def info(self) -> Any:
            nonlocal looks
            looks += 1
            return SimpleNamespace(buffered=PIECE + (asyncio.get_running_loop().time() < until_then))

    until_then = asyncio.get_running_loop().time() + 30
    await _room(Stuck())  # type: ignore[arg-type]
    assert looks < 40
    assert asyncio.get_running_loop().time() <= until_then + LONGEST_LOOK


@in_loop
async def test_a_reader_that_leaves(folder: Path) -> None:
    """Nothing is left of a file whose reader has gone, or of one whose server stops."""
    before = descriptors()
    async with serving(static=folder, shutdown_timeout=0.1) as server:
        async with wire(server) as peer:
            await peer.send(get("/large"))
            await peer.reader.readuntil(b"\r\n\r\n")
        await until(lambda: not openings(server))
        async with wire(server) as peer:
            await peer.send(get("/large"))
            await until(lambda: openings(server))
            await server.stop()
    await until(lambda: descriptors() <= before)


@in_loop
async def test_a_file_that_shrinks(folder: Path) -> None:
    """The end is a reset or comes short of the length, never other bytes."""
    async with serving(static=folder) as server, wire(server) as peer:
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await peer.send(get("/large"))
        await until(lambda: openings(server) and openings(server)[0]._answered)
        os.truncate(folder / "large", PIECE)
        peer.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert len(await peer.read_all()) < SIZE


@pytest.mark.parametrize("path", ["/large", "/healthz"])
@in_loop
async def test_a_client_that_ends_its_direction(folder: Path, path: str) -> None:
    """Who has said all that it will say gets its answer all the same."""
    async with serving(static=folder) as server, wire(server) as peer:
        await peer.send(get(path))
        peer.writer.write_eof()
        answer = parse_answer(await peer.read_all())
        assert answer.status == 200 and len(answer.body) == int(answer.headers["content-length"])
