"""One worker as its parent sees it: a process that was started afresh, what it says, and how it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from asyncio.subprocess import DEVNULL
from collections.abc import Sequence
from pathlib import Path

from ..errors import LoadError, WebSocketError, WorkerError
from ..watchdog import GRACE
from .messages import App, Command, Failed, Grant, Job, Message, Order, Ready, StandBack, StandIn, Wish, decode, encode

START_TIMEOUT = 120.0
"""Seconds in which a worker must listen, from the start of its process on."""

LAST_SECONDS = 3.0
"""Beyond what a worker may take to end, and its watchdog: it is killed then."""

_BOOT = Path(__file__).with_name("boot.py")


class Process:
    """A worker.

    Attributes:
        number: of the place that it has; the one that takes it next has the same.
        pid: the system's number.
        ready: whether it has said that it listens.
        killed: whether it had to be, since it did not end.
    """

    def __init__(self, number: int, process: asyncio.subprocess.Process, link: socket.socket) -> None:
        self.number = number
        self.pid = process.pid
        self.ready = False
        self.killed = False
        self._process = process
        self._link = link
        self._buffer = b""
        self._since = time.monotonic()
        self._patience = 0.0
        self._ending = asyncio.get_running_loop().create_task(process.wait())

    @classmethod
    async def start(cls, app: App, number: int) -> Process:
        """Start one; it loads its server then."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        descriptor = theirs.fileno()
        # The interpreter's own options, as -X dev, are those of this process; -P keeps the script's folder out.
        flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
        command = [sys.executable, *flags, "-P", str(_BOOT), app.name, f"worker-{number}", str(descriptor)]
        try:
            with theirs:
                process = await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, pass_fds=[descriptor])
        except BaseException:
            ours.close()
            raise
        worker = cls(number, process, ours)
        worker._send(Job(app.name, app.changes, app.log_level, number, sys.path))
        return worker

    # -- until it is ready

    async def wish(self) -> Wish:
        """What it asks for, once it has loaded its server.

        Raises:
            WorkerError: it asks for nothing, but fails.
            LoadError: its server's name is wrong.
        """
        message = await self._receive()
        if not isinstance(message, Wish):
            raise await self._failure(message)
        self._patience = message.shutdown_timeout + GRACE + LAST_SECONDS
        return message

    async def grant(self, sockets: Sequence[socket.socket], broker: str | None) -> None:
        """Give it that, and wait until it listens.

        Raises:
            WorkerError: it fails.
        """
        self._send(Grant(len(sockets), broker), sockets)
        message = await self._receive()
        if not isinstance(message, Ready):
            raise await self._failure(message)
        self.ready = True

    async def _failure(self, message: Message | None) -> WebSocketError:
        if isinstance(message, Failed):
            return LoadError(message.why) if message.named else WorkerError(f"{self} could not start: {message.why}")
        await self.ended()
        return WorkerError(f"{self} could not start: it {self.how()}")

    # -- its end

    async def ended(self) -> None:
        """Wait for the end of the process."""
        await asyncio.shield(self._ending)

    @property
    def status(self) -> int | None:
        """As `Popen.returncode`; None while it runs."""
        return self._process.returncode

    @property
    def lived(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self._since

    def how(self) -> str:
        """How it has ended, as the rest of a sentence."""
        status = self.status
        if status is not None and status < 0:
            return f"was killed by {_signal_name(-status)}"
        return f"ended with status {status}"

    def order(self, order: Order) -> None:
        """Tell it to end; one that does not listen yet is ended."""
        if self.ready:
            self._send(Command(order))
        elif self.status is None:
            self._process.terminate()

    def stand_in(self, number: int, sockets: Sequence[socket.socket]) -> None:
        """Have it accept for another one that has died, which listens there."""
        self._send(StandIn(number, len(sockets)), sockets)

    def stand_back(self, number: int) -> None:
        """That one is back."""
        self._send(StandBack(number))

    async def end(self, order: Order) -> None:
        """Tell it to end, and wait for that; kill it where it takes longer than it may."""
        self.order(order)
        try:
            async with asyncio.timeout(self._patience if self.ready else LAST_SECONDS):
                await self.ended()
        except TimeoutError:
            self.killed = True
            await self.kill()
        self.close()

    async def kill(self) -> None:
        """End it at once."""
        if self.status is None:
            self._process.kill()
        await self.ended()
        self.close()

    def close(self) -> None:
        """Let go of what was left of it; one that runs would take that for its parent's end."""
        self._link.close()

    # -- messages

    def _send(self, message: Message, sockets: Sequence[socket.socket] = ()) -> None:
        data = encode(message)
        if self._link.fileno() < 0:
            return  # it has ended
        try:
            sent = socket.send_fds(self._link, [data], [each.fileno() for each in sockets])
        except (BrokenPipeError, ConnectionResetError):
            return  # it is gone, as whoever waits for it is told
        except BlockingIOError:
            sent = 0
        if sent != len(data):
            self._process.kill()  # it has read nothing of many messages

    async def _receive(self) -> Message | None:
        loop = asyncio.get_running_loop()
        while b"\n" not in self._buffer:
            try:
                data = await loop.sock_recv(self._link, 65536)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return decode(line)

    def __str__(self) -> str:
        return f"worker {self.number} (pid {self.pid})"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def can_start() -> bool:
    """Whether this system has what workers need: descriptors that pass from process to process, and its signals."""
    return os.name == "posix" and hasattr(socket, "send_fds")
