"""The server's port as HTTP sees it: what is let in, what is refused with which status, what else it serves.

Numbers in brackets are those of the list of hostile inputs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
from pathlib import Path
from typing import Any

import pytest

import wsmash
from fixtures.certificates import contexts
from fixtures.frames import close, frame, text
from fixtures.in_loop import in_loop, until
from fixtures.raw import ACCEPT, KEY, ask, get, parse_answer, refusal, serving, upgrade, wire
from wsmash.server import WebSocketServer


def echo(server: WebSocketServer) -> None:
    """Make it send each message back."""

    @server.on("connection")
    def connected(event: wsmash.ConnectionEvent) -> None:
        event.client.on("message", lambda message: event.client.send(message.data))


# Let in


@in_loop
async def test_upgrade() -> None:
    """A valid request gets the 101 of RFC 6455 1.3, and frames after it."""
    async with serving() as server:
        echo(server)
        async with wire(server) as peer:
            await peer.send(upgrade())
            answer = await peer.answer()
            assert (answer.status, answer.headers["sec-websocket-accept"]) == (101, ACCEPT)
            assert (answer.headers["upgrade"], answer.headers["connection"]) == ("websocket", "Upgrade")
            await peer.send(text("hello", masked=True))
            assert (await peer.frame()).payload == b"hello"


@in_loop
async def test_names_and_tokens_in_any_case() -> None:
    """Header names and the tokens of Upgrade and Connection are compared without case, among others."""
    async with serving() as server, wire(server) as peer:
        await peer.send(upgrade(Connection="keep-alive, UPGRADE", Upgrade="WebSocket").replace(b"Host:", b"hOST:"))
        assert (await peer.answer()).status == 101


@pytest.mark.case(3)
@in_loop
async def test_dribbled() -> None:
    """A request that comes byte by byte is the same request (3)."""
    async with serving() as server, wire(server) as peer:
        for byte in upgrade():
            await peer.send(bytes((byte,)))
        assert (await peer.answer()).status == 101


@pytest.mark.case(18)
@in_loop
async def test_frames_glued_to_the_request() -> None:
    """Frames in the request's own packet, a mebibyte of them, are delivered in order after `connection` (18)."""
    async with serving() as server:
        got: list[str | bytes] = []

        @server.on("connection")
        def connected(event: wsmash.ConnectionEvent) -> None:
            event.client.on("message", lambda message: got.append(message.data))

        async with wire(server) as peer:
            messages = [bytes([i]) * 65536 for i in range(16)]
            await peer.send(upgrade() + b"".join(frame(2, each, masked=True) for each in messages))
            assert (await peer.answer()).status == 101
            await until(lambda: len(got) == 16)
            assert got == messages


@pytest.mark.case(18)
@in_loop
async def test_frames_before_the_hook_has_decided() -> None:
    """Frames that come while `process_request` is waiting are bounded by one read, and delivered after the 101 (18)."""
    decide = asyncio.Event()

    async def hook(_: wsmash.Request) -> None:
        await decide.wait()

    async with serving(process_request=hook) as server:
        echo(server)
        async with wire(server) as peer:
            await peer.send(upgrade() + text("one", masked=True))
            await peer.send(text("two", masked=True))
            decide.set()
            assert (await peer.answer()).status == 101
            assert [(await peer.frame()).payload for _ in range(2)] == [b"one", b"two"]


@pytest.mark.case(9)
@in_loop
async def test_opaque_bytes_in_other_headers() -> None:
    """A header value is opaque from 0x80 on: a UTF-8 cookie holds 0x85, and reaches the application (9)."""
    seen: list[str] = []
    async with serving() as server:
        server.on("connection", lambda event: seen.append(event.request.headers["Cookie"]))
        async with wire(server) as peer:
            await peer.send(upgrade(Cookie="name=\xc3\x85\x85"))
            assert (await peer.answer()).status == 101
            assert seen == ["name=\xc3\x85\x85"]


# Refused


@pytest.mark.case(1, 2)
@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (upgrade("/", *[f"X-{i}: a" for i in range(300)]), 431),
        (upgrade("/", *[f"X-{i}: a" for i in range(2000)]), 431),
        (upgrade(X_Long="a" * 100_000), 431),
        (upgrade("/" + "a" * 65536), 414),
        (upgrade("/", *[f"X-{i}: {'a' * 8000}" for i in range(9)]), 431),
    ],
    ids=["300 headers", "2000 headers", "long header", "long target", "large head"],
)
@in_loop
async def test_heads_above_the_limits(request_: bytes, status: int) -> None:
    """More headers, a longer line, a longer head than allowed are refused, and nothing stays parked (1, 2)."""
    assert (await refusal(request_)).status == status


@pytest.mark.case(2)
@in_loop
async def test_limits_count_across_reads() -> None:
    """The bytes of a line that never ends are counted as they come (2)."""
    async with serving() as server, wire(server) as peer:
        await peer.send(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
        for _ in range(9):
            await peer.send(b"a" * 1000)
        assert parse_answer(await peer.read_all()).status == 431


@pytest.mark.case(3, 4)
@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHost: a"], ids=["nothing", "half a request"])
@in_loop
async def test_open_timeout(said: bytes) -> None:
    """Who says nothing is dropped at `open_timeout`; who says half a request is answered 408 (3, 4)."""
    async with serving(open_timeout=0.05) as server, wire(server) as peer:
        await peer.send(said)
        data = await peer.read_all()
        assert data == b"" if not said else parse_answer(data).status == 408
        assert server.get_client_count() == 0


@pytest.mark.case(5, 6, 8, 9, 10, 12, 13, 15)
@pytest.mark.parametrize(
    "changes",
    [
        {"Sec_WebSocket_Extensions": 'a;b="' + "\\c" * 4000},
        {"Sec_WebSocket_Protocol": "b" + " " * 8000 + "x"},
        {"Sec_WebSocket_Protocol": "a,,b c"},
        {"Sec_WebSocket_Key": None},
        {"Sec_WebSocket_Key": "c2hvcnQ="},
        {"Sec_WebSocket_Key": KEY + "=" * 4},
        {"Sec_WebSocket_Key": "?" * 24},
        {"Host": None},
        {"Host": ""},
        {"Host": "a b"},
        {"Host": "user@a"},
        {"Host": "\xff.example"},
        {"Origin": "http://\xe9.example"},
        {"Sec_WebSocket_Protocol": "\xff"},
        {"Sec_WebSocket_Key": "\xff" * 24},
        {"X_Control": "a\x00b"},
        {"X_Control": "a\x0bb"},
        {"X_Control": "a\x7fb"},
        {"X_Control": "a\rb"},
        {"X_Control": "a\nb"},
        {"X_Folded": "a\r\n b"},
        {"Transfer_Encoding": "chunked"},
        {"Content_Length": "5"},
        {"Content_Length": "+0"},
        {"Content_Length": "-1"},
    ],
    ids=repr,
)
@in_loop
async def test_malformed(changes: dict[str, Any]) -> None:
    """What is malformed or ambiguous, or has a body, never reaches the application (5, 6, 8-10, 12, 13, 15)."""
    assert (await refusal(upgrade(**changes))).status == 400


@pytest.mark.case(12, 13, 15)
@pytest.mark.parametrize(
    "line",
    ["Host: b", f"Sec-WebSocket-Key: {KEY}", "Content-Length: 0\r\nContent-Length: 1", "Transfer-Encoding: identity",
     "No colon", "Bad name: x", ": nameless"],
)  # fmt: skip
@in_loop
async def test_a_line_too_many(line: str) -> None:
    """Doubled Host, key or length, and lines that are no headers, are a 400 (12, 13, 15)."""
    assert (await refusal(upgrade("/", line))).status == 400


@pytest.mark.case(15)
@in_loop
async def test_no_body_is_no_fault() -> None:
    """`Content-Length: 0` announces no body (15)."""
    async with serving() as server, wire(server) as peer:
        await peer.send(upgrade(Content_Length="0"))
        assert (await peer.answer()).status == 101


@pytest.mark.case(7)
@pytest.mark.parametrize("name", ["constructor", "__proto__", "__class__", "x-webkit-deflate-frame"])
@in_loop
async def test_extensions_of_odd_names(name: str) -> None:
    """Unknown extensions and parameters are ignored, whatever they are called (7)."""
    async with serving(compression="deflate") as server, wire(server) as peer:
        await peer.send(upgrade(Sec_WebSocket_Extensions=f"{name}; {name}=1, permessage-deflate; {name}, {name}"))
        answer = await peer.answer()
        assert answer.status == 101 and "sec-websocket-extensions" not in answer.headers


@pytest.mark.case(7)
@in_loop
async def test_extension_a_thousand_times() -> None:
    """The same extension a thousand times is refused or ignored, in bounded work (7)."""
    offers = ", ".join(["a"] * 1000)
    async with serving() as server, wire(server) as peer:
        await peer.send(upgrade(Sec_WebSocket_Extensions=offers))
        assert (await peer.answer()).status in (101, 400)


@pytest.mark.case(11, 14)
@pytest.mark.parametrize(
    ("changes", "status", "header"),
    [
        ({"Sec_WebSocket_Version": "12"}, 426, ("sec-websocket-version", "13")),
        ({"Sec_WebSocket_Version": None}, 426, ("sec-websocket-version", "13")),
        ({"Sec_WebSocket_Version": "13, 8"}, 426, ("sec-websocket-version", "13")),
        ({"Upgrade": "notwebsocket", "Connection": "notupgrade"}, 426, ("upgrade", "websocket")),
        ({"Upgrade": "notwebsocket"}, 426, ("upgrade", "websocket")),
        ({"Connection": "close"}, 426, ("upgrade", "websocket")),
    ],
)
@in_loop
async def test_upgrade_required(changes: dict[str, Any], status: int, header: tuple[str, str]) -> None:
    """Another version, and an Upgrade that is none, are a 426 that says what would do (11, 14)."""
    answer = await refusal(upgrade(**changes))
    assert answer.status == status and answer.headers[header[0]] == header[1]
    assert answer.headers["connection"] == "upgrade, close"


@pytest.mark.case(11, 16)
@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (upgrade(method="POST"), 405),
        (upgrade(method="BREW"), 501),
        (upgrade(version="1.0"), 505),
        (upgrade(version="2.0"), 505),
        (upgrade(version="0.9"), 505),
        (upgrade("/elsewhere"), 404),
        (get("/elsewhere"), 404),
        (get(method="POST"), 405),
        (get("/healthz", method="POST"), 405),
        (get("/healthz", method="DELETE"), 405),
        (get(), 426),
    ],
)
@in_loop
async def test_statuses(request_: bytes, status: int) -> None:
    """Another method, version or path than is served has its own status (11, 16)."""
    answer = await refusal(request_)
    assert answer.status == status and "close" in answer.headers["connection"]
    assert status != 405 or "GET" in answer.headers["allow"]


@pytest.mark.case(12, 17)
@in_loop
async def test_http_1_0_without_host() -> None:
    """A probe in HTTP/1.0 without Host is answered, and no name is looked up for it (12, 17)."""
    answer = await refusal(b"GET /healthz HTTP/1.0\r\n\r\n")
    assert (answer.status, answer.body, answer.headers["connection"]) == (200, b"ok\n", "close")


@pytest.mark.case(20)
@in_loop
async def test_client_hello_to_a_plain_port() -> None:
    """A TLS hello, and the PROXY protocol, to a plain port are refused as what they are not (20)."""
    async with serving() as server:
        for garbage in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n\r\n"):
            assert (await ask(server, garbage)).status == 400


@pytest.mark.case(20)
@in_loop
async def test_plain_http_to_a_tls_port(caplog: pytest.LogCaptureFixture) -> None:
    """Plain HTTP to a TLS port is closed, with one line in the log, at DEBUG (20)."""
    with caplog.at_level("DEBUG", "wsmash"):
        async with serving(ssl=contexts().server) as server, wire(server) as peer:
            await peer.send(get())
            assert b"HTTP/1.1" not in await peer.read_all()
    assert [record.levelname for record in caplog.records] == ["DEBUG"]


@pytest.mark.case(20)
@in_loop
async def test_health_check_connects_are_no_errors(caplog: pytest.LogCaptureFixture) -> None:
    """A connection that ends before it said anything is not worth a line above DEBUG (20)."""
    with caplog.at_level("INFO", "wsmash"):
        async with serving() as server:
            async with wire(server):
                pass
            assert (await ask(server, get("/healthz"))).status == 200
    assert caplog.records == []


@pytest.mark.case(19)
@in_loop
async def test_reset_before_the_answer() -> None:
    """A client that resets while its request is being decided leaves nothing behind (19)."""
    started, decide = asyncio.Event(), asyncio.Event()

    async def hook(_: wsmash.Request) -> None:
        started.set()
        await decide.wait()

    async with serving(process_request=hook) as server:
        connections: list[object] = []
        closes: list[wsmash.CloseEvent] = []

        @server.on("connection")
        def connected(event: wsmash.ConnectionEvent) -> None:
            connections.append(event)
            event.client.on("close", closes.append)

        async with wire(server) as peer:
            await peer.send(upgrade())
            await started.wait()
            sock = peer.writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        decide.set()
        await until(lambda: len(closes) == len(connections) and server.get_client_count() == 0)


@pytest.mark.case(21, 85)
@in_loop
async def test_pipelined_requests() -> None:
    """One request, one answer: ten thousand that follow are neither answered nor kept (21, 85)."""
    async with serving() as server:
        answer = await ask(server, get("/healthz") * 10_000)
        assert answer.status == 200 and answer.body == b"ok\n"
        async with wire(server) as peer:
            await peer.send(upgrade() + get("/healthz"))
            assert (await peer.answer()).status == 101
            rest = await peer.read_all()
            assert rest[:1] == b"\x88" and b"HTTP" not in rest, "the second request is a malformed frame"


# What else the port serves


@in_loop
async def test_health() -> None:
    """The health check says ok at its path, wherever that is, to GET and HEAD."""
    answer = await refusal(get("/healthz?probe=1"))
    assert (answer.status, answer.body, answer.headers["connection"]) == (200, b"ok\n", "close")
    answer = await refusal(get("/live", method="HEAD"), health_path="/live")
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "3")
    assert (await refusal(get("/healthz"), health_path=None)).status == 404


@in_loop
async def test_static_files(tmp_path: Path) -> None:
    """Files are served beside the WebSocket, on its very path too; what is not there is 404 or the endpoint's 426."""
    (tmp_path / "index.html").write_text("<h1>hello</h1>")
    (tmp_path / "app.js").write_text("1")
    (tmp_path.parent / "secret").write_text("no")
    async with serving(static=tmp_path) as server:
        answer = await ask(server, get("/"))
        assert (answer.status, answer.body) == (200, b"<h1>hello</h1>")
        assert answer.headers["content-type"].startswith("text/html") and answer.headers["connection"] == "close"
        assert (await ask(server, get("/app.js"))).body == b"1"
        answer = await ask(server, get("/app.js", method="HEAD"))
        assert (answer.body, answer.headers["content-length"]) == (b"", "1")
        for path in ("/../secret", "/%2e%2e/secret", "/..%2fsecret", "/none.js"):
            assert (await ask(server, get(path))).status in (400, 404)
        async with wire(server) as peer:
            await peer.send(upgrade())
            assert (await peer.answer()).status == 101


@in_loop
async def test_static_folder_that_is_not_there(tmp_path: Path) -> None:
    """A folder that does not exist fails the start, which leaves no port open."""
    server = wsmash.create_server(port=0, host="127.0.0.1", static=tmp_path / "none")
    with pytest.raises(ValueError, match="none"):
        await server.start()
    assert not server.is_started() and server.port == 0


# Endings of a connection that was let in, on the wire


@in_loop
async def test_close_is_answered_and_ended() -> None:
    """A close frame is echoed with its code and reason, then the server ends its side."""
    async with serving() as server, wire(server) as peer:
        await peer.send(upgrade() + close(3001, "bye", masked=True))
        assert (await peer.answer()).status == 101
        assert await peer.read_all() == close(3001, "bye")


@pytest.mark.case(52)
@in_loop
async def test_callback_that_raises_says_nothing_on_the_wire(caplog: pytest.LogCaptureFixture) -> None:
    """A callback's exception closes with 1011, and nothing of it reaches the peer (52)."""
    async with serving() as server:

        @server.on("connection")
        def connected(event: wsmash.ConnectionEvent) -> None:
            raise RuntimeError("a secret")

        async with wire(server) as peer:
            await peer.send(upgrade())
            await peer.answer()
            data = await peer.read_all()
            assert int.from_bytes(data[2:4]) == 1011 and b"secret" not in data
    assert len(caplog.records) == 1


@pytest.mark.case(104)
@in_loop
async def test_a_path_cannot_forge_a_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Case 104: what a peer asked for is escaped and cut wherever it is logged."""
    caplog.set_level("DEBUG", "wsmash")
    server = wsmash.create_server(port=0, path="/room/{name}")

    @server.on("connection")
    def fail(event: wsmash.ConnectionEvent) -> None:
        raise ValueError("broken")

    async with server:
        path = "/room/a%0d%0aERROR:root:FAKE%1b%5b31m" + "x" * 3000
        with contextlib.suppress(wsmash.WebSocketError):
            async with wsmash.connect(f"ws://localhost:{server.port}{path}") as client:
                await client.recv()
    lines = [record.getMessage() for record in caplog.records]
    assert any("a connection callback failed" in line for line in lines)
    assert all(line.isprintable() and len(line) < 500 for line in lines), lines
    assert len([record for record in caplog.records if record.levelno >= logging.INFO]) == 1


@pytest.mark.case(104)
def test_the_reason_of_a_close_is_escaped_in_its_error() -> None:
    """Case 104: the reason is the peer's, and may hold anything that is UTF-8."""
    error = wsmash.ConnectionClosed(4000, "bye\r\n\x1b[31m")
    assert str(error).isprintable() and error.reason == "bye\r\n\x1b[31m"
