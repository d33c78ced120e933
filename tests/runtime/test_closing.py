"""Closing: the codes that may be sent, what each side is told, and how long it may take."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fixtures.clock import elapse, idle, virtual
from fixtures.ends import Record, aborted, end, frames, open_client_end, open_pair, open_server_end
from wsmash.constants import CloseCode, Opcode, State
from wsmash.errors import ConnectionClosed
from wsmash.sansio.violations import Violation

ALLOWED = [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 4999]
FORBIDDEN = [-1, 0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65536]


@pytest.mark.parametrize("code", ALLOWED)
@virtual
async def test_codes_that_a_user_may_send(code: int) -> None:
    """1000-1003, 1007-1014 and 3000-4999 are sent as they are."""
    client, channel = open_client_end()
    client.close(code, "why")
    [frame] = frames(channel, Opcode.CLOSE)
    assert frame.payload == code.to_bytes(2) + b"why"
    channel.lose()
    await idle()


@pytest.mark.parametrize("code", FORBIDDEN)
@virtual
async def test_other_codes_are_a_value_error(code: int) -> None:
    """The error names the code and those that are allowed; the connection stays open."""
    client, channel = open_client_end()
    with pytest.raises(ValueError, match=rf"{code}.*1000-1003"):
        client.close(code)
    assert client.is_open() and channel.sent == []
    end(client)


@pytest.mark.parametrize("code", ["1000", 1000.0, None, True])
@virtual
async def test_a_code_is_an_int(code: Any) -> None:
    """Anything else is a TypeError."""
    client, _ = open_client_end()
    with pytest.raises(TypeError, match="int"):
        client.close(code)
    end(client)


@virtual
async def test_a_reason_has_at_most_123_bytes() -> None:
    """Bytes of UTF-8 are counted, not characters; a longer one is a ValueError."""
    client, channel = open_client_end()
    for reason in ("x" * 124, "é" * 62):
        with pytest.raises(ValueError, match="123"):
            client.close(1000, reason)
    client.close(1000, "é" * 61 + "x")
    assert len(frames(channel, Opcode.CLOSE)[0].payload) == 125
    channel.lose()
    await idle()


@pytest.mark.case(35)
@pytest.mark.parametrize("reason", [b"bytes", None, 5])
@virtual
async def test_a_reason_is_a_str(reason: Any) -> None:
    """Anything else is a TypeError."""
    client, _ = open_client_end()
    with pytest.raises(TypeError, match="str"):
        client.close(1000, reason)
    end(client)


@virtual
async def test_a_wrong_code_is_refused_in_every_state() -> None:
    """A bug in a shutdown path does not hide because the connection happened to be closed."""
    client, channel = open_client_end()
    channel.lose()
    await idle()
    with pytest.raises(ValueError):
        client.close(1006)


@virtual
async def test_close_without_arguments_sends_1000() -> None:
    """And an empty reason."""
    client, channel = open_client_end()
    client.close()
    assert frames(channel, Opcode.CLOSE)[0].payload == (1000).to_bytes(2)
    channel.lose()
    await idle()


@pytest.mark.parametrize(("code", "reason"), [(1000, "bye"), (4321, "é"), (1001, "")])
@virtual
async def test_a_close_frame_is_echoed(code: int, reason: str) -> None:
    """The answer has the same code and reason."""
    connection, channel = open_server_end()
    record = Record(connection, "close")
    channel.close_frame(code, reason)
    [frame] = frames(channel, Opcode.CLOSE)
    assert frame.payload == code.to_bytes(2) + reason.encode() and channel.closed
    channel.lose()
    await idle()
    assert (record.last.code, record.last.reason) == (code, reason)
    assert record.last.sent == record.last.received == (code, reason) and record.last.was_clean


@pytest.mark.case(47)
@virtual
async def test_a_close_frame_without_a_code_is_1005() -> None:
    """It is answered with none either: 1005 never travels."""
    connection, channel = open_server_end()
    record = Record(connection, "close")
    channel.close_frame(None)
    assert frames(channel, Opcode.CLOSE)[0].payload == b""
    channel.lose()
    await idle()
    assert (record.last.code, record.last.reason, record.last.was_clean) == (1005, "", True)


@virtual
async def test_the_code_is_a_plain_int() -> None:
    """Neither an enum nor anything else that shows differently."""
    for code in (None, 1000, 4000, "lost"):
        client, channel = open_client_end()
        record = Record(client, "close")
        if code != "lost":
            channel.close_frame(code)  # type: ignore[arg-type]
        channel.lose()
        await idle()
        assert type(record.last.code) is int
        assert record.last.sent is None or type(record.last.sent[0]) is int
        with pytest.raises(ConnectionClosed) as raised:
            client.send("x")
        assert type(raised.value.code) is int


@virtual
async def test_no_close_frame_is_1006_with_our_own_account() -> None:
    """The reason says what happened."""
    for error, text in ((None, "without a close frame"), (ConnectionResetError("reset by peer"), "reset by peer")):
        client, channel = open_client_end()
        record = Record(client, "close")
        channel.lose(error)
        await idle()
        assert record.last.code == 1006 and text in record.last.reason
        assert record.last.sent is record.last.received is None and not record.last.was_clean


@virtual
async def test_a_peer_that_does_not_answer_our_close_frame_is_1006() -> None:
    """`sent` then tells what we said."""
    client, _ = open_client_end()
    record = Record(client, "close")
    client.close(4000, "mine")
    await client.wait_closed()
    assert record.last.code == 1006 and "did not answer" in record.last.reason
    assert record.last.sent == (4000, "mine") and record.last.received is None


@pytest.mark.case(49)
@virtual
async def test_both_sides_closing_at_once_are_both_told_the_others_code() -> None:
    """One close frame each way; each side is told what it received."""
    server, client = open_pair()
    records = Record(server, "close"), Record(client, "close")
    server.close(4001, "server")
    client.close(4002, "client")
    await client.wait_closed()
    await server.wait_closed()
    assert [(record.last.code, record.last.was_clean) for record in records] == [(4002, True), (4001, True)]


@virtual
async def test_a_clean_close_tells_both_sides_the_same() -> None:
    """Code and reason pass, both say it was clean."""
    server, client = open_pair()
    records = Record(server, "close"), Record(client, "close")
    await client.close(4000, "done")
    await server.wait_closed()
    for record in records:
        assert (record.last.code, record.last.reason, record.last.was_clean) == (4000, "done", True)


@virtual
async def test_messages_sent_before_close_arrive() -> None:
    """Everything sent is written before the close frame."""
    server, client = open_pair()
    for number in range(1000):
        server.send(f"{number}:{'x' * 100}")
    server.close()
    got = [message async for message in client]
    assert len(got) == 1000
    await server.wait_closed()


@pytest.mark.case(48)
@virtual
async def test_close_timeout_aborts_where_the_peer_never_answers() -> None:
    """Our close frame waits `close_timeout` for an answer, and no longer."""
    client, channel = open_client_end(close_timeout=3)
    closing = asyncio.create_task(client.close())
    await elapse(2.9)
    assert not aborted(channel) and client.get_state() is State.CLOSING
    await elapse(0.4)
    assert aborted(channel) and closing.done()
    await closing
    assert client.get_state() is State.CLOSED


@pytest.mark.case(48)
@virtual
async def test_close_timeout_bounds_the_drain_too() -> None:
    """A peer that goes on streaming after both close frames is dropped."""
    connection, channel = open_server_end(close_timeout=3)
    channel.close_frame()
    for _ in range(29):
        await elapse(0.1)
        channel.message("more")
    assert not aborted(channel)
    await elapse(0.4)
    assert aborted(channel) and connection.get_state() is State.CLOSED


@pytest.mark.case(50)
@virtual
async def test_a_failed_connection_is_drained_up_to_close_timeout() -> None:
    """After a violation the peer has as long to read our code as after a close."""
    connection, channel = open_server_end(close_timeout=3)
    channel.violate(Violation.RESERVED_OPCODE)
    assert channel.closed and not aborted(channel)
    await elapse(3.5)
    assert aborted(channel) and connection.get_state() is State.CLOSED


@pytest.mark.case(45, 50)
@pytest.mark.parametrize("violation", list(Violation))
@virtual
async def test_every_violation_is_answered_with_its_code(violation: Violation) -> None:
    """The peer sees code and text, the user an error of the right class."""
    connection, channel = open_server_end()
    record = Record(connection, "error", "close")
    channel.violate(violation)
    [frame] = frames(channel, Opcode.CLOSE)
    assert frame.payload == violation.code.to_bytes(2) + violation.text.encode()
    channel.lose()
    await idle()
    assert record.names == ["error", "close"]
    assert type(record.events[0].error) is type(violation.exception())
    assert record.last.sent == (violation.code, violation.text)


@pytest.mark.case(47)
@pytest.mark.parametrize("payload", [b"\x03", b"\x00\x00", b"\x03\xed", b"\x03\xee", b"\x03\xf7", b"\x0b\xb7"])
@virtual
async def test_a_close_frame_that_must_not_be_sent_is_a_protocol_error(payload: bytes) -> None:
    """Answered with 1002; nothing of it is echoed."""
    connection, channel = open_server_end()
    channel.control(Opcode.CLOSE, payload)
    [frame] = frames(channel, Opcode.CLOSE)
    assert frame.payload[:2] == (1002).to_bytes(2)
    channel.lose()
    await idle()
    assert connection.get_state() is State.CLOSED


@virtual
async def test_a_violation_after_our_close_frame_sends_no_second_one() -> None:
    """The peer was told already; `error` still says what happened."""
    client, channel = open_client_end()
    record = Record(client, "error", "close")
    client.close(4000)
    channel.violate(Violation.TEXT_INVALID)
    assert len(frames(channel, Opcode.CLOSE)) == 1 and channel.closed
    channel.lose()
    await idle()
    assert record.names == ["error", "close"] and record.last.code == 1006


@virtual
async def test_the_states_of_a_closing_connection() -> None:
    """OPEN, then CLOSING from the first close frame on, then CLOSED."""
    for begin in ("ours", "theirs"):
        client, channel = open_client_end()
        states = [client.get_state()]
        if begin == "ours":
            client.close()
        channel.close_frame()
        states.append(client.get_state())
        channel.lose()
        await idle()
        states.append(client.get_state())
        assert states == [State.OPEN, State.CLOSING, State.CLOSED]


@virtual
async def test_a_close_code_of_ours_may_be_an_enum() -> None:
    """`CloseCode.GOING_AWAY` is as good as 1001."""
    client, channel = open_client_end()
    record = Record(client, "close")
    client.close(CloseCode.GOING_AWAY)
    channel.close_frame(1001)
    channel.lose()
    await idle()
    assert record.last.sent == (1001, "") and type(record.last.sent[0]) is int


@virtual
async def test_a_close_reason_of_ours_is_cut_between_characters() -> None:
    """A declared message type's error closes with a reason that fits, whatever it says."""
    connection, channel = open_server_end()
    connection._fail(1011, "é" * 100, None)
    [frame] = frames(channel, Opcode.CLOSE)
    assert frame.payload[2:].decode() == "é" * 61
    channel.lose()
    await idle()
