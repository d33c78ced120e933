"""The order of events: open, then messages one at a time in wire order, then close, once and last."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from fixtures.clock import elapse, idle, virtual
from fixtures.ends import Record, end, frames, open_client_end, open_pair, open_server_end, texts
from wsmash.constants import Opcode, State
from wsmash.runtime.events import CloseEvent, MessageEvent, OpenEvent
from wsmash.sansio.violations import Violation


@pytest.mark.case(50)
@virtual
async def test_a_message_before_a_violation_is_delivered_and_answered_first() -> None:
    """What one read brings is acted on in wire order: the plain callback's answer precedes the close frame."""
    connection, channel = open_server_end()
    record = Record(connection)
    connection.on("message", lambda event: event.client.send("answer"))
    channel.message("x")
    channel.violate(Violation.RESERVED_BITS)
    assert [each.opcode for each in channel.sent] == [Opcode.TEXT, Opcode.CLOSE]
    channel.lose()
    await idle()
    assert record.names == ["message", "error", "close"]


@virtual
async def test_a_message_before_a_close_frame_is_answered_first() -> None:
    """The answer goes out before the close frame is echoed."""
    connection, channel = open_server_end()
    connection.on("message", lambda event: event.client.send("answer"))
    channel.message("x")
    channel.close_frame(1000, "bye")
    assert [each.opcode for each in channel.sent] == [Opcode.TEXT, Opcode.CLOSE]
    channel.lose()
    await idle()


@virtual
async def test_open_runs_to_its_first_suspension_before_any_message() -> None:
    """Reading begins only then; messages flow while the callback waits, so it may await further messages."""
    steps: list[str] = []
    answered: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def hear(event: MessageEvent) -> None:
        steps.append(str(event.data))
        answered.set_result(str(event.data))

    async def opened(event: OpenEvent) -> None:
        steps.append("open")
        event.client.on("message", hear)
        steps.append(f"got {await answered}")

    server, client = open_pair(lambda connection: connection.on("open", opened))
    client.send("hello")
    await idle()
    assert steps == ["open", "hello", "got hello"]
    end(server)
    end(client)


@virtual
async def test_reading_begins_after_the_plain_open_callbacks() -> None:
    """A plain `open` callback is over before reading starts."""
    seen: list[bool] = []
    connection, channel = open_server_end(lambda each: each.on("open", lambda _: seen.append(each._channel.paused)))
    assert seen == [True] and not channel.paused
    end(connection)


@virtual
async def test_callbacks_of_one_event_run_one_after_another() -> None:
    """Each is awaited before the next one is called."""
    client, channel = open_client_end()
    steps: list[str] = []

    async def slow(_: object) -> None:
        steps.append("slow begins")
        await elapse(1)
        steps.append("slow ends")

    client.on("message", slow)
    client.on("message", lambda _: steps.append("next"))
    channel.message("x")
    await elapse(2)
    assert steps == ["slow begins", "slow ends", "next"]
    channel.lose()
    await idle()


@virtual
async def test_messages_of_one_connection_are_delivered_one_at_a_time() -> None:
    """Even where a callback waits, the next message is not delivered before it is done."""
    client, channel = open_client_end()
    running = 0
    got: list[object] = []

    async def callback(event: MessageEvent) -> None:
        nonlocal running
        running += 1
        assert running == 1
        await elapse(1 if event.data == "a" else 0.1)
        got.append(event.data)
        running -= 1

    client.on("message", callback)
    channel.message(*"abc")
    await elapse(5)
    assert got == list("abc")
    channel.lose()
    await idle()


@virtual
async def test_no_connection_waits_for_another() -> None:
    """One connection's busy callback delays nobody else's messages."""
    one, one_channel = open_server_end()
    other, other_channel = open_server_end()
    got: list[object] = []

    async def callback(event: MessageEvent) -> None:
        if event.client is one:
            await elapse(100)
        got.append(event.data)

    for each in (one, other):
        each.on("message", callback)
    one_channel.message("slow")
    other_channel.message("quick")
    await idle()
    assert got == ["quick"]
    for channel in (one_channel, other_channel):
        channel.lose()
    await elapse(101)


# -- close


@virtual
async def test_close_is_last_and_finds_the_state_closed() -> None:
    """`close` fires once, after the messages received before it, with the state already CLOSED."""
    client, channel = open_client_end()
    record = Record(client)
    states: list[State] = []
    client.on("close", lambda event: states.append(event.client.get_state()))
    channel.message("a", "b")
    channel.close_frame(1000, "bye")
    channel.lose()
    await idle()
    assert record.names == ["message", "message", "close"] and states == [State.CLOSED]


@virtual
async def test_close_waits_for_messages_that_came_before_it() -> None:
    """Messages that wait for a busy callback are delivered before `close` fires."""
    client, channel = open_client_end()
    steps: list[object] = []

    async def callback(event: MessageEvent) -> None:
        await elapse(1)
        steps.append(event.data)

    client.on("message", callback)
    client.on("close", lambda _: steps.append("close"))
    channel.message("a", "b", "c")
    channel.close_frame()
    channel.lose()
    await idle()
    assert client.get_state() is State.CLOSED and steps == []
    await client.wait_closed()
    assert steps == ["a", "b", "c", "close"]


@virtual
async def test_running_callbacks_are_not_cancelled_by_the_close() -> None:
    """A callback that runs when the connection ends goes on; `close` does not wait for it."""
    client, channel = open_client_end()
    steps: list[str] = []

    async def callback(_: object) -> None:
        await elapse(1)
        steps.append("done")

    client.on("message", callback)
    client.on("close", lambda _: steps.append("close"))
    channel.message("x")
    await idle()
    channel.lose()
    await elapse(2)
    assert steps == ["close", "done"]


@virtual
async def test_a_local_close_discards_what_is_in_the_inbox() -> None:
    """After `close()` no further message is delivered, neither of those that wait nor of those that come."""
    client, channel = open_client_end()
    record = Record(client, "close")
    got: list[object] = []

    async def callback(event: MessageEvent) -> None:
        got.append(event.data)
        await elapse(1)

    client.on("message", callback)
    channel.message("a", "b")
    await idle()
    client.close()
    channel.message("c")
    channel.close_frame()
    channel.lose()
    await elapse(5)
    assert got == ["a"] and record.names == ["close"]


@virtual
async def test_a_failure_discards_what_is_in_the_inbox() -> None:
    """The same holds where the connection fails."""
    client, channel = open_client_end()
    got: list[object] = []

    async def callback(event: MessageEvent) -> None:
        got.append(event.data)
        await elapse(1)

    client.on("message", callback)
    channel.message("a", "b")
    await idle()
    channel.violate(Violation.TEXT_INVALID)
    channel.lose()
    await elapse(5)
    assert got == ["a"]


@pytest.mark.case(51)
@pytest.mark.parametrize(
    "death", ["close_frame", "lose", "lose_with_error", "violate", "local_close", "abort", "close_timeout"]
)
@pytest.mark.parametrize("kind", ["plain", "coroutine"])
@virtual
async def test_close_fires_exactly_once_and_last_in_every_way_to_die(death: str, kind: str) -> None:
    """However a connection ends: one `close`, nothing after it, everybody who waits is told."""
    connection, channel = open_server_end()
    events: list[Any] = []

    async def coroutine(event: Any) -> None:
        await asyncio.sleep(0)
        events.append(event)

    on: Any = connection.on
    for name in connection.EVENTS:
        on(name, events.append if kind == "plain" else coroutine)
    channel.message("x")
    await idle()
    waiting = asyncio.create_task(connection.wait_closed())
    pinging = asyncio.create_task(connection.ping())
    await idle()
    match death:
        case "close_frame":
            channel.close_frame(1001, "away")
        case "lose_with_error":
            channel.lose(ConnectionResetError("reset"))
        case "violate":
            channel.violate(Violation.UNMASKED)
        case "local_close":
            connection.close()
            channel.close_frame()
        case "abort":
            channel.abort()
        case "close_timeout":
            connection.close()
            await elapse(11)
            assert channel.aborted
    await idle()
    channel.lose()
    await asyncio.wait([waiting, pinging])
    assert pinging.exception() is not None
    await idle()
    connection.close()
    channel.message("late")
    await elapse(100)
    closes = [each for each in events if isinstance(each, CloseEvent)]
    assert len(closes) == 1 and events[-1] is closes[0]


@virtual
async def test_awaiting_close_waits_for_the_socket_and_not_for_callbacks() -> None:
    """`await close()` ends with the transport, while a callback still runs."""
    client, channel = open_client_end()
    done: list[str] = []

    async def callback(_: object) -> None:
        await elapse(50)
        done.append("callback")

    client.on("message", callback)
    client.on("close", callback)
    channel.message("x")
    await idle()
    closing = asyncio.create_task(client.close())
    await idle()
    assert not closing.done()
    channel.close_frame()
    channel.lose()
    await closing
    assert done == []
    await elapse(101)
    assert len(done) == 2


@virtual
async def test_wait_closed_waits_for_the_close_event() -> None:
    """`wait_closed()` ends after the `close` callbacks were called; at once where it is over."""
    client, channel = open_client_end()
    steps: list[str] = []

    async def closed(_: object) -> None:
        steps.append("close")

    async def callback(_: object) -> None:
        await elapse(1)

    client.on("message", callback)
    client.on("close", closed)
    channel.message("x", "y")
    await idle()
    waiting = asyncio.create_task(client.wait_closed())
    channel.lose()
    await idle()
    assert client.get_state() is State.CLOSED and not waiting.done()
    await waiting
    assert steps == ["close"]
    await client.wait_closed()


@virtual
async def test_an_open_callback_that_ends_closes_nothing() -> None:
    """A connection lives on when its callbacks have returned."""
    server, client = open_pair(lambda connection: connection.on("open", lambda _: None))
    await elapse(5)
    assert server.is_open() and client.is_open()
    end(server)
    end(client)


@virtual
async def test_an_open_callback_may_close_the_connection() -> None:
    """`close()` in `open`: no message is delivered, `close` fires, the peer sees the code."""
    got: list[object] = []

    def prepare(connection: Any) -> None:
        connection.on("open", lambda event: event.client.close(4001, "not you"))
        connection.on("message", got.append)

    server, client = open_pair(prepare)
    record = Record(client, "close")
    client.send("x")
    await client.wait_closed()
    await server.wait_closed()
    assert got == [] and record.last.code == 4001


@pytest.mark.case(126)
@virtual
async def test_an_open_connection_is_held_until_its_close_event() -> None:
    """A connection that nobody holds is not collected while it is open, whatever its timeouts are."""
    client, channel = open_client_end(ping_interval=None, message_timeout=None, write_timeout=None)
    closed: list[object] = []
    client.on("close", lambda event: closed.append(event.code))
    held = weakref.ref(channel)
    del client, channel
    gc.collect()
    channel_again = held()
    assert channel_again is not None
    channel_again.lose()
    await idle()
    assert closed == [1006]


@virtual
async def test_texts_arrive_in_the_order_they_were_sent() -> None:
    """Both ways, through both ends, however many there are."""
    server, client = open_pair()
    record = Record(server, "message")
    sent = [str(number) for number in range(1000)]
    for text in sent:
        client.send(text)
    await idle()
    assert record.data == sent
    end(server)
    end(client)


@virtual
async def test_an_error_is_followed_by_close() -> None:
    """A violation fires `error` with what it was, then `close` with 1006 and our own account."""
    client, channel = open_client_end()
    record = Record(client, "error", "close")
    channel.violate(Violation.MASKED)
    channel.lose()
    await idle()
    assert record.names == ["error", "close"]
    assert record.events[0].error.code == 1002
    assert record.last.code == 1006 and "masked" in record.last.reason
    assert len(frames(channel, Opcode.CLOSE)) == 1 and texts(channel) == []
