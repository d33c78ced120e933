"""Fan-out: who is sent a message, who is left out, and who is too slow; on each driver."""

from __future__ import annotations

import asyncio

import pytest

from fixtures.driver import LIMITS, MIB, Bench, End
from fixtures.frames import frame, frames_in, text
from fixtures.in_loop import in_loop, turns
from wsmash.constants import Opcode, Role
from wsmash.options import Deflate, Limits
from wsmash.sansio.deflate_negotiation import DeflateParams
from wsmash.sansio.receiver import Compression, Receiver
from wsmash.sansio.sender import Prepared
from wsmash.transports.base import Channel, Group


class Slow:
    """Who the group said is slow, call by call."""

    def __init__(self) -> None:
        self.told: list[tuple[Channel, bool]] = []

    def __call__(self, channel: Channel, refused: bool) -> None:
        self.told.append((channel, refused))


def group_of(bench: Bench, ends: list[End], slow: Slow | None = None, limits: Limits = LIMITS) -> Group:
    """A group of these, made message pipes."""
    group = bench.driver.group(slow or Slow())
    for end in ends:
        end.upgrade(limits=limits)
        group.add(end.channel)
    return group


@in_loop
async def test_all_get_it(bench: Bench) -> None:
    """Every member is sent the same frame, and the count says how many took it."""
    ends = [bench.attach() for _ in range(5)]
    group = group_of(bench, ends)
    assert group.send(Prepared(Opcode.TEXT, b"all")) == 5
    for end in ends:
        assert await end.peer_reads(5) == text("all")


@in_loop
async def test_skipped_and_discarded(bench: Bench) -> None:
    """Members that are skipped, and those that have left, are sent nothing and not counted."""
    ends = [bench.attach() for _ in range(3)]
    group = group_of(bench, ends)
    group.discard(ends[0].channel)
    group.discard(ends[0].channel)
    assert group.send(Prepared(Opcode.TEXT, b"one"), frozenset((ends[1].channel,))) == 1
    assert group.send(Prepared(Opcode.TEXT, b"two")) == 2
    assert await ends[1].peer_reads(5) == text("two")
    assert await ends[2].peer_reads(10) == text("one") + text("two")
    ends[0].channel.close()
    assert await ends[0].peer_reads_all() == b""


@in_loop
async def test_added_twice(bench: Bench) -> None:
    """A member that is added again is still one."""
    end = bench.attach()
    group = group_of(bench, [end])
    group.add(end.channel)
    assert group.send(Prepared(Opcode.TEXT, b"x")) == 1


@pytest.mark.case(74)
@in_loop
async def test_slow_member_holds_nobody_back(bench: Bench) -> None:
    """A member that reads nothing is reported, bounded and not counted; the others get everything (hostile case 74)."""
    slow = Slow()
    ends = [bench.attach() for _ in range(3)]
    stuck, *others = ends
    group = group_of(bench, ends, slow)
    message = Prepared(Opcode.BINARY, bytes(65536))
    took: list[int] = []
    for _ in range(40):
        took.append(group.send(message))
        for end in others:
            await end.peer_reads(65536 + 10)
    assert took[0] == 3 and took[-1] == 2
    assert stuck.channel.info().buffered <= MIB + 10
    reports = [refused for channel, refused in slow.told if channel is stuck.channel]
    assert reports == sorted(reports) and reports[0] is False and reports[-1] is True
    assert took.count(2) == reports.count(True)
    assert all(not refused for channel, refused in slow.told if channel is not stuck.channel)


@in_loop
async def test_told_of_the_slow_after_sending(bench: Bench) -> None:
    """Who hears of a slow member may take it out: by then everybody has been sent to."""
    ends = [bench.attach() for _ in range(3)]
    group = bench.driver.group(lambda channel, _: group.discard(channel))
    for end in ends:
        end.upgrade()
        group.add(end.channel)
    assert group.send(Prepared(Opcode.BINARY, bytes(MIB))) == 3
    assert group.send(Prepared(Opcode.TEXT, b"x")) == 0


@in_loop
async def test_held_back_within_fragments(bench: Bench) -> None:
    """A broadcast in the middle of a member's message in fragments waits for its last one (RFC 6455 5.4)."""
    end, other = bench.attach(), bench.attach()
    group = group_of(bench, [end, other])
    end.channel.send(Opcode.TEXT, b"one ", final=False)
    assert group.send(Prepared(Opcode.TEXT, b"all")) == 2
    assert end.channel.info().buffered == 0, "what this end holds back is not the peer's slowness"
    end.channel.send(Opcode.PING, b"p")
    end.channel.send(Opcode.CONTINUATION, b"message")
    assert await end.peer_reads(6 + 3 + 9 + 5) == (
        frame(1, b"one ", final=False) + frame(9, b"p") + frame(0, b"message") + text("all")
    )
    assert await other.peer_reads(5) == text("all")


@in_loop
async def test_before_the_upgrade_and_after_the_end(bench: Bench) -> None:
    """A member that is not open yet, or not any more, is no reason for anything to fail."""
    early, gone, closing, fine = (bench.attach() for _ in range(4))
    group = group_of(bench, [gone, closing, fine])
    group.add(early.channel)
    gone.channel.abort()
    closing.channel.close()
    assert group.send(Prepared(Opcode.TEXT, b"x")) == 1
    assert await fine.peer_reads(3) == text("x")


@pytest.mark.parametrize("end", ["close", "abort", "break"])
@in_loop
async def test_who_ends_is_not_slow(bench: Bench, end: str) -> None:
    """A member that was above high water and is open no more is reported no more."""
    slow = Slow()
    stuck = bench.attach()
    group = group_of(bench, [stuck], slow)
    group.send(Prepared(Opcode.BINARY, bytes(MIB)))
    assert slow.told == [(stuck.channel, False)]
    if end == "break":
        stuck.peer.close()
        await stuck.handler.hears("lost")
    else:
        getattr(stuck.channel, end)()
    assert group.send(Prepared(Opcode.TEXT, b"x")) == 0
    assert len(slow.told) == 1


@in_loop
async def test_compressed_once_and_read_by_all(bench: Bench) -> None:
    """Members with and without compression read the same text, before and after messages of their own."""
    compression = Compression(DeflateParams(False, False, 15, 15), Deflate(threshold=0))
    plain, packed = bench.attach(), bench.attach()
    group = group_of(bench, [plain])
    packed.channel.upgrade(packed.handler, Role.SERVER, LIMITS, compression, b"")
    group.add(packed.channel)
    receiver = Receiver(Role.CLIENT, LIMITS, compression)
    words = [f"the same words, {i} times over" for i in range(4)]
    packed.channel.send(Opcode.TEXT, words[0].encode())
    assert group.send(Prepared(Opcode.TEXT, words[1].encode())) == 2
    packed.channel.send(Opcode.TEXT, words[2].encode())
    assert group.send(Prepared(Opcode.TEXT, words[3].encode())) == 2
    for end in (packed, plain):
        end.channel.close()
    receiver.feed(await packed.peer_reads_all())
    found = [receiver.receive() for _ in range(4)]
    assert [item and item[1] for item in found] == words
    assert [each.payload.decode() for each in frames_in(await plain.peer_reads_all())] == words[1::2]


@pytest.mark.case(74)
@in_loop
async def test_a_message_that_does_not_fit_is_reported_however_little_waits(bench: Bench) -> None:
    """One that is large is refused, and told of, above a few bytes that wait; there is room once those are taken."""
    slow = Slow()
    end = bench.attach()
    limits = Limits(None, None, MIB, MIB + 1000)
    group = group_of(bench, [end], slow, limits)
    small = Prepared(Opcode.BINARY, bytes(10_000))
    while not end.channel.info().buffered:
        group.send(small)
        await turns(2)  # what is only gathered is written
    assert group.send(Prepared(Opcode.BINARY, bytes(MIB))) == 0
    assert slow.told == [(end.channel, True)]
    while not end.handler.all("drained"):
        await asyncio.get_running_loop().sock_recv(end.peer, 65536)
        await asyncio.sleep(0)
    assert group.send(small) == 1 and len(slow.told) == 1
