"""What every channel promises of opening and reading (see `transports/base.py`), on each driver, over raw sockets."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

from fixtures.driver import Bench
from fixtures.frames import frame, masked
from fixtures.in_loop import in_loop, turns
from wsmash.constants import Opcode
from wsmash.transports.base import ITEMS_PER_TURN, READ_SIZE

# The byte pipe


@in_loop
async def test_byte_pipe(bench: Bench) -> None:
    """Before the upgrade bytes pass both ways, in order."""
    end = bench.attach()
    end.channel.write(b"one ")
    end.channel.write(b"two")
    assert await end.peer_reads(7) == b"one two"
    await end.peer_sends(b"three")
    await end.handler.until(lambda: end.handler.data == b"three")


@in_loop
async def test_received_already(bench: Bench) -> None:
    """Bytes given to `attach` reach the handler first, and not from inside the call."""
    end = bench.attach(received=b"early ")
    assert end.handler.heard == []
    await end.peer_sends(b"late")
    await end.handler.until(lambda: end.handler.data == b"early late")


@in_loop
async def test_large_write(bench: Bench) -> None:
    """What the system does not take at once is written as the peer reads, whole and in order."""
    end = bench.attach()
    data = bytes(range(256)) * 16384
    end.channel.write(data)
    end.channel.write(b"the end")
    assert end.channel.info().buffered > 0
    assert await end.peer_reads(len(data) + 7) == data + b"the end"
    await end.handler.until(lambda: not end.channel.info().buffered)


@in_loop
async def test_small_writes_leave_at_once(bench: Bench) -> None:
    """A TCP socket that is attached does not wait for more to write (Nagle's algorithm), and never blocks."""
    ours, peer = bench.tcp_pair()
    ours.setblocking(True)
    number = ours.fileno()
    bench.attach((ours, peer))
    with socket.socket(fileno=os.dup(number)) as same:
        assert same.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert not os.get_blocking(same.fileno())


@in_loop
async def test_info(bench: Bench) -> None:
    """A TCP channel knows both addresses, and when bytes came and went."""
    ours, peer = bench.tcp_pair()
    expected = ours.getpeername(), ours.getsockname()
    end = bench.attach((ours, peer))
    before = end.channel.info()
    assert (before.remote_address, before.local_address) == expected
    assert before.tls is None and before.buffered == 0 and not before.unfinished
    await end.peer_sends(b"x")
    await end.handler.hears("bytes")
    assert end.channel.info().received_at >= before.received_at
    end.channel.abort()
    assert end.channel.info().remote_address == expected[0]


# The upgrade


@in_loop
async def test_upgrade_with_received_bytes(bench: Bench) -> None:
    """Bytes that came with the opening are the first messages, and the socket's the next ones."""
    end = bench.attach()
    end.upgrade(received=masked("a", "b"))
    assert end.handler.heard == [], "nothing is delivered from inside upgrade"
    await end.peer_sends(masked("c"))
    await end.handler.hears("message", 3)
    assert end.handler.messages == ["a", "b", "c"]


@in_loop
async def test_pause_goes_on_through_the_upgrade(bench: Bench) -> None:
    """A channel paused in its opening delivers nothing until it is resumed, not even what was received."""
    end = bench.attach()
    end.channel.pause_reading()
    end.upgrade(received=masked("a"))
    await end.peer_sends(masked("b"))
    await turns()
    assert end.handler.heard == []
    end.channel.resume_reading()
    await end.handler.hears("message", 2)
    assert end.handler.messages == ["a", "b"]


@in_loop
async def test_upgrade_inside_a_read(bench: Bench) -> None:
    """A handler may upgrade from inside `bytes_received`; what follows is frames."""
    end = bench.attach()
    end.handler.act = lambda what: end.upgrade(received=what[1][4:]) if what[0] == "bytes" else None
    await end.peer_sends(b"head" + masked("a"))
    await end.handler.hears("message")
    await end.peer_sends(masked("b"))
    await end.handler.hears("message", 2)
    assert end.handler.messages == ["a", "b"]


@pytest.mark.case(33)
@in_loop
async def test_one_byte_at_a_time(bench: Bench) -> None:
    """Frames that come byte by byte are the same messages."""
    end = bench.attach()
    end.upgrade()
    for byte in masked("hello", "é" * 100) + frame(Opcode.PING, b"p", masked=True):
        await end.peer_sends(bytes((byte,)))
        await turns(2)
    await end.handler.hears("control")
    assert end.handler.messages == ["hello", "é" * 100]


@in_loop
async def test_unfinished(bench: Bench) -> None:
    """`info` tells whether a message has begun and not ended."""
    end = bench.attach()
    end.upgrade()
    whole = masked("hello")
    await end.peer_sends(whole[:8])
    await end.handler.until(lambda: True)
    while not end.channel.info().unfinished:
        await asyncio.sleep(0)
    await end.peer_sends(whole[8:])
    await end.handler.hears("message")
    assert not end.channel.info().unfinished


@pytest.mark.case(37)
@in_loop
async def test_control_frames_do_not_renew_an_unfinished_message(bench: Bench) -> None:
    """`message_at` is when bytes of the message itself last came."""
    end = bench.attach()
    end.upgrade()
    await end.peer_sends(frame(Opcode.TEXT, b"begun", final=False, masked=True))
    while not end.channel.info().unfinished:
        await asyncio.sleep(0)
    begun = end.channel.info()
    assert begun.message_at == begun.received_at
    while asyncio.get_running_loop().time() == begun.received_at:
        await asyncio.sleep(0)
    await end.peer_sends(frame(Opcode.PONG, b"", masked=True))
    await end.handler.hears("control")
    later = end.channel.info()
    assert later.received_at > begun.received_at and later.message_at == begun.message_at


@pytest.mark.case(54)
@in_loop
async def test_a_turn_ends_by_time_too(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the messages of a read take long, others have their turn between them: the clock is looked at often."""
    monkeypatch.setattr("wsmash.transports.base.SECONDS_PER_SHARE", -1)
    count = 160
    end = bench.attach()
    end.upgrade()
    loop = asyncio.get_running_loop()
    passed = 0

    def pass_by() -> None:
        nonlocal passed
        passed += 1
        if len(end.handler.messages) < count:
            loop.call_soon(pass_by)

    messages = [str(number) for number in range(count)]
    await end.peer_sends(masked(*messages))
    await end.handler.hears("message")
    pass_by()
    await end.handler.hears("message", count)
    assert end.handler.messages == messages and passed >= count // 32 - 1


# Who is called when


@in_loop
async def test_handler_is_never_called_from_inside(bench: Bench) -> None:
    """No call of ours reaches the handler before it returns: not send, not resume, not close, not abort."""
    for act in ("send", "resume", "close", "abort"):
        end = bench.attach()
        end.upgrade()
        end.channel.pause_reading()
        await end.peer_sends(masked("waits"))
        end.peer.shutdown(socket.SHUT_RD)
        heard = list(end.handler.heard)
        if act == "send":
            end.channel.send(Opcode.TEXT, b"to nobody")  # EPIPE
        elif act == "resume":
            end.channel.resume_reading()
        else:
            getattr(end.channel, act)()
        assert end.handler.heard == heard, act
        end.channel.abort()
        await end.handler.hears("lost")


@in_loop
async def test_resume_inside_a_message(bench: Bench) -> None:
    """Pausing and resuming from inside a message delivers the next one later, never inside this one."""
    end = bench.attach()
    end.upgrade()
    depth = deepest = 0

    def act(what: tuple[object, ...]) -> None:
        nonlocal depth, deepest
        depth += 1
        deepest = max(deepest, depth)
        if what[0] == "message":
            end.channel.pause_reading()
            end.channel.resume_reading()
        depth -= 1

    end.handler.act = act
    await end.peer_sends(masked(*"abcdef"))
    await end.handler.hears("message", 6)
    assert end.handler.messages == list("abcdef") and deepest == 1


# Pausing


@in_loop
async def test_pause_stops_between_messages(bench: Bench) -> None:
    """Of several messages in one read, those after a pause wait for the resume."""
    end = bench.attach()
    end.upgrade()
    end.handler.act = lambda what: end.channel.pause_reading()
    await end.peer_sends(masked("a", "b", "c"))
    await end.handler.hears("message")
    await turns()
    assert end.handler.messages == ["a"]
    for count in (2, 3):
        end.channel.resume_reading()
        assert len(end.handler.messages) == count - 1, "nothing is delivered from inside resume_reading"
        await end.handler.hears("message", count)
        await turns()
        assert len(end.handler.messages) == count


@in_loop
async def test_pause_holds_back_at_most_one_read(bench: Bench) -> None:
    """While paused nothing is read: the peer can write what the system buffers and no more."""
    end = bench.attach()
    await end.peer_sends(b"x")
    await end.handler.hears("bytes")
    end.channel.pause_reading()
    before = len(end.handler.data)
    taken = 0
    for _ in range(1000):
        try:
            taken += end.peer.send(bytes(65536))
        except BlockingIOError:
            break
        await turns(2)
    else:
        pytest.fail("a paused channel takes everything")
    assert len(end.handler.data) - before <= READ_SIZE
    end.channel.resume_reading()
    await end.handler.until(lambda: len(end.handler.data) == taken + 1)


@in_loop
async def test_pause_and_resume_are_idempotent(bench: Bench) -> None:
    """Pausing twice needs one resume, and a resume without a pause changes nothing."""
    end = bench.attach()
    end.upgrade()
    end.channel.resume_reading()
    end.channel.pause_reading()
    end.channel.pause_reading()
    end.channel.resume_reading()
    end.channel.resume_reading()
    await end.peer_sends(masked("a", "b"))
    await end.handler.hears("message", 2)
    assert end.handler.messages == ["a", "b"]


@in_loop
async def test_resumed_and_paused_again(bench: Bench) -> None:
    """A pause that follows a resume at once holds."""
    end = bench.attach()
    end.upgrade()
    end.channel.pause_reading()
    await end.peer_sends(masked("a"))
    end.channel.resume_reading()
    end.channel.pause_reading()
    await turns()
    assert end.handler.heard == []
    end.channel.resume_reading()
    await end.handler.hears("message")


# Fairness


@pytest.mark.case(54)
@in_loop
async def test_others_have_their_turn(bench: Bench) -> None:
    """A flood of tiny messages on one connection lets another one's through after a turn's budget (hostile case 54)."""
    flood, quiet = bench.attach(), bench.attach()
    flood.upgrade()
    quiet.upgrade()
    before: list[int] = []
    quiet.handler.act = lambda _: before.append(len(flood.handler.heard))
    flood.handler.act = lambda _: quiet.peer.send(masked("q")) if len(flood.handler.heard) == 1 else None
    flood.peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    count = 8 * ITEMS_PER_TURN
    await flood.peer_sends(frame(1, b"", masked=True) * count)
    await quiet.handler.hears("message")
    assert before[0] <= 2 * ITEMS_PER_TURN
    await flood.handler.hears("message", count)
