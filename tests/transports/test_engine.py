"""The native engine's turn: who may do what to whom within it, and what interrupts it."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

import wsmash
from fixtures.driver import LIMITS, MIB, Bench, End
from fixtures.frames import text
from fixtures.in_loop import in_loop, turns, until
from fixtures.native import engine_of, served
from wsmash.constants import Opcode
from wsmash.sansio.violations import Violation

pytestmark = pytest.mark.usefixtures("native_engine")


def masked(*messages: str) -> bytes:
    """Text messages as a client writes them."""
    return b"".join(text(each, masked=True) for each in messages)


# A callback may do anything to anyone


@in_loop
async def test_poll_inside_poll(natives: Bench) -> None:
    """A turn inside a turn, as of a loop inside a callback, is over at once and delivers nothing."""
    ends = [natives.attach() for _ in range(3)]
    heard: list[int] = []

    def act(_: object) -> None:
        before = sum(len(end.handler.messages) for end in ends)
        engine_of(natives).poll()
        heard.append(sum(len(end.handler.messages) for end in ends) - before)

    for end in ends:
        end.upgrade()
        end.handler.act = act
        await end.peer_sends(masked("a", "b"))
    await until(lambda: len(heard) == 6)
    assert heard == [0] * 6
    assert [end.handler.messages for end in ends] == [["a", "b"]] * 3


ACTS: dict[str, Callable[[End], object]] = {
    "abort": lambda end: end.channel.abort(),
    "close": lambda end: end.channel.close(),
    "send": lambda end: end.channel.send(Opcode.TEXT, b"x"),
    "send much": lambda end: end.channel.send(Opcode.BINARY, bytes(300_000)),
    "pause": lambda end: end.channel.pause_reading(),
}


def _hit_others(act: Callable[[End], object], ends: list[End], done: list[int], me: int, what: tuple[Any, ...]) -> None:
    if what[0] == "message" and not done:
        done.append(me)
        for other in ends:
            if other is not ends[me]:
                act(other)


@pytest.mark.parametrize("act", ACTS)
@in_loop
async def test_every_order_within_a_turn(natives: Bench, act: str) -> None:
    """Whoever is first in a turn may end, pause or write to all others, whose events are in the same turn."""
    for order in itertools.permutations(range(3)):
        ends = [natives.attach() for _ in order]
        done: list[int] = []

        for number, end in enumerate(ends):
            end.upgrade()
            end.handler.act = partial(_hit_others, ACTS[act], ends, done, number)
        for number in order:
            ends[number].peer.send(masked("a", "b"))
        await turns()
        (first,) = done
        for number, end in enumerate(ends):
            hears_all = number == first or act.startswith("send")
            assert end.handler.messages == (["a", "b"] if hears_all else []), (order, number)
        for end in ends:
            end.channel.abort()
        await turns()
        assert [len(end.handler.all("lost")) for end in ends] == [1, 1, 1]
        assert len(engine_of(natives)) == 0


@in_loop
async def test_descriptors_reused_within_a_turn(natives: Bench) -> None:
    """A connection that takes over a descriptor and a slot in the turn that freed them is not told the old one's."""
    ends = [natives.attach() for _ in range(8)]
    numbers = {end.channel.info().remote_address for end in ends}
    assert numbers
    fresh: list[End] = []

    def act(_: object) -> None:
        for end in ends:
            end.channel.abort()
        while len(fresh) < 8:
            fresh.append(natives.attach())
            fresh[-1].upgrade()

    for end in ends:
        end.upgrade()
        end.handler.act = lambda what: None if fresh or what[0] != "message" else act(what)
        end.peer.send(masked("old"))
    await until(lambda: fresh)
    await turns()
    assert sum(len(end.handler.messages) for end in ends) == 1
    assert all(not end.handler.heard for end in fresh)
    for number, end in enumerate(fresh):
        end.peer.send(masked(str(number)))
    await until(lambda: all(end.handler.messages for end in fresh))
    assert [end.handler.messages for end in fresh] == [[str(number)] for number in range(8)]


@in_loop
async def test_copies_of_a_closed_descriptor(natives: Bench) -> None:
    """A socket that was closed while a copy of it lives reports nothing more: it left epoll before."""
    ours, peer = natives.pair()
    copy = os.dup(ours.fileno())
    end = natives.attach((ours, peer))
    other = natives.attach()  # which keeps the reactor in the loop
    for each in (end, other):
        each.upgrade()
    end.channel.abort()
    peer.send(masked("late"))
    await turns()
    before = time.process_time()
    await asyncio.sleep(0.1)
    assert time.process_time() - before < 0.05, "the loop spins"
    assert end.handler.messages == []
    os.close(copy)
    other.channel.abort()
    await turns()


# Nothing spins


@pytest.mark.parametrize("blocked", [False, True], ids=["quiet", "blocked"])
@pytest.mark.parametrize("paused", [False, True], ids=["reading", "paused"])
@in_loop
async def test_a_dead_peer_does_not_spin(natives: Bench, paused: bool, blocked: bool) -> None:
    """A hang-up is looked at once, whether reading is paused and whether output waits."""
    end = natives.attach(natives.tcp_pair())
    end.upgrade()
    if blocked:
        while not end.channel.info().buffered:
            end.channel.send(Opcode.BINARY, bytes(65536))
    if paused:
        end.channel.pause_reading()
    await turns()
    end.peer.close()
    await turns()
    before = time.process_time()
    await asyncio.sleep(0.1)
    assert time.process_time() - before < 0.05, "the loop spins"
    if not paused:
        assert end.handler.all("lost")
    end.channel.abort()
    await turns()
    assert len(end.handler.all("lost")) == 1


# Callbacks of connections: the short way


@in_loop
async def test_a_callback_that_removes_itself(native_engine: None) -> None:
    """It is alive until it returns, though nobody but the engine holds it, and is not called again."""
    heard: list[str] = []

    def connected(event: wsmash.ConnectionEvent) -> None:
        client = event.client

        def once(message: wsmash.MessageEvent) -> None:
            client.off("message", once)
            heard.append(str(message.data))
            client.send(message.data)

        client.on("message", once)

    async with served(1, connected) as (_, [peer]):
        await peer.say("a", "b")
        assert await peer.hears(1) == ["a"]
        await turns()
        assert heard == ["a"]


@in_loop
async def test_a_callback_that_adds_another(native_engine: None) -> None:
    """The next message of the same read is for both."""
    heard: list[tuple[str, Any]] = []

    def connected(event: wsmash.ConnectionEvent) -> None:
        def first(message: wsmash.MessageEvent) -> None:
            if not heard:
                message.client.on("message", lambda again: heard.append(("second", again.data)))
            heard.append(("first", message.data))

        event.client.on("message", first)

    async with served(1, connected) as (_, [peer]):
        await peer.say("a", "b")
        await until(lambda: len(heard) == 3)
        assert heard == [("first", "a"), ("first", "b"), ("second", "b")]


@pytest.mark.parametrize("act", ["close", "abort"])
@in_loop
async def test_a_broadcast_to_connections_that_end_in_the_turn(native_engine: None, act: str) -> None:
    """A callback may end all others and broadcast to them in the same turn; it alone hears it."""
    everyone: list[Any] = []

    def connected(event: Any) -> None:
        everyone.append(event.client)

        def received(message: Any) -> None:
            for other in set(everyone) - {message.client}:
                other._channel.abort() if act == "abort" else other.close()
            server.broadcast("to all")

        event.client.on("message", received)

    async with served(5, connected) as (server, peers):
        for peer in peers:
            peer.sock.send(masked("now"))
        await until(lambda: server.get_client_count() <= (1 if act == "abort" else 5))
        await turns()
        heard = []
        for peer in peers:
            with suppress(ConnectionError, BlockingIOError):
                heard.append(peer.sock.recv(4096))
        assert sum(b"to all" in each for each in heard) == 1


@in_loop
async def test_a_callback_that_raises(native_engine: None, caplog: pytest.LogCaptureFixture) -> None:
    """Its connection ends or goes on as the runtime says; every other one is served in the same turn."""

    def connected(event: wsmash.ConnectionEvent) -> None:
        def received(message: wsmash.MessageEvent) -> None:
            if message.data == "raise":
                raise ValueError("of the callback")
            message.client.send(message.data)

        event.client.on("message", received)

    async with served(4, connected) as (_, peers):
        for peer in peers[::2]:
            await peer.say("raise")
        for peer in peers[1::2]:
            await peer.say("a", "b")
            assert await peer.hears(2) == ["a", "b"]
    assert "of the callback" in caplog.text


@pytest.mark.case(54)
@in_loop
async def test_others_are_served_between_slow_callbacks(native_engine: None) -> None:
    """A flood of tiny messages to a slow callback holds another connection up for some milliseconds only."""
    order: list[Any] = []

    def connected(event: wsmash.ConnectionEvent) -> None:
        def received(message: wsmash.MessageEvent) -> None:
            order.append(message.data)
            if message.data == "f":
                time.sleep(0.001)

        event.client.on("message", received)

    async with served(2, connected) as (_, [flood, other]):
        await flood.write(masked("f") * 1000)
        await until(lambda: order)
        await other.say("other")
        await until(lambda: "other" in order)
        assert order.index("other") < 100
        await until(lambda: len(order) == 1001)


# Lengths


@pytest.mark.case(27, 28)
@pytest.mark.parametrize("announced", [2**63 - 1, 2**63, 2**64 - 1, MIB + 1], ids=hex)
@pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY])
@in_loop
async def test_lengths_are_judged_from_the_head(natives: Bench, announced: int, opcode: Opcode) -> None:
    """A message that may not be is refused before a byte of it has come, and no memory is taken for it."""
    end = natives.attach()
    end.upgrade()
    tracemalloc.start()
    try:
        await end.peer_sends(bytes((0x80 | opcode, 0xFF)) + announced.to_bytes(8) + b"mask")
        (violation,) = await end.handler.hears("violated")
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()
    assert isinstance(violation, Violation)
    assert end.handler.messages == []
    end.channel.abort()
    await turns()


@pytest.mark.case(27)
@in_loop
async def test_announced_bytes_cost_nothing(natives: Bench) -> None:
    """Sixteen connections that announce 16 MiB each and send a few bytes cost no memory to speak of."""
    limits = LIMITS._replace(max_message_size=32 * MIB)
    ends = [natives.attach() for _ in range(16)]
    tracemalloc.start()
    try:
        for end in ends:
            end.upgrade(limits=limits)
            await end.peer_sends(bytes((0x82, 0xFF)) + (16 * MIB).to_bytes(8) + bytes(1000))
        await turns()
        for end in ends:
            await end.peer_sends(bytes(1000))
        await turns()
        assert tracemalloc.get_traced_memory()[1] < MIB
    finally:
        tracemalloc.stop()
    for end in ends:
        assert end.channel.info().unfinished
        end.channel.abort()
    await turns()
