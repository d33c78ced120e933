"""Accepting connections: each handed over once, a bounded number a turn, and failures reported; on each driver."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from fixtures.driver import Bench
from fixtures.in_loop import in_loop, turns, until
from wsmash.transports.base import ACCEPTS_PER_TURN, Connected, Listener


class Door:
    """A listening socket under a driver, and what came to it."""

    def __init__(self, bench: Bench) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.address = self.socket.getsockname()
        self.accepted: list[Connected] = []
        self.failures: list[OSError] = []
        self.callers: list[socket.socket] = []
        self.listener: Listener = bench.driver.listen(self.socket, self.accepted.append, self.failures.append)

    async def call(self, count: int = 1) -> None:
        """Connect to it so many times."""
        for _ in range(count):
            sock = socket.socket()
            sock.setblocking(False)
            self.callers.append(sock)
            await asyncio.get_running_loop().sock_connect(sock, self.address)


@contextmanager
def door(bench: Bench) -> Iterator[Door]:
    """One, whose sockets are closed at the end."""
    found = Door(bench)
    try:
        yield found
    finally:
        found.listener.close()
        for each in (*found.accepted, *found.callers):
            each.close()


@in_loop
async def test_accept(bench: Bench) -> None:
    """Each connection is handed over once, non-blocking."""
    with door(bench) as found:
        await found.call(3)
        await until(lambda: len(found.accepted) == 3)
        for each in found.accepted:
            assert not os.get_blocking(each.fileno())
        accepted = [socket.socket(fileno=each.detach()) for each in found.accepted]
        assert {sock.getpeername() for sock in accepted} == {sock.getsockname() for sock in found.callers}
        for sock in accepted:
            sock.close()


@in_loop
async def test_a_turn_is_bounded(bench: Bench) -> None:
    """A crowd at the door is taken in some at a time, so that others have their turn."""
    with door(bench) as found:
        found.listener.pause()
        await found.call(ACCEPTS_PER_TURN + 10)
        found.listener.resume()
        seen = set[int]()
        while len(found.accepted) < ACCEPTS_PER_TURN + 10:
            await turns(1)
            seen.add(len(found.accepted))
        assert len(seen - {0}) > 1 and min(seen - {0}) <= ACCEPTS_PER_TURN


@in_loop
async def test_pause_and_resume(bench: Bench) -> None:
    """While paused nothing is accepted; what came meanwhile waits in the system's queue."""
    with door(bench) as found:
        found.listener.pause()
        found.listener.pause()
        await found.call(2)
        await turns()
        assert found.accepted == []
        found.listener.resume()
        found.listener.resume()
        await until(lambda: len(found.accepted) == 2)


@in_loop
async def test_close(bench: Bench) -> None:
    """Once closed it refuses, and neither a resume nor a second close changes that."""
    with door(bench) as found:
        found.listener.close()
        found.listener.resume()
        found.listener.close()
        try:
            await found.call()
        except ConnectionRefusedError:
            pass
        else:
            raise AssertionError("a closed listener accepts")


@pytest.mark.case(67)
@in_loop
async def test_no_descriptors(bench: Bench) -> None:
    """A failed accept is reported, and the connection is still there once descriptors are (hostile case 67)."""
    gc.collect()  # descriptors of earlier tests that would be given back in the middle of this one
    with door(bench) as found:
        found.listener.pause()
        await found.call()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        lowest_free = found.callers[-1].fileno() + 1
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
        try:
            held = []
            while True:  # fill what is free below the limit
                try:
                    held.append(socket.socket())
                except OSError:
                    break
            found.listener.resume()
            await until(lambda: found.failures)
            found.listener.pause()
            assert found.accepted == [] and found.failures[0].errno == errno.EMFILE
            for each in held:
                each.close()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        found.listener.resume()
        await until(lambda: found.accepted)
