"""What every channel promises of its end, on each driver, against a raw socket at the other end."""

from __future__ import annotations

import socket
import struct

import pytest

from fixtures.driver import MIB, Bench
from fixtures.frames import close, masked, text
from fixtures.in_loop import in_loop, turns
from wsmash.constants import Opcode
from wsmash.sansio.violations import Violation


def reset(sock: socket.socket) -> None:
    """End a TCP connection with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@in_loop
async def test_close_flushes_and_drains(bench: Bench) -> None:
    """`close` writes what waits, ends our direction, reads and discards theirs, and is lost when that ends."""
    end = bench.attach()
    end.upgrade()
    size = 2 * MIB
    end.channel.send(Opcode.BINARY, bytes(size))
    end.channel.close()
    assert end.channel.send(Opcode.TEXT, b"too late") == 0
    assert len(await end.peer_reads_all()) == size + 10
    for _ in range(64):
        await end.peer_sends(bytes(65536))  # would not fit if nobody read it
    await turns()
    assert end.handler.heard == [("drained",)]
    end.peer.shutdown(socket.SHUT_WR)
    assert await end.handler.hears("lost") == (None,)
    assert end.handler.heard == [("drained",), ("lost", None)]


@in_loop
async def test_close_while_paused_drains(bench: Bench) -> None:
    """A paused channel that closes reads again, so that the peer's end is seen."""
    end = bench.attach()
    end.upgrade()
    end.channel.pause_reading()
    await end.peer_sends(masked("never delivered"))
    end.channel.close()
    assert await end.peer_reads_all() == b""
    end.peer.close()
    await end.handler.hears("lost")
    assert end.handler.messages == []


@in_loop
async def test_close_after_the_peers_end_is_lost_at_once(bench: Bench) -> None:
    """A peer that ended first, and whose last answer is written, is not waited for."""
    end = bench.attach()

    def answer(what: tuple[object, ...]) -> None:
        if what[0] == "bytes":
            end.channel.write(bytes(2 * MIB))
            end.channel.close()

    end.handler.act = answer
    await end.peer_sends(b"request")
    end.peer.shutdown(socket.SHUT_WR)
    assert len(await end.peer_reads_all()) == 2 * MIB
    assert await end.handler.hears("lost") == (None,)


@in_loop
async def test_abort(bench: Bench) -> None:
    """`abort` drops everything at once; `lost` comes once, without an error, and nothing after it."""
    end = bench.attach()
    end.upgrade()
    end.channel.send(Opcode.BINARY, bytes(4 * MIB))
    await end.peer_sends(masked("unread"))
    end.channel.abort()
    end.channel.abort()
    end.channel.close()
    end.channel.resume_reading()
    end.channel.pause_reading()
    assert end.channel.send(Opcode.TEXT, b"gone") == 0
    await end.handler.hears("lost")
    await turns()
    assert end.handler.heard == [("lost", None)]


@in_loop
async def test_abort_inside_a_message(bench: Bench) -> None:
    """Aborting from a message stops the delivery of what came with it."""
    end = bench.attach()
    end.upgrade()
    end.handler.act = lambda what: end.channel.abort()
    await end.peer_sends(masked("a", "b", "c"))
    await end.handler.hears("lost")
    assert end.handler.heard == [("message", "a"), ("lost", None)]


@in_loop
async def test_close_inside_a_message(bench: Bench) -> None:
    """Closing from a message sends what was sent before, and delivers nothing more."""
    end = bench.attach()
    end.upgrade()

    def act(what: tuple[object, ...]) -> None:
        if what[0] == "message":
            end.channel.send(Opcode.CLOSE, b"\x03\xe8")
            end.channel.close()

    end.handler.act = act
    await end.peer_sends(masked("a", "b", "c"))
    assert await end.peer_reads_all() == close(1000)
    end.peer.close()
    await end.handler.hears("lost")
    assert end.handler.messages == ["a"]


@pytest.mark.case(51)
@pytest.mark.parametrize("state", ["bytes", "messages", "half a frame", "closing"])
@in_loop
async def test_end_of_file(bench: Bench, state: str) -> None:
    """The peer's end is `lost`, without an error and once, at each state (hostile case 51)."""
    end = bench.attach()
    if state != "bytes":
        end.upgrade()
    if state == "half a frame":
        await end.peer_sends(masked("hello")[:-2])
    if state == "closing":
        end.channel.close()
    end.peer.shutdown(socket.SHUT_WR)
    assert await end.handler.hears("lost") == (None,)
    await turns()
    assert end.handler.heard == [("lost", None)]


@in_loop
async def test_end_of_file_waits_behind_a_pause(bench: Bench) -> None:
    """Messages before the end are delivered before `lost`, however long a pause holds them."""
    end = bench.attach()
    end.upgrade()
    end.channel.pause_reading()
    await end.peer_sends(masked("a", "b"))
    end.peer.close()
    await turns()
    assert end.handler.heard == []
    end.channel.resume_reading()
    await end.handler.hears("lost")
    assert [what[0] for what in end.handler.heard] == ["message", "message", "lost"]


@pytest.mark.case(19, 51)
@pytest.mark.parametrize("state", ["bytes", "messages", "closing"])
@in_loop
async def test_reset(bench: Bench, state: str) -> None:
    """A reset is `lost` with the system's error, once (hostile cases 19 and 51)."""
    end = bench.attach(bench.tcp_pair())
    if state != "bytes":
        end.upgrade()
    if state == "closing":
        end.channel.close()
    reset(end.peer)
    (error,) = await end.handler.hears("lost")
    assert isinstance(error, ConnectionResetError)
    await turns()
    assert len(end.handler.heard) == 1


@in_loop
async def test_close_frame_is_read_after_a_failed_write(bench: Bench) -> None:
    """Where the peer takes no more, what it said before is still delivered, its close frame above all."""
    end = bench.attach()
    end.upgrade()
    await end.peer_sends(masked("bye") + close(3000, "done", masked=True))
    end.peer.close()
    end.channel.send(Opcode.TEXT, b"to nobody")  # EPIPE, before anything was read
    end.channel.send(Opcode.TEXT, b"again")
    await end.handler.hears("lost")
    assert [what[0] for what in end.handler.heard] == ["message", "control", "lost"]
    assert end.handler.all("control") == [(Opcode.CLOSE, b"\x0b\xb8done")]


@in_loop
async def test_nothing_after_a_close_frame(bench: Bench) -> None:
    """After the peer's close frame nothing of it is delivered."""
    end = bench.attach()
    end.upgrade()
    await end.peer_sends(close(1000, masked=True) + masked("late") + close(1001, masked=True))
    end.peer.close()
    await end.handler.hears("lost")
    assert [what[0] for what in end.handler.heard] == ["control", "lost"]


@in_loop
async def test_nothing_after_a_violation(bench: Bench) -> None:
    """What was right is delivered, then the violation, then nothing but `lost`."""
    end = bench.attach()
    end.upgrade()
    await end.peer_sends(masked("fine") + text("not masked") + masked("late"))
    end.peer.close()
    await end.handler.hears("lost")
    assert [what[0] for what in end.handler.heard] == ["message", "violated", "lost"]
    assert end.handler.all("violated") == [(Violation.UNMASKED,)]


@in_loop
async def test_lost_before_it_began(bench: Bench) -> None:
    """A channel aborted before the loop turned once is lost once, and delivers nothing."""
    end = bench.attach(received=b"early")
    end.channel.abort()
    await end.handler.hears("lost")
    await turns()
    assert end.handler.heard == [("lost", None)]
