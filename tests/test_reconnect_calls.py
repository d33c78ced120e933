"""What `connect`, `close` and `abort` do to a client that connects again, whenever they are called."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import wsmash
from fixtures.attempts import Attempts, client_ends, make_client
from fixtures.clock import elapse, idle, virtual
from fixtures.ends import Record
from wsmash.constants import State
from wsmash.errors import ConnectionClosed


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
