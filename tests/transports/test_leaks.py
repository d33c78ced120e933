"""That nothing is left of a connection, however it ends: memory of Python's and of C's, objects, descriptors.

Each scene is played until a batch of it leaves nothing behind. Caches fill in the
first batches; what leaks leaves something in every one.

`LEAK_ROUNDS=1000` makes the batches larger; see `make leaks`.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import os
import socket
import ssl
import struct
import sys
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import wsmash
from fixtures.certificates import contexts
from fixtures.driver import Bench
from fixtures.in_loop import in_loop, turns, until
from fixtures.live import make_server
from fixtures.native import Peer
from wsmash.constants import Opcode

pytestmark = pytest.mark.usefixtures("native_engine", "silent")

ROUNDS = int(os.environ.get("LEAK_ROUNDS", "8"))
"""Rounds of each batch."""

BATCHES = 8
"""After so many that each left something, it is a leak."""

SLACK = 100 * ROUNDS
"""Bytes of C's that a batch may leave, for allocators that keep some of what was freed."""

TLS_SLACK = 2048 * ROUNDS
"""The same under TLS: OpenSSL takes hundreds of connections until it needs no more, and a session is far larger."""

LARGE = bytes(range(256)) * 2048
"""A payload that is referred to in place of copied."""

LARGE_TEXT = "x" * len(LARGE)

HUGE = LARGE * 20
"""One that no socket's buffers hold."""

HUGE_TEXT = LARGE_TEXT * 20


@pytest.fixture
def silent() -> Iterator[None]:
    """Without the records of the log, which pytest keeps."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


# What there is


class _Heap(ctypes.Structure):
    """glibc's `struct mallinfo2`."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in ("arena", "_1", "_2", "_3", "mapped", "_4", "_5", "used", "_6", "_7")
    )  # fmt: skip


def heap() -> int:
    """Bytes that were given out by `malloc`; 0 where the C library cannot tell."""
    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        return 0
    mallinfo2.restype = _Heap
    found = mallinfo2()
    return int(found.used + found.mapped)


_clear_caches = getattr(sys, "_clear_internal_caches", None) or sys._clear_type_cache  # the former since Python 3.13


class Usage(NamedTuple):
    """What the process has at the moment."""

    objects: int
    blocks: int
    descriptors: int
    bytes: int

    @classmethod
    def now(cls) -> Usage:
        """After everything that can be freed is."""
        _clear_caches()  # of attributes, which hold their names
        gc.collect()
        return cls(len(gc.get_objects()), sys.getallocatedblocks(), len(list(Path("/proc/self/fd").iterdir())), heap())

    def since(self, before: Usage) -> Usage:
        """What there is more than there was."""
        return Usage(*(now - then for now, then in zip(self, before, strict=True)))

    def is_nothing(self, slack: int) -> bool:
        """Whether these are less than something for each round."""
        return max(self[:2]) < ROUNDS and self.descriptors <= 0 and self.bytes <= slack


def forget_timers() -> None:
    """Take out what a loop of asyncio keeps of timers that were cancelled, until there are many."""
    loop: Any = asyncio.get_running_loop()
    loop._scheduled = sorted(each for each in loop._scheduled if not each._cancelled)
    loop._timer_cancelled_count = 0


def resident() -> int:
    """Bytes of memory that the process has."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGESIZE")


# The stage


class Stage:
    """A server whose connections do what the scene says, and its peers.

    Attributes:
        connected: called with each connection of the server.
    """

    def __init__(self, server: wsmash.WebSocketServer, *, tls: bool) -> None:
        self.server = server
        self.tls = tls
        self.url = f"ws{'s' * tls}://localhost:{server.port}/"
        self.connected: Callable[[Any], object] = echo
        self.last: Any = None
        self._opened: list[socket.socket] = []
        server.on("connection", self._on_connection)

    def _on_connection(self, event: wsmash.ConnectionEvent) -> None:
        self.last = event.client
        self.connected(event.client)

    async def peer(self) -> Peer:
        """A raw one, open."""
        peer = await Peer.connect(self.server)
        await until(lambda: self.last is not None)
        self._opened.append(peer.sock)
        return peer

    async def wire(self, data: bytes = b"") -> socket.socket:
        """A TCP connection on which this was said."""
        sock = socket.socket()
        sock.setblocking(False)
        self._opened.append(sock)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.server.port))
        await asyncio.get_running_loop().sock_sendall(sock, data)
        await turns(5)
        return sock

    async def client(self) -> wsmash.WebSocketClient:
        """One of ours, open."""
        return await wsmash.connect(self.url, ssl=contexts().client if self.tls else None, close_timeout=1)

    def clear(self) -> None:
        """The raw peers go."""
        while self._opened:
            self._opened.pop().close()

    async def over(self, *, reset: bool = False) -> None:
        """The raw peers go, and the server's connections with them."""
        if reset:
            for sock in self._opened:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.clear()
        await until(lambda: not self.server.get_client_count())
        self.last = None
        await turns(20)


def echo(client: Any) -> None:
    """Messages come back."""
    client.on("message", lambda event: event.client.send(event.data))


@asynccontextmanager
async def stage(*, tls: bool) -> AsyncIterator[Stage]:
    """A server for one scene."""
    context = contexts().server if tls else None
    async with make_server(ssl=context, close_timeout=0.5, shutdown_timeout=0.5) as server:
        found = Stage(server, tls=tls)
        try:
            yield found
        finally:
            found.clear()


Scene = Callable[[Stage], Coroutine[Any, Any, None]]

PLAIN: dict[str, Scene] = {}
BOTH: dict[str, Scene] = {}
TLS: dict[str, Scene] = {}


def plays(where: dict[str, Scene]) -> Callable[[Scene], Scene]:
    """Let it be played there."""

    def add(scene: Scene) -> Scene:
        where[scene.__name__] = scene
        return scene

    return add


# Scenes: with raw peers


@plays(PLAIN)
async def peer_talks_and_closes(at: Stage) -> None:
    peer = await at.peer()
    await peer.say("a", "b")
    assert await peer.hears(2) == ["a", "b"]
    await peer.write(b"\x88\x82\0\0\0\0\x03\xe8")
    await peer.end()
    await at.over()


WORDS = {
    "nothing": b"",
    "half_a_request": b"GET / HTTP/1.1\r\nHost: x\r\n",
    "a_wrong_request": b"\0\1\2\r\n\r\n",
    "a_plain_request": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
}
STATES = {
    "half_a_head": b"\x81",
    "head_and_half_a_length": b"\x82\xff\0\0",
    "mid_frame": b"\x82\xe4mask" + bytes(50),
    "mid_large_message": b"\x82\xff" + (3_000_000).to_bytes(8) + b"mask" + bytes(500_000),
    "mid_fragments": b"\x02\x85mask12345\x00\x85mask12345",
    "violation": b"\x83\x80mask",
    "large_text_that_is_none": b"\x81\xff" + (100_000).to_bytes(8) + b"mask" + bytes(99_000) + b"\xff" * 1000,
}


def _ends_after(states: dict[str, bytes], *, opened: bool, reset: bool) -> None:
    for name, data in states.items():

        async def scene(at: Stage, data: bytes = data) -> None:
            if opened:
                await (await at.peer()).write(data)
            else:
                await at.wire(data)
            await turns(10)
            await at.over(reset=reset)

        PLAIN[f"{name}_{'reset' if reset else 'ended'}"] = scene


for _reset in (True, False):
    _ends_after(WORDS, opened=False, reset=_reset)
    _ends_after(STATES, opened=True, reset=_reset)


@plays(PLAIN)
async def paused_with_messages_waiting(at: Stage) -> None:
    peer = await at.peer()
    at.last._channel.pause_reading()
    await peer.say(*map(str, range(1000)))
    await turns()
    at.last._channel.resume_reading()
    at.last._channel.pause_reading()
    at.last._channel.abort()
    await at.over()


@plays(PLAIN)
async def inbox_full(at: Stage) -> None:
    async def slow(event: wsmash.MessageEvent) -> None:
        await asyncio.sleep(0)

    at.connected = lambda client: client.on("message", slow)
    peer = await at.peer()
    with suppress(BlockingIOError):
        for _ in range(50):
            peer.sock.send(b"\x81\xfe\x10\0\0\0\0\0" + b"x" * 4096)
    await turns()
    await at.over(reset=True)


def _output_blocked(name: str, send: Callable[[Stage, Any], object]) -> None:
    async def scene(at: Stage) -> None:
        at.connected = lambda client: send(at, client)
        await at.peer()
        await turns()
        await at.over(reset=True)

    PLAIN[f"blocked_{name}"] = scene


_output_blocked("bytes", lambda at, client: [client.send(HUGE), client.send(b"small")])
_output_blocked("text", lambda at, client: [client.send(HUGE_TEXT), client.send("small")])
_output_blocked("other_text", lambda at, client: client.send("ä" * 8_000_000))
_output_blocked("bytearray", lambda at, client: client.send(bytearray(HUGE)))
_output_blocked("broadcast", lambda at, client: at.server.broadcast(HUGE))
_output_blocked("closing", lambda at, client: [client.send(HUGE), client.close()])


def _inside(name: str, act: Callable[[Stage, Any, Callable[..., None]], object]) -> None:
    async def scene(at: Stage) -> None:
        everyone: list[Any] = []

        def received(event: wsmash.MessageEvent) -> None:
            act(at, event.client, received)

        def connected(client: Any) -> None:
            everyone.append(client)
            client.on("message", received)

        at.connected = connected
        peers = [await at.peer() for _ in range(3)]
        for peer in peers:
            peer.sock.send(b"\x81\x81\0\0\0\0x" * 3)
        await turns(10)
        await at.over()

    PLAIN[f"{name}_inside"] = scene


def _raise(error: type[Exception]) -> None:
    raise error("of a callback")


def _end_all(at: Stage, me: Any, callback: object) -> None:
    for client in at.server.get_clients():
        if client is not me:
            client._channel.abort()  # type: ignore[union-attr]
    at.server.broadcast(LARGE)


_inside("raise", lambda at, client, callback: _raise(ValueError))
_inside("off", lambda at, client, callback: client.off("message", callback))
_inside("close", lambda at, client, callback: client.close())
_inside("abort", lambda at, client, callback: client._channel.abort())
_inside("broadcast", lambda at, client, callback: at.server.broadcast(LARGE))
_inside("broadcast_to_the_dead", _end_all)
_inside("send_much", lambda at, client, callback: client.send(LARGE))


# With clients of ours, over TLS too


@plays(BOTH)
async def client_talks_and_closes(at: Stage) -> None:
    client = await at.client()
    for data in ("a", b"b" * 100_000, LARGE_TEXT):
        await client.send(data)
        assert await client.recv() == data
    await client.close()
    await at.over()


@plays(BOTH)
async def client_aborts(at: Stage) -> None:
    client = await at.client()
    client.send(LARGE)
    assert client._channel is not None
    client._channel.abort()
    await client.wait_closed()
    await at.over()


@plays(BOTH)
async def server_aborts_with_output(at: Stage) -> None:
    client = await at.client()
    at.last.send(LARGE)
    at.last.send(LARGE_TEXT)
    at.last._channel.abort()
    await turns()
    assert client._channel is not None
    client._channel.abort()
    await client.wait_closed()
    await at.over()


@plays(BOTH)
async def reader_is_cancelled(at: Stage) -> None:
    client = await at.client()
    for _ in range(3):
        with suppress(TimeoutError):
            await asyncio.wait_for(anext(client), 0)
        task = asyncio.ensure_future(client.recv())
        await turns(2)
        task.cancel()
        await asyncio.wait([task])
    client.send("a")
    assert await anext(client) == "a"
    client.close()
    await client.wait_closed()
    await at.over()


@plays(TLS)
async def garbage_in_place_of_a_hello(at: Stage) -> None:
    await at.wire(b"GET / HTTP/1.1\r\n\r\n")
    await at.over()


@plays(TLS)
async def half_a_hello(at: Stage) -> None:
    await at.wire(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100))
    await at.over(reset=True)


@plays(TLS)
async def hello_and_no_more(at: Stage) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = contexts().client.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with suppress(ssl.SSLWantReadError):
        session.do_handshake()
    await at.wire(outgoing.read())
    await at.over(reset=True)


SCENES = (
    [(name, scene, False) for name, scene in (PLAIN | BOTH).items()]
    + [(name, scene, True) for name, scene in (BOTH | TLS).items()]
)  # fmt: skip


@pytest.mark.parametrize(
    ("scene", "tls"), [each[1:] for each in SCENES], ids=[each[0] + "-tls" * each[2] for each in SCENES]
)
@in_loop
async def test_nothing_is_left(scene: Scene, tls: bool) -> None:
    """Of any number of connections that end like this."""
    async with stage(tls=tls) as at:
        left = []
        for _ in range(BATCHES):
            before = Usage.now()
            for _ in range(ROUNDS):
                at.connected = echo
                await scene(at)
            forget_timers()
            left.append(Usage.now().since(before))
            if Usage(*map(min, zip(*left, strict=True))).is_nothing(TLS_SLACK if tls else SLACK):
                return
        pytest.fail(f"each batch left something: {left}")


@in_loop
async def test_memory_of_the_process() -> None:
    """All scenes, one after the other, again and again, take no more memory from the system."""
    sizes: list[int] = []
    async with stage(tls=False) as at:
        for _ in range(4):
            for _ in range(max(ROUNDS // 8, 1)):
                for scene in (PLAIN | BOTH).values():
                    at.connected = echo
                    await scene(at)
            gc.collect()
            sizes.append(resident())
    assert min(sizes[-1], sizes[-2]) - sizes[1] < 4_000_000, sizes


def test_the_check_can_fail() -> None:
    """An object, a descriptor or a block of C's that is kept for each round is seen."""
    assert Usage(ROUNDS - 1, ROUNDS - 1, 0, SLACK).is_nothing(SLACK)
    for more in ((ROUNDS, 0, 0, 0), (0, ROUNDS, 0, 0), (0, 0, 1, 0), (0, 0, 0, SLACK + 1)):
        assert not Usage(*more).is_nothing(SLACK)


# References


@pytest.mark.parametrize("payload", [HUGE, HUGE_TEXT], ids=["bytes", "str"])
@pytest.mark.parametrize("ends", ["read", "reset", "abort"])
@in_loop
async def test_references_to_payloads(payload: bytes | str, ends: str) -> None:
    """What is sent is referred to while it waits, and not afterwards, by many connections too."""
    async with stage(tls=False) as at:
        everyone: list[Any] = []
        at.connected = everyone.append
        peers = [await at.peer() for _ in range(3)]
        before = sys.getrefcount(payload)
        for client in everyone:
            client.send(payload)
        assert sys.getrefcount(payload) == before + 3
        if ends == "read":
            await asyncio.gather(*(_read(peer, len(payload) + 10) for peer in peers))
            await turns()
        elif ends == "abort":
            for client in everyone:
                client._channel.abort()
        everyone.clear()
        client = None  # the loop's variable
        await at.over(reset=ends == "reset")
        assert sys.getrefcount(payload) == before


async def _read(peer: Peer, size: int) -> None:
    loop = asyncio.get_running_loop()
    while size:
        size -= len(await loop.sock_recv(peer.sock, min(size, 1_000_000)))


@in_loop
async def test_references_to_callbacks_and_contexts() -> None:
    """A connection that has ended holds its callbacks and its context no more, whatever they did."""

    class Callback:
        def __call__(self, event: wsmash.MessageEvent) -> None:
            event.client.send(event.data)
            if event.data == "off":
                event.client.off("message", self)
            elif event.data == "raise":
                raise ValueError

    for word in ("none", "off", "raise"):
        async with stage(tls=False) as at:
            kept: list[weakref.ref[Any]] = []

            def connected(client: Any, kept: list[weakref.ref[Any]] = kept) -> None:
                callback = Callback()
                client.on("message", callback)
                kept += (weakref.ref(callback), weakref.ref(client._context))

            at.connected = connected
            peer = await at.peer()
            await peer.say(word, "more")
            await turns()
            assert kept[1]() is not None
            await at.over()
            assert [each() for each in kept] == [None, None], word


@in_loop
async def test_references_to_handlers(natives: Bench) -> None:
    """A channel that has ended holds its handler no more."""
    end = natives.attach()
    before = sys.getrefcount(end.handler)
    handler = end.handler
    end.upgrade()
    end.channel.send(Opcode.BINARY, HUGE)
    end.channel.abort()
    await turns()
    assert sys.getrefcount(handler) <= before
    assert handler.all("lost") == [(None,)]
