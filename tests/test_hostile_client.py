"""The client against servers that answer wrongly, slowly, endlessly or not at all.

Whatever comes, `connect` ends in the error that is documented for it, which also
fires `error`, and then `close` with 1006; nothing else is heard. Numbers in
brackets are those of the list of hostile inputs.
"""

from __future__ import annotations

import asyncio
import errno
import gzip
import socket
import struct
from collections.abc import Callable
from typing import Any

import pytest

import wsmash
from fixtures.failures import fails, listened_to
from fixtures.frames import close, text
from fixtures.in_loop import in_loop
from fixtures.scripted_server import Script, accept_for, answering, scripted, switching

# What is no valid 101


@pytest.mark.case(23)
@pytest.mark.parametrize(
    "answer",
    [
        lambda request: switching(request, accept="s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        lambda request: switching(request, accept=accept_for(request).swapcase()),
        lambda request: switching(request, f"Sec-WebSocket-Accept: {accept_for(request)}"),
        lambda request: switching(request).replace(b"Upgrade: websocket\r\n", b""),
        lambda request: switching(request).replace(b"Upgrade: websocket", b"Upgrade: h2c"),
        lambda request: switching(request).replace(b"Connection: Upgrade", b"Connection: close"),
        lambda request: switching(request).replace(b"HTTP/1.1", b"HTTP/1.0"),
        lambda request: switching(request).replace(b"101 Switching Protocols", b"200 OK\r\nContent-Length: 0"),
        lambda request: switching(request, "Sec-WebSocket-Protocol: other"),
        lambda request: switching(request, "Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Protocol: chat"),
    ],
)
@in_loop
async def test_wrong_101(answer: Callable[[bytes], bytes]) -> None:
    """A 101 that is not the answer to this request is a HandshakeError with its status (23)."""
    async with answering(answer) as port:
        error = await fails(port, wsmash.HandshakeError, protocols=["chat", "superchat"])
    assert error.status in (101, 200)
    assert str(error.status) in str(error)


@pytest.mark.case(22)
@pytest.mark.parametrize(
    "extension",
    [
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=99",
        "permessage-deflate; server_max_window_bits=abc",
        "permessage-deflate; server_max_window_bits=",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; unknown",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate, permessage-deflate",
        "x-webkit-deflate-frame",
        'permessage-deflate; a="',
    ],
)
@in_loop
async def test_wrong_extensions(extension: str) -> None:
    """An extension that was not offered, or with parameters that make no sense, fails the connect (22)."""
    async with answering(lambda request: switching(request, f"Sec-WebSocket-Extensions: {extension}")) as port:
        error = await fails(port, wsmash.HandshakeError)
        assert error.status == 101
    async with answering(
        lambda request: switching(request, "Sec-WebSocket-Extensions: permessage-deflate"), hold=True
    ) as port:
        await fails(port, wsmash.HandshakeError, compression=None)


@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"\x00" * 100,
        b"HTTP/2 101\r\n\r\n",
        b"HTTP/1.1 1000 No\r\n\r\n",
        b"HTTP/1.1 99 No\r\n\r\n",
        b"HTTP/1.1 101\nUpgrade: websocket\n\n",
        b"HTTP/1.1 101 Yes\r\nUpgrade\r\n\r\n",
        b"HTTP/1.1 101 Yes\r\nA: b\r\n c\r\n\r\n",
        b"HTTP/1.1 101 Yes\r\nA: \x00\r\n\r\n",
        b"220 mail.example ESMTP\r\n250 ok\r\n\r\n",
        b"\x16\x03\x03\x00\x02\x02\x28",
    ],
)
@in_loop
async def test_garbage(garbage: bytes) -> None:
    """What is not HTTP/1.1 is a HandshakeError without a status."""
    async with answering(garbage, hold=True) as port:
        error = await fails(port, wsmash.HandshakeError)
    assert error.status is None and "HTTP" in str(error)


@pytest.mark.case(23)
@in_loop
async def test_endless_headers() -> None:
    """Headers without end are given up at the limits: their number, a line, the whole (23)."""
    def endless(line: bytes) -> Script:
        async def script(_: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 101 Yes\r\n")
            while not reader.at_eof():
                writer.write(line)
                await writer.drain()

        return script

    async with scripted(endless(b"A: b\r\n" * 100)) as port:
        assert "max_headers" in str(await fails(port, wsmash.HandshakeError))
        assert "max_head_size" in str(await fails(port, wsmash.HandshakeError, max_headers=10**6))
    async with scripted(endless(b"a" * 1000)) as port:
        assert "max_header_line" in str(await fails(port, wsmash.HandshakeError))


# Refusals


@in_loop
async def test_refusal_has_status_headers_and_body() -> None:
    """A 403 is a HandshakeError with its status, its headers, and the first bytes of its body."""
    body = b"members only\n" + b"x" * 100_000
    async with answering(
        b"HTTP/1.1 403 Forbidden\r\nX-Why: age\r\nContent-Length: %d\r\n\r\n" % len(body), body
    ) as port:
        error = await fails(port, wsmash.HandshakeError)
    assert (error.status, error.headers["x-why"]) == (403, "age")
    assert error.body.startswith(b"members only\n") and len(error.body) <= 4096
    assert "403" in str(error) and "members only" in str(error)


@pytest.mark.case(84)
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 502 Bad Gateway\r\n\r\nno length",
        b"HTTP/1.1 504 Gateway Timeout\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nno length\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\nno length",
        b"HTTP/1.1 301 Moved\r\nLocation: file:///etc/passwd\r\nContent-Length: 9\r\n\r\nno length",
        b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nno length\r\nZZ\r\n",
    ],
)
@in_loop
async def test_refusals_of_every_form(answer: bytes) -> None:
    """A refusal is one however its body is delimited, chunks put together (84)."""
    async with answering(answer) as port:
        error = await fails(port, wsmash.HandshakeError)
    assert error.status == int(answer.split()[1]) and error.body == b"no length"


@pytest.mark.case(84)
@in_loop
async def test_a_compressed_refusal() -> None:
    """A body that is compressed is kept as it came, and is no danger to who reads the error."""
    body = gzip.compress(b"<html>bad gateway</html>")
    head = b"HTTP/1.1 502 Bad Gateway\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with answering(head + body) as port:
        error = await fails(port, wsmash.HandshakeError)
    assert gzip.decompress(error.body) == b"<html>bad gateway</html>" and str(error).isprintable()


@pytest.mark.case(23)
@in_loop
async def test_endless_body() -> None:
    """Of a body without end at most a mebibyte is read (23)."""
    written = 0

    async def script(_: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 500 Oops\r\nContent-Length: 1000000000\r\n\r\n")
        while not reader.at_eof():
            writer.write(bytes(65536))
            written += 65536
            await writer.drain()

    async with scripted(script) as port:
        error = await fails(port, wsmash.HandshakeError)
    assert error.status == 500 and written < 16 * 1024 * 1024


@in_loop
async def test_refusal_whose_body_never_comes() -> None:
    """A refusal that was read up to its body keeps its status, where the body never ends."""
    async with answering(b"HTTP/1.1 401 No\r\nContent-Length: 100\r\n\r\nhalf", hold=True) as port:
        error = await fails(port, wsmash.HandshakeError, open_timeout=0.1)
    assert (error.status, error.body) == (401, b"half")


@in_loop
async def test_interim_answers() -> None:
    """1xx answers before the 101 are skipped (RFC 9110 15.2), but not without end."""
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    async with answering(interim * 3, switching) as port:
        client = wsmash.create_client(f"ws://127.0.0.1:{port}")
        await client.connect()
        await client.wait_closed()
    async with answering(interim * 100, hold=True) as port:
        error = await fails(port, wsmash.HandshakeError)
    assert error.status == 103


# No answer


@in_loop
async def test_no_answer() -> None:
    """A server that accepts and says nothing is an OpenTimeout, also a builtin TimeoutError, which names it."""
    async with answering(hold=True) as port:
        error = await fails(port, wsmash.OpenTimeout, open_timeout=0.05)
    assert isinstance(error, TimeoutError) and f"127.0.0.1:{port}" in str(error) and "0.05" in str(error)


@in_loop
async def test_slow_answer() -> None:
    """An answer that comes a byte at a time does not stretch `open_timeout`."""

    async def script(request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not reader.at_eof():
            writer.write(b"a")
            await asyncio.sleep(0.005)

    async with scripted(script) as port:
        await fails(port, wsmash.OpenTimeout, open_timeout=0.1)


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 101 Switch"])
@in_loop
async def test_closes_early(said: bytes) -> None:
    """A server that ends before its answer does is a ConnectError."""
    async with answering(said) as port:
        error = await fails(port, wsmash.ConnectError)
    assert "closed" in str(error)


@in_loop
async def test_resets() -> None:
    """A reset is a ConnectError with the system's number and cause."""

    async def script(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async with scripted(script) as port:
        error = await fails(port, wsmash.ConnectError)
    assert error.errno == errno.ECONNRESET and isinstance(error.__cause__, ConnectionResetError)


@in_loop
async def test_refused() -> None:
    """Nobody there is a ConnectError with the number, one cause for each address, and the place in its text."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        error = await fails(port, wsmash.ConnectError)
    assert (error.errno, len(error.causes)) == (errno.ECONNREFUSED, 1) and f"127.0.0.1:{port}" in str(error)


@in_loop
async def test_unix_socket_that_is_not_there() -> None:
    """A Unix socket that is not there is a ConnectError that names it."""
    error = await fails(80, wsmash.ConnectError, unix="/nowhere/door")
    assert error.errno == errno.ENOENT and "/nowhere/door" in str(error)


# After the 101


@in_loop
async def test_messages_glued_to_the_101() -> None:
    """Messages in the answer's own packet come after `open`, and the close after them."""
    async with answering(lambda request: switching(request) + text("one") + text("two") + close(1001)) as port:
        client = wsmash.create_client(f"ws://127.0.0.1:{port}")
        heard = listened_to(client)
        await client.connect()
        await client.wait_closed()
    assert heard == [("open", None), ("message", "one"), ("message", "two"), ("close", 1001)]


@pytest.mark.case(51)
@in_loop
async def test_ends_right_after_the_101() -> None:
    """A server that ends without a close frame is a close with 1006, and no error (51)."""
    async with answering(switching) as port:
        client = wsmash.create_client(f"ws://127.0.0.1:{port}")
        heard = listened_to(client)
        await client.connect()
        await client.wait_closed()
    assert heard == [("open", None), ("close", 1006)]


@pytest.mark.case(30)
@in_loop
async def test_masked_frame_from_the_server() -> None:
    """A server's masked frame fails the connection with 1002, after what was right before it (30)."""
    async with answering(
        lambda request: switching(request) + text("fine") + text("masked", masked=True), hold=True
    ) as port:
        client = wsmash.create_client(f"ws://127.0.0.1:{port}", close_timeout=0.2)
        heard = listened_to(client)
        closes: list[wsmash.CloseEvent] = []
        client.on("close", closes.append)
        await client.connect()
        await client.wait_closed()
    assert [name for name, _ in heard] == ["open", "message", "error", "close"]
    assert isinstance(heard[2][1], wsmash.ProtocolError)
    assert closes[0].code == 1006 and closes[0].sent is not None and closes[0].sent[0] == 1002


# Trying again


@in_loop
async def test_again_at_once() -> None:
    """Who awaited a failed `connect` finds the client closed, and may connect it again at once."""
    async with answering(b"HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n") as port:
        client = wsmash.create_client(f"ws://127.0.0.1:{port}")
        heard = listened_to(client)
        for _ in range(3):
            with pytest.raises(wsmash.HandshakeError):
                await client.connect()
            assert client.get_state() is wsmash.State.CLOSED
    assert [name for name, _ in heard] == ["error", "close"] * 3
    assert len({error for name, error in heard if name == "error"}) == 3


@in_loop
async def test_again_from_the_close_callback() -> None:
    """A `close` callback may connect again; who waited for the first close is told of it."""
    async with answering(switching, hold=True) as good, answering(b"nonsense\r\n\r\n") as bad:
        client = wsmash.create_client(f"ws://127.0.0.1:{bad}")
        again: list[Any] = []

        @client.on("close")
        def closed(event: wsmash.CloseEvent) -> None:
            if not again:
                again.append(client.connect())

        first = client.connect()
        closing = asyncio.ensure_future(client.wait_closed())
        for attempt in (first, None):
            with pytest.raises(wsmash.HandshakeError):
                await (attempt or again[0])
        await closing
        assert again and good


@in_loop
async def test_close_from_the_error_callback() -> None:
    """Closing from the `error` callback of a failed connect changes nothing: one `close`, and the same error."""
    async with answering(b"nonsense\r\n\r\n") as port:
        client = wsmash.create_client(f"ws://127.0.0.1:{port}")
        heard = listened_to(client)
        client.on("error", lambda event: event.client.close())
        with pytest.raises(wsmash.HandshakeError):
            await client.connect()
        await client.wait_closed()
    assert [name for name, _ in heard] == ["error", "close"]


@pytest.mark.case(105, 106)
@in_loop
async def test_nobody_listens(caplog: pytest.LogCaptureFixture) -> None:
    """A failure that reaches neither a callback nor an awaiter is logged once, without the URL's secrets (105, 106)."""
    async with answering(b"HTTP/1.1 403 \x1b[31mNo\r\n\r\n", b"") as port:
        client = wsmash.create_client(f"ws://user:hunter2@127.0.0.1:{port}/?token=hunter3")
        client.connect()
        await client.wait_closed()
        await asyncio.sleep(0)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "hunter" not in caplog.text and "\x1b" not in caplog.text
