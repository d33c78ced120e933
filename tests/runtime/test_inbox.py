"""The inbox: where messages wait for a busy callback or for anyone to come, and when reading pauses for it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from fixtures.clock import elapse, idle, virtual
from fixtures.ends import Record, end, frames, open_client_end, open_pair, open_server_end, paused
from wsmash.constants import Opcode, State
from wsmash.runtime.events import MessageEvent


async def slow(_: object) -> None:
    """A callback that takes a second."""
    await elapse(1)


def numbers(count: int) -> list[str]:
    return [str(number) for number in range(count)]


@pytest.mark.case(77)
@virtual
async def test_reading_pauses_when_max_queue_messages_wait_for_a_callback() -> None:
    """Sixteen messages wait, beside the one that the callback is at; then reading pauses."""
    client, channel = open_client_end()
    client.on("message", slow)
    channel.message("busy")
    await idle()
    channel.message(*numbers(15))
    assert not paused(channel)
    channel.message("16th")
    assert paused(channel)
    channel.lose()
    await elapse(20)


@pytest.mark.case(77, 78)
@virtual
async def test_reading_pauses_when_64_kib_wait_for_a_callback() -> None:
    """The inbox is full by bytes too, whatever `max_queue` says."""
    client, channel = open_client_end(max_queue=1000)
    client.on("message", slow)
    channel.message("busy")
    await idle()
    channel.message("x" * 65_535)
    assert not paused(channel)
    channel.message("x")
    assert paused(channel)
    channel.lose()
    await elapse(20)


@virtual
async def test_reading_resumes_when_the_inbox_has_emptied() -> None:
    """The pause ends, at a quarter of the queue, and everything is delivered in order."""
    client, channel = open_client_end(max_queue=4)
    got: list[object] = []

    async def callback(event: MessageEvent) -> None:
        await elapse(1)
        got.append(event.data)

    client.on("message", callback)
    channel.message(*numbers(5))
    assert paused(channel)
    await elapse(2.5)
    assert paused(channel)
    await elapse(2)
    assert not paused(channel)
    await elapse(2)
    assert got == numbers(5)
    channel.lose()
    await idle()


@pytest.mark.case(77)
@virtual
async def test_a_slow_callback_slows_its_sender_down() -> None:
    """With both ends: nothing is lost, nothing grows, the sender waits."""
    server, client = open_pair()
    got: list[object] = []

    async def callback(event: MessageEvent) -> None:
        await asyncio.sleep(0.001)
        got.append(event.data)

    server.on("message", callback)
    sent = [f"{number}:{'x' * 1000}" for number in range(500)]
    for text in sent:
        await client.send(text)
        assert server._inbox is None or len(server._inbox.queue) <= 16 + 256
    await elapse(5)
    assert got == sent
    end(server)
    end(client)
    await idle()


@virtual
async def test_messages_wait_for_the_first_callback() -> None:
    """What comes before the first `message` callback is delivered to it, in order, before what comes later."""
    client, channel = open_client_end()
    channel.message("a", "b")
    record = Record(client, "message")
    channel.message("c")
    await idle()
    assert record.data == ["a", "b", "c"]
    channel.lose()
    await idle()


@virtual
async def test_a_second_callback_hears_nothing_twice() -> None:
    """What waited is delivered once, to the callbacks that are there then."""
    client, channel = open_client_end()
    channel.message("a")
    first = Record(client, "message")
    second = Record(client, "message")
    await idle()
    assert first.data == second.data == ["a"]
    channel.lose()
    await idle()


@pytest.mark.case(105)
@virtual
async def test_messages_that_nobody_takes_are_discarded_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    """With no callback and no reader a full inbox discards new messages, warns once, and goes on reading."""
    client, channel = open_client_end()
    channel.message(*numbers(20))
    assert not paused(channel) and client.counters.discarded == 4
    warnings = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert len(warnings) == 1 and "message callback" in warnings[0].getMessage()
    record = Record(client, "message")
    await idle()
    assert record.data == numbers(16)
    channel.lose()
    await idle()


@virtual
async def test_reading_pauses_while_an_open_callback_is_running() -> None:
    """A full inbox pauses reading while `open` still runs; it may yet add a callback."""
    got: list[object] = []

    async def opened(event: Any) -> None:
        await elapse(1)
        event.client.on("message", got.append)

    connection, channel = open_server_end(lambda each: each.on("open", opened))
    await idle()
    channel.message(*numbers(16))
    assert paused(channel)
    await elapse(2)
    assert not paused(channel) and len(got) == 16 and connection._owner.counters.discarded == 0
    channel.lose()
    await idle()


@virtual
async def test_reading_resumes_where_no_open_callback_added_a_listener() -> None:
    """When `open` is over and nobody listens, reading goes on, and what comes is discarded."""
    connection, channel = open_server_end(lambda each: each.on("open", slow))
    await idle()
    channel.message(*numbers(16))
    assert paused(channel)
    await elapse(2)
    assert not paused(channel)
    channel.message("17th")
    assert connection._owner.counters.discarded == 1
    channel.lose()
    await idle()


@virtual
async def test_reading_pauses_on_a_client_that_was_entered() -> None:
    """A client opened by `wsmash.connect` or `async with` never discards: reading pauses until somebody comes."""
    client, channel = open_client_end(patient=True)
    channel.message(*numbers(16))
    assert paused(channel) and client.counters.discarded == 0
    for number in numbers(16):
        assert await client.recv() == number
    assert not paused(channel)
    end(client)


@virtual
async def test_reading_goes_on_when_the_last_callback_is_removed() -> None:
    """A pause does not outlive the callback it was for: the peer's close frame must be heard."""
    client, channel = open_client_end(max_queue=1)
    client.on("message", slow)
    channel.message("a", "b")
    await idle()
    channel.message("c")
    assert paused(channel)
    client.off("message", slow)
    assert not paused(channel)
    channel.message("d", "e")
    assert client.counters.discarded > 0 and not paused(channel)
    channel.lose()
    await elapse(2)
    assert client.get_state() is State.CLOSED


@virtual
async def test_a_connection_that_dies_with_messages_for_nobody_leaves_nothing_behind() -> None:
    """Callbacks that were removed get no messages any more, and no task waits for them."""
    client, channel = open_client_end()
    client.on("message", slow)
    record = Record(client, "close")
    channel.message("a", "b")
    await idle()
    client.off("message", slow)
    channel.lose()
    await elapse(2)
    assert record.names == ["close"] and not client._owner.tasks


@virtual
async def test_a_callback_that_removes_itself_ends_the_delivery() -> None:
    """What is left when the last callback goes, after the connection has, is for nobody: `close` fires."""
    client, channel = open_client_end()
    record = Record(client, "close")
    got: list[object] = []

    async def once(event: MessageEvent) -> None:
        await elapse(1)
        got.append(event.data)
        client.off("message", once)

    client.on("message", once)
    channel.message("a", "b", "c")
    channel.lose()
    await elapse(2)
    assert got == ["a"] and record.names == ["close"] and not client._inbox


@virtual
async def test_a_callback_added_after_the_close_event_gets_nothing() -> None:
    """`close` is the last event: what nobody took before it is not delivered after it."""
    client, channel = open_client_end()
    channel.message("a")
    channel.lose()
    await idle()
    record = Record(client, "message")
    await idle()
    assert record.events == []


@pytest.mark.case(77)
@virtual
async def test_our_ping_timeout_does_not_run_while_we_pause() -> None:
    """A peer that we do not read from is not called dead, however long our callback takes."""
    client, channel = open_client_end(max_queue=1)

    async def hours(_: object) -> None:
        await elapse(3600)

    client.on("message", hours)
    channel.message("a", "b")
    await idle()
    assert paused(channel)
    await elapse(3000)
    assert client.is_open() and not channel.aborted
    channel.lose()
    await elapse(7200)


@pytest.mark.case(77)
@virtual
async def test_the_ping_timeout_begins_anew_after_a_pause() -> None:
    """A pong that came during a pause has to be read first: nobody is called dead at its very end."""
    client, channel = open_client_end(max_queue=1, ping_timeout=0.5)

    async def callback(_: object) -> None:
        await elapse(39.9)

    client.on("message", callback)
    channel.message("a", "b")
    await elapse(39.95)  # a ping was sent at 20, reading resumed at 39.9, and the next look is at 40
    assert not paused(channel)
    await elapse(0.1)
    channel.message("c")
    await elapse(1)
    assert client.is_open() and not channel.aborted
    channel.lose()
    await elapse(100)


@virtual
async def test_reading_resumes_after_a_local_close() -> None:
    """After `close()` reading resumes, for the peer's close frame, and messages are discarded."""
    client, channel = open_client_end(max_queue=1)
    got: list[object] = []

    async def callback(event: MessageEvent) -> None:
        got.append(event.data)
        await elapse(1)

    client.on("message", callback)
    channel.message("a", "b")
    assert paused(channel)
    await idle()
    client.close()
    assert not paused(channel)
    channel.message(*numbers(50))
    assert not paused(channel)
    channel.close_frame()
    channel.lose()
    await elapse(3)
    assert got == ["a"] and client.get_state() is State.CLOSED


@pytest.mark.case(53)
@virtual
async def test_a_server_pauses_when_its_peer_does_not_read() -> None:
    """Above high water a server stops reading from a peer that does not read; it resumes when that has."""
    connection, channel = open_server_end()
    channel.stuck = True
    connection.send("x" * 60_000)
    assert not paused(channel)
    connection.send("x" * 60_000)
    assert not paused(channel)  # what has arrived already is still read
    await idle()
    assert paused(channel)
    channel.drain()
    assert not paused(channel)
    end(connection)


@virtual
async def test_a_client_is_never_paused_by_its_own_output() -> None:
    """Two peers that both stop reading would never move again."""
    client, channel = open_client_end()
    channel.stuck = True
    client.send("x" * 70_000)
    assert not paused(channel)
    end(client)


@virtual
async def test_two_reasons_to_pause_both_have_to_end() -> None:
    """Reading resumes when the inbox has room and the peer has read."""
    connection, channel = open_server_end(max_queue=1)
    channel.stuck = True
    connection.on("message", slow)
    connection.send("x" * 70_000)
    channel.message("a", "b")
    await elapse(3)
    assert paused(channel)
    channel.drain()
    assert not paused(channel)
    channel.message("c", "d")
    connection.send("y")
    channel.drain()
    assert paused(channel)
    channel.lose()
    await elapse(5)


@virtual
async def test_messages_of_a_declared_type_are_checked_before_they_are_delivered() -> None:
    """A message that is not of `message_type` fires `error` in place of `message`, from the inbox too."""
    connection, channel = open_server_end(message_type=list[int])
    record = Record(connection, "message", "error")
    channel.message("[1]", '["x"]', "[2]")
    await idle()
    assert record.names == ["message", "message", "error"]
    assert [each.json() for each in record.events[:2]] == [[1], [2]]
    connection.on("message", slow)
    channel.message("[1]", '["x"]', "[2]")
    await elapse(3)
    assert len(record.data) == 4 and len(record.events) == 6
    channel.lose()
    await idle()


@pytest.mark.parametrize("code", [1007, 1008])
@virtual
async def test_what_a_bad_message_gets_can_be_declared(code: int) -> None:
    """`invalid_message=1007` or 1008 closes with that code."""
    connection, channel = open_server_end(message_type=list[int], invalid_message=code)
    record = Record(connection, "message")
    channel.message("{}", "[1]")
    [frame] = frames(channel, Opcode.CLOSE)
    assert frame.payload[:2] == code.to_bytes(2) and record.events == []
    channel.lose()
    await idle()


@virtual
async def test_message_rate_is_kept() -> None:
    """A server's connection that sends faster than `message_rate` is closed with 1008."""
    connection, channel = open_server_end(message_rate=2)
    record = Record(connection, "message")
    channel.message("a", "b")
    await elapse(1)
    channel.message("c", "d")
    assert connection.is_open()
    channel.message("e")
    assert connection.get_state() is State.CLOSING and record.data == list("abcd")
    channel.lose()
    await idle()
