"""Threads that act on connections which are another thread's: refused, however many and whenever (hostile case 127)."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import wsmash
from fixtures.in_loop import in_loop
from fixtures.live import make_server, url_of

pytestmark = pytest.mark.case(127)

SECONDS = 0.7


class Intruder(threading.Thread):
    """Does everything that a connection and a server offer, over and over.

    Attributes:
        refused: how often each was a RuntimeError that names what to do in its place.
        done: what was not.
    """

    def __init__(self, server: wsmash.WebSocketServer, *connections: Any) -> None:
        super().__init__()
        self.refused: Counter[str] = Counter()
        self.done: list[object] = []
        self.over = threading.Event()
        self._actions: dict[str, Callable[[], object]] = {"broadcast": lambda: server.broadcast("x")}
        self._actions |= {"stop": server.stop, "abort all": server.abort}
        for connection in connections:
            kind = type(connection).__name__
            self._actions |= {
                f"{kind}.send": partial(connection.send, "x"),
                f"{kind}.send bytes": partial(connection.send, bytes(100_000)),
                f"{kind}.send_json": partial(connection.send_json, {}),
                f"{kind}.send_fragments": partial(connection.send_fragments, ["x"]),
                f"{kind}.ping": connection.ping,
                f"{kind}.close": connection.close,
            }
            if isinstance(connection, wsmash.WebSocketClient):
                self._actions[f"{kind}.abort"] = connection.abort

    def run(self) -> None:
        while not self.over.is_set():
            for name, action in self._actions.items():
                try:
                    self.done.append((name, action()))
                except RuntimeError as error:
                    self.refused[name] += "call_soon_threadsafe" in str(error)

    def everything_was_refused(self) -> bool:
        """Whether each of its actions was, as often as it was tried."""
        return not self.done and set(+self.refused) == set(self._actions)


def echo(event: wsmash.ConnectionEvent) -> None:
    event.client.on("message", lambda message: message.client.send(message.data))


@in_loop
async def test_intruders_beside_traffic() -> None:
    """Two threads act on an open connection, on both sides, all the time; messages pass as if they were not there."""
    async with make_server() as server:
        server.on("connection", echo)
        async with wsmash.connect(url_of(server)) as client:
            await client.send("first")
            await client.recv()
            intruders = [Intruder(server, client, *server.get_clients()) for _ in range(2)]
            for each in intruders:
                each.start()
            end = time.monotonic() + SECONDS
            count = 0
            try:
                while time.monotonic() < end:
                    for data in (f"message {count}", bytes(70_000)):
                        client.send(data)
                        assert await client.recv() == data
                    count += 1
                    server.broadcast("to all")
                    assert await client.recv() == "to all"
            finally:
                for each in intruders:
                    each.over.set()
                    await asyncio.to_thread(each.join)
            assert count > 1 and all(each.everything_was_refused() for each in intruders)
            assert server.get_client_count() == 1 and client.get_state() is wsmash.State.OPEN


@in_loop
async def test_what_is_handed_over_to_the_loop() -> None:
    """`call_soon_threadsafe`, as the error says: what two threads hand over arrives whole, in each one's order."""
    loop = asyncio.get_running_loop()
    heard: list[Any] = []

    def listen(event: wsmash.ConnectionEvent) -> None:
        event.client.on("message", lambda message: heard.append(message.data))

    async with make_server() as server:
        server.on("connection", listen)
        async with wsmash.connect(url_of(server)) as client:

            def speak(name: str) -> None:
                for number in range(500):
                    loop.call_soon_threadsafe(client.send, f"{name} {number}")

            await asyncio.gather(*(asyncio.to_thread(speak, name) for name in "ab"))
            await client.close()
    for name in "ab":
        assert [each for each in heard if each.startswith(name)] == [f"{name} {number}" for number in range(500)]
