"""Pings and their pongs: which pong ends which round trip."""

from __future__ import annotations

import asyncio

import pytest

from wsmash.errors import ConnectionClosed
from wsmash.runtime.pings import Pings


@pytest.fixture
def loop() -> asyncio.AbstractEventLoop:
    """A loop that nothing runs on: a future needs one to belong to."""
    loop = asyncio.new_event_loop()
    loop.close()
    return loop


def test_round_trip(loop: asyncio.AbstractEventLoop) -> None:
    """A pong with the payload of a ping ends it, and tells the time between."""
    pings, answered = Pings(), loop.create_future()
    pings.sent(b"a", 10.0, answered)
    assert pings.pong(b"a", 10.5) == 0.5
    assert answered.result() == 0.5
    assert pings.pong(b"a", 11.0) is None


@pytest.mark.parametrize("payload", [b"", b"b", b"aa", b"A"])
def test_a_wrong_pong_is_ignored(loop: asyncio.AbstractEventLoop, payload: bytes) -> None:
    """A pong that nobody asked for, or for a ping to come, answers nothing: case 55."""
    pings, answered = Pings(), loop.create_future()
    pings.sent(b"a", 10.0, answered)
    assert pings.pong(payload, 10.5) is None
    assert not answered.done()
    assert pings.pong(b"a", 11.0) == 1.0


def test_a_pong_without_a_ping() -> None:
    """An unsolicited pong means nothing (RFC 6455 5.5.3): case 54."""
    assert Pings().pong(b"", 10.0) is None


def test_a_pong_answers_those_before_it(loop: asyncio.AbstractEventLoop) -> None:
    """A peer may answer only the newest ping: the older ones end too, each with its own time (RFC 6455 5.5.3)."""
    pings = Pings()
    futures = [loop.create_future() for _ in range(4)]
    for number, future in enumerate(futures):
        pings.sent(b"%d" % number, 10.0 + number, future)
    assert pings.pong(b"2", 15.0) == 3.0
    assert [future.result() for future in futures[:3]] == [5.0, 4.0, 3.0]
    assert not futures[3].done()
    assert pings.pong(b"1", 15.0) is None
    assert pings.pong(b"3", 16.0) == 3.0


def test_equal_payloads_are_answered_in_order(loop: asyncio.AbstractEventLoop) -> None:
    """Of pings with one payload a pong ends the oldest."""
    pings = Pings()
    first, second = loop.create_future(), loop.create_future()
    pings.sent(b"", 10.0, first)
    pings.sent(b"", 11.0, second)
    assert pings.pong(b"", 12.0) == 2.0
    assert (first.done(), second.done()) == (True, False)
    assert pings.pong(b"", 12.5) == 1.5


def test_only_the_newest_of_those_nobody_waits_for(loop: asyncio.AbstractEventLoop) -> None:
    """Of the keepalive's pings one is kept, so that a peer that never answers makes nothing grow."""
    pings, answered = Pings(), loop.create_future()
    pings.sent(b"mine", 1.0, answered)
    for number in range(1000):
        pings.sent(b"%d" % number, 2.0 + number)
    assert pings.pong(b"998", 2000.0) is None
    assert pings.pong(b"999", 1002.0) == 1.0
    assert answered.result() == 1001.0


def test_probing(loop: asyncio.AbstractEventLoop) -> None:
    """Only a ping that nobody waits for is the keepalive's own, and only until it is answered."""
    pings = Pings()
    seen = [pings.probing]
    pings.sent(b"mine", 1.0, loop.create_future())
    seen.append(pings.probing)
    pings.sent(b"keepalive", 2.0)
    seen.append(pings.probing)
    pings.pong(b"mine", 3.0)
    seen.append(pings.probing)
    pings.pong(b"keepalive", 4.0)
    seen.append(pings.probing)
    assert seen == [False, False, True, True, False]


def test_a_cancelled_ping_is_no_trouble() -> None:
    """A future that its owner has cancelled is passed over by a pong and by the end."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        pings = Pings()
        first, second, third = loop.create_future(), loop.create_future(), loop.create_future()
        pings.sent(b"a", 1.0, first)
        pings.sent(b"b", 1.0, second)
        pings.sent(b"c", 1.0, third)
        first.cancel()
        third.cancel()
        assert pings.pong(b"b", 2.0) == 1.0
        assert second.result() == 1.0
        pings.end(ConnectionClosed(1006, ""))

    asyncio.run(scenario())


def test_the_end(loop: asyncio.AbstractEventLoop) -> None:
    """When the connection ends everyone who waits is told, once, and nothing is kept: case 51."""
    pings = Pings()
    futures = [loop.create_future() for _ in range(3)]
    for number, future in enumerate(futures):
        pings.sent(b"%d" % number, 1.0, future)
    pings.sent(b"keepalive", 1.0)
    error = ConnectionClosed(1006, "gone")
    pings.end(error)
    assert [future.exception() for future in futures] == [error] * 3
    assert not pings.probing
    assert pings.pong(b"0", 2.0) is None
    pings.end(error)
