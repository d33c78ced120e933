"""How a process that runs a server ends when it is told to, whatever its clients and its callbacks do."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import wsmash
from fixtures.certificates import contexts
from fixtures.frames import close, frame, frames_in, text
from fixtures.peer import Peer
from fixtures.raw import upgrade
from wsmash.constants import Opcode

SOURCE = Path(wsmash.__file__).parents[1]
SLACK = 2.0
"""Seconds in which a process of a busy machine does what takes none."""

PROGRAM = """
import asyncio, socket, ssl, sys, time
if {loop!r} == "asyncio":
    sys.modules["uvloop"] = None
import wsmash

context = None
if {certificate!r}:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain({certificate!r})
server = wsmash.create_server(sock=socket.socket(fileno={number}), ssl=context, **{options!r})

@server.on("connection")
def connected(event):
    event.client.on("message", received)

{work}

wsmash.run(server)
print("returned")
"""
SILENT = "def received(event): pass"


class Process:
    """A process of a program that runs a server.

    Attributes:
        port: where it listens, on 127.0.0.1.
    """

    def __init__(self, engine: str, work: str = SILENT, *, certificate: Path | None, loop: str, **options: Any) -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
            self.port: int = listener.getsockname()[1]
            number = listener.fileno()
            program = PROGRAM.format(
                loop=loop,
                number=number,
                options=options,
                certificate=str(certificate or ""),
                work=textwrap.dedent(work),
            )
            self._process = subprocess.Popen(
                [sys.executable, "-W", "error", "-c", program],
                env={**os.environ, "PYTHONPATH": str(SOURCE), "WSMASH_ENGINE": engine, "PYTHONUNBUFFERED": "1"},
                pass_fds=[number],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        self._peers: list[Peer] = []
        self._signalled: float | None = None

    def peer(self, **settings: Any) -> Peer:
        """A connection to it."""
        found = Peer(("127.0.0.1", self.port), **settings)
        self._peers.append(found)
        return found

    def client(self, **settings: Any) -> Peer:
        """The same, open."""
        found = self.peer(**settings)
        found.upgrade()
        return found

    def signal(self, number: int = signal.SIGTERM) -> None:
        """Tell it to end."""
        self._process.send_signal(number)
        self._signalled = self._signalled or time.monotonic()

    def ended(self) -> tuple[int, str, float]:
        """Its status, what it complained of, and the seconds since the first signal."""
        _, complaints = self._process.communicate(timeout=60)
        assert self._signalled is not None
        return self._process.returncode, complaints, time.monotonic() - self._signalled

    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def clear(self) -> None:
        """Be rid of it."""
        for peer in self._peers:
            peer.close()
        self._process.kill()
        self._process.communicate()


Start = Callable[..., Process]


@pytest.fixture
def start(engine: str, certificate: Path) -> Iterator[Start]:
    """Start processes, which are gone after the test."""
    started: list[Process] = []

    def start(work: str = SILENT, *, tls: bool = False, loop: str = "uvloop", **options: Any) -> Process:
        started.append(Process(engine, work, certificate=certificate if tls else None, loop=loop, **options))
        return started[-1]

    yield start
    for each in started:
        each.clear()


@pytest.mark.case(123)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_thousand_clients_of_whom_half_do_not_answer(start: Start, loop: str) -> None:
    """No new handshake, 1001 to every one of them, status 0 within shutdown_timeout, and no traceback."""
    process = start(loop=loop, shutdown_timeout=3, close_timeout=30)
    deaf = [process.client() for _ in range(500)]
    answering = [process.client() for _ in range(500)]
    process.signal()
    _answer_all(answering)
    refused = 0
    while process.is_alive():
        with suppress(ConnectionError), Peer(("127.0.0.1", process.port)) as late:
            late.send(upgrade())
            assert b" 101 " not in late.rest()
        refused += 1
        time.sleep(0.02)
    status, complaints, took = process.ended()
    assert (status, took < 3 + SLACK) == (0, True), (complaints, took)
    assert refused > 10
    assert complaints.count("\n") == 1 and "clients=500>: shutdown_timeout is over" in complaints
    for peer in deaf:
        assert [(each.opcode, each.payload[:2]) for each in frames_in(peer.rest())] == [(Opcode.CLOSE, b"\x03\xe9")]


def _answer_all(peers: list[Peer]) -> None:
    """Have each of them answer the close frame with 1001, and see the end."""
    poll = select.poll()
    open_ones = {peer.sock.fileno(): peer for peer in peers}
    for number in open_ones:
        poll.register(number, select.POLLIN)
    told = 0
    while open_ones:
        ready = poll.poll(5000)
        assert ready, f"{len(open_ones)} clients hear of nothing"
        for number, _ in ready:
            peer = open_ones[number]
            data = peer.sock.recv(4096)
            if data:
                ((opcode, payload, _),) = frames_in(data)
                assert (opcode, payload[:2]) == (Opcode.CLOSE, b"\x03\xe9")
                told += 1
                peer.send(close(1001, masked=True))
            else:
                poll.unregister(number)
                open_ones.pop(number).close()
    assert told == len(peers)


@pytest.mark.case(123)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_does_not_answer_is_dropped_at_close_timeout(start: Start, number: int) -> None:
    """Which is sooner than shutdown_timeout: the end is silent, and `run` returns."""
    process = start(shutdown_timeout=30, close_timeout=0.5)
    for _ in range(20):
        process.client()
    process.signal(number)
    status, complaints, took = process.ended()
    assert (status, complaints) == (0, "")
    assert 0.4 < took < 0.5 + SLACK


@pytest.mark.case(124)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_signal_during_handshakes(start: Start, tls: bool) -> None:
    """Whoever has connected has a second to say all, and close_timeout to take the answer, not open_timeout."""
    process = start(tls=tls, open_timeout=30, close_timeout=0.5, shutdown_timeout=20)
    first = process.client(context=contexts().client if tls else None)
    process.peer()
    process.peer().send(b"\x16\x03\x01\x02\x00\x01" if tls else b"GET / HTTP/1.1\r\nHost: ")
    if tls:
        process.peer(context=contexts().client).send(b"GET / HTTP/1.1\r\nHost: ")
    time.sleep(0.1)
    process.signal()
    assert first.closing()[0] == 1001
    first.send(close(1001, masked=True))
    assert first.ended() == "end"
    first.close()
    status, complaints, took = process.ended()
    assert (status, complaints) == (0, "")
    assert took < 1.5 + SLACK


@pytest.mark.case(124)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_signal_with_full_write_buffers(start: Start, tls: bool) -> None:
    """Clients that read nothing of the much that waits for them are dropped at shutdown_timeout."""
    work = "def received(event): event.client.send(bytes(16 << 20))"
    process = start(work, tls=tls, shutdown_timeout=1, max_write_buffer=None)
    for _ in range(10):
        process.client(context=contexts().client if tls else None).send(text("begin", masked=True))
    time.sleep(0.5)
    process.signal()
    status, complaints, took = process.ended()
    assert status == 0 and "Traceback" not in complaints and "shutdown_timeout is over" in complaints
    assert took < 1 + SLACK


STUCK = {
    "plain": "def received(event):\n    while True: pass",
    "coroutine": "async def received(event):\n    while True: pass",
    "sleeping": "def received(event): time.sleep(99)",
}


@pytest.mark.case(124)
@pytest.mark.parametrize(("work", "loop"), [("plain", "asyncio"), ("coroutine", "uvloop"), ("sleeping", "asyncio")])
def test_a_callback_that_never_lets_the_loop_turn(start: Start, work: str, loop: str) -> None:
    """The process ends all the same, with status 1 and one line that says where it was stuck."""
    process = start(STUCK[work], loop=loop, shutdown_timeout=0.5)
    peer = process.client()
    peer.send(text("begin", masked=True))
    time.sleep(0.3)
    process.signal()
    status, complaints, took = process.ended()
    assert (status, complaints.count("\n")) == (1, 1), complaints
    assert "does not let the event loop turn" in complaints and "in received" in complaints
    assert 2.4 < took < 3.5 + SLACK


@pytest.mark.case(124)
def test_a_second_signal_does_not_wait_for_shutdown_timeout(start: Start) -> None:
    """Not even where the loop is stuck, and cannot hear of either."""
    process = start(STUCK["plain"], shutdown_timeout=60)
    process.client().send(text("begin", masked=True))
    time.sleep(0.3)
    process.signal()
    time.sleep(0.2)
    process.signal()
    status, complaints, took = process.ended()
    assert (status, complaints.count("\n")) == (1, 1), complaints
    assert took < 3.2 + SLACK


@pytest.mark.case(124)
def test_a_callback_that_goes_on_though_it_was_cancelled(start: Start) -> None:
    """The process ends without it, with status 1, and says so."""
    work = """
        async def received(event):
            while True:
                try:
                    await asyncio.sleep(9)
                except asyncio.CancelledError:
                    pass
    """
    process = start(work, shutdown_timeout=0.2, close_timeout=0.2)
    process.client().send(text("begin", masked=True))
    time.sleep(0.3)
    process.signal()
    status, complaints, took = process.ended()
    assert status == 1 and "Traceback" not in complaints, complaints
    assert "callbacks go on though they were cancelled" in complaints
    assert took < 3.2 + SLACK


@pytest.mark.case(124)
def test_a_callback_that_is_slow_has_its_time(start: Start) -> None:
    """The loop is stuck for a second, then hears of the signal, and ends as ever."""
    process = start("def received(event): time.sleep(1)", shutdown_timeout=5, close_timeout=0.3)
    peer = process.client()
    peer.send(text("begin", masked=True) + frame(Opcode.PING, masked=True))
    time.sleep(0.2)
    process.signal()
    status, complaints, took = process.ended()
    assert (status, complaints) == (0, "")
    assert 0.5 < took < 2 + SLACK
