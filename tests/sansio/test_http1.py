"""Heads taken apart behind a strict check, heads written, and the bodies of refusals."""

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsmash.sansio.head import Response
from wsmash.sansio.headers import Headers
from wsmash.sansio.http1 import (
    KEPT_BODY,
    MAX_BODY,
    BadHead,
    BodyReader,
    HeadLimits,
    HeadReader,
    ParsedHead,
    encode_request,
    encode_response,
    is_interim,
    parse_request,
    parse_response,
)

LIMITS = HeadLimits(max_headers=128, max_header_line=8192, max_head_size=65536)
UPGRADE = b"GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
ANSWER = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
PIECES = st.sampled_from([b"\r", b"\n", b"\r\n", b"\x00", b"\x7f", b"\x85", b" ", b"\t", b":", b"A: b", b"aa"])


def test_parse_request() -> None:
    """A request comes apart, its values without the whitespace around them."""
    head = b"GET /chat?x HTTP/1.1\r\nHost:a\r\nEmpty:\r\nX-Y: \t b c \t\r\nhost2: d\r\n\r\n"
    headers = Headers([("Host", "a"), ("Empty", ""), ("X-Y", "b c"), ("host2", "d")])
    assert parse_request(head) == ParsedHead("GET", "/chat?x", 0, "", "1.1", headers)
    assert parse_request(head).headers.pairs == headers.pairs


def test_parse_upgrades() -> None:
    """That llhttp stops at an upgrade changes nothing, with and without Content-Length: 0."""
    assert parse_request(UPGRADE).headers["Upgrade"] == "websocket"
    assert parse_request(UPGRADE[:-2] + b"Content-Length: 0\r\n\r\n").headers["Content-Length"] == "0"
    assert parse_response(ANSWER).status == 101
    assert parse_response(b"HTTP/1.1 101 \r\nUpgrade: websocket\r\n\r\n").reason == ""
    assert parse_request(b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n").target == "a:80"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "DELETE"])
def test_methods(method: str) -> None:
    """Methods are told apart, whether or not anyone serves them."""
    assert parse_request(f"{method} / HTTP/1.0\r\n\r\n".encode())[:5] == (method, "/", 0, "", "1.0")


def request_with(*lines: bytes, first: bytes = b"GET / HTTP/1.1") -> bytes:
    return b"\r\n".join([first, b"Host: a", *lines, b"", b""])


def status_of(head: bytes) -> int:
    with pytest.raises(BadHead) as caught:
        parse_request(head)
    assert caught.value.text == str(caught.value)
    assert len(caught.value.text) < 300
    return caught.value.status


@pytest.mark.case(8)
@pytest.mark.parametrize(
    ("first", "status"),
    [
        (b"", 400),
        (b"GET", 400),
        (b"GET /", 400),
        (b"GET  / HTTP/1.1", 400),
        (b"GET /  HTTP/1.1", 400),
        (b" GET / HTTP/1.1", 400),
        (b"GET / HTTP/1.1 ", 400),
        (b"GET / x HTTP/1.1", 400),
        (b"GET\t/ HTTP/1.1", 400),
        (b"GET / http/1.1", 400),
        (b"GET / RTSP/1.0", 400),
        (b"SOURCE / ICE/1.0", 400),
        (b"GET / HTTP/0.9", 505),
        (b"GET / HTTP/1.2", 505),
        (b"GET / HTTP/2.0", 505),
        (b"PRI * HTTP/2.0", 505),
        (b"GET / HTTP/1.10", 505),
        (b"get / HTTP/1.1", 501),
        (b"BREW / HTTP/1.1", 501),
        (b"GET * HTTP/1.1", 400),
        (b"GET a HTTP/1.1", 400),
        (b"GET a:80 HTTP/1.1", 400),
        (b"GET /#a HTTP/1.1", 400),
        (b"GET /\xc3\xbc HTTP/1.1", 400),
        (b"GET /\xff HTTP/1.1", 400),
        (b"GET /\x00 HTTP/1.1", 400),
    ],
)
def test_bad_request_lines(first: bytes, status: int) -> None:
    """A request line has one form, one spelling, and ASCII only (hostile case 8)."""
    assert status_of(request_with(first=first)) == status


@pytest.mark.case(9, 10)
@pytest.mark.parametrize(
    "line",
    [
        b"no colon",
        b": no name",
        b"Space : a",
        b"Sp ace: a",
        b"N\xc3\xa4me: a",
        b"Br(acket): a",
        b" folded",
        b"\tfolded",
        b"A: b\r\n folded",
        b"A: b\rC: d",
        b"A: b\nC: d",
        b"A: b\x00",
        b"A: b\x7f",
        b"A: \x0b",
        b"A: b\r\n\r\nGET / HTTP/1.1",
    ],
)
def test_bad_header_lines(line: bytes) -> None:
    """Lines end in CRLF, are not folded, and hold no control character (hostile cases 9 and 10)."""
    assert status_of(request_with(line)) == 400


@pytest.mark.case(9)
@pytest.mark.parametrize("code", [*range(0x09), *range(0x0A, 0x20), 0x7F])
def test_each_control_character(code: int) -> None:
    """Every control character but the tab is refused in a value (hostile case 9)."""
    assert status_of(request_with(b"X: a" + bytes([code]) + b"b")) == 400


class Pairs:
    """What llhttp reads."""

    def __init__(self) -> None:
        self.found: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.found.append((name, value.strip(b" \t")))


PARTS = st.sampled_from([b"A", b"b-C", b":", b": ", b" ", b"\t", b",", b"\x85", b"\xff", b'"', b"x"])
LINES = st.lists(PARTS).map(b"".join)


@given(st.lists(LINES))
def test_headers_are_those_that_llhttp_reads(lines: list[bytes]) -> None:
    """Of a head that passes, names and values are what llhttp takes them for."""
    head = request_with(*lines)
    try:
        pairs = parse_request(head).headers.pairs
    except BadHead:
        return
    llhttp = Pairs()
    httptools.HttpRequestParser(llhttp).feed_data(head)
    assert [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs] == llhttp.found


@pytest.mark.case(9)
def test_opaque_values() -> None:
    """Bytes from 0x80 on are Latin-1 characters of a value, 0x85 and 0xA0 at its ends too (hostile case 9)."""
    value = bytes([0x85, 0xA0, *range(0x80, 0x100), 0x85, 0xA0])
    assert parse_request(request_with(b"Cookie: a\tb" + value)).headers["cookie"] == "a\tb" + value.decode("latin-1")
    assert parse_request(request_with(b"X: " + value)).headers["X"] == value.decode("latin-1")


@pytest.mark.case(8)
@pytest.mark.parametrize(
    "name", [b"Host", b"ORIGIN", b"Sec-WebSocket-Key", b"sec-websocket-protocol", b"Sec-WebSocket-X"]
)
@pytest.mark.parametrize("byte", [0x80, 0x85, 0xFF])
def test_values_that_are_ascii(name: bytes, byte: int) -> None:
    """The headers that decide who may connect hold ASCII only (hostile case 8)."""
    assert status_of(request_with(name + b": a" + bytes([byte]))) == 400


@pytest.mark.case(15)
@pytest.mark.parametrize(
    "lines",
    [
        [b"Content-Length: 5"],
        [b"Content-Length: 00001"],
        [b"Content-Length: +0"],
        [b"Content-Length: +5"],
        [b"Content-Length: -1"],
        [b"Content-Length: 0x0"],
        [b"Content-Length: 0, 0"],
        [b"Content-Length:"],
        [b"Content-Length: 0", b"Content-Length: 0"],
        [b"Content-Length: 0", b"Content-Length: 5"],
        [b"Content-Length: 99999999999999999999999"],
        [b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: identity"],
        [b"Transfer-Encoding:"],
        [b"Content-Length: 0", b"Transfer-Encoding: chunked"],
    ],
)
@pytest.mark.parametrize("upgrade", [True, False])
def test_requests_with_a_body(lines: list[bytes], upgrade: bool) -> None:
    """A request that announces a body, or seems to, is refused (hostile case 15)."""
    upgrades = [b"Upgrade: websocket", b"Connection: Upgrade"] if upgrade else []
    for method in (b"GET", b"POST"):
        assert status_of(request_with(*upgrades, *lines, first=method + b" / HTTP/1.1")) == 400


@pytest.mark.parametrize("head", [b"", b"\r\n\r\n", b"GET / HTTP/1.1\r\n", UPGRADE + UPGRADE, UPGRADE + b"x"])
def test_one_head(head: bytes) -> None:
    """What is not exactly one head is refused."""
    assert status_of(head) == 400


@given(st.binary() | st.lists(PIECES).map(b"".join))
def test_any_head(data: bytes) -> None:
    """No bytes raise anything but BadHead, and what is taken holds no control character."""
    for first in (b"", b"GET / HTTP/1.1\r\n", b"HTTP/1.1 200 OK\r\n"):
        for parse in (parse_request, parse_response):
            try:
                found = parse(first + data + b"\r\n\r\n")
            except BadHead:
                continue
            assert not {*found.target, *found.reason, *"".join(map("".join, found.headers.pairs))} & {"\r", "\n", "\0"}


def test_parse_response() -> None:
    """An answer comes apart, with the reason in Latin-1."""
    found = parse_response(b"HTTP/1.1 403 Verb\xf6ten \r\nX: y\r\n\r\n")
    assert found == ParsedHead(None, "", 403, "Verböten", "1.1", Headers([("X", "y")]))
    assert parse_response(b"HTTP/1.0 200 OK\r\n\r\n").version == "1.0"


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 99 OK\r\n\r\n",
        b"HTTP/1.1 600 OK\r\n\r\n",
        b"HTTP/1.1 1000 OK\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.2 200 OK\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 101 OK\r\nSec-WebSocket-Accept: \xff\r\n\r\n",
        b"HTTP/1.1 200 O\x00K\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
    ],
)
def test_bad_answers(head: bytes) -> None:
    """What is no answer of HTTP/1.1 is a BadHead."""
    with pytest.raises(BadHead):
        parse_response(head)


def test_interim_answers() -> None:
    """An answer of 1xx but 101 is followed by another one, which the next reader finds in the rest."""
    reader = HeadReader(LIMITS, request=False)
    early = reader.feed(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ANSWER + b"\x81")
    assert early is not None
    assert is_interim(parse_response(early))
    following = HeadReader(LIMITS, request=False)
    assert following.feed(reader.rest) == ANSWER
    assert following.rest == b"\x81"
    assert not is_interim(parse_response(ANSWER))
    assert not is_interim(parse_response(b"HTTP/1.1 200 OK\r\n\r\n"))


def read_body(head: bytes, *pieces: bytes) -> tuple[bytes, bool]:
    reader = BodyReader(head)
    done = reader.feed(b"")
    for piece in pieces:
        assert not done
        done = reader.feed(piece)
    return reader.body, done


@pytest.mark.parametrize(
    ("lines", "pieces", "expected"),
    [
        (b"Content-Length: 5\r\n", [b"he", b"llo"], (b"hello", True)),
        (b"Content-Length: 5\r\n", [b"hello, world"], (b"hello", True)),
        (b"Content-Length: 5\r\n", [b"he"], (b"he", False)),
        (b"Content-Length: 0\r\n", [], (b"", True)),
        (b"", [b"until", b" the end"], (b"until the end", False)),
        (b"Transfer-Encoding: chunked\r\n", [b"3\r\nhel\r", b"\n2\r\nlo\r\n0\r\n\r\n"], (b"hello", True)),
        (b"Transfer-Encoding: chunked\r\n", [b"3\r\nhel\r\nzz"], (b"hel", True)),
        (b"Upgrade: websocket\r\nConnection: upgrade, close\r\nContent-Length: 2\r\n", [b"no"], (b"no", True)),
    ],
)
def test_body_of_a_refusal(lines: bytes, pieces: list[bytes], expected: tuple[bytes, bool]) -> None:
    """The body of a refusal is read to its end, however that is marked."""
    assert read_body(b"HTTP/1.1 403 Forbidden\r\n" + lines + b"\r\n", *pieces) == expected


def test_no_body() -> None:
    """A 204 has no body, whatever follows it."""
    assert read_body(b"HTTP/1.1 204 No Content\r\n\r\n") == (b"", True)


@pytest.mark.case(23)
def test_endless_body() -> None:
    """Of an endless body a mebibyte is read, and the first bytes are kept (hostile case 23)."""
    reader = BodyReader(b"HTTP/1.1 500 Oh\r\n\r\n")
    reads = next(i for i in range(1, 10_000) if reader.feed(b"a" * 1000 + b"b" * 24))
    assert reads == MAX_BODY // 1024
    assert len(reader.body) == KEPT_BODY
    assert reader.body.startswith(b"a" * 1000 + b"b" * 24 + b"a")


def test_encode_request() -> None:
    """A request is written line by line, and read back the same."""
    written = encode_request("GET", "/chat", [("Host", "a"), ("X", "é")])
    assert written == b"GET /chat HTTP/1.1\r\nHost: a\r\nX: \xe9\r\n\r\n"
    assert parse_request(written) == ParsedHead("GET", "/chat", 0, "", "1.1", Headers([("Host", "a"), ("X", "é")]))


@pytest.mark.case(25)
@pytest.mark.parametrize("bad", ["\r\nInjected: yes", "\n", "\r", "\0", "€"])
def test_encoders_let_nothing_through(bad: str) -> None:
    """Even unchecked parts can't end a line early (hostile case 25)."""
    for arguments in (("GET" + bad, "/", "a", "b"), ("GET", "/" + bad, "a", "b"), ("GET", "/", "a", "b" + bad)):
        method, target, name, value = arguments
        with pytest.raises(ValueError, match=r"control|latin-1"):
            encode_request(method, target, [(name, value)])
    with pytest.raises(ValueError, match=r"control|latin-1"):
        encode_response(Response(), date=f"today{bad}")


@pytest.mark.case(85)
def test_encode_response() -> None:
    """An answer says how long its body is and that the connection ends."""
    written = encode_response(Response(403, "no", {"X": "y"}), date="Thu, 01 Jan 1970 00:00:00 GMT")
    assert written == (
        b"HTTP/1.1 403 Forbidden\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nX: y\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
    )


def test_encode_response_to_head() -> None:
    """The answer to a HEAD tells the length of the body and leaves it out."""
    assert encode_response(Response(200, b"four"), head_only=True) == (
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\n"
    )


@pytest.mark.parametrize("status", [204, 304])
def test_encode_responses_without_a_body(status: int) -> None:
    """A 204 and a 304 have neither a body nor its length (RFC 9110 8.6)."""
    head, _, body = encode_response(Response(status, b"ignored", reason="")).partition(b"\r\n\r\n")
    assert head == b"HTTP/1.1 %d \r\nConnection: close" % status
    assert body == b""


def test_encode_switching_protocols() -> None:
    """A 101 goes out as it is: its connection does not end."""
    response = Response(101, headers=[("Upgrade", "websocket"), ("Connection", "Upgrade")])
    assert encode_response(response) == ANSWER


def test_encode_upgrade_required() -> None:
    """Who sends Upgrade says so in Connection (RFC 9110 7.8), and the connection ends all the same."""
    assert b"\r\nConnection: upgrade, close\r\n" in encode_response(Response(426, headers={"Upgrade": "websocket"}))


@pytest.mark.case(85)
def test_framing_headers_are_the_encoders() -> None:
    """A user's Content-Length, Transfer-Encoding and Connection can't contradict what is sent (hostile case 85)."""
    headers = {"content-length": "99", "Transfer-Encoding": "chunked", "Connection": "keep-alive", "Keep-Alive": "x"}
    assert encode_response(Response(200, b"x", headers)) == (
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx"
    )
