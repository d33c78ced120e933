"""A program: two connections talk while an allocation fails; print as JSON how often one did, and what went wrong.

`allocations.py python MOST`: one of Python's own fails, within something that the loop calls of the package: MOST such
calls are tried with each of `DEPTHS`. `allocations.py c MOST`: one of the engine's C, of which MOST are tried.

No memory may cost a connection, wherever it was missing, but neither the process nor any other connection: the one
beside it goes on, and the next one is as good as any.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import sys
from collections.abc import Callable
from errno import ENOMEM
from pathlib import Path
from typing import Any

import wsmash
from faults.shim import Shim
from faults.sweep import spread

DEPTHS = (0, 1, 3, 8, 21)
"""Which allocation of a call fails."""

PATIENCE = 1.5
"""Seconds for a connection that may have lost its memory; one that has kept it answers at once."""

WORDS = ("small", b"\x01" * 70_000, "grüße " * 1000, "")


class Window:
    """Where allocations may fail: inside what the loop calls of the package when a socket is ready.

    Attributes:
        number: which one, from 1; 0 for none.
        depth: which allocation of it.
        count: how many there were.
    """

    def __init__(self) -> None:
        self.number = self.depth = self.count = 0
        self.open = False
        self.fail: Callable[[int, int], None] | None = None
        self.heal: Callable[[], None] | None = None

    def around(self, callback: Callable[..., Any]) -> Callable[..., Any]:
        """The callback, within the window."""
        owner = type(getattr(callback, "__self__", None)).__module__
        if not owner.startswith("wsmash"):
            return callback

        def inside(*args: Any) -> Any:
            if not self.open or self.fail is None or self.heal is None:
                return callback(*args)
            self.count += 1
            if self.count != self.number:
                return callback(*args)
            self.fail(self.depth, self.depth + 1)
            try:
                return callback(*args)
            finally:
                self.heal()

        return inside


class Loop(asyncio.SelectorEventLoop):
    """A loop that calls the package through the window."""

    window = Window()

    def add_reader(self, fd: Any, callback: Any, *args: Any) -> None:  # type: ignore[override]
        super().add_reader(fd, self.window.around(callback), *args)

    def add_writer(self, fd: Any, callback: Any, *args: Any) -> None:  # type: ignore[override]
        super().add_writer(fd, self.window.around(callback), *args)


class Run:
    """One conversation with one failure."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self.faults: list[str] = []

    def __call__(self, begin: Callable[[], None], end: Callable[[], None]) -> list[str]:
        """What went wrong."""
        before = _descriptors()
        with asyncio.Runner(loop_factory=Loop) as runner:
            runner.run(self._run(begin, end))
        if _descriptors() > before:
            self.faults.append(f"{_descriptors() - before} descriptors are left")
        return self.faults

    async def _run(self, begin: Callable[[], None], end: Callable[[], None]) -> None:
        asyncio.get_running_loop().set_exception_handler(self._escaped)
        options = {"open_timeout": PATIENCE, "close_timeout": 0.1, **self._options}
        server = wsmash.create_server(host="127.0.0.1", port=0, shutdown_timeout=0.5, **options)
        server.on("connection", _echo)
        server.on("error", lambda _: None)
        await server.start()
        url = f"ws://127.0.0.1:{server.port}/"
        beside = wsmash.create_client(url, **options)
        await beside.connect()
        begin()
        try:
            hit = wsmash.create_client(url, **options)
            hit.on("error", lambda _: None)
            outcomes = await asyncio.gather(_talk(hit), _talk(beside), return_exceptions=True)
        finally:
            end()
        if all(isinstance(each, BaseException) for each in outcomes):
            self.faults.append(f"both connections were hit: {outcomes!r:.300}")
        after = wsmash.create_client(url, **options)
        try:
            await _talk(after)
        except (wsmash.WebSocketError, TimeoutError) as error:
            self.faults.append(f"the next connection failed: {error!r:.200}")
        for client in (hit, beside, after):
            client.abort()
        try:
            await asyncio.wait_for(server.stop(), 2)
        except TimeoutError:
            self.faults.append("the server does not stop")

    def _escaped(self, _: object, context: dict[str, Any]) -> None:
        if not isinstance(context.get("exception"), MemoryError):
            self.faults.append(f"escaped into the loop: {context!r:.300}")


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _echo(event: wsmash.ConnectionEvent) -> None:
    event.client.on("message", _answer)


def _answer(message: wsmash.MessageEvent) -> None:
    message.client.send(message.data)


async def _talk(client: wsmash.WebSocketClient) -> None:
    async with asyncio.timeout(PATIENCE):
        await client.connect()
        for word in WORDS:
            await client.send(word)
        for word in WORDS:
            if await client.recv() != word:
                raise AssertionError("another message came back")
        await client.ping()


def fail_python(options: dict[str, Any], most: int) -> tuple[int, list[str]]:
    """Let Python's allocations fail."""
    testcapi: Any = importlib.import_module("_testcapi")
    window = Loop.window
    window.fail, window.heal = testcapi.set_nomemory, testcapi.remove_mem_hooks
    count, tried, faults = 1, 0, []
    for number in (0, *spread(_count_windows(options), most)):
        for depth in DEPTHS:
            window.number, window.depth, window.count = number, depth, 0
            found = Run(options)(lambda: setattr(window, "open", True), lambda: setattr(window, "open", False))
            count = max(count, window.count)
            tried += 1
            faults += [f"allocation {depth} of call {number}: {each}" for each in found]
    return tried, faults


def _count_windows(options: dict[str, Any]) -> int:
    window = Loop.window
    window.number = window.count = 0
    Run(options)(lambda: setattr(window, "open", True), lambda: setattr(window, "open", False))
    return window.count


def fail_c(options: dict[str, Any], most: int) -> tuple[int, list[str]]:
    """Let those of the engine's C fail."""
    shim = Shim()
    Run(options)(shim.begin, shim.end)
    tried, faults = 0, []
    for nth in spread(shim.count("allocate"), most):

        def begin(nth: int = nth) -> None:
            shim.begin()
            shim.arm("allocate", nth, ENOMEM)

        found = Run(options)(begin, shim.end)
        tried += shim.hits
        faults += [f"allocation {nth}: {each}" for each in found]
    return tried, faults


def main(which: str, most: int) -> None:
    """Uncompressed, then compressed."""
    logging.disable()
    tried, faults = 0, []
    for options in ({}, {"compression": "deflate"}):
        some, found = (fail_python if which == "python" else fail_c)(options, most)
        tried += some
        faults += [f"{options}: {each}" for each in found]
    print(json.dumps({"engine": wsmash.engine().name, "tried": tried, "faults": faults}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
