"""The pair in memory: two channels that are each other's peer, with the bounds and the ends of a socket's."""

from __future__ import annotations

import asyncio

from fixtures.driver import LIMITS, MIB, Recorder
from fixtures.in_loop import in_loop, turns
from wsmash.constants import Opcode, Role
from wsmash.transports.base import REFUSED
from wsmash.transports.memory import MemoryChannel, memory_pair


def pair() -> tuple[MemoryChannel, Recorder, MemoryChannel, Recorder]:
    """A client's end and a server's."""
    left, right = Recorder(), Recorder()
    one, other = memory_pair(asyncio.get_running_loop(), left, right)
    return one, left, other, right


def upgraded() -> tuple[MemoryChannel, Recorder, MemoryChannel, Recorder]:
    """The same as message pipes."""
    one, left, other, right = pair()
    one.upgrade(left, Role.CLIENT, LIMITS, None, b"")
    other.upgrade(right, Role.SERVER, LIMITS, None, b"")
    return one, left, other, right


@in_loop
async def test_bytes_both_ways() -> None:
    """What one end writes the other receives, in order, and never from inside the call."""
    one, left, other, right = pair()
    one.write(b"a")
    one.write(b"b")
    other.write(b"c")
    assert left.heard == right.heard == []
    await right.until(lambda: right.data == b"ab")
    await left.until(lambda: left.data == b"c")


@in_loop
async def test_messages() -> None:
    """A client's end and a server's understand each other."""
    one, left, other, right = upgraded()
    one.send(Opcode.TEXT, b"hello")
    other.send(Opcode.BINARY, b"\x00\x01")
    one.send(Opcode.PING, b"p")
    await right.hears("control")
    await left.hears("message")
    assert right.heard == [("message", "hello"), ("control", Opcode.PING, b"p")]
    assert left.messages == [b"\x00\x01"]


@in_loop
async def test_peer_that_does_not_read() -> None:
    """What a paused end does not take waits at the other, up to `max_write_buffer`, and drains on resume."""
    one, left, other, right = upgraded()
    other.pause_reading()
    sent = 0
    while one.send(Opcode.BINARY, bytes(32768)) != REFUSED:
        sent += 1
    assert one.info().buffered <= MIB + 14
    await turns()
    assert right.heard == []
    other.resume_reading()
    await left.hears("drained")
    await right.hears("message", sent)
    assert right.messages == [bytes(32768)] * sent


@in_loop
async def test_narrow_window() -> None:
    """A window of one byte passes everything, one byte a turn; narrowed below what waits, it passes nothing twice."""
    one, _, other, right = upgraded()
    one.send(Opcode.TEXT, b"waits")
    other.window = 1
    one.send(Opcode.TEXT, b"through a narrow window")
    await right.hears("message", 2)
    assert right.messages == ["waits", "through a narrow window"]


@in_loop
async def test_close() -> None:
    """`close` delivers what was written, then the end; the other's close ends both."""
    one, left, other, right = upgraded()
    one.send(Opcode.TEXT, b"last words")
    one.close()
    assert await right.hears("lost") == (None,)
    assert right.messages == ["last words"]
    assert await left.hears("lost") == (None,)
    assert other.send(Opcode.TEXT, b"gone") == 0


@in_loop
async def test_abort() -> None:
    """An aborted end is lost at once, the other after what it was sent before; what it writes then is lost too."""
    one, left, other, right = pair()
    one.write(b"before")
    one.abort()
    other.write(b"to nobody")
    await left.hears("lost")
    await right.hears("lost")
    assert right.data == b"before"
    assert left.heard == [("lost", None)]
