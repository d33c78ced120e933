"""What every channel promises (see `transports/base.py`), on each driver, against a raw socket at the other end."""

from __future__ import annotations

import asyncio
import os
import socket
import struct

import pytest

from fixtures.driver import LIMITS, MIB, Bench, End
from fixtures.frames import close, frame, frames_in, text
from fixtures.in_loop import in_loop, turns
from wsmash.constants import Opcode, Role
from wsmash.options import Limits
from wsmash.sansio.violations import Violation
from wsmash.transports.base import ITEMS_PER_TURN, READ_SIZE, REFUSED


def masked(*messages: str) -> bytes:
    """Text messages as a client writes them."""
    return b"".join(text(each, masked=True) for each in messages)


def reset(sock: socket.socket) -> None:
    """End a TCP connection with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def fill(end: End) -> int:
    """Write until the system takes no more; how many bytes were written."""
    size = 0
    while not end.channel.info().buffered:
        end.channel.write(bytes(65536))
        size += 65536
    return size


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


@in_loop
async def test_a_turn_ends_by_time_too(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the messages of a read take long, others have their turn between them: the clock is looked at often."""
    monkeypatch.setattr("wsmash.transports.base.SECONDS_PER_TURN", -1)
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
    assert end.handler.messages == messages and passed >= count // 16 - 1


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


# Writing


@in_loop
async def test_send_frames(bench: Bench) -> None:
    """Messages, fragments and control frames go out in the order they were given, a server's without a mask."""
    end = bench.attach()
    end.upgrade()
    end.channel.send(Opcode.TEXT, b"one")
    end.channel.send(Opcode.BINARY, b"t", final=False)
    end.channel.send(Opcode.PING, b"p")
    end.channel.send(Opcode.CONTINUATION, b"wo", final=True)
    assert await end.peer_reads(15) == (
        frame(1, b"one") + frame(2, b"t", final=False) + frame(9, b"p") + frame(0, b"wo")
    )


@in_loop
async def test_client_masks(bench: Bench) -> None:
    """What a client's channel sends is masked, each frame with a key of its own."""
    end = bench.attach()
    end.upgrade(Role.CLIENT)
    for _ in range(3):
        end.channel.send(Opcode.TEXT, b"same text")
    data = await end.peer_reads(3 * 15)
    assert [each.payload for each in frames_in(data)] == [b"same text"] * 3
    assert len({data[2:6], data[17:21], data[32:36]}) == 3


@in_loop
async def test_payload_may_be_changed_after_send(bench: Bench) -> None:
    """A bytearray given to `send` is the caller's again when it returns, even where it has to wait."""
    end = bench.attach()
    end.upgrade()
    payload = bytearray(b"a" * (4 * MIB))
    assert end.channel.send(Opcode.BINARY, payload) > 0, "some of it waits"
    payload[:] = b"b" * len(payload)
    payload.clear()
    assert frames_in(await end.peer_reads(4 * MIB + 10)) == [(2, b"a" * (4 * MIB), True)]


@in_loop
async def test_high_water_and_drained(bench: Bench) -> None:
    """`send` tells what waits; `drained` comes once after it was above high water and the peer read, never before."""
    end = bench.attach()
    end.upgrade()
    sent = 0
    while end.channel.send(Opcode.BINARY, bytes(32768)) <= LIMITS.high_water:
        sent += 1
    sent += 1
    waiting = end.channel.info().buffered
    assert waiting > LIMITS.high_water
    await turns()
    assert end.handler.all("drained") == []
    data = await end.peer_reads(sent * (32768 + 4))
    await end.handler.hears("drained")
    assert len(frames_in(data)) == sent
    await turns()
    assert len(end.handler.all("drained")) == 1


@in_loop
async def test_nothing_to_drain(bench: Bench) -> None:
    """What never waited above high water is followed by no `drained`."""
    end = bench.attach()
    end.upgrade()
    assert end.channel.send(Opcode.TEXT, b"small") == 0
    await end.peer_reads(7)
    await turns()
    assert end.handler.heard == []


@in_loop
async def test_refused(bench: Bench) -> None:
    """A message that would take the buffer above its bound is refused whole; a control frame or fragment is not."""
    end = bench.attach()
    end.upgrade()
    sent = 0
    while (waiting := end.channel.send(Opcode.BINARY, bytes(65536))) != REFUSED:
        sent += 1
        assert waiting <= MIB + 10
    waiting = end.channel.info().buffered
    assert MIB - 65536 - 10 <= waiting <= MIB + 10
    assert end.channel.send(Opcode.PING, b"p") == waiting + 3
    assert end.channel.send(Opcode.BINARY, bytes(65536), final=False) > MIB
    assert end.channel.send(Opcode.CONTINUATION, b"") > MIB
    end.channel.close()
    found = frames_in(await end.peer_reads_all())
    assert [each.opcode for each in found] == [2] * sent + [9, 2, 0]


@in_loop
async def test_empty_buffer_takes_any_message(bench: Bench) -> None:
    """A message above `max_write_buffer` is taken where nothing waits (hostile case 75)."""
    end = bench.attach()
    end.upgrade()
    size = 3 * MIB
    assert end.channel.send(Opcode.BINARY, bytes(size)) > MIB
    assert end.channel.send(Opcode.BINARY, b"x") == REFUSED
    await end.peer_reads(size + 10)
    await end.handler.hears("drained")
    assert end.channel.send(Opcode.BINARY, b"x") == 0


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize(
    "sizes", [(8 * MIB, MIB), (70_000, 3 * MIB, 1, 70_000, 200_000), (65_523,) * 5, (2048, 16384) * 9]
)
@in_loop
async def test_large_messages_that_wait(bench: Bench, role: Role, sizes: tuple[int, ...]) -> None:
    """Messages of any sizes that wait behind each other arrive whole, masked or not."""
    end = bench.attach()
    end.upgrade(role, Limits(None, None, 65536, None))
    messages = [bytes([65 + number]) * size for number, size in enumerate(sizes)]
    for each in messages:
        end.channel.send(Opcode.BINARY, each)
    end.channel.close()
    assert [each.payload for each in frames_in(await end.peer_reads_all())] == messages


@in_loop
async def test_writes_are_gathered_within_a_read(bench: Bench) -> None:
    """What a handler sends while one read is worked off leaves together, in one call of the system's."""
    # A SEQPACKET socket keeps the bytes of one call together, so the peer can count them.
    end = bench.attach(bench.pair(socket.SOCK_SEQPACKET))
    end.upgrade()
    end.handler.act = lambda what: end.channel.send(Opcode.TEXT, what[1].encode()) if what[0] == "message" else None
    await end.peer_sends(masked(*"abcdef"))
    packet = await asyncio.get_running_loop().sock_recv(end.peer, 65536)
    assert [each.payload for each in frames_in(packet)] == [*map(str.encode, "abcdef")]
    end.channel.send(Opcode.TEXT, b"outside")
    end.channel.send(Opcode.TEXT, b"a read")
    assert await asyncio.get_running_loop().sock_recv(end.peer, 65536) == text("outside"), "acts at the call"


@in_loop
async def test_gathering_is_bounded(bench: Bench) -> None:
    """A handler that sends much in one read does not gather it all: it leaves above high water."""
    end = bench.attach()
    end.upgrade()
    refused: list[int] = []

    def act(what: tuple[object, ...]) -> None:
        if what[0] == "message":
            refused.extend(end.channel.send(Opcode.BINARY, bytes(65536)) for _ in range(2))

    end.handler.act = act
    await end.peer_sends(masked("a"))
    await end.handler.hears("message")
    assert REFUSED not in refused
    assert len(frames_in(await end.peer_reads(2 * (65536 + 10)))) == 2


# Fairness


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


# Ending


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
