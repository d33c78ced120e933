"""Writing to a peer that reads slowly: marks, policies, pings that wait; and writing to many at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fixtures.clock import idle, virtual
from fixtures.ends import end, frames, make_owner, open_client_end, open_pair, open_server_end, texts
from wsmash.constants import Opcode, State
from wsmash.errors import ConnectionClosed, SlowConsumer
from wsmash.options import ServerOptions

SMALL: dict[str, Any] = {"write_high_water": 10, "max_write_buffer": 100}
KEYED: dict[str, Any] = {"slow_consumer": "conflate", "write_high_water": 10, "max_write_buffer": 500}


@virtual
async def test_an_empty_buffer_takes_any_message() -> None:
    """A message above `max_write_buffer` is sent where nothing waits."""
    connection, channel = open_server_end(**SMALL)
    channel.stuck = True
    connection.send("x" * 1000)
    assert len(texts(channel)) == 1 and connection.is_open()
    end(connection)


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


@virtual
async def test_conflate_keeps_the_newest_message_of_each_key() -> None:
    """Above high water messages with a key wait outside the buffer, one for each key, and enter it as it drains."""
    connection, channel = open_server_end(**KEYED)
    channel.stuck = True
    connection.send("x" * 50)
    for number in range(3):
        connection.send(f"a{number}", key="a")
        connection.send(f"b{number}", key="b")
    connection.send({"last": "c"}, key="c")
    assert len(channel.sent) == 1 and connection._owner.counters.conflated == 4
    channel.drain()
    assert texts(channel)[1:] == ["a2", "b2", '{"last":"c"}']
    end(connection)


@virtual
async def test_conflated_messages_enter_the_buffer_only_while_it_has_room() -> None:
    """What makes the buffer go above high water again is the last to enter it for now."""
    connection, channel = open_server_end(**KEYED)
    channel.stuck = True
    connection.send("x" * 50)
    for key in "abc":
        connection.send(key * 20, key=key)
    channel.waiting = 0
    connection.drained()
    assert texts(channel)[1:] == ["a" * 20]
    channel.drain()
    assert texts(channel)[1:] == ["a" * 20, "b" * 20, "c" * 20]
    end(connection)


@virtual
async def test_below_high_water_a_key_means_nothing() -> None:
    """Messages with a key are then sent as all others, each of them."""
    connection, channel = open_server_end(slow_consumer="conflate", **SMALL)
    connection.send("a1", key="a")
    connection.send("a2", key="a")
    assert texts(channel) == ["a1", "a2"]
    end(connection)


@virtual
async def test_conflate_without_a_key_acts_as_close() -> None:
    """A message without a key that does not fit fails the connection with 1013."""
    connection, channel = open_server_end(slow_consumer="conflate", **SMALL)
    channel.stuck = True
    connection.send("x" * 100)
    with pytest.raises(SlowConsumer):
        connection.send("y")
    assert connection.get_state() is State.CLOSING
    channel.lose()
    await idle()


@virtual
async def test_conflated_messages_are_bounded_too() -> None:
    """More than `max_write_buffer` fails the connection; a message counts its bytes, its key's length and 128."""
    connection, channel = open_server_end(**KEYED)
    channel.stuck = True
    connection.send("x" * 50)
    for key in ("a", "b", "c"):
        connection.send("x" * 37, key=key)
    connection.send("x" * 38, key="c")
    with pytest.raises(SlowConsumer):
        connection.send("", key="d")
    assert connection.get_state() is State.CLOSING
    channel.lose()
    await idle()


@virtual
async def test_what_left_the_outbox_makes_room_in_it() -> None:
    """After a drain as much may wait as before it."""
    connection, channel = open_server_end(**KEYED)
    for _ in range(3):
        channel.stuck = True
        connection.send("x" * 50)
        for key in ("a", "b", "c"):
            connection.send("x" * 37, key=key)
        channel.drain()
    assert len(texts(channel)) == 12 and connection._owner.counters.dropped == 0
    end(connection)


@virtual
async def test_sends_to_a_peer_that_has_stalled_share_what_they_return() -> None:
    """Nothing grows with the number of sends that nobody awaits."""
    connection, channel = open_server_end(**KEYED)
    channel.stuck = True
    connection.send("x" * 50)
    assert len({id(connection.send("a", key="a")) for _ in range(100)}) == 1
    first, second = (asyncio.create_task(connection.send("a", key="a")) for _ in range(2))
    await idle()
    first.cancel()
    await idle()
    assert first.cancelled() and not second.done()
    channel.drain()
    await second
    end(connection)


@virtual
async def test_conflated_messages_that_do_not_fit_at_close_are_counted() -> None:
    """`close()` sends what `max_write_buffer` has room for; the rest is dropped, and `dropped` tells how many."""
    connection, channel = open_server_end(**KEYED)
    channel.stuck = True
    connection.send("x" * 450)
    for key in ("a", "b", "c"):
        connection.send(key * 30, key=key)
    connection.close()
    assert texts(channel)[1:] == ["a" * 30] and connection._owner.counters.dropped == 2
    channel.lose()
    await idle()


@virtual
async def test_conflated_messages_that_do_not_fit_as_it_drains_are_counted() -> None:
    """What waits below high water can leave too little room for a large message."""
    connection, channel = open_server_end(**KEYED | {"write_high_water": 400})
    channel.stuck = True
    connection.send("x" * 450)
    connection.send("a" * 200, key="a")
    channel.waiting = 350
    connection.drained()
    assert len(texts(channel)) == 1 and connection._owner.counters.dropped == 1
    channel.lose()
    await idle()


@virtual
async def test_a_conflated_send_may_be_awaited() -> None:
    """It ends when the peer has read."""
    connection, channel = open_server_end(**KEYED)
    channel.stuck = True
    connection.send("x" * 50)
    sending = connection.send("a", key="a")
    assert not sending.done()  # type: ignore[attr-defined]
    channel.drain()
    await sending
    end(connection)


@virtual
async def test_what_waits_outside_the_buffer_goes_before_an_orderly_close() -> None:
    """`close()` sends conflated messages first, and nothing at all after the close frame."""
    connection, channel = open_server_end(**KEYED)
    channel.stuck = True
    connection.send("x" * 50)
    connection.send("a", key="a")
    channel.control(Opcode.PING, b"p")
    connection.close()
    channel.drain()
    assert [each.opcode for each in channel.sent] == [Opcode.TEXT, Opcode.TEXT, Opcode.CLOSE]
    channel.lose()
    await idle()


@virtual
async def test_what_waits_outside_the_buffer_is_forgotten_when_the_connection_fails() -> None:
    """Nothing follows a close frame, whoever it came from first."""
    connection, channel = open_server_end(**KEYED)
    channel.stuck = True
    connection.send("x" * 50)
    connection.send("a", key="a")
    channel.control(Opcode.PING, b"p")
    channel.close_frame(1000)
    channel.drain()
    assert [each.opcode for each in channel.sent] == [Opcode.TEXT, Opcode.CLOSE]
    channel.lose()
    await idle()


# -- pings of the peer


@virtual
async def test_every_ping_is_answered_in_order_below_high_water() -> None:
    """Each pong has its ping's payload."""
    connection, channel = open_server_end()
    for number in range(100):
        channel.control(Opcode.PING, b"%d" % number)
    assert [each.payload for each in frames(channel, Opcode.PONG)] == [b"%d" % number for number in range(100)]
    end(connection)


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
