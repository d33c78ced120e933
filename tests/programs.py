"""Start Python programs in processes of their own, and give them a local server to talk to."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import wsmash

ROOT = Path(__file__).parent.parent
ENVIRONMENT = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT / "src")}
LONGEST = 30
"""Seconds that any wait for a program may take."""


class Ended(NamedTuple):
    """How a program ended."""

    status: int
    out: str
    err: str


class Program:
    """A running Python program whose output is read line by line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def line(self) -> str:
        """The next line of its output, without the line's end."""
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), LONGEST)
        if not line:
            raise AssertionError(f"the program ended: {await self.ended()}")
        return line.decode().rstrip("\n")

    def interrupt(self) -> None:
        """Send what Ctrl-C sends."""
        self._process.send_signal(signal.SIGINT)

    async def ended(self, given: str | None = None) -> Ended:
        """Wait for its end, and return its status and what it wrote since."""
        data = None if given is None else given.encode()
        out, err = await asyncio.wait_for(self._process.communicate(data), LONGEST)
        assert self._process.returncode is not None
        return Ended(self._process.returncode, out.decode(), err.decode())


@asynccontextmanager
async def program(*arguments: str | Path) -> AsyncIterator[Program]:
    """Start this interpreter with these arguments; what still runs at the block's end is killed."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, *map(str, arguments), stdin=pipe, stdout=pipe, stderr=pipe, cwd=ROOT, env=ENVIRONMENT
    )
    try:
        yield Program(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def run(*arguments: str | Path) -> Ended:
    """Start this interpreter with these arguments and wait for its end."""
    async with program(*arguments) as started:
        return await started.ended()


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def echo_server(quiet: float = 0.3) -> AsyncIterator[str]:
    """An echo server's URL; a connection is closed with 1000 once it was quiet for so many seconds."""
    async with wsmash.create_server(port=0) as server:

        @server.on("connection")
        def connected(event: wsmash.ConnectionEvent) -> None:
            client = event.client
            loop = asyncio.get_running_loop()
            timer = loop.call_later(quiet, client.close)

            @client.on("message")
            def received(event: wsmash.MessageEvent) -> None:
                nonlocal timer
                timer.cancel()
                timer = loop.call_later(quiet, client.close)
                client.send(event.data)

            @client.on("close")
            def closed(event: wsmash.CloseEvent) -> None:
                timer.cancel()

        yield f"ws://localhost:{server.port}/"
