"""That nothing is left of a connection, however it ends: memory of Python's and of C's, objects, descriptors.

Each scene is played until a batch of it leaves nothing behind. Caches fill in the
first batches; what leaks leaves something in every one.

`make leaks` plays larger batches.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import os
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import wsmash
from fixtures.driver import Bench
from fixtures.endings import BOTH, HUGE, HUGE_TEXT, PLAIN, TLS, Scene, echo, stage
from fixtures.in_loop import DEADLINE, in_loop, turns
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


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Without the records of the log, which pytest keeps, and with time for many rounds."""
    monkeypatch.setattr("fixtures.in_loop.DEADLINE", max(DEADLINE, 4.0 * ROUNDS))
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


SCENES = (
    [(name, scene, False) for name, scene in (PLAIN | BOTH).items()]
    + [(name, scene, True) for name, scene in (BOTH | TLS).items()]
)  # fmt: skip


@pytest.mark.case(73)
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


@pytest.mark.case(73)
@pytest.mark.skipif("WSMASH_SANITIZED" in os.environ, reason="a sanitizer keeps what was freed")
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
