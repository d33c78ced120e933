"""What a client fires in its outages, what ends it, how its policy is asked: on the virtual clock, no network."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import wsmash
from fixtures.attempts import REFUSED, Asked, Attempts, client_ends, make_client
from fixtures.clock import elapse, idle, virtual
from fixtures.ends import Record
from fixtures.live import errors
from wsmash.constants import State
from wsmash.errors import ConnectError, ConnectionClosed, HandshakeError
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
