"""TLS sessions of one engine, which share two memories: none ever sees a byte of another, however they are cut."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from fixtures.driver import MIB, Bench
from fixtures.frames import frame, frames_in, text
from fixtures.in_loop import in_loop, turns
from fixtures.native_tls import sessions
from wsmash.constants import Opcode

BREAKS: dict[str, Any] = {
    "garbage": lambda record: b"\xff" * len(record),
    "a bad MAC": lambda record: record[:-1] + bytes((record[-1] ^ 1,)),
    "a longer record than any": lambda record: b"\x17\x03\x03\xff\xff" + record,
    "a truncated end": lambda record: record[: len(record) // 2],
}


@in_loop
async def test_records_cut_at_every_place(natives: Bench) -> None:
    """Of two sessions each gets a record to any byte, then the other one's, then the rest: both are as if alone."""
    one, other = await sessions(natives, 2)
    size = len(text("xx", masked=True)) + 22  # a record has a head, a type and a MAC
    for cut in range(1, size):
        first, second = (each.encrypt(text(f"{cut:02}", masked=True)) for each in (one, other))
        for piece in (slice(0, cut), slice(cut, None)):
            for each, data in ((one, first), (other, second)):
                if data[piece]:
                    each.end.peer.send(data[piece])
            await turns(3)
    await turns()
    expected = [f"{cut:02}" for cut in range(1, size)]
    for each in (one, other):
        assert each.end.handler.messages == expected
        assert [found.payload.decode() for found in frames_in(each.decrypt())] == expected
        each.end.channel.abort()
    await turns()


@pytest.mark.parametrize("breaks", BREAKS)
@in_loop
async def test_one_that_fails_disturbs_nobody(natives: Bench, breaks: str) -> None:
    """A session that ends by garbage in the middle of what others say leaves nothing of it in their records."""
    found = await sessions(natives, 3)
    broken, *sound = found
    for each in found:
        each.end.peer.send(each.encrypt(text("before", masked=True)))
    await turns()
    halves = [each.encrypt(frame(Opcode.BINARY, bytes(10_000), masked=True)) for each in sound]
    for each, data in zip(sound, halves, strict=True):
        each.end.peer.send(data[:5000])
    broken.end.peer.send(BREAKS[breaks](broken.encrypt(text("broken", masked=True))))
    broken.end.peer.send(b"\xee" * 100)
    for each, data in zip(sound, halves, strict=True):
        each.end.peer.send(data[5000:])
    if breaks == "a truncated end":
        broken.end.peer.close()
    await broken.end.handler.hears("lost")
    for each in sound:
        each.end.peer.send(each.encrypt(text("after", masked=True)))
    await turns()
    assert broken.end.handler.messages == ["before"]
    for each in sound:
        assert each.end.handler.messages == ["before", bytes(10_000), "after"]
        payloads = [found.payload for found in frames_in(each.decrypt())]
        assert payloads == [b"before", bytes(10_000), b"after"]
        each.end.channel.abort()
    await turns()


@in_loop
async def test_large_messages_interleaved(natives: Bench) -> None:
    """Several sessions echo megabytes at the same time, in reads that end anywhere, each its own."""
    found = await sessions(natives, 3)
    data = [bytes((number,)) * (MIB + number) for number in range(3)]
    waiting = [
        each.encrypt(frame(Opcode.BINARY, payload, masked=True)) for each, payload in zip(found, data, strict=True)
    ]
    received = [b""] * 3
    while any(len(got) < MIB + 10 for got in received):
        for number, each in enumerate(found):
            with suppress(BlockingIOError):
                taken = each.end.peer.send(waiting[number][: 7001 + number])
                waiting[number] = waiting[number][taken:]
            received[number] += each.decrypt()
        await asyncio.sleep(0)
    for each, payload, got in zip(found, data, received, strict=True):
        assert [found.payload for found in frames_in(got)] == [payload]
        each.end.channel.abort()
    await turns()
