"""What every channel promises of its writing, on each driver, against a raw socket at the other end."""

from __future__ import annotations

import asyncio
import socket

import pytest

from fixtures.driver import LIMITS, MIB, Bench
from fixtures.frames import frame, frames_in, masked, text
from fixtures.in_loop import in_loop, turns
from wsmash.constants import Opcode, Role
from wsmash.options import Limits
from wsmash.transports.base import REFUSED


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


@pytest.mark.case(102)
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


@pytest.mark.case(35)
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


@pytest.mark.case(75)
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
