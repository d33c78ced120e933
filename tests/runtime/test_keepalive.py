"""What the clock asks of an open connection: pings, their timeout, late messages, writes that are stuck."""

from __future__ import annotations

import asyncio
import random

import pytest

from fixtures.clock import elapse, idle, virtual
from fixtures.ends import Record, aborted, end, frames, open_client_end, open_pair, open_server_end
from wsmash.constants import Opcode
from wsmash.errors import ConnectionClosed

LATE = 0.3
"""Seconds by which moments that are far off may be rounded up."""


@virtual
async def test_a_ping_is_sent_every_ping_interval() -> None:
    """Twenty seconds after the opening, and then twenty seconds after each."""
    connection, channel = open_server_end()
    await elapse(19.9)
    assert frames(channel, Opcode.PING) == []
    for count in (1, 2, 3):
        await elapse(0.1 + LATE)
        assert len(frames(channel, Opcode.PING)) == count
        channel.control(Opcode.PONG, frames(channel, Opcode.PING)[-1].payload)
        await elapse(19.9 - LATE)
    end(connection)


@virtual
async def test_a_long_ping_timeout_does_not_put_pings_off() -> None:
    """With a `ping_timeout` of many intervals a ping that is answered is followed by the next one all the same."""
    connection, channel = open_server_end(ping_interval=10, ping_timeout=60)
    for count in (1, 2, 3, 4):
        await elapse(10 + LATE)
        assert len(frames(channel, Opcode.PING)) == count
        channel.control(Opcode.PONG, frames(channel, Opcode.PING)[-1].payload)
    end(connection)


@virtual
async def test_two_idle_ends_keep_each_other_alive() -> None:
    """For a day, with nothing sent but pings and pongs."""
    server, client = open_pair()
    records = Record(server, "close"), Record(client, "close")
    await elapse(86_400)
    assert server.is_open() and client.is_open() and not any(record.events for record in records)
    end(server)
    end(client)


@pytest.mark.case(56)
@virtual
async def test_a_peer_that_says_nothing_is_given_up() -> None:
    """`ping_timeout` after the ping: 1011 is sent, nothing is waited for, `close` is 1006 with the reason."""
    connection, channel = open_server_end(ping_interval=10, ping_timeout=5)
    record = Record(connection, "close")
    await elapse(14.9)
    assert not aborted(channel)
    await elapse(0.1 + 2 * LATE)
    assert aborted(channel) and frames(channel, Opcode.CLOSE)[0].payload[:2] == (1011).to_bytes(2)
    assert record.last.code == 1006 and "keepalive" in record.last.reason and record.last.sent[0] == 1011


@pytest.mark.case(55)
@pytest.mark.parametrize("sign", ["message", "ping", "wrong pong", "right pong"])
@virtual
async def test_any_byte_counts_as_life(sign: str) -> None:
    """Not only a pong, and not only the right one."""
    connection, channel = open_server_end(ping_interval=10, ping_timeout=5)
    connection.on("message", lambda _: None)
    for _ in range(50):
        await elapse(4)
        match sign:
            case "message":
                channel.message("x")
            case "ping":
                channel.control(Opcode.PING, b"")
            case "wrong pong":
                channel.control(Opcode.PONG, b"wrong")
            case "right pong" if frames(channel, Opcode.PING):
                channel.control(Opcode.PONG, frames(channel, Opcode.PING)[-1].payload)
    assert connection.is_open() and not aborted(channel)
    end(connection)


@virtual
async def test_pings_that_a_living_peer_never_answers_do_not_pile_up() -> None:
    """Only the newest is remembered."""
    connection, channel = open_server_end(ping_interval=1, ping_timeout=5)
    connection.on("message", lambda _: None)
    for _ in range(50):
        await elapse(1.1)
        channel.message("x")
    assert connection._pings is not None and len(connection._pings._waiting) == 1
    end(connection)


@virtual
async def test_ping_interval_none_sends_no_pings() -> None:
    """And gives nobody up."""
    connection, channel = open_server_end(ping_interval=None)
    await elapse(3600)
    assert channel.sent == [] and connection.is_open()
    end(connection)


@virtual
async def test_ping_timeout_none_gives_nobody_up() -> None:
    """Pings go on all the same."""
    connection, channel = open_server_end(ping_timeout=None)
    await elapse(3600)
    assert len(frames(channel, Opcode.PING)) > 170 and connection.is_open()
    end(connection)


@virtual
async def test_every_ping_has_a_payload_of_its_own() -> None:
    """So that its pong can be told from others."""
    connection, channel = open_server_end(ping_timeout=None)
    await elapse(200)
    payloads = [each.payload for each in frames(channel, Opcode.PING)]
    assert len(payloads) > 5 and len(set(payloads)) == len(payloads) and all(len(each) == 8 for each in payloads)
    end(connection)


@virtual
async def test_awaiting_a_ping_gives_the_round_trip() -> None:
    """In seconds; `latency` is the last one, None before the first."""
    client, channel = open_client_end()
    assert client.latency is None
    pinging = asyncio.create_task(client.ping(b"p"))
    await elapse(0.25)
    channel.control(Opcode.PONG, b"p")
    assert await pinging == pytest.approx(0.25, abs=0.001)
    assert client.latency == pytest.approx(0.25, abs=0.001)
    end(client)


@virtual
async def test_the_keepalive_measures_latency_too() -> None:
    """Whoever never pings has it from the library's pings."""
    connection, channel = open_server_end()
    await elapse(20 + LATE)
    await elapse(0.5)
    channel.control(Opcode.PONG, frames(channel, Opcode.PING)[0].payload)
    assert connection.latency is not None and 0.5 <= connection.latency <= 0.51 + LATE
    end(connection)


@virtual
async def test_pings_without_data_can_be_told_apart() -> None:
    """Each gets random bytes, and its own pong's time."""
    client, channel = open_client_end()
    first, second = client.ping(), client.ping()
    payloads = [each.payload for each in frames(channel, Opcode.PING)]
    assert len(set(payloads)) == 2
    await elapse(1)
    channel.control(Opcode.PONG, payloads[0])
    await elapse(1)
    channel.control(Opcode.PONG, payloads[1])
    assert [round(await first), round(await second)] == [1, 2]
    end(client)


@virtual
async def test_a_pong_answers_the_pings_before_its_own_too() -> None:
    """A peer may answer only the newest ping (RFC 6455 5.5.3)."""
    client, channel = open_client_end()
    first = client.ping(b"1")
    client.ping(b"2")
    channel.control(Opcode.PONG, b"2")
    assert await first >= 0
    end(client)


@pytest.mark.case(54, 55)
@virtual
async def test_a_pong_that_answers_nothing_is_ignored() -> None:
    """Unsolicited pongs are legal (RFC 6455 5.5.3), however many and whatever their payload."""
    client, channel = open_client_end()
    pinged = asyncio.create_task(client.ping(b"mine"))
    await idle()
    for payload in (b"", b"other", b"mine2"):
        channel.control(Opcode.PONG, payload)
    await idle()
    assert not pinged.done() and client.latency is None
    channel.control(Opcode.PONG, b"mine")
    await pinged
    end(client)


@pytest.mark.case(51)
@virtual
async def test_a_ping_that_is_never_answered_ends_with_the_connection() -> None:
    """Who awaits it gets `ConnectionClosed`."""
    client, channel = open_client_end()
    pinged = asyncio.create_task(client.ping())
    await idle()
    channel.lose()
    with pytest.raises(ConnectionClosed):
        await pinged


@virtual
async def test_a_users_ping_is_no_deadline() -> None:
    """A ping of the user's, just before the keepalive looks, does not make it call the peer dead."""
    client, channel = open_client_end(ping_interval=20, ping_timeout=5)
    await elapse(19.5)
    client.ping()
    await elapse(0.5 + LATE)
    assert client.is_open() and not aborted(channel)
    assert len(frames(channel, Opcode.PING)) == 2
    end(client)


@pytest.mark.case(37)
@virtual
async def test_an_unfinished_message_is_given_up_after_message_timeout() -> None:
    """Since its last byte: the connection fails with 1008."""
    connection, channel = open_server_end(message_timeout=7)
    channel.unfinished = True
    for _ in range(5):
        await elapse(6)
        channel.received_at = asyncio.get_running_loop().time()
    assert connection.is_open()
    await elapse(7 + LATE)
    assert frames(channel, Opcode.CLOSE)[0].payload[:2] == (1008).to_bytes(2) and channel.closed
    await elapse(11)
    assert aborted(channel)


@virtual
async def test_a_message_begun_late_has_its_full_time() -> None:
    """The clock runs from its own last byte, not from when anybody last looked."""
    connection, channel = open_server_end(message_timeout=7, ping_interval=None)
    await elapse(6.9)
    channel.unfinished, channel.received_at = True, asyncio.get_running_loop().time()
    await elapse(6.9)
    assert connection.is_open()
    await elapse(0.1 + LATE)
    assert not connection.is_open()
    end(connection)


@pytest.mark.case(75)
@virtual
async def test_a_peer_that_takes_no_byte_is_given_up_after_write_timeout() -> None:
    """1013 cannot reach it: nothing is waited for, and `close` says why."""
    connection, channel = open_server_end(write_timeout=7, ping_interval=None)
    record = Record(connection, "close")
    await elapse(3)
    channel.stuck, channel.written_at = True, asyncio.get_running_loop().time()
    connection.send("x" * 1000)
    await elapse(6.9)
    assert not aborted(channel)
    await elapse(0.1 + LATE)
    assert aborted(channel) and record.last.code == 1006 and "write_timeout" in record.last.reason


@virtual
async def test_a_peer_that_takes_some_bytes_is_not_given_up() -> None:
    """Any progress counts."""
    connection, channel = open_server_end(write_timeout=7, ping_interval=None)
    channel.stuck = True
    connection.send("x" * 1000)
    for _ in range(20):
        await elapse(6)
        channel.waiting -= 1
        channel.written_at = asyncio.get_running_loop().time()
    assert connection.is_open()
    end(connection)


@virtual
async def test_write_timeout_holds_above_high_water_too() -> None:
    """The pings that are left out there do not put it off."""
    connection, channel = open_server_end(write_timeout=7, ping_interval=5, ping_timeout=None)
    channel.stuck, channel.written_at = True, asyncio.get_running_loop().time()
    connection.send("x" * 70_000)
    await elapse(7 + LATE)
    assert aborted(channel)


@virtual
async def test_above_high_water_no_pings_are_added() -> None:
    """A buffer that nobody empties does not grow by them."""
    connection, channel = open_server_end(write_timeout=None, ping_timeout=None)
    channel.stuck = True
    connection.send("x" * 70_000)
    await elapse(1000)
    assert frames(channel, Opcode.PING) == []
    end(connection)


@virtual
async def test_nothing_is_in_the_wheel_after_the_end() -> None:
    """A connection that is over waits for no moment."""
    connection, channel = open_server_end()
    wheel = connection._owner.environment.wheel
    before = len(wheel)
    channel.lose()
    await idle()
    assert before == 1 and len(wheel) == 0


@virtual
async def test_many_connections_each_keep_their_own_time() -> None:
    """However they are spread, each is pinged after its own interval and given up after its own silence."""
    chance = random.Random(1)
    ends = []
    for _ in range(50):
        await elapse(chance.random())
        ends.append((asyncio.get_running_loop().time(), *open_server_end(ping_interval=30, ping_timeout=3)))
    now = asyncio.get_running_loop().time()
    for opened, connection, channel in sorted(ends, key=lambda each: each[0]):
        await elapse(max(0, opened + 29.9 - now))
        now = asyncio.get_running_loop().time()
        assert connection.is_open() and frames(channel, Opcode.PING) == []
    await elapse(3.1 + 2 * LATE)
    assert all(aborted(channel) for _, _, channel in ends)
