"""What a connection may take of a turn, so that those with little to do do not wait for those that send all they can.

How soon they are answered under attack is measured by `make attacks`; here it is
counted, with shares that are over at once.
"""

from __future__ import annotations

import asyncio
import time
import zlib

import pytest

from fixtures.driver import LIMITS, Bench, End
from fixtures.frames import frame, masked
from fixtures.in_loop import in_loop, until
from wsmash.constants import Opcode, Role
from wsmash.options import Deflate
from wsmash.sansio.deflate_negotiation import DeflateParams
from wsmash.sansio.receiver import NOTHING, Compression, Receiver
from wsmash.transports.base import READ_SIZE

FRAMES_PER_SHARE = 32
"""Of the native engine, which looks at the clock after sixteen; the portable one does after each."""


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A share is over when the clock is first looked at."""
    monkeypatch.setattr("wsmash.transports.base.SECONDS_PER_SHARE", -1.0)


@pytest.mark.case(54)
@pytest.mark.usefixtures("at_once")
@in_loop
async def test_those_that_want_more_have_one_share_together(bench: Bench) -> None:
    """However many they are, another one waits for a share or two of theirs, and not for one of each."""
    floods = [bench.attach() for _ in range(8)]
    quiet = bench.attach()
    for end in (*floods, quiet):
        end.upgrade()

    def heard() -> int:
        return sum(len(flood.handler.heard) for flood in floods)

    before: list[int] = []
    quiet.handler.act = lambda _: before.append(heard())
    for flood in floods:
        await flood.peer_sends(frame(1, b"", masked=True) * 2000)
    await until(lambda: all(flood.handler.heard for flood in floods))
    begun = heard()
    quiet.peer.send(masked("q"))
    await quiet.handler.hears("message")
    assert before[0] - begun <= 3 * FRAMES_PER_SHARE
    for flood in floods:
        await flood.handler.hears("message", 2000)


@pytest.mark.case(54, 59)
@in_loop
async def test_what_is_inflated_counts(bench: Bench) -> None:
    """A read of small frames that inflate to large messages is no more than one of these in a turn."""
    end = bench.attach()
    end.channel.upgrade(end.handler, Role.SERVER, LIMITS._replace(max_message_size=1 << 20), deflate(), b"")
    turns_of: list[int] = []
    turn = 0

    def pass_by() -> None:
        nonlocal turn
        turn += 1
        if len(turns_of) < 10:
            asyncio.get_running_loop().call_soon(pass_by)

    end.handler.act = lambda what: turns_of.append(turn) if what[0] == "message" else None
    packed = zlib.compressobj(9, wbits=-15)
    message = (packed.compress(bytes(READ_SIZE + 1)) + packed.flush(zlib.Z_FULL_FLUSH))[:-4]
    plain = frame(Opcode.BINARY, message, masked=True)
    pass_by()
    await end.peer_sends((bytes((plain[0] | 0x40,)) + plain[1:]) * 10)
    await end.handler.hears("message", 10)
    assert len(set(turns_of)) == 10


def deflate() -> Compression:
    """What both ends agreed on, by default."""
    return Compression(DeflateParams(False, False, 15, 15), Deflate())


@pytest.mark.case(1, 67)
@in_loop
async def test_a_crowd_at_the_door(bench: Bench) -> None:
    """What has not been let in yet has a share of each turn, and who is inside does not wait for all of it."""
    outside: list[End] = [bench.attach() for _ in range(40)]
    quiet = bench.attach()
    quiet.upgrade()
    seen: list[int] = []
    quiet.handler.act = lambda _: seen.append(sum(len(each.handler.heard) for each in outside))
    for end in outside:
        end.handler.act = lambda _: busy()
        end.peer.send(b"GET / HTTP/1.1\r\n")
    quiet.peer.send(masked("q"))
    await quiet.handler.hears("message")
    assert seen[0] <= len(outside) // 4
    for end in outside:
        await end.handler.hears("bytes")


def busy() -> None:
    """Take longer than a share."""
    time.sleep(0.001)


@pytest.mark.case(36)
def test_a_receiver_stops_between_frames() -> None:
    """It may be told to stop after some frames that bring no item, and goes on where it stopped."""
    receiver = Receiver(Role.SERVER, LIMITS)
    receiver.feed(
        frame(1, b"a", final=False, masked=True) + frame(0, b"", final=False, masked=True) * 9 + frame(0, masked=True)
    )
    found = [receiver.receive(4)]
    while found[-1] is NOTHING:
        found.append(receiver.receive(4))
    assert found == [*[NOTHING] * (len(found) - 1), (Opcode.TEXT, "a")] and len(found) >= 3
