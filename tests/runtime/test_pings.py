"""Pings and their pongs: which pong ends which round trip."""

from __future__ import annotations

import asyncio

import pytest

from fixtures.clock import virtual
from fixtures.ends import end, frames, open_client_end
from wsmash.constants import Opcode
from wsmash.errors import ConnectionClosed, InvalidState
from wsmash.runtime.pings import MAX_UNANSWERED, Pings


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


@pytest.mark.case(55)
@pytest.mark.parametrize("payload", [b"", b"b", b"aa", b"A"])
def test_a_wrong_pong_is_ignored(loop: asyncio.AbstractEventLoop, payload: bytes) -> None:
    """A pong that nobody asked for, or for a ping to come, answers nothing: case 55."""
    pings, answered = Pings(), loop.create_future()
    pings.sent(b"a", 10.0, answered)
    assert pings.pong(payload, 10.5) is None
    assert not answered.done()
    assert pings.pong(b"a", 11.0) == 1.0


@pytest.mark.case(54)
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


@pytest.mark.case(51)
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


class Payload(bytes):
    """A payload that counts how often it is compared."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        Payload.compared += 1
        return super().__eq__(other)

    __hash__ = bytes.__hash__


@pytest.mark.case(54)
def test_a_wrong_pong_is_not_compared_with_each_ping(loop: asyncio.AbstractEventLoop) -> None:
    """What a peer makes up costs no more, however many pings are unanswered."""
    pings = Pings()
    for number in range(MAX_UNANSWERED):
        pings.sent(Payload(b"%d" % number), 1.0, loop.create_future())
    Payload.compared = 0
    assert pings.pong(b"wrong", 2.0) is None
    assert Payload.compared < 10
    assert pings.pong(b"%d" % (MAX_UNANSWERED - 1), 2.0) == 1.0
    assert Payload.compared >= MAX_UNANSWERED


def test_equal_payloads_between_others(loop: asyncio.AbstractEventLoop) -> None:
    """Each pong ends the oldest of its payload, also where the keepalive's has the same."""
    pings = Pings()
    for number, payload in enumerate((b"a", b"b", b"a")):
        pings.sent(payload, float(number), loop.create_future())
    pings.sent(b"a", 3.0)
    assert [pings.pong(payload, 10.0) for payload in (b"a", b"b", b"a")] == [10.0, 9.0, 8.0]
    assert pings.probing
    assert [pings.pong(payload, 10.0) for payload in (b"b", b"a", b"a")] == [None, 7.0, None]


@virtual
async def test_unanswered_pings_are_bounded() -> None:
    """Beyond 1024 `ping` raises and sends nothing; the keepalive's goes out all the same, and a pong makes room."""
    client, channel = open_client_end()
    for number in range(MAX_UNANSWERED):
        client.ping(b"%d" % number)
    with pytest.raises(InvalidState, match="1024"):
        client.ping()
    client._ping()
    assert len(frames(channel, Opcode.PING)) == MAX_UNANSWERED + 1
    with pytest.raises(InvalidState):
        client.ping()
    channel.control(Opcode.PONG, b"0")
    client.ping()
    end(client)
