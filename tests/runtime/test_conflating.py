"""The policy "conflate": of messages with a key the newest waits outside the write buffer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fixtures.clock import idle, virtual
from fixtures.ends import end, open_server_end, texts
from wsmash.constants import Opcode, State
from wsmash.errors import SlowConsumer

SMALL: dict[str, Any] = {"write_high_water": 10, "max_write_buffer": 100}
KEYED: dict[str, Any] = {"slow_consumer": "conflate", "write_high_water": 10, "max_write_buffer": 500}


@pytest.mark.case(74)
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


@pytest.mark.case(78)
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


@pytest.mark.case(76)
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


@virtual
async def test_a_key_is_a_str() -> None:
    """Anything else is a mistake at the call, not only once messages wait."""
    connection, channel = open_server_end(slow_consumer="conflate")
    with pytest.raises(TypeError, match="key of a message is a str, not 1"):
        connection.send("x", key=1)  # type: ignore[arg-type]
    assert texts(channel) == []
    end(connection)
