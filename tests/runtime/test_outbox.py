"""Writing to a peer that reads slowly: marks, policies, pings that wait; and writing to many at once."""

from __future__ import annotations

from typing import Any

import pytest

from fixtures.clock import idle, virtual
from fixtures.ends import end, frames, make_owner, open_client_end, open_pair, open_server_end, texts
from wsmash.constants import Opcode, State
from wsmash.errors import ConnectionClosed, SlowConsumer
from wsmash.options import ServerOptions

SMALL: dict[str, Any] = {"write_high_water": 10, "max_write_buffer": 100}


@pytest.mark.case(75)
@virtual
async def test_an_empty_buffer_takes_any_message() -> None:
    """A message above `max_write_buffer` is sent where nothing waits."""
    connection, channel = open_server_end(**SMALL)
    channel.stuck = True
    connection.send("x" * 1000)
    assert len(texts(channel)) == 1 and connection.is_open()
    end(connection)


@pytest.mark.case(74, 76)
@virtual
async def test_close_is_the_servers_policy() -> None:
    """Beyond `max_write_buffer` the connection fails with 1013 and `send` raises; it is counted."""
    connection, channel = open_server_end(**SMALL)
    channel.stuck = True
    connection.send("x" * 90)
    connection.send("x" * 10)
    with pytest.raises(SlowConsumer, match="100"):
        connection.send("x")
    [frame] = frames(channel, Opcode.CLOSE)
    assert frame.payload[:2] == (1013).to_bytes(2) and connection.get_state() is State.CLOSING
    assert connection._owner.counters.closed_slow == 1
    channel.lose()
    await idle()


@pytest.mark.case(74, 76)
@virtual
async def test_raise_is_the_clients_policy() -> None:
    """`send` raises, nothing is queued, the connection lives."""
    client, channel = open_client_end(**SMALL)
    channel.stuck = True
    client.send("x" * 100)
    for _ in range(2):
        with pytest.raises(SlowConsumer):
            client.send("y")
    assert client.is_open() and len(channel.sent) == 1
    channel.drain()
    client.send("z")
    assert texts(channel)[1:] == ["z"]
    end(client)


@pytest.mark.case(74, 76)
@virtual
async def test_drop_does_not_queue_the_new_message() -> None:
    """Under "drop" `send` returns, the message is counted and gone; those that wait stay."""
    connection, channel = open_server_end(slow_consumer="drop", **SMALL)
    channel.stuck = True
    connection.send("x" * 100)
    await connection.send("dropped")
    assert connection.is_open() and len(channel.sent) == 1 and connection._owner.counters.dropped == 1
    channel.drain()
    connection.send("y")
    assert texts(channel)[1:] == ["y"]
    end(connection)


# -- pings of the peer


@pytest.mark.case(53)
@virtual
async def test_every_ping_is_answered_in_order_below_high_water() -> None:
    """Each pong has its ping's payload."""
    connection, channel = open_server_end()
    for number in range(100):
        channel.control(Opcode.PING, b"%d" % number)
    assert [each.payload for each in frames(channel, Opcode.PONG)] == [b"%d" % number for number in range(100)]
    end(connection)


@pytest.mark.case(53)
@virtual
async def test_above_high_water_only_the_newest_ping_is_kept() -> None:
    """It is answered when there is room again (RFC 6455 5.5.3)."""
    client, channel = open_client_end(**SMALL)
    channel.stuck = True
    client.send("x" * 50)
    for number in range(100):
        channel.control(Opcode.PING, b"%d" % number)
    assert frames(channel, Opcode.PONG) == []
    channel.drain()
    assert [each.payload for each in frames(channel, Opcode.PONG)] == [b"99"]
    channel.drain()
    assert len(frames(channel, Opcode.PONG)) == 1
    end(client)


@virtual
async def test_pings_after_the_close_frame_are_not_answered() -> None:
    """Nothing is sent after it."""
    client, channel = open_client_end()
    client.close()
    channel.control(Opcode.PING, b"p")
    assert frames(channel, Opcode.PONG) == []
    channel.lose()
    await idle()


# -- broadcasts


def crowd(count: int, **options: Any) -> Any:
    """Connections that share an owner, with their channels."""
    owner = make_owner(ServerOptions(**options))
    return owner, [open_server_end(owner=owner) for _ in range(count)]


@virtual
async def test_a_broadcast_reaches_all_and_counts_them() -> None:
    """What it returns is an int at once, which may also be awaited for the same number."""
    owner, ends = crowd(3)
    count = owner.audience.broadcast(Opcode.TEXT, b"x", None)
    assert await count == count == 3
    assert isinstance(count, int)
    assert [texts(channel) for _, channel in ends] == [["x"]] * 3
    for connection, _ in ends:
        end(connection)


@virtual
async def test_a_broadcast_reaches_those_who_are_there() -> None:
    """Who came before the first one, which makes the group, and who came or went since."""
    owner, ends = crowd(2)
    assert owner.audience.broadcast(Opcode.TEXT, b"x", None) == 2
    ends[0][0].close()
    ends.append(open_server_end(owner=owner))
    assert owner.audience.broadcast(Opcode.TEXT, b"y", None) == 2
    assert [texts(channel) for _, channel in ends] == [["x"], ["x", "y"], ["y"]]
    for connection, _ in ends:
        end(connection)


@virtual
async def test_the_filter_is_called_on_every_connection_before_the_first_byte() -> None:
    """In order of arrival; those it is false for are left out."""
    owner, ends = crowd(3)
    asked: list[Any] = []

    def odd(client: Any) -> bool:
        assert all(channel.sent == [] for _, channel in ends)
        asked.append(client)
        return client is not ends[1][0]

    assert owner.audience.broadcast(Opcode.TEXT, b"x", odd) == 2
    assert asked == [connection for connection, _ in ends]
    assert [len(channel.sent) for _, channel in ends] == [1, 0, 1]
    for connection, _ in ends:
        end(connection)


@virtual
async def test_a_filter_that_raises_propagates_and_nothing_is_sent() -> None:
    """Its exception is the caller's."""
    owner, ends = crowd(3)

    def fail(client: Any) -> bool:
        if client is ends[2][0]:
            raise KeyError("filter")
        return True

    with pytest.raises(KeyError, match="filter"):
        owner.audience.broadcast(Opcode.TEXT, b"x", fail)
    assert all(channel.sent == [] for _, channel in ends)
    for connection, _ in ends:
        end(connection)


@virtual
async def test_a_coroutine_function_is_no_filter() -> None:
    """Its coroutine would always be true: a TypeError."""
    owner, ends = crowd(1)

    async def asynchronous(_: object) -> bool:
        return False

    with pytest.raises(TypeError, match="coroutine function"):
        owner.audience.broadcast(Opcode.TEXT, b"x", asynchronous)
    end(ends[0][0])


@virtual
async def test_a_filter_may_close_a_connection() -> None:
    """It is not sent the message then."""
    owner, ends = crowd(3)

    def filter_and_close(client: Any) -> bool:
        if client is ends[0][0]:
            ends[1][0].close()
        return True

    assert owner.audience.broadcast(Opcode.TEXT, b"x", filter_and_close) == 2
    assert texts(ends[1][1]) == []
    for connection, _ in ends:
        end(connection)
    await idle()


@pytest.mark.case(74)
@pytest.mark.parametrize(
    ("policy", "open_after", "counted"),
    [("close", False, (1, 0)), ("raise", True, (0, 1)), ("drop", True, (0, 1)), ("conflate", False, (1, 0))],
)
@virtual
async def test_a_broadcast_applies_each_peers_policy(policy: str, open_after: bool, counted: tuple[int, int]) -> None:
    """It never raises for a slow peer and never waits for one; others are not concerned."""
    owner, ends = crowd(3, slow_consumer=policy, **SMALL)
    slow, slow_channel = ends[1]
    slow_channel.stuck = True
    slow.send("x" * 100)
    assert owner.audience.broadcast(Opcode.TEXT, b"y", None) == 2
    assert slow.is_open() is open_after
    assert (owner.counters.closed_slow, owner.counters.dropped) == counted
    assert [texts(channel)[-1] for _, channel in (ends[0], ends[2])] == ["y", "y"]
    for connection, _ in ends:
        end(connection)
    await idle()


@virtual
async def test_a_broadcast_above_high_water_congests_its_peer() -> None:
    """A server then stops reading from it, as after a `send`."""
    owner, ends = crowd(1, **SMALL)
    connection, channel = ends[0]
    channel.stuck = True
    owner.audience.broadcast(Opcode.TEXT, b"x" * 50, None)
    await idle()
    assert connection._congested and channel.paused
    end(connection)


@virtual
async def test_closing_connections_are_not_in_the_audience() -> None:
    """A connection that closes is broadcast to no more, and is in no snapshot."""
    owner, ends = crowd(2)
    ends[0][0].close()
    assert owner.audience.snapshot() == (ends[1][0],)
    assert owner.audience.broadcast(Opcode.TEXT, b"x", None) == 1
    for connection, _ in ends:
        end(connection)
    await idle()


@virtual
async def test_a_broadcast_arrives_as_any_message_does() -> None:
    """With real frames at both ends, in order with what is sent alone."""
    server, client = open_pair()
    owner: Any = server._owner
    server.send("a")
    owner.audience.broadcast(Opcode.TEXT, b"b", None)
    server.send("c")
    assert [await client.recv() for _ in range(3)] == ["a", "b", "c"]
    end(server)
    end(client)


@pytest.mark.case(51)
@virtual
async def test_a_lost_connection_frees_those_who_wait_for_room() -> None:
    """Each of them gets `ConnectionClosed`."""
    connection, channel = open_server_end(**SMALL)
    channel.stuck = True
    sending = [connection.send("x" * 20) for _ in range(3)]
    channel.lose()
    for each in sending:
        with pytest.raises(ConnectionClosed):
            await each
