"""Any bytes to a real server over a real socket, on each driver: what it answers is in order, and nothing is left."""

from __future__ import annotations

import asyncio
import socket
from functools import cache
from typing import Any
from weakref import ref

import wsmash
from fixtures.driver import DRIVERS
from fixtures.frames import frames_in
from fixtures.raw import upgrade
from fuzz.judging import cuts
from wsmash.constants import Opcode
from wsmash.runtime import environment
from wsmash.runtime.environment import Environment
from wsmash.transports import native

OFFER = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"

PATIENCE = 10.0
"""Seconds until a connection has to be over whose client has said all that it will."""


def server(data: bytes) -> str:
    """The first byte says what stands before the others, an upgrade or nothing, and how they are cut."""
    if not data:
        return ""
    how, rest = data[0], data[1:]
    before = (b"", upgrade(), upgrade("/", OFFER), upgrade("/later"))[how % 4]
    pieces = list(cuts(rest))[how // 4 % 3]
    for name in DRIVERS:
        if name == "portable" or not native.missing:
            found = _house(name).visit(before, pieces)
            if found:
                return f"{name}: {found}"
    return ""


class House:
    """A server, and the loop that it runs in between the visits."""

    def __init__(self, driver: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._escaped: list[dict[str, Any]] = []
        self._loop.set_exception_handler(lambda _, context: self._escaped.append(context))
        # What an environment holds weakly is held here.
        self._environment = Environment(self._loop, DRIVERS[driver](self._loop))
        environment._environments[self._loop] = ref(self._environment)
        self._server = self._loop.run_until_complete(self._start())

    async def _start(self) -> wsmash.WebSocketServer:
        server = wsmash.create_server(
            port=0, host="127.0.0.1", compression="deflate", max_message_size=65536, max_fragments=20,
            ping_interval=None, close_timeout=5,
        )  # fmt: skip
        server.on("connection", _echo)
        server.endpoint("/later").on("connection", _echo_later)
        await server.start()
        return server

    def visit(self, before: bytes, pieces: list[bytes]) -> str:
        """Say all of it, end, and judge what was answered."""
        answer = self._loop.run_until_complete(asyncio.wait_for(self._talk(before, pieces), PATIENCE))
        if self._escaped:
            return f"escaped into the loop: {self._escaped}"
        return _judged(answer)

    async def _talk(self, before: bytes, pieces: list[bytes]) -> bytes:
        loop = self._loop
        answer = b""
        with socket.socket() as sock:
            sock.setblocking(False)
            await loop.sock_connect(sock, ("127.0.0.1", self._server.port))
            try:
                for piece in (before, *pieces):
                    await loop.sock_sendall(sock, piece)
                    await asyncio.sleep(0)
                sock.shutdown(socket.SHUT_WR)
                while data := await loop.sock_recv(sock, 65536):
                    answer += data
            except OSError:
                pass  # a reset, where the server had enough
        while self._server.get_client_count() or len(self._environment.wheel) or self._environment_is_busy():
            await asyncio.sleep(0)
        return answer

    def _environment_is_busy(self) -> bool:
        return len(asyncio.all_tasks(self._loop)) > 2  # the visit, and what waits for it


    def close(self) -> None:
        """Stop the server, and end the loop."""
        self._loop.run_until_complete(self._server.stop())
        self._loop.close()


def close() -> None:
    """Let go of what the visits have made."""
    for driver in DRIVERS:
        if driver == "portable" or not native.missing:
            _house(driver).close()
    _house.cache_clear()


@cache
def _house(driver: str) -> House:
    return House(driver)


def _echo(event: wsmash.ConnectionEvent) -> None:
    event.client.on("message", lambda message: message.client.send(message.data))


def _echo_later(event: wsmash.ConnectionEvent) -> None:
    async def answer(message: wsmash.MessageEvent) -> None:
        await asyncio.sleep(0)
        await message.client.send(message.data)

    event.client.on("message", answer)


def _judged(answer: bytes) -> str:
    """What is wrong with an answer, which is nothing, one of HTTP's, or a 101 and whole frames, a close the last."""
    if not answer:
        return ""
    head, gap, rest = answer.partition(b"\r\n\r\n")
    if not gap or not head.startswith(b"HTTP/1.1 "):
        return f"no answer of HTTP's: {answer!r:.500}"
    if not head.startswith(b"HTTP/1.1 101 "):
        return "" if b"\r\nConnection: " in head else f"the connection ends, and {head!r:.500} does not say so"
    try:
        opcodes = [frame.opcode for frame in frames_in(rest)]
    except (AssertionError, IndexError) as error:
        return f"the last frame is cut: {error!r}"
    return f"frames behind a close frame: {opcodes}" if Opcode.CLOSE in opcodes[:-1] else ""
