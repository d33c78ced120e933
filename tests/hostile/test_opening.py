"""Group A: the opening handshake as hostile clients make it. Each request comes whole, and byte by byte."""

from __future__ import annotations

import random
import socket
import ssl
import time
from contextlib import suppress

import pytest

from fixtures.frames import frame, text
from fixtures.peer import Peer
from fixtures.raw import KEY, Answer, get, upgrade
from fixtures.served import Served
from hostile.conftest import Serve
from hostile.outcomes import CUTS

CONTROLS = [*range(9), *range(0x0A, 0x20), 0x7F]
"""What a header's value must not hold; 0x09 is a tab."""

Case = tuple[int, str, bytes, int]
"""Its number, its name, the request, the status of the answer."""


def line(header: str, value: str) -> bytes:
    """An upgrade with one more line."""
    return upgrade("/", f"{header}: {value}")


REFUSED: list[Case] = [
    (1, "300 headers", upgrade("/", *[f"X-{i}: a" for i in range(300)]), 431),
    (1, "2000 headers", upgrade("/", *[f"{i}:" for i in range(2000)]), 431),
    (2, "a header of 100 KB", line("X-Long", "a" * 100_000), 431),
    (2, "a name of 100 KB", line("X" * 100_000, "a"), 431),
    (2, "a request line of 64 KB", upgrade("/" + "a" * 65536), 414),
    (2, "many headers within the limits", upgrade("/", *[f"X-{i}: {'a' * 8000}" for i in range(9)]), 431),
    (5, "an unterminated quotation", line("Sec-WebSocket-Extensions", 'a;b="' + "\\c" * 4000), 400),
    (6, "spaces inside a protocol", line("Sec-WebSocket-Protocol", "b" + " " * 8000 + "x"), 400),
    (6, "32 000 spaces, above the limit", line("Sec-WebSocket-Protocol", "b" + " " * 32000 + "x"), 431),
    (7, "an extension 1000 times", line("Sec-WebSocket-Extensions", ", ".join(["a"] * 1000)), 400),
    (8, "0xff in the protocol", line("Sec-WebSocket-Protocol", "\xff"), 400),
    (8, "0xff in the extensions", line("Sec-WebSocket-Extensions", "\xff"), 400),
    (8, "0xff in the key", upgrade(Sec_WebSocket_Key="\xff" * 24), 400),
    (8, "0xff in the version", upgrade(Sec_WebSocket_Version="\xff"), 400),
    (8, "0xff in the origin", line("Origin", "http://\xff.example"), 400),
    (8, "UTF-8 in the origin", line("Origin", "http://\xc3\xa9.example"), 400),
    (8, "0xff in Host", upgrade(Host="\xff.example"), 400),
    (8, "0xff in the path", upgrade("/\xff"), 400),
    (8, "UTF-8 in the path", upgrade("/\xc3\xa9"), 400),
    *[(9, f"0x{byte:02x} in a value", line("X-Control", f"a{chr(byte)}b"), 400) for byte in CONTROLS],
    *[(9, f"0x{byte:02x} in a cookie", upgrade(Cookie=f"a{chr(byte)}=b"), 400) for byte in CONTROLS],
    (10, "NUL in a name", line("X\0", "a"), 400),
    (10, "CR alone ends a line", upgrade().replace(b"\r\nUpgrade", b"\rUpgrade"), 400),
    (10, "LF alone ends a line", upgrade().replace(b"\r\nUpgrade", b"\nUpgrade"), 400),
    (10, "LF alone ends every line", upgrade().replace(b"\r\n", b"\n"), 400),
    (10, "a folded header", upgrade("/", "X-Folded: a\r\n b"), 400),
    (10, "a folded first header", upgrade().replace(b"\r\nHost", b"\r\n Host"), 400),
    (10, "a space before the colon", upgrade("/", "X-Space : a"), 400),
    (11, "Upgrade: notwebsocket", upgrade(Upgrade="notwebsocket"), 426),
    (11, "Upgrade: websocketx", upgrade(Upgrade="websocketx"), 426),
    (11, "Connection: notupgrade", upgrade(Connection="notupgrade"), 426),
    (11, "both", upgrade(Upgrade="notwebsocket", Connection="notupgrade"), 426),
    (12, "no Host", upgrade(Host=None), 400),
    (12, "two Hosts", line("Host", "127.0.0.1"), 400),
    (12, "an empty Host", upgrade(Host=""), 400),
    (13, "no key", upgrade(Sec_WebSocket_Key=None), 400),
    (13, "two keys", line("Sec-WebSocket-Key", KEY), 400),
    (13, "a short key", upgrade(Sec_WebSocket_Key="c2hvcnQ="), 400),
    (13, "a long key", upgrade(Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZSE="), 400),
    (13, "an empty key", upgrade(Sec_WebSocket_Key=""), 400),
    (14, "version 12", upgrade(Sec_WebSocket_Version="12"), 426),
    (14, "no version", upgrade(Sec_WebSocket_Version=None), 426),
    (15, "length and chunks", upgrade("/", "Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\n", 400),
    (15, "chunks", line("Transfer-Encoding", "chunked") + b"5\r\nhello\r\n0\r\n\r\n", 400),
    (15, "two lengths", upgrade("/", "Content-Length: 0", "Content-Length: 5") + b"hello", 400),
    (15, "+5", line("Content-Length", "+5") + b"hello", 400),
    (15, "-1", line("Content-Length", "-1"), 400),
    (15, "a body", line("Content-Length", "5") + b"hello", 400),
    (15, "a body that is a request", line("Content-Length", str(len(get()))) + get("/healthz"), 400),
    (16, "POST", upgrade(method="POST"), 405),
    (16, "HTTP/1.0", upgrade(version="1.0"), 505),
    (20, "PROXY protocol", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + upgrade(), 400),
    (20, "PROXY protocol 2", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\1\x7f\0\0\1\0\1\0\2" + upgrade(), 400),
    (85, "a request smuggled behind a refusal", upgrade(Sec_WebSocket_Version="12") + get("/healthz"), 426),
]  # fmt: skip

LET_IN: list[Case] = [
    (7, "constructor", line("Sec-WebSocket-Extensions", "constructor; constructor=1"), 101),
    (7, "__proto__", line("Sec-WebSocket-Extensions", "__proto__; __proto__=1"), 101),
    (7, "__class__", line("Sec-WebSocket-Extensions", "__class__; __class__"), 101),
    (7, "parameters of permessage-deflate", line("Sec-WebSocket-Extensions", "permessage-deflate; __class__=1"), 101),
    (9, "0x80 to 0xff in a value", upgrade(Cookie="a=" + "".join(map(chr, range(0x80, 0x100)))), 101),
    (9, "a tab in a value", line("X-Tab", "a\tb"), 101),
    (15, "Content-Length: 0", line("Content-Length", "0"), 101),
]


def named(cases: list[Case]) -> pytest.MarkDecorator:
    """As parameters, each named by its case. The marks stand at the tests, where a reader, and a tool, finds them."""
    return pytest.mark.parametrize(
        ("request_", "status"), [pytest.param(*each[2:], id=f"{each[0]}-{each[1]}") for each in cases]
    )


def answers(served: Served, request_: bytes) -> list[Answer]:
    """What the request gets, however it comes; the server ends the connection after it, and not with a reset."""
    found = []
    for cut in CUTS:
        with served.peer() as peer:
            peer.send_until_ended(request_, cut=cut)
            found.append(peer.answer())
    return found


@pytest.mark.case(1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 20, 85)
@named(REFUSED)
def test_refused(served: Served, request_: bytes, status: int) -> None:
    """One answer, which ends the connection; nothing of it reaches the application."""
    opened = served.seen()["opened"]
    for answer in answers(served, request_):
        assert answer.status == status and "close" in answer.headers["connection"]
        assert b"HTTP/1.1 " not in answer.body
        if status == 426:
            needed = ("upgrade", "websocket") if "upgrade" in answer.headers else ("sec-websocket-version", "13")
            assert answer.headers[needed[0]] == needed[1]
    assert served.seen()["opened"] == opened


@pytest.mark.case(7, 9, 15)
@named(LET_IN)
def test_let_in(served: Served, request_: bytes, status: int) -> None:
    """What is only unknown, or opaque, does no harm."""
    for cut in CUTS:
        with served.peer() as peer:
            peer.send(request_, cut=cut)
            assert peer.head().status == status
            peer.send(text("hello", masked=True))
            assert peer.frame().payload == b"hello"


@pytest.mark.case(14)
def test_the_version_that_is_spoken(served: Served) -> None:
    """Another one gets a 426 that names it."""
    for request_ in (upgrade(Sec_WebSocket_Version="12"), upgrade(Sec_WebSocket_Version=None)):
        for answer in answers(served, request_):
            assert answer.headers["sec-websocket-version"] == "13"


@pytest.mark.case(1, 2)
def test_a_head_without_an_end(served: Served) -> None:
    """16 MiB of one header line, or of small ones, are not kept: they are refused at the limit."""
    for piece in (b"a" * 65536, b"a: b\r\n" * 10000):
        served.reset_peak()
        before = served.rss()
        with served.peer() as peer:
            peer.send(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
            peer.send_until_ended(piece * ((16 << 20) // len(piece)))
            assert peer.answer().status == 431
        assert served.peak() - before < 1 << 20


@pytest.mark.case(3, 4)
def test_dribbled_too_slowly(serve: Serve) -> None:
    """The time for the opening is one for all of it: bytes that go on coming do not lengthen it."""
    server = serve(open_timeout=0.5)
    with server.peer() as peer:
        begun = time.monotonic()
        for byte in upgrade()[:20]:
            peer.send_until_ended(bytes((byte,)))
            time.sleep(0.05)
        assert peer.answer().status == 408
        assert 0.4 < time.monotonic() - begun < 2.5


@pytest.mark.case(4)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("said", [b"", upgrade()[:50], b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"])
def test_silence(serve: Serve, said: bytes, tls: bool) -> None:
    """Who says nothing, or half of what he has to, is gone after `open_timeout`, and never counts as a connection."""
    server = serve(tls=tls, open_timeout=0.5)
    begun = time.monotonic()
    peers = [server.peer(plain=True) for _ in range(5)]
    for peer in peers:
        peer.send(said)
    state = server.state()
    assert state["connections"] == 0 and state["openings"] <= 5  # over TLS none of it is a hello
    for peer in peers:
        peer.ended()
    assert time.monotonic() - begun < 2.5
    assert server.seen()["opened"] == 1  # the first, which warmed it up


@pytest.mark.case(5, 6, 7)
@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Sec-WebSocket-Extensions", 'a;b="' + "\\c" * 16000),
        ("Sec-WebSocket-Extensions", "permessage-deflate; " + "a=b; " * 6400),
        ("Sec-WebSocket-Extensions", "permessage-deflate, " * 1600),
        ("Sec-WebSocket-Extensions", "a, " * 10000),
        ("Sec-WebSocket-Protocol", "b" + " " * 32000 + "x"),
        ("Sec-WebSocket-Protocol", "b, " * 10000),
        ("Connection", "a, " * 10000 + "Upgrade"),
        ("Cookie", "a=b; " * 6400),
    ],
    ids=lambda value: f"{value:.30}",
)
def test_linear(serve: Serve, header: str, value: str) -> None:
    """Four times as many bytes of a header take four times as long, not sixteen; a header of 32 KiB takes 10 ms."""
    server = serve(max_header_line=1 << 16, compression="deflate")
    request_ = line(header, value) if header != "Connection" else upgrade(Connection=value)
    count = 20
    before = server.cpu()
    for _ in range(count):
        with server.peer() as peer:
            peer.send(request_)
            assert peer.head().status in (101, 400)
    assert (server.cpu() - before) / count < 0.010


@pytest.mark.case(12, 17)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_http_1_0_without_host(served: Served, method: str) -> None:
    """A probe in HTTP/1.0 is answered, and no name looked up for it (which is checked of every server here)."""
    for answer in answers(served, f"{method} /healthz HTTP/1.0\r\n\r\n".encode()):
        assert (answer.status, answer.headers["connection"]) == (200, "close")


@pytest.mark.case(18)
def test_frames_glued_to_the_request(served: Served) -> None:
    """A mebibyte of frames in the request's own packet is delivered in order."""
    messages = [bytes((i,)) * 16384 for i in range(64)]
    for cut in (None, 1000):
        with served.peer() as peer:
            peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            peer.send(upgrade() + b"".join(frame(2, each, masked=True) for each in messages), cut=cut)
            assert peer.head().status == 101
            assert [peer.frame().payload for _ in messages] == messages


@pytest.mark.case(19)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("way", ["reset", "close", "shut"])
def test_gone_before_the_answer(serve: Serve, way: str, tls: bool) -> None:
    """A client may go at any byte of its request, or right after it: nobody complains, nothing is left."""
    server = serve(tls=tls, open_timeout=2)
    chance = random.Random(19)
    for _ in range(60):
        peer = server.peer()
        peer.send(upgrade()[: chance.choice((0, 1, 30, 100, 1000))])
        if way == "shut" and not tls:
            peer.shut()
            peer.ended()
        getattr(peer, "reset" if way == "reset" else "close")()


@pytest.mark.case(20)
@pytest.mark.parametrize("said", ["hello", "get", "proxy", "nothing", "zeros"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_another_protocol(serve: Serve, said: str, tls: bool) -> None:
    """TLS to a plain port, HTTP to that of TLS, a probe that only connects: an end, and one line in the log at most."""
    server = serve(tls=tls, level="DEBUG", open_timeout=2)
    data = {
        "hello": client_hello() if not tls else client_hello()[:5] + b"\xff" * 512,
        "get": get("/healthz"),
        "proxy": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "nothing": b"",
        "zeros": bytes(1000),
    }[said]
    for cut in CUTS:
        with server.peer(plain=True) as peer:
            peer.send_until_ended(data, cut=cut)
            with suppress(OSError):  # the server was faster
                peer.shut()
            peer.ended()
    time.sleep(0.1)
    lines = [each for each in server.log().splitlines() if "asyncio" not in each]
    assert len(lines) <= len(CUTS) and all(each.startswith(("DEBUG", "INFO")) for each in lines), lines


def client_hello() -> bytes:
    """The first bytes of a TLS client."""
    out = ssl.MemoryBIO()
    session = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        session.do_handshake()
    return out.read()


@pytest.mark.case(21)
def test_pipelined_requests(served: Served) -> None:
    """Ten thousand requests in one go get one answer; a request behind an upgrade is a malformed frame."""
    with served.peer() as peer:
        peer.send_until_ended(get("/healthz") * 10_000)
        answer = peer.answer()
        assert answer.status == 200 and answer.body == b"ok\n"
    for cut in CUTS:
        with served.peer() as peer:
            peer.send_until_ended(upgrade() + get("/healthz"), cut=cut)
            assert peer.head().status == 101
            assert peer.read_close() == 1002 and peer.ended() == "end"


def test_the_probes_can_fail(served: Served) -> None:
    """A peer that waits for what does not come is told so."""
    with served.peer(patience=0.1) as peer, pytest.raises(TimeoutError):
        peer.head()
    with pytest.raises(AssertionError, match="400"), Peer(served.address) as peer:
        peer.upgrade(Host=None)
