"""Callbacks that raise: what is logged, what fires `error`, and what becomes of the connection."""

from __future__ import annotations

import logging

import pytest

from fixtures.clock import elapse, idle, virtual
from fixtures.ends import Record, end, frames, open_client_end, open_server_end
from wsmash.constants import Opcode
from wsmash.errors import ConnectionClosed, SlowConsumer
from wsmash.runtime.events import MessageEvent


def fail(_: object) -> None:
    """A callback with a bug."""
    raise KeyError("mine")


@virtual
async def test_a_failing_callback_is_logged_once_and_fires_error(caplog: pytest.LogCaptureFixture) -> None:
    """The exception is logged once with its traceback and fires the connection's `error`."""
    client, channel = open_client_end()
    record = Record(client, "error")

    client.on("message", fail)
    channel.message("x")
    await idle()
    assert len(record.events) == 1 and isinstance(record.last.error, KeyError) and record.last.client is client
    logged = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert len(logged) == 1 and logged[0].name == "wsmash"
    assert logged[0].exc_info is not None and isinstance(logged[0].exc_info[1], KeyError)
    end(client)


@virtual
async def test_a_clients_connection_stays_open_when_a_callback_raises() -> None:
    """A client's own bug costs it one message, not its connection."""
    client, channel = open_client_end()
    got = []

    def callback(event: MessageEvent) -> None:
        got.append(event.data)
        raise KeyError("mine")

    client.on("message", callback)
    channel.message("x", "y")
    await idle()
    assert got == ["x", "y"] and client.is_open() and channel.sent == []
    end(client)


@pytest.mark.case(52)
@pytest.mark.parametrize("kind", ["plain", "coroutine"])
@virtual
async def test_a_servers_connection_is_closed_with_1011_when_a_callback_raises(kind: str) -> None:
    """Nothing of the exception is on the wire."""
    connection, channel = open_server_end()
    record = Record(connection, "error", "close")

    def plain(_: object) -> None:
        raise KeyError("a secret")

    async def coroutine(_: object) -> None:
        await elapse(1)
        raise KeyError("a secret")

    connection.on("message", plain if kind == "plain" else coroutine)
    channel.message("x")
    await elapse(2)
    [frame] = frames(channel, Opcode.CLOSE)
    assert frame.payload == b"\x03\xf3internal error" and channel.closed
    channel.lose()
    await idle()
    assert record.names == ["error", "close"]
    assert record.last.code == 1006 and record.last.sent == (1011, "internal error")


@virtual
async def test_callbacks_after_one_that_raises_are_called() -> None:
    """Each callback of an event is called, whatever those before it did."""
    client, channel = open_client_end()
    calls: list[str] = []

    def plain(_: object) -> None:
        calls.append("plain")
        raise KeyError

    async def coroutine(_: object) -> None:
        calls.append("coroutine")
        raise KeyError

    for each in (plain, coroutine, plain):
        client.on("message", each)
    channel.message("x")
    await idle()
    assert calls == ["plain", "coroutine", "plain"]
    channel.lose()
    await idle()


@pytest.mark.parametrize("error", [ConnectionClosed(1001, ""), SlowConsumer("slow")])
@virtual
async def test_the_peers_doings_that_escape_a_callback_are_logged_at_debug(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """`ConnectionClosed` and `SlowConsumer` are no bug of the callback's: one line at DEBUG, nothing else."""
    caplog.set_level(logging.DEBUG, "wsmash")
    connection, channel = open_server_end()
    record = Record(connection, "error")

    async def callback(_: object) -> None:
        raise error

    connection.on("message", callback)
    channel.message("x")
    await idle()
    assert [each.levelno for each in caplog.records if each.name == "wsmash"] == [logging.DEBUG]
    assert record.events == [] and connection.is_open()
    channel.lose()
    await idle()


@virtual
async def test_invalid_json_closes_a_servers_connection_with_1007(caplog: pytest.LogCaptureFixture) -> None:
    """`InvalidMessage` out of `event.json()` is the peer's fault: 1007, and one log line at INFO, without traceback."""
    caplog.set_level(logging.INFO, "wsmash")
    connection, channel = open_server_end()
    record = Record(connection, "error")
    connection.on("message", lambda event: event.json()["x"])
    channel.message("{not json")
    await idle()
    [frame] = frames(channel, Opcode.CLOSE)
    assert frame.payload[:2] == (1007).to_bytes(2)
    [logged] = caplog.records
    assert logged.levelno == logging.INFO and logged.exc_info is None
    assert len(record.events) == 1
    channel.lose()
    await idle()


@virtual
async def test_invalid_json_leaves_a_client_open() -> None:
    """A client hears of it by `error` and goes on."""
    client, channel = open_client_end()
    record = Record(client, "error")
    client.on("message", lambda event: event.json())
    channel.message("{not json")
    await idle()
    assert len(record.events) == 1 and client.is_open()
    end(client)


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
@virtual
async def test_an_error_callback_that_raises_is_only_logged(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """It fires no further `error`, and closes nothing more."""
    client, channel = open_client_end()
    heard: list[object] = []

    def plain(event: object) -> None:
        heard.append(event)
        raise ValueError("again")

    async def coroutine(event: object) -> None:
        plain(event)

    client.on("error", plain if kind == "plain" else coroutine)
    client.on("message", fail)
    channel.message("x")
    await idle()
    assert len(heard) == 1 and client.is_open()
    assert [each.getMessage().endswith("an error callback failed") for each in caplog.records] == [False, True]
    end(client)


@virtual
async def test_a_close_callback_that_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing may follow the `close` event, so it fires no `error`; the callbacks after it are called."""
    client, channel = open_client_end()
    record = Record(client, "error")
    client.on("close", fail)
    client.on("close", record.events.append)
    channel.lose()
    await idle()
    assert record.names == ["close"]
    assert len(caplog.records) == 1 and caplog.records[0].exc_info
    await client.wait_closed()


@virtual
async def test_a_base_exception_passes_through() -> None:
    """`SystemExit` and its like are not ours to catch."""
    client, channel = open_client_end()

    def callback(_: object) -> None:
        raise SystemExit(3)

    client.on("message", callback)
    with pytest.raises(SystemExit):
        channel.message("x")
    end(client)
