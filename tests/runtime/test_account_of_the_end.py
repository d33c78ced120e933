"""What a log is told of a connection's end: one line, that names the connection and says why."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections.abc import Iterator

import pytest

from fixtures.clock import idle, virtual
from fixtures.ends import Record, end, open_client_end, open_server_end
from wsmash.constants import Opcode
from wsmash.errors import ConnectionClosed, InvalidMessage
from wsmash.runtime.events import MessageEvent
from wsmash.sansio.violations import Violation


@pytest.fixture(autouse=True)
def _everything(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.DEBUG, "wsmash"):
        yield


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Level and text of what was logged."""
    return [(each.levelname, each.getMessage()) for each in caplog.records if each.name == "wsmash"]


@virtual
async def test_a_broken_protocol(caplog: pytest.LogCaptureFixture) -> None:
    """One line, at INFO: it is the peer's fault; the close event says the same."""
    connection, channel = open_server_end()
    record = Record(connection, "close")
    connection.violated(Violation.UNMASKED)
    channel.lose()
    await idle()
    violation = Violation.UNMASKED
    assert lines(caplog) == [("INFO", f"{connection!r} failed: closed with 1002: {violation.text}")]
    assert record.last.reason == f"closed with 1002: {violation.text}"


@virtual
async def test_a_callback_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    """One line, at ERROR and with the traceback: it is ours. None is added for the close that follows."""
    connection, channel = open_server_end()
    record = Record(connection, "close")

    def fail(_: MessageEvent) -> None:
        raise KeyError("mine")

    connection.on("message", fail)
    channel.message("x")
    await idle()
    channel.lose()
    await idle()
    assert lines(caplog) == [("ERROR", f"{connection!r}: a callback failed")]
    assert record.last.reason == "closed with 1011: internal error"


@virtual
async def test_a_message_that_is_not_what_it_must_be(caplog: pytest.LogCaptureFixture) -> None:
    """One line, at INFO, without a traceback: the error's own text. The peer is told 1007 and no more."""
    connection, channel = open_server_end()
    record = Record(connection, "error", "close")

    def look(event: MessageEvent) -> None:
        event.json()

    connection.on("message", look)
    channel.message("{")
    await idle()
    [sent] = [each for each in channel.sent if each.opcode == Opcode.CLOSE]
    assert sent.payload == b"\x03\xefinvalid message"
    channel.lose()
    await idle()
    error = record.events[0].error
    assert isinstance(error, InvalidMessage)
    assert lines(caplog) == [("INFO", f"{connection!r}: {error}")]
    assert caplog.records[0].exc_info is None
    assert record.last.reason == "closed with 1007: invalid message"


@virtual
async def test_a_callback_that_the_end_has_ended(caplog: pytest.LogCaptureFixture) -> None:
    """That its own connection is closed is no failure of a callback's: a line for who debugs, and no error event."""
    connection, channel = open_server_end()
    record = Record(connection, "error")
    mistake = ConnectionClosed(1006, "gone", sent=None, received=None)
    mistake.origin = id(connection)

    def late(_: MessageEvent) -> None:
        raise mistake

    connection.on("message", late)
    channel.message("x")
    await idle()
    assert lines(caplog) == [("DEBUG", f"{connection!r}: a callback was ended by {mistake!r}")]
    assert record.events == [] and connection.is_open()
    end(connection)


@virtual
async def test_a_close_callback_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    """A line of its own, with the traceback."""
    client, channel = open_client_end()

    def fail(_: object) -> None:
        raise KeyError("mine")

    client.on("close", fail)
    channel.lose()
    await idle()
    [(level, text)] = lines(caplog)
    assert (level, text) == ("ERROR", f"{client!r}: a close callback failed")
    assert caplog.records[0].exc_info is not None


@virtual
async def test_closing_from_another_thread() -> None:
    """It is refused, and the call named, before anything is sent."""
    client, channel = open_client_end()
    met: list[str] = []

    def close() -> None:
        try:
            client.close()
        except RuntimeError as error:
            met.append(str(error))

    thread = threading.Thread(target=close)
    thread.start()
    thread.join()
    [text] = met
    assert "close" in re.findall(r"\w+", text)
    assert channel.sent == [] and client.is_open()
    end(client)


@virtual
async def test_a_close_that_is_not_answered() -> None:
    """The close event says so."""
    client, channel = open_client_end()
    record = Record(client, "close")
    client.close()
    await idle()
    channel.lose()
    await idle()
    assert (record.last.code, record.last.reason) == (1006, "the peer did not answer the close frame")


@virtual
async def test_close_is_done_when_the_socket_is_gone() -> None:
    """Who awaits it goes on before the close event, whose callbacks may take any time."""
    client, channel = open_client_end()
    order: list[str] = []
    client.on("close", lambda _: order.append("event"))
    closing = client.close()

    async def wait() -> None:
        await closing
        order.append("closed")

    waiting = asyncio.ensure_future(wait())
    await idle()
    channel.lose()
    await waiting
    assert "closed" in order
    await idle()
    assert sorted(order) == ["closed", "event"]
