"""What goes on through the outages of a client: messages, readers, callbacks, what waits."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

import wsmash
from fixtures.attempts import STEADY, Asked, Attempts, client_ends, make_client
from fixtures.clock import elapse, idle, turns, virtual
from fixtures.ends import Record, paused, texts
from fixtures.live import errors
from wsmash.constants import State
from wsmash.errors import ConnectError, ConnectionClosed, InvalidState, OpenTimeout
from wsmash.sansio.violations import Violation


@virtual
async def test_recv_waits_across_an_outage(attempts: Attempts) -> None:
    """What came before it is delivered first, in order, and what comes after it then."""
    client, _, channel = await attempts.client()
    reading = asyncio.ensure_future(client.recv())
    await idle()
    channel.message("a", "b", "c")
    channel.lose()
    assert await reading == "a" and await client.recv() == "b"
    await attempts.next()
    channel = await attempts.last.succeed()
    channel.message("d")
    assert [await client.recv(), await client.recv()] == ["c", "d"]
    waiting = asyncio.ensure_future(client.recv())
    await idle()
    channel.lose()
    await attempts.next()
    channel = await attempts.last.succeed()
    channel.message("e")
    assert await waiting == "e"
    await client_ends(client)
    with pytest.raises(ConnectionClosed):
        await client.recv()


@pytest.mark.parametrize("how", ["keepalive", "violation", "loss"])
@virtual
async def test_what_came_before_a_failure_is_still_delivered(attempts: Attempts, how: str) -> None:
    """A connection that this client failed discards what waits; a client that goes on does not."""
    client, _, channel = await attempts.client(ping_interval=20, ping_timeout=20)
    reading = asyncio.ensure_future(client.recv())
    await idle()
    channel.message("a", "b", "c")
    if how == "violation":
        channel.violate(Violation.TEXT_INVALID)
    if how == "keepalive":
        await elapse(41)
    else:
        channel.lose()
    assert await reading == "a"
    await attempts.next()
    channel = await attempts.last.succeed()
    channel.message("d")
    assert [await client.recv() for _ in range(3)] == ["b", "c", "d"]
    await client_ends(client)


@virtual
async def test_recv_may_begin_during_an_outage(attempts: Attempts) -> None:
    """Before the first connection, too; before `connect` there is nothing to wait for."""
    client = make_client()
    with pytest.raises(InvalidState):
        await client.recv()
    client.connect()
    await idle()
    await attempts.last.fail()
    reading = asyncio.ensure_future(client.recv())
    await attempts.next()
    (await attempts.last.succeed()).message("x")
    assert await reading == "x"
    await client_ends(client)


@pytest.mark.parametrize("code", [1000, 1008])
@virtual
async def test_async_for_ends_with_the_client(attempts: Attempts, code: int) -> None:
    """A close with 1000 by the server is an outage, unless the policy says that it is the end."""
    client, _, channel = await attempts.client(reconnect=Asked(1, None))
    got: list[object] = []

    async def read() -> None:
        async for message in client:
            got.append(message)  # noqa: PERF401  the list is looked at while this runs

    reading = asyncio.ensure_future(read())
    await idle()
    channel.message("a")
    channel.close_frame(1000)
    channel.lose()
    await attempts.next()
    channel = await attempts.last.succeed()
    channel.message("b")
    channel.close_frame(code)
    channel.lose()
    if code == 1000:
        await reading
    else:
        with pytest.raises(ConnectionClosed):
            await reading
    assert got == ["a", "b"]
    await client.wait_closed()


@virtual
async def test_message_callbacks_go_on(attempts: Attempts) -> None:
    """Plain ones, and coroutine ones, which are not cancelled: what waits for them is delivered, in order."""
    client, _, channel = await attempts.client()
    got: list[object] = []
    client.on("message", lambda event: got.append(event.data))
    channel.message("a")
    channel.lose()
    await attempts.next()
    channel = await attempts.last.succeed()
    channel.message("b")
    assert got == ["a", "b"]
    go = asyncio.Event()

    async def slow(event: wsmash.MessageEvent) -> None:
        await go.wait()
        got.append(f"slow {event.data!s}")

    client.on("message", slow)
    channel.message("c", "d")
    channel.lose()
    await attempts.next()
    channel = await attempts.last.succeed()
    channel.message("e")
    go.set()
    await idle()
    assert got == ["a", "b", "c", "slow c", "d", "slow d", "e", "slow e"]
    await client_ends(client)


@virtual
async def test_reading_goes_on_pausing_for_a_full_inbox(attempts: Attempts) -> None:
    """What was left by the last connection counts; where it is taken, the new one is read."""
    client, _, channel = await attempts.client(max_queue=4)
    reading = asyncio.ensure_future(client.recv())
    await idle()
    channel.message(*"abcde")
    assert paused(channel) and await reading == "a"
    channel.lose()
    await attempts.next()
    channel = await attempts.last.succeed()
    assert paused(channel)
    assert [await client.recv() for _ in range(4)] == list("bcde")
    assert not paused(channel)
    await client_ends(client)


@virtual
async def test_no_message_comes_before_the_open_callbacks_have_begun(attempts: Attempts) -> None:
    """Even where the inbox is emptied in that very moment."""
    client, _, channel = await attempts.client(max_queue=1)
    seen: list[bool] = []

    async def opened(_: object) -> None:
        seen.append(attempts_channel[-1].paused)

    attempts_channel: list[Any] = [channel]
    reading = asyncio.ensure_future(client.recv())
    await idle()
    channel.message("a", "b")
    assert paused(channel) and await reading == "a"
    client.on("open", opened)
    channel.lose()
    await attempts.next()

    await asyncio.sleep(0)
    opening = asyncio.ensure_future(attempts.last.succeed())
    while client._channel is None:
        await asyncio.sleep(0)
    attempts_channel.append(client._channel)
    assert await client.recv() == "b"
    await opening
    assert seen == [True] and not attempts_channel[-1].paused
    await client_ends(client)


@virtual
async def test_who_waits_for_a_lost_connection_is_told(attempts: Attempts) -> None:
    """Pings, sends that wait for room, messages in fragments: ConnectionClosed, and the client goes on."""
    client, _, channel = await attempts.client(write_high_water=10)
    never = asyncio.Event()

    async def pieces() -> Any:
        yield "a"
        await never.wait()

    ping = asyncio.ensure_future(client.ping())
    fragments = asyncio.ensure_future(client.send_fragments(pieces()))
    await idle()
    channel.stuck = True
    sent = asyncio.ensure_future(client.send("x" * 100))
    await idle()
    channel.lose()
    for each in (ping, fragments, sent):
        with pytest.raises(ConnectionClosed):
            await each
    await attempts.next()
    channel = await attempts.last.succeed()
    await client.send("y")
    assert texts(channel) == ["y"]
    await client_ends(client)


@virtual
async def test_send_during_an_outage_is_an_invalid_state(attempts: Attempts) -> None:
    """Without an `offline_queue`, as before the first connection; while the server closes it is ConnectionClosed."""
    client, _, channel = await attempts.client()
    channel.close_frame(1012)
    with pytest.raises(ConnectionClosed):
        client.send("x")
    channel.lose()
    await idle()
    for act in (lambda: client.send("x"), client.ping, lambda: client.send_fragments(["x"])):
        with pytest.raises(InvalidState, match=r"outage.*offline_queue"):
            act()
    await client_ends(client)


@virtual
async def test_a_callback_that_an_outage_ends_is_no_fault(
    attempts: Attempts, caplog: pytest.LogCaptureFixture
) -> None:
    """It has sent where it could not: one line at DEBUG and no `error`, as with a connection that is closed."""
    caplog.set_level(logging.DEBUG, "wsmash")
    client, record, channel = await attempts.client()

    @client.on("message")
    async def received(event: wsmash.MessageEvent) -> None:
        await asyncio.sleep(1)
        client.send(event.data)

    client.on("reconnecting", lambda _: client.ping())
    channel.message("x")
    await idle()
    channel.lose()
    await elapse(2)
    assert record.names == ["open", "reconnecting"]
    met = [each for each in caplog.records if "InvalidState" in each.getMessage()]
    assert [each.levelno for each in met] == [logging.DEBUG] * 2 and not errors(caplog)
    await client_ends(client)


@virtual
async def test_the_outage_of_another_client_is_a_fault_as_any(
    attempts: Attempts, caplog: pytest.LogCaptureFixture
) -> None:
    """Only a connection's own end is expected of its callbacks; and before any attempt there is no outage."""
    other, _, channel = await attempts.client()
    channel.lose()
    await idle()
    client = make_client()
    record = Record(client)
    client.on("open", lambda _: other.send("x"))
    client.on("open", lambda _: make_client().send("x"))
    client.connect()
    await attempts.last.succeed()
    await idle()
    assert record.names == ["open", "error", "error"]
    assert [type(each.error) for each in record.events[1:]] == [InvalidState] * 2
    assert "outage" in str(record.events[1].error) and "not open yet" in str(record.last.error)
    await client_ends(client)
    await client_ends(other)


@virtual
async def test_the_task_of_the_callbacks_cancelled_from_outside_is_the_end(attempts: Attempts) -> None:
    """Nobody would take the messages of the next connection."""
    tasks: list[Any] = []

    async def slow(_: object) -> None:
        tasks.append(asyncio.current_task())
        await asyncio.Event().wait()

    for offline in (False, True):
        client, record, channel = await attempts.client()
        client.on("message", slow)
        channel.message("a")
        await idle()
        if offline:
            channel.lose()
            await idle()
        tasks[-1].cancel()
        await idle()
        if not offline:
            channel.lose()
        await client.wait_closed()
        assert record.last.code == 1006 and record.names[-1] == "close"
    await elapse(100)
    assert len(attempts) == 2


@pytest.mark.parametrize("reconnect", [False, True])
@pytest.mark.parametrize("begun", [False, True])
@virtual
async def test_an_attempt_cancelled_from_outside_is_the_end(attempts: Attempts, begun: bool, reconnect: bool) -> None:
    """As by a program that cancels all tasks: no other attempt would ever be made, and nobody told."""
    client = make_client(reconnect=reconnect)
    record = Record(client, "error", "close")
    others = asyncio.all_tasks()
    connecting = client.connect()
    await turns(3 * begun)
    for task in asyncio.all_tasks() - others:
        task.cancel()
    with pytest.raises(ConnectionClosed):
        await connecting
    await client.wait_closed()
    assert record.names == ["close"] and record.last.code == 1006
    client.connect()
    await turns(3)
    assert len(attempts) == 2 and client.get_state() is State.CONNECTING
    await client_ends(client)


@virtual
async def test_an_open_callback_that_outlives_its_connection_is_not_counted_twice(attempts: Attempts) -> None:
    """Of two that run, the first to end does not let messages be discarded that the other may still take."""
    client = make_client()
    go: list[asyncio.Event] = []
    got: list[object] = []

    async def opened(_: object) -> None:
        go.append(asyncio.Event())
        await go[-1].wait()
        client.on("message", lambda event: got.append(event.data))

    client.on("open", opened)
    client.connect()
    (await attempts.last.succeed()).lose()
    await attempts.next()
    channel = await attempts.last.succeed()
    assert client._opening == 2
    channel.message(*(str(number) for number in range(20)))
    go[0].set()
    await idle()
    assert client._opening == 1 and len(got) == 20
    go[1].set()
    await client_ends(client)


@virtual
async def test_a_reconnecting_callback_that_raises_is_logged_and_fires_error(
    attempts: Attempts, caplog: pytest.LogCaptureFixture
) -> None:
    """As any callback; the client connects again all the same."""
    client, record, channel = await attempts.client()

    def fail(_: object) -> None:
        raise KeyError("mine")

    client.on("reconnecting", fail)
    channel.lose()
    await attempts.next()
    assert record.names == ["open", "reconnecting", "error"] and len(errors(caplog)) == 1
    await client_ends(client)


@virtual
async def test_giving_up_is_logged_at_info(attempts: Attempts, caplog: pytest.LogCaptureFixture) -> None:
    """With how many retries there were; the error is that of the last one."""
    caplog.set_level(logging.INFO, "wsmash")
    client = make_client(reconnect=wsmash.Reconnect(max_attempts=2))
    record = Record(client, "error")
    client.connect()
    await idle()
    for _ in range(2):
        await attempts.last.fail()
        await attempts.next()
        await idle()
    await attempts.last.fail(ConnectError("refused"))
    await client.wait_closed()
    assert record.last.error.__notes__ == ["The reconnect policy gave up after 2 retries."]
    assert any(each.getMessage().endswith("refused; the policy gives up after 2 retries") for each in caplog.records)


@virtual
async def test_abort_is_this_end_s_own(attempts: Attempts) -> None:
    """The reason of `close` does not blame the peer."""
    client, record, _ = await attempts.client()
    client.abort()
    await client.wait_closed()
    assert (record.last.code, record.last.reason) == (1006, "abort() dropped the connection")


@virtual
async def test_outages_are_logged_at_info(attempts: Attempts, caplog: pytest.LogCaptureFixture) -> None:
    """One line each, with what happened and when the next attempt is."""
    caplog.set_level(logging.INFO, "wsmash")
    client, _, channel = await attempts.client()
    channel.close_frame(1012, "restart\nnow")
    channel.lose()
    await idle()
    (line,) = [each.getMessage() for each in caplog.records]
    assert "1012" in line and "connecting again in 5.0 s" in line and "\n" not in line
    await client_ends(client)


@virtual
async def test_a_late_attempt_is_an_outage_as_any(attempts: Attempts) -> None:
    """A timeout is retried, and ends the client where the policy gives up."""
    client = make_client(reconnect=wsmash.Reconnect(max_attempts=1, jitter=STEADY.jitter))
    record = Record(client)
    connecting = client.connect()
    await idle()
    await attempts.last.fail(OpenTimeout("late"))
    await attempts.next()
    await attempts.last.fail(OpenTimeout("late again"))
    with pytest.raises(OpenTimeout, match="late again"):
        await connecting
    assert record.names == ["reconnecting", "error", "close"]
