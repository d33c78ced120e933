"""A client through its outages: what it fires, what goes on, what ends it. On the virtual clock, without a network."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

import wsmash
from fixtures.attempts import REFUSED, STEADY, Asked, Attempts, make_client
from fixtures.clock import elapse, idle, turns, virtual
from fixtures.ends import Record, paused, texts
from fixtures.live import errors
from wsmash.constants import State
from wsmash.errors import ConnectError, ConnectionClosed, HandshakeError, InvalidState, OpenTimeout
from wsmash.sansio.violations import Violation

GONE = HandshakeError("the server answered with HTTP 410", status=410)


# -- what is fired


@pytest.mark.case(117)
@virtual
async def test_an_outage_fires_reconnecting_and_the_next_connection_open(attempts: Attempts) -> None:
    """Neither `error` nor `close`; the state is CONNECTING between, on the same object."""
    client, record, channel = await attempts.client()
    assert record.names == ["open"] and record.last.reconnected is False
    channel.lose(OSError("cut off"))
    await idle()
    assert record.names == ["open", "reconnecting"] and client.get_state() == State.CONNECTING
    event = record.last
    assert (event.client, event.attempt, event.delay, event.code) == (client, 1, 5.0, 1006)
    assert event.reason == "cut off" and isinstance(event.error, ConnectionClosed)
    await elapse(4.9)
    assert len(attempts) == 1
    await elapse(0.2)
    assert len(attempts) == 2 and len(record.events) == 2
    await attempts.last.succeed()
    assert record.names == ["open", "reconnecting", "open"] and record.events[2].reconnected is True
    assert client.is_open()
    await client_ends(client)
    assert record.names[3:] == ["close"]


@virtual
async def test_the_first_connect_is_tried_again_too(attempts: Attempts) -> None:
    """`await connect()` ends with the first success; `open` is then no reconnection."""
    client = make_client()
    record = Record(client)
    connecting = asyncio.ensure_future(client.connect())
    for count in (1, 2):
        await idle()
        await attempts.last.fail()
        assert record.last.error is REFUSED and (record.last.attempt, record.last.code) == (count, 1006)
        assert record.last.reason == str(REFUSED) and not connecting.done()
        await attempts.next()
    await attempts.last.succeed()
    await connecting
    assert record.names == ["reconnecting", "reconnecting", "open"] and record.last.reconnected is False
    await client_ends(client)


@pytest.mark.case(117)
@virtual
async def test_the_delays_of_refused_attempts_grow_to_the_cap_and_go_on_for_ever(attempts: Attempts) -> None:
    """Each attempt is made when its event has said."""
    client = make_client()
    record = Record(client)
    client.connect()
    for _ in range(20):
        await idle()
        await attempts.last.fail()
        await attempts.next()
    assert [event.delay for event in record.events] == [5, 10, 20, 40] + [60] * 16
    made = [each.at for each in attempts]
    for event, before, after in zip(record.events, made, made[1:], strict=False):
        assert after - before == pytest.approx(event.delay, abs=0.01)
    await client_ends(client)


@pytest.mark.case(118)
@virtual
async def test_a_server_that_accepts_and_closes_at_once_sees_the_delays_grow(attempts: Attempts) -> None:
    """A 101 alone is no health: the backoff goes on where it was."""
    client, record, channel = await attempts.client()
    for _ in range(4):
        channel.close_frame(1012)
        channel.lose()
        await attempts.next()
        channel = await attempts.last.succeed()
    assert [event.delay for event in record.events if hasattr(event, "delay")] == [5, 10, 20, 40]
    await client_ends(client)


@pytest.mark.case(118)
@pytest.mark.parametrize(("healthy", "delays"), [(29.0, [5, 10]), (31.0, [5, 5])])
@virtual
async def test_the_backoff_begins_anew_after_a_healthy_while(
    attempts: Attempts, healthy: float, delays: list[float]
) -> None:
    """30 seconds, unless the policy says otherwise."""
    client, record, channel = await attempts.client()
    channel.lose()
    await attempts.next()
    channel = await attempts.last.succeed()
    await elapse(healthy)
    channel.lose()
    await idle()
    assert [event.delay for event in record.events if hasattr(event, "delay")] == delays
    await client_ends(client)


@pytest.mark.case(118)
@virtual
async def test_silence_is_no_health(attempts: Attempts) -> None:
    """A server that accepts and is never heard of again is given up after 40 seconds, which do not count."""
    client, record, channel = await attempts.client(ping_interval=20, ping_timeout=20)
    for _ in range(2):
        await elapse(41)
        await attempts.next()
        channel = await attempts.last.succeed()
    await elapse(31)
    channel.message("x")
    await elapse(41)
    assert [event.delay for event in record.events if hasattr(event, "delay")] == [5, 10, 5]
    await client_ends(client)


@pytest.mark.case(119)
@virtual
async def test_retry_after_is_waited_for(attempts: Attempts) -> None:
    """The header of a 503 that names seconds; what cannot be read is ignored."""
    client = make_client()
    record = Record(client)
    client.connect()
    for value in ("100", "soon", "86400"):
        await idle()
        error = HandshakeError("the server answered with HTTP 503", status=503, headers={"Retry-After": value})
        await attempts.last.fail(error)
        await attempts.next()
    assert [event.delay for event in record.events] == [105, 10, 320]
    await client_ends(client)


@virtual
async def test_what_a_client_says_of_itself_is_its_present_connection_s(attempts: Attempts) -> None:
    """Its `state` is kept; its addresses, its latency and its id are each connection's own."""
    client, _, channel = await attempts.client()
    client.state["mine"] = 1
    first, before = client.id, client.response
    assert client.remote_address == ("203.0.113.1", 40000) and before is not None
    channel.lose()
    await idle()
    assert client._channel is None and client.latency is None and client.state == {"mine": 1}
    await attempts.next()
    await attempts.last.succeed()
    assert client.id != first
    await client_ends(client)


# -- what is fatal


@pytest.mark.case(119)
@virtual
async def test_a_fatal_answer_to_the_first_attempt_is_as_without_reconnect(attempts: Attempts) -> None:
    """`error`, `close` with 1006, and the error for who awaits `connect`."""
    client = make_client()
    record = Record(client)
    connecting = asyncio.ensure_future(client.connect())
    await idle()
    await attempts.last.fail(GONE)
    with pytest.raises(HandshakeError):
        await connecting
    assert record.names == ["error", "close"] and record.events[0].error is GONE
    assert record.last.code == 1006 and "410" in record.last.reason and client.get_state() is State.CLOSED
    await elapse(100)
    assert len(attempts) == 1


@pytest.mark.case(119)
@virtual
async def test_a_fatal_answer_during_an_outage_ends_the_client(attempts: Attempts) -> None:
    """Who joined with `connect()`, and who reads, are told; `close` comes once, last."""
    client, record, channel = await attempts.client()
    reading = asyncio.ensure_future(client.recv())
    channel.lose()
    await idle()
    joined = asyncio.ensure_future(client.connect())
    closed = asyncio.ensure_future(client.wait_closed())
    await attempts.next()
    assert not closed.done() and not reading.done()
    await attempts.last.fail(GONE)
    with pytest.raises(HandshakeError):
        await joined
    with pytest.raises(ConnectionClosed, match="410"):
        await reading
    await closed
    assert record.names == ["open", "reconnecting", "error", "close"] and record.last.code == 1006


@pytest.mark.case(119)
@pytest.mark.parametrize("code", [1002, 1003, 1007, 1008, 1010, 3000, 3003])
@virtual
async def test_a_fatal_close_code_ends_the_client(attempts: Attempts, code: int) -> None:
    """`error` with a ConnectionClosed, then `close`, both with the code and the reason of the server."""
    client, record, channel = await attempts.client()
    channel.close_frame(code, "go away")
    channel.lose()
    await client.wait_closed()
    assert record.names == ["open", "error", "close"]
    error = record.events[1].error
    assert isinstance(error, ConnectionClosed) and (error.code, error.reason) == (code, "go away")
    assert (record.last.code, record.last.reason, record.last.was_clean) == (code, "go away", True)


@pytest.mark.case(119)
@pytest.mark.parametrize("code", [None, 1000, 1001, 1011, 1012, 1013, 4000, 4999])
@virtual
async def test_another_close_of_the_server_is_an_outage(attempts: Attempts, code: int | None) -> None:
    """An orderly one, too."""
    client, record, channel = await attempts.client()
    channel.close_frame(code, "later" if code else "")
    channel.lose()
    await idle()
    assert record.names == ["open", "reconnecting"] and record.last.code == (code or 1005)
    await client_ends(client)


@virtual
async def test_a_fatal_end_that_nobody_hears_of_is_logged_once(
    attempts: Attempts, caplog: pytest.LogCaptureFixture
) -> None:
    """At ERROR, as any failure to connect."""
    client = make_client()
    client.connect()
    channel = await attempts.last.succeed()
    channel.close_frame(1008, "no")
    channel.lose()
    await client.wait_closed()
    await idle()
    assert [each.getMessage() for each in errors(caplog)] == [f"{client!r}: connection closed: 1008 ('no')"]


@virtual
async def test_what_this_client_failed_its_connection_for_is_told_with_reconnecting(attempts: Attempts) -> None:
    """A violation of the protocol is no `error` while it is not the end, nor fatal by the echo of our code."""
    client, record, channel = await attempts.client()
    channel.violate(Violation.TEXT_INVALID)
    channel.close_frame(1007)
    channel.lose()
    await idle()
    assert record.names == ["open", "reconnecting"]
    assert isinstance(record.last.error, wsmash.ProtocolError) and record.last.code == 1007
    await attempts.next()
    await attempts.last.succeed()
    assert client.is_open()
    await client_ends(client)


@virtual
async def test_what_it_was_failed_for_is_the_error_of_a_fatal_end(attempts: Attempts) -> None:
    """`error` comes once."""
    client, record, channel = await attempts.client(reconnect=Asked(None))
    channel.violate(Violation.TEXT_INVALID)
    channel.lose()
    await client.wait_closed()
    assert record.names == ["open", "error", "close"]
    assert not isinstance(record.events[1].error, ConnectionClosed)


@virtual
async def test_a_peer_that_is_gone_is_an_outage(attempts: Attempts) -> None:
    """The keepalive finds it out."""
    client, record, _ = await attempts.client(ping_interval=20, ping_timeout=20)
    await elapse(41)
    assert record.names == ["open", "reconnecting"] and "keepalive" in record.last.reason
    await client_ends(client)


# -- the policy


@pytest.mark.case(119)
@virtual
async def test_a_policy_is_told_of_each_outage(attempts: Attempts) -> None:
    """What happened, which retry it is, how long the connection was open, what was waited before."""
    policy = Asked(3, 2.5, 1, None)
    client = make_client(reconnect=policy)
    record = Record(client)
    client.connect()
    await idle()
    await attempts.last.fail()
    await attempts.next()
    channel = await attempts.last.succeed()
    await elapse(10)
    channel.close_frame(4001, "moved")
    channel.lose()
    await attempts.next()
    channel = await attempts.last.succeed()
    await elapse(31)
    channel.lose()
    await attempts.next()
    error = HandshakeError("no", status=429, headers={"Retry-After": "7"})
    await attempts.last.fail(error)
    first, second, third, fourth = policy.outages
    assert (first.attempt, first.error, first.code) == (1, REFUSED, 1006)
    assert first.open_for is None and first.previous_delay is None and not first.by_server
    assert (second.attempt, second.code, second.reason, second.by_server) == (2, 4001, "moved", True)
    assert second.open_for == pytest.approx(10, abs=0.01) and second.previous_delay == 3
    assert (third.attempt, third.by_server, third.previous_delay) == (1, False, 2.5)
    assert (fourth.attempt, fourth.error, fourth.status, fourth.retry_after) == (2, error, 429, 7.0)
    assert record.names[-2:] == ["error", "close"]
    await client.wait_closed()


@pytest.mark.parametrize(
    "answer",
    [KeyError("mine"), asyncio.CancelledError(), "5", True, -1, -0.001, float("nan"), float("inf"), object(), [1]],
    ids=["raises", "cancelled", "str", "bool", "int", "negative", "nan", "inf", "object", "list"],
)
@pytest.mark.parametrize("opened", [True, False])
@virtual
async def test_a_policy_that_fails_ends_the_client_with_a_clear_error(
    attempts: Attempts, answer: Any, opened: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and nothing reaches the event loop."""
    client = make_client(reconnect=Asked(answer))
    record = Record(client, "error", "close", "reconnecting")
    connecting = client.connect()
    if opened:
        (await attempts.last.succeed()).lose()
        await client.wait_closed()
    else:
        await idle()
        await attempts.last.fail()
        with pytest.raises(ConnectError, match="cannot connect again"):
            await connecting
    assert record.names == ["error", "close"] and client.get_state() is State.CLOSED
    error = record.events[0].error
    assert isinstance(error, ConnectError) and "policy" in str(error)
    assert repr(answer)[:10] in str(error)
    [logged] = errors(caplog)
    assert str(error) in logged.getMessage()
    raised = isinstance(answer, BaseException)
    assert (logged.exc_info[1] is answer) if raised and logged.exc_info else (not raised and logged.exc_info is None)


class _NoRepr:
    def __repr__(self) -> str:
        raise KeyError("mine")


@pytest.mark.parametrize("answer", [10**400, -(10**5000), _NoRepr()], ids=["long", "longer", "no repr"])
@virtual
async def test_an_answer_that_cannot_be_looked_at_ends_the_client_too(attempts: Attempts, answer: Any) -> None:
    """In place of leaving it neither open nor closed, and an exception with the event loop."""
    client, record, channel = await attempts.client(reconnect=Asked(answer))
    channel.lose()
    await client.wait_closed()
    assert record.names == ["open", "error", "close"]
    assert isinstance(record.events[1].error, ConnectError) and "policy failed" in str(record.events[1].error)


@pytest.mark.parametrize("how", ["close", "abort"])
@pytest.mark.parametrize("opened", [True, False])
@virtual
async def test_a_policy_may_end_its_client(attempts: Attempts, opened: bool, how: str) -> None:
    """Whatever it then answers."""

    class Ends:
        def delay(self, outage: object) -> float:
            getattr(client, how)()
            return 1.0

    client = make_client(reconnect=Ends())
    record = Record(client, "error", "close", "reconnecting")
    client.connect()
    await idle()
    if opened:
        (await attempts.last.succeed()).lose()
    else:
        await attempts.last.fail()
    await client.wait_closed()
    assert record.names == ["error", "close"]
    await elapse(100)
    assert len(attempts) == 1


@virtual
async def test_a_policy_that_answers_with_a_coroutine_is_one_that_fails(
    attempts: Attempts, caplog: pytest.LogCaptureFixture
) -> None:
    """And its coroutine is no warning. A delay that shows itself to be async is refused where the client is made."""

    class Late:
        def delay(self, outage: object) -> object:
            return self._later()

        async def _later(self) -> float:
            return 1.0

    client = make_client(reconnect=Late())
    record = Record(client)
    client.connect()
    await idle()
    await attempts.last.fail()
    await client.wait_closed()
    assert record.names == ["error", "close"] and "coroutine" in str(record.events[0].error)


@virtual
async def test_a_policy_may_connect_again_at_once(attempts: Attempts) -> None:
    """0 is a delay."""
    client, record, channel = await attempts.client(reconnect=Asked(0))
    channel.lose()
    await idle()
    assert len(attempts) == 2 and record.last.delay == 0
    await client_ends(client)


# -- connect and close


@virtual
async def test_connect_during_an_outage_joins(attempts: Attempts) -> None:
    """While it waits and while it dials: there is one attempt, and its success is everybody's."""
    client, _, channel = await attempts.client()
    channel.close_frame(1012)
    assert client.get_state() is State.CLOSING
    closing = client.connect()
    channel.lose()
    await idle()
    waiting = client.connect()
    await attempts.next()
    dialling = client.connect()
    assert not (closing.done() or waiting.done() or dialling.done())  # type: ignore[attr-defined]
    await attempts.last.succeed()
    await asyncio.gather(closing, waiting, dialling)
    assert len(attempts) == 2
    await client.connect()
    await client_ends(client)


async def _while_it_waits(attempts: Attempts, client: wsmash.WebSocketClient) -> None:
    await attempts.last.fail()


async def _while_it_dials(attempts: Attempts, client: wsmash.WebSocketClient) -> None:
    await attempts.last.fail()
    await attempts.next()
    await idle()


async def _after_an_outage(attempts: Attempts, client: wsmash.WebSocketClient) -> None:
    (await attempts.last.succeed()).lose()
    await idle()


async def _before_the_first_attempt(attempts: Attempts, client: wsmash.WebSocketClient) -> None:
    """Nothing has happened yet."""


UNOPENED = [_before_the_first_attempt, _while_it_waits, _while_it_dials]
PHASES = [*UNOPENED, _after_an_outage]


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("how", ["close", "abort"])
@virtual
async def test_close_ends_the_client_in_each_phase(attempts: Attempts, phase: Any, how: str) -> None:
    """`close` with 1006 and no `error`; `connect` raises ConnectionClosed; no other attempt is made."""
    client = make_client()
    record = Record(client, "error", "close")
    client.connect()
    await idle()
    await phase(attempts, client)
    connecting = client.connect()
    if how == "close":
        await client.close()
    else:
        client.abort()
    await client.wait_closed()
    assert record.names == ["close"] and record.last.code == 1006 and client.get_state() is State.CLOSED
    with pytest.raises(ConnectionClosed):
        await connecting
    made = len(attempts)
    await elapse(200)
    assert len(attempts) == made and record.names == ["close"]


@virtual
async def test_cancelling_a_wait_for_the_end_of_an_outage_ends_the_waiting_alone(attempts: Attempts) -> None:
    """While the server closes, while the client waits and while it dials: it was open, and others use it."""
    client, record, channel = await attempts.client()
    channel.close_frame(1012)
    others = []
    for step in (channel.lose, attempts.next, lambda: None):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.connect(), 0.01)
        others.append(asyncio.ensure_future(client.connect()))
        waiting = asyncio.ensure_future(client.connect())
        waiting.cancel()  # before its first step
        if (more := step()) is not None:
            await more
        await idle()
        assert waiting.cancelled()
    await attempts.last.succeed()
    await asyncio.gather(*others)
    assert client.is_open() and record.names == ["open", "reconnecting", "open"] and len(attempts) == 2
    await client_ends(client)


@pytest.mark.parametrize("phase", UNOPENED)
@virtual
async def test_cancelling_the_first_connect_ends_the_client_in_each_phase(attempts: Attempts, phase: Any) -> None:
    """As it abandons an attempt without `reconnect`."""
    client = make_client()
    record = Record(client, "error", "close")
    client.connect()
    await idle()
    await phase(attempts, client)
    connecting = asyncio.ensure_future(client.connect())
    await idle()
    connecting.cancel()
    await client.wait_closed()
    assert record.names == ["close"] and connecting.cancelled()
    made = len(attempts)
    await elapse(200)
    assert len(attempts) == made


@pytest.mark.parametrize("event", ["reconnecting", "open"])
@virtual
async def test_close_in_a_callback_ends_the_client(attempts: Attempts, event: Any) -> None:
    """In that of an outage, and in that of the connection after it."""
    client, record, channel = await attempts.client()
    client.on(event, lambda _: client.close(1000))
    channel.lose()
    await idle()
    if event == "open":
        await attempts.next()
        (await attempts.last.succeed()).lose()
    await client.wait_closed()
    assert record.names[-1] == "close" and "error" not in record.names
    await elapse(100)
    assert len(attempts) == (2 if event == "open" else 1)


@virtual
async def test_one_s_own_close_is_no_outage(attempts: Attempts) -> None:
    """Whether the server answers it, or is lost."""
    for answered in (True, False):
        client, record, channel = await attempts.client()
        client.close(4000)
        if answered:
            channel.close_frame(4000)
        channel.lose()
        await client.wait_closed()
        assert record.names == ["open", "close"] and record.last.code == (4000 if answered else 1006)
    await elapse(100)
    assert len(attempts) == 2


@virtual
async def test_close_while_the_server_closes_is_one_s_own_end_too(attempts: Attempts) -> None:
    """The socket is still draining: no connection follows it."""
    client, record, channel = await attempts.client()
    channel.close_frame(1012, "restart")
    closing = client.close()
    channel.lose()
    await closing
    await client.wait_closed()
    assert record.names == ["open", "close"] and record.last.code == 1012
    await elapse(100)
    assert len(attempts) == 1


@pytest.mark.parametrize("how", ["close", "abort"])
@virtual
async def test_who_joined_while_the_server_closes_hears_of_the_end(attempts: Attempts, how: str) -> None:
    """There will be no next connection to wait for."""
    client, record, channel = await attempts.client()
    channel.close_frame(1012, "restart")
    joined = client.connect()
    getattr(client, how)()
    channel.lose()
    with pytest.raises(ConnectionClosed) as caught:
        await joined
    assert caught.value.code == 1012 and record.names == ["open", "close"]


@virtual
async def test_an_awaited_close_waits_for_the_last_connection(attempts: Attempts) -> None:
    """Not for one that is lost already."""
    client, _, channel = await attempts.client()
    waiting = asyncio.ensure_future(client.wait_closed())
    await idle()
    channel.lose()
    await attempts.next()
    channel = await attempts.last.succeed()
    assert not waiting.done()
    closing = asyncio.ensure_future(client.close())
    await idle()
    assert not closing.done()
    channel.lose()
    await closing
    await waiting


@virtual
async def test_a_client_that_has_ended_may_be_connected_again(attempts: Attempts) -> None:
    """It begins as at first, the backoff too."""
    client, record, channel = await attempts.client()
    channel.lose()
    await idle()
    client.close()
    await client.wait_closed()
    del record.events[:]
    client.connect()
    channel = await attempts.last.succeed()
    assert record.last.reconnected is False
    channel.lose()
    await idle()
    assert record.last.attempt == 1
    await client_ends(client)


@virtual
async def test_leaving_the_block_during_an_outage_ends_the_client(attempts: Attempts) -> None:
    """As by `close()`."""
    client = make_client()
    record = Record(client)
    entering = asyncio.ensure_future(client.__aenter__())
    await idle()
    channel = await attempts.last.succeed()
    await entering
    channel.lose()
    await idle()
    await client.__aexit__(None, None, None)
    await client.wait_closed()
    assert record.names == ["open", "reconnecting", "close"]


# -- what goes on


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


async def client_ends(client: wsmash.WebSocketClient) -> None:
    """Let go of a client, so that no test leaves anything behind."""
    client.abort()
    await client.wait_closed()
