"""Machines that were suspended: clocks that come apart are noticed, connections checked, and those that wait dial."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import wsmash
from fixtures.attempts import Asked, Attempts, make_client
from fixtures.clock import elapse, idle, virtual
from fixtures.ends import Record, frames
from wsmash.constants import Opcode
from wsmash.runtime.deadlines import Wheel
from wsmash.runtime.environment import current_environment
from wsmash.runtime.wakeup import INTERVAL, JUMP, Wakeups, _steady

pytestmark = pytest.mark.case(120)


class Night:
    """A clock that runs while the machine is suspended.

    Attributes:
        asleep: the seconds that it was so far.
    """

    def __init__(self, wakeups: Wakeups | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self.asleep = 0.0
        self._environment = current_environment("the test")  # held: the clients of the test are to get the same one
        (wakeups or self._environment.wakeups).clock = self

    def __call__(self) -> float:
        return self._loop.time() + self.asleep


class Sleeper:
    """Counts how often it was told."""

    def __init__(self) -> None:
        self.woken = 0

    def woke(self) -> None:
        self.woken += 1


async def open_client(attempts: Attempts, **options: Any) -> tuple[wsmash.WebSocketClient, Record, Any]:
    """An open client, the clocks of which have been looked at once."""
    client, record, channel = await attempts.client(**options)
    await elapse(INTERVAL)
    return client, record, channel


async def ends(client: wsmash.WebSocketClient) -> None:
    """Let go of the client."""
    client.abort()
    await client.wait_closed()


# -- the clocks


@virtual
async def test_a_jump_is_told_once_to_each(attempts: Attempts) -> None:
    """Within an interval; a clock that was set right by a little, or back, is none."""
    wakeups = Wakeups(Wheel(asyncio.get_running_loop()))
    night = Night(wakeups)
    one, other = Sleeper(), Sleeper()
    wakeups.add(one)
    wakeups.add(other)
    for jump, woken in [(JUMP - 0.1, 0), (-1000.0, 0), (JUMP + 0.1, 1), (0.0, 1), (86400.0, 2)]:
        night.asleep += jump
        await elapse(INTERVAL + 0.3)
        assert (one.woken, other.woken) == (woken, woken)
    wakeups.discard(other)
    night.asleep += 100
    await elapse(INTERVAL + 0.3)
    assert (one.woken, other.woken) == (3, 2)
    wakeups.discard(one)


@virtual
async def test_nobody_looks_where_nobody_asks(attempts: Attempts) -> None:
    """The wheel is empty again, and what was slept before somebody asks is of no interest."""
    wheel = Wheel(asyncio.get_running_loop())
    wakeups = Wakeups(wheel)
    night, sleeper = Night(wakeups), Sleeper()
    wakeups.add(sleeper)
    assert len(wheel) == 1
    wakeups.discard(sleeper)
    wakeups.discard(sleeper)
    assert len(wheel) == 0
    night.asleep += 100
    wakeups.add(sleeper)
    await elapse(3 * INTERVAL)
    assert sleeper.woken == 0
    wakeups.discard(sleeper)


def test_the_clock_that_is_used_runs_on() -> None:
    """It tells seconds, and never goes back."""
    clock = _steady()
    first = clock()
    assert 0 < first <= clock()


@virtual
async def test_a_client_asks_only_with_reconnect_and_only_until_it_ends(attempts: Attempts) -> None:
    """Others cost nothing."""
    environment = current_environment("the test")
    wakeups = environment.wakeups
    plain, _, _ = await attempts.client(reconnect=False)
    assert not wakeups._sleepers
    client, _, _ = await attempts.client()
    assert list(wakeups._sleepers) == [client]
    await ends(client)
    assert not wakeups._sleepers
    await ends(plain)


# -- clients


@virtual
async def test_an_open_connection_is_checked_at_once(attempts: Attempts) -> None:
    """A ping; a server that answers it is left alone."""
    night = Night()
    client, record, channel = await open_client(attempts, ping_interval=20, ping_timeout=20)
    night.asleep += 3600
    await elapse(INTERVAL + 0.1)
    (ping,) = frames(channel, Opcode.PING)
    channel.control(Opcode.PONG, ping.payload)
    await elapse(15)
    assert record.names == ["open"] and client.is_open()
    await ends(client)


@virtual
async def test_a_connection_that_did_not_outlive_the_night_is_given_up(attempts: Attempts) -> None:
    """Five seconds later, with or without a keepalive, and the client connects again."""
    for interval in (20, None):
        night = Night()
        client, record, _ = await open_client(attempts, ping_interval=interval)
        night.asleep += 3600
        await elapse(INTERVAL + 4.5)
        assert record.names == ["open"]
        await elapse(1)
        assert record.names == ["open", "reconnecting"] and "suspended" in record.last.reason
        await attempts.next()
        await attempts.last.succeed()
        await elapse(10)
        assert client.is_open()
        await ends(client)


@virtual
async def test_any_byte_of_the_server_is_life(attempts: Attempts) -> None:
    """Not only a pong."""
    night = Night()
    client, record, channel = await open_client(attempts)
    night.asleep += 3600
    await elapse(INTERVAL + 1)
    channel.message("x")
    await elapse(30)
    assert record.names == ["open"]
    await ends(client)


@virtual
async def test_a_short_ping_timeout_is_kept(attempts: Attempts) -> None:
    """The check is no more patient than the keepalive."""
    night = Night()
    client, record, _ = await open_client(attempts, ping_interval=20, ping_timeout=1)
    night.asleep += 3600
    await elapse(INTERVAL + 1.5)
    assert record.names == ["open", "reconnecting"]
    await ends(client)


@virtual
async def test_a_client_that_does_not_read_is_not_checked(attempts: Attempts) -> None:
    """Silence is then its own doing."""
    night = Night()
    client, record, channel = await open_client(attempts, max_queue=1)
    reading = asyncio.ensure_future(client.recv())
    await idle()
    channel.message("a", "b", "c")
    assert channel.paused
    night.asleep += 3600
    await elapse(INTERVAL + 20)
    assert frames(channel, Opcode.PING) == [] and record.names == ["open"]
    await reading
    await ends(client)


@virtual
async def test_a_client_that_waits_connects_at_once(attempts: Attempts) -> None:
    """Within a second, spread over it, since other machines wake at the same time; its timer had stood still."""
    delays = []
    for _ in range(20):
        night = Night()
        client, _, channel = await attempts.client(reconnect=Asked(50))
        channel.lose()
        await elapse(10)
        night.asleep += 3600
        made, loop = len(attempts), asyncio.get_running_loop()
        told = loop.time()
        await attempts.next()
        delays.append(attempts.last.at - told)
        assert len(attempts) == made + 1 and delays[-1] < INTERVAL + 1.1
        await ends(client)
    assert len({round(each, 3) for each in delays}) > 10


@virtual
async def test_what_would_have_been_earlier_stays(attempts: Attempts) -> None:
    """A wake-up delays nothing."""
    night = Night()
    client, _, channel = await attempts.client(reconnect=Asked(2 * INTERVAL + 0.001))
    channel.lose()
    await idle()
    lost = asyncio.get_running_loop().time()
    await elapse(INTERVAL + 0.5)
    night.asleep += 3600
    await attempts.next()
    assert attempts.last.at - lost < 2 * INTERVAL + 0.01
    await ends(client)


@virtual
async def test_a_client_that_dials_goes_on(attempts: Attempts) -> None:
    """One attempt is under way, and bounded by itself."""
    night = Night()
    client = make_client()
    client.connect()
    await elapse(INTERVAL)
    night.asleep += 3600
    await elapse(3 * INTERVAL)
    assert len(attempts) == 1 and not attempts.last.given_up
    await ends(client)
