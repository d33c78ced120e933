"""Pull style on an open connection: `recv`, `async for`, and what they may be mixed with."""

from __future__ import annotations

import asyncio

import pytest

from fixtures.clock import elapse, idle, virtual
from fixtures.ends import URL, Record, end, nothing, open_client_end, open_pair, open_server_end, paused
from wsmash.client import WebSocketClient
from wsmash.errors import ConnectionClosed, InvalidState
from wsmash.sansio.violations import Violation


@virtual
async def test_recv_returns_str_or_bytes_in_order() -> None:
    """Text comes as str, binary as bytes, whether it waited or is waited for."""
    client, channel = open_client_end()
    channel.message("a", b"b")
    assert [await client.recv(), await client.recv()] == ["a", b"b"]
    receiving = asyncio.create_task(client.recv())
    await idle()
    channel.message("c")
    assert await receiving == "c"
    end(client)


@virtual
async def test_iteration_gives_every_message() -> None:
    """`async for` is `recv` until the end."""
    client, channel = open_client_end()
    channel.message("a", "b")
    got = []
    async for message in client:
        got.append(message)
        if len(got) == 2:
            channel.message("c")
            channel.close_frame()
            channel.lose()
    assert got == ["a", "b", "c"]


@pytest.mark.parametrize("code", [1000, 1001])
@virtual
async def test_iteration_ends_quietly_on_1000_and_1001(code: int) -> None:
    """A normal end and a going away are no errors."""
    client, channel = open_client_end()
    channel.close_frame(code)
    channel.lose()
    assert [message async for message in client] == []


@pytest.mark.parametrize("code", [None, 1011, 4000])
@virtual
async def test_iteration_raises_on_any_other_code(code: int | None) -> None:
    """Any other end raises `ConnectionClosed` with the peer's code."""
    client, channel = open_client_end()
    channel.close_frame(code)
    channel.lose()
    with pytest.raises(ConnectionClosed) as raised:
        async for _ in client:
            pass
    assert raised.value.code == (code or 1005)


@virtual
async def test_iteration_raises_where_no_close_frame_came() -> None:
    """1006 is no quiet end."""
    client, channel = open_client_end()
    channel.lose(ConnectionResetError("reset"))
    with pytest.raises(ConnectionClosed) as raised:
        async for _ in client:
            pass
    assert raised.value.code == 1006 and "reset" in raised.value.reason


@virtual
async def test_recv_always_raises_at_the_end() -> None:
    """On 1000 too, and again at every further call; what came before the end is had first."""
    client, channel = open_client_end()
    channel.message("last")
    channel.close_frame(1000, "bye")
    channel.lose()
    await idle()
    assert await client.recv() == "last"
    for _ in range(2):
        with pytest.raises(ConnectionClosed) as raised:
            await client.recv()
        assert (raised.value.code, raised.value.reason, raised.value.was_clean) == (1000, "bye", True)


@pytest.mark.case(51)
@virtual
async def test_recv_that_waits_raises_when_the_connection_ends() -> None:
    """Who waits is told, however it ends."""
    client, channel = open_client_end()
    receiving = asyncio.create_task(client.recv())
    await idle()
    channel.violate(Violation.MASKED)
    channel.lose()
    with pytest.raises(ConnectionClosed):
        await receiving


@virtual
async def test_recv_after_a_local_close_raises() -> None:
    """`close()` discards what waits; `recv` then ends with the socket."""
    client, channel = open_client_end()
    channel.message("a")
    client.close()
    receiving = asyncio.create_task(client.recv())
    await idle()
    channel.message("b")
    await idle()
    assert not receiving.done()
    channel.close_frame()
    channel.lose()
    with pytest.raises(ConnectionClosed):
        await receiving


@pytest.mark.case(42)
@virtual
async def test_cancelling_recv_loses_nothing() -> None:
    """Neither before the message came, nor in the very turn in which it comes."""
    client, channel = open_client_end()
    receiving = asyncio.create_task(client.recv())
    await idle()
    receiving.cancel()
    await idle()
    channel.message("a")
    assert await client.recv() == "a"
    receiving = asyncio.create_task(client.recv())
    await idle()
    channel.message("b", "c")
    receiving.cancel()
    await idle()
    assert receiving.cancelled()
    assert [await client.recv(), await client.recv()] == ["b", "c"]
    end(client)


@pytest.mark.case(42)
@virtual
async def test_a_timeout_around_recv_loses_nothing() -> None:
    """`asyncio.timeout` around `recv`, again and again, is a way to poll."""
    server, client = open_pair()
    asyncio.get_running_loop().call_later(2.5, server.send, "late")
    tries = 0
    while True:
        try:
            async with asyncio.timeout(1):
                assert await client.recv() == "late"
                break
        except TimeoutError:
            tries += 1
    assert tries == 2
    end(server)
    end(client)


@virtual
async def test_a_second_concurrent_recv_is_a_runtime_error() -> None:
    """Only one may wait; the first goes on."""
    client, channel = open_client_end()
    receiving = asyncio.create_task(client.recv())
    await idle()
    with pytest.raises(RuntimeError, match="another recv"):
        await client.recv()
    channel.message("a")
    assert await receiving == "a"
    end(client)


@virtual
async def test_recv_after_a_message_callback_is_a_runtime_error() -> None:
    """Whichever comes second is refused; the text says why."""
    client, channel = open_client_end()
    record = Record(client, "message")
    with pytest.raises(RuntimeError, match="message callback"):
        await client.recv()
    channel.message("a")
    assert record.data == ["a"]
    end(client)


@virtual
async def test_a_message_callback_after_recv_is_a_runtime_error() -> None:
    """The other way round, too; the reader goes on."""
    client, channel = open_client_end()
    channel.message("a", "b")
    assert await client.recv() == "a"
    with pytest.raises(RuntimeError, match="recv"):
        client.on("message", nothing)
    assert client._on_message is None
    assert await client.recv() == "b"
    end(client)


@virtual
async def test_recv_where_a_removed_callback_still_runs_is_a_runtime_error() -> None:
    """A coroutine callback that was removed leaves its task, which takes the messages."""
    client, channel = open_client_end()

    async def callback(_: object) -> None:
        await elapse(1)

    client.on("message", callback)
    channel.message("a")
    await idle()
    client.off("message", callback)
    with pytest.raises(RuntimeError, match="message callback"):
        await client.recv()
    channel.lose()
    await elapse(2)


@virtual
async def test_other_callbacks_mix_freely_with_recv() -> None:
    """`open`, `close` and `error` go with `recv`."""
    client, channel = open_client_end()
    record = Record(client, "close", "error")
    channel.message("a")
    assert await client.recv() == "a"
    channel.violate(Violation.TEXT_INVALID)
    channel.lose()
    with pytest.raises(ConnectionClosed):
        await client.recv()
    await idle()
    assert record.names == ["error", "close"]


@virtual
async def test_recv_works_in_a_connection_callback_of_a_server() -> None:
    """A server's connection may be read in pull style, from a callback that goes on as long as it does."""
    got: list[object] = []

    async def opened(event: object) -> None:
        got.extend([message async for message in event.client])  # type: ignore[attr-defined]

    server, client = open_pair(lambda connection: connection.on("open", opened))
    for number in range(100):
        client.send(str(number))
    await client.close()
    await server.wait_closed()
    assert got == [str(number) for number in range(100)]


@virtual
async def test_reading_pauses_for_a_reader_that_is_busy_elsewhere() -> None:
    """Once `recv` was called nothing is discarded: reading pauses when the inbox is full."""
    connection, channel = open_server_end()
    channel.message("first")
    assert await connection.recv() == "first"
    channel.message(*map(str, range(16)))
    assert paused(channel)
    for number in range(12):
        assert await connection.recv() == str(number)
    assert not paused(channel)
    end(connection)


@virtual
async def test_recv_before_connect_is_an_invalid_state() -> None:
    """There is nothing to wait for yet."""
    with pytest.raises(InvalidState, match="connect"):
        await WebSocketClient(URL).recv()


@virtual
async def test_recv_on_a_connection_that_is_over_raises() -> None:
    """The first `recv` may come after the end."""
    client, channel = open_client_end()
    channel.close_frame(1001)
    channel.lose()
    await idle()
    with pytest.raises(ConnectionClosed):
        await client.recv()


@virtual
async def test_recv_passes_over_messages_that_are_not_of_the_declared_type() -> None:
    """They fire `error`, as with a callback."""
    client, channel = open_client_end(message_type=list[int])
    record = Record(client, "error")
    channel.message("{}", "[1]")
    assert await client.recv() == "[1]"
    await idle()
    assert record.names == ["error"]
    end(client)
