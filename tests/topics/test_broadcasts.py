"""Servers that share a broker: a broadcast reaches the connections of all of them."""

from __future__ import annotations

import pytest

from fixtures.bus import Bus, agree, cluster, known, visiting
from fixtures.in_loop import in_loop, turns, until
from wsmash import MessageTooBig
from wsmash.codecs import encode_msgpack
from wsmash.topics import nodes as subject
from wsmash.topics import presence
from wsmash.topics.casts import Broadcast, encode_cast
from wsmash.topics.record import Kind, Record, encode_record

OTHER = b"o" * 16


@pytest.fixture(autouse=True)
def _without_a_first_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes that have nobody to wait for."""
    monkeypatch.setattr(presence, "_FIRST_LOOK", 0.05)


@in_loop
async def test_a_broadcast_reaches_all_nodes() -> None:
    """Text, bytes and JSON, each once; the count is of this node's connections."""
    bus = Bus()
    async with (
        cluster(bus.broker(), bus.broker()) as (first, second),
        visiting(first) as here,
        visiting(first) as also_here,
        visiting(second) as there,
    ):
        assert first.broadcast("text") == 2
        assert first.broadcast(b"bytes") == 2
        assert second.broadcast({"a": 1}) == 1
        await until(lambda: len(here) == len(also_here) == len(there) == 3)
        await turns()
        assert sorted(map(str, here)) == sorted(map(str, there)) == ["b'bytes'", "text", '{"a":1}']
        assert here == also_here and there.index("text") < there.index(b"bytes")


@in_loop
async def test_a_broadcast_with_a_filter_stays_here() -> None:
    """A function does not travel."""
    bus = Bus()
    async with (
        cluster(bus.broker(), bus.broker(), presence=False) as (first, second),
        visiting(first) as here,
        visiting(second) as there,
    ):
        assert first.broadcast("some", lambda client: True) == 1
        first.broadcast("all")
        await until(lambda: here == ["some", "all"] and there == ["all"])
        assert len(bus.casts) == 1


@in_loop
async def test_a_broadcast_that_other_nodes_would_not_take() -> None:
    """It is refused before anybody has it; with a filter, or without a broker, it may be as long as it likes."""
    bus = Bus()
    async with cluster(bus.broker(), "memory", max_message_size=100, presence=False) as (shared, alone):
        with pytest.raises(MessageTooBig, match="max_message_size=100"):
            shared.broadcast("x" * 101)
        assert shared.broadcast("x" * 100) == 0
        assert shared.broadcast("x" * 101, lambda client: True) == 0
        assert alone.broadcast("x" * 101) == 0


@in_loop
async def test_broadcasts_during_an_outage() -> None:
    """They reach the connections of their own node; afterwards those of all."""
    bus = Bus()
    async with (
        cluster(bus.broker(), bus.broker(), presence=False) as (first, second),
        visiting(first) as here,
        visiting(second) as there,
    ):
        await turns()
        bus.cut()
        assert first.broadcast("cut") == 1
        await until(lambda: here == ["cut"])
        bus.mend()
        first.broadcast("mended")
        await until(lambda: there == ["mended"])
        assert first.counters.dropped_casts == 0


@in_loop
async def test_casts_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond `MAX_CASTS` they are left out and counted; the connections of this node get them all the same."""
    monkeypatch.setattr(subject, "MAX_CASTS", 3)
    bus = Bus()
    async with (
        cluster(bus.broker(), bus.broker(), presence=False) as (first, second),
        visiting(first) as here,
        visiting(second) as there,
    ):
        for number in range(5):
            first.broadcast(str(number))
        await until(lambda: here == ["0", "1", "2", "3", "4"] and there == ["0", "1", "2"])
        assert first.counters.dropped_casts == 2
        first.broadcast("5")
        await until(lambda: there == ["0", "1", "2", "5"])


@pytest.mark.case(107)
@in_loop
async def test_crafted_casts() -> None:
    """They are left out and counted, and what comes after them is heard."""
    bus = Bus()
    async with (
        cluster(bus.broker(), bus.broker(), max_message_size=1000) as (first, second),
        visiting(first) as here,
        visiting(second, info="second"),
    ):
        await agree([first, second], ["None", "second"])
        crafted = [
            b"",
            b"\xc1",
            encode_msgpack([2, OTHER, 1, encode_record(Record(Kind.TEXT, b"of another version"))]),
            encode_cast(OTHER, Broadcast(b"no record")),
            encode_cast(OTHER, Broadcast(encode_msgpack([1, 1, b"\xff"]))),
            encode_cast(OTHER, Broadcast(encode_record(Record(Kind.TEXT, b"x" * 1100)))),
            encode_cast(OTHER, Broadcast(b"x" * 100_000)),
        ]
        for data in crafted:
            bus.cast(data)
        second.broadcast("heard")
        await until(lambda: here == ["heard"])
        assert first.counters.invalid_casts == second.counters.invalid_casts == len(crafted)
        assert await known(first) == ["None", "second"]
