"""Finalizers may run wherever Python does, inside the engine too: what they send disturbs nothing that is under way."""

from __future__ import annotations

import asyncio
import gc
import os
import ssl
from collections.abc import Callable
from typing import Any, cast

import pytest

from fixtures.certificates import contexts
from fixtures.driver import LIMITS, Bench, End, Recorder
from fixtures.frames import frames_in, text
from fixtures.in_loop import in_loop, turns
from fixtures.native_tls import sessions
from wsmash.constants import Opcode, Role
from wsmash.transports.native import NativeDriver

LARGE = b"y" * 70_000
"""More than what may be gathered: it leaves at once, where that can be."""


class Finalizer:
    """Does something when the collector takes it, which is when anything is next made that it looks after."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act
        self._me = self
        self._before = gc.get_threshold()
        gc.set_threshold(1)

    def __del__(self) -> None:
        gc.set_threshold(*self._before)
        self._act()


@pytest.mark.parametrize("how", ["send", "close", "abort"])
@in_loop
async def test_while_tls_encrypts(natives: Bench, how: str) -> None:
    """One that sends on, closes or aborts the very connection that is encrypting for."""
    (session,) = await sessions(natives, 1)
    channel = session.end.channel
    acts = {"send": lambda: channel.send(Opcode.BINARY, LARGE), "close": channel.close, "abort": channel.abort}

    def act(what: tuple[Any, ...]) -> None:
        if what[0] == "message":
            channel.send(Opcode.BINARY, b"x" * 1000)
            Finalizer(acts[how])  # the turn is nearly over: next, that is encrypted

    session.end.handler.act = act
    session.end.peer.send(session.encrypt(text("go", masked=True)))
    await turns()
    payloads = [found.payload for found in frames_in(session.decrypt())] if how != "abort" else []
    if how == "send":
        assert payloads == [b"x" * 1000, LARGE]
    elif how == "close":
        assert payloads == [b"x" * 1000]
    channel.abort()
    await session.end.handler.hears("lost")


@in_loop
async def test_while_another_connection_shakes_hands(natives: Bench) -> None:
    """What is sent while OpenSSL works for a newcomer goes to whom it is for, and the newcomer gets its own."""
    (old,) = await sessions(natives, 1)
    server = contexts().server

    def named(_: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        if not sent:
            sent.append(name)
            Finalizer(lambda: old.end.channel.send(Opcode.BINARY, LARGE))

    sent: list[str | None] = []
    server.sni_callback = named
    try:
        (new,) = await sessions(natives, 1)
    finally:
        server.sni_callback = None
    new.end.peer.send(new.encrypt(text("hello", masked=True)))
    await turns()
    assert [found.payload for found in frames_in(new.decrypt())] == [b"hello"]
    assert [found.payload for found in frames_in(old.decrypt())] == [LARGE]
    for each in (old, new):
        each.end.channel.abort()
    await turns()


@in_loop
async def test_an_alert_stays_with_its_connection(natives: Bench) -> None:
    """What TLS says of a broken session does not wait where a callback of the same read could send it elsewhere."""
    broken, sound = await sessions(natives, 2)
    broken.end.handler.act = lambda what: sound.end.channel.send(Opcode.BINARY, LARGE) if what[0] == "message" else None
    first, second = broken.encrypt(text("hi", masked=True)), bytearray(broken.encrypt(b"x" * 50))
    second[-1] ^= 1
    broken.end.peer.send(first + bytes(second))
    await broken.end.handler.hears("lost")
    assert [found.payload for found in frames_in(sound.decrypt())] == [LARGE]
    with pytest.raises(ssl.SSLError, match=r"(?i)bad.record.mac"):
        broken.decrypt()
    sound.end.channel.abort()
    await turns()


class Clock:
    """The running loop, whose clock may do something before it tells the time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.act: Callable[[], object] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def time(self) -> float:
        act, self.act = self.act, None
        if act is not None:
            act()
        return self._loop.time()


@in_loop
async def test_between_a_masking_key_and_its_use(natives: Bench) -> None:
    """One that sends so much that new keys are drawn from the system leaves the key of the frame under way alone."""
    clock = Clock()
    driver = NativeDriver(cast(asyncio.AbstractEventLoop, clock))
    ends = []
    for _ in range(2):
        ours, peer = natives.pair()
        handler = Recorder()
        end = End(driver.attach(ours, handler), handler, peer)
        end.upgrade(Role.CLIENT, LIMITS._replace(max_write_buffer=None))
        ends.append(end)
    one, other = ends

    def draw() -> None:
        for _ in range(1500):
            other.channel.send(Opcode.BINARY, b"")
        for _ in range(20):
            os.urandom(4096)

    clock.act = draw
    one.channel.send(Opcode.TEXT, b"A" * 64)
    assert [found.payload for found in frames_in(await one.peer_reads(6 + 64))] == [b"A" * 64]
    for end in ends:
        end.channel.abort()
    await turns()
